"""Workers that are busy or stopped delay no change, and serve no cached queue that was changed."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.storage.shared import hub
from queuey.storage.shared.hub import MARGIN, PATIENCE
from queuey.storage.shared.lease import RENEWED, TERM, Lease
from tests.storage.shared.sharing import SeveralCase, Worker

OTHER = QueueSettings(partitions=9)


class LeaseTests(SynchronousTestCase):
    """The worker's side."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked = 0
        self.lease = Lease(self.clock.seconds, self.renew)

    def renew(self) -> None:
        self.asked += 1

    def test_none_at_first(self) -> None:
        """It is asked for once, and there is none until it is granted."""
        self.assertEqual([self.lease.holds() for _ in range(3)], [False] * 3)
        self.assertEqual(self.asked, 1)
        self.lease.granted(TERM)
        self.assertTrue(self.lease.holds())
        self.assertEqual(self.asked, 1)

    def test_renewed_in_time(self) -> None:
        """It is asked for again before it ends, if it is needed then."""
        self.lease.granted(TERM)
        self.clock.advance(TERM - RENEWED)
        self.assertEqual([self.lease.holds() for _ in range(3)], [True] * 3)
        self.assertEqual(self.asked, 1)
        self.lease.granted(2 * TERM)
        self.clock.advance(RENEWED)
        self.assertTrue(self.lease.holds())

    def test_the_end(self) -> None:
        """At its end, and when the owner is gone, there is none."""
        self.lease.granted(TERM)
        self.clock.advance(TERM)
        self.assertFalse(self.lease.holds())
        self.lease.granted(2 * TERM)
        self.assertTrue(self.lease.holds())
        asked = self.asked
        self.lease.end()
        self.assertFalse(self.lease.holds())
        self.assertEqual(self.asked, asked)


class BusyTests(SeveralCase):
    """One worker, the second, reads nothing for some time."""

    def cached(self) -> Queue | None:
        """What the second worker would answer by its cache."""
        return self.two.store.cached("app", "q")

    def test_the_rest_of_its_lease(self) -> None:
        """A change waits no longer, and others that come meanwhile wait no longer either."""
        other, _ = self.successResultOf(self.one.store.create("app", "p", QueueSettings(), None))
        self.successResultOf(self.two.store.describe("app", ["p"]))
        self.described(self.two)
        self.two.answers.held = True
        self.clock.advance(TERM / 4)
        changed = self.one.store.update(self.queue, OTHER)
        self.clock.advance(TERM / 4)
        forgotten = self.one.store.forget(other)
        self.clock.advance(TERM / 2 - MARGIN)
        self.assertNoResult(changed)
        self.assertNoResult(forgotten)
        self.assertEqual((self.cached(), self.two.store.cached("app", "p")), (self.queue, other))
        self.clock.advance(3 * MARGIN)
        new = self.successResultOf(changed)
        self.assertTrue(self.successResultOf(forgotten))
        self.assertEqual((self.cached(), self.two.store.cached("app", "p")), (None, None))
        self.two.answers.let_through()
        self.assertEqual((self.described(self.two), self.two.stuck), (new, 0))

    def test_messages_are_not_cached(self) -> None:
        """So a change of messages waits for no worker, and each sees it in its next read."""
        ids = self.fill()
        self.assertEqual(self.page(self.two), [b"a", b"b"])
        self.two.answers.held = True
        self.assertEqual(self.successResultOf(self.one.store.remove(self.queue, [Address(1, ids[0])], Ack.MAJORITY)), 1)
        self.two.answers.let_through()
        self.assertEqual(self.page(self.two), [b"b"])

    def test_nothing_once_it_has_none(self) -> None:
        """A change does not wait at all for a worker that has no lease, as one that is idle."""
        self.described(self.two)
        self.clock.advance(TERM)
        self.two.answers.held = True
        for partitions in (2, 3):
            self.queue = self.successResultOf(self.one.store.update(self.queue, QueueSettings(partitions=partitions)))
        self.assertIsNone(self.cached())
        self.two.answers.let_through()
        self.assertEqual(self.described(self.two), self.queue)

    def test_a_lease_that_is_granted_meanwhile(self) -> None:
        """A change that has begun does not wait for its end: the worker reads of the change before."""
        self.described(self.two)
        self.two.answers.held = True
        self.clock.advance(TERM / 2)
        changed = self.one.store.update(self.queue, OTHER)
        self.assertEqual(self.cached(), self.queue)  # which asks for a lease
        self.clock.advance(TERM / 2 + 2 * MARGIN)
        new = self.successResultOf(changed)
        self.assertIsNone(self.cached())
        self.two.answers.let_through()
        self.assertIsNone(self.cached())
        self.assertEqual((self.described(self.two), self.cached()), (new, new))

    def test_what_is_kept_outlives_a_lease(self) -> None:
        """It is used again under the next one, if nothing was changed."""
        self.described(self.two)
        self.clock.advance(10 * TERM)
        self.two.answers.held = True
        self.assertIsNone(self.cached())
        self.two.answers.let_through()
        self.assertEqual(self.cached(), self.queue)

    def test_one_that_reads_nothing_for_long(self) -> None:
        """It is ended, so that messages to it do not pile up for ever; one that catches up is not."""
        self.two.answers.held = True
        self.successResultOf(self.one.store.update(self.queue, OTHER))
        self.clock.advance(PATIENCE - 1)
        self.two.answers.let_through()
        self.clock.advance(2)
        self.assertEqual(self.two.stuck, 0)
        self.two.answers.held = True
        for _ in range(2):
            self.queue = self.described(self.one) or self.queue
            self.successResultOf(self.one.store.update(self.queue, QueueSettings()))
            self.clock.advance(PATIENCE - 1)
        self.assertEqual((self.one.stuck, self.two.stuck, self.two.ended), (0, 1, True))

    def test_one_that_is_far_behind(self) -> None:
        """So is one that has too much to read."""
        self.patch(hub, "MAX_BEHIND", 10)
        self.two.answers.held = True
        for _ in range(11):
            self.assertFalse(self.two.ended)
            self.queue = self.successResultOf(self.one.store.update(self.queue, QueueSettings()))
        self.assertEqual((self.one.stuck, self.two.stuck, self.two.ended), (0, 1, True))

    def test_news_for_one_that_reads_nothing(self) -> None:
        """What it has not read yet of new messages does not grow with their number; it gets all news when it reads."""
        queues = [self.successResultOf(self.one.store.create("app", name, OTHER, None))[0] for name in "abc"]
        del self.two.arrived[:]
        self.two.answers.held = True
        self.post(self.queue)
        unsent = self.two.end.unsent
        self.assertGreater(unsent, 0)
        for queue in (*queues, self.queue) * 100:
            self.post(queue)
        self.assertEqual(self.two.end.unsent, unsent)
        self.two.answers.let_through()
        told = [queue.incarnation for queue in (self.queue, *queues, self.queue)]
        self.assertEqual(self.two.arrived, told)
        self.post(queues[0])
        self.assertEqual(self.two.arrived, [*told, queues[0].incarnation])

    def post(self, queue: Queue) -> None:
        message = NewMessage(1, Content(b"x"), 60)
        self.successResultOf(self.one.store.append(queue, [message], WriteTerms(Ack.MAJORITY)))

    def test_one_whose_owner_is_gone(self) -> None:
        """It answers nothing by its cache."""
        self.described(self.two)
        self.two.calls.abortConnection()
        self.assertIsNone(self.cached())


class AnyOrderTests(SeveralCase):
    """Whatever is held up for however long, no client sees what was changed once a change is answered, or was seen."""

    def test_any_order(self) -> None:
        for seed in range(200):
            self.setUp()
            self.seen, self.late = 1, 0
            self.change: Deferred[Any] | None = None
            self.workers = [self.one, self.two, self.worker()]
            random = Random(seed)
            for _ in range(80):
                self.step(random, random.choice(self.workers))
            self.assertEqual(self.late, 0, seed)
            for worker in self.workers:
                worker.calls.let_through()
                worker.answers.let_through()
            self.clock.advance(TERM + 2 * MARGIN)
            self.assertIsNone(self.change)
            self.assertEqual([self.described(worker) for worker in self.workers], [self.queue] * 3, seed)

    def step(self, random: Random, worker: Worker) -> None:
        """Let something happen."""
        chosen = random.randrange(8)
        if chosen < 2:
            pipe = random.choice([worker.calls, worker.answers])
            if pipe.held:
                pipe.let_through()
            else:
                pipe.held = True
        elif chosen == 2:
            self.clock.advance(random.choice([0.01, TERM / 5, TERM / 2]))
        elif chosen == 3 and self.change is None:
            settings = QueueSettings(partitions=self.queue.settings.partitions + 1)
            store = random.choice([worker.store, self.hub.store])
            self.change = store.update(self.queue, settings)
            self.change.addCallback(self.changed)
        elif chosen == 4:
            worker.store.describe("app", ["q"]).addCallback(self.described_since, self.seen)
        else:
            found = worker.store.cached("app", "q")
            if found is not None:
                self.see(found, self.seen)

    def changed(self, queue: Queue) -> None:
        self.change, self.queue = None, queue
        self.see(queue, self.seen)

    def described_since(self, queues: tuple[Queue | None, ...], seen: int) -> None:
        (found,) = queues
        assert found is not None
        self.see(found, seen)

    def see(self, queue: Queue, before: int) -> None:
        """Somebody sees a queue who began when as much had been seen."""
        if queue.settings.partitions < before:
            self.late += 1
        self.seen = max(self.seen, queue.settings.partitions)
