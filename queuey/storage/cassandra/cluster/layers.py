"""Layers around a session, whatever its protocol, each of them a session itself.

From outside inwards: :class:`Timed` ends each call, :class:`Bounded` lets so many in, :class:`Retrying` tries again
what may be tried again, :class:`Metered` counts each attempt. A call that waits for its turn has a limit therefore, and
one that waits for its next attempt keeps its place, so that an outage does not pile up calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey.errors import Unavailable
from queuey.model.telemetry.counts import SECONDS, Counter, Histogram, Metric, gauge
from queuey.storage.cassandra.cluster.port import (
    AccessRefused,
    Bound,
    ICQLSession,
    Kind,
    Level,
    Node,
    Row,
    Statement,
    StatementRefused,
    TransactionResult,
)
from queuey.storage.cassandra.times.waiting import growing
from queuey.storage.timed import Deadlines, NotBegun

LONGEST_PAUSE: Final = 1.0
"""Seconds that a pause before a further attempt may grow to."""

T = TypeVar("T")
Send = Callable[[], Deferred[Any]]


@attrs.frozen
class Bounds:
    """Limits of the requests that a session has at once.

    :ivar count: requests under way.
    :ivar size: bytes of their values; one request alone may be larger.
    :ivar waiting: requests that wait for their turn.
    :ivar waiting_size: bytes of their values.
    """

    count: int = 256
    size: int = 16 << 20
    waiting: int = 4096
    waiting_size: int = 32 << 20


@attrs.frozen
class CallLimits:
    """Seconds that calls may take.

    :ivar call: any call but a definition of schema, all attempts included.
    :ivar definition: a definition of schema.
    :ivar first_pause: before the second attempt; those before the next ones grow.
    :ivar attempts: after which no further attempt is begun.
    """

    call: float = 10.0
    definition: float = 40.0
    first_pause: float = 0.05
    attempts: float = 5.0


class Request:
    """One call, as the layers look at it."""

    __slots__ = ("again", "kind", "level", "values")

    def __init__(self, kind: Kind, level: Level | None, values: Sequence[Sequence[Any]], again: bool) -> None:
        self.kind = kind
        self.level = level
        self.values = values
        self.again = again

    def size(self) -> int:
        """Bytes of its values, nearly."""
        return sum(len(value) for values in self.values for value in values if isinstance(value, (bytes, str)))


def layered(
    session: ICQLSession,
    clock: IReactorTime,
    bounds: Bounds,
    limits: CallLimits,
    random: Callable[[], float],
) -> ICQLSession:
    """A session with all layers around it."""
    counted: ICQLSession = Metered(session, clock)
    layered: ICQLSession = Timed(Bounded(Retrying(counted, clock, limits, random), bounds), clock, limits)
    return layered


@implementer(ICQLSession)
class Layer:
    """A session that hands every call to another one; a layer changes ``_pass``, by which all requests go."""

    def __init__(self, inner: ICQLSession) -> None:
        self._inner = inner
        self.metrics: Sequence[Metric] = inner.metrics

    def _pass(self, request: Request, send: Send) -> Deferred[Any]:
        return send()

    def connect(self) -> Deferred[None]:
        """See ICQLSession."""
        return self._inner.connect()

    def nodes(self) -> Sequence[Node]:
        """See ICQLSession."""
        return self._inner.nodes()

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        """See ICQLSession."""
        request = Request(statement.kind, level, (values,), True)
        return self._pass(request, lambda: self._inner.execute(statement, values, level))

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        """See ICQLSession."""
        request = Request(statement.kind, Level.ONE, (values,), False)
        return self._pass(request, lambda: self._inner.execute_on(node, statement, values))

    def batch(self, bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        """See ICQLSession."""
        request = Request(Kind.WRITE, level, [one.values for one in bound], True)
        return self._pass(request, lambda: self._inner.batch(bound, level, logged))

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        """See ICQLSession."""
        return self._pass(
            Request(Kind.TRANSACTION, None, (values,), False), lambda: self._inner.transact(statement, values)
        )

    def close(self) -> Deferred[None]:
        """See ICQLSession."""
        return self._inner.close()


class Timed(Layer):
    """Ends every call in time; one timer serves all, so a call may be half a second late."""

    def __init__(self, inner: ICQLSession, clock: IReactorTime, limits: CallLimits) -> None:
        super().__init__(inner)
        self._calls = Deadlines(clock, limits.call)
        self._definitions = Deadlines(clock, limits.definition)
        self._read = self._calls.around(_sent, writes=False)
        self._write = self._calls.around(_sent, writes=True)
        self._define = self._definitions.around(_sent, writes=True)

    def _pass(self, request: Request, send: Send) -> Deferred[Any]:
        if request.kind is Kind.READ:
            return self._read(send)
        return self._define(send) if request.kind is Kind.DEFINITION else self._write(send)

    def close(self) -> Deferred[None]:
        """See ICQLSession."""
        self._calls.stop()
        self._definitions.stop()
        return self._inner.close()


def _sent(send: Send) -> Deferred[Any]:
    """Send a request."""
    return send()


class _Waiting:
    """A request that waits for its turn."""

    __slots__ = ("answer", "given_up", "size")

    def __init__(self, size: int, give_up: Callable[[_Waiting], None]) -> None:
        self.size = size
        self.given_up = False
        self.answer: Deferred[Any] = Deferred(lambda answer: give_up(self))


class Bounded(Layer):
    """Limits the requests and bytes that are under way; further ones wait, up to a bound, and beyond it are refused.

    The driver itself would block the reactor's thread.
    """

    def __init__(self, inner: ICQLSession, bounds: Bounds) -> None:
        super().__init__(inner)
        self._bounds = bounds
        self._count = self._size = 0
        self._queue: deque[_Waiting] = deque()
        self._waiting = self._waiting_size = 0
        self._draining = False
        self.metrics = (
            gauge("queuey_cassandra_requests_in_flight", "Requests to Cassandra under way.", lambda: self._count),
            gauge("queuey_cassandra_requests_waiting", "Requests that wait for their turn.", lambda: self._waiting),
            *inner.metrics,
        )

    def _pass(self, request: Request, send: Send) -> Deferred[Any]:
        size = request.size()
        if not self._waiting and self._has_room(size):
            return self._begin(send, size)
        bounds = self._bounds
        if self._waiting >= bounds.waiting or self._waiting_size + size > bounds.waiting_size:
            return fail(Unavailable("Too many requests wait for Cassandra."))
        waiting = _Waiting(size, self._give_up)
        self._queue.append(waiting)
        self._waiting += 1
        self._waiting_size += size
        return waiting.answer.addCallback(lambda none: self._begin(send, size))

    def _has_room(self, size: int) -> bool:
        return self._count == 0 or (self._count < self._bounds.count and self._size + size <= self._bounds.size)

    def _begin(self, send: Send, size: int) -> Deferred[Any]:
        self._count += 1
        self._size += size
        return send().addBoth(self._ended, size)

    def _ended(self, result: T, size: int) -> T:
        self._count -= 1
        self._size -= size
        # A call that fails at once returns here inside of the loop, which then continues with the next one.
        if not self._draining:
            self._draining = True
            try:
                self._drain()
            finally:
                self._draining = False
        return result

    def _drain(self) -> None:
        while self._queue and self._has_room(self._queue[0].size):
            waiting = self._queue.popleft()
            if not waiting.given_up:
                self._leave(waiting)
                waiting.answer.callback(None)

    def _leave(self, waiting: _Waiting) -> None:
        self._waiting -= 1
        self._waiting_size -= waiting.size

    def _give_up(self, waiting: _Waiting) -> None:
        waiting.given_up = True
        self._leave(waiting)
        waiting.answer.errback(NotBegun())

    def close(self) -> Deferred[None]:
        """See ICQLSession."""
        queue, self._queue = self._queue, deque()
        for waiting in queue:
            if not waiting.given_up:
                self._leave(waiting)
                waiting.answer.errback(Unavailable("The session with Cassandra was closed."))
        return self._inner.close()


class Retrying(Layer):
    """Repeats reads and writes that failed as Unavailable, after growing pauses; never a transaction.

    There is always a pause: if no node is up the driver fails at once, and the reactor would be busy with repeats.

    :param random: makes numbers from 0 to 1, so that requests that failed together are not repeated together.
    """

    def __init__(
        self, inner: ICQLSession, clock: IReactorTime, limits: CallLimits, random: Callable[[], float]
    ) -> None:
        super().__init__(inner)
        self._clock = clock
        self._limits = limits
        self._random = random
        self._closed = False
        self._pauses: set[Deferred[Any]] = set()
        self._retries = Counter("queuey_cassandra_retries_total", "Further attempts at requests to Cassandra.")
        self.metrics = (self._retries, *inner.metrics)

    def _pass(self, request: Request, send: Send) -> Deferred[Any]:
        if not request.again or request.kind not in (Kind.READ, Kind.WRITE):
            return send()
        return send().addErrback(self._failed, send, _Attempts(self._clock.seconds() + self._limits.attempts))

    def _failed(self, failure: Failure, send: Send, attempts: _Attempts) -> Deferred[Any]:
        failure.trap(Unavailable)
        error: Any = failure.value
        attempts.unsure = attempts.unsure or error.applied == "unknown"
        pause = self._pause(attempts.made)
        attempts.made += 1
        if self._closed or self._clock.seconds() + pause > attempts.deadline:
            applied = "unknown" if attempts.unsure else error.applied
            return fail(Unavailable(error.text, applied=applied, retry_after=error.retry_after))
        wait = deferLater(self._clock, pause, lambda: None)
        self._pauses.add(wait)
        wait.addBoth(self._waited, wait).addCallback(lambda none: self._send_again(send))
        return wait.addErrback(self._failed, send, attempts)

    def _send_again(self, send: Send) -> Deferred[Any]:
        self._retries.add()
        return send()

    def _waited(self, result: Any, wait: Deferred[Any]) -> Any:
        self._pauses.discard(wait)
        if self._closed:
            raise Unavailable("The session with Cassandra was closed.")
        return result

    def _pause(self, made: int) -> float:
        return growing(self._limits.first_pause, made, LONGEST_PAUSE) * (0.5 + self._random() / 2)

    def close(self) -> Deferred[None]:
        """See ICQLSession; what waits for its next attempt has none."""
        self._closed = True
        for wait in list(self._pauses):
            wait.cancel()
        return self._inner.close()


class _Attempts:
    """The attempts at one request."""

    __slots__ = ("deadline", "made", "unsure")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.made = 0
        self.unsure = False


class Metered(Layer):
    """Counts how each attempt went, and how long it took."""

    def __init__(self, inner: ICQLSession, clock: IReactorTime) -> None:
        super().__init__(inner)
        self._clock = clock
        self._errors = Counter(
            "queuey_cassandra_errors_total",
            "Failed attempts at requests to Cassandra, by kind of request and error.",
            ("request", "kind"),
        )
        self._durations = Histogram(
            "queuey_cassandra_request_duration_seconds",
            "Seconds that attempts at requests to Cassandra took, successful or not.",
            SECONDS,
            ("request",),
        )
        self.metrics = (self._errors, self._durations, *inner.metrics)

    def _pass(self, request: Request, send: Send) -> Deferred[Any]:
        return send().addBoth(self._over, request, self._clock.seconds())

    def _over(self, result: T, request: Request, began: float) -> T:
        name = _NAMES[request.kind]
        if isinstance(result, Failure):
            self._errors.add((name, _kind(result)))
        self._durations.observe(self._clock.seconds() - began, (name,))
        return result


_NAMES: Final = {
    Kind.READ: "read",
    Kind.WRITE: "write",
    Kind.TRANSACTION: "transaction",
    Kind.DEFINITION: "definition",
}


def _kind(failure: Failure) -> str:
    """Return how a request failed: ``unavailable`` is certainly not done; ``unknown`` may be done."""
    error = failure.value
    if isinstance(error, Unavailable):
        return "unavailable" if error.applied == "no" else "unknown"
    if isinstance(error, CancelledError):
        return "cancelled"
    return "refused" if isinstance(error, (StatementRefused, AccessRefused)) else "defect"
