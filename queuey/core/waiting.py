"""Waiting for messages: who has read a queue to its end is woken when there may be more."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from types import TracebackType
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from queuey.core.arrival_wait import ArrivalWait
from queuey.core.deadlines import Deadlines, Expiring
from queuey.core.wait_limits import WaitLimits
from queuey.deferreds import NextTurn, report_unhandled
from queuey.errors import QueueyError
from queuey.model.messages.message import NewMessage
from queuey.model.reading.window import NEWEST, Merge, MergeSlice, Position

REST: Final = 0.1
"""Seconds that a reader pauses after it was woken and found no message, since that may happen again and again."""

Look = Callable[[Merge], Deferred[MergeSlice]]
"""Reads the first part of a range of the queue that is waited for."""

AnyListener = Callable[[int, bool], None]
"""Is called with the incarnation of a queue in which a message arrived, and with whether it is not stable yet."""

Listener = Callable[[Set[int] | None, int | None], None]
"""Is called with the partitions in which messages arrived or disappeared (``None``: any partition), and with the number
of messages that arrived (``None``: unknown)."""


class Waits:
    """All waiting readers, by the incarnation of the queue.

    One timer serves all deadlines. On a store that does not report every arrival there is one more timer for each queue
    that is waited for. When it fires, one message is read for all readers of the queue, from the earliest place that
    one of them has not looked at; if there is one, all readers look.

    :ivar clock: the clock of the timers.
    :ivar listeners: those of each queue that has some, by its incarnation; see ``listen``.
    :ivar seats: limits how many may wait; a reader takes a seat before it waits.
    :ivar look_every: seconds between two reads of that timer; ``None`` if the store reports every arrival.
    """

    def __init__(self, clock: IReactorTime, subscribe: Callable[[Callable[[int], None]], float | None]) -> None:
        """
        :param clock: whose timers are used.
        :param subscribe: of the store; see IStore.
        """
        self.clock = clock
        self.seats = WaitLimits()
        self._queues: dict[int, _Awaited] = {}
        self.listeners: dict[int, tuple[Listener, ...]] = {}
        self._deadlines = Deadlines(clock)
        self.look_every = subscribe(self.wake)
        self._ended = False
        self._of_all: AnyListener | None = None

    @property
    def waiting(self) -> int:
        """Number of waiting readers and claims."""
        return len(self._deadlines)

    @property
    def reading(self) -> int:
        """Number of waiting readers."""
        return sum([queue.readers for queue in self._queues.values()])

    def wake(
        self,
        incarnation: int,
        written: Sequence[NewMessage] = (),
        *,
        only_fresh: bool = False,
        offered: bool = False,
    ) -> None:
        """Schedule a wake-up of every reader that waits for a queue, for the next reactor turn.

        :param written: the new messages; empty: anything, in any partition.
        :param only_fresh: whether only readers of unstable messages (``fresh``) need to look.
        :param offered: whether ``offer`` has called the listeners already.
        """
        if self._of_all is not None:
            self._of_all(incarnation, only_fresh)
        if not self._queues and not self.listeners:
            return
        queue = self._queues.get(incarnation)
        if queue is not None and only_fresh and not queue.fresh:
            queue = None
        listeners = None if only_fresh or offered else self.listeners.get(incarnation)
        if queue is None and listeners is None:
            return
        partitions = _partitions(written) if written else None
        if queue is not None:
            queue.tell(partitions)
        if listeners is not None:
            _tell_all(listeners, partitions, _arrived(written))

    def offer(self, incarnation: int, written: Sequence[NewMessage]) -> None:
        """Call the listeners of a queue before new messages are handed to the store: see
        ``IGroupStore.follow_writes``."""
        _tell_all(self.listeners.get(incarnation, ()), _partitions(written), _arrived(written))

    def listen_to_all(self, listener: AnyListener | None) -> None:
        """Call a listener at once for all that arrives in any queue; there is one such listener, or none."""
        self._of_all = listener

    def removed(self, incarnation: int, partitions: Set[int] | None) -> None:
        """Wake listeners because something disappeared: it may be what blocked them.

        :param partitions: of the queue; ``None``: any.
        """
        _tell_all(self.listeners.get(incarnation, ()), partitions, None)

    def listen(self, incarnation: int, listener: Listener) -> None:
        """Call a listener at once for all that arrives in a queue and is stable, or disappears, until ``leave``."""
        self.listeners[incarnation] = (*self.listeners.get(incarnation, ()), listener)

    def leave(self, incarnation: int, listener: Listener) -> None:
        """Stop calling a listener."""
        left = tuple([other for other in self.listeners[incarnation] if other != listener])
        if left:
            self.listeners[incarnation] = left
        else:
            del self.listeners[incarnation]

    def set_deadline(self, waiter: Expiring, seconds: float) -> None:
        """Call ``waiter.expire()`` at its deadline, or when all waits end, until ``clear_deadline``."""
        self._deadlines.add(waiter, self.clock.seconds() + seconds)
        if self._ended:
            waiter.expire()

    def clear_deadline(self, waiter: Expiring) -> None:
        """Forget a deadline."""
        self._deadlines.remove(waiter)

    def join(
        self,
        incarnation: int,
        partitions: Sequence[int],
        seconds: float,
        look: Look,
        *,
        fresh: bool,
        anywhere: bool = False,
    ) -> Waiter:
        """Begin to wait. Call it before the first read, so that no arrival between the two is missed.

        :param partitions: those that the reader reads.
        :param seconds: the time limit.
        :param look: reads the queue.
        :param fresh: whether the reader also wants unstable messages.
        :param anywhere: whether to wake the reader for all partitions, also for those that are added meanwhile.
        """
        queue = self._queues.get(incarnation)
        if queue is None:
            self._queues[incarnation] = queue = _Awaited(self, incarnation, look)
        waiter = Waiter(self.clock, queue, partitions, fresh, anywhere, self._deadlines)
        queue.add(waiter)
        self.set_deadline(waiter, seconds)
        return waiter

    def forget(self, incarnation: int) -> None:
        """Forget a queue that has no waiting reader any more."""
        del self._queues[incarnation]

    def end(self) -> None:
        """End all waits now and from now on: each reader is answered as at its deadline."""
        self._ended = True
        self._deadlines.expire_all()


class Waiter(ArrivalWait):
    """One reader while it waits; as a context manager it leaves at the end, however that comes."""

    __slots__ = (
        "_clock", "_deadlines", "_queue", "anywhere", "fresh", "number", "partitions"
    )  # fmt: skip

    def __init__(
        self,
        clock: IReactorTime,
        queue: _Awaited,
        partitions: Sequence[int],
        fresh: bool,
        anywhere: bool,
        deadlines: Deadlines,
    ) -> None:
        super().__init__()
        self.partitions = partitions
        self.anywhere = anywhere
        self.fresh = fresh
        self.number = 0
        self._clock = clock
        self._queue = queue
        self._deadlines = deadlines

    def __enter__(self) -> Waiter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()

    def leave(self) -> None:
        """Stop waiting. Called once."""
        self._queue.remove(self)
        self._deadlines.remove(self)

    def arrival(self, seen: Position) -> Deferred[bool]:
        """Wait for an arrival; those since the last call count.

        :param seen: the place up to which the reader has looked.
        :return: fires with ``True`` if there may be a message, and with ``False`` at the deadline. May be cancelled.
        """
        if not self._ends_at_once:
            self._queue.waits(seen)
        return self._wait()

    def rest(self) -> Deferred[None]:
        """Wait a little before it is worth to look again.

        :return: fires when it is. May be cancelled.
        """
        return deferLater(self._clock, REST)


class _Awaited:
    """A queue with waiting readers."""

    __slots__ = (
        "_everywhere", "_fresh", "_incarnation", "_look", "_looking", "_looks", "_partitions", "_seen", "_telling",
        "_waiters", "_waits",
    )  # fmt: skip

    def __init__(self, waits: Waits, incarnation: int, look: Look) -> None:
        """:param waits: forgets this object when the last reader has left."""
        self._waits = waits
        self._incarnation = incarnation
        self._look = look
        self._waiters: dict[Waiter, None] = {}
        self._fresh = 0
        self._partitions: frozenset[int] = frozenset()
        self._everywhere = False
        self._telling = NextTurn(waits.clock)
        self._seen = NEWEST
        self._looks: IDelayedCall | None = None
        self._looking: Deferred[MergeSlice] | None = None

    @property
    def readers(self) -> int:
        """Number of readers that wait for it."""
        return len(self._waiters)

    @property
    def fresh(self) -> bool:
        """Return whether a reader wants unstable messages."""
        return self._fresh > 0

    def add(self, waiter: Waiter) -> None:
        """Let one more wait."""
        self._waiters[waiter] = None
        self._fresh += waiter.fresh
        if self._looks is None and self._looking is None:
            self._look_later()

    def remove(self, waiter: Waiter) -> None:
        """Let one wait no more."""
        del self._waiters[waiter]
        self._fresh -= waiter.fresh
        if self._waiters:
            return
        self._waits.forget(self._incarnation)
        self._telling.cancel()
        if self._looks is not None:
            self._looks.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def tell(self, partitions: set[int] | None) -> None:
        """Learn that something has come to some partitions, or to any."""
        if partitions is None:
            self._everywhere = True
        elif partitions:
            self._partitions |= partitions
        else:
            return
        self._telling.call(self._tell)

    def _tell(self) -> None:
        everywhere, partitions = self._everywhere, self._partitions
        self._everywhere, self._partitions = False, frozenset()
        for waiter in list(self._waiters):
            if everywhere or waiter.anywhere or not partitions.isdisjoint(waiter.partitions):
                waiter.tell()

    def waits(self, seen: Position) -> None:
        """Note that a reader has found no message up to a place."""
        self._seen = min(self._seen, seen)

    def _look_later(self) -> None:
        if self._waits.look_every is not None:
            self._looks = self._waits.clock.callLater(self._waits.look_every, self._look_now)

    def _look_now(self) -> None:
        self._looks = None
        if self._seen == NEWEST:
            self._look_later()  # all are looking for themselves
            return
        partitions = set[int]().union(*(waiter.partitions for waiter in self._waiters))
        asked = Merge(tuple(sorted(partitions)), self._seen, limit=1, max_bytes=0, fresh=self.fresh)
        looking = maybeDeferred(self._look, asked)  # whatever the store raises, the next look comes
        self._looking = looking  # before the callbacks, which run at once if the store has answered
        looking.addCallback(self._looked, asked).addErrback(_missed).addBoth(self._go_on)

    def _looked(self, slice: MergeSlice, asked: Merge) -> None:
        if slice.messages:
            self._seen = NEWEST
            self.tell(None)
        elif self._seen == asked.lower:
            self._seen = slice.position

    def _go_on(self, _: object) -> None:
        self._looking = None
        if self._waiters and self._looks is None:
            self._look_later()


def _partitions(written: Sequence[NewMessage]) -> set[int]:
    """Return the partitions of new messages that are not delayed."""
    return {message.partition for message in written if not message.delay}


def _arrived(written: Sequence[NewMessage]) -> int | None:
    """Return the number of new messages that are not delayed; ``None`` if the new messages are not known."""
    return sum([not message.delay for message in written]) or None


def _tell_all(listeners: Sequence[Listener], partitions: Set[int] | None, arrived: int | None) -> None:
    """Call all listeners; an error in one is logged, and reaches neither the others nor the writer that wakes them."""
    for listener in listeners:
        try:
            listener(partitions, arrived)
        except Exception:
            report_unhandled()


def _missed(failure: Failure) -> None:
    """Pass over a look that failed: the next one comes, and so do the deadlines. A defect is logged at once."""
    if not failure.check(QueueyError, CancelledError):
        report_unhandled(failure)
