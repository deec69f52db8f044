"""Reports of queues for operators with a million queues, against a thousand: they have to take as long.

Both folders are filled through the store, with a message in each queue, and served by one daemon each. Messages are
posted to random queues, of which the busiest are known then. Printed are the milliseconds that a page of 100 queues
takes: the busiest of all, those after the busiest, those by name from the middle on, and those with a prefix.

    python -m bench.queue_reports [COUNT [ROUNDS]]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import attrs

from bench import figures
from bench.arguments import Number, run
from bench.folders import fill_with_queues
from bench.servers import free_port, queuey_command, request, serving
from queuey.cli.ops import call, connect

FEW = 1000
PAGE = 100
BUSY = 2.0
"""Seconds for which messages are posted."""

CONNECTIONS = 32
POST = request("POST", "/v1/bench/q{NUMBER}", b"x" * 140, Content_Type="text/plain")


@attrs.frozen
class Side:
    """A daemon with its queues."""

    queues: int
    port: int
    socket: Path

    def report(self, **asked: Any) -> Any:
        """Ask for a report."""
        connection = connect(f"unix:{self.socket}")
        try:
            return call(connection, "queues.report", {"limit": PAGE, **asked}, None)
        finally:
            connection.close()


@contextmanager
def serve(queues: int) -> Iterator[Side]:
    """Fill a folder, and serve it until the block ends."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        fill_with_queues(folder, queues, 140)
        port = free_port()
        with serving(queuey_command(folder, port), port, folder / "servers.log"):
            yield Side(queues, port, folder / "data" / "queuey-ops.sock")


def pages(side: Side) -> dict[str, dict[str, Any]]:
    """What is asked for, by what it is."""
    listing = side.report(sort="stored")
    while "/" not in listing["next"]:
        listing = side.report(sort="stored", after=listing["next"])
    middle = f"q{side.queues // 2:07d}"
    return {
        "the busiest": {"sort": "stored", "history": True},
        "those after the busiest": {"sort": "stored", "after": listing["next"]},
        "by name, from the middle": {"sort": "name", "after": f"bench/{middle}"},
        "by a prefix": {"sort": "stored", "prefix": f"q{side.queues // 2 - 1:07d}"[:-2]},
    }


def taken(side: Side, asked: dict[str, Any]) -> float:
    """The milliseconds of a report."""
    began = time.perf_counter()
    found = side.report(**asked)
    took = time.perf_counter() - began
    if any(one["messages"] is None for one in found["queues"]):
        raise SystemExit(f"a report was {found}")
    return 1000 * took


def main(count: int, rounds: int) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        few, many = (stack.enter_context(serve(queues)) for queues in (FEW, count))
        for side in (few, many):
            figures.rate(f"{side.queues} queues", side.port, CONNECTIONS, BUSY, POST, side.queues)
            time.sleep(1.1)
        found = [pages(side) for side in (few, many)]
        for what in found[0]:
            ask = [partial(taken, side, asked[what]) for side, asked in zip((few, many), found, strict=True)]
            times = list(zip(*[[one() for one in ask] for _ in range(rounds)], strict=True))
            few_took, many_took = (median(one) for one in times)
            print(f"{what}: {few_took:.1f} ms with {FEW} queues, {many_took:.1f} ms with {count}", flush=True)
            figures.show(f"{what}, {count} / {FEW}", many_took / few_took, at_most=3.0)


if __name__ == "__main__":
    run(main, count=Number(1_000_000, least=FEW), rounds=Number(20))
