"""Messages of a group one after another, for programs that have their own loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from queuey_client.core.group_calls import ClaimOptions, GroupCalls
from queuey_client.core.lease_book import Held, LeaseBook
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.values import Delivery
from queuey_client.core.verdicts import ACK, default_verdict
from queuey_client.sync.leased_messages import LeasedMessages
from queuey_client.sync.transport import Driver

if TYPE_CHECKING:
    from typing_extensions import Self

WAIT = 20.0
SETTLING = 30.0
"""Seconds that leaving the ``with`` statement waits for the last settlement."""


class Deliveries(Iterator[Delivery]):
    """Messages one after another, leases extended. :meth:`Group.deliveries` makes one."""

    def __init__(self, driver: Driver, calls: GroupCalls, prefetch: int, lease: Seconds) -> None:
        self._driver = driver
        self._calls = calls
        self._limit = min(1000, 1 + max(0, prefetch))
        self._lease = in_seconds(lease)
        self._leased = LeasedMessages(driver, [calls], LeaseBook(self._lease, None), None)
        self._current: Held | None = None
        self._open = False

    def __enter__(self) -> Self:
        self._leased.start()
        self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ack the last message, or give it again if the body has raised; give back what waits."""
        self._open = False
        leased, now = self._leased, time.monotonic()
        with leased.changed:
            if self._current is not None:
                verdict = ACK if error is None else default_verdict(self._current.delivery, error)
                leased.book.decide(self._current, verdict, now)
            leased.book.give_back(now, running=True)
        leased.settle_all(SETTLING)
        leased.end()

    def __next__(self) -> Delivery:
        """Ack the message before, and return the next one; wait until there is one."""
        if not self._open:
            raise ValueError("use it in a with statement")
        leased = self._leased
        with leased.changed:
            if self._current is not None:
                leased.book.decide(self._current, ACK, time.monotonic())
                leased.changed.notify_all()
            self._current = leased.book.take()
        while self._current is None:
            asked = time.monotonic()
            claimed = self._driver.run(self._calls.claim(ClaimOptions(self._limit, self._lease, WAIT)))
            with leased.changed:
                leased.book.add(0, claimed.messages, asked)
                self._current = leased.book.take()
                leased.changed.notify_all()
        return self._current.delivery
