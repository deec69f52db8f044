"""A push of a queue, for asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from queuey_client.awaiting.driver import AsyncDriver
from queuey_client.core.push_calls import PushCalls
from queuey_client.core.push_values import PushAttempt, PushInfo, PushSecret, PushTest


class Push:
    """The same as :class:`queuey_client.Push`, for asyncio."""

    def __init__(self, driver: AsyncDriver, calls: PushCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the push."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Push {self.name} of {self._calls.queue}>"

    async def ensure(self, **settings: Any) -> PushInfo:
        """Create the push, or give it these settings and leave its others."""
        return await self._driver.run(self._calls.ensure(settings))

    async def info(self) -> PushInfo:
        """Return the settings of the push, and what it does."""
        return await self._driver.run(self._calls.info())

    async def pause(self) -> PushInfo:
        """Pause it: messages wait in the queue until it is resumed."""
        return await self._driver.run(self._calls.pause())

    async def resume(self) -> PushInfo:
        """Let it go on; its endpoint is tried at once."""
        return await self._driver.run(self._calls.resume())

    async def test(self) -> PushTest:
        """Send a test message to the endpoint, and wait for its answer."""
        return await self._driver.run(self._calls.test())

    async def attempts(self) -> Sequence[PushAttempt]:
        """Return the last 100 attempts, the newest first."""
        return await self._driver.run(self._calls.attempts())

    async def add_secret(self) -> PushSecret:
        """Add a secret: from now on each request has a signature of every secret."""
        return await self._driver.run(self._calls.add_secret())

    async def remove_secret(self, id: str) -> None:
        """Remove a secret by its id, once the receiver has another one."""
        await self._driver.run(self._calls.remove_secret(id))

    async def remove(self) -> None:
        """Delete the push and its group; messages stay."""
        await self._driver.run(self._calls.remove())
