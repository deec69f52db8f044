"""Snapshots of the states of groups, which are written while commands go on."""

from __future__ import annotations

from itertools import count
from random import Random

from queuey.model.groups.entries import UnreadableState
from queuey.model.groups.events import Leased, Reached
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.snapshot import state_of
from queuey.model.groups.terms import Terms
from queuey.model.timeid import LOWEST, Ticks
from queuey.storage.cassandra.groups import rewriting
from queuey.storage.cassandra.groups.snapshots import ENTRIES, Restoring, Snapshot
from tests.core.groups.group_fronts import Cut
from tests.storage.cassandra.groups.test_groups_faults import Front, GroupsCase, close, id_of, lease


class SnapshotTests(GroupsCase):
    """Snapshots that are written while commands go on."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(rewriting, "LEAST", 500)

    def fill(self, front: Front, rows: int) -> None:
        """Give and settle messages, and some only give."""
        for _ in range(rows):
            first = self.change(front, lambda index: index.last) + 1
            self.change(front, lease(first, first + 1))
            self.change(front, close(first))

    def test_rows_and_snapshots_are_removed(self) -> None:
        self.fill(self.one, 300)
        head = self.head()
        assert head is not None
        self.assertGreater(head.base, 0)
        self.assertLess(len(self.session._rows("group_events")), 601)
        self.assertLessEqual(len({key[0] for key, _ in self.session._rows("group_snapshots")}), 2)
        self.assertEqual(self.stored(), state_of(self.one.cell._held.index))  # type: ignore[union-attr]

    def test_two_front_ends(self) -> None:
        random = Random(4)
        for _ in range(300):
            self.fill(random.choice((self.one, self.other)), 1)
        self.assertLessEqual(len({key[0] for key, _ in self.session._rows("group_snapshots")}), 2)
        self.assertEqual(len(self.stored().open), 300)

    def test_a_process_dies_at_each_call(self) -> None:
        """Another one finds all that was answered, goes on, and removes what was left."""
        for at in count(1):
            died = False
            for done in (False, True):
                self.setUp()
                self.fill(self.one, 3)
                front = self.front(7, cut=(cut := Cut(at, done)))
                answered = 3
                for number in range(10_100, 10_140):
                    if front.cell.change(lease(number)).called:
                        answered += 1
                died = died or cut.dead
                found = len(self.stored().open)
                self.assertIn(found, (answered, answered + 1), (at, done))
                self.fill(self.other, 60)
                self.assertEqual(len(self.stored().open), found + 60)
                self.assertLessEqual(len({key[0] for key, _ in self.session._rows("group_snapshots")}), 3)
            if not died:
                self.assertGreater(at, 40)
                return

    def test_many(self) -> None:
        """100,000 in flight are read back from pieces, with all that is known of them."""
        index = GroupIndex(b"12345678", LOWEST)
        index.apply(Leased(1, Ticks(77), tuple(map(id_of, range(1, 100_001))), tuple(range(100_000))))
        index.apply(Reached(id_of(100_001)))
        index.stored()
        snapshot, restoring = Snapshot(index), Restoring()
        self.assertEqual(snapshot.chunks, -(-100_000 // ENTRIES) + 1)
        for number in range(snapshot.chunks):
            chunk = snapshot.chunk(number)
            self.assertLess(len(chunk), 1 << 19)
            restoring.add(chunk)
        self.assertEqual(restoring.missing, 0)
        self.assertEqual(state_of(restoring.index), state_of(index))
        self.assertEqual(len(restoring.index.due(10, Terms(), Ticks(78))), 10)

    def test_damage(self) -> None:
        index = GroupIndex(b"12345678", LOWEST)
        index.apply(Leased(1, Ticks(77), (id_of(1),)))
        snapshot = Snapshot(index)
        first, second = snapshot.chunk(0), snapshot.chunk(1)
        for chunks in ([b""], [first[:-1]], [first, second[1:]], [second], [first, first]):
            restoring = Restoring()
            with self.assertRaises(UnreadableState):
                for chunk in chunks:
                    restoring.add(chunk)
