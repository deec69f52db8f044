"""The process that owns a store, and those that reach it through there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final

import msgspec
from twisted.internet.defer import CancelledError, Deferred, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from queuey.deferreds import NextTurn, bounded
from queuey.errors import QueueyError, Unavailable
from queuey.interfaces import IStore
from queuey.logs import EventLog
from queuey.model.applications.policy import WriteTerms
from queuey.model.groups.commands import Ran
from queuey.model.messages.columns import body_bytes
from queuey.model.messages.message import NewMessage
from queuey.model.queues.queue import Queue
from queuey.model.reading.many import ManySlice
from queuey.model.timeid import MessageId
from queuey.storage.caching import Name
from queuey.storage.shared.announced import AnnouncedStore
from queuey.storage.shared.calls import CALLS, FromOwner, FromWorker, StoreCall, error_record
from queuey.storage.shared.client import GROUP_CALLS, STATE_CALLS, STORE_CALLS
from queuey.storage.shared.flow import EXPECTED, Flow, Sizes, is_over
from queuey.storage.shared.frames import Frames, encoded
from queuey.storage.shared.lease import TERM
from queuey.storage.shared.portions import PORTION, Portions, messages_of, size_of

PATIENCE: Final = 15.0
"""Seconds within which a worker must read its invalidations; after that it counts as stuck."""

MAX_BEHIND: Final = 100_000
"""Invalidations, some 30 MB of them, that a worker may leave unread; with more it counts as stuck."""

MARGIN: Final = 0.001
"""Seconds after the end of a lease at which a change goes on; sums of floating-point numbers are not exact."""

_SHOWING: Final = frozenset({"append", "append_once", "close_queue", "replace", "put", "restore"})
"""Calls after which a waiting reader may find a message."""


class Hub:
    """All workers that reach a store through this process, which owns it.

    What they cache is never served once a change of it is answered: see :mod:`queuey.storage.shared.lease`.
    """

    def __init__(self, store: IStore, clock: IReactorTime, log: EventLog) -> None:
        """:param store: the store; this process caches no more of it than it invalidates by itself.
        :param clock: the reactor.
        """
        self._clock = clock
        self._log = log
        self._ends: dict[OwnerEnd, None] = {}
        self._changes: list[Name] = []
        self.sizes = Sizes()
        self.store = AnnouncedStore(store, self)

    def join(self, stuck: Callable[[], None]) -> OwnerEnd:
        """Return the owner's end of the socket to one more process.

        :param stuck: is called if the process does not read for long; it has to be ended, because its invalidations
            pile up.
        """
        return OwnerEnd(self, self._clock, self._log, stuck)

    def opened(self, end: OwnerEnd) -> None:
        """Note that a process is connected, and invalidate what is being changed right now."""
        self._ends[end] = None
        for name in self._changes:
            end.let_go(name)

    def has(self, end: OwnerEnd) -> bool:
        """Whether a process hears of every change."""
        return end in self._ends

    def closed(self, end: OwnerEnd) -> None:
        """Learn that it is not any more."""
        self._ends.pop(end, None)

    def arrived(self, incarnation: int, besides: OwnerEnd | None = None) -> None:
        """Tell all processes, or all but one, that there may be more in a queue."""
        for end in self._ends:
            if end is not besides:
                end.arrived(incarnation)

    def begin(self, name: Name) -> Deferred[None]:
        """Begin a change.

        :return: fires, and never fails, once no worker can serve from its cache what is changed; at the latest after
            ``TERM`` seconds.
        """
        self._changes.append(name)
        if not self._ends:
            return succeed(None)
        return gatherResults([end.let_go(name) for end in tuple(self._ends)]).addCallback(lambda _: None)

    def end(self, name: Name) -> None:
        """End a change."""
        self._changes.remove(name)
        for end in self._ends:
            end.send(0, FromOwner.CHANGED, name)


class OwnerEnd(Frames):
    """The owner's end of the socket to one process.

    :ivar other: takes what has to do with no store, whose kinds are from ``CONTROL`` on, and below ``CALLS``.
    """

    def __init__(self, hub: Hub, clock: IReactorTime, log: EventLog, stuck: Callable[[], None]) -> None:
        super().__init__(clock)
        self._hub = hub
        self._log = log
        self._stuck = stuck
        self.other: Callable[[int, int, msgspec.Raw], None] = _ignore
        self._under_way: dict[int, Deferred[Any]] = {}
        self._flow = Flow(self._call, lambda: self.unsent)
        self._sending: deque[Portions] = deque()
        self._numbers = count(1)
        self._letting_go: dict[int, _LettingGo] = {}
        self._leased_until = 0.0
        self._watch: IDelayedCall | None = None
        self._arrived: dict[int, None] = {}
        self._arrivals = NextTurn(clock)
        self._portions = NextTurn(clock)

    def arrived(self, incarnation: int) -> None:
        """Tell the process that there may be more in a queue; once a turn."""
        self._arrived[incarnation] = None
        self._arrivals.call(self._tell_arrived)

    def _tell_arrived(self) -> None:
        """Send the queues that may have more, once the socket has taken all that was sent before.

        While a worker does not read, each queue waits here once, instead of a message for each turn of the reactor.
        """
        if not self._arrived or (self.transport is not None and self.transport.unsent):
            return
        arrived, self._arrived = self._arrived, {}
        self.send(0, FromOwner.ARRIVED, list(arrived))

    def let_go(self, name: Name) -> Deferred[None]:
        """Tell the worker to drop what is about to be changed from its cache.

        :return: fires, and never fails, once it has, is gone, or has no lease any more to use its cache.
        """
        number, now = next(self._numbers), self._clock.seconds()
        # Leases that are granted from now on are read after the change.
        left = self._leased_until - now
        letting_go = self._letting_go[number] = _LettingGo(now)
        if self._watch is None:
            self._watch = self._clock.callLater(PATIENCE, self._look)
        self.send(number, FromOwner.CHANGING, name)
        if len(self._letting_go) == MAX_BEHIND + 1:  # once: it takes a moment until the worker is gone
            self._end()
        if left <= 0:
            return succeed(None)
        answer = bounded(letting_go.answer, left + MARGIN, self._clock, lambda: Unavailable(""))
        return answer.addErrback(_lease_has_ended)

    def _has_let_go(self, number: int) -> None:
        letting_go = self._letting_go.pop(number, None)
        if letting_go is not None:
            letting_go.tell()
        if not self._letting_go:
            self._stop_watch()

    def _look(self) -> None:
        """End a worker that has not read its socket for too long."""
        self._watch = None
        first = next(iter(self._letting_go.values()))
        left = first.since + PATIENCE - self._clock.seconds()
        if left > 0:
            self._watch = self._clock.callLater(left, self._look)
        else:
            self._end()

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _end(self) -> None:
        self._stuck()
        if self.transport is not None:
            self.transport.abortConnection()

    def _renew(self) -> None:
        """Let the worker use its cache for some time, once it has read all that was sent before."""
        if self._hub.has(self):
            self._leased_until = self._clock.seconds() + TERM
            self.send(0, FromOwner.LEASE, self._leased_until)

    def received(self, number: int, kind: int, body: msgspec.Raw) -> None:
        """Take a call, or what goes with one."""
        if kind == FromWorker.APPEND:
            self._append(*_lone(body))
        elif kind == FromWorker.CANCEL:
            if (under_way := self._under_way.pop(number, None)) is not None:
                under_way.cancel()
            else:
                self._forget(number)
        elif kind == FromWorker.READY:
            self._has_let_go(number)
        elif kind == FromWorker.RENEW:
            self._renew()
        elif kind == FromWorker.JOIN:
            self._hub.opened(self)
        elif kind < CALLS:
            self.other(number, kind, body)
        else:
            call = _CALLS[kind]
            arguments = call.arguments(body)
            if kind not in _EXPECTED or self._may_begin(number, call, arguments):
                self._call(number, call, arguments)

    def _may_begin(self, number: int, call: StoreCall, arguments: tuple[Any, ...]) -> bool:
        """Whether a call whose answer may have messages begins now; if not, it begins later."""
        size = _EXPECTED[call.kind](self._hub.sizes, *arguments)
        return not size or self._flow.enter(number, size, number, call, arguments)

    def _append(
        self, queue: Queue, terms: WriteTerms, numbers: tuple[int, ...], messages: tuple[NewMessage, ...]
    ) -> None:
        """Append messages that came alone, at once: they take what one batch takes."""
        others = (queue, terms, numbers, messages)
        try:
            stored = self._hub.store.append(queue, messages, terms)
        except Exception:
            self._append_each(Failure(), *others)
            return
        stored.addCallbacks(self._appended, self._append_each, (queue, numbers), {}, others)

    def _appended(self, ids: tuple[MessageId, ...], queue: Queue, numbers: tuple[int, ...]) -> None:
        self.send(0, FromOwner.APPENDED, (numbers, ids))
        self._hub.arrived(queue.incarnation, self)

    def _append_each(
        self,
        failure: Failure,
        queue: Queue,
        terms: WriteTerms,
        numbers: tuple[int, ...],
        messages: tuple[NewMessage, ...],
    ) -> None:
        """Append each by itself: what is wrong with one is no matter of the others, but that the store is away is."""
        if len(numbers) == 1 or failure.check(Unavailable):
            for number in numbers:
                self._failed(failure, number)
            return
        for number, message in zip(numbers, messages, strict=True):
            self._call(number, STORE_CALLS["append"], (queue, (message,), terms))

    def _call(self, number: int, call: StoreCall, arguments: tuple[Any, ...]) -> None:
        target: Any = self._hub.store
        if call.kind in _OF_STATES:
            target = target.states
        elif call.kind in _OF_GROUPS:
            target = target.groups
        try:
            answer = getattr(target, call.name)(*arguments)
        except Exception:
            self._failed(Failure(), number)
            return
        self._under_way[number] = answer
        answer.addCallbacks(self._answered, self._failed, callbackArgs=(number, call, arguments), errbackArgs=(number,))

    def _answered(self, result: Any, number: int, call: StoreCall, arguments: Sequence[Any]) -> None:
        self._under_way.pop(number, None)
        try:
            if call.kind not in _EXPECTED:
                self.send(number, FromOwner.ANSWER, result)
            elif self._send_messages(number, result, arguments[0]):
                self._flow.leave(number)
        except Exception:
            self._failed(Failure(), number)
        if call.name in _SHOWING and call.kind in _OF_STORE:
            self._hub.arrived(arguments[0].incarnation, self)

    def _send_messages(self, number: int, result: Any, queue: Queue) -> bool:
        """Send an answer with messages; whether all of it was handed over."""
        if not isinstance(result, Ran):
            if not isinstance(result, ManySlice) and (result.messages or is_over(result)):
                self._hub.sizes.note(queue, result.messages, body_bytes(result.messages))
            self.send(number, FromOwner.ANSWER, result)
            return True
        messages = messages_of(result)
        size = size_of(messages)
        if messages:
            self._hub.sizes.note(queue, messages, size)
        if size <= PORTION:
            self.send(number, FromOwner.ANSWER, result)
            return True
        self._sending.append(Portions(number, result, messages, size))
        self._portions.call(self._send_portions)  # by then the caller has forgotten the messages
        return False

    def _send_portions(self) -> None:
        """Send portions of answers, no more than the worker takes."""
        while self._sending and not self._lost and self.unsent < PORTION:
            first = self._sending[0]
            try:
                if portion := first.next():
                    self._send_alone(first.number, FromOwner.PORTION, encoded(portion))
                    continue
                self.send(first.number, FromOwner.ANSWER, first.rest)
            except Exception:
                self._failed(Failure(), first.number)
            self._sending.popleft()
            self._flow.leave(first.number)

    def _forget(self, number: int) -> None:
        """Forget a call that has not begun, or what is left of its answer: its caller is gone."""
        self._flow.forget(number)
        for each in [each for each in self._sending if each.number == number]:
            self._sending.remove(each)
            self._flow.leave(number)

    def drained(self) -> None:
        """See Frames."""
        self._send_portions()
        self._flow.go_on()
        self._tell_arrived()

    def _failed(self, failure: Failure, number: int) -> None:
        self._under_way.pop(number, None)
        self._flow.leave(number)
        if failure.check(QueueyError):
            self.send(number, FromOwner.ERROR, error_record(failure.value))  # type: ignore[arg-type]
        elif not failure.check(CancelledError):
            self._log.failure("store-defect", "a call from another process failed", failure)
            self.send(number, FromOwner.DEFECT, failure.getErrorMessage())

    def defect(self, number: int, kind: int, failure: Failure) -> None:
        """See Frames: a call fails; anything else is logged, unless it is appends whose numbers cannot be read."""
        if kind >= CALLS:
            self._failed(failure, number)
        elif kind == FromWorker.APPEND:
            failure.raiseException()  # which ends the connection, so that those who wait for an answer get one
        else:
            self._log.failure("store-defect", "a message of a worker could not be read", failure)

    def ended(self) -> None:
        """Count the process out; what it wrote goes on, what it read is of no use any more."""
        self._hub.closed(self)
        self._flow.clear()
        self._sending.clear()
        self._arrived.clear()
        self._stop_watch()
        letting_go, self._letting_go = self._letting_go, {}
        for each in letting_go.values():
            each.tell()


class _LettingGo:
    """A change that a worker has not read of yet.

    :ivar since: when the change was sent to it.
    :ivar answer: fires when it has read of it.
    """

    __slots__ = ("answer", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.answer: Deferred[None] = Deferred()

    def tell(self) -> None:
        """Let the change go on, unless it has gone on already."""
        if not self.answer.called:
            self.answer.callback(None)


def _lease_has_ended(failure: Failure) -> None:
    failure.trap(Unavailable)


def _ignore(number: int, kind: int, body: msgspec.Raw) -> None:
    pass


_lone: Final = msgspec.msgpack.Decoder(tuple[Queue, WriteTerms, tuple[int, ...], tuple[NewMessage, ...]]).decode
_CALLS: Final = {call.kind: call for call in (*STORE_CALLS.values(), *STATE_CALLS.values(), *GROUP_CALLS.values())}
_OF_STATES: Final = frozenset(call.kind for call in STATE_CALLS.values())
_OF_STORE: Final = frozenset(call.kind for call in STORE_CALLS.values())
_OF_GROUPS: Final = frozenset(call.kind for call in GROUP_CALLS.values())
_EXPECTED: Final = {
    calls[name].kind: expected
    for calls in (STORE_CALLS, GROUP_CALLS)
    for name, expected in EXPECTED.items()
    if name in calls
}
"""Calls whose answers may have messages, by their kinds; what says how large they may be."""
