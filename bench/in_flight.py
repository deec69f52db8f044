"""The state of a group with very many messages in flight: written as a snapshot and read back, as on Cassandra, and
read back from the rows of SQLite.

All are done in pieces, between which the reactor, or the writing thread, can do something else. Printed are the longest
piece of each, with the garbage collector set as in the daemon, and the memory that a message in flight takes.

    python -m bench.in_flight [COUNT [ROUNDS]]
"""

from __future__ import annotations

import gc
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from bench import figures
from bench.arguments import Number, run
from bench.group_writing import LEASE, Bench, done, posting
from queuey.model import fields
from queuey.model.groups.commands import Take
from queuey.model.groups.events import Leased, Reached
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.terms import Terms
from queuey.model.timeid import LOWEST, MessageId, Ticks
from queuey.service.process.tuning import collect_less
from queuey.storage.cassandra.groups.snapshots import Restoring, Snapshot
from queuey.storage.sqlite import groups
from queuey.storage.sqlite.group_commit import NOT_YET, Job
from queuey.storage.sqlite.writing.writer import Writer

CLAIM: Final = 1000
"""Messages that were given by one claim."""

SMALL: Final = b"x" * 10
"""The body of a message."""

UNDONE: Final = 500
"""Claims that are undone, of which the quickest counts."""

LIMIT: Final = 50.0
"""Milliseconds for which the reactor may be stopped."""

T = TypeVar("T")


def main(count: int, rounds: int) -> None:
    """Measure and print."""
    index = state(count)
    collect_less()
    reading, writing, memory = 0.0, 0.0, 0.0
    for _ in range(rounds):
        watch = Watch()
        snapshot = watch.piece(partial(Snapshot, index))
        chunks = [watch.piece(partial(snapshot.chunk, number)) for number in range(snapshot.chunks)]
        writing = max(writing, watch.longest)
        before = resident()
        watch, restoring = Watch(), Restoring()
        for chunk in chunks:
            watch.piece(partial(restoring.add, chunk))
        reading = max(reading, watch.longest)
        memory = max(memory, resident() - before)
        print(f"{count} in flight were read back in {watch.seconds:.2f} s", flush=True)
        if len(restoring.index.open) != count:
            raise SystemExit(f"{len(restoring.index.open)} of {count} were read back")
        del restoring
        gc.collect()
    print(f"a message in flight takes {memory / count:.0f} bytes of memory")
    few = state(CLAIM)
    times: dict[int, float] = {len(one.open): min([undoing(one) for _ in range(UNDONE)]) for one in (few, index)}
    figures.show(f"undoing a claim, {count} in flight / {CLAIM}", times[count] / times[CLAIM], at_most=2.0)
    figures.show("the longest piece of writing in ms", writing * 1000, at_most=LIMIT)
    figures.show("the longest piece of reading back in ms", reading * 1000, at_most=LIMIT)
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        longest, seconds, batches = from_rows(Path(name), count, rounds)
    print(f"SQLite: {count} in flight were read back in {seconds:.2f} s, in {batches} batches", flush=True)
    figures.show("SQLite: the longest of these batches in ms", longest * 1000, at_most=LIMIT)


def from_rows(folder: Path, count: int, rounds: int) -> tuple[float, float, int]:
    """Read a state back in the writing thread of SQLite.

    :return: the processor time of the longest batch in seconds, that of all batches, and how many batches there were.
    """
    bench = Bench(folder)
    queue, group = bench.places[0]

    def claiming(limit: int) -> Job[Writer]:
        take = Take((1,), limit, LEASE, 1 << 30)
        return Job(groups.run, (queue, group, Terms(max_in_flight=fields.MAX_IN_FLIGHT.high), (take,)), {})

    for start in range(0, count, CLAIM):
        bench.work(posting(queue, min(CLAIM, count - start), SMALL))
        bench.subject.wall.seconds += 0.01
        bench.work(claiming(CLAIM))
    longest = seconds = 0.0
    collect_less()
    for _ in range(rounds):
        done(bench.subject.reopen())
        bench.take_writer()
        batches: list[float] = []
        job = claiming(1)
        while not batches or job.result is NOT_YET:
            batches.append(bench.work(job))
        if len(bench.writer.groups.index(queue, group, 1).open) != count:
            raise SystemExit("not all were read back")
        longest, seconds = max(longest, *batches), max(seconds, sum(batches))
    done(bench.subject.close())
    return longest, seconds, len(batches)


class Watch:
    """Measures the processor time of pieces of work, which is what they stop the reactor for on an idle machine.

    :ivar longest: seconds that the longest took, and ``seconds`` that all of them took.
    """

    def __init__(self) -> None:
        self.longest = self.seconds = 0.0

    def piece(self, work: Callable[[], T]) -> T:
        """Do one piece."""
        began = time.thread_time()
        done = work()
        took = time.thread_time() - began
        self.longest = max(self.longest, took)
        self.seconds += took
        return done


def state(count: int) -> GroupIndex:
    """A state with so many messages in flight, whose leases end at different times."""
    dice = random.Random(1)
    index = GroupIndex(b"12345678", LOWEST)
    for start in range(1, count + 1, CLAIM):
        numbers = range(start, min(start + CLAIM, count + 1))
        until = Ticks((1 << 57) + dice.randrange(1 << 40))
        index.apply(Leased(start, until, tuple([MessageId(number.to_bytes(16, "big")) for number in numbers])))
        index.stored()
    index.apply(Reached(MessageId((count + 1).to_bytes(16, "big"))))
    index.stored()
    return index


def undoing(index: GroupIndex) -> float:
    """Seconds that it takes to undo a claim, as if another front end had been first."""
    first = index.last + 1
    index.apply(Leased(first, Ticks(1 << 58), (MessageId(bytes(8) + first.to_bytes(8, "little")),)))
    watch = Watch()
    watch.piece(index.undo)
    return watch.seconds


def resident() -> int:
    """Bytes of memory that this process has."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


if __name__ == "__main__":
    run(main, count=Number(100_000), rounds=Number(3))
