"""Measures how late the reactor runs its timers."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from queuey.model.telemetry.counts import SECONDS, Histogram

BEAT: Final = 1.0
"""Seconds between two beats."""


class Pulse:
    """A timer that measures how late it fires.

    :param clock: the reactor.
    :ivar delays: how late it fired.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.delays = Histogram(
            "queuey_reactor_delay_seconds", "Delay of a timer that is due once a second, in seconds.", SECONDS
        )
        self._clock = clock
        self._due: float | None = None
        self._was_late = 0.0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._due = self._clock.seconds() + BEAT
        self._call = self._clock.callLater(BEAT, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = self._due = None
        self._was_late = 0.0

    @property
    def late(self) -> float:
        """Seconds by which the last beat was late, or the next one is already."""
        overdue = 0.0 if self._due is None else self._clock.seconds() - self._due
        return max(self._was_late, overdue)

    def _beat(self) -> None:
        self._was_late = 0.0 if self._due is None else self._clock.seconds() - self._due
        self.delays.observe(self._was_late)
        self.start()
