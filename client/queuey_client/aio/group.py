"""A consumer group, for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from queuey_client.aio.worker import Worker
from queuey_client.awaiting.deliveries import AsyncDeliveries
from queuey_client.awaiting.driver import AsyncDriver
from queuey_client.core.group_calls import ClaimOptions, GroupCalls, Settlement, receipts_of
from queuey_client.core.retry import Seconds
from queuey_client.core.values import Delivery, GroupInfo, Place, Redriven
from queuey_client.core.verdicts import Verdict

Outcomes = Sequence[tuple[str, str]]
"""Pairs of a receipt and its outcome, in the order asked."""


class Group:
    """The same as :class:`queuey_client.Group`, for asyncio."""

    def __init__(self, driver: AsyncDriver, calls: GroupCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the group."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Group {self.name} of {self._calls.queue}>"

    async def ensure(self, **settings: Any) -> GroupInfo:
        """Create the group, or give it these settings and leave its others."""
        return await self._driver.run(self._calls.ensure(settings))

    async def info(self) -> GroupInfo:
        """Return the settings of the group, and how far it is."""
        return await self._driver.run(self._calls.info())

    async def claim(
        self,
        limit: int = 10,
        *,
        lease: Seconds | None = None,
        wait: Seconds = 20,
        max_bytes: int | None = None,
        partitions: Sequence[int] = (),
    ) -> Sequence[Delivery]:
        """Take messages under a lease. Their leases are not extended: :meth:`worker` does that."""
        options = ClaimOptions(limit, lease, wait, max_bytes, partitions)
        return await self._driver.run(self._calls.deliveries(options))

    async def ack(self, *deliveries: Delivery | str) -> Outcomes:
        """Say that messages are done."""
        return await self._settle(Settlement(ack=receipts_of(deliveries)))

    async def retry(self, *deliveries: Delivery | str, delay: Seconds = 0) -> Outcomes:
        """Give messages back, to be given again after ``delay`` seconds."""
        return await self._settle(Settlement(retry=[(receipt, delay) for receipt in receipts_of(deliveries)]))

    async def reject(self, *deliveries: Delivery | str, reason: str = "") -> Outcomes:
        """Give messages up: to the dead-letter queue if the group has one."""
        return await self._settle(Settlement(reject=[(receipt, reason) for receipt in receipts_of(deliveries)]))

    async def extend(self, *deliveries: Delivery | str, lease: Seconds | None = None) -> Outcomes:
        """Let leases end ``lease`` seconds from now, or as the group says."""
        return await self._settle(Settlement(extend=[(receipt, lease) for receipt in receipts_of(deliveries)]))

    async def seek(self, to: datetime | Place, *, partitions: Sequence[int] = ()) -> None:
        """Go on from another place: ``oldest``, ``newest``, a time, an id or a cursor."""
        await self._driver.run(self._calls.seek(to, partitions))

    async def redrive(
        self,
        ids: Sequence[str] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        all: bool = False,
    ) -> Redriven:
        """Take dead letters back, however many calls that takes."""
        return await self._driver.run(self._calls.redrive(ids, since, until, all))

    async def remove(self) -> None:
        """Delete the group; messages stay."""
        await self._driver.run(self._calls.remove())

    def deliveries(self, *, prefetch: int = 1, lease: Seconds = 30) -> AsyncDeliveries:
        """Take messages one after another, in ``async with`` and ``async for``; leases are extended meanwhile."""
        return AsyncDeliveries(self._driver, self._calls, prefetch, lease)

    def worker(
        self,
        handle: Callable[[Delivery], Awaitable[object]],
        *,
        concurrency: int = 10,
        prefetch: int | None = None,
        lease: Seconds = 30,
        longest: Seconds | None = None,
        retry: Callable[[Delivery, Exception], Verdict] | None = None,
        also: Sequence[Group] = (),
        on_event: Callable[[str, Mapping[str, Any]], object] | None = None,
    ) -> Worker:
        """Let a coroutine function work on messages, ``concurrency`` of them at once."""
        return Worker(
            self._driver,
            [self._calls, *[group._calls for group in also]],
            handle,
            concurrency=concurrency,
            prefetch=prefetch,
            lease=lease,
            longest=longest,
            retry=retry,
            on_event=on_event,
        )

    async def _settle(self, settlement: Settlement) -> Outcomes:
        return await self._driver.run(self._calls.settle(settlement))
