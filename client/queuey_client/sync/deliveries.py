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
from queuey_client.sync.keeper import Keeper
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
        self._keeper = Keeper(driver, [calls], LeaseBook(self._lease, None), None)
        self._current: Held | None = None
        self._open = False

    def __enter__(self) -> Self:
        self._keeper.start()
        self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ack the last message, or give it again if the body has raised; give back what waits."""
        self._open = False
        keeper, now = self._keeper, time.monotonic()
        with keeper.changed:
            if self._current is not None:
                verdict = ACK if error is None else default_verdict(self._current.delivery, error)
                keeper.book.decide(self._current, verdict, now)
            keeper.book.give_back(now, running=True)
        keeper.settle_all(SETTLING)
        keeper.end()

    def __next__(self) -> Delivery:
        """Ack the message before, and return the next one; wait until there is one."""
        if not self._open:
            raise ValueError("use it in a with statement")
        keeper = self._keeper
        with keeper.changed:
            if self._current is not None:
                keeper.book.decide(self._current, ACK, time.monotonic())
                keeper.changed.notify_all()
            self._current = keeper.book.take()
        while self._current is None:
            asked = time.monotonic()
            claimed = self._driver.run(self._calls.claim(ClaimOptions(self._limit, self._lease, WAIT)))
            with keeper.changed:
                keeper.book.add(0, claimed.messages, asked)
                self._current = keeper.book.take()
                keeper.changed.notify_all()
        return self._current.delivery
