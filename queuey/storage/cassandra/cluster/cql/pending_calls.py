"""Requests that wait for an answer of the CQL driver."""

from __future__ import annotations

from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.pool import Host
from twisted.internet.defer import Deferred
from twisted.python.threadable import isInIOThread

from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.cql.errors import Attempts, of_request
from queuey.storage.cassandra.cluster.port import (
    Kind,
)


class PendingCalls:
    """The requests that are under way.

    :ivar awaited: those whose callers still wait.
    :ivar sent: how many the driver has.
    """

    def __init__(self) -> None:
        self.awaited: set[PendingCall] = set()
        self.sent = 0


class PendingCall:
    """One request under way: a Deferred of ours, and a future of the driver's."""

    __slots__ = (
        "_limit",
        "_reactor",
        "_under_way",
        "attempts",
        "deferred",
        "ended",
        "future",
        "host",
        "profile",
        "size",
    )

    def __init__(self, attempts: Attempts, size: int) -> None:
        self.attempts = attempts
        self.size = size
        self.profile: Any = EXEC_PROFILE_DEFAULT
        self.host: Host | None = None
        self.future: Any = None
        self.ended = False

    def begin(self, under_way: PendingCalls, reactor: Any, limit: int) -> None:
        """It is about to be sent."""
        self.deferred: Deferred[Any] = Deferred(self._cancelled)
        self._under_way = under_way
        self._reactor = reactor
        self._limit = limit
        under_way.awaited.add(self)
        under_way.sent += 1

    def unsure(self) -> str:
        """Return the value of ``applied`` for a request that is given up."""
        return "no" if self.attempts.kind is Kind.READ else "unknown"

    def answer(self, result: Any) -> None:
        """The driver has the answer; called in any thread."""
        if isInIOThread():
            self._answered(result)
        else:
            self._reactor.callFromThread(self._answered, result)

    def error(self, error: Exception) -> None:
        """The driver has failed; called in any thread."""
        if isInIOThread():
            self._failed(error)
        else:
            self._reactor.callFromThread(self._failed, error)

    def failed(self, error: Exception) -> None:
        """It fails with this."""
        if self in self._under_way.awaited:
            self._under_way.awaited.discard(self)
            self.deferred.errback(error)

    def _answered(self, result: Any) -> None:
        self._end()
        if self not in self._under_way.awaited:
            return
        if self.attempts.kind is Kind.DEFINITION and self.future is not None and not self.future.is_schema_agreed:
            self.failed(Unavailable("Cassandra: the nodes do not agree on the schema.", applied="unknown"))
            return
        self._under_way.awaited.discard(self)
        self.deferred.callback(() if result is None else result)

    def _end(self) -> None:
        """The driver has finished the call. It calls this twice if a connection ends just when the time is over."""
        if not self.ended:
            self.ended = True
            self._under_way.sent -= 1

    def _failed(self, error: Exception) -> None:
        self._end()
        self.failed(of_request(error, self.attempts, self.size, self._limit))

    def _cancelled(self, deferred: Deferred[Any]) -> None:
        # The driver cannot cancel: it drops the answer, or gives the request up when its time is over.
        self._under_way.awaited.discard(self)
        self.attempts.last()
