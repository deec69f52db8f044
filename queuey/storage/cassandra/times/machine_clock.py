"""The clock of a front end: it follows the clock of the machine without jumps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from twisted.logger import Logger

from queuey.logs import EventLog
from queuey.model.stable_time.clock import SteadyClock
from queuey.model.timeid import Ticks

NOTABLE: Final = 1.0
"""Seconds between the clock of the machine and ours that an operator should know of."""


class OwnClock(Protocol):
    """The clock of a front end."""

    def read(self) -> tuple[float, Ticks]:
        """CLOCK_BOOTTIME in seconds, and our own time at that very moment."""

    def follow(self, step: bool) -> float:
        """Follow the clock of the machine, which may have been set.

        :param step: at once, because no front end relies on our time yet.
        :return: by how many seconds it is ahead of ours then.
        """


class MachineClock:
    """The clock of the machine, slewed if it is set.

    :param wall: seconds since 1970.
    :param boottime: CLOCK_BOOTTIME in seconds.
    """

    def __init__(self, wall: Callable[[], float], boottime: Callable[[], float]) -> None:
        self._wall = wall
        self._boottime = boottime
        self._clock = SteadyClock(boottime(), wall())

    def read(self) -> tuple[float, Ticks]:
        """See OwnClock."""
        boot = self._boottime()
        return boot, self._clock.read(boot)

    def follow(self, step: bool) -> float:
        """See OwnClock."""
        return self._clock.follow(self._boottime(), self._wall(), step)


class Follower:
    """Makes our clock follow that of the machine, and logs if that one was set.

    :ivar ahead: by how many seconds the machine's clock was ahead of ours at the last look.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(self, clock: OwnClock) -> None:
        self._clock = clock
        self._said = False
        self.ahead: float | None = None

    def follow(self, step: bool) -> None:
        """See OwnClock."""
        self.ahead = ahead = self._clock.follow(step)
        if abs(ahead) > NOTABLE and not self._said:
            self._log.warn(
                "clock-set",
                "the clock of the machine is {ahead} s ahead of the time that is served",
                ahead=f"{ahead:.1f}",
            )
        self._said = abs(ahead) > NOTABLE
