"""A schedule of a queue, for asyncio."""

from __future__ import annotations

from typing import Any

from queuey_client.awaiting.driver import AsyncDriver
from queuey_client.core.schedule_calls import ScheduleCalls
from queuey_client.core.schedule_values import ScheduleInfo


class Schedule:
    """The same as :class:`queuey_client.Schedule`, for asyncio."""

    def __init__(self, driver: AsyncDriver, calls: ScheduleCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the schedule."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Schedule {self.name} of {self._calls.queue}>"

    async def ensure(self, **settings: Any) -> ScheduleInfo:
        """Create the schedule, or give it these settings and leave its others."""
        return await self._driver.run(self._calls.ensure(settings))

    async def info(self) -> ScheduleInfo:
        """Return the settings of the schedule, and what it does."""
        return await self._driver.run(self._calls.info())

    async def pause(self) -> ScheduleInfo:
        """Pause it: it posts no message until it is resumed."""
        return await self._driver.run(self._calls.pause())

    async def resume(self) -> ScheduleInfo:
        """Let it go on with its next time."""
        return await self._driver.run(self._calls.resume())

    async def remove(self) -> None:
        """Delete the schedule; the messages that it has posted stay."""
        await self._driver.run(self._calls.remove())
