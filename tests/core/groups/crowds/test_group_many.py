"""Two hundred groups on one queue, on each kind of store: each is given every message, and none holds up another."""

from __future__ import annotations

from queuey.model.groups.terms import Action
from queuey.model.groups.terms import Outcome as Settled
from tests.again import again
from tests.core.groups.claims import test_group_claims
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, SQLiteGroupCase, bodies, receipts

GROUPS = 200


class ManyGroupsTests(GroupCase):
    def test_each_is_given_every_message(self) -> None:
        groups = [self.make_group(f"g{number}") for number in range(GROUPS)]
        self.post(b"1", b"2", b"3")
        for group in groups:
            given = self.claim(group, limit=2)
            self.assertEqual(bodies(given), [b"1", b"2"])
            self.settle(Action.ACK, *receipts(given)[:1], group=group)
        for group in groups:
            self.assertEqual(self.bodies(group), [b"3"])
        self.advance(31)
        for group in groups:
            again = self.claim(group, limit=10)
            self.assertEqual(bodies(again), [b"2", b"3"])
            self.assertEqual(self.settle(Action.ACK, *receipts(again), group=group), (Settled.ACKED,) * 2)
            (lag,) = self.successResultOf(self.groups.lag(self.queue, group))
            self.assertEqual((lag.in_flight, lag.waiting), (0, 0))

    def test_each_waits_for_the_same_message(self) -> None:
        groups = [self.make_group(f"g{number}") for number in range(GROUPS)]
        waiting = [self.claiming(group, wait=20) for group in groups]
        self.post(b"1")
        self.clock.advance(0)
        self.advance(1)
        for one in waiting:
            self.assertEqual(bodies(self.successResultOf(one)), [b"1"])

    def test_they_are_deleted_while_they_claim(self) -> None:
        groups = [self.make_group(f"g{number}") for number in range(GROUPS)]
        waiting = [self.claiming(group, wait=20) for group in groups]
        for group in groups[::2]:
            self.successResultOf(self.groups.delete(self.queue, group, lambda _: None))
        self.post(b"1")
        self.clock.advance(0)
        self.advance(1)
        for number, one in enumerate(waiting):
            if number % 2:
                self.assertEqual(bodies(self.successResultOf(one)), [b"1"])
            else:
                self.failureResultOf(one)


again(__name__, {"SQLite": SQLiteGroupCase, "Cassandra": CassandraGroupCase}, (ManyGroupsTests,))


again(__name__, {"Cassandra": CassandraGroupCase}, (test_group_claims.FullTests,))
