"""Deadlines of everybody who waits: ten thousand of them share one timer."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from queuey.deferreds import report_unhandled

_SPARE: Final = 64
"""Deadlines of readers that have left which are kept at the most, beside as many as there are others."""


class Expiring(Protocol):
    """A waiter that has a deadline.

    :ivar number: is given by who watches the deadlines.
    """

    number: int

    def expire(self) -> None:
        """Learn that the deadline has come."""


class Deadlines:
    """Calls each waiter when its deadline has come: a heap of all deadlines, and one timer."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._numbers = count(1)
        self._waiters: dict[int, Expiring] = {}
        self._heap: list[tuple[float, int]] = []
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._waiters)

    def add(self, waiter: Expiring, when: float) -> None:
        """Hear of a waiter, and of its deadline in seconds of the clock."""
        waiter.number = next(self._numbers)
        self._waiters[waiter.number] = waiter
        heappush(self._heap, (when, waiter.number))
        self._set_timer()

    def remove(self, waiter: Expiring) -> None:
        """Forget a waiter."""
        self._waiters.pop(waiter.number, None)
        if len(self._heap) > 2 * len(self._waiters) + _SPARE:
            self._heap = [entry for entry in self._heap if entry[1] in self._waiters]
            heapify(self._heap)
        if not self._waiters:
            self._heap.clear()
            self._set_timer()

    def expire_all(self) -> None:
        """Let every deadline be now."""
        for waiter in list(self._waiters.values()):
            _expire(waiter)

    def _set_timer(self) -> None:
        """Be called no later than at the first deadline; a little too early does no harm."""
        if not self._heap:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        first = self._heap[0][0]
        pause = max(0.0, first - self._clock.seconds())
        if self._timer is None:
            self._timer = self._clock.callLater(pause, self._expire)
        elif first < self._timer.getTime():
            self._timer.reset(pause)

    def _expire(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._heap and self._heap[0][0] <= now:
            waiter = self._waiters.get(heappop(self._heap)[1])
            if waiter is not None:
                _expire(waiter)
        self._set_timer()


def _expire(waiter: Expiring) -> None:
    """Call a waiter whose deadline has come; if it raises an error, log it and go on with the others."""
    try:
        waiter.expire()
    except Exception:
        report_unhandled()
