"""Reads one queue for live reads: the pages after a place, gaps in them, and the wait for new messages."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from queuey.core.live.source import Event, LivePage, Watch
from queuey.core.messages import MessageExchange
from queuey.core.pages import Slices
from queuey.core.waiting import Waiter
from queuey.deferreds import deferred
from queuey.model.messages.columns import Columns, body_bytes
from queuey.model.messages.message import Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.cursor import Cursor
from queuey.model.reading.window import NEWEST, Merge, MergeSlice, Messages, Position
from queuey.model.timeid import SECOND, Ticks, from_seconds, lower_bound, ticks_of

MAX_UNSTABLE: Final = 10_000
"""Messages above the stable time of which a stream remembers that it has sent them; of more, some are sent twice."""

_SHORTEST_LOOK: Final = 0.25
"""Seconds between two looks at a queue whose messages live for a second only."""


@attrs.frozen(order=False)
class FreshPlace:
    """The place of a reader of unstable messages: a stable place, and the later messages that were sent already."""

    position: Position
    sent: frozenset[Position] = frozenset()

    def __lt__(self, other: FreshPlace) -> bool:
        return self.position < other.position


class QueueSource:
    """The source of live reads of a queue, or of some of its partitions; see ``Source``.

    :ivar queue: the queue, as it was known to be at the last look.
    :ivar key: see ``Source``. Readers of unstable messages share no pages, since they were not sent the same.
    """

    __slots__ = ("_exchange", "_fresh", "_now", "_partitions", "key", "queue")

    def __init__(
        self,
        exchange: MessageExchange,
        queue: Queue,
        now: Callable[[], float],
        partitions: tuple[int, ...] | None,
        *,
        fresh: bool,
    ) -> None:
        """
        :param now: the wall clock, in seconds since 1970.
        :param partitions: those to read; ``None`` is all, however many there are.
        :param fresh: whether to read unstable messages as well.
        """
        self.queue = queue
        self._exchange = exchange
        self._now = now
        self._partitions = partitions
        self._fresh = fresh
        self.key: Hashable = object() if fresh else (queue.incarnation, partitions)

    def place(self, position: Position) -> Position | FreshPlace:
        """Return the place of a reader that has read everything up to a position."""
        return FreshPlace(position) if self._fresh else position

    @deferred
    async def newest(self) -> tuple[Position, Ticks]:
        """Find the end of the log: all messages below it are visible, and later ones will be above it.

        :return: fires with its position, and with when the look began. Fails as ``read`` does.
        """
        began = from_seconds(self._now())
        # The newest message alone is looked at, and is not read, since it may have no byte.
        merge = Merge(self._numbers(), descending=True, limit=1, max_bytes=0, owed=False)
        slice = await (await self._slices())(merge)
        return Position(slice.stable), began

    def read_from(self, position: Position) -> Deferred[LivePage]:
        """Read a page, to find out whether anything is left behind a position."""
        return self._read(self.place(position), 1, 1, None)

    def read(self, place: Any, limit: int, max_bytes: int, *, resumed: bool, seen: Ticks) -> Deferred[LivePage]:
        """See ``Source``."""
        return self._read(place, limit, max_bytes, seen if resumed else None)

    @deferred
    async def _read(self, place: Position | FreshPlace, limit: int, max_bytes: int, seen: Ticks | None) -> LivePage:
        """Read a page; ``seen`` is ``None`` for a reader that begins."""
        exchange, began = self._exchange, from_seconds(self._now())
        fresh = place if isinstance(place, FreshPlace) else None
        lower = place.position if isinstance(place, FreshPlace) else place
        # What was sent beyond the stable place is read once more, so there must be room for other messages behind it.
        room = limit if fresh is None else limit + len(fresh.sent)
        while True:
            queue, look = self.queue, await self._slices()
            slice = await look(Merge(self._numbers(), lower, NEWEST, False, room, max_bytes, fresh=self._fresh))
            if exchange.is_as_it_was(queue):
                break
            self.queue = await exchange.as_it_is(queue)
            if self._partitions is not None or self.queue.settings.partitions <= queue.settings.partitions:
                break
            # Partitions were added meanwhile, and what they have may be before the place where the page ends.
        gap = None if seen is None else self._gap(lower, slice, began, look.ttl, seen)
        events = () if gap is None else (gap,)
        if fresh is None:
            return self._page(place, slice.position, slice.messages, _places(slice.messages), slice, began, events)
        return self._fresh_page(fresh, slice, began, events)

    def _page(
        self,
        start: Position | FreshPlace,
        place: Position | FreshPlace,
        messages: Messages,
        places: Sequence[Position | FreshPlace],
        slice: MergeSlice,
        began: Ticks,
        events: tuple[Event, ...],
    ) -> LivePage:
        return LivePage(
            start=start,
            place=place,
            messages=messages,
            places=places,
            size=body_bytes(messages),
            at_end=slice.over,
            stable=ticks_of(slice.stable),
            version=self.queue,
            began=began,
            events=events,
            closed=slice.over and self.queue.is_read_to_its_end(slice.stable),
        )

    def _fresh_page(self, place: FreshPlace, slice: MergeSlice, began: Ticks, events: tuple[Event, ...]) -> LivePage:
        """Leave out messages that were sent before they were stable; remember those that are not stable yet."""
        stable = slice.position
        places = [(message, Position(message.id, message.partition)) for message in slice.messages]
        news = [(message, at) for message, at in places if at not in place.sent]
        sent = frozenset([at for at in (*place.sent, *(at for _, at in news)) if stable < at])
        if len(sent) > MAX_UNSTABLE:
            sent = frozenset(sorted(sent)[-MAX_UNSTABLE:])
        after = [FreshPlace(min(at, stable)) for _, at in news]
        messages: tuple[Message, ...] = tuple([message for message, _ in news])
        return self._page(place, FreshPlace(stable, sent), messages, after, slice, began, events)

    def _gap(self, place: Position, slice: MergeSlice, began: Ticks, ttl: int, seen: Ticks) -> Event | None:
        """Return the event of a gap if messages after a place may have been purged or have expired unread."""
        kept = max(0, began - ttl * SECOND)
        # The stable time of a store without writes stands still: what it had until the last look, the reader has seen.
        settled = 0 if self._exchange.settles else seen
        if place < Position(slice.purged):
            why = "purged"
        elif kept > max(self.queue.created, settled) and place < Position(min(slice.stable, lower_bound(Ticks(kept)))):
            why = "expired"
        else:
            return None
        first = slice.position
        if slice.messages:
            first = Position(slice.messages[0].id, slice.messages[0].partition - 1)
        data = {"queue": self.queue.name, "resume": "truncated", "first": self._text(first), "why": why}
        return Event("gap", data)

    def watch(self, seconds: float) -> Watch:
        """See ``Source``. It looks more often than messages live: otherwise it could not tell whether some have
        expired."""
        policy = self._exchange.policies.cached(self.queue.application)
        ttl = self.queue.settings.ttl or (None if policy is None else policy.ttl)
        within = seconds if ttl is None else min(seconds, max(_SHORTEST_LOOK, ttl / 2))
        anywhere = self._partitions is None
        return _QueueWatch(
            self._exchange, self.queue, self._numbers(), within, self._look, fresh=self._fresh, anywhere=anywhere
        )

    def time(self, place: Any) -> Ticks:
        """See ``Source``."""
        position = place.position if isinstance(place, FreshPlace) else place
        return max(ticks_of(position.id), self.queue.created)

    def cursor(self, place: Any) -> str:
        """See ``Source``."""
        return self._text(place.position if isinstance(place, FreshPlace) else place)

    def close(self) -> None:
        """See ``Source``; it needs no state."""

    def _text(self, position: Position) -> str:
        return Cursor(self.queue.incarnation, position, partitions=self._partitions).text()

    def _numbers(self) -> tuple[int, ...]:
        return self._partitions or tuple(range(1, self.queue.settings.partitions + 1))

    @deferred
    async def _look(self, merge: Merge) -> MergeSlice:
        return await (await self._slices())(merge)

    async def _slices(self) -> _Slices:
        policy = await self._exchange.policies.policy_for(self.queue.application)
        settings = self.queue.settings
        slices = Slices(self._exchange.store, self.queue, policy.read_ack(settings.consistency))
        return _Slices(slices, settings.ttl or policy.ttl)


@attrs.frozen
class _Slices:
    """Reads slices of a queue at the consistency that its policy asks for.

    :ivar ttl: seconds that its messages live unless they say otherwise.
    """

    slices: Slices
    ttl: int

    def __call__(self, merge: Merge) -> Deferred[MergeSlice]:
        return self.slices(merge)


class _QueueWatch:
    """Waits for messages of one queue, as waiting reads do; one wait after another, each with a time limit."""

    __slots__ = ("_join", "_waiter")

    def __init__(
        self,
        exchange: MessageExchange,
        queue: Queue,
        partitions: tuple[int, ...],
        seconds: float,
        look: Callable[[Merge], Deferred[MergeSlice]],
        *,
        fresh: bool,
        anywhere: bool,
    ) -> None:
        def join() -> Waiter:
            return exchange.waits.join(queue.incarnation, partitions, seconds, look, fresh=fresh, anywhere=anywhere)

        self._join = join
        self._waiter = join()

    def arrival(self, place: Any) -> Deferred[bool]:
        """See ``Watch``."""
        waiter, seen = self._waiter, place.position if isinstance(place, FreshPlace) else place
        return waiter.arrival(seen).addCallback(self._heard, waiter)

    def _heard(self, come: bool, waiter: Waiter) -> bool:
        """Begin the next wait if the time of this one is over."""
        if not come and waiter is self._waiter:
            self._waiter = self._join()
            waiter.leave()
        return come

    def rest(self) -> Deferred[None]:
        """See ``Watch``."""
        return self._waiter.rest()

    def leave(self) -> None:
        """See ``Watch``."""
        self._waiter.leave()


def _places(messages: Messages) -> list[Position]:
    if isinstance(messages, Columns):
        return [Position(id, messages.partition) for id in messages.ids]
    return [Position(message.id, message.partition) for message in messages]
