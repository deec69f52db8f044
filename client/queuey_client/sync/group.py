"""A consumer group, for threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from queuey_client.core.group_calls import ClaimOptions, GroupCalls, Settlement, receipts_of
from queuey_client.core.retry import Seconds
from queuey_client.core.values import Delivery, GroupInfo, Place, Redriven
from queuey_client.core.verdicts import Verdict
from queuey_client.sync.deliveries import Deliveries
from queuey_client.sync.transport import Driver
from queuey_client.sync.worker import Worker

Outcomes = Sequence[tuple[str, str]]
"""Pairs of a receipt and its outcome, in the order asked."""


class Group:
    """A consumer group of a queue: each message goes to one of its workers at a time."""

    def __init__(self, driver: Driver, calls: GroupCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the group."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Group {self.name} of {self._calls.queue}>"

    def ensure(self, **settings: Any) -> GroupInfo:
        """Create the group, or give it these settings and leave its others.

        .. code-block:: python

           orders.group("billing").ensure(lease=60, max_deliveries=5, dead_letter="failed-orders")
        """
        return self._driver.run(self._calls.ensure(settings))

    def info(self) -> GroupInfo:
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
    ) -> Sequence[Delivery]:
        """Take messages under a lease. Their leases are not extended: :meth:`worker` does that.

        .. code-block:: python

           for delivery in billing.claim(limit=10):
               bill(delivery.json())
               billing.ack(delivery)

        :param limit: messages at the most, up to 1000.
        :param lease: seconds; as the group says.
        :param wait: seconds to wait for a message, up to 20, if there is none.
        """
        options = ClaimOptions(limit, lease, wait, max_bytes, partitions)
        return self._driver.run(self._calls.deliveries(options))

    def ack(self, *deliveries: Delivery | str) -> Outcomes:
        """Say that messages are done. :raise Stale: if another worker has some of them; the others are acked."""
        return self._settle(Settlement(ack=receipts_of(deliveries)))

    def retry(self, *deliveries: Delivery | str, delay: Seconds = 0) -> Outcomes:
        """Give messages back, to be given again after ``delay`` seconds. :raise Stale: as :meth:`ack` does."""
        return self._settle(Settlement(retry=[(receipt, delay) for receipt in receipts_of(deliveries)]))

    def reject(self, *deliveries: Delivery | str, reason: str = "") -> Outcomes:
        """Give messages up: to the dead-letter queue if the group has one. :raise Stale: as :meth:`ack` does."""
        return self._settle(Settlement(reject=[(receipt, reason) for receipt in receipts_of(deliveries)]))

    def extend(self, *deliveries: Delivery | str, lease: Seconds | None = None) -> Outcomes:
        """Let leases end ``lease`` seconds from now, or as the group says. :raise Stale: as :meth:`ack` does."""
        return self._settle(Settlement(extend=[(receipt, lease) for receipt in receipts_of(deliveries)]))

    def seek(self, to: datetime | Place, *, partitions: Sequence[int] = ()) -> None:
        """Go on from another place: ``oldest``, ``newest``, a time, an id or a cursor."""
        self._driver.run(self._calls.seek(to, partitions))

    def redrive(
        self,
        ids: Sequence[str] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        all: bool = False,
    ) -> Redriven:
        """Take dead letters back, however many calls that takes.

        .. code-block:: python

           orders.group("billing").redrive(all=True)

        :param ids: of the dead letters; or ``since`` and ``until``, when they became that; or ``all``.
        :return: how many, and how many stay because their queue takes no copies of them.
        """
        return self._driver.run(self._calls.redrive(ids, since, until, all))

    def remove(self) -> None:
        """Delete the group; messages stay."""
        self._driver.run(self._calls.remove())

    def deliveries(self, *, prefetch: int = 1, lease: Seconds = 30) -> Deliveries:
        """Take messages one after another, for a ``with`` and a ``for``; leases are extended meanwhile.

        A message is acked when the next one is asked for. If the body of the loop raises, it is given again.

        .. code-block:: python

           with billing.deliveries() as deliveries:
               for delivery in deliveries:
                   bill(delivery.json())

        :param prefetch: messages that are held besides the one that is worked on.
        """
        return Deliveries(self._driver, self._calls, prefetch, lease)

    def worker(
        self,
        handle: Callable[[Delivery], object],
        *,
        threads: int = 1,
        prefetch: int | None = None,
        lease: Seconds = 30,
        longest: Seconds | None = None,
        retry: Callable[[Delivery, Exception], Verdict] | None = None,
        also: Sequence[Group] = (),
        on_event: Callable[[str, Mapping[str, Any]], object] | None = None,
    ) -> Worker:
        """Let a function work on messages.

        .. code-block:: python

           def bill(delivery):
               print(delivery.json())

           raise SystemExit(orders.group("billing").worker(bill, threads=4).run())

        :param handle: what it returns acks the message. What it raises is what ``retry`` says, which is: again after 1,
            2, 4 ... 300 s. :class:`Reject` and :class:`RetryLater` say it themselves.
        :param threads: messages that are worked on at once.
        :param prefetch: messages that are held besides those; as many as threads.
        :param lease: seconds; it is extended after a third of it, also of messages in the buffer. A worker that dies
            holds its messages up for no longer than this.
        :param longest: seconds after which a lease is not extended any more: the handler hangs.
        :param retry: decides what becomes of a message whose handler failed.
        :param also: groups of other queues, from which it takes messages too.
        :param on_event: is called with ``claimed``, ``handled``, ``failed``, ``lost``, ``claim-failed``,
            ``settle-failed``, ``stopping`` and ``stopped``, and with what there is to know, in the worker's threads.
        """
        return Worker(
            self._driver,
            [self._calls, *[group._calls for group in also]],
            handle,
            threads=threads,
            prefetch=prefetch,
            lease=lease,
            longest=longest,
            retry=retry,
            on_event=on_event,
        )

    def _settle(self, settlement: Settlement) -> Outcomes:
        return self._driver.run(self._calls.settle(settlement))
