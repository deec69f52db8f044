"""What coroutines need of the loop that runs them: asyncio's or Twisted's."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol

from queuey_client.core.steps import Answer, Ask


class AsyncTransport(Protocol):
    """Brings a request to the server. Bring your own for another HTTP library, or for a test.

    It follows no redirects and repeats nothing: the core does that.
    """

    async def send(self, ask: Ask) -> Answer:
        """Send a request and return its answer. :raise NoAnswer: if there is none, or not all of it."""

    async def close(self) -> None:
        """Close all connections."""


class Task(Protocol):
    """A coroutine that runs beside others."""

    def cancel(self) -> object:
        """Raise the loop's ``CancelledError`` where it waits."""


class Wake(Protocol):
    """What coroutines wait for, to look again whether something has changed."""

    def notify(self) -> None:
        """Wake all that wait."""

    def wait(self, seconds: float | None = None) -> Awaitable[None]:
        """Wait until it is notified, for so many seconds at the most."""


class Runtime(Protocol):
    """A loop."""

    def now(self) -> float:
        """Return seconds that never go back."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> Task:
        """Run a coroutine beside this one."""

    def wake(self) -> Wake:
        """Make something to wait for."""
