"""Claims of queues with several partitions: order between them, and claims of chosen partitions."""

from __future__ import annotations

from itertools import pairwise

from queuey.core.groups.values import Delivered
from queuey.errors import Unavailable
from queuey.interfaces import Outcome as Swapped
from queuey.model.groups.terms import Action, Order
from queuey.model.messages.message import Address
from tests.again import again
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, SQLiteGroupCase, away, bodies, receipts


class PartitionTests(GroupCase):
    """A queue of several partitions."""

    partitions = 8

    def test_one_after_another(self) -> None:
        for number in (3, 1, 2, 1, 7):
            self.post(b"%d" % number, partition=number)
        self.assertEqual(self.bodies(partitions=(7, 3)), [b"3", b"7"])
        self.assertEqual(sorted(self.bodies(limit=2) + self.bodies(limit=1)), [b"1", b"1", b"2"])
        self.assertEqual(self.bodies(), [])

    def test_the_oldest_first_over_all(self) -> None:
        for at, number in enumerate((8, 2, 5, 2, 8, 1)):
            self.post(b"%d" % at, partition=number)
        given = self.claim()
        self.assertEqual(sorted(bodies(given)), bodies(given))
        self.assertEqual(len(given.deliveries), 6)

    def test_each_partition_has_its_turn(self) -> None:
        for number in range(1, 9):
            self.post(*[b"%d" % number] * 8, partition=number)
        first = [self.bodies(limit=1)[0] for _ in range(8)]
        self.assertEqual(sorted(first), [b"%d" % number for number in range(1, 9)])

    def test_bytes_of_all_together(self) -> None:
        for number in range(1, 5):
            self.post(b"%d" % number * 40, partition=number)
        given = self.claim(max_bytes=100, partitions=(1, 2, 3, 4))
        self.assertEqual(len(given.deliveries), 2)
        self.assertEqual(len(self.bodies(max_bytes=100, partitions=(1, 2, 3, 4))), 2)

    def test_nothing_anywhere_is_seen_at_a_glance(self) -> None:
        self.post(b"1", partition=1)
        self.claim()  # from now on the group is near the end of the log in all partitions
        self.spied.merges.clear()
        self.assertEqual((self.bodies(), len(self.spied.merges)), ([], 2))
        self.post(b"5", partition=5)
        self.spied.merges.clear()
        self.assertEqual(self.bodies(), [b"5"])
        self.assertLessEqual(len(self.spied.merges), 4)

    def test_places_that_were_left_behind_are_brought_up(self) -> None:
        """Else each look would begin at the place of the partition that had nothing for the longest time."""
        self.post(b"1", partition=1)
        self.claim(lease=1000)
        self.advance(100)
        self.post(*[b"2"] * 3, partition=2)
        self.assertEqual(len(self.bodies()), 3)
        start = self.spied.merges[-1].lower.id
        self.spied.merges.clear()
        self.bodies()
        self.assertGreater(self.spied.merges[-1].lower.id, start)

    def test_what_falls_due_is_seen_at_a_glance(self) -> None:
        for number in range(1, 9):
            self.post(b"%d" % number, partition=number)
        self.assertEqual(len(self.bodies(lease=5)), 8)
        self.assertEqual(self.bodies(), [])
        self.advance(5)
        self.assertEqual(len(self.bodies()), 8)

    def test_a_glance_past_much_that_was_examined(self) -> None:
        self.post(*[b"1"] * 200, partition=1)
        self.assertEqual(len(self.bodies(limit=200)), 200)
        self.post(b"2", partition=2)
        self.assertEqual(self.bodies(), [b"2"])

    def test_one_that_fails_gives_nothing(self) -> None:
        for number in (1, 2, 3):
            self.post(b"%d" % number, partition=number)
        self.spied.broken = {2}
        self.assertEqual(self.bodies(partitions=(1, 2, 3)), [b"1", b"3"])
        self.failureResultOf(self.claiming(partitions=(1, 2, 3)), Unavailable)
        self.spied.broken = set()
        self.assertEqual(self.bodies(), [b"2"])

    def test_all_fail(self) -> None:
        self.post(b"1")
        self.spied.broken = set(range(1, 9))
        error = self.failureResultOf(self.claiming(), Unavailable).value
        self.assertEqual(error.applied, "no")

    def test_the_worst_is_told(self) -> None:
        for number in (1, 2):
            self.post(b"%d" % number, partition=number)

        def unreadable(outcome: Swapped) -> Swapped:
            self.spied.states.unreadable = 1
            return Swapped.UNKNOWN

        self.spied.states.failing, self.spied.states.changes = [away()], [unreadable]
        error = self.failureResultOf(self.claiming(partitions=(1, 2)), Unavailable).value
        self.assertEqual(error.applied, "unknown")


class InOrderTests(GroupCase):
    """One message of a partition after another."""

    partitions = 2

    def setUp(self) -> None:
        super().setUp()
        self.group = self.make_group(order=Order.PARTITION)
        self.post(b"1", b"2")
        self.post(b"a", b"b", partition=2)

    def test_one_of_each_partition(self) -> None:
        given = self.claim()
        self.assertEqual(bodies(given), [b"1", b"a"])
        self.assertEqual(self.claim(), Delivered(()))
        self.settle(Action.ACK, receipts(given)[1])
        self.assertEqual(self.bodies(), [b"b"])

    def test_many_that_claim_at_once(self) -> None:
        self.spied.held.on = True
        waiting = [self.claiming(partitions=(1,)) for _ in range(3)]
        self.spied.held.let_all_go()
        self.assertEqual([bodies(self.successResultOf(one)) for one in waiting], [[b"1"], [], []])

    def test_one_that_was_deleted(self) -> None:
        given = self.claim(partitions=(1,))
        place = given.deliveries[0].message
        self.successResultOf(self.messages.remove(self.queue, [Address(1, place.id)]))
        self.assertEqual(self.bodies(partitions=(1,)), [b"2"])

    def test_who_waits_gets_the_next(self) -> None:
        given = self.claim(partitions=(1,))
        waiting = self.claiming(partitions=(1,), wait=20)
        self.settle(Action.ACK, *receipts(given))
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"2"])


class OthersPartitionsTests(GroupCase):
    """Many partitions, which other front ends claim of too."""

    partitions = 10
    look_every = 1.0

    def test_what_was_seen_a_moment_ago_is_trusted(self) -> None:
        self.post(b"1", partition=1)
        self.claim(lease=1000)
        reads = self.spied.states.reads
        self.assertEqual(self.bodies(), [])
        self.assertLessEqual(self.spied.states.reads - reads, 1)
        self.advance(6)
        self.assertEqual(self.bodies(), [])
        self.assertEqual(self.spied.states.reads - reads, 11)

    def test_places_are_brought_up_a_few_at_a_time(self) -> None:
        self.post(b"1", partition=1)
        self.claim(lease=1000)
        self.under.wall.seconds += 100
        self.post(b"1", partition=1)
        replaces = self.spied.states.replaces
        self.assertEqual(self.bodies(partitions=(1,)), [b"1"])
        written = []
        for _ in range(5):
            self.bodies()
            written.append(self.spied.states.replaces - replaces)
        self.assertEqual(written[-1], 10)
        self.assertLessEqual(max(after - before for before, after in pairwise(written)), 5)


again(__name__, {"SQLite": SQLiteGroupCase, "Cassandra": CassandraGroupCase}, (PartitionTests,))
