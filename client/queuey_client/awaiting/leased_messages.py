"""Keeps leases alive and sends settlements, in a coroutine of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from queuey_client.awaiting.driver import AsyncDriver
from queuey_client.core.errors import QueueyError, Stale
from queuey_client.core.group_calls import GroupCalls
from queuey_client.core.lease_book import LeaseBook, Plan

logger = logging.getLogger("queuey_client")

OnEvent = Optional[Callable[[str, Mapping[str, Any]], object]]


class AsyncLeasedMessages:
    """The messages that a worker has, shared by its coroutines.

    :ivar changed: wakes those that wait for a change of ``book``.
    """

    def __init__(self, driver: AsyncDriver, groups: Sequence[GroupCalls], book: LeaseBook, on_event: OnEvent) -> None:
        self.book = book
        self.now = driver.runtime.now
        self._driver = driver
        self._groups = groups
        self._on_event = on_event
        self._ending = False
        self._at_once = False
        self._sending = False
        self.changed = driver.runtime.wake()

    def start(self) -> None:
        """Begin to keep leases alive."""
        self._driver.runtime.spawn(self._work())

    def tell(self, event: str, **details: Any) -> None:
        """Report an event to the worker's callback; an error of the callback is logged and ignored."""
        if self._on_event is None:
            return
        try:
            self._on_event(event, details)
        except Exception:
            logger.exception("on_event failed for %s", event)

    async def settle_all(self, timeout: float) -> bool:
        """Wait until all that is decided is settled.

        :return: whether it is.
        """
        until = self.now() + timeout
        self._at_once = True
        self.changed.notify()
        try:
            while (self.book.unsettled or self._sending) and self.now() < until:
                await self.changed.wait(until - self.now())
        finally:
            self._at_once = False
        return not (self.book.unsettled or self._sending)

    def end(self) -> None:
        """Let the coroutine end; leases are not extended any more."""
        self._ending = True
        self.changed.notify()

    async def _work(self) -> None:
        while True:
            plans = self.book.plan(self.now(), self._at_once)
            while not plans and not self._ending:
                await self.changed.wait(self.book.due(self.now()))
                plans = self.book.plan(self.now(), self._at_once)
            if not plans:
                return
            self._sending = True
            try:
                for plan in plans:
                    await self._send(plan)
            finally:
                self._sending = False
                self.changed.notify()

    async def _send(self, plan: Plan) -> None:
        group = self._groups[plan.group]
        try:
            outcomes = await self._driver.run(group.settle(plan.settlement))
        except Stale as stale:
            outcomes = stale.outcomes
        except Exception as error:
            again = not isinstance(error, QueueyError) or error.retryable
            logger.warning("settlements of group %s of %s failed: %s", group.name, group.queue, error)
            self.book.failed(plan, again, self.now())
            self.tell("settle-failed", group=group.name, queue=group.queue, error=error)
            return
        for held in self.book.settled(plan, dict(outcomes), self.now()):
            logger.warning("the lease of message %s of %s was lost", held.delivery.id, group.queue)
            self.tell("lost", delivery=held.delivery)
