"""Choices of queues are kept up to date, and their readers are woken.

Wake-ups are only hints. Before a reader reads, the store says which queues were changed since it was asked before, in
the same snapshot as the bound up to which the reader then reads. A queue that is not among them has no message below
the bound, so it need not be read, however late its wake-up comes. All choices share one such look.

A store that several front ends write to does not know what was changed. There all queues of a choice are looked up and
read each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from queuey.core.many.chosen import ChosenQueues
from queuey.core.many.lookup import outdated
from queuey.core.many.waiter import ManyWaiter
from queuey.core.waiting import Waits
from queuey.deferreds import NextTurn, SingleFlight
from queuey.errors import QueueyError, TooManyRequests
from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack
from queuey.model.queues.choice import QueueChoice
from queuey.model.queues.queue import Queue
from queuey.model.reading.many import ChangedQueue, Changes, ManyRange
from queuey.model.timeid import HIGHEST, LOWEST, SECOND, MessageId, Ticks, lower_bound

EVERY: Final = 1.0
"""Seconds between two looks while readers wait."""

MAX_IDLE: Final = 100
"""Choices that are kept although no request uses them, and ``MAX_IDLE_QUEUES`` queues of them."""
MAX_IDLE_QUEUES: Final = 50_000

MAX_SEEN: Final = 100_000
"""Incarnations that were compared with all choices."""

MAX_AWAITED: Final = 1000
"""Queues whose readers wait, if the store does not know its changes: each is read once a second."""


class ManyWatch:
    """All choices that are used in this process.

    :param now: the wall clock.
    :param settle: seconds for which messages wait until readers see them, on a store that does not know its changes.
    """

    def __init__(self, store: IStore, waits: Waits, now: Callable[[], Ticks], settle: float) -> None:
        self.waits = waits
        self._store = store
        self._now = now
        self._settle = settle
        self._chosen: dict[QueueChoice, ChosenQueues] = {}
        self._by_incarnation: dict[int, tuple[ChosenQueues, ...]] = {}
        self._waiters: dict[ChosenQueues, dict[ManyWaiter, None]] = {}
        self._idle: dict[ChosenQueues, None] = {}
        self._idle_queues = 0
        self._seen: set[int] = set()
        self._mark: int | None = None
        self._stable = LOWEST
        self._looking = False
        self._next: SingleFlight[MessageId] = SingleFlight()
        self._again = False
        self._count = 0
        self._woken: dict[ChosenQueues, bool] = {}
        self._waking = NextTurn(waits.clock)
        self._timer: IDelayedCall | None = None
        self._probing: set[ChosenQueues] = set()

    @property
    def knows(self) -> bool:
        """Return whether the store knows which queues were changed."""
        return self._store.capabilities.knows_changes

    @property
    def choices(self) -> int:
        """Number of choices that are used or kept."""
        return len(self._chosen)

    @property
    def queues(self) -> int:
        """Number of queues that are in a choice."""
        return len(self._by_incarnation)

    @property
    def waiting(self) -> int:
        """Number of readers that wait."""
        return sum(map(len, self._waiters.values()))

    # Choices

    def enter(self, choice: QueueChoice) -> ChosenQueues:
        """Return the queues of a choice, to be used until ``leave``."""
        chosen = self._chosen.get(choice)
        if chosen is None:
            chosen = self._chosen[choice] = ChosenQueues(choice)
        elif not chosen.uses:
            del self._idle[chosen]
            self._idle_queues -= len(chosen)
        chosen.uses += 1
        return chosen

    def leave(self, chosen: ChosenQueues) -> None:
        """Use a choice no more. Some are kept for the next request: the one that was used last comes last."""
        chosen.uses -= 1
        if chosen.uses:
            return
        self._idle[chosen] = None
        self._idle_queues += len(chosen)
        while self._idle and not (self.knows and len(self._idle) <= MAX_IDLE and self._idle_queues <= MAX_IDLE_QUEUES):
            self._forget(next(iter(self._idle)))

    def _forget(self, chosen: ChosenQueues) -> None:
        del self._chosen[chosen.choice], self._idle[chosen]
        for incarnation in list(chosen.incarnations):
            self._drop(chosen, incarnation)

    def _drop(self, chosen: ChosenQueues, incarnation: int) -> None:
        """Remove a queue from a choice."""
        if chosen.drop(incarnation) and not chosen.uses:
            self._idle_queues -= 1
        left = tuple([one for one in self._by_incarnation.get(incarnation, ()) if one is not chosen])
        if left:
            self._by_incarnation[incarnation] = left
        else:
            self._by_incarnation.pop(incarnation, None)

    def _put(self, chosen: ChosenQueues, queue: Queue) -> None:
        """Add a queue to a choice, or replace what is known of it."""
        replaced = chosen.named(queue.name)
        if replaced is not None and replaced != queue.incarnation:
            self._drop(chosen, replaced)
        chosen.put(queue, self._stable if self.knows else HIGHEST)
        those = self._by_incarnation.get(queue.incarnation, ())
        if chosen not in those:
            self._by_incarnation[queue.incarnation] = (*those, chosen)

    # Looks

    async def refresh(self, chosen: ChosenQueues) -> MessageId:
        """Bring a choice up to date.

        :return: a bound: below it, all messages are in queues that ``ChosenQueues.unread`` returns. Fails with
            ``Unavailable``.
        """
        before = self._now()
        stable = await self._look()
        if not self.knows:
            stable = lower_bound(Ticks(max(0, before - int(self._settle * SECOND))))
        if not self.knows or chosen.stale or chosen.outdated or chosen.lock.locked:
            await chosen.lock.run(lambda: Deferred.fromCoroutine(self._look_up(chosen, before)))
        return stable

    async def _look_up(self, chosen: ChosenQueues, before: Ticks) -> None:
        """Look up the queues of a choice that are not known, unless another request has done so."""
        if not self.knows and chosen.looked_up < before:
            chosen.stale, chosen.looked_up = True, self._now()
        if not chosen.stale and not chosen.outdated:
            return
        before_it = self._count, chosen.changed
        found, every = await outdated(self._store, chosen)
        if every:
            there = {queue.incarnation for queue in found.values() if queue is not None}
            for incarnation in set(chosen.incarnations) - there:
                self._drop(chosen, incarnation)
        for name, queue in found.items():
            gone = chosen.named(name)
            if queue is not None:
                self._put(chosen, queue)
            elif gone is not None:
                self._drop(chosen, gone)
        chosen.complete = chosen.complete or every
        if (self._count, chosen.changed) != before_it:
            # What came meanwhile may be of queues that were not known yet.
            self._wake(chosen, only_fresh=False)

    def _look(self) -> Deferred[MessageId]:
        """Ask the store which queues were changed, by a call that begins after this one. Those who ask meanwhile share
        it, and one that is cancelled does not disturb the others."""
        if not self.knows:
            return succeed(LOWEST)
        answer = self._next.join()
        if self._looking:
            self._again = True
        else:
            self._begin_look()
        return answer

    def _begin_look(self) -> None:
        self._looking, self._again = True, False
        flight, self._next = self._next, SingleFlight()
        Deferred.fromCoroutine(self._look_once()).addBoth(self._looked, flight)

    def _looked(self, result: MessageId | Failure, flight: SingleFlight[MessageId]) -> None:
        self._looking = False
        flight.answered(result)
        if self._again and not self._looking:
            self._begin_look()

    async def _look_once(self) -> MessageId:
        while True:
            changes = await self._store.changes(self._mark)
            self._mark = changes.mark
            self._stable = max(self._stable, changes.stable)
            self._apply(changes)
            if changes.over:
                return changes.stable

    def _apply(self, changes: Changes) -> None:
        if changes.queues is None:
            for chosen in self._chosen.values():
                chosen.stale = True
            return
        for changed in changes.queues:
            for chosen in self._by_incarnation.get(changed.incarnation, ()):
                if chosen.note(changed, changes.stable):
                    self._wake(chosen, only_fresh=False)
            if changed.incarnation not in self._seen:
                self._compare(changed, changes.stable)
        for incarnation in changes.ended:
            for chosen in self._by_incarnation.get(incarnation, ()):
                self._drop(chosen, incarnation)
                self._wake(chosen, only_fresh=False)

    def _compare(self, changed: ChangedQueue, stable: MessageId) -> None:
        """Let a queue that was not seen before join the choices that it belongs to."""
        for chosen in self._growing():
            if chosen.named(changed.name) != changed.incarnation and chosen.choice.has(
                changed.application, changed.name
            ):
                chosen.note(changed, stable)
                self._wake(chosen, only_fresh=False)
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen.add(changed.incarnation)

    def _growing(self) -> list[ChosenQueues]:
        """Return the choices that further queues may join."""
        return [chosen for chosen in self._chosen.values() if chosen.grows]

    # Waiting

    def join(self, chosen: ChosenQueues, seconds: float, *, fresh: bool) -> ManyWaiter:
        """Begin to wait, until ``part``. Call it before the first ``refresh``, so that no arrival is missed.

        :param fresh: whether the reader also wants messages that are not stable.
        """
        waiter = ManyWaiter(fresh=fresh)
        self._waiters.setdefault(chosen, {})[waiter] = None
        self.waits.set_deadline(waiter, seconds)
        if self._timer is None:
            self._timer = self.waits.clock.callLater(EVERY, self._tick)
            self.waits.listen_to_all(self._arrived)
        return waiter

    def check_room(self, chosen: ChosenQueues) -> None:
        """Refuse a wait for a choice if the store would have to be asked too often.

        :raise TooManyRequests: saying so.
        """
        if not self.knows and sum(map(len, {*self._waiters, chosen})) > MAX_AWAITED:
            text = f"Reads of many queues may wait for at most {MAX_AWAITED} queues in one process, and they do now."
            raise TooManyRequests(text, limit="max_live_queues")

    def part(self, chosen: ChosenQueues, waiter: ManyWaiter) -> None:
        """Wait no more."""
        self.waits.clear_deadline(waiter)
        waiters = self._waiters[chosen]
        del waiters[waiter]
        if waiters:
            return
        del self._waiters[chosen]
        self._woken.pop(chosen, None)
        if not self._waiters:
            self._waking.cancel()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self.waits.listen_to_all(None)

    def _tick(self) -> None:
        self._timer = self.waits.clock.callLater(EVERY, self._tick)
        if not self.knows:
            for chosen in self._waiters:
                if chosen not in self._probing:
                    self._probing.add(chosen)
                    Deferred.fromCoroutine(self._probe(chosen)).addErrback(_missed).addBoth(self._probed, chosen)
        elif not self._looking:
            # There is no other notice of queues that are created, changed or deleted; and what was changed is asked for
            # before the store has forgotten it.
            self._look().addErrback(_missed)

    async def _probe(self, chosen: ChosenQueues) -> None:
        """Read one message of a choice for all readers that wait, and wake them if there is one."""
        bound = await self.refresh(chosen)
        waiters = list(self._waiters.get(chosen, ()))
        places = [waiter.seen for waiter in waiters if waiter.seen is not None]
        queues = chosen.all()
        if not places or not queues:
            return
        fresh = any(waiter.fresh for waiter in waiters)
        asked = ManyRange(min(places), HIGHEST if fresh else bound, 1, 0, fresh)
        found = await self._store.read_many(queues, asked, [Ack.MAJORITY] * len(queues))
        if found.messages or not found.over or found.purged:
            self._wake(chosen, only_fresh=False)
            return
        for waiter in waiters:
            if waiter.seen is not None:
                waiter.seen = max(waiter.seen, found.position)

    def _probed(self, _: object, chosen: ChosenQueues) -> None:
        self._probing.discard(chosen)

    def _arrived(self, incarnation: int, only_fresh: bool) -> None:
        """Learn that something may have come to a queue."""
        if not self._waiters:
            return
        self._count += 1
        found = self._by_incarnation.get(incarnation)
        if found is None:
            if incarnation in self._seen:
                return
            found = tuple(self._growing())
        for chosen in found:
            self._wake(chosen, only_fresh=only_fresh)

    def _wake(self, chosen: ChosenQueues, *, only_fresh: bool) -> None:
        if chosen not in self._waiters:
            return
        self._woken[chosen] = only_fresh and self._woken.get(chosen, True)
        self._waking.call(self._tell)

    def _tell(self) -> None:
        woken, self._woken = self._woken, {}
        for chosen, only_fresh in woken.items():
            for waiter in list(self._waiters.get(chosen, ())):
                if waiter.fresh or not only_fresh:
                    waiter.tell()


def _missed(failure: Failure) -> None:
    """Pass over a look that failed: the next one returns the same changes."""
    failure.trap(QueueyError, CancelledError)
