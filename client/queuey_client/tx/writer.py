"""A stream of messages, on Twisted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from queuey_client.awaiting.writer import WriterLoop
from queuey_client.core.encoding import Body
from queuey_client.core.errors import QueueyError
from queuey_client.core.queue_calls import QueueCalls
from queuey_client.core.retry import Seconds
from queuey_client.core.values import Draft, make_draft
from queuey_client.tx.driver import Driver

if TYPE_CHECKING:
    from typing_extensions import Self


class Writer:
    """The same as :class:`queuey_client.Writer`, for Twisted; use it in an ``async with`` statement.

    .. code-block:: python

       async with queue.writer() as writer:
           for number in range(10_000):
               await writer.post({"number": number})
    """

    def __init__(
        self,
        driver: Driver,
        calls: QueueCalls,
        linger: Seconds,
        pending: int,
        on_error: Callable[[Draft, QueueyError], object] | None,
    ) -> None:
        self._driver = driver
        self._loop = WriterLoop(driver.coroutines, calls, linger, pending, on_error)

    @property
    def stored(self) -> int:
        """How many messages are stored."""
        return self._loop.backlog.stored

    @property
    def failed(self) -> int:
        """How many messages were refused, or dropped."""
        return self._loop.backlog.failed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._loop.flush()
        finally:
            self._loop.close()

    def post(
        self,
        body: Body | Draft,
        *,
        content_type: str | None = None,
        headers: Mapping[str, Any] | None = None,
        key: str | None = None,
        partition: int | None = None,
        ttl: Seconds | None = None,
        delay: Seconds | None = None,
        idempotency_key: str | None = None,
    ) -> Deferred[None]:
        """Take a message, and return at once; if ``pending`` messages are not stored yet, wait until there is room."""
        draft = make_draft(body, content_type, headers, key, partition, ttl, delay, idempotency_key)
        return self._driver.start(self._loop.post(draft))

    def flush(self, timeout: Seconds | None = None) -> Deferred[None]:
        """Wait until everything so far is stored or refused."""
        return self._driver.start(self._loop.flush(timeout))
