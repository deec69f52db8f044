"""Many queues on Cassandra read as one log: each is read by itself, a few at a time, and the results are merged.

What comes after the first message that has no room is dropped after each few, so that not much more is held than one
slice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import attrs
from twisted.internet.defer import Deferred

from queuey.deferreds import deferred
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.many import ManyMerging, ManyRange, ManySlice, StorePosition, number_of, position_of
from queuey.model.reading.window import SLICE_BYTES, Merge, MergeSlice, Position
from queuey.model.timeid import HIGHEST, MessageId, Ticks
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.messages.views import Views

AT_ONCE: Final = 8
"""Queues that are read at the same time."""

MAX_ROUNDS: Final = 64
"""Reads of one queue for one slice: there are several if much of it has expired."""


@attrs.frozen
class Source:
    """A queue to read.

    :ivar queue: as it is now; ``None`` if it was deleted.
    :ivar asked: as the caller knows it.
    """

    asked: Queue
    queue: Queue | None
    ack: Ack


ReadOne = Callable[[Queue, Merge, Ack], Deferred[MergeSlice]]
"""Reads the first slice of a queue."""


class ManyRead:
    """One read of many queues.

    :param now: messages that have expired by then are passed over.
    """

    def __init__(self, read: ReadOne, asked: ManyRange, now: Ticks) -> None:
        self._read = read
        self._asked = asked
        self._now = now
        self._known: list[tuple[StorePosition, int, Message]] = []
        self._end: StorePosition | None = None
        self._stable = HIGHEST
        self._purged: list[tuple[int, MessageId]] = []
        self._merging = ManyMerging(asked, now)

    async def slice(self, sources: Sequence[Source]) -> ManySlice:
        """Return the first slice."""
        there = [source for source in sources if source.queue is not None]
        for start in range(0, len(there), AT_ONCE):
            some = there[start : start + AT_ONCE]
            await read_all([partial(Deferred.fromCoroutine, self._read_one(source)) for source in some])
            self._cut()
        ended = tuple([source.asked.incarnation for source in sources if source.queue is None])
        if not there:
            self._stable = self._asked.lower.id  # there is no queue whose stable time could be asked
        return self._whole(tuple(self._purged), ended)

    async def _read_one(self, source: Source) -> None:
        """Read a queue as far as the slice may reach, or until it has enough for one."""
        queue = source.queue
        assert queue is not None
        incarnation, asked = queue.incarnation, self._asked
        merge = asked.within(incarnation, tuple(range(1, queue.settings.partitions + 1)))
        merge = attrs.evolve(merge, max_bytes=min(merge.max_bytes, SLICE_BYTES))
        stable, purged = HIGHEST, None
        for _ in range(MAX_ROUNDS):
            end = self._end
            if end is not None:
                merge = attrs.evolve(merge, upper=min(merge.upper, _after(end.within(incarnation))))
            if merge.lower >= merge.upper:
                break
            part = await self._read(queue, merge, source.ack)
            stable, purged = min(stable, part.stable), part.purged
            self._known += [(position_of(incarnation, one), incarnation, one) for one in part.messages]
            if part.over:
                break
            if part.messages or part.position == merge.lower:
                self._stop_at(incarnation, part)
                break
            merge = attrs.evolve(merge, lower=part.position)
        else:
            self._stop_at(incarnation, part)
        self._stable = min(self._stable, stable)
        if purged is not None and purged > asked.lower.id:
            self._purged.append((incarnation, purged))

    def _stop_at(self, incarnation: int, part: MergeSlice) -> None:
        """Let the slice end where a queue that has more was read to."""
        place = part.position
        if part.messages:
            last = part.messages[-1]
            place = max(place, Position(last.id, last.partition))
        self._stop(_place_of(incarnation, place))

    def _stop(self, place: StorePosition) -> None:
        self._end = place if self._end is None else min(self._end, place)

    def _cut(self) -> None:
        """Put in order what is known, and drop what comes after the end, or has no room."""
        self._known.sort(key=lambda known: known[0])
        self._merging = merging = ManyMerging(self._asked, self._now)
        for number, (place, incarnation, message) in enumerate(self._known):
            if self._end is not None and place > self._end:
                del self._known[number:]
                break
            size = len(message.content.body)
            if merging.take(incarnation, message.id, message.partition, message.expires, size):
                merging.add(incarnation, message)
            elif merging.full:
                self._stop(self._known[number - 1][0] if number else self._asked.lower)
                del self._known[number:]
                break

    def _whole(self, purged: tuple[tuple[int, MessageId], ...], ended: tuple[int, ...]) -> ManySlice:
        merging, stable = self._merging, self._stable
        whole = merging.slice(stable, purged, ended)
        if self._end is None:
            return whole
        position = max(self._asked.lower, min(self._end, StorePosition(stable)))
        return attrs.evolve(whole, position=position, over=False)


@deferred
async def read_many(views: Views, read: ManyRead, queues: Sequence[Queue], acks: Sequence[Ack]) -> ManySlice:
    """Look up the queues as they are now, and read the first slice of them."""
    found = await read_all([partial(views.registry.current, queue) for queue in queues])
    sources = [
        Source(queue, None if each is None else each.queue, ack)
        for queue, each, ack in zip(queues, found, acks, strict=True)
    ]
    return await read.slice(sources)


def _after(place: Position) -> Position:
    """Return the least place above one: an upper bound that includes it."""
    return Position(place.id, place.partition + 1)


def _place_of(incarnation: int, place: Position) -> StorePosition:
    """Return the place in the log of the store that a place in a queue's log is."""
    return StorePosition(place.id, number_of(incarnation), place.partition)
