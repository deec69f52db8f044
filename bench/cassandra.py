"""A front end on one node of Cassandra, against the driver by itself on the same node; and two front ends against one.

POSTs of 140 bytes and batches of 100 of them at strong (QUORUM), pages of 100, a page of 100 names among many queues
and among few, and the making of many queues. Sides take turns, each with as many requests under way.

    python -m bench.cassandra [ROUNDS [SECONDS [NAMES [QUEUES]]]]

It starts a node of its own (``make cassandra`` comes first) and ends it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import attrs

from bench import figures
from bench.servers import KEY, ROOT, batch, free_port, loading, make_queue, post_batch, request, serving
from tests.live.cassandra.nodes import Cluster, running

CONNECTIONS: Final = 64
BATCH: Final = 100
FEW_NAMES: Final = 10_000
CLIENTS: Final = 32
"""Connections over which queues are made."""

FORM: Final = "application/x-www-form-urlencoded"
POST: Final = request("POST", "/v1/bench/q", b"x" * 140, Content_Type="text/plain")
BATCHES: Final = request("POST", "/v1/bench/q", batch(BATCH, 140), Content_Type="application/json")
PAGE: Final = request("GET", "/v1/bench/page?limit=100")


@attrs.frozen
class FrontEnd:
    """A daemon on the cluster."""

    port: int
    pid: int


@contextmanager
def front_end(
    folder: Path, cluster: Cluster, keyspace: str, frontends: str, server: str = "", more: str = ""
) -> Iterator[FrontEnd]:
    """Serve from a keyspace until the block ends, once the storage answers.

    :param server: more lines for ``[server]``; and ``more``: more sections.
    """
    folder.mkdir()
    port = free_port()
    ini = folder / "queuey.ini"
    ini.write_text(
        f"[server]\nhttp = tcp:{port}:interface=127.0.0.1\n{server}"
        f"[storage]\nbackend = cassandra\nhost = {cluster.hosts[0]}:{cluster.port}\ndatabase = {keyspace}\n"
        f"frontends = {frontends}\n"
        f"[application_keys]\nbench = {KEY}\nfew = {KEY}-few\nmany = {KEY}-many\n"
        f"[logging]\nfile = {folder / 'queuey.log'}\n{more}"
    )
    twistd = str(Path(sys.executable).parent / "twistd")
    command = [twistd, "--nodaemon", f"--pidfile={folder / 'twistd.pid'}", "queuey", "--config", str(ini)]
    with serving(command, port, folder / "output") as process:
        _wait_for_storage(port)
        yield FrontEnd(port, process.pid)


def _wait_for_storage(port: int) -> None:
    for _ in range(600):
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/__heartbeat__")
        status = connection.getresponse().status
        connection.close()
        if status == 200:
            return
        time.sleep(0.1)
    raise SystemExit("the storage did not answer within 60 seconds")


def raw(cluster: Cluster, keyspace: str, what: str, seconds: float, in_flight: int = CONNECTIONS) -> float:
    """Requests a second of the driver by itself."""
    command = [sys.executable, "-m", "bench.raw_driver", cluster.hosts[0], str(cluster.port), keyspace, what]
    command += [str(in_flight), str(seconds)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=seconds + 120).stdout
    return float(figures.good(f"the driver ({what})", json.loads(output))["rate"])


def against_the_driver(cluster: Cluster, folder: Path, rounds: int, seconds: float) -> None:
    """One front end and the driver by itself."""
    with front_end(folder / "one", cluster, "bench", "one") as one:
        for queue in ("q", "page"):
            make_queue(one.port, queue)
        for _ in range(10):
            post_batch(one.port, "page", BATCH, 140)
        for what, asked, kind, at_least in (
            ("POST", POST, "post", 0.35),
            (f"batch of {BATCH}", BATCHES, "batch", 0.6),
            ("page of 100", PAGE, "page", 0.5),
        ):
            sides = {
                f"{what}, queuey": partial(figures.rate, "queuey", one.port, CONNECTIONS, seconds, asked),
                f"{what}, driver": partial(raw, cluster, "bench", kind, seconds),
            }
            ours, theirs = figures.alternating(rounds, sides).values()
            figures.show(f"{what}, queuey / driver", ours / theirs, at_least=at_least)


def two_against_one(cluster: Cluster, folder: Path, rounds: int, seconds: float) -> None:
    """Two front ends, and one of them alone."""
    with ExitStack() as stack:
        ends = [stack.enter_context(front_end(folder / name, cluster, "benchmany", "many")) for name in ("a", "b")]
        make_queue(ends[0].port, "q")
        sides = {
            "POSTs, one front end": partial(together, ends[:1], seconds),
            "POSTs, two front ends": partial(together, ends, seconds),
        }
        one, two = figures.alternating(rounds, sides).values()
        figures.show("two front ends / one", two / one)


def together(ends: list[FrontEnd], seconds: float) -> float:
    """POSTs a second over all of some front ends at once."""
    with ExitStack() as stack:
        each = CONNECTIONS // len(ends)
        loads = [stack.enter_context(loading(end.port, each, seconds, POST)) for end in ends]
        return sum(float(figures.good("queuey", one.finish())["rate"]) for one in loads)


def listing(cluster: Cluster, folder: Path, rounds: int, seconds: float, many: int) -> None:
    """Pages of names among few queues and among many."""
    with front_end(folder / "names", cluster, "bench", "one") as end:
        sides: dict[str, Callable[[], float]] = {}
        for application, number in (("few", FEW_NAMES), ("many", many)):
            raw(cluster, "bench", f"names={application}:{number}", 3600, 256)
            asked = request("GET", f"/v1/{application}?limit=100&offset=q{{NUMBER}}")
            asked = asked.replace(KEY.encode(), f"{KEY}-{application}".encode())
            measure = partial(figures.rate, "queuey", end.port, 8, seconds, asked, number - 200)
            sides[f"pages of 100 names among {number}"] = measure
        few, lots = figures.alternating(rounds, sides).values()
        figures.show(f"pages of names among {many} / among {FEW_NAMES}", lots / few, at_least=0.75)


def many_queues(cluster: Cluster, folder: Path, number: int) -> None:
    """Make many queues through the API, post a message to each, and look at the front end's memory."""
    with front_end(folder / "queues", cluster, "bench", "one") as end:
        made = 0
        for upto in (number // 10, number):
            numbers = range(made, upto)
            for what, path, body, content_type in (
                ("queues made", "/v1/bench", b"queue_name=n%07d", FORM),
                ("messages posted", "/v1/bench/n%07d", b"x" * 140, "text/plain"),
            ):
                began = time.monotonic()
                with ThreadPoolExecutor(CLIENTS) as pool:
                    shares = [numbers[start::CLIENTS] for start in range(CLIENTS)]
                    list(pool.map(partial(each, end.port, path, body, content_type), shares))
                print(f"{what}: {len(numbers) / (time.monotonic() - began):.0f}/s")
            made = upto
            print(f"with {made} queues: {figures.memory(end.pid).resident / figures.MIB:.0f} MiB", flush=True)


def each(port: int, path: str, body: bytes, content_type: str, numbers: Sequence[int]) -> None:
    """POST once for each number, over one connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Application {KEY}", "Content-Type": content_type}
    for number in numbers:
        where = path % number if "%" in path else path
        connection.request("POST", where, body % number if b"%" in body else body, headers)
        answer = connection.getresponse()
        if answer.read() and answer.status != 201:
            raise SystemExit(f"POST {where} was answered {answer.status}")
    connection.close()


def main(rounds: int, seconds: float, names: int, queues: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name, running(1, Path(name) / "node") as cluster:
        folder = Path(name)
        against_the_driver(cluster, folder, rounds, seconds)
        two_against_one(cluster, folder, rounds, seconds)
        if names:
            listing(cluster, folder, rounds, seconds, names)
        if queues:
            many_queues(cluster, folder, queues)


if __name__ == "__main__":
    given, defaults = sys.argv[1:], ("5", "3", "1000000", "100000")
    rounds, seconds, names, queues = (*given, *defaults[len(given) :])
    main(int(rounds), float(seconds), int(names), int(queues))
