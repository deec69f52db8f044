"""Messages of a group one after another, for programs that have their own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING

from queuey_client.awaiting.driver import AsyncDriver
from queuey_client.awaiting.leased_messages import AsyncLeasedMessages
from queuey_client.core.group_calls import ClaimOptions, GroupCalls
from queuey_client.core.lease_book import Held, LeaseBook
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.values import Delivery
from queuey_client.core.verdicts import ACK, default_verdict

if TYPE_CHECKING:
    from typing_extensions import Self

WAIT = 20.0
SETTLING = 30.0


class AsyncDeliveries(AsyncIterator[Delivery]):
    """Messages one after another, leases extended; for ``async with`` and ``async for``."""

    def __init__(self, driver: AsyncDriver, calls: GroupCalls, prefetch: int, lease: Seconds) -> None:
        self._driver = driver
        self._calls = calls
        self._limit = min(1000, 1 + max(0, prefetch))
        self._lease = in_seconds(lease)
        self._leased = AsyncLeasedMessages(driver, [calls], LeaseBook(self._lease, None), None)
        self._current: Held | None = None
        self._open = False

    async def __aenter__(self) -> Self:
        self._leased.start()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Ack the last message, or give it again if the body has raised; give back what waits."""
        self._open = False
        leased = self._leased
        if self._current is not None:
            verdict = ACK if error is None else default_verdict(self._current.delivery, error)
            leased.book.decide(self._current, verdict, leased.now())
        leased.book.give_back(leased.now(), running=True)
        try:
            await leased.settle_all(SETTLING)
        finally:
            leased.end()

    async def __anext__(self) -> Delivery:
        """Ack the message before, and return the next one; wait until there is one."""
        if not self._open:
            raise ValueError("use it in an async with statement")
        leased = self._leased
        if self._current is not None:
            leased.book.decide(self._current, ACK, leased.now())
            leased.changed.notify()
        self._current = leased.book.take()
        while self._current is None:
            asked = leased.now()
            claimed = await self._driver.run(self._calls.claim(ClaimOptions(self._limit, self._lease, WAIT)))
            leased.book.add(0, claimed.messages, asked)
            self._current = leased.book.take()
            leased.changed.notify()
        return self._current.delivery
