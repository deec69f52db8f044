"""Pages of a queue that is read as one log: slices are read one after another until a page is full.

A page may have many times the bytes of a slice. Only those of its first slices are kept which fit in one together; of
the messages behind them the addresses are kept, and they are read again, a slice at a time, as the client takes them.
"""

from __future__ import annotations

from typing import Final

import attrs
from twisted.internet.defer import Deferred

from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack
from queuey.model.messages.columns import Columns, body_bytes
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import NEWEST, SLICE_BYTES, Merge, MergeSlice, Messages, Position
from queuey.model.timeid import MessageId

MAX_SLICES: Final = 64
"""Slices that are read for one page, at most. There are many small ones if much has expired or messages are large."""


@attrs.frozen
class Slices:
    """Reads a queue at the consistency that its policy asks for."""

    store: IStore
    queue: Queue
    ack: Ack

    def __call__(self, merge: Merge) -> Deferred[MergeSlice]:
        """Read the first slice of a range."""
        return self.store.read_merged(self.queue, merge, self.ack)


async def end_of_log(look: Slices) -> MessageId:
    """Return the stable time of all partitions of a queue: every later message gets an id at or above it."""
    every = tuple(range(1, look.queue.settings.partitions + 1))
    return (await look(Merge(every, NEWEST, limit=1, max_bytes=0))).stable


def at_the_end(merge: Merge, page: MergeSlice) -> bool:
    """Return whether there is no message now, and one may come."""
    return not page.messages and page.over and merge.upper > Position(page.stable)


def onwards(merge: Merge, page: MergeSlice) -> Merge:
    """The rest of a range after an empty page of it was read."""
    return merge if merge.descending else attrs.evolve(merge, lower=page.position)


def is_whole(merge: Merge, slice: MergeSlice) -> bool:
    """Whether the first slice of a range is all of the page."""
    return slice.over or len(slice.messages) == merge.limit


async def read_page(look: Slices, merge: Merge) -> MergeSlice:
    """The slices of a range as one, until something of its limits is used up."""
    slice = await look(merge)
    return slice if is_whole(merge, slice) else await filled(look, merge, slice)


async def filled(look: Slices, merge: Merge, slice: MergeSlice) -> MergeSlice:
    """Read a page that has more than the first slice."""
    page = _Page(merge, slice)
    for _ in range(MAX_SLICES - 1):
        rest = page.rest()
        if rest is None:
            break
        page.add(await look(rest))
    return page.whole()


class Progress:
    """How far a range was read, a slice at a time.

    :ivar position: where another read continues: it misses no message and sees none twice.
    :ivar over: whether the end of the range was reached, as far as it was visible then.
    """

    def __init__(self, merge: Merge, first: MergeSlice) -> None:
        self._merge = merge
        self._place = merge.upper if merge.descending else merge.lower
        self._overtaken = False
        self._moved = True
        self.add(first)

    def add(self, slice: MergeSlice) -> None:
        """Take a slice of what ``rest`` asked for."""
        place = slice.position
        if slice.messages:
            last = Position(slice.messages[-1].id, slice.messages[-1].partition)
            place = min(place, last) if self._merge.descending else max(place, last)
        self._moved = place != self._place
        self._place = place
        if not self._overtaken:
            self.position = slice.position
            # Messages above the stable time are read later: another read begins here, however far this one goes.
            self._overtaken = place != slice.position
        self.over = slice.over

    def rest(self) -> Merge | None:
        """The part of the range that is still to be read; ``None`` if there is none, or if this read got no further."""
        if self.over or not self._moved:
            return None
        merge = self._merge
        return attrs.evolve(
            merge,
            lower=merge.lower if merge.descending else self._place,
            upper=self._place if merge.descending else merge.upper,
        )


class _Page:
    """Slices that become one."""

    def __init__(self, merge: Merge, first: MergeSlice) -> None:
        self._merge = merge
        self._messages: list[Message] = []
        self._later: list[tuple[Address, ...]] = []
        self._count = 0
        self._bytes = 0
        self._progress = Progress(merge, first)
        self._take(first)

    def add(self, slice: MergeSlice) -> None:
        """Take what was read of the rest."""
        self._progress.add(slice)
        self._take(slice)

    def _take(self, slice: MergeSlice) -> None:
        self._count += len(slice.messages)
        self._bytes += body_bytes(slice.messages)
        if self._later or (self._messages and self._bytes > SLICE_BYTES):
            self._later.append(_addresses(slice.messages))
        else:
            self._messages += slice.messages
        # No more of the slice is kept than what the page is made of.
        self._stable, self._purged = slice.stable, slice.purged

    def rest(self) -> Merge | None:
        """The part of the range that is still to be read for this page."""
        limit, room = self._merge.limit - self._count, self._merge.max_bytes - self._bytes
        if limit <= 0 or (self._count and room <= 0):
            return None
        rest = self._progress.rest()
        if rest is None:
            return None
        return attrs.evolve(rest, limit=limit, max_bytes=room, owed=self._merge.owed and not self._count)

    def whole(self) -> MergeSlice:
        """All of it."""
        later = tuple([some for some in self._later if some])
        return MergeSlice(
            tuple(self._messages),
            self._progress.position,
            self._progress.over,
            self._stable,
            self._purged,
            later=later,
        )


def _addresses(messages: Messages) -> tuple[Address, ...]:
    """Return the addresses of messages."""
    if isinstance(messages, Columns):
        return tuple([Address(messages.partition, id) for id in messages.ids])
    return tuple([Address(message.partition, message.id) for message in messages])
