"""Very many messages in flight in one partition of a group on Cassandra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups.commands import Command, Settle, SettleAnswer, Take, TakeAnswer
from queuey.model.groups.events import Leased
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.terms import Action, Outcome, Settlement, Taken, Terms
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.cassandra.groups import CassandraGroups
from tests.core.groups.group_fronts import LEASE, World
from tests.storage.cassandra.store.store_support import StoreSubject

MANY = 100_000
AT_ONCE = 10_000
FEW = 10
T = TypeVar("T")

TERMS = Terms(max_in_flight=MANY)


class ManyInFlightTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.subject = StoreSubject()
        self.world = World(self, self.subject)
        self.queue = self.world.make()
        self.group = self.world.group(self.queue)

    def get(self, answer: Deferred[T]) -> T:
        """What something comes to, which lets the reactor do something else meanwhile."""
        while not answer.called:
            self.subject.clock.advance(0)
        return self.successResultOf(answer)

    def run_one(self, command: Command) -> Any:
        (answer,) = self.get(self.subject.store.groups.run(self.queue, self.group, TERMS, (command,))).answers
        return answer

    def take(self, limit: int) -> TakeAnswer:
        answer = self.run_one(Take((1,), limit, LEASE, 1 << 24))
        assert isinstance(answer, TakeAnswer)
        return answer

    def settle(self, generation: bytes, taken: Sequence[Taken]) -> set[Outcome]:
        receipts = [Receipt(self.queue.incarnation, generation, 1, one.id, one.number) for one in taken]
        answer = self.run_one(Settle(tuple([Settlement(Action.ACK, one) for one in receipts])))
        assert isinstance(answer, SettleAnswer)
        return set(answer.outcomes)

    def lease(self, ids: Sequence[MessageId]) -> None:
        """Have messages in flight, which need not be there: to post so many takes long."""

        def step(index: GroupIndex) -> None:
            index.apply(Leased(index.last + 1, Ticks(self.world.now() + LEASE), tuple(ids)))

        groups = cast(CassandraGroups, self.subject.store.groups)
        self.get(groups._cell(self.queue, self.group, 1).change(step))

    def test_they_are_read_back(self) -> None:
        """After a restart no more are given, until some of them are settled; and all that was known of them counts."""
        self.world.post(self.queue, *[b"x"] * FEW)
        (share,) = self.take(FEW).shares
        last = int.from_bytes(share.taken[-1].id, "big")
        ids = [MessageId((last + number).to_bytes(16, "big")) for number in range(1, MANY - FEW + 1)]
        for start in range(0, len(ids), AT_ONCE):
            self.lease(ids[start : start + AT_ONCE])
        self.world.post(self.queue, b"last")
        every = [*(one.id for one in share.taken), *ids]
        before = self.get(self.subject.store.groups.look(self.queue, self.group, 1, every))
        self.assertEqual((len(before.open), before.lag.in_flight), (MANY, MANY))
        self.assertTrue(self.take(FEW).blocked)
        self.get(self.subject.reopen())
        self.assertEqual(self.get(self.subject.store.groups.look(self.queue, self.group, 1, every)), before)
        self.assertTrue(self.take(FEW).blocked)
        self.assertEqual(self.settle(share.generation, share.taken[:1]), {Outcome.ACKED})
        self.assertEqual(self.settle(share.generation, share.taken[:1]), {Outcome.ALREADY_ACKED})
        (other,) = self.take(FEW).shares
        self.assertEqual([message.content.body for message in other.messages if message is not None], [b"last"])
        self.assertTrue(self.take(1).blocked)
        self.world.advance(31)
        (again,) = self.take(FEW).shares
        self.assertEqual([one.id for one in again.taken], [one.id for one in share.taken[1:]])
        self.assertEqual({one.deliveries for one in again.taken}, {2})
