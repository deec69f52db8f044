"""Messages of a group one after another, for programs that have their own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING

from queuey_client.awaiting.driver import AsyncDriver
from queuey_client.awaiting.keeper import AsyncKeeper
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
        self._keeper = AsyncKeeper(driver, [calls], LeaseBook(self._lease, None), None)
        self._current: Held | None = None
        self._open = False

    async def __aenter__(self) -> Self:
        self._keeper.start()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Ack the last message, or give it again if the body has raised; give back what waits."""
        self._open = False
        keeper = self._keeper
        if self._current is not None:
            verdict = ACK if error is None else default_verdict(self._current.delivery, error)
            keeper.book.decide(self._current, verdict, keeper.now())
        keeper.book.give_back(keeper.now(), running=True)
        try:
            await keeper.settle_all(SETTLING)
        finally:
            keeper.end()

    async def __anext__(self) -> Delivery:
        """Ack the message before, and return the next one; wait until there is one."""
        if not self._open:
            raise ValueError("use it in an async with statement")
        keeper = self._keeper
        if self._current is not None:
            keeper.book.decide(self._current, ACK, keeper.now())
            keeper.changed.notify()
        self._current = keeper.book.take()
        while self._current is None:
            asked = keeper.now()
            claimed = await self._driver.run(self._calls.claim(ClaimOptions(self._limit, self._lease, WAIT)))
            keeper.book.add(0, claimed.messages, asked)
            self._current = keeper.book.take()
            keeper.changed.notify()
        return self._current.delivery
