"""A worker, in threads."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from queuey_client.core.errors import QueueyError, Unavailable
from queuey_client.core.group_calls import ClaimOptions, GroupCalls
from queuey_client.core.lease_book import Held, LeaseBook
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.tracing import handling
from queuey_client.core.values import Delivery
from queuey_client.core.verdicts import ACK, Reject, RetryLater, Verdict, default_verdict
from queuey_client.sync.leased_messages import LeasedMessages, OnEvent
from queuey_client.sync.transport import Driver, Hangup, Stopped

logger = logging.getLogger("queuey_client")

WAIT = 20.0
"""Seconds that a claim waits for messages."""

LONGEST_PAUSE = 30.0
"""Seconds between claims at the most, when they fail."""

SETTLING = 5.0
"""Seconds for the last settlements, beyond the grace."""


class Worker:
    """Works on the messages of groups until it is stopped. :meth:`Group.worker` makes one.

    .. code-block:: python

       raise SystemExit(orders.group("billing").worker(bill, threads=4).run())

    What the handler returns acks the message; what it raises gives it again later, or gives it up. Leases of all
    messages that the worker has are extended in the background. If a lease is lost all the same, because the worker was
    paused or cut off for too long, ``delivery.lost`` is set: another worker has the message, and its ack is the one
    that counts.
    """

    def __init__(
        self,
        driver: Driver,
        groups: Sequence[GroupCalls],
        handle: Callable[[Delivery], object],
        *,
        threads: int,
        prefetch: int | None,
        lease: Seconds,
        longest: Seconds | None,
        retry: Callable[[Delivery, Exception], Verdict] | None,
        on_event: OnEvent,
    ) -> None:
        if threads < 1:
            raise ValueError("a worker has a thread at the least")
        self._groups = groups
        self._handle = handle
        self._threads = threads
        self._capacity = min(1000, threads + (threads if prefetch is None else prefetch))
        self._lease = in_seconds(lease)
        self._decide = retry
        book = LeaseBook(self._lease, None if longest is None else in_seconds(longest))
        self._leased = LeasedMessages(driver, groups, book, on_event)
        self._hangup = Hangup(driver)
        self._stopping = threading.Event()
        self._signals = 0
        self._error: BaseException | None = None
        self._answered = True
        self._started: list[threading.Thread] = []

    @property
    def busy(self) -> int:
        """How many messages are worked on at this moment."""
        return self._leased.book.running

    @property
    def healthy(self) -> bool:
        """Whether the last claim was answered: for a liveness probe."""
        return self._answered and self._error is None

    def run(self, *, signals: bool = True, grace: Seconds = 25) -> int:
        """Work until SIGTERM or SIGINT, or :meth:`stop`.

        Then no more messages are claimed, those that wait in the buffer are given back at once, and those that are
        worked on are finished and settled, for ``grace`` seconds at the most. A second signal gives back what is worked
        on as well.

        :param signals: whether SIGTERM and SIGINT stop it; only the main thread can have that.
        :return: the exit status: 0, or 1 if something had to be given back in the middle.
        :raise QueueyError: if the group cannot be claimed from: the key is wrong, the queue does not exist ...
        """
        previous = self._take_signals() if signals else {}
        try:
            self.start()
            while not self._stopping.wait(1.0):
                pass
            finished = self.stop(grace)
        except KeyboardInterrupt:
            # Without signals of its own, in the main thread: give back what has a lease.
            self.stop(0)
            raise
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if self._error is not None:
            raise self._error
        return 0 if finished else 1

    def start(self) -> None:
        """Begin to work, in threads; :meth:`stop` ends it."""
        if self._started:
            raise ValueError("this worker was started already")
        self._leased.start()
        for number in range(len(self._groups)):
            self._begin(self._claim_on, f"queuey claims {number}", number)
        for number in range(self._threads):
            self._begin(self._work, f"queuey worker {number}")

    def stop(self, grace: Seconds = 25) -> bool:
        """Stop as :meth:`run` does after a signal.

        :return: whether all that was worked on is finished and settled.
        """
        leased, book = self._leased, self._leased.book
        until = time.monotonic() + in_seconds(grace)
        self._stopping.set()
        self._hangup.now()
        leased.tell("stopping", busy=book.running)
        with leased.changed:
            given_back = book.give_back(time.monotonic(), running=False)
            leased.changed.notify_all()
            while book.running and self._signals < 2 and time.monotonic() < until:
                # Not for longer, since a signal does not end this wait.
                leased.changed.wait(min(0.2, max(0.0, until - time.monotonic())))
            unfinished = book.give_back(time.monotonic(), running=True)
        settled = leased.settle_all(max(SETTLING, until - time.monotonic()) if not unfinished else SETTLING)
        leased.end()
        leased.tell("stopped", given_back=given_back, unfinished=unfinished, settled=settled)
        return settled and not unfinished

    def _begin(self, target: Callable[..., None], name: str, *arguments: Any) -> None:
        # A daemon: a handler that hangs does not keep the process from its end.
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self._started.append(thread)
        thread.start()

    def _take_signals(self) -> dict[int, Any]:
        def stop(number: int, frame: object) -> None:
            self._signals += 1
            self._stopping.set()

        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}

    # Claims

    def _claim_on(self, number: int) -> None:
        failures = 0
        while self._wait_for_room():
            try:
                self._claim(number)
                failures, self._answered = 0, True
            except Stopped:
                return
            except Exception as error:
                if self._stopping.is_set():
                    return
                group = self._groups[number]
                self._leased.tell("claim-failed", group=group.name, queue=group.queue, error=error)
                if isinstance(error, QueueyError) and not error.retryable and not isinstance(error, Unavailable):
                    self._give_up(error)
                    return
                self._answered = False
                logger.warning("a claim of group %s of %s failed: %s", group.name, group.queue, error)
                self._stopping.wait(min(0.1 * 2.0**failures, LONGEST_PAUSE))
                failures = min(failures + 1, 10)

    def _claim(self, number: int) -> None:
        leased, asked = self._leased, time.monotonic()
        with leased.changed:
            limit = max(1, self._capacity - len(leased.book))
        claimed = self._hangup.driver.run(self._groups[number].claim(ClaimOptions(limit, self._lease, WAIT)))
        with leased.changed:
            leased.book.add(number, claimed.messages, asked)
            if self._stopping.is_set():
                leased.book.give_back(time.monotonic(), running=False)
            leased.changed.notify_all()
        if claimed.messages:
            leased.tell("claimed", messages=len(claimed.messages), group=self._groups[number].name)

    def _wait_for_room(self) -> bool:
        """Wait until the buffer has room. :return: whether to go on."""
        leased = self._leased
        with leased.changed:
            while not self._stopping.is_set() and len(leased.book) >= self._capacity:
                leased.changed.wait(1.0)
        return not self._stopping.is_set()

    def _give_up(self, error: QueueyError) -> None:
        """Stop, because a claim was refused and will be again."""
        self._error = error
        self._stopping.set()

    # Work

    def _work(self) -> None:
        leased = self._leased
        while True:
            with leased.changed:
                held = leased.book.take()
                while held is None and not self._stopping.is_set():
                    leased.changed.wait(1.0)
                    held = leased.book.take()
            if held is None:
                return
            verdict = Verdict.again()
            try:
                verdict = self._work_on(held)
            finally:
                with leased.changed:
                    leased.book.decide(held, verdict, time.monotonic())
                    leased.changed.notify_all()

    def _work_on(self, held: Held) -> Verdict:
        delivery = held.delivery
        began = time.monotonic()
        try:
            with handling(delivery.queue, delivery.group, delivery.headers):
                self._handle(delivery)
        except Exception as error:
            if not isinstance(error, (Reject, RetryLater)):
                logger.exception("the handler failed for message %s of %s", delivery.id, delivery.queue)
            verdict = self._verdict(delivery, error)
            self._leased.tell("failed", delivery=delivery, error=error, verdict=verdict)
            return verdict
        except BaseException:
            # Such as SystemExit: the worker stops, and the message is given again.
            self._stopping.set()
            return Verdict.again()
        self._leased.tell("handled", delivery=delivery, seconds=time.monotonic() - began)
        return ACK

    def _verdict(self, delivery: Delivery, error: Exception) -> Verdict:
        if self._decide is not None and not isinstance(error, (Reject, RetryLater)):
            try:
                return self._decide(delivery, error)
            except Exception:
                logger.exception("retry failed for message %s of %s", delivery.id, delivery.queue)
        return default_verdict(delivery, error)
