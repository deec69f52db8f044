"""The core on the memory store: spreading, policies, changes that meet, writes that outlive their clients."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, cycle

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.messages import MessageExchange
from queuey.core.partitions import spread
from queuey.core.policies import GivenPolicies
from queuey.core.queues import QueueChanges, QueueDirectory
from queuey.errors import Conflict, InvalidUpdate, NoSuchApplication, NoSuchQueue, Unavailable
from queuey.model.message import Content, Draft, NewMessage
from queuey.model.policy import Ack, Policy, WriteTerms
from queuey.model.queue import Consistency, Queue, QueueSettings, QueueType
from queuey.model.timeid import MessageId
from queuey.model.window import Window
from queuey.storage.memory import MemoryStore


class Recording(MemoryStore):
    """A memory store that remembers on what terms it was asked, and can hold its answers back."""

    terms: WriteTerms | None = None
    ack: Ack | None = None
    held: Deferred[None] | None = None
    conflicts = 0

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        self.terms = terms
        stored = super().append(queue, messages, terms)
        if self.held is None:
            return stored
        return self.held.addCallback(lambda _: stored)

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        self.ack = ack
        return super().count(queue, ack)

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        if self.conflicts:
            self.conflicts -= 1
            return fail(Conflict("Somebody else was first."))
        return super().update(queue, settings)


POLICY = Policy("a", 1000, max_bytes=10_000, max_queues=5)


class CoreTestCase(SynchronousTestCase):
    """A core of its own."""

    def setUp(self) -> None:
        clock, versions = Clock(), count()
        self.store = Recording(clock, clock.seconds, 1 << 24, 1 << 40, 1, lambda: f"v{next(versions)}")
        self.store.open()
        policies = GivenPolicies(lambda: {"a": POLICY})
        turns = cycle(range(200))
        self.exchange = MessageExchange(self.store, policies, lambda below: next(turns) % below)
        self.directory = QueueDirectory(self.store, policies)

    def make(self, **changes: object) -> Queue:
        return self.successResultOf(self.directory.create("a", "q", QueueChanges(**changes)))  # type: ignore[arg-type]


class SpreadTests(SynchronousTestCase):
    """Messages over partitions."""

    def test_spread(self) -> None:
        """Each keeps its own partition, or gets the one that was chosen."""
        asked: list[int] = []

        def choose(below: int) -> int:
            asked.append(below)
            return below - 1

        drafts = [Draft(Content(b"x"), 5, None), Draft(Content(b"y"), 6, 2)]
        spread_out = spread(drafts, 3, choose)
        self.assertEqual(spread_out, (NewMessage(3, Content(b"x"), 5), NewMessage(2, Content(b"y"), 6)))
        self.assertEqual(asked, [3])


class ExchangeTests(CoreTestCase):
    """The message exchange."""

    def test_terms(self) -> None:
        """What the store is asked for follows from the queue's consistency and the application's policy."""
        for consistency, ack in (
            (Consistency.WEAK, Ack.ONE),
            (Consistency.STRONG, Ack.MAJORITY),
            (Consistency.VERY_STRONG, Ack.EVERY_CENTRE),
        ):
            queue = self.make(consistency=consistency)
            self.successResultOf(self.exchange.append(queue, [Draft(Content(b"x"), 5)]))
            self.assertEqual(self.store.terms, WriteTerms(ack, 10_000))

    def test_none(self) -> None:
        """No messages are stored without asking the store."""
        self.assertEqual(self.successResultOf(self.exchange.append(self.make(), [])), ())
        self.assertIsNone(self.store.terms)

    def test_outlives_its_client(self) -> None:
        """A write goes on when nobody waits for it any more."""
        queue = self.make()
        self.store.held = Deferred()
        waiting = self.exchange.append(queue, [Draft(Content(b"kept"), 5)])
        waiting.cancel()
        self.failureResultOf(waiting)
        self.store.held.callback(None)
        found = self.successResultOf(self.exchange.read(queue, Window((1,))))
        self.assertEqual([message.content.body for message in found.messages], [b"kept"])

    def test_unknown_application(self) -> None:
        """Without a policy nothing is stored."""
        queue = attrs.evolve(self.make(), application="b")
        self.failureResultOf(self.exchange.append(queue, [Draft(Content(b"x"), 5)]), NoSuchApplication)


class DirectoryTests(CoreTestCase):
    """The directory of queues."""

    def test_change_that_meets_another(self) -> None:
        """It is tried anew on what the other one left, and not for ever."""
        queue = self.make()
        self.store.conflicts = 4
        changed = self.successResultOf(self.directory.change(queue, QueueChanges(type=QueueType.PUBLIC)))
        self.assertIs(changed.settings.type, QueueType.PUBLIC)
        self.store.conflicts = 99
        self.failureResultOf(self.directory.change(changed, QueueChanges(partitions=2)), Unavailable)
        self.failureResultOf(self.directory.create("a", "q", QueueChanges(partitions=2)), Unavailable)

    def test_many_changes_at_once(self) -> None:
        """They take turns, and every one of them succeeds."""
        queue = self.make()
        update = self.store.update
        gates: list[Deferred[None]] = []

        def later(queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
            gates.append(Deferred())
            return gates[-1].addCallback(lambda _: update(queue, settings))

        self.store.update = later  # type: ignore[method-assign]
        changes = [self.directory.change(queue, QueueChanges(principals=(f"app:x{n}",))) for n in range(20)]
        for _ in range(2 * len(changes) - 1):  # all but the first find that somebody was before them
            self.assertFalse(gates[-1].called)
            gates[-1].callback(None)
        names = [self.successResultOf(change).settings.principals for change in changes]
        self.assertEqual(names, [(f"app:x{n}",) for n in range(20)])

    def test_change_of_what_is_gone(self) -> None:
        """A queue that was deleted in between is not changed."""
        queue = self.make()
        self.successResultOf(self.directory.delete(queue))
        self.failureResultOf(self.directory.change(queue, QueueChanges(partitions=2)), NoSuchQueue)
        self.failureResultOf(self.directory.delete(queue), NoSuchQueue)

    def test_no_change(self) -> None:
        """What is so already is not written."""
        queue = self.make(partitions=3)
        self.store.conflicts = 1
        self.assertEqual(self.successResultOf(self.directory.change(queue, QueueChanges(partitions=3))), queue)
        self.assertEqual(self.store.conflicts, 1)

    def test_fewer_partitions(self) -> None:
        """They can only be increased."""
        queue = self.make(partitions=3)
        self.failureResultOf(self.directory.change(queue, QueueChanges(partitions=2)), InvalidUpdate)

    def test_counts(self) -> None:
        """A count that fails fails the page."""
        self.make(consistency=Consistency.WEAK)
        page = self.successResultOf(self.directory.listing("a", "", 10, False, True))
        self.assertEqual([(listed.name, listed.count) for listed in page.queues], [("q", 0)])
        self.assertIs(self.store.ack, Ack.ONE)
        self.store.count = lambda queue, ack: fail(Unavailable("gone"))  # type: ignore[method-assign]
        self.failureResultOf(self.directory.listing("a", "", 10, False, True), Unavailable)

    def test_queue_that_goes_while_it_is_listed(self) -> None:
        """It is left out."""
        self.make()
        self.store.describe = lambda application, names: succeed((None,))  # type: ignore[method-assign]
        page = self.successResultOf(self.directory.listing("a", "", 10, True, False))
        self.assertEqual((page.queues, page.next), ((), None))
