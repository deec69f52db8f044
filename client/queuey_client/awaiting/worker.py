"""A worker made of coroutines."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from queuey_client.awaiting.driver import AsyncDriver
from queuey_client.awaiting.leased_messages import AsyncLeasedMessages, OnEvent
from queuey_client.awaiting.runtime import Task
from queuey_client.core.errors import QueueyError, Unavailable
from queuey_client.core.group_calls import ClaimOptions, GroupCalls
from queuey_client.core.lease_book import Held, LeaseBook
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.tracing import handling
from queuey_client.core.values import Delivery
from queuey_client.core.verdicts import ACK, Reject, RetryLater, Verdict, default_verdict

logger = logging.getLogger("queuey_client")

WAIT = 20.0
LONGEST_PAUSE = 30.0
SETTLING = 5.0


class AsyncWorker:
    """Works on the messages of groups until it is stopped; the same as a worker in threads.

    :ivar error: why it has stopped by itself, such as a key that is wrong.
    """

    def __init__(
        self,
        driver: AsyncDriver,
        groups: Sequence[GroupCalls],
        handle: Callable[[Delivery], Awaitable[object]],
        *,
        concurrency: int,
        prefetch: int | None,
        lease: Seconds,
        longest: Seconds | None,
        retry: Callable[[Delivery, Exception], Verdict] | None,
        on_event: OnEvent,
    ) -> None:
        if concurrency < 1:
            raise ValueError("a worker works on one message at a time at the least")
        self._driver = driver
        self._groups = groups
        self._handle = handle
        self._concurrency = concurrency
        self._capacity = min(1000, concurrency + (concurrency if prefetch is None else prefetch))
        self._lease = in_seconds(lease)
        self._decide = retry
        book = LeaseBook(self._lease, None if longest is None else in_seconds(longest))
        self._leased = AsyncLeasedMessages(driver, groups, book, on_event)
        self._stopping = False
        self._hurried = False
        self._answered = True
        self._started = False
        self._claiming: list[Task] = []
        self._working: list[Task] = []
        self.error: QueueyError | None = None

    @property
    def busy(self) -> int:
        """How many messages are worked on at this moment."""
        return self._leased.book.running

    @property
    def healthy(self) -> bool:
        """Whether the last claim was answered: for a liveness probe."""
        return self._answered and self.error is None

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping

    def begin(self) -> None:
        """Begin to work."""
        if self._started:
            raise ValueError("this worker was started already")
        self._started = True
        self._leased.start()
        spawn = self._driver.runtime.spawn
        self._claiming = [spawn(self._claim_on(number)) for number in range(len(self._groups))]
        self._working = [spawn(self._work()) for _ in range(self._concurrency)]

    def ask_to_stop(self) -> None:
        """Stop claiming; the second time, give back what is worked on as well."""
        self._hurried = self._stopping
        self._stopping = True
        self._leased.changed.notify()

    async def stopped(self) -> None:
        """Wait until it is asked to stop."""
        while not self._stopping:
            await self._leased.changed.wait()

    async def finish(self, grace: float) -> bool:
        """Stop.

        :return: whether all that was worked on is finished and settled.
        """
        leased, book = self._leased, self._leased.book
        until = leased.now() + grace
        if not self._stopping:
            self.ask_to_stop()
        for task in self._claiming:
            task.cancel()
        leased.tell("stopping", busy=book.running)
        unfinished = 0
        try:
            given_back = book.give_back(leased.now(), running=False)
            leased.changed.notify()
            while book.running and not self._hurried and leased.now() < until:
                await leased.changed.wait(until - leased.now())
        finally:
            unfinished = book.give_back(leased.now(), running=True)
            for task in self._working:
                task.cancel()
        settled = await leased.settle_all(max(SETTLING, until - leased.now()) if not unfinished else SETTLING)
        leased.end()
        leased.tell("stopped", given_back=given_back, unfinished=unfinished, settled=settled)
        return settled and not unfinished

    async def abandon(self) -> None:
        """Give back all that it has, at once."""
        leased = self._leased
        self._stopping = self._hurried = True
        for task in [*self._claiming, *self._working]:
            task.cancel()
        leased.book.give_back(leased.now(), running=True)
        await leased.settle_all(SETTLING)
        leased.end()

    # Claims

    async def _claim_on(self, number: int) -> None:
        failures = 0
        group, leased = self._groups[number], self._leased
        while not self._stopping:
            if len(leased.book) >= self._capacity:
                await leased.changed.wait()
                continue
            try:
                await self._claim(number)
                failures, self._answered = 0, True
            except Exception as error:
                if self._stopping:
                    return
                leased.tell("claim-failed", group=group.name, queue=group.queue, error=error)
                if isinstance(error, QueueyError) and not error.retryable and not isinstance(error, Unavailable):
                    self.error = error
                    self.ask_to_stop()
                    return
                self._answered = False
                logger.warning("a claim of group %s of %s failed: %s", group.name, group.queue, error)
                await self._driver.runtime.sleep(min(0.1 * 2.0**failures, LONGEST_PAUSE))
                failures = min(failures + 1, 10)

    async def _claim(self, number: int) -> None:
        leased, group = self._leased, self._groups[number]
        limit, asked = max(1, self._capacity - len(leased.book)), leased.now()
        claimed = await self._driver.run(group.claim(ClaimOptions(limit, self._lease, WAIT)))
        leased.book.add(number, claimed.messages, asked)
        if self._stopping:
            leased.book.give_back(leased.now(), running=False)
        leased.changed.notify()
        if claimed.messages:
            leased.tell("claimed", messages=len(claimed.messages), group=group.name)

    # Work

    async def _work(self) -> None:
        leased = self._leased
        while True:
            held = leased.book.take()
            while held is None and not self._stopping:
                await leased.changed.wait()
                held = leased.book.take()
            if held is None:
                return
            verdict = Verdict.again()
            try:
                verdict = await self._work_on(held)
            finally:
                leased.book.decide(held, verdict, leased.now())
                leased.changed.notify()

    async def _work_on(self, held: Held) -> Verdict:
        delivery, began = held.delivery, self._leased.now()
        try:
            with handling(delivery.queue, delivery.group, delivery.headers):
                await self._handle(delivery)
        except Exception as error:
            if self._hurried or held not in self._leased.book:
                raise  # it was cancelled, and is given back already
            if not isinstance(error, (Reject, RetryLater)):
                logger.exception("the handler failed for message %s of %s", delivery.id, delivery.queue)
            verdict = self._verdict(delivery, error)
            self._leased.tell("failed", delivery=delivery, error=error, verdict=verdict)
            return verdict
        self._leased.tell("handled", delivery=delivery, seconds=self._leased.now() - began)
        return ACK

    def _verdict(self, delivery: Delivery, error: Exception) -> Verdict:
        if self._decide is not None and not isinstance(error, (Reject, RetryLater)):
            try:
                return self._decide(delivery, error)
            except Exception:
                logger.exception("retry failed for message %s of %s", delivery.id, delivery.queue)
        return default_verdict(delivery, error)
