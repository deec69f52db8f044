"""Pushes that several processes share: two workers on SQLite, and three front ends on a node of Cassandra.

Printed is, for both, how many messages a second one push delivers with 1, 8 and 64 requests at a time, and eight pushes
together, which are spread over the processes; and what pushes that wait for messages take in memory and processor time,
and on Cassandra how many requests a second their looks are, for each process.

    python -m bench.push_shared [COUNT [IDLE [SECONDS]]]

COUNT messages of 140 bytes are delivered in each round, and IDLE pushes wait. It starts a node of its own (``make
cassandra`` comes first) and ends it.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import attrs

from bench import figures
from bench.arguments import Number, run
from bench.cassandra import front_end
from bench.figures import MIB
from bench.push import BATCH, LIMIT, PARALLEL, ROUNDS, SIZE, Side
from bench.push_down import ACKED
from bench.servers import ask, free_port, make_queue, post_batch, queuey_command, serving
from bench.waits import Daemon
from tests.live.cassandra.nodes import running
from tests.live.running import children

TOGETHER: Final = 8
"""Pushes that deliver at the same time."""

MAX_REQUESTS: Final = 400
"""Requests a second of a process for its idle pushes: a hundred looks of about four reads."""

PAUSE: Final = 3.0
"""Seconds until all processes have noticed a pause."""

TAKE_OVER: Final = 20.0
"""Seconds after which the processes have shared the pushes."""


@attrs.frozen
class Deployment:
    """Processes that share pushes.

    :ivar sides: one for each front end.
    :ivar pids: returns the processes that send.
    """

    sides: Sequence[Side]
    pids: Callable[[], Sequence[int]]

    def memory(self) -> int:
        """Return the bytes that all of them have in memory."""
        return sum(Daemon(0, pid).memory() for pid in self.pids())

    def processor_seconds(self) -> float:
        """Return the processor time that all of them have taken."""
        return sum(Daemon(0, pid).processor_seconds() for pid in self.pids())

    def acked(self) -> float:
        """Return the number of messages that pushes have delivered so far."""
        return sum(side.gauge(ACKED) for side in self.sides)

    def waiting(self) -> float:
        """Return the number of claims that wait."""
        return sum(side.gauge("queuey_waiting_claims") for side in self.sides)

    def requests(self) -> float:
        """Return the number of requests to Cassandra so far."""
        return sum(counted(side) for side in self.sides)


def counted(side: Side) -> float:
    """Return the number of requests of a front end to Cassandra so far."""
    lines = ask(side.ops, "GET", "/metrics").body.decode().splitlines()
    wanted = "queuey_cassandra_request_duration_seconds_count"
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted))


def settings(target: int) -> str:
    """Return the sections that allow pushes to an endpoint."""
    return (
        "[application:bench]\npush = true\npush_hosts = 127.0.0.1\n"
        f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {target}\n"
    )


@contextmanager
def endpoint(folder: Path) -> Iterator[int]:
    """Run an endpoint; the value is its port."""
    target = free_port()
    with serving([sys.executable, "-m", "bench.endpoint", str(target)], target, folder / "endpoint.log"):
        yield target


@contextmanager
def workers(folder: Path, number: int) -> Iterator[Deployment]:
    """Run a daemon on SQLite with workers."""
    folder.mkdir()
    port, ops = free_port(), free_port()
    with endpoint(folder) as target:
        server = f"workers = {number}\nops = tcp:{ops}:interface=127.0.0.1"
        command = queuey_command(folder, port, server=server, more=settings(target))
        with serving(command, port, folder / "servers.log") as process:
            side = Side(Daemon(port, process.pid), target, 0, ops)
            yield Deployment((side,), lambda: children(process.pid))


@contextmanager
def front_ends(folder: Path, number: int) -> Iterator[Deployment]:
    """Run front ends on a node of Cassandra."""
    folder.mkdir()
    with ExitStack() as stack:
        cluster = stack.enter_context(running(1, folder / "node"))
        target, sides, pids = stack.enter_context(endpoint(folder)), [], []
        for name in map(str, range(number)):
            ops = free_port()
            server = f"ops = tcp:{ops}:interface=127.0.0.1\n"
            end = front_end(folder / name, cluster, "bench", "many", server, settings(target))
            found = stack.enter_context(end)
            sides.append(Side(Daemon(found.port, found.pid), target, 0, ops))
            pids.append(found.pid)
        yield Deployment(sides, lambda: pids)


def delivered(deployed: Deployment, queues: Sequence[str], count: int) -> float:
    """Return how many messages a second pushes deliver together, with ``count`` messages each.

    What was acked is counted: on Cassandra the lag of a group does not count the messages of the last seconds.
    """
    side = deployed.sides[0]
    for queue in queues:
        side.act(queue, "pause")
    time.sleep(PAUSE)
    for queue in queues:
        for start in range(0, count, BATCH):
            post_batch(side.daemon.port, queue, min(BATCH, count - start), SIZE)
    acked, began = deployed.acked(), time.perf_counter()
    for queue in queues:
        side.act(queue, "resume")
    while deployed.acked() < acked + len(queues) * count:
        if time.perf_counter() - began > LIMIT:
            raise SystemExit("pushes do not deliver their messages")
        time.sleep(0.02)
    return len(queues) * count / (time.perf_counter() - began)


def idle(deployed: Deployment, count: int, seconds: float) -> None:
    """Print what pushes take that wait for messages."""
    side = deployed.sides[0]
    make_queue(side.daemon.port, "idle")
    before, waiting = deployed.memory(), deployed.waiting()
    body = json.dumps({"url": f"http://127.0.0.1:{side.target}/"}).encode()
    for number in range(count):
        ask(side.daemon.port, "PUT", f"/v2/bench/queues/idle/pushes/p{number}", body, "application/json")
    began = time.perf_counter()
    while deployed.waiting() < waiting + count:
        if time.perf_counter() - began > LIMIT:
            raise SystemExit("not all pushes wait for messages")
        time.sleep(0.2)
    busy, asked, began = deployed.processor_seconds(), deployed.requests(), time.perf_counter()
    time.sleep(seconds)
    passed = time.perf_counter() - began
    share, requests = (deployed.processor_seconds() - busy) / passed, (deployed.requests() - asked) / passed
    print(
        f"{count} idle pushes: {(deployed.memory() - before) / MIB:.1f} MiB, {100 * share:.1f} % of a core", flush=True
    )
    each = requests / len(deployed.sides)
    if each:
        print(f"{each:.0f} requests a second of each front end to Cassandra", flush=True)
        figures.show(f"requests a second / {MAX_REQUESTS}", each / MAX_REQUESTS, at_most=1)


def measure(name: str, deployed: Deployment, count: int, idle_ones: int, seconds: float) -> None:
    """Print the figures of a deployment."""
    print(f"{name}:", flush=True)
    side = deployed.sides[0]
    for parallel in PARALLEL:
        make_queue(side.daemon.port, f"r{parallel}")
        side.make_push(f"r{parallel}", parallel=parallel)
    for number in range(TOGETHER):
        make_queue(side.daemon.port, f"t{number}")
        side.make_push(f"t{number}", parallel=8)
    time.sleep(TAKE_OVER)
    for parallel in PARALLEL:
        rate = statistics.median(delivered(deployed, (f"r{parallel}",), count) for _ in range(ROUNDS))
        print(f"{parallel} at a time: {rate:.0f}/s", flush=True)
    queues = [f"t{number}" for number in range(TOGETHER)]
    rate = statistics.median(delivered(deployed, queues, count // 2) for _ in range(ROUNDS))
    print(f"{TOGETHER} pushes together, 8 at a time each: {rate:.0f}/s", flush=True)
    idle(deployed, idle_ones, seconds)


def main(count: int, idle_ones: int, seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        with workers(folder / "workers", 2) as deployed:
            measure("two workers on SQLite", deployed, count, idle_ones, seconds)
        with front_ends(folder / "fronts", 3) as deployed:
            measure("three front ends on Cassandra", deployed, count, idle_ones, seconds)


if __name__ == "__main__":
    run(main, count=Number(1_000), idle_ones=Number(600), seconds=Number(20.0))
