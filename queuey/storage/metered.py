"""A store whose calls are counted: by operation and outcome, with their durations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from queuey.errors import QueueyError, Unavailable
from queuey.interfaces import IStore, Outcome
from queuey.model.telemetry.counts import SECONDS, Counter, Distribution, Histogram, Metric, gauge
from queuey.storage.layers import PING, REPLACE_STATE, Operation, StoreLayer

PAUSE: Final = 5.0
"""Seconds between two checks whether the store answers."""

P = ParamSpec("P")
T = TypeVar("T")


class Meter:
    """Counts the calls of one operation.

    :param seconds: a monotonic clock, of which only differences are used.
    """

    def __init__(self, name: str, operations: Counter, durations: Histogram, seconds: Callable[[], float]) -> None:
        self._name = name
        self._ok = (name, "ok")
        self._add, self._counted = operations.add, operations.values
        self._durations = durations
        self._distribution: Distribution | None = None
        self._seconds = seconds

    def around(self, call: Callable[P, Deferred[T]], *, outcomes: bool) -> Callable[P, Deferred[T]]:
        """Return a function that does a call, and counts it once it is over.

        :param outcomes: whether the result of the call is an ``Outcome``, by which it is counted.
        """
        seconds, failed = self._seconds, self._failed
        succeeded: Callable[[Any, float], Any] = self._decided if outcomes else self._succeeded

        def metered(*arguments: P.args, **named: P.kwargs) -> Deferred[T]:
            answer = call(*arguments, **named)
            began = seconds()
            if answer.called and not answer.paused and not isinstance(answer.result, Failure):
                # Answered from memory, as most look-ups of a queue are: a callback would cost more than the call.
                succeeded(answer.result, began)
                return answer
            times = (began,)
            return answer.addCallbacks(succeeded, failed, times, {}, times)

        return metered

    def _succeeded(self, result: T, began: float) -> T:
        distribution, labels = self._distribution, self._ok
        if distribution is not None and labels in self._counted:
            # Most calls: this is what the functions of the other branch do, without calling them.
            distribution.observe(self._seconds() - began)
            self._counted[labels] += 1
        else:
            self._observe(began)
            self._add(labels)
        return result

    def _decided(self, outcome: Outcome, began: float) -> Outcome:
        self._observe(began)
        self._add((self._name, _OUTCOMES[outcome]))
        return outcome

    def _failed(self, failure: Failure, began: float) -> Failure:
        self._observe(began)
        self._add((self._name, _outcome(failure.value)))
        return failure

    def _observe(self, began: float) -> None:
        distribution = self._distribution
        if distribution is None:
            # An operation that was never called is not shown.
            distribution = self._distribution = self._durations.of((self._name,))
        distribution.observe(self._seconds() - began)


_OUTCOMES: Final = {Outcome.APPLIED: "ok", Outcome.REFUSED: "refused", Outcome.UNKNOWN: "unavailable"}


def _outcome(error: BaseException | None) -> str:
    if isinstance(error, Unavailable):
        return "unavailable"
    if isinstance(error, QueueyError):
        return "refused"
    return "cancelled" if isinstance(error, CancelledError) else "defect"


class MeteredStore(StoreLayer):
    """A store whose calls are counted. While it is open, it is pinged every ``PAUSE`` seconds.

    :param clock: its timers run the pings, and its seconds measure the calls.
    """

    def __init__(self, store: IStore, clock: IReactorTime) -> None:
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._open = False
        self._up = False
        self._operations = Counter(
            "queuey_store_operations_total",
            "Operations of the store, by their result.",
            ("operation", "outcome"),
        )
        self._durations = Histogram(
            "queuey_store_operation_duration_seconds",
            "Seconds from the start of a store operation to its result.",
            SECONDS,
            ("operation",),
        )
        self._up_gauge = gauge("queuey_store_up", "Whether the store answered the last operation.", lambda: self._up)
        super().__init__(store)

    def around(self, operation: Operation, call: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
        """See StoreLayer."""
        meter = Meter(operation.name, self._operations, self._durations, self._clock.seconds)
        metered = meter.around(call, outcomes=operation is REPLACE_STATE)

        def ping(*arguments: P.args, **named: P.kwargs) -> Deferred[T]:
            return metered(*arguments, **named).addBoth(self._answered)

        return ping if operation is PING else metered

    @property
    def metrics(self) -> Sequence[Metric]:
        """See IStore."""
        return (self._operations, self._durations, self._up_gauge, *self._store.metrics)

    def open(self) -> None:
        """See IStore."""
        super().open()
        self._open = True
        self._check()

    def close(self) -> Deferred[None]:
        """See IStore."""
        self._open = self._up = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return super().close()

    def _answered(self, result: T) -> T:
        """Note whether the store answered."""
        if not (isinstance(result, Failure) and result.check(CancelledError)):
            self._up = self._open and not isinstance(result, Failure)
        return result

    def _check(self) -> None:
        """Ping the store, and again some time after it has answered."""
        self._timer = None
        self.ping().addBoth(self._checked)

    def _checked(self, result: Any) -> None:
        if self._open:
            self._timer = self._clock.callLater(PAUSE, self._check)
