"""Twisted's reactor, as coroutines of this package need it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger(namespace="queuey_client")


class ReactorWake:
    """What coroutines wait for."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._waiting: set[Deferred[None]] = set()

    def notify(self) -> None:
        """Wake all that wait."""
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            each.callback(None)

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until it is notified, at most for this number of seconds."""
        deferred: Deferred[None] = Deferred()
        self._waiting.add(deferred)
        timer = None if seconds is None else self._reactor.callLater(seconds, self._time_is_over, deferred)
        try:
            await deferred
        finally:
            self._waiting.discard(deferred)
            if timer is not None and timer.active():
                timer.cancel()

    def _time_is_over(self, deferred: Deferred[None]) -> None:
        if deferred in self._waiting:
            self._waiting.discard(deferred)
            deferred.callback(None)


class ReactorRuntime:
    """A reactor, or a clock of a test."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor

    def now(self) -> float:
        """Return the reactor's seconds."""
        return float(self._reactor.seconds())

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        # The wait of something that is never notified ends with its time, and can be cancelled.
        await ReactorWake(self._reactor).wait(seconds)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> Deferred[None]:
        """Run a coroutine beside this one; an error that is no end of it is logged."""
        deferred = Deferred.fromCoroutine(coroutine)
        deferred.addErrback(_ended)
        return deferred

    def wake(self) -> ReactorWake:
        """Make something to wait for."""
        return ReactorWake(self._reactor)


def _ended(failure: Failure) -> None:
    if failure.check(CancelledError) is None:
        log.failure("a coroutine of the client failed", failure=failure)
