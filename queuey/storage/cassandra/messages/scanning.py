"""Reading a range of one partition: its buckets in the order of the window, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred, succeed

from queuey.model.exports import Head
from queuey.model.messages.message import Message
from queuey.model.timeid import HIGHEST, MessageId, Ticks, successor, ticks_of
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.cluster.port import Row, Statement
from queuey.storage.cassandra.messages.buckets import EARLY, Bucket, implied
from queuey.storage.cassandra.messages.reads import Range, Reads, View
from queuey.storage.cassandra.messages.stored import EXPIRES, WRITTEN, is_open
from queuey.storage.cassandra.messages.undecided import Decided

F = TypeVar("F")

MAX_BUCKETS: Final = 16
"""Buckets of one partition that are read at once."""


@attrs.frozen
class BucketRows:
    """Rows that were read of a range of one bucket, and whether there may be more."""

    asked: Range
    rows: Sequence[Row]
    full: bool


class Scan(Generic[F]):
    """A range of one partition, read in rounds.

    Each round reads, at the same time, the buckets at the position that was reached and some that follow. The normal
    and the long class have buckets of different lengths, which overlap; so a round covers one range of ids in all of
    them, and ends before the first bucket that may have more.

    :param lower: ids at or above it, and below ``upper``.
    :param hasty: whether to skip undecided messages without asking about them.
    :ivar rounds: how many there were.
    :ivar passed: rows that the last round skipped, because they are not visible.
    :ivar blocked: whether it has met an undecided message: there may be more, but none of it can be shown now, and
        ``position`` is just before it.
    """

    def __init__(
        self,
        reads: Reads,
        view: View,
        partition: int,
        lower: MessageId,
        upper: MessageId,
        descending: bool,
        hasty: bool = False,
    ) -> None:
        self._reads = reads
        self._view = view
        self._partition = partition
        self._lower = lower
        self._upper = upper
        self._descending = descending
        self._hasty = hasty
        self._left: list[Bucket] = []
        self._width = 1
        self._early: BucketRows | None = None
        self.rounds = 0
        self.passed = 0
        self.blocked = False

    def _statement(self, kind: int) -> Statement:
        """Return the statement that reads a page of a class."""
        raise NotImplementedError

    def _seen(self, rows: list[Row]) -> None:
        """Learn from what was read."""
        raise NotImplementedError

    def _found(self, row: Row) -> F | None:
        """Return the item of a row, if it is visible."""
        raise NotImplementedError

    @property
    def position(self) -> MessageId:
        """The bound at which it goes on, in place of the lower one, or descending of the upper one."""
        return self._upper if self._descending else self._lower

    @property
    def over(self) -> bool:
        """Return whether the whole range was read."""
        return not self._left

    @property
    def ended(self) -> bool:
        """Return whether it cannot continue: the range was read, or no more of it can be shown now."""
        return self.over or self.blocked

    async def begin(self, rows: int) -> None:
        """Find out which buckets there are; the first that is read in any case is asked for messages meanwhile."""
        now = self._view.visibility.now
        own = self._ordered(self._implied(now))
        makers: list[Callable[[], Deferred[Any]]] = [
            partial(self._reads.registrations.read, self._view.incarnation, self._partition, now, self._view.level)
        ]
        if own:
            makers.append(partial(self._page, self._clip(own[0], self._lower, self._upper), rows))
        registered, *pages = await read_all(makers)
        self._early = pages[0] if pages else None
        self._left = self._ordered({*own, *registered})

    def _implied(self, now: Ticks) -> list[Bucket]:
        """The buckets that are looked into by themselves."""
        return implied(self._view.incarnation, now, Ticks(ticks_of(self._upper) | 0xFFF))

    def _ordered(self, buckets: set[Bucket] | list[Bucket]) -> list[Bucket]:
        """The buckets that the range touches, in the order of the window."""
        touched = [bucket for bucket in buckets if self._touches(bucket)]
        if self._descending:
            return sorted(touched, key=lambda bucket: (bucket.end, bucket.start), reverse=True)
        return sorted(touched, key=lambda bucket: (bucket.start, bucket.end))

    def _touches(self, bucket: Bucket) -> bool:
        return self._lower < self._upper and bucket.start < self._upper and bucket.end > self._lower

    async def next(self, rows: int) -> list[F]:
        """Read the next round, with so many rows of each bucket, and return the items that it finds."""
        self.rounds += 1
        lower, upper, chosen = self._descend() if self._descending else self._ascend()
        asked = [self._clip(bucket, lower, upper) for bucket in chosen]
        pages = await read_all([partial(self._page_of, one, rows) for one in asked])
        full = [page.rows[-1][0] for page in pages if page.full]
        for last in full:
            lower, upper = self._up_to(last, lower, upper)
        self._width = 1 if full else min(2 * self._width, MAX_BUCKETS)
        rows_found = self._rows(pages, lower, upper)
        decided = await self._decided(rows_found)
        if decided.end is not None:
            lower, upper = self._before(decided.end[0], lower, upper)
        self.blocked = decided.waits
        self._go_on(lower, upper)
        return self._shown(decided.rows, len(rows_found))

    def _ascend(self) -> tuple[MessageId, MessageId, list[Bucket]]:
        """The range of the next round, and the buckets in it."""
        lower = max(self._lower, self._left[0].start)
        chosen = [b for b in self._left if b.start <= lower]
        for following in self._left[len(chosen) :]:
            if len(chosen) >= self._width:
                return lower, min(following.start, self._upper), chosen
            chosen.append(following)
        return lower, self._upper, chosen

    def _descend(self) -> tuple[MessageId, MessageId, list[Bucket]]:
        upper = min(self._upper, self._left[0].end)
        chosen = [b for b in self._left if b.end >= upper]
        for following in self._left[len(chosen) :]:
            if len(chosen) >= self._width:
                return max(following.end, self._lower), upper, chosen
            chosen.append(following)
        return self._lower, upper, chosen

    def _clip(self, bucket: Bucket, lower: MessageId, upper: MessageId) -> Range:
        return Range(bucket, self._partition, max(bucket.start, lower), min(bucket.end, upper))

    def _up_to(self, last: MessageId, lower: MessageId, upper: MessageId) -> tuple[MessageId, MessageId]:
        """Return the range that is known completely if a page ended with this id, and there may be more."""
        if self._descending:
            return max(lower, last), upper
        return lower, min(upper, successor(last))

    def _go_on(self, lower: MessageId, upper: MessageId) -> None:
        """Go on after a range that was read."""
        if self._descending:
            self._upper = lower
        else:
            self._lower = upper
        self._left = [bucket for bucket in self._left if self._touches(bucket)]

    def _page_of(self, asked: Range, rows: int) -> Deferred[BucketRows]:
        """A page; the first has come already, if it was of this bucket, and has all that is asked for now."""
        early, self._early = self._early, None
        if early is not None and early.asked.bucket == asked.bucket:
            return succeed(early)
        return self._page(asked, rows)

    def _page(self, asked: Range, rows: int) -> Deferred[BucketRows]:
        values = asked.values(self._view.incarnation, rows)
        answer = self._reads.session.execute(self._statement(asked.bucket.kind), values, self._view.level)
        return answer.addCallback(lambda found: BucketRows(asked, found, len(found) >= rows))

    def _rows(self, pages: list[BucketRows], lower: MessageId, upper: MessageId) -> list[Row]:
        """The rows of a round, in the order of the window."""
        rows = [row for page in pages for row in page.rows if lower <= row[0] < upper]
        if len(pages) > 1:
            rows.sort(key=lambda row: row[0], reverse=self._descending)
        self._seen(rows)
        return rows

    async def _decided(self, rows: list[Row]) -> Decided:
        """Return those of these rows that count, up to the first undecided one."""
        visibility = self._view.visibility
        asked = [] if self._hasty else [row for row in rows if visibility.asks(self._partition, row)]
        if not asked:
            return Decided(rows, None, False)
        found = await self._reads.undecided.decide(self._view, self._partition, asked)
        counting = {row[0]: row for row in found.rows}
        known = rows if found.end is None else rows[: rows.index(found.end)]
        return Decided([counting.get(row[0], row) for row in known], found.end, found.waits)

    def _before(self, id: MessageId, lower: MessageId, upper: MessageId) -> tuple[MessageId, MessageId]:
        """The part of a range that comes before an id."""
        return (successor(id), upper) if self._descending else (lower, id)

    def _shown(self, rows: list[Row], read: int) -> list[F]:
        """Return the items of some rows."""
        shown = [found for row in rows if (found := self._found(row)) is not None]
        self.passed = read - len(shown)
        return shown


class PartitionScan(Scan[Message]):
    """Finds messages."""

    def _statement(self, kind: int) -> Statement:
        return self._reads.statements.page(kind, self._descending)

    def _seen(self, rows: list[Row]) -> None:
        sizes = [len(row[1]) for row in rows if row[1] is not None]
        self._reads.sizes.seen(self._view.incarnation.key, len(sizes), sum(sizes))

    def _found(self, row: Row) -> Message | None:
        return self._view.visibility.message(self._partition, row)


class HeadScan(Scan[Head]):
    """Finds what is there, ascending, without contents, that of the future included.

    :param start: ids at or above it.
    """

    def __init__(self, reads: Reads, view: View, partition: int, start: MessageId) -> None:
        super().__init__(reads, view, partition, start, HIGHEST, False)

    def _implied(self, now: Ticks) -> list[Bucket]:
        return implied(self._view.incarnation, now, Ticks(now + EARLY))

    def _statement(self, kind: int) -> Statement:
        return self._reads.statements.ids(kind)

    def _seen(self, rows: list[Row]) -> None:
        """Return nothing: there are no contents."""

    def _found(self, row: Row) -> Head | None:
        if is_open(row) or not self._view.visibility.shows(self._partition, row[0], row[EXPIRES], row[WRITTEN]):
            return None
        return Head(MessageId(row[0]), Ticks(row[EXPIRES]))
