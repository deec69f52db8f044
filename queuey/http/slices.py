"""Long work that shares the reactor: it is done in slices, one in each turn of the reactor."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


class Slices:
    """Gives out turns of the reactor, in the order in which they are asked for.

    Code that could keep the reactor for long works for a few milliseconds, and then awaits :meth:`next`.
    However many do so at the same time, they together use no more than one slice between two looks at the sockets.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """:param clock: the reactor."""
        self._clock = clock
        self._waiting: deque[Deferred[None]] = deque()
        self._scheduled = False

    def next(self) -> Deferred[None]:
        """Wait for a turn; those who asked before have theirs first.

        :return: fires in a later turn of the reactor. May be cancelled, and then takes no turn.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self._schedule()
        return waiting

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.called:  # what was cancelled has been called
                if self._waiting:
                    self._schedule()
                waiting.callback(None)
                return
