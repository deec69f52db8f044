"""Counts the messages of a queue, and finds their ids, by reading all of them up to a limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from queuey.deferreds import deferred
from queuey.model.messages.columns import content_bytes
from queuey.model.messages.message import Address, Message
from queuey.model.reading.depth import Depth
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, Ticks, successor, ticks_of
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.messages.buckets import EARLY, Bucket, implied
from queuey.storage.cassandra.messages.reads import Range, Reads, View
from queuey.storage.cassandra.messages.stored import EXPIRES, WRITTEN, is_open

PAGE: Final = 5000
"""Ids in one page: some 200 KiB."""


SAMPLE: Final = 100
"""Messages whose bodies are read to estimate the bytes of a queue."""


@attrs.frozen
class Counted:
    """How many messages there are.

    :ivar some: the addresses of the first ``SAMPLE`` of them that were found.
    :ivar all: whether none is left that was not looked at.
    """

    messages: int
    some: Sequence[Address]
    all: bool

    def depth(self, sample: Sequence[Message], oldest: Ticks | None, *, known: bool) -> Depth:
        """Return what the queue holds, with bytes that are estimated unless all messages are in the sample.

        :param sample: the messages at ``some``.
        :param oldest: the time of the oldest message, and ``known`` whether that is certain.
        """
        size = content_bytes(sample)
        whole = self.all and len(sample) == self.messages
        estimate = size if whole else size * self.messages // max(1, len(sample))
        return Depth(self.messages, estimate, oldest, approximate=not (whole and known))


class Everything:
    """Walks through all messages of a queue that are there, those of the future included.

    :param stable: the bound that readers of scans stop at: ids of ours may be ahead of the clock.
    :param most: messages to look at at the most, expired and removed ones included.
    """

    def __init__(self, reads: Reads, view: View, stable: MessageId, most: int) -> None:
        self._reads = reads
        self._view = view
        last = Ticks(max(view.visibility.now, ticks_of(stable)) + EARLY)
        self._implied = implied(view.incarnation, view.visibility.now, last)
        self._left = most

    async def count(self, partitions: Sequence[int], most: int) -> Counted:
        """Count the messages of these partitions, up to ``most``."""
        counted, some = 0, list[Address]()

        def seen(addresses: list[Address]) -> bool:
            nonlocal counted
            counted += len(addresses)
            some.extend(addresses[: SAMPLE - len(some)])
            return counted < most

        await self._walk(partitions, LOWEST, HIGHEST, seen)
        return Counted(min(counted, most), some, self._left > 0)

    async def below(self, partition: int, bound: MessageId) -> list[Address]:
        """The messages of a partition that are below a bound."""
        found: list[Address] = []

        def seen(addresses: list[Address]) -> bool:
            found.extend(addresses)
            return True

        await self._walk([partition], LOWEST, bound, seen)
        return found

    async def above(self, partitions: Sequence[int], bound: MessageId, most: int) -> list[Address]:
        """The messages of these partitions that are at or above a bound, up to ``most``; sorted."""
        found: list[Address] = []

        def seen(addresses: list[Address]) -> bool:
            found.extend(addresses)
            return len(found) < most

        await self._walk(partitions, bound, HIGHEST, seen)
        return sorted(found, key=lambda address: (address.partition, address.id))[:most]

    async def _walk(
        self, partitions: Sequence[int], lower: MessageId, upper: MessageId, seen: Callable[[list[Address]], bool]
    ) -> None:
        buckets = await read_all([partial(self._buckets, partition, lower, upper) for partition in partitions])
        await read_all(
            [
                partial(self._walk_one, partition, bucket, lower, upper, seen)
                for partition, some in zip(partitions, buckets, strict=True)
                for bucket in some
            ]
        )

    @deferred
    async def _buckets(self, partition: int, lower: MessageId, upper: MessageId) -> list[Bucket]:
        view = self._view
        registered = await self._reads.registrations.read(view.incarnation, partition, view.visibility.now, view.level)
        return [bucket for bucket in {*self._implied, *registered} if bucket.start < upper and lower < bucket.end]

    @deferred
    async def _walk_one(
        self,
        partition: int,
        bucket: Bucket,
        lower: MessageId,
        upper: MessageId,
        seen: Callable[[list[Address]], bool],
    ) -> None:
        statement = self._reads.statements.ids(bucket.kind)
        lower, upper = max(bucket.start, lower), min(bucket.end, upper)
        while self._left > 0:
            asked = Range(bucket, partition, lower, upper)
            rows = await self._execute(statement, asked)
            self._left -= len(rows)
            shown = [
                Address(partition, MessageId(row[0]))
                for row in rows
                if not is_open(row) and self._view.visibility.shows(partition, row[0], row[EXPIRES], row[WRITTEN])
            ]
            if not seen(shown):
                self._left = 0
            if len(rows) < PAGE:
                return
            lower = successor(MessageId(rows[-1][0]))

    def _execute(self, statement: Any, asked: Range) -> Deferred[Sequence[Any]]:
        return self._reads.session.execute(statement, asked.values(self._view.incarnation, PAGE), self._view.level)
