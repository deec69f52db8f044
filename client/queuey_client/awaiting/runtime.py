"""What coroutines need of the loop that runs them: asyncio's or Twisted's."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol

from queuey_client.core.steps import Answer, Ask


class AsyncTransport(Protocol):
    """Brings a request to the server. Bring your own for another HTTP library, or for a test.

    It neither follows redirects nor retries: the core does that. With the method of
    :class:`AsyncStreamingTransport` too, readers that follow a queue use live reads; without it, they wait for one page
    after another.
    """

    async def send(self, ask: Ask) -> Answer:
        """Send a request and return its answer. :raise NoAnswer: if there is none, or not all of it."""

    async def close(self) -> None:
        """Close all connections."""


class AsyncIncoming(Protocol):
    """The body of an answer that is received piece by piece."""

    async def receive(self, seconds: float) -> bytes | None:
        """Return the next piece; ``b""`` at the end, and ``None`` if none comes for so long.

        :raise NoAnswer: if the connection breaks.
        """

    def close(self) -> None:
        """Close the connection, at once. It may be called again."""


class AsyncStreamingTransport(AsyncTransport, Protocol):
    """A transport that can receive an answer piece by piece."""

    async def open(self, ask: Ask) -> Answer:
        """Send a request. Return an answer of status 200 as :class:`~queuey_client.Opened`, whose ``incoming`` is an
        :class:`AsyncIncoming`; return another answer whole.

        :raise NoAnswer: if there is none.
        :raise NotStreaming: if the answer cannot be received piece by piece.
        """


class Task(Protocol):
    """A coroutine that runs beside others."""

    def cancel(self) -> object:
        """Raise the loop's ``CancelledError`` where it waits."""


class Wake(Protocol):
    """What coroutines wait for, to look again whether something has changed."""

    def notify(self) -> None:
        """Wake all that wait."""

    def wait(self, seconds: float | None = None) -> Awaitable[None]:
        """Wait until it is notified, at most for this number of seconds."""


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
