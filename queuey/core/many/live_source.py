"""A choice of many queues as the source of live reads."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from queuey.core.live.source import Event, LivePage, Watch
from queuey.core.many.chosen import ChosenQueues, QueueChange, View
from queuey.core.many.reading import NEVER, Gap, ManyAsked, ManyPage, ManyReader
from queuey.core.many.waiter import ManyWaiter
from queuey.core.waiting import REST
from queuey.deferreds import deferred
from queuey.errors import Forbidden
from queuey.model.applications.access import Operation, allowed
from queuey.model.messages.columns import body_bytes
from queuey.model.queues.choice import QueueChoice
from queuey.model.queues.queue import Queue
from queuey.model.reading.cursor import many_text
from queuey.model.reading.many import StorePosition
from queuey.model.timeid import MessageId, Ticks, ticks_of

MAX_UNSTABLE: Final = 10_000
"""Messages above the stable time of which a stream remembers that it has sent them; of more, some are sent twice."""

MAX_GAPS: Final = 1000
"""Gaps that one page names; the next event counts the others."""

MAX_NAMED: Final = 5
"""Queues that a refusal names."""

_SHORTEST_LOOK: Final = 0.25
"""Seconds between two looks at queues whose messages live for a second only."""


@attrs.frozen(order=False)
class ManyPlace:
    """The place of a reader of many queues.

    :ivar reported: number of changes of the choice that were sent.
    :ivar sent: messages beyond the position that a reader of unstable messages was sent.
    """

    position: StorePosition
    reported: int
    sent: frozenset[StorePosition] = frozenset()

    def __lt__(self, other: ManyPlace) -> bool:
        return (self.position, self.reported, len(self.sent)) < (other.position, other.reported, len(other.sent))


@attrs.frozen
class Beginning:
    """Where a live read begins.

    :ivar found: when the place was found to be the end of the log; ``None`` if it is another one.
    :ivar over: whether all messages were read, and no more will come.
    """

    place: ManyPlace
    view: View
    found: Ticks | None
    over: bool


class ManySource:
    """The queues of a choice that a caller may read.

    :ivar key: see ``Source``. Callers who have proven to be the same share their pages; readers of unstable messages
        do not, since they were not sent the same.
    """

    __slots__ = ("_caller", "_choice", "_chosen", "_fresh", "_reader", "key")

    def __init__(self, reader: ManyReader, choice: QueueChoice, caller: frozenset[str], *, fresh: bool) -> None:
        """
        :param caller: the principals that the caller has proven to be.
        :param fresh: whether to read unstable messages as well.
        """
        self._reader = reader
        self._choice = choice
        self._caller = caller
        # Where every message is stable at once, readers of unstable messages are readers like all others.
        self._fresh = fresh and not reader.watch.knows
        self._chosen: ChosenQueues = reader.watch.enter(choice)
        self.key: Hashable = object() if self._fresh else (choice, caller)

    async def begin(self, position: StorePosition | None) -> Beginning:
        """Find the queues, and the end of their log if no place is given.

        :raise TooManyQueues: too many queues may have messages after the place.
        :raise TooManyRequests: too many queues are waited for.
        """
        reader, chosen = self._reader, self._chosen
        began = reader.now()
        bound = await reader.watch.refresh(chosen)
        view = chosen.view(self._caller)
        start = StorePosition(bound) if position is None else position
        reader.check_number(chosen, start, view)
        reader.watch.check_room(chosen)
        found = began if position is None else None
        over = chosen.is_read_to_its_end(min(bound, start.id))
        return Beginning(ManyPlace(start, chosen.changed), view, found, over)

    @deferred
    async def read(self, place: Any, limit: int, max_bytes: int, *, resumed: bool, seen: Ticks) -> LivePage:
        """See ``Source``."""
        reader, chosen, began = self._reader, self._chosen, self._reader.now()
        policy = await reader.policies.policy_for(self._choice.application)
        bound = await reader.watch.refresh(chosen)
        view = chosen.view(self._caller)
        if view.forbidden:
            raise Forbidden(_no_more(view.forbidden))
        if not reader.watch.knows:
            reader.check_number(chosen, place.position, view)
        changed, changes = chosen.changed, chosen.changes_since(place.reported)
        # What was sent beyond the stable place is read once more, so there must be room for other messages behind it.
        room = limit + len(place.sent)
        asked = ManyAsked(self._choice, place.position, resumed, room, max_bytes, fresh=self._fresh)
        # The stable time of a store without writes stands still: what it had until the last look, the reader has seen.
        settled = seen if reader.watch.knows else NEVER
        page = await reader.read(chosen, asked, place.position, bound, view, policy, settled)
        events = [opened(view)] if changes is None else self._changes(changes, place.position.id)
        return self._page(place, changed, page, began, (*events, *_gaps(page.gaps)))

    def _page(
        self, place: ManyPlace, changed: int, page: ManyPage, began: Ticks, events: tuple[Event, ...]
    ) -> LivePage:
        """Leave out of a page what was sent before it was stable, and note what is sent now that is not stable yet."""
        position, sent = page.position, place.sent
        new = [at for at, where in enumerate(page.places) if where not in sent]
        unstable = frozenset([where for where in (*sent, *page.places) if position < where])
        if len(unstable) > MAX_UNSTABLE:
            unstable = frozenset(sorted(unstable)[-MAX_UNSTABLE:])
        messages = tuple([page.messages[at] for at in new])
        return LivePage(
            start=place,
            place=ManyPlace(position, changed, unstable),
            messages=messages,
            places=[ManyPlace(min(page.places[at], position), changed) for at in new],
            size=body_bytes(messages),
            at_end=page.over,
            stable=ticks_of(page.stable),
            version=self._caller,
            began=began,
            events=events,
            last_events=tuple([_changed(queue, "closed") for queue in page.ended]),
            closed=page.over and self._chosen.is_read_to_its_end(position.id),
            names=[page.queues[at] for at in new],
        )

    def _changes(self, changes: tuple[QueueChange, ...], place: MessageId) -> list[Event]:
        """Return the events of changes, as far as they concern the caller.

        :param place: up to which the reader has read: a queue that was closed before it has no message that would
            report the end.
        """
        found = list[Event]()
        for change in changes:
            before, after = self._readable(change.before), self._readable(change.after)
            if before is None and after is not None:
                found.append(_changed(after, "made" if change.before is None else "readable"))
            elif before is not None and after is None:
                found.append(_changed(before, "deleted" if change.after is None else "not-readable"))
            if after is not None and after.is_read_to_its_end(place) and (before is None or before.closed is None):
                found.append(_changed(after, "closed"))
        return found

    def _readable(self, queue: Queue | None) -> Queue | None:
        """Return a queue if the caller may read it."""
        if queue is None or not allowed(Operation.READ_MESSAGES, self._caller, self._choice.application, queue):
            return None
        return queue

    def watch(self, seconds: float) -> Watch:
        """See ``Source``. It looks more often than messages live: otherwise it could not tell whether some have
        expired."""
        policy = self._reader.policies.cached(self._choice.application)
        ttl = self._chosen.least_ttl(None if policy is None else policy.ttl)
        within = seconds if ttl is None else min(seconds, max(_SHORTEST_LOOK, ttl / 2))
        return _ManyWatch(self._reader, self._chosen, within, fresh=self._fresh)

    def time(self, place: Any) -> Ticks:
        """See ``Source``."""
        return ticks_of(place.position.id)

    def cursor(self, place: Any) -> str:
        """See ``Source``."""
        return many_text(place.position)

    def close(self) -> None:
        """See ``Source``."""
        self._reader.watch.leave(self._chosen)


class _ManyWatch:
    """Waits for messages of a choice, as waiting reads do; one wait after another, each with a time limit."""

    __slots__ = ("_chosen", "_fresh", "_reader", "_seconds", "_waiter")

    def __init__(self, reader: ManyReader, chosen: ChosenQueues, seconds: float, *, fresh: bool) -> None:
        self._reader = reader
        self._chosen = chosen
        self._seconds = seconds
        self._fresh = fresh
        self._waiter = self._join()

    def _join(self) -> ManyWaiter:
        return self._reader.watch.join(self._chosen, self._seconds, fresh=self._fresh)

    def arrival(self, place: Any) -> Deferred[bool]:
        """See ``Watch``."""
        waiter = self._waiter
        return waiter.arrival(place.position).addCallback(self._heard, waiter)

    def _heard(self, come: bool, waiter: ManyWaiter) -> bool:
        """Begin the next wait if the time of this one is over."""
        if not come and waiter is self._waiter:
            self._waiter = self._join()
            self._reader.watch.part(self._chosen, waiter)
        return come

    def rest(self) -> Deferred[None]:
        """See ``Watch``."""
        return deferLater(self._reader.watch.waits.clock, REST)

    def leave(self) -> None:
        """See ``Watch``."""
        self._reader.watch.part(self._chosen, self._waiter)


def opened(view: View) -> Event:
    """Return the event with the numbers of queues that are read, and that the caller may not read."""
    data = {"queues": view.count, "not_readable": view.left_out}
    return Event("open", {**data, "missing": len(view.missing)} if view.missing else data)


def _changed(queue: Queue, change: str) -> Event:
    return Event("queue", {"queue": queue.name, "change": change})


def _gaps(gaps: tuple[Gap, ...]) -> list[Event]:
    found = [
        Event("gap", {"queue": gap.queue, "resume": "truncated", "first": many_text(gap.first), "why": gap.why})
        for gap in gaps[:MAX_GAPS]
    ]
    if len(gaps) > MAX_GAPS:
        found.append(Event("gap", {"resume": "truncated", "left_out": len(gaps) - MAX_GAPS}))
    return found


def _no_more(names: tuple[str, ...]) -> str:
    some = ", ".join(names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")
    return f"Access was denied: this caller may not read messages of {some} any more."
