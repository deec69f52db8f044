"""Group states of earlier versions, and appends to them."""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups.entries import LEASED
from queuey.model.groups.events import Leased, Sought
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.snapshot import encode, state_of
from queuey.model.timeid import Ticks
from queuey.storage.cassandra.groups.append import MAX_TRIES, Append, Step
from queuey.storage.cassandra.groups.old_states import FENCE
from queuey.storage.cassandra.groups.tables import ENDED, EventRow, Head, Seen
from queuey.storage.cassandra.states import CassandraStates
from tests.core.groups.group_fronts import Cut
from tests.storage.cassandra.groups.test_groups_faults import KEY, GroupsCase, id_of, lease


class AppendTests(SynchronousTestCase):
    """The rules of one row."""

    ROW = EventRow(5, b"mine", b"")

    def test_applied(self) -> None:
        self.assertIs(Append(4, b"mine").answered(True).step, Step.APPENDED)

    def test_a_read_settles_what_was_not_answered(self) -> None:
        for applied in (False, None):
            read = Append(4, b"mine").answered(applied)
            self.assertIs(read.step, Step.READ)
            self.assertIs(read.read(Seen(Head(5), (self.ROW,))).step, Step.APPENDED)
            self.assertIs(read.read(Seen(Head(9), (self.ROW,))).step, Step.APPENDED)
            other = EventRow(5, b"other", b"")
            self.assertIs(read.read(Seen(Head(5), (other,))).step, Step.OVERTAKEN)
            self.assertIs(read.read(Seen(Head(4))).step, Step.APPEND)
            self.assertIs(read.read(Seen(Head(ENDED))).step, Step.ENDED)
            self.assertIs(read.read(Seen(Head(9))).step, Step.UNKNOWN)
            self.assertIs(read.failed().step, Step.UNKNOWN)

    def test_it_is_tried_a_few_times(self) -> None:
        append = Append(None, b"mine")
        for _ in range(MAX_TRIES):
            self.assertIs(append.step, Step.APPEND)
            append = append.answered(None).read(Seen(None))
        self.assertIs(append.step, Step.FAILED)

    def test_certain(self) -> None:
        self.assertIs(Append(4, b"mine").failed().step, Step.FAILED)
        again = Append(4, b"mine").answered(None).read(Seen(Head(4)))
        self.assertIs(again.failed().step, Step.FAILED)


class ConversionTests(GroupsCase):
    """States that an earlier version kept."""

    def setUp(self) -> None:
        super().setUp()
        index = GroupIndex(b"old-old-", id_of(9))
        index.apply(Sought(b"old-old-", id_of(9), ()))
        index.apply(Leased(41, Ticks(1 << 60), (id_of(3), id_of(4))))
        index.stored()
        self.old = state_of(index)
        states = CassandraStates(self.session, "ks")
        self.successResultOf(states.replace(KEY, None, encode(self.old), "version"))

    def test_by_two_at_the_same_time(self) -> None:
        for front in (self.one, self.other):
            self.sessions[front].hold = True
        waiting = [front.cell.change(lease(number)) for number, front in enumerate((self.one, self.other), 10)]
        for _ in range(40):
            self.sessions[self.one].turn()
            self.sessions[self.other].turn()
        self.assertEqual(sorted(self.successResultOf(one) for one in waiting), [43, 44])
        state = self.stored()
        self.assertEqual((state.generation, len(state.open)), (b"old-old-", 4))
        self.assertEqual({entry.kind for entry in state.open.values()}, {LEASED})
        left = self.successResultOf(CassandraStates(self.session, "ks").read(KEY))
        self.assertEqual(left and left.value, FENCE)

    def test_the_earlier_version_cannot_change_it_any_more(self) -> None:
        """Not even if the process that converts it dies in between."""
        for at in count(1):
            self.setUp()
            cut = Cut(at)
            front = self.front(7, cut=cut)
            states = CassandraStates(self.session, "ks")
            front.cell.change(lease(10))
            self.change(self.other, lease(11))
            found = self.stored()
            self.assertIn(id_of(11), found.open)
            self.assertLessEqual({id_of(3), id_of(4)}, set(found.open))
            left = self.successResultOf(states.read(KEY))
            assert left is not None
            self.assertEqual(left.value[0], 0x7F)
            if not cut.dead:
                return
