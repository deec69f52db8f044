"""A schedule of a queue, for Twisted."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from queuey_client.core.schedule_calls import ScheduleCalls
from queuey_client.core.schedule_values import ScheduleInfo
from queuey_client.tx.driver import Driver


class Schedule:
    """The same as :class:`queuey_client.Schedule`, for Twisted."""

    def __init__(self, driver: Driver, calls: ScheduleCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the schedule."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Schedule {self.name} of {self._calls.queue}>"

    def ensure(self, **settings: Any) -> Deferred[ScheduleInfo]:
        """Create the schedule, or give it these settings and leave its others."""
        return self._driver.run(self._calls.ensure(settings))

    def info(self) -> Deferred[ScheduleInfo]:
        """Return the settings of the schedule, and what it does."""
        return self._driver.run(self._calls.info())

    def pause(self) -> Deferred[ScheduleInfo]:
        """Pause it: it posts no message until it is resumed."""
        return self._driver.run(self._calls.pause())

    def resume(self) -> Deferred[ScheduleInfo]:
        """Let it go on with its next time."""
        return self._driver.run(self._calls.resume())

    def remove(self) -> Deferred[None]:
        """Delete the schedule; the messages that it has posted stay."""
        return self._driver.run(self._calls.remove())
