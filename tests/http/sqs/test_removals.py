"""Messages that clients of SQS have deleted are removed from the queue a moment later, many in one write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.messages import MessageExchange
from queuey.errors import Unavailable
from queuey.http.sqs.removals import AT_ONCE, PAUSE, Removals
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import Ticks, lower_bound

QUEUE = Queue("app", "q", QueueSettings(), 1, "a", Ticks(1))
ADDRESS = Address(1, lower_bound(Ticks(1)))


class Exchange:
    """Notes how many messages each write removes; ``written`` says how the next ones end."""

    def __init__(self) -> None:
        self.removed: list[int] = []
        self.written: Deferred[None] | None = None

    def remove(self, queue: Queue, addresses: Sequence[Address]) -> Deferred[None]:
        self.removed.append(len(addresses))
        return succeed(None) if self.written is None else self.written


class RemovalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.exchange = Clock(), Exchange()
        self.removals = Removals(cast(MessageExchange, self.exchange), self.clock)

    def remove(self, count: int = 1) -> None:
        self.removals.add(QUEUE, [ADDRESS] * count)

    def test_many_in_one_write(self) -> None:
        self.remove()
        self.clock.advance(PAUSE / 2)
        self.remove(3)
        self.assertEqual(self.exchange.removed, [])
        self.clock.advance(PAUSE / 2)
        self.assertEqual(self.exchange.removed, [4])
        self.remove(2)
        self.clock.advance(PAUSE)
        self.assertEqual(self.exchange.removed, [4, 2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_more_than_a_write_takes(self) -> None:
        self.remove(AT_ONCE + 1)
        self.clock.pump([PAUSE, PAUSE])
        self.assertEqual(self.exchange.removed, [AT_ONCE, 1])

    def test_one_write_at_a_time(self) -> None:
        written: Deferred[None] = Deferred()
        self.exchange.written = written
        self.remove()
        self.clock.advance(PAUSE)
        self.remove(2)
        self.clock.advance(PAUSE)
        self.assertEqual(self.exchange.removed, [1])
        self.exchange.written = None
        written.callback(None)
        self.clock.advance(PAUSE)
        self.assertEqual(self.exchange.removed, [1, 2])

    def test_a_write_that_fails(self) -> None:
        """The messages stay until they expire; those that are deleted later are removed."""
        self.exchange.written = fail(Unavailable("gone"))
        self.remove()
        self.clock.advance(PAUSE)
        self.exchange.written = None
        self.remove(2)
        self.clock.advance(PAUSE)
        self.assertEqual(self.exchange.removed, [1, 2])
        self.successResultOf(self.removals.stop())

    def test_the_end(self) -> None:
        """What waits is removed at once, and so is what the last requests delete."""
        written: Deferred[None] = Deferred()
        self.exchange.written = written
        self.remove(3)
        stopped = self.removals.stop()
        self.assertEqual(self.exchange.removed, [3])
        self.assertNoResult(stopped)
        self.exchange.written = None
        written.callback(None)
        self.successResultOf(stopped)
        self.remove()
        self.assertEqual(self.exchange.removed, [3, 1])
        self.successResultOf(self.removals.stop())

    def test_the_end_without_any(self) -> None:
        self.successResultOf(self.removals.stop())
