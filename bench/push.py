"""Pushes: how many a second an endpoint gets, beside what it can take; and what pushes cost that have nothing to do.

Printed is, with 1, 8 and 64 requests at a time, how many messages a second are delivered and acked, and how many POSTs
a second the same endpoint answers to a load generator over as many connections; how soon an endpoint has a message that
is posted; what pushes that wait for messages take in memory and processor time; and the rate of a push beside two with
messages behind, one whose endpoint takes a second for each of them and one whose endpoint is down.

    python -m bench.push [COUNT [IDLE [SECONDS]]]

COUNT messages of 140 bytes are delivered in each round, and IDLE pushes wait, each of a queue of its own. The endpoint
itself is loaded for SECONDS in each round, and the daemon is looked at for so long while nothing comes.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import attrs

from bench import figures
from bench.arguments import Number, run
from bench.figures import alternating
from bench.folders import fill_with_queues
from bench.servers import KEY, ask, free_port, make_queue, post_batch, queuey_command, serving
from bench.waits import Daemon

SIZE: Final = 140
ROUNDS: Final = 3
PARALLEL: Final = (1, 8, 64)
MOST: Final = 24 << 10
"""Bytes that an idle push may take."""

LIMIT: Final = 300.0
"""Seconds that anything may take."""

BATCH: Final = 500
LATENCIES: Final = 20


@attrs.frozen
class Side:
    """A daemon, and an endpoint.

    :ivar target: the port of the endpoint.
    :ivar away: a port that pushes may call, where nothing listens.
    :ivar ops: the operators' port.
    """

    daemon: Daemon
    target: int
    away: int
    ops: int

    def make_push(self, queue: str, path: str = "/", port: int | None = None, **settings: Any) -> None:
        """Make the push ``p`` of a queue."""
        body = json.dumps({"url": f"http://127.0.0.1:{port or self.target}{path}", **settings}).encode()
        ask(self.daemon.port, "PUT", f"/v2/bench/queues/{queue}/pushes/p", body, "application/json")

    def act(self, queue: str, what: str) -> None:
        """Pause a push, or let it go on."""
        ask(self.daemon.port, "POST", f"/v2/bench/queues/{queue}/pushes/p/{what}")

    def behind(self, queue: str) -> int:
        """Return how many messages are not acked, as far as that is counted."""
        group = ask(self.daemon.port, "GET", f"/v2/bench/queues/{queue}/groups/p").json
        return sum(int(each["behind"]["count"]) for each in group["lag"])

    def last(self) -> float:
        """Return when the endpoint was called last."""
        return float(ask(self.target, "GET", "/").body)

    def gauge(self, name: str) -> float:
        """Return a figure of the daemon's own."""
        for line in ask(self.ops, "GET", "/metrics").body.decode().splitlines():
            if line.startswith((f"{name} ", f"{name}{{")):
                return float(line.rpartition(" ")[2])
        return 0.0


@contextmanager
def both(folder: Path) -> Iterator[Side]:
    """Run a daemon and an endpoint."""
    port, ops, target, nobody = (free_port() for _ in range(4))
    more = (
        "[application:bench]\npush = true\npush_hosts = 127.0.0.1\n"
        f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {target} {nobody}\n"
    )
    command = queuey_command(folder, port, server=f"ops = tcp:{ops}:interface=127.0.0.1", more=more)
    endpoint = [sys.executable, "-m", "bench.endpoint", str(target)]
    log = folder / "servers.log"
    with serving(endpoint, target, log), serving(command, port, log) as process:
        yield Side(Daemon(port, process.pid), target, nobody, ops)


def pushed(side: Side, queue: str, count: int) -> float:
    """Return how many messages a second are delivered and acked."""
    side.act(queue, "pause")
    for start in range(0, count, BATCH):
        post_batch(side.daemon.port, queue, min(BATCH, count - start), SIZE)
    began = time.perf_counter()
    side.act(queue, "resume")
    while side.behind(queue):
        if time.perf_counter() - began > LIMIT:
            raise SystemExit("a push does not deliver its messages")
        time.sleep(0.02)
    return count / (time.perf_counter() - began)


def taken(side: Side, connections: int, seconds: float) -> float:
    """Return how many POSTs a second the endpoint itself answers."""
    raw = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SIZE + b"x" * SIZE
    return figures.rate("endpoint", side.target, connections, seconds, raw)


def latency(side: Side, queue: str) -> float:
    """Return the seconds from a POST to the moment when the endpoint has its message."""
    began = time.time()
    ask(side.daemon.port, "POST", f"/v2/bench/queues/{queue}/messages", b"x" * SIZE)
    while (came := side.last()) < began:
        if time.time() - began > LIMIT:
            raise SystemExit("a push does not deliver a message")
        time.sleep(0.005)
    return came - began


def idle(side: Side, count: int, seconds: float) -> None:
    """Print what pushes cost that wait for messages."""
    before, waiting = side.daemon.memory(), side.gauge("queuey_waiting_claims")
    connection = HTTPConnection("127.0.0.1", side.daemon.port, timeout=60)
    body = json.dumps({"url": f"http://127.0.0.1:{side.target}/", "start": "newest"})
    headers = {"Authorization": f"Application {KEY}", "Content-Type": "application/json"}
    for number in range(count):
        connection.request("PUT", f"/v2/bench/queues/q{number:07}/pushes/p", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 201:
            raise SystemExit(f"a push was answered {answer.status}: {text[:300]!r}")
    connection.close()
    began = time.perf_counter()
    while side.gauge("queuey_waiting_claims") < waiting + count:
        if time.perf_counter() - began > LIMIT:
            raise SystemExit("not all pushes wait for messages")
        time.sleep(0.2)
    each = (side.daemon.memory() - before) / count
    print(f"{count} idle pushes: {each / 1024:.1f} KiB each", flush=True)
    busy, began = side.daemon.processor_seconds(), time.perf_counter()
    time.sleep(seconds)
    share = (side.daemon.processor_seconds() - busy) / (time.perf_counter() - began)
    print(f"{100 * share:.1f} % of a core while nothing comes", flush=True)
    figures.show("an idle push / 24 KiB", each / MOST, at_most=1)


def beside(side: Side, count: int, alone: float) -> None:
    """Print the rate of a push beside others whose endpoints are slow, or down."""
    for queue, path, port in (("slow", "/slow", None), ("down", "/", free_port())):
        make_queue(side.daemon.port, queue)
        if port is None:
            side.make_push(queue, path, parallel=64)
        else:
            side.make_push(queue, path, parallel=64, timeout=1)
        for start in range(0, count, BATCH):
            post_batch(side.daemon.port, queue, min(BATCH, count - start), SIZE)
    time.sleep(1)
    found = statistics.median(pushed(side, "r8", count) for _ in range(ROUNDS))
    print(f"8 at a time, beside a slow endpoint and one that is down: {found:.0f}/s", flush=True)
    figures.show("beside them / alone", found / alone, at_least=0.7)


def main(count: int, idle_ones: int, seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        fill_with_queues(folder, idle_ones, SIZE)
        with both(folder) as side:
            rates = {}
            for parallel in PARALLEL:
                queue = f"r{parallel}"
                make_queue(side.daemon.port, queue)
                side.make_push(queue, parallel=parallel)
                push, itself = f"{parallel} at a time, pushed", f"{parallel} at a time, the endpoint itself"
                sides = {push: partial(pushed, side, queue, count), itself: partial(taken, side, parallel, seconds)}
                found = alternating(ROUNDS, sides)
                rates[parallel] = found[push]
                figures.show(f"pushed / the endpoint itself, {parallel} at a time", found[push] / found[itself])
            times = sorted(latency(side, "r8") for _ in range(LATENCIES))
            print(f"the endpoint has a message after {1000 * statistics.median(times):.1f} ms", flush=True)
            idle(side, idle_ones, seconds)
            beside(side, count, rates[8])


if __name__ == "__main__":
    run(main, count=Number(5_000), idle_ones=Number(10_000), seconds=Number(2.0))
