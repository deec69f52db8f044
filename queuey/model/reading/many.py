"""Many queues read as one log: places in it, ranges of it, and slices of ranges.

The ids of a store rise over all of its queues, so everything up to a place, in any number of queues, is one place of
constant size. Two queues may have messages with the same id, because clients may put messages under ids of their own:
a number of the queue distinguishes these.
"""

from __future__ import annotations

import hashlib
from typing import Final

import attrs

from queuey.model.messages.message import Message
from queuey.model.queues.queue import MAX_PARTITIONS
from queuey.model.reading.window import SLICE_BYTES, Merge, Merging, Position
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, Ticks

MAX_QUEUES: Final = 10_000
"""Queues, or (queue, partition) pairs, that one read may look at."""

_NUMBERS: Final = 1 << 64


def number_of(incarnation: int) -> int:
    """Return a number of 64 bits that distinguishes queues that have messages of the same id.

    The incarnations of an embedded store are such numbers. Those of Cassandra are longer, and are hashed.
    """
    if incarnation < _NUMBERS:
        return incarnation
    digest = hashlib.blake2b(incarnation.to_bytes((incarnation.bit_length() + 7) // 8, "big"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


@attrs.frozen(order=True)
class StorePosition:
    """A place in the log of all queues of a store, in the order of ids.

    :ivar queue: the ``number_of`` the queue; 0 is before every queue.
    """

    id: MessageId
    queue: int = 0
    partition: int = 0

    def within(self, incarnation: int) -> Position:
        """Return the same place in the log of one queue."""
        number = number_of(incarnation)
        if number == self.queue:
            return Position(self.id, self.partition)
        return Position(self.id, MAX_PARTITIONS if number < self.queue else 0)


STORE_OLDEST: Final = StorePosition(LOWEST)
"""Before every message of a store."""


def after_id(id: MessageId) -> StorePosition:
    """Return the place after all messages with an id."""
    return StorePosition(id, _NUMBERS - 1, MAX_PARTITIONS)


def position_of(incarnation: int, message: Message) -> StorePosition:
    """Return the place of a message."""
    return StorePosition(message.id, number_of(incarnation), message.partition)


@attrs.frozen
class ManyRange:
    """A range of the log of many queues, read in rising order.

    :ivar lower: messages above this place.
    :ivar upper: messages whose ids are below this bound.
    :ivar limit: maximum number of messages.
    :ivar max_bytes: maximum size of all bodies in bytes; a larger message comes alone.
    :ivar fresh: whether to include messages above the stable time; see ``Merge.fresh``.
    """

    lower: StorePosition = STORE_OLDEST
    upper: MessageId = HIGHEST
    limit: int = 100
    max_bytes: int = SLICE_BYTES
    fresh: bool = False

    def within(self, incarnation: int, partitions: tuple[int, ...]) -> Merge:
        """Return the part of the range that is of one queue."""
        lower, upper = self.lower.within(incarnation), Position(self.upper)
        return Merge(partitions, lower, upper, limit=self.limit, max_bytes=self.max_bytes, fresh=self.fresh)


@attrs.frozen
class ManySlice:
    """The first part of a range of many queues.

    :ivar messages: in the order of their places.
    :ivar queues: the incarnation of the queue of each message.
    :ivar position: how far the range was read: a reader that continues there misses no message and sees none twice. It
        is never above the least stable time of the queues.
    :ivar over: whether the end of the range was reached, as far as it is visible now.
    :ivar stable: the bound below which all of the queues are complete.
    :ivar purged: incarnations of queues that were purged beyond the lower end of the range, with the bound of each.
    :ivar ended: incarnations that do not exist any more.
    """

    messages: tuple[Message, ...]
    queues: tuple[int, ...]
    position: StorePosition
    over: bool
    stable: MessageId
    purged: tuple[tuple[int, MessageId], ...] = ()
    ended: tuple[int, ...] = ()


class ManyMerging:
    """The first part of a range of many queues in the making: it is shown each message in order, until it is full.

    :param now: messages that have expired by then are passed over.
    :ivar messages: those that were taken, with the incarnation of each in ``queues``.
    """

    def __init__(self, asked: ManyRange, now: Ticks) -> None:
        self.messages: list[Message] = []
        self.queues: list[int] = []
        self._asked = asked
        self._merging = Merging(Merge((), limit=asked.limit, max_bytes=asked.max_bytes), now)
        self._place = asked.lower

    @property
    def full(self) -> bool:
        """Return whether the part ends before the message that was shown last."""
        return self._merging.full

    def take(self, incarnation: int, id: MessageId, partition: int, expires: Ticks, size: int) -> bool:
        """Return whether the next message is of the part.

        :param size: bytes of its body.
        """
        taken = self._merging.take(id, partition, expires, size)
        if not self._merging.full:
            self._place = StorePosition(id, number_of(incarnation), partition)
        return taken

    def add(self, incarnation: int, message: Message) -> None:
        """Add a message that ``take`` has taken."""
        self.messages.append(message)
        self.queues.append(incarnation)

    def slice(
        self, stable: MessageId, purged: tuple[tuple[int, MessageId], ...] = (), ended: tuple[int, ...] = ()
    ) -> ManySlice:
        """Return the part; unless it is full, everything of the range was shown."""
        asked, full = self._asked, self._merging.full
        end = self._place if full else StorePosition(min(asked.upper, stable))
        position = max(asked.lower, min(end, StorePosition(stable)))
        return ManySlice(tuple(self.messages), tuple(self.queues), position, not full, stable, purged, ended)


@attrs.frozen
class ChangedQueue:
    """A queue in which something was written or removed, or whose settings were changed, or which was created.

    :ivar version: of its settings, as it is now.
    """

    incarnation: int
    application: str
    name: str
    version: str


@attrs.frozen
class Changes:
    """The queues of a store that were changed since a mark.

    :ivar mark: where the next call goes on.
    :ivar stable: the bound below which all messages were written before this was found out; it is valid if this is the
        last part.
    :ivar queues: each once; ``None`` if it is not known, so that any queue may have been changed.
    :ivar ended: incarnations that were deleted.
    :ivar over: whether this is the last part.
    """

    mark: int
    stable: MessageId
    queues: tuple[ChangedQueue, ...] | None
    ended: tuple[int, ...] = ()
    over: bool = True


UNKNOWN: Final = Changes(0, LOWEST, None)
"""Returned by stores that do not know their changes."""
