"""A store whose every call ends in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from queuey.errors import Unavailable
from queuey.interfaces import IStore, Outcome
from queuey.storage.layers import PING, REPLACE_STATE, Operation, StoreLayer

TICK: Final = 0.5
"""Seconds between two checks of the deadlines; a call may end that late."""

P = ParamSpec("P")
T = TypeVar("T")


class NotBegun(CancelledError):
    """A call was cancelled before it began, so it has not changed the store and will not."""


class Deadlines:
    """Ends calls that take too long. One timer serves all of them: a timer for each would cost more than the call.

    :param limit: seconds that a call may take.
    """

    def __init__(self, clock: IReactorTime, limit: float) -> None:
        self._clock = clock
        self._limit = limit
        self._waiting: dict[Deferred[Any], tuple[float, str]] = {}
        self._late: dict[Deferred[Any], Unavailable] = {}
        self._timer: IDelayedCall | None = None

    def around(self, call: Callable[P, Deferred[T]], *, writes: bool) -> Callable[P, Deferred[T]]:
        """Return a function that does a call, and ends the wait for its answer in time.

        The answer then fails with ``Unavailable``, and the call is cancelled: a read is over with that, and a write may
        be done or not.

        :param writes: whether the call may change something.
        """
        seconds, waiting, over = self._clock.seconds, self._waiting, self._over
        limit, applied = self._limit, "unknown" if writes else "no"

        def timed(*arguments: P.args, **named: P.kwargs) -> Deferred[T]:
            answer = call(*arguments, **named)
            if answer.called:
                return answer
            waiting[answer] = (seconds() + limit, applied)
            if self._timer is None:
                self._timer = self._clock.callLater(TICK, self._look)
            # What addBoth does, without a call more.
            mine = (answer,)
            return answer.addCallbacks(over, over, mine, {}, mine, {})

        return timed

    def stop(self) -> None:
        """Stop the timer; the store itself ends the calls that are under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self, result: T | Failure, answer: Deferred[T]) -> T | Failure:
        if answer in self._waiting:
            del self._waiting[answer]
            return result
        late = self._late.pop(answer)
        if isinstance(result, Failure) and result.check(NotBegun):
            late.applied = "no"
        return Failure(late)

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for answer, (deadline, applied) in list(self._waiting.items()):
            if deadline > now:
                break
            if answer not in self._waiting:
                continue  # the caller of one that was late has cancelled it
            del self._waiting[answer]
            self._late[answer] = Unavailable(f"The storage did not answer in {self._limit:g} s.", applied=applied)
            answer.cancel()
        # What a caller asked meanwhile may have set the timer.
        if self._waiting and self._timer is None:
            self._timer = self._clock.callLater(TICK, self._look)


class TimedStore(StoreLayer):
    """A store whose every call ends in time.

    A compare-and-set that does not end in time has an unknown outcome, which is not an error.

    :param limit: seconds that a call may take.
    :param ping_limit: seconds that ``ping`` may take.
    """

    def __init__(self, store: IStore, clock: IReactorTime, limit: float, ping_limit: float) -> None:
        self._deadlines = Deadlines(clock, limit)
        self._pings = Deadlines(clock, ping_limit)
        super().__init__(store)

    def around(self, operation: Operation, call: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
        """See StoreLayer."""
        deadlines = self._pings if operation is PING else self._deadlines
        timed = deadlines.around(call, writes=operation.writes)

        def timed_change(*arguments: P.args, **named: P.kwargs) -> Deferred[T]:
            return timed(*arguments, **named).addErrback(_unknown)

        return timed_change if operation is REPLACE_STATE else timed

    def close(self) -> Deferred[None]:
        """See IStore. The caller limits how long that may take."""
        self._deadlines.stop()
        self._pings.stop()
        return super().close()


def _unknown(failure: Failure) -> Any:
    """Return the outcome of a compare-and-set that failed, if it may have been applied."""
    if isinstance(failure.value, Unavailable) and failure.value.applied == "unknown":
        return Outcome.UNKNOWN
    return failure
