"""A million queues with one message each, against a thousand: what they cost in memory and in time.

Both folders are filled through the store, in random order, and served by one daemon each at the same time; the two
take turns. POSTs, reads of the newest message and pages of the listing go to random queues. The newest message comes
from the store on both sides; ascending pages of a thousand queues would all be kept in memory. The page caches of both
have the default size and are filled before memory is looked at, by a queue that is larger than they are; so is what the
daemon keeps of the pages that it has answered.

    python -m bench.million [COUNT [ROUNDS [SECONDS]]]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import attrs

from bench import figures
from bench.arguments import SECONDS, Number, run
from bench.figures import MIB
from bench.folders import fill_with_queues
from bench.servers import KEY, ask, free_port, make_queue, post_batch, queuey_command, request, serving

FEW = 1000
CONNECTIONS = 32
CACHE = 16 * MIB
"""Of each of the two connections to the database: the default of the setting."""

PAGE = 100
"""Names in a page of the listing; the last ones are not asked for, so that all pages are full."""

FILLERS = 2
"""Queues that are there besides."""

FILLING = 10.0
"""Seconds of reading pages of one message from different bounds, of which some 13,000 are kept."""

REQUESTS = {
    "POST": request("POST", "/v1/bench/q{NUMBER}", b"x" * 140, Content_Type="text/plain"),
    "read of the newest": request("GET", "/v1/bench/q{NUMBER}?limit=1&order=descending"),
    "page of the listing": request("GET", f"/v1/bench?limit={PAGE}&offset=q{{NUMBER}}"),
}


@attrs.frozen
class Side:
    """A daemon with its queues."""

    queues: int
    port: int
    pid: int

    def __str__(self) -> str:
        return f"{self.queues} queues"


def main(count: int, rounds: int, seconds: float) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        few, many = (stack.enter_context(serve(queues)) for queues in (FEW, count))
        for side in (few, many):
            fill_caches(side.port)
        for what, text in REQUESTS.items():
            sides = {
                f"{what}, {side}": partial(
                    figures.rate, str(side), side.port, CONNECTIONS, seconds, text, side.queues - PAGE
                )
                for side in (few, many)
            }
            with_few, with_many = figures.alternating(rounds, sides).values()
            figures.show(f"{what}, {many} / {few}", with_many / with_few, at_least=0.75)
        show_memory(few, many)
        show_names(many)


@contextmanager
def serve(queues: int) -> Iterator[Side]:
    """Fill a folder, and serve it until the block ends."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        began = time.monotonic()
        fill_with_queues(folder, queues, 140)
        print(f"{queues} queues were made in {time.monotonic() - began:.0f} s", flush=True)
        port = free_port()
        with serving(queuey_command(folder, port), port, folder / "servers.log") as process:
            yield Side(queues, port, process.pid)


def fill_caches(port: int) -> None:
    """Write more than the writer's cache holds, and read it; its rows are small, for large ones pass the cache by.

    Then read more pages than the daemon keeps.
    """
    make_queue(port, "filler", 200)
    for _ in range(2 * CACHE // (1000 * 900)):
        post_batch(port, "filler", 1000, 900)
    for partition in range(1, 201):
        ask(port, "GET", f"/v1/bench/filler?limit=1000&partitions={partition}")
    make_queue(port, "one")
    post_batch(port, "one", 1, 140)
    different = request("GET", "/v1/bench/one?limit=1&since={NUMBER}")
    figures.rate("queuey", port, CONNECTIONS, FILLING, different, 1_000_000)


def show_memory(few: Side, many: Side) -> None:
    """Print what both have in memory besides the page caches."""
    sizes = []
    for side in (few, many):
        resident = figures.memory(side.pid).resident
        sizes.append(resident - 2 * CACHE)
        print(f"{side}: {resident / MIB:.0f} MiB resident, {sizes[-1] / MIB:.0f} MiB without the page caches")
    figures.show(f"memory, {many} / {few}", sizes[1] / sizes[0], at_most=1.2)


def show_names(side: Side) -> None:
    """Print how long the names of all queues take in one answer, and what memory."""
    before = figures.memory(side.pid).resident
    figures.forget_peak(side.pid)
    began = time.monotonic()
    names, size = count_names(side.port)
    if names != side.queues + FILLERS:
        raise SystemExit(f"the listing has {names} names")
    took, after = time.monotonic() - began, figures.memory(side.pid)
    print(f"all {names} names in one answer: {size / MIB:.1f} MiB in {took:.1f} s")
    print(
        f"memory before {before / MIB:.1f} MiB, at the most {after.peak / MIB:.1f} MiB, "
        f"afterwards {after.resident / MIB:.1f} MiB"
    )


def count_names(port: int) -> tuple[int, int]:
    """How many names the whole listing has, read piece by piece, and its bytes."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/v1/bench", headers={"Authorization": f"Application {KEY}"})
    answer = connection.getresponse()
    mark, names, size, kept = b'"queue_name":', 0, 0, b""
    while piece := answer.read(1 << 16):
        size += len(piece)
        text = kept + piece
        names += text.count(mark)
        kept = text[1 - len(mark) :]
    connection.close()
    return names, size


if __name__ == "__main__":
    run(main, count=Number(1_000_000, least=FEW), rounds=Number(3), seconds=SECONDS)
