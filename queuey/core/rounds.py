"""Rounds of work in the background, with a pause after each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from queuey.deferreds import deferred
from queuey.errors import QueueyError


class Rounds:
    """Calls a function until it is stopped, with a pause after each call.

    A refusal (``QueueyError``) is not reported: the store is away, and the next round tries again.

    :param work: does one round, and is never called while it is under way.
    :param pause: seconds between the end of a round and the next one.
    :param defect: is called with an unforeseen error; the rounds go on.
    :ivar stopping: whether ``stop`` was called; a long round looks at it and ends early.
    """

    def __init__(
        self,
        clock: IReactorTime,
        work: Callable[[], Awaitable[None]],
        pause: float,
        defect: Callable[[Failure], None],
    ) -> None:
        self._clock = clock
        self._work = work
        self._pause = pause
        self._defect = defect
        self.stopping = False
        self._ended: Deferred[None] = succeed(None)
        self._pausing: Deferred[Any] | None = None
        self._hurry: IDelayedCall | None = None

    def start(self) -> None:
        """Begin the first round."""
        self._ended = self._run()

    def soon(self, seconds: float) -> None:
        """Begin the next round within this number of seconds; calls in the meantime share it."""
        if self._hurry is None and not self.stopping:
            self._hurry = self._clock.callLater(seconds, self._hurry_up)

    def _hurry_up(self) -> None:
        self._hurry = None
        if self._pausing is not None:
            self._pausing.cancel()

    def stop(self) -> Deferred[None]:
        """Begin no more rounds; fires when the one under way has ended."""
        self.stopping = True
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None
        if self._pausing is not None:
            self._pausing.cancel()
        return self._ended

    @deferred
    async def _run(self) -> None:
        while not self.stopping:
            try:
                await self._work()
            except QueueyError:
                pass
            except Exception:
                self._defect(Failure())
            if not self.stopping:
                self._pausing = deferLater(self._clock, self._pause).addErrback(lambda _: None)
                await self._pausing
                self._pausing = None
