"""Reads of many queues: one page, and a wait for what comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Final

import attrs

from queuey.core.many.chosen import ChosenQueues, Unread, View
from queuey.core.many.waiter import ManyWaiter
from queuey.core.many.watching import ManyWatch
from queuey.errors import TooManyQueues
from queuey.interfaces import IPolicies, IStore
from queuey.model.applications.policy import Policy
from queuey.model.messages.message import Message
from queuey.model.queues.choice import QueueChoice
from queuey.model.queues.queue import Queue
from queuey.model.reading.many import MAX_QUEUES, ManyRange, ManySlice, StorePosition, position_of
from queuey.model.timeid import HIGHEST, SECOND, MessageId, Ticks, lower_bound

MAX_QUEUES_UNKNOWN: Final = 100
"""Queues of one read on a store that does not know which of them were changed."""

NEVER: Final = Ticks(0)

MAX_SLICES: Final = 64
"""Slices that are read for one page: there are several if much has expired."""


@attrs.frozen
class Gap:
    """Messages of a queue that the reader has not seen, and that are gone or may be gone.

    :ivar why: ``purged`` or ``expired``.
    :ivar first: just before what is left of the queue.
    """

    queue: str
    why: str
    first: StorePosition


@attrs.frozen
class ManyPage:
    """A page of many queues.

    :ivar queues: the name of the queue of each message.
    :ivar places: the place of each message.
    :ivar position: where the reader goes on.
    :ivar more: whether there is more now.
    :ivar over: whether everything was read that is visible now; there may be more unless it is stable.
    :ivar stable: the bound up to which the page is complete.
    :ivar view: the choice as its reader may read it.
    :ivar ended: closed queues whose last message is on the page.
    """

    messages: tuple[Message, ...]
    queues: tuple[str, ...]
    places: tuple[StorePosition, ...]
    position: StorePosition
    more: bool
    over: bool
    stable: MessageId
    gaps: tuple[Gap, ...]
    view: View
    ended: tuple[Queue, ...] = ()


@attrs.frozen
class ManyAsked:
    """What a reader asks for.

    :ivar place: where it goes on; ``None``: at what comes from now on.
    :ivar resumed: whether it has read before, so that gaps are reported.
    :ivar wait: seconds.
    """

    choice: QueueChoice
    place: StorePosition | None
    resumed: bool
    limit: int
    max_bytes: int
    wait: float = 0.0
    fresh: bool = False


@attrs.frozen
class ManyReader:
    """Reads choices of queues.

    :ivar now: the wall clock.
    """

    watch: ManyWatch
    store: IStore
    policies: IPolicies
    now: Callable[[], Ticks]

    @property
    def max_queues(self) -> int:
        """Queues that one read may look at."""
        return MAX_QUEUES if self.watch.knows else MAX_QUEUES_UNKNOWN

    async def page(
        self,
        asked: ManyAsked,
        caller: frozenset[str],
        permit: Callable[[View], None],
        again: Callable[[], Awaitable[frozenset[str]]] | None = None,
    ) -> ManyPage:
        """Read a page; if there is no message, wait for one.

        :param caller: the principals that the caller has proven to be.
        :param permit: raises an error if the caller may not read what it has named; called before each read.
        :param again: returns the principals of the caller after a wait; it raises if there are none any more.
        :return: an empty page if the time is over. May be cancelled.
        :raise TooManyQueues: more queues may have messages after the place than one read may look at.
        """
        policy = await self.policies.policy_for(asked.choice.application)
        chosen = self.watch.enter(asked.choice)
        waiter: ManyWaiter | None = None
        seat = self.watch.waits.seats.take(policy, None) if asked.wait else nullcontext()
        try:
            with seat:
                if asked.wait:
                    waiter = self.watch.join(chosen, asked.wait, fresh=asked.fresh)
                return await self._page(chosen, asked, caller, policy, permit, waiter, again)
        finally:
            if waiter is not None:
                self.watch.part(chosen, waiter)
            self.watch.leave(chosen)

    async def _page(
        self,
        chosen: ChosenQueues,
        asked: ManyAsked,
        caller: frozenset[str],
        policy: Policy,
        permit: Callable[[View], None],
        waiter: ManyWaiter | None,
        again: Callable[[], Awaitable[frozenset[str]]] | None,
    ) -> ManyPage:
        place = asked.place
        while True:
            bound = await self.watch.refresh(chosen)
            if place is None:
                place = StorePosition(bound)
            view = chosen.view(caller)
            permit(view)
            self.check_number(chosen, place, view)
            page = await self.read(chosen, asked, place, bound, view, policy)
            if page.messages or page.gaps or page.more or waiter is None:
                return page
            place = page.position
            self.watch.check_room(chosen)
            if not await waiter.arrival(place):
                waiter = None  # one last read, so that the place is a current one
            if again is not None:
                caller = await again()

    async def read(
        self,
        chosen: ChosenQueues,
        asked: ManyAsked,
        place: StorePosition,
        bound: MessageId,
        view: View,
        policy: Policy,
        seen: Ticks = NEVER,
    ) -> ManyPage:
        """Read the queues that may have messages after a place, up to a bound.

        :param seen: when the reader found the place to be the end of the log: it has seen what expired by then.
        """
        end = max(place, StorePosition(bound))
        unread = chosen.unread(place.id, view)
        queues = [one.queue for one in unread]
        if not queues:
            return ManyPage(
                messages=(), queues=(), places=(), position=end, more=False, over=True, stable=bound, gaps=(), view=view
            )
        acks = [policy.read_ack(queue.settings.consistency) for queue in queues]
        upper = HIGHEST if asked.fresh and not self.watch.knows else bound
        lower, gaps = place, list[Gap]()
        names = {queue.incarnation: queue.name for queue in queues}
        for _ in range(MAX_SLICES):
            slice = await self.store.read_many(
                queues, ManyRange(lower, upper, asked.limit, asked.max_bytes, asked.fresh), acks
            )
            if asked.resumed:
                gaps += _purged(slice, lower, names)
            lower = max(lower, min(slice.position, end))
            if slice.messages or slice.over:
                break
        stable = min(bound, slice.stable)
        if asked.resumed:
            gaps += self._expired(unread, place, lower, stable, policy, seen)
        return ManyPage(
            messages=slice.messages,
            queues=tuple([names[incarnation] for incarnation in slice.queues]),
            places=tuple([position_of(queue, one) for queue, one in zip(slice.queues, slice.messages, strict=True)]),
            position=lower,
            more=not slice.over and not (asked.fresh and lower == place),
            over=slice.over,
            stable=stable,
            gaps=tuple(gaps),
            view=view,
            ended=tuple([queue for queue in queues if _ends(queue, lower) and not _ends(queue, place)]),
        )

    def check_number(self, chosen: ChosenQueues, place: StorePosition, view: View) -> None:
        """Refuse a read if too many queues may have messages after its place.

        :raise TooManyQueues: saying so.
        """
        queues, most = [one.queue for one in chosen.unread(place.id, view)], self.max_queues
        if self.watch.knows:
            number = sum([queue.settings.partitions for queue in queues])
            what = f"{number} partitions of queues may have messages after this place"
        else:
            number, what = len(queues), f"The choice has {len(queues)} queues"
        if number > most:
            raise TooManyQueues(f"{what}; one read looks at {most} at most.")

    def _expired(
        self,
        unread: list[Unread],
        place: StorePosition,
        end: StorePosition,
        stable: MessageId,
        policy: Policy,
        seen: Ticks,
    ) -> list[Gap]:
        """Return the queues whose messages after a place may have expired. Each is reported on one page: before the
        first message that is left, or on the last page for which the queue is read.

        :param end: of the page.
        :param seen: see ``read``.
        """
        now, found = self.now(), []
        for one in unread:
            queue = one.queue
            kept = Ticks(max(0, now - (queue.settings.ttl or policy.ttl) * SECOND))
            first = min(stable, lower_bound(kept))
            # A younger queue has not lost any message yet, however early the place is.
            if kept > max(queue.created, seen) and place.id < min(first, one.known) <= end.id:
                found.append(Gap(queue.name, "expired", StorePosition(first)))
        return found


def _ends(queue: Queue, place: StorePosition) -> bool:
    """Return whether a queue is closed and has no message after a place."""
    return queue.is_read_to_its_end(place.id)


def _purged(slice: ManySlice, lower: StorePosition, names: dict[int, str]) -> list[Gap]:
    """Return the queues that were purged in the part of a range that was read: each purge is reported on one page."""
    return [
        Gap(names[incarnation], "purged", StorePosition(bound))
        for incarnation, bound in slice.purged
        if lower.id < bound and StorePosition(bound) <= slice.position
    ]
