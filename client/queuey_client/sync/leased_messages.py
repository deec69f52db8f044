"""Keeps leases alive and sends settlements, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from queuey_client.core.errors import QueueyError, Stale
from queuey_client.core.group_calls import GroupCalls
from queuey_client.core.lease_book import LeaseBook, Plan
from queuey_client.sync.transport import Driver

logger = logging.getLogger("queuey_client")

OnEvent = Optional[Callable[[str, Mapping[str, Any]], object]]


class LeasedMessages:
    """The messages that a worker has, shared by its threads.

    :ivar changed: the lock of ``book``, and what threads wait for.
    """

    def __init__(self, driver: Driver, groups: Sequence[GroupCalls], book: LeaseBook, on_event: OnEvent) -> None:
        self.book = book
        self.changed = threading.Condition()
        self._driver = driver
        self._groups = groups
        self._on_event = on_event
        self._ending = False
        self._at_once = False
        self._sending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to keep leases alive."""
        self._thread = threading.Thread(target=self._work, name="queuey leases", daemon=True)
        self._thread.start()

    def tell(self, event: str, **details: Any) -> None:
        """Report an event to the worker's callback; an error of the callback is logged and ignored."""
        if self._on_event is None:
            return
        try:
            self._on_event(event, details)
        except Exception:
            logger.exception("on_event failed for %s", event)

    def settle_all(self, timeout: float) -> bool:
        """Wait until all that is decided is settled.

        :return: whether it is.
        """
        until = time.monotonic() + timeout
        with self.changed:
            self._at_once = True
            self.changed.notify_all()
            self.changed.wait_for(
                lambda: not (self.book.unsettled or self._sending), max(0.0, until - time.monotonic())
            )
            self._at_once = False
            return not (self.book.unsettled or self._sending)

    def end(self) -> None:
        """Let the thread end; leases are not extended any more."""
        with self.changed:
            self._ending = True
            self.changed.notify_all()

    def _work(self) -> None:
        while True:
            with self.changed:
                plans = self.book.plan(time.monotonic(), self._at_once)
                while not plans and not self._ending:
                    self.changed.wait(self.book.due(time.monotonic()))
                    plans = self.book.plan(time.monotonic(), self._at_once)
                if not plans:
                    return
                self._sending = True
            try:
                for plan in plans:
                    self._send(plan)
            finally:
                with self.changed:
                    self._sending = False
                    self.changed.notify_all()

    def _send(self, plan: Plan) -> None:
        group = self._groups[plan.group]
        try:
            outcomes = self._driver.run(group.settle(plan.settlement))
        except Stale as stale:
            outcomes = stale.outcomes
        except Exception as error:
            again = not isinstance(error, QueueyError) or error.retryable
            logger.warning("settlements of group %s of %s failed: %s", group.name, group.queue, error)
            with self.changed:
                self.book.failed(plan, again, time.monotonic())
            self.tell("settle-failed", group=group.name, queue=group.queue, error=error)
            return
        with self.changed:
            lost = self.book.settled(plan, dict(outcomes), time.monotonic())
        for held in lost:
            logger.warning("the lease of message %s of %s was lost", held.delivery.id, group.queue)
            self.tell("lost", delivery=held.delivery)
