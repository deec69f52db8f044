"""Many queues of the embedded store read as one log.

The first messages of all partitions are found, and then merged: of each partition no more is read than what comes next.
Ten thousand queues take a tenth of a second, so a read is a job of several turns, and other reads come in between. The
bound of the range is fixed in the first turn, and no message appears below it later, so the turns need no common
snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Final

import apsw

from queuey.model.queues.queue import Queue
from queuey.model.reading.many import ChangedQueue, Changes, ManyMerging, ManyRange, ManySlice, number_of
from queuey.model.timeid import LOWEST, MessageId
from queuey.storage.sqlite.chunks import INT64
from queuey.storage.sqlite.group_commit import NOT_YET, Again
from queuey.storage.sqlite.reading.reader import HEADS, Head, Reader, fetch

PAIRS: Final = 250
"""Partitions of queues that one turn looks at: that keeps the reading thread for some 2 ms."""

_QUEUE: Final = "SELECT partitions, purged FROM queues WHERE queue = ?"
_FIRST: Final = "SELECT min(id) FROM messages WHERE queue = ? AND partition = ? AND id >= ? AND id < ?"
_DUE: Final = "SELECT DISTINCT queue FROM future WHERE id < ?"
_NAMED: Final = "SELECT application, name, version FROM queues WHERE queue = ?"

First = tuple[MessageId, int, int, int]
"""The place of the next message of a partition: its id, the number of its queue, the partition; and the incarnation."""


class ManyRead:
    """One read; each turn continues where the last one ended."""

    def __init__(self, queues: Sequence[Queue], asked: ManyRange) -> None:
        self._asked = asked
        self._left = [queue.incarnation for queue in reversed(queues)]
        self._firsts: list[First] = []
        self._purged: list[tuple[int, MessageId]] = []
        self._ended: list[int] = []
        self._merging: ManyMerging | None = None
        self._stable = LOWEST
        self._upper = asked.upper

    def turn(self, reader: Reader) -> ManySlice | Again:
        """Look at some partitions; return the slice, or ``NOT_YET``."""
        merging = self._merging
        if merging is None:
            merging = self._merging = ManyMerging(self._asked, reader.clock)
            self._stable, self._upper = reader.stable, min(self._asked.upper, reader.stable)
        looks = PAIRS
        while self._left and looks > 0:
            looks -= self._find_firsts(reader.connection, self._left.pop())
            if not self._left:
                heapify(self._firsts)
        if self._left or not self._merge(reader, merging, looks):
            return NOT_YET
        return merging.slice(self._stable, tuple(self._purged), tuple(self._ended))

    def _find_firsts(self, connection: apsw.Connection, incarnation: int) -> int:
        """Find the first message of each partition of a queue; return the number of partitions."""
        row = connection.execute(_QUEUE, (incarnation,)).fetchone() if incarnation in INT64 else None
        if row is None:
            self._ended.append(incarnation)
            return 1
        partitions, purged = row
        if purged is not None and purged > self._asked.lower.id:
            self._purged.append((incarnation, purged))
        number, merge = number_of(incarnation), self._asked.within(incarnation, ())
        for partition in range(1, partitions + 1):
            bounds = (incarnation, partition, merge.bounds(partition)[0], self._upper)
            first = connection.execute(_FIRST, bounds).get
            if first is not None:
                self._firsts.append((first, number, partition, incarnation))
        return int(partitions)

    def _merge(self, reader: Reader, merging: ManyMerging, looks: int) -> bool:
        """Take messages in their order; return whether the slice is complete."""
        firsts, taken = self._firsts, list[tuple[int, Head]]()
        while firsts and looks > 0 and not merging.full:
            looks -= 1
            id, number, partition, incarnation = heappop(firsts)
            rows = reader.connection.execute(HEADS[False], (incarnation, partition, id, self._upper))
            for head in rows:
                place = (head[0], number, partition)
                if firsts and place > firsts[0][:3]:
                    heappush(firsts, (*place, incarnation))
                    break
                if merging.take(incarnation, head[0], partition, head[3], head[4]):
                    taken.append((incarnation, head))
                elif merging.full:
                    break
            rows.close()
        for (incarnation, _), message in zip(taken, fetch(reader, [head for _, head in taken]), strict=True):
            merging.add(incarnation, message)
        return merging.full or not firsts


def changes(reader: Reader, mark: int | None) -> Changes:
    """Return the queues that were changed since a mark.

    Delayed messages show as soon as a later one is stored. They are in ``future`` until the sweeper notes their queues.
    """
    mark, numbers, over = reader.change_log.since(mark, reader.committed)
    if numbers is None:
        return Changes(mark, reader.stable, None)
    numbers |= {queue for (queue,) in reader.connection.execute(_DUE, (reader.stable,))}
    found, ended = list[ChangedQueue](), list[int]()
    for number in sorted(numbers):
        row: tuple[str, str, str] | None = reader.connection.execute(_NAMED, (number,)).fetchone()
        if row is None:
            ended.append(number)
        else:
            found.append(ChangedQueue(number, *row))
    return Changes(mark, reader.stable, tuple(found), tuple(ended), over)
