"""A schedule of a queue, for threads."""

from __future__ import annotations

from typing import Any

from queuey_client.core.schedule_calls import ScheduleCalls
from queuey_client.core.schedule_values import ScheduleInfo
from queuey_client.sync.transport import Driver


class Schedule:
    """A schedule of a queue: the server posts a message at the times of a cron expression."""

    def __init__(self, driver: Driver, calls: ScheduleCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the schedule."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Schedule {self.name} of {self._calls.queue}>"

    def ensure(self, **settings: Any) -> ScheduleInfo:
        """Create the schedule, or give it these settings and leave its others.

        .. code-block:: python

           nightly = reports.schedule("nightly")
           nightly.ensure(cron="30 2 * * *", timezone="Europe/Berlin", message=Draft("sales"))

        A message is a ``Draft``, or an object as in a batch of the v2 API; it replaces the one before as a whole.
        Programs may call it when they start: if ``cron`` and ``timezone`` stay as they were, no time is lost.
        """
        return self._driver.run(self._calls.ensure(settings))

    def info(self) -> ScheduleInfo:
        """Return the settings of the schedule, and what it does."""
        return self._driver.run(self._calls.info())

    def pause(self) -> ScheduleInfo:
        """Pause it: it posts no message until it is resumed."""
        return self._driver.run(self._calls.pause())

    def resume(self) -> ScheduleInfo:
        """Let it go on with its next time."""
        return self._driver.run(self._calls.resume())

    def remove(self) -> None:
        """Delete the schedule; the messages that it has posted stay."""
        self._driver.run(self._calls.remove())
