"""Wait queues of claims: claims that wait for the same partitions of a group share one, and are served first come,
first served."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Set
from itertools import islice
from types import TracebackType
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from queuey.core.deadlines import Expiring
from queuey.core.groups.in_line import InLine
from queuey.core.groups.values import Claiming, Delivered
from queuey.core.waiting import Waits
from queuey.deferreds import NextTurn
from queuey.errors import Unavailable
from queuey.model.groups.commands import After
from queuey.model.groups.settings import Group
from queuey.model.queues.queue import Queue
from queuey.model.timeid import SECOND, Ticks

_FIRST: Final = 4
"""Number of waiting claims that are attempted first after a wake-up, if it is not known to be for fewer; while all get
messages, each next batch is this many times larger."""

_MOST: Final = 16
"""Maximum number of waiting claims that are attempted at the same time."""

_SOONEST: Final = 0.001
"""Minimum delay in seconds of the timer for the end of a lease, because the wall clock and the reactor's clock differ
slightly."""

_MOMENT: Final = 1.0
"""Seconds for which an empty result is cached for the next claims."""

May = Callable[[], Coroutine[Deferred[Any], Any, None]]
"""Raises if the caller of a claim no longer has access."""

Attempt = Callable[[Queue, Group, Claiming, tuple[int, ...], May | None], Coroutine[Deferred[Any], Any, Delivered]]
"""Attempts a claim of a group once, in some partitions."""


NOTHING: Final = Delivered(())
_NONE: Final = frozenset[int]()


class WaitQueues:
    """The wait queues of all groups.

    :param now: the wall clock.
    :param attempt: attempts a waiting claim when there may be messages.
    """

    def __init__(self, waits: Waits, now: Callable[[], Ticks], attempt: Attempt) -> None:
        self.waits = waits
        self.now = now
        self.attempt = attempt
        self._by_group: dict[bytes, tuple[WaitQueue, ...]] = {}

    def join(self, queue: Queue, group: Group, partitions: tuple[int, ...]) -> WaitQueue:
        """Return the wait queue for some partitions of a group, to be entered as a context manager; its exit leaves the
        wait queue.

        Enter it before the first attempt: then a message that arrives between the attempt and the wait is noticed.
        """
        queues_of_group = self._by_group.get(group.gid, ())
        wait_queue = next((wait_queue for wait_queue in queues_of_group if wait_queue.partitions == partitions), None)
        if wait_queue is None:
            wait_queue = WaitQueue(self, queue, group, partitions)
            self._by_group[group.gid] = (*queues_of_group, wait_queue)
        wait_queue.queue, wait_queue.group = queue, group
        return wait_queue

    def forget(self, wait_queue: WaitQueue) -> None:
        """Remove a wait queue that the last claim has left."""
        gid = wait_queue.group.gid
        self._by_group[gid] = tuple([other for other in self._by_group[gid] if other is not wait_queue])
        if not self._by_group[gid]:
            del self._by_group[gid]

    def changed(
        self, group: Group, after: Mapping[int, After], ready: Set[int] = _NONE, claims: int | None = None
    ) -> None:
        """Store when the next messages of partitions fall due; the waiting claims are woken then.

        :param ready: partitions that may have messages now; the claims that wait for them are woken at once.
        :param claims: how many claims those messages are enough for; see ``WaitQueue.tell``.
        """
        for wait_queue in self._by_group.get(group.gid, ()):
            for partition, then in after.items():
                wait_queue.due(partition, then.due)
            if ready:
                wait_queue.tell(ready, claims)

    def tell(self, group: Group, partitions: Set[int] | None = None, claims: int | None = None) -> None:
        """Wake the waiting claims: some partitions, or any if ``None``, may have messages.

        :param claims: how many claims these messages are enough for; ``None``: unknown.
        """
        for wait_queue in self._by_group.get(group.gid, ()):
            wait_queue.tell(partitions, claims)


class WaitQueue:
    """The wait queue of the claims for the same partitions of a group.

    :ivar queue: as the last claim that joined knows it, and so ``group``.
    :ivar news: number of notifications that there may be messages.
    """

    __slots__ = (
        "_claims", "_dues", "_everywhere", "_joined", "_looks", "_nothing", "_notified", "_serving", "_starting",
        "_timer", "_until", "_wait_queues", "_waiters", "group", "news", "partitions", "queue",
    )  # fmt: skip

    def __init__(self, wait_queues: WaitQueues, queue: Queue, group: Group, partitions: tuple[int, ...]) -> None:
        self.queue = queue
        self.group = group
        self.partitions = partitions
        self.news = 0
        self._wait_queues = wait_queues
        self._joined = 0
        self._waiters: dict[InLine, None] = {}
        self._notified = _NONE
        self._everywhere = False
        self._claims = 0
        self._serving = False
        self._starting = NextTurn(wait_queues.waits.clock)
        self._dues: dict[int, Ticks] = {}
        self._timer: IDelayedCall | None = None
        self._looks: IDelayedCall | None = None
        self._nothing: Delivered | None = None
        self._until = 0.0
        wait_queues.waits.listen(group.queue, self.tell)

    def __enter__(self) -> WaitQueue:
        self._joined += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._joined -= 1
        if self._joined:
            return
        self._wait_queues.forget(self)
        self._wait_queues.waits.leave(self.group.queue, self.tell)
        self._starting.cancel()
        for timer in (self._timer, self._looks):
            if timer is not None:
                timer.cancel()

    def nothing(self) -> Delivered | None:
        """Return the cached empty result for a claim without a key, if an earlier claim got it less than a second ago
        and no notification has come since.

        It is never cached if other processes write too, because their messages are not notified.
        """
        quiet = self._nothing is not None and self._wait_queues.waits.clock.seconds() < self._until
        return self._nothing if quiet else None

    def wait(self, claiming: Claiming, news: int, got: Delivered, may: May | None = None) -> Deferred[Delivered]:
        """Add a claim to the wait queue.

        :param news: the value of ``news`` before the first attempt.
        :param got: the empty result of the first attempt.
        :param may: checks the caller's access at each attempt from now on.
        :return: fires with the claimed messages, or with an empty result when the time is over. Fails as an attempt
            does. May be cancelled.
        """
        waiter = _Waiter(self, claiming, got, may)
        self.stand(waiter, news)
        self._wait_queues.waits.set_deadline(waiter, claiming.wait)
        if self.news == news and claiming.key is None:
            self.cache(got)
        return waiter

    def cache(self, got: Delivered) -> None:
        """Cache the empty result of a first attempt without a key; see ``nothing``."""
        if self._nothing is not got and self._wait_queues.waits.look_every is None:
            self._nothing, self._until = got, self._wait_queues.waits.clock.seconds() + _MOMENT

    def stand(self, waiter: InLine, news: int) -> None:
        """Put a claim at the end of the line.

        :param news: the value of ``news`` before its first attempt.
        """
        self._waiters[waiter] = None
        if self.news != news:
            self.tell(None, 1)
        self._set_timer()
        if self._looks is None:
            self._look_later()
        elif waiter.look_pause is None:
            self._look_in_time(self._looks)

    def tell(self, partitions: Set[int] | None, claims: int | None = None) -> None:
        """Notify the wait queue that some partitions, or any if ``None``, may have messages. Claims are attempted in
        the next reactor turn.

        :param claims: the number of claims that these messages are enough for, which is the number of claims
            attempted first; ``None`` if unknown.
        """
        if partitions is None:
            self._everywhere = True
        elif partitions.isdisjoint(self.partitions):
            return
        else:
            self._notified |= partitions
        self.news += 1
        self._nothing = None
        if self._waiters:  # claims that make their first attempt now compare ``news``; see ``stand``
            self._claims += _FIRST if claims is None else claims
            if not self._serving:
                self._starting.call(self._start)

    def due(self, partition: int, due: Ticks | None) -> None:
        """Store when the next message of a partition falls due."""
        if partition not in self.partitions:
            return
        if due is None:
            self._dues.pop(partition, None)
        else:
            self._dues[partition] = due
        self._set_timer()

    def attempt(
        self, claiming: Claiming, partitions: tuple[int, ...], may: May | None
    ) -> Coroutine[Deferred[Any], Any, Delivered]:
        """Attempt a claim."""
        return self._wait_queues.attempt(self.queue, self.group, claiming, partitions, may)

    def leave(self, waiter: InLine) -> None:
        """Remove a claim from the wait queue; one that has left already is passed over."""
        self._waiters.pop(waiter, None)

    def clear_deadline(self, waiter: Expiring) -> None:
        """Forget the deadline of a claim."""
        self._wait_queues.waits.clear_deadline(waiter)

    def _start(self) -> None:
        self._serving = True
        Deferred.fromCoroutine(self._serve())

    async def _serve(self) -> None:
        """Attempt the first waiting claims, batch by batch, until one of them gets no message and no further
        notification has come."""
        more, served = 0, False
        try:
            while self._waiters and (self._notified or self._everywhere):
                partitions = self.partitions
                if not self._everywhere:
                    partitions = tuple([number for number in partitions if number in self._notified])
                notified, everywhere = self._notified, self._everywhere
                self._notified, self._everywhere = _NONE, False
                most = more or max(1, min(_FIRST, self._claims))
                first, self._claims = self._first(most), 0
                got = [await attempt for attempt in [waiter.attempt(partitions) for waiter in first]]
                sure = [one for waiter, one in zip(first, got, strict=True) if not waiter.keyed]
                if any(got) and all(sure):
                    self._notified |= notified
                    self._everywhere = self._everywhere or everywhere
                    more = min(_MOST, most * _FIRST) if more or most == _FIRST else 1
                else:
                    more = 0
            served = True
        finally:
            self._serving = False
            if not served:  # after an error attempt all partitions next time
                self._everywhere, self._claims = True, _FIRST

    def _first(self, most: int) -> list[InLine]:
        """Return the first waiting claims: ``most`` without a key, and those with a key between them, which may get
        nothing although there are messages."""
        first = list[InLine]()
        for waiter in islice(self._waiters, _MOST):
            if not most:
                break
            first.append(waiter)
            most -= not waiter.keyed
        return first

    def _set_timer(self) -> None:
        """Set the timer to the time at which the first message falls due."""
        if not self._waiters or not self._dues:
            return
        clock = self._wait_queues.waits.clock
        pause = max(_SOONEST, (min(self._dues.values()) - self._wait_queues.now()) / SECOND)
        if self._timer is None:
            self._timer = clock.callLater(pause, self._fall_due)
        elif clock.seconds() + pause < self._timer.getTime():
            self._timer.reset(pause)

    def _fall_due(self) -> None:
        self._timer = None
        now = self._wait_queues.now()
        due = {partition for partition, when in self._dues.items() if when <= now}
        for partition in due:
            del self._dues[partition]
        if due:
            self.tell(due)
        self._set_timer()

    def _look_later(self) -> None:
        every = self._wait_queues.waits.look_every
        if every is not None and self._waiters:
            self._looks = self._wait_queues.waits.clock.callLater(max(every, self._pause()), self._look)

    def _look_in_time(self, looks: IDelayedCall) -> None:
        """Look as soon as the store says; claims that came before may have asked for a longer pause."""
        waits = self._wait_queues.waits
        if waits.look_every is not None and looks.getTime() > waits.clock.seconds() + waits.look_every:
            looks.reset(waits.look_every)

    def _pause(self) -> float:
        """Return the shortest pause that the waiting claims ask for."""
        shortest = float("inf")
        for waiter in self._waiters:
            if waiter.look_pause is None:
                return 0
            shortest = min(shortest, waiter.look_pause())
        return shortest

    def _look(self) -> None:
        """Attempt the waiting claims without a notification, because other processes write too."""
        self._looks = None
        self.tell(None)
        self._look_later()


class _Waiter(Deferred[Delivered]):
    """A waiting claim; fires with its result. It is itself a Deferred, which saves one object for each waiting claim.

    :ivar number: of its deadline.
    """

    def __init__(self, wait_queue: WaitQueue, claiming: Claiming, got: Delivered, may: May | None) -> None:
        super().__init__(_hung_up)
        self.number = 0
        self._wait_queue = wait_queue
        self.keyed = claiming.key is not None
        self._claiming = claiming
        self._got = got
        self._may = may
        self._expired = False
        self._attempt: Deferred[Delivered] | None = None

    @property
    def look_pause(self) -> Callable[[], float] | None:
        """See ``InLine``."""
        return self._claiming.look_pause

    def attempt(self, partitions: tuple[int, ...]) -> Deferred[bool]:
        """Attempt the claim. A claim with a key always covers all partitions of its wait queue.

        :return: fires with whether the claim has left the wait queue and further claims may get messages; never fails.
        """
        if self.keyed:
            partitions = self._wait_queue.partitions
        self._attempt = Deferred.fromCoroutine(self._wait_queue.attempt(self._claiming, partitions, self._may))
        return self._attempt.addCallbacks(self._answered, self._failed)

    def expire(self) -> None:
        """Handle the deadline of the wait."""
        self._expired = True
        if self._attempt is None:
            self._fire(self._got)

    def _answered(self, got: Delivered) -> bool:
        self._attempt, self._got = None, got
        if got.deliveries or self._expired:
            self._fire(got)
        return bool(got.deliveries)

    def _failed(self, failure: Failure) -> bool:
        self._attempt = None
        self._fire(failure)
        return not failure.check(Unavailable)

    def _fire(self, result: Delivered | Failure) -> None:
        self._leave()
        if not self.called:
            self.callback(result)

    def _leave(self) -> None:
        self._wait_queue.leave(self)
        self._wait_queue.clear_deadline(self)

    def hang_up(self) -> None:
        """Handle a disconnected caller: leave the wait queue and cancel the attempt."""
        self._leave()
        if self._attempt is not None:
            self._attempt.cancel()


def _hung_up(waiter: Deferred[Any]) -> None:
    assert isinstance(waiter, _Waiter)
    waiter.hang_up()
