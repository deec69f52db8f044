"""Pauses between attempts, time limits, and one log entry for a series of failures."""

from __future__ import annotations

from typing import Final, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.deferreds import bounded
from queuey.errors import QueueyError, Unavailable
from queuey.logs import EventLog
from queuey.storage.cassandra.times.waiting import growing

T = TypeVar("T")

SHORTEST: Final = 0.5
"""Seconds to wait after a first failed attempt; twice as long after each further one, up to ``LONGEST``."""

LONGEST: Final = 5.0


class Pace:
    """Waits that end early once all is to stop."""

    def __init__(self, timer: IReactorTime) -> None:
        self._timer = timer
        self._waiting: set[Deferred[None]] = set()
        self.stopped = False

    def sleep(self, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires after this number of seconds, or when ``stop`` is called."""
        if self.stopped:
            return succeed(None)
        done: Deferred[None] = Deferred()
        call = self._timer.callLater(seconds, done.callback, None)
        self._waiting.add(done)

        def on_done(result: None) -> None:
            self._waiting.discard(done)
            if call.active():
                call.cancel()

        return done.addCallback(on_done)

    def stop(self) -> None:
        """End every wait, now and from now on."""
        self.stopped = True
        for done in list(self._waiting):
            done.callback(None)

    def within(self, answer: Deferred[T], seconds: float) -> Deferred[T]:
        """Give an answer of the cluster a limit: then it fails with ``Unavailable``, and what was asked is unknown."""
        return bounded(
            answer, seconds, self._timer, lambda: Unavailable("The cluster did not answer in time.", applied="unknown")
        )


class Trouble:
    """Logs the first of repeated failures, and the first success after them."""

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(self) -> None:
        self._failures = 0
        self._waited = 0

    def met(self) -> float:
        """An attempt failed, be it by a word of ours or by a defect, with the exception that is handled now.

        :return: seconds to wait before the next.
        """
        failure = Failure()
        self._failures += 1
        if self._failures == 1 and isinstance(failure.value, QueueyError):
            self._log.warn("cluster-silent", "the front end cannot reach the cluster: {error}", error=failure.value)
        elif self._failures == 1:
            self._log.failure("front-end-defect", "what a front end keeps in the cluster", failure)
        self._waited += 1
        return growing(SHORTEST, self._waited - 1, LONGEST)

    def afresh(self) -> None:
        """Start again with short pauses, because something else is attempted from now on."""
        self._waited = 0

    def over(self) -> None:
        """An attempt came through."""
        self.afresh()
        if self._failures:
            self._log.info("cluster-answers", "after {failures} failed attempts", failures=self._failures)
        self._failures = 0
