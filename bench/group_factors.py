"""What claims and settlements take of the writing thread with many groups, and with many messages in flight.

Two stores in this process take turns, batch by batch, without network and reactor: one with a thousand groups, each of
a queue of its own, that are claimed from in turn, and one with a single group; then one group with 100,000 messages in
flight, and one with 100. Each batch has claims of one message, and settlements of what the batch before has claimed.
Printed are the ratios of the processor time of one command, in the median, and of its function calls.

    python -m bench.group_factors [ROUNDS [GROUPS [OPEN]]]
"""

from __future__ import annotations

import cProfile
import gc
import statistics
import tempfile
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import Number, run
from bench.group_writing import Bench
from queuey.model.groups.commands import Take
from queuey.model.timeid import SECOND, Ticks
from queuey.service.process.tuning import collect_less

BATCH: Final = 16
"""Claims in one batch."""

CLAIM: Final = 1000
"""Messages of one claim of those that stay in flight."""

FEW: Final = 100
"""Messages in flight of the group with few."""

LONG: Final = Ticks(86_400 * SECOND)
PROFILED: Final = 20
"""Batches whose calls are counted."""


def main(rounds: int, groups: int, opened: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        batches = rounds + PROFILED + 2 * -(-groups // BATCH)
        many = Bench(folder / "many", groups)
        many.fill(-(-batches * BATCH // groups) + 1)
        one = Bench(folder / "one")
        one.fill(batches * BATCH)
        for _ in range(2 * -(-groups // BATCH)):  # every group is claimed from, and cached
            many.round(BATCH, 1, False)
        compare(f"{groups} groups in turn / one", many, one, rounds, 1 / 0.8)
        large = in_flight(folder / "large", opened, rounds)
        small = in_flight(folder / "small", FEW, rounds)
        compare(f"{opened} in flight / {FEW}", large, small, rounds, 1.3)


def in_flight(folder: Path, count: int, rounds: int) -> Bench:
    """A store with one group that has so many messages in flight, and enough that were not given yet."""
    bench = Bench(folder)
    bench.fill(count + (rounds + PROFILED + 1) * BATCH)
    for start in range(0, count, CLAIM):
        bench.work(bench.job(0, [Take((1,), min(CLAIM, count - start), LONG, 1 << 30)]))
    return bench


def compare(what: str, left: Bench, right: Bench, rounds: int, at_most: float) -> None:
    """Let two stores take turns, and print the ratio of what a command takes."""
    gc.collect()
    collect_less()
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        sides = ((left, times[0]), (right, times[1]))
        for bench, found in sides if number % 2 else reversed(sides):
            took, commands = bench.round(BATCH, 1, False)
            found.append(took / commands)
    medians = [1e6 * statistics.median(found) for found in times]
    print(f"{what}: {medians[0]:.1f} us and {medians[1]:.1f} us a command", flush=True)
    figures.show(f"{what}, function calls", calls(left) / calls(right))
    figures.show(f"{what}, processor time", medians[0] / medians[1], at_most=at_most)


def calls(bench: Bench) -> float:
    """The function calls of one command."""
    profile = cProfile.Profile()
    profile.enable()
    number = sum(bench.round(BATCH, 1, False)[1] for _ in range(PROFILED))
    profile.disable()
    return sum(entry.callcount for entry in profile.getstats()) / number


if __name__ == "__main__":
    run(main, rounds=Number(400), groups=Number(1000), opened=Number(100_000))
