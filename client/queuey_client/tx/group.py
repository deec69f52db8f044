"""A consumer group, for Twisted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred

from queuey_client.awaiting.deliveries import AsyncDeliveries
from queuey_client.core.group_calls import ClaimOptions, GroupCalls, Settlement, receipts_of
from queuey_client.core.retry import Seconds
from queuey_client.core.values import Delivery, GroupInfo, Place, Redriven
from queuey_client.core.verdicts import Verdict
from queuey_client.tx.driver import Driver
from queuey_client.tx.worker import Worker

Outcomes = Sequence[tuple[str, str]]
"""Pairs of a receipt and its outcome, in the order asked."""


class Group:
    """The same as :class:`queuey_client.Group`, for Twisted."""

    def __init__(self, driver: Driver, calls: GroupCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the group."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Group {self.name} of {self._calls.queue}>"

    def ensure(self, **settings: Any) -> Deferred[GroupInfo]:
        """Create the group, or give it these settings and leave its others."""
        return self._driver.run(self._calls.ensure(settings))

    def info(self) -> Deferred[GroupInfo]:
        """Return the settings of the group, and how far it is."""
        return self._driver.run(self._calls.info())

    def claim(
        self,
        limit: int = 10,
        *,
        lease: Seconds | None = None,
        wait: Seconds = 20,
        max_bytes: int | None = None,
        partitions: Sequence[int] = (),
    ) -> Deferred[Sequence[Delivery]]:
        """Take messages under a lease. Their leases are not extended: :meth:`worker` does that."""
        options = ClaimOptions(limit, lease, wait, max_bytes, partitions)
        return self._driver.run(self._calls.deliveries(options))

    def ack(self, *deliveries: Delivery | str) -> Deferred[Outcomes]:
        """Say that messages are done."""
        return self._settle(Settlement(ack=receipts_of(deliveries)))

    def retry(self, *deliveries: Delivery | str, delay: Seconds = 0) -> Deferred[Outcomes]:
        """Give messages back, to be given again after ``delay`` seconds."""
        return self._settle(Settlement(retry=[(receipt, delay) for receipt in receipts_of(deliveries)]))

    def reject(self, *deliveries: Delivery | str, reason: str = "") -> Deferred[Outcomes]:
        """Give messages up: to the dead-letter queue if the group has one."""
        return self._settle(Settlement(reject=[(receipt, reason) for receipt in receipts_of(deliveries)]))

    def extend(self, *deliveries: Delivery | str, lease: Seconds | None = None) -> Deferred[Outcomes]:
        """Let leases end ``lease`` seconds from now, or as the group says."""
        return self._settle(Settlement(extend=[(receipt, lease) for receipt in receipts_of(deliveries)]))

    def seek(self, to: datetime | Place, *, partitions: Sequence[int] = ()) -> Deferred[None]:
        """Go on from another place: ``oldest``, ``newest``, a time, an id or a cursor."""
        return self._driver.run(self._calls.seek(to, partitions))

    def redrive(
        self,
        ids: Sequence[str] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        all: bool = False,
    ) -> Deferred[Redriven]:
        """Take dead letters back, however many calls that takes."""
        return self._driver.run(self._calls.redrive(ids, since, until, all))

    def remove(self) -> Deferred[None]:
        """Delete the group; messages stay."""
        return self._driver.run(self._calls.remove())

    def deliveries(self, *, prefetch: int = 1, lease: Seconds = 30) -> AsyncDeliveries:
        """Take messages one after another, in ``async with`` and ``async for``; leases are extended meanwhile."""
        return AsyncDeliveries(self._driver.coroutines, self._calls, prefetch, lease)

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
        """Let a function that returns a Deferred, or a coroutine, work on messages."""
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

    def _settle(self, settlement: Settlement) -> Deferred[Outcomes]:
        return self._driver.run(self._calls.settle(settlement))
