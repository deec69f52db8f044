"""The few Deferred idioms that are used here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredLock, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from queuey.errors import QueueyError

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


def deferred(function: Callable[P, Coroutine[Deferred[Any], Any, T]]) -> Callable[P, Deferred[T]]:
    """Make an ``async def`` return a Deferred at once, so that it satisfies an interface that promises one.

    :param function: a coroutine function.
    :return: a function of the same parameters; its Deferred fires with what the coroutine returns and fails
        with what it raises.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        result = Deferred.fromCoroutine(function(*args, **kwargs))
        if result.called and isinstance(result.result, Failure):
            _trim(result.result)
        return result

    return call


def _trim(failure: Failure) -> None:
    """Drop the traceback of a refusal with which a Deferred fails before its caller has it.

    A coroutine that awaits such a Deferred leaves the Failure in it, whose traceback has a frame that refers to the
    Deferred. An exception that is no refusal keeps its traceback for the log.
    """
    if isinstance(failure.value, QueueyError | CancelledError):
        failure.tb = None
        forget_frames(failure.value)


def forget_frames(error: BaseException | None) -> None:
    """Drop the traceback of an exception that was handled, and of its causes.

    A traceback refers to its frames, each frame to its caller's, and one of these has the Failure with the exception as
    a local variable. Such a cycle, with all that the frames have read, stays until the garbage collector finds it. A
    Failure that is kept elsewhere, for example by the log, has a traceback of its own.
    """
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


class CoroutineRunner(Generic[S]):
    """Drive a coroutine, and call ``on_done(of, failure_or_none)`` when it finishes.

    It runs at once up to where it has to wait. It is like ``Deferred.fromCoroutine``, without allocating a Deferred
    (which took a tenth of the time of a POST). ``cancel()`` cancels what it awaits.

    :ivar waits: whether it has not ended yet.
    """

    __slots__ = ("_coroutine", "_of", "_on_done", "_waits_for", "waits")

    def __init__(
        self, coroutine: Coroutine[Deferred[Any], Any, None], on_done: Callable[[S, Failure | None], None], of: S
    ) -> None:
        """
        :param coroutine: what it awaits are Deferreds, shielded writes, or coroutines of that kind.
        :param on_done: is called with ``of``, and with what the coroutine failed with, or ``None``.
        :param of: what the coroutine serves; a ``partial`` for each would take more memory and time.
        """
        self._coroutine = coroutine
        self._on_done = on_done
        self._of = of
        self._waits_for: Deferred[Any] | None = None
        self.waits = True
        # As ``_go`` does, without a call more.
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            self.waits = False
            on_done(of, None)
        except BaseException:
            self._end(Failure())
        else:
            self._waits_for = waits_for
            waits_for.addCallbacks(self._go, self._fail)

    def cancel(self) -> None:
        """Cancel what it waits for, if it does."""
        if self._waits_for is not None:
            self._waits_for.cancel()

    def _go(self, result: Any) -> None:
        self._waits_for = None
        try:
            waits_for = self._coroutine.send(result)
        except StopIteration:
            self.waits = False
            self._on_done(self._of, None)
        except BaseException:
            self._end(Failure())
        else:
            self._waits_for = waits_for
            waits_for.addCallbacks(self._go, self._fail)

    def _fail(self, failure: Failure) -> None:
        self._waits_for = None
        try:
            waits_for = failure.throwExceptionIntoGenerator(self._coroutine)
        except StopIteration:
            self.waits = False
            self._on_done(self._of, None)
        except BaseException:
            self._end(Failure())
        else:
            self._waits_for = waits_for
            waits_for.addCallbacks(self._go, self._fail)
        finally:
            # The coroutine has received it by now, also if it goes on afterwards.
            forget_frames(failure.value)

    def _end(self, failure: Failure) -> None:
        self.waits = False
        self._on_done(self._of, failure)
        forget_frames(failure.value)


def shield(inner: Deferred[T], done: Callable[[T], None] | None = None) -> Deferred[T]:
    """Protect a write from cancellation: cancelling the result does not cancel ``inner``.

    :param inner: the Deferred of a write that has begun.
    :param done: is called with its result, also if the caller has gone.
    :return: a Deferred that fires or fails as ``inner`` does. If it is cancelled it fails with ``CancelledError``;
        ``inner`` goes on, and its later result is dropped.
    """
    outer: Deferred[T] = Deferred()

    def on_result(value: T) -> None:
        if done is not None:
            done(value)
        if not outer.called:
            outer.callback(value)

    def on_error(failure: Failure) -> None:
        if not outer.called:
            outer.errback(failure)

    inner.addCallbacks(on_result, on_error)
    return outer


class NotAwaited(Exception):
    """A coroutine with a ``ShieldedWrite`` is driven by something that does not wait for it."""


class ShieldedWrite(Generic[T]):
    """A write that was begun, to be waited for once. Cancelling the wait does not cancel the write.

    Like ``shield``, without a second Deferred, which takes another tenth of a POST. Only a coroutine that a
    ``CoroutineRunner`` drives can wait for it: a function with ``types.coroutine`` yields it, which takes less than an
    ``await``. The runner registers its callbacks here as it does with a Deferred. Whatever else drives the coroutine,
    such as ``Deferred.fromCoroutine``, does not wait and sends the write itself back; its caller raises ``NotAwaited``.
    """

    __slots__ = ("_done", "_inner", "_on_error", "_on_result")

    def __init__(self, inner: Deferred[T], done: Callable[[T], None]) -> None:
        """
        :param inner: the Deferred of the write.
        :param done: is called with its result, even if the wait was cancelled.
        """
        self._inner: Deferred[T] | None = inner
        self._done = done
        self._on_result: Callable[[T], None] | None = None
        self._on_error: Callable[[Failure], None] | None = None

    def addCallbacks(self, on_result: Callable[[T], None], on_error: Callable[[Failure], None]) -> None:
        """Call one of these once, when the write has ended or the wait was cancelled."""
        inner, self._inner = self._inner, None
        if inner is None:
            raise RuntimeError("A write is waited for once.")
        self._on_result, self._on_error = on_result, on_error
        inner.addCallbacks(self._succeed, self._fail)

    def cancel(self) -> None:
        """End the wait with ``CancelledError``; the write goes on."""
        self._fail(Failure(CancelledError()))

    def _succeed(self, value: T) -> None:
        on_result, on_error, self._on_result, self._on_error = self._on_result, self._on_error, None, None
        try:
            self._done(value)
        except Exception:
            if on_error is None:
                raise
            on_error(Failure())
        else:
            if on_result is not None:
                on_result(value)

    def _fail(self, failure: Failure) -> None:
        on_error, self._on_result, self._on_error = self._on_error, None, None
        if on_error is not None:
            on_error(failure)


class SingleFlight(Generic[T]):
    """Something that is asked once, for all who want to know it meanwhile."""

    def __init__(self) -> None:
        self._waiting: deque[Deferred[T]] = deque()

    def join(self) -> Deferred[T]:
        """Wait for the answer; a caller that is cancelled does not disturb the others."""
        waiter: Deferred[T] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def answered(self, answer: T | Failure) -> None:
        """Tell all, in the order in which they came."""
        while self._waiting:
            self._waiting.popleft().callback(answer)


class KeyedLock:
    """A lock for each key; callers get it in the order in which they came."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, DeferredLock] = {}

    def take(self, key: Hashable, work: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Do some work when it is its turn.

        :return: fires or fails as what ``work`` returns; when it is cancelled before its turn it is not begun.
        """
        lock = self._locks.setdefault(key, DeferredLock())

        def forget_unused(result: T | Failure) -> T | Failure:
            if not lock.locked:
                self._locks.pop(key, None)
            return result

        return lock.run(work).addBoth(forget_unused)


class NextTurn:
    """Calls a function in the next turn of the reactor, once, however often that is asked for.

    So what many callers of one turn bring is handled together. The function is handed over with each call and kept only
    until it is called, since objects that know each other for good are freed by the garbage collector alone.

    :ivar scheduled: whether the function is to be called.
    """

    __slots__ = ("_clock", "_timer", "scheduled")

    def __init__(self, clock: IReactorTime) -> None:
        """:param clock: the reactor."""
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self.scheduled = False

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the next turn, unless a call is scheduled already."""
        if not self.scheduled:
            self.scheduled = True
            self._timer = self._clock.callLater(0, self._call, function)

    def cancel(self) -> None:
        """Do not call the function."""
        if self._timer is not None and self.scheduled:
            self._timer.cancel()
        self._timer, self.scheduled = None, False

    def _call(self, function: Callable[[], None]) -> None:
        self._timer, self.scheduled = None, False
        function()


class TurnQueue:
    """Gives out turns of the reactor, one after another, in the order in which they are asked for.

    Code that could keep the reactor for long works for a few milliseconds, and then awaits :meth:`next`.
    However many do so at the same time, they together use no more than one slice between two looks at the sockets.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """:param clock: the reactor."""
        self._waiting: deque[Deferred[None]] = deque()
        self._next_turn = NextTurn(clock)

    def next(self) -> Deferred[None]:
        """Wait for a turn; those who asked before have theirs first.

        :return: fires in a later turn of the reactor. May be cancelled, and then takes no turn.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self._next_turn.call(self._turn)
        return waiting

    def _turn(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.called:  # what was cancelled has been called
                if self._waiting:
                    self._next_turn.call(self._turn)
                waiting.callback(None)
                return


def bounded(inner: Deferred[T], seconds: float, clock: IReactorTime, late: Callable[[], Exception]) -> Deferred[T]:
    """Give a wait a limit.

    :param inner: what is waited for; it is cancelled when the time is over.
    :param seconds: how long.
    :param clock: whose time it is.
    :param late: makes the error that the wait fails with when the time is over.
    :return: ``inner``, which then fires or fails as before, or fails with what ``late`` made.
    """
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        inner.cancel()

    timer = clock.callLater(seconds, expire)

    def done(result: T | Failure) -> T | Failure:
        if timer.active():
            timer.cancel()
        if expired and isinstance(result, Failure) and result.check(CancelledError):
            return Failure(late())
        return result

    return inner.addBoth(done)


def report_unhandled(failure: Failure | None = None) -> None:
    """Log an exception at once, as Twisted logs the failure of a Deferred without an errback.

    Use it in loops over callbacks of different clients, so that an error in one does not reach the others.

    :param failure: with the exception; ``None``: the exception that is being handled.
    """
    fail(failure or Failure())
