"""Ranges of reads, and slices of them that fit in memory."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import attrs

from queuey.model.messages.columns import Columns
from queuey.model.messages.message import Address, Message
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, Ticks, successor

SLICE_ROWS: Final = 1000
"""Maximum number of messages in one slice."""

SLICE_BYTES: Final = 1 << 20
"""A slice ends with the message that brings its bodies to this size."""

Messages = tuple[Message, ...] | Columns
"""Messages that were read."""

Rest = TypeVar("Rest", covariant=True)


@attrs.frozen
class Window:
    """A range of ids, read in one or several partitions, one partition after another in the order given.

    :ivar lower: ids at or above it.
    :ivar upper: ids below it.
    :ivar limit: messages of each partition, at most.
    :ivar first_limit: what is left of ``limit`` in the first partition, if a slice before has used some of it.
    :ivar resume: where the first partition continues: a lower bound (descending: an upper bound) in place of the other.
    """

    partitions: tuple[int, ...]
    lower: MessageId = LOWEST
    upper: MessageId = HIGHEST
    descending: bool = False
    limit: int = 100
    first_limit: int | None = None
    resume: MessageId | None = None

    def first(self) -> tuple[MessageId, MessageId, int]:
        """The lower bound, the upper bound and the limit of the first partition."""
        lower, upper = self.lower, self.upper
        if self.resume is not None:
            lower, upper = (lower, self.resume) if self.descending else (self.resume, upper)
        return lower, upper, self.limit if self.first_limit is None else self.first_limit

    def next_partition(self) -> Window | None:
        """The window without its first partition; ``None`` if that was the last."""
        if len(self.partitions) == 1:
            return None
        return attrs.evolve(self, partitions=self.partitions[1:], first_limit=None, resume=None)

    def after(self, last: MessageId, taken: int) -> Window | None:
        """Return the rest after ``taken`` messages of the first partition, of which ``last`` was the last one."""
        left = self.first()[2] - taken
        if left <= 0:
            return self.next_partition()
        return attrs.evolve(self, first_limit=left, resume=last if self.descending else successor(last))


@attrs.frozen
class Slice(Generic[Rest]):
    """A piece of an answer.

    :ivar messages: in the order asked for.
    :ivar rest: what to ask for next, or ``None`` at the end.
    """

    messages: Messages
    rest: Rest | None


@attrs.frozen(order=True)
class Position:
    """A place in the log of several partitions merged by time, between two messages or at one.

    The place of a message is its id and its partition; no partition has the number 0, so ``Position(id, 0)`` is before
    every message of that id.
    """

    id: MessageId
    partition: int = 0


OLDEST: Final = Position(LOWEST)
"""Before every message."""

NEWEST: Final = Position(HIGHEST)
"""After every message."""


@attrs.frozen
class Merge:
    """A range of several partitions that are read as one log, in the order of (id, partition).

    :ivar lower: places above it, and below ``upper``; neither of the two is in the range.
    :ivar limit: maximum number of messages.
    :ivar max_bytes: maximum size of all bodies in bytes.
    :ivar owed: whether the first message is given although it alone is larger than ``max_bytes``.
    :ivar fresh: whether to show, ascending or descending, what is not stable yet: a reader that goes on may see it
        again, and may miss what comes before it.
    """

    partitions: tuple[int, ...]
    lower: Position = OLDEST
    upper: Position = NEWEST
    descending: bool = False
    limit: int = 100
    max_bytes: int = SLICE_BYTES
    owed: bool = True
    fresh: bool = False

    def bounds(self, partition: int) -> tuple[MessageId, MessageId]:
        """The range in one partition: ids at or above the first, and below the second."""
        lower, upper = self.lower, self.upper
        return (
            lower.id if partition > lower.partition else successor(lower.id),
            successor(upper.id) if partition < upper.partition else upper.id,
        )


@attrs.frozen
class MergeSlice:
    """The first part of a merged range.

    :ivar messages: in the order asked for.
    :ivar position: how far the range was read: a reader that continues there misses no message and sees none twice.
        Ascending it is never above the stable time, nor below the lower end of the range.
    :ivar over: whether the end of the range was reached, as far as it is visible now.
    :ivar stable: the bound at which readers stop; below it the log is complete.
    :ivar purged: the bound up to which one of the partitions, at least, was purged; ``LOWEST`` if none was.
    :ivar later: the addresses of the messages that follow ``messages`` on a page of many slices, in portions that fit
        in a slice; they are read when they are sent. Stores leave it empty.
    """

    messages: Messages
    position: Position
    over: bool
    stable: MessageId
    purged: MessageId = LOWEST
    later: tuple[tuple[Address, ...], ...] = ()


class Merging:
    """The first part of a merged range in the making: it is shown each message in the order asked, until it is full.

    :param now: messages that have expired by then are skipped.
    :ivar full: whether the part ends before the message that was shown last.
    """

    def __init__(self, merge: Merge, now: Ticks) -> None:
        self._merge = merge
        self._now = now
        self._left = merge.limit
        self._rows = SLICE_ROWS
        self._bytes = 0
        self._most = min(merge.max_bytes, SLICE_BYTES)
        self._place: tuple[MessageId, int] | None = None
        self.full = False

    def take(self, id: MessageId, partition: int, expires: Ticks, size: int) -> bool:
        """Whether the next message is of the part.

        :param size: bytes of its body.
        """
        taken = expires > self._now
        fits = self._bytes + size <= self._most or self._comes_alone(size)
        if self._rows == 0 or (taken and (self._left <= 0 or not fits)):
            self.full = True
            return False
        self._rows -= 1
        self._place = id, partition
        if taken:
            self._left -= 1
            self._bytes += size
        return taken

    def _comes_alone(self, size: int) -> bool:
        """Whether a message that is larger than the remaining size may come alone."""
        return self._left == self._merge.limit and (self._merge.owed or size <= self._merge.max_bytes)

    def take_all(self, last: MessageId, partition: int, *, full: bool) -> None:
        """Take all of one partition at once, if no message has expired and all that was shown fits.

        :param last: the id of the last of them.
        :param full: whether one more was shown.
        """
        self._place, self.full = (last, partition), full

    def slice(self, messages: Messages, stable: MessageId, purged: MessageId) -> MergeSlice:
        """The part; unless it is full, everything of the range was shown.

        :param messages: those that were taken.
        """
        merge = self._merge
        if self.full and self._place is not None:
            position = Position(*self._place)
        elif self.full:
            position = merge.upper if merge.descending else merge.lower
        else:
            position = merge.lower if merge.descending else max(merge.lower, min(merge.upper, Position(stable)))
        return MergeSlice(messages, position, not self.full, stable, purged)


WindowSlice = Slice[Window]
LookupSlice = Slice[tuple[Address, ...]]
