"""What happens to a queue, to a group and to a lease while a claim or a settlement is under way on Cassandra."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import NoSuchGroup
from queuey.model.applications.policy import Ack
from queuey.model.groups.commands import Command, Ran, Settle, Take
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.terms import Action, Outcome, Settlement, Terms
from queuey.model.timeid import HIGHEST
from tests.core.groups.group_fronts import LEASE, World, anyhow
from tests.storage.cassandra.store.store_support import StoreSubject


class MeanwhileTests(SynchronousTestCase):
    """The transaction of a front end waits, and something else comes first."""

    def setUp(self) -> None:
        self.subject = StoreSubject()
        self.subject.store.alone = False
        self.world = World(self, self.subject)
        self.queue = self.world.make()
        self.group = self.world.group(self.queue)
        self.ids = self.world.post(self.queue, b"1", b"2", b"3")
        self.rows = self.subject.session.rows
        self.front = self.world.front()

    def held(self, command: Command) -> Deferred[Ran]:
        """A command whose transaction is about to reach the cluster."""
        before = len(self.rows.asked)
        self.rows.hold = True
        running = self.subject.store.groups.run(self.queue, self.group, Terms(), (command,))
        while not any(text.startswith("UPDATE ks.group_events") for text, _ in self.rows.asked[before:]):
            self.rows.turn()
        self.rows.hold = False
        return running

    def answer(self, running: Deferred[Ran]) -> Any:
        self.rows.turn()
        (answer,) = self.world.get(running).answers
        return answer

    def settle(self, taken: Any) -> Settle:
        generation = self.world.state(self.queue, self.group).generation
        receipt = Receipt(self.queue.incarnation, generation, 1, taken.id, taken.number)
        return Settle((Settlement(Action.ACK, receipt),))

    def test_a_purge(self) -> None:
        """What was found before may be given, and is settled as any other; what is left is gone."""
        claiming = self.held(Take((1,), 2, LEASE, 1 << 20))
        self.world.get(self.subject.store.purge(self.queue, HIGHEST, Ack.MAJORITY))
        (share,) = self.answer(claiming).shares
        self.assertEqual([message.content.body for message in share.messages], [b"1", b"2"])
        outcomes = self.world.run(self.front.settle(self.queue, self.group, Action.ACK, share.taken[:1]))
        self.assertEqual(outcomes, (Outcome.ACKED,))
        self.assertEqual(self.world.run(self.front.claim(self.queue, self.group)), ())
        self.world.advance(31)
        self.assertEqual(self.world.run(self.front.claim(self.queue, self.group)), ())

    def test_the_end_of_the_group(self) -> None:
        """A claim does not make the state of a group that was deleted meanwhile."""
        claiming = self.held(Take((1,), 2, LEASE, 1 << 20))
        self.world.get(self.world.front().directory.delete(self.queue, self.group, anyhow))
        self.rows.turn()
        self.failureResultOf(claiming, NoSuchGroup)
        self.assertEqual(self.rows._rows("group_events"), [])

    def test_the_end_of_the_group_while_something_is_settled(self) -> None:
        (taken,) = self.world.run(self.front.claim(self.queue, self.group, limit=1))
        settling = self.held(self.settle(taken))
        self.world.get(self.world.front().directory.delete(self.queue, self.group, anyhow))
        self.rows.turn()
        self.failureResultOf(settling, NoSuchGroup)
        self.assertEqual(self.rows._rows("group_events"), [])

    def test_a_repeat_whose_lease_ends(self) -> None:
        """It gives what the claim before it was given, or nothing: a new claim would be one that no repeat finds."""
        for turns in range(6):
            key = bytes([turns]) * 16
            take = Take((1,), 1, LEASE, 1 << 20, key)
            (share,) = self.answer(self.subject.store.groups.run(self.queue, self.group, Terms(), (take,))).shares
            self.rows.hold = True
            repeat = Take((1,), 1, LEASE, 1 << 20, key, True)
            running = self.subject.store.groups.run(self.queue, self.group, Terms(), (repeat,))
            for _ in range(turns):
                self.rows.turn()
            self.world.advance(31)
            self.rows.hold = False
            given = [one.number for again in self.answer(running).shares for one in again.taken]
            self.assertIn(given, ([], [one.number for one in share.taken]), turns)

    def test_a_message_that_is_given_again(self) -> None:
        """The settlement of a lease that has ended counts, or the next claim; not both."""
        (taken,) = self.world.run(self.front.claim(self.queue, self.group, limit=1))
        self.world.advance(31)
        settling = self.held(self.settle(taken))
        (again,) = self.world.run(self.front.claim(self.queue, self.group, limit=1))
        self.assertEqual((again.id, again.deliveries), (taken.id, 2))
        self.assertEqual(self.answer(settling).outcomes, (Outcome.STALE,))

    def test_a_repeated_settlement(self) -> None:
        (taken,) = self.world.run(self.front.claim(self.queue, self.group, limit=1))
        settling = self.held(settle := self.settle(taken))
        outcomes = self.world.run(self.front.settle(self.queue, self.group, Action.ACK, [taken]))
        self.assertEqual(outcomes, (Outcome.ACKED,))
        self.assertEqual(self.answer(settling).outcomes, (Outcome.ALREADY_ACKED,))
        again = self.subject.store.groups.run(self.queue, self.group, Terms(), (settle,))
        self.assertEqual(self.answer(again).outcomes, (Outcome.ALREADY_ACKED,))
