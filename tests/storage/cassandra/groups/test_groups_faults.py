"""States of groups whose transactions get lost, and that several front ends change; their snapshots and their ends."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import NoSuchGroup, QueueyError, Unavailable
from queuey.interfaces import IMessageStore, IStateStore
from queuey.model.groups.events import Closed, Leased
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.snapshot import GroupState, state_of
from queuey.model.timeid import MessageId, Ticks, from_seconds
from queuey.storage.cassandra.cluster.port import ICQLSession
from queuey.storage.cassandra.groups import CassandraGroups, GroupTables, cell_cache
from queuey.storage.cassandra.groups.append import MAX_TRIES
from queuey.storage.cassandra.groups.cells import Cell, remove_state
from queuey.storage.cassandra.groups.loading import Source
from queuey.storage.cassandra.groups.tables import Head
from queuey.storage.cassandra.states import CassandraStates
from tests.contracts.subject import Wall
from tests.core.groups.group_fronts import Cut
from tests.storage.cassandra.row_tables import RowTables

KEY = "state"
PLACE = MessageId(bytes(15) + b"\x01")


def id_of(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


def number_of(id: MessageId) -> int:
    return int.from_bytes(id, "big")


class Front:
    """A front end, of which a test uses one state.

    :param alone: whether it may trust what it has cached.
    :ivar stands: what becomes of a look at the group's row.
    """

    def __init__(
        self,
        session: ICQLSession,
        wall: Wall,
        seed: int,
        alone: bool = False,
        cut: Cut | None = None,
        keyspace: str = "ks",
        key: str = KEY,
        pause: Callable[[], Deferred[None]] = lambda: succeed(None),
    ) -> None:
        enter: Callable[[Callable[[], Deferred[Any]]], Deferred[Any]] = cut.call if cut else lambda call: call()
        self.groups = CassandraGroups(
            cast(IMessageStore, None),
            cast(IStateStore, CassandraStates(session, keyspace)),
            GroupTables(session, keyspace, enter),
            lambda: 0 if alone else None,
            lambda: from_seconds(wall()),
            Random(seed).randbytes,
            pause,
        )
        self.shop = self.groups._shop
        self.problem: QueueyError | None = None
        self.cell = Cell(self.shop, Source(key, self.stands))

    def stands(self) -> Deferred[MessageId]:
        """The place of the group."""
        if self.problem is not None:
            problem, self.problem = self.problem, None
            return self._fail(problem)
        return succeed(PLACE)

    def _fail(self, problem: QueueyError) -> Deferred[MessageId]:
        failed: Deferred[MessageId] = Deferred()
        failed.errback(problem)
        return failed


def lease(*numbers: int) -> Callable[[GroupIndex], int]:
    """Give messages; the number of the first lease."""

    def step(index: GroupIndex) -> int:
        first = index.last + 1
        index.apply(Leased(first, Ticks(1 << 60), tuple(map(id_of, numbers))))
        return first

    return step


def close(*numbers: int) -> Callable[[GroupIndex], None]:
    """Settle messages."""
    return lambda index: index.apply(Closed(tuple(map(id_of, numbers))))


def opened(index: GroupIndex) -> list[int]:
    """The numbers of messages in flight."""
    return sorted([number_of(id) for id in index.open])


class GroupsCase(SynchronousTestCase):
    """Front ends on the same tables."""

    def setUp(self) -> None:
        self.wall = Wall()
        self.session = RowTables(self.wall)
        self.sessions: dict[Front, RowTables] = {}
        self.one, self.other = self.front(1), self.front(2)

    def front(self, seed: int, alone: bool = False, cut: Cut | None = None) -> Front:
        tables = RowTables(self.wall, self.session.tables)
        front = Front(tables, self.wall, seed, alone, cut)
        self.sessions[front] = tables
        return front

    def change(self, front: Front, step: Callable[[GroupIndex], Any]) -> Any:
        return self.successResultOf(front.cell.change(step))

    def stored(self) -> GroupState:
        """What a process reads that has cached nothing."""
        index = self.successResultOf(Deferred.fromCoroutine(self.front(99).cell.read()))
        return state_of(index)

    def head(self) -> Head | None:
        return self.successResultOf(GroupTables(self.session, "ks").newest(KEY)).head


class LostTests(GroupsCase):
    """Transactions that are refused, or of which nothing is heard."""

    def test_every_fault(self) -> None:
        """Each step is done once, whatever becomes of its first transactions."""
        faults: tuple[list[str], ...] = (
            [],
            ["before"],
            ["after"],
            ["denied"],
            ["before", "before"],
            ["before", "denied"],
            ["before", "after"],
        )
        for number, fault in enumerate(faults, 1):
            self.sessions[self.one].faults = [*fault]
            self.assertEqual(self.change(self.one, lease(number)), number)
            self.assertEqual(opened(self.one.cell._held.index), list(range(1, number + 1)))  # type: ignore[union-attr]
            self.assertEqual(state_of(self.one.cell._held.index), self.stored())  # type: ignore[union-attr]

    def test_certainly_not(self) -> None:
        self.change(self.one, lease(1))
        for faults in (["no"], ["before"] * MAX_TRIES):
            self.sessions[self.one].faults = [*faults]
            error = self.failureResultOf(self.one.cell.change(lease(2)), Unavailable).value
            self.assertEqual(error.applied, "no")
            self.assertEqual([number_of(id) for id in self.stored().open], [1])

    def test_nobody_knows(self) -> None:
        self.change(self.one, lease(1))
        for fault, done in (("after", True), ("before", False)):
            self.sessions[self.one].faults = [fault]
            self.sessions[self.one].refuse = lambda statement, level: Unavailable("silent")
            error = self.failureResultOf(self.one.cell.change(lease(2 if done else 3)), Unavailable).value
            self.assertEqual(error.applied, "unknown")
            self.sessions[self.one].refuse = lambda statement, level: None
            self.assertEqual(self.change(self.one, opened), [1, 2])

    def test_a_failure_does_not_have_all_be_read_again(self) -> None:
        """What was cached is undone, and followed by what is stored."""
        faults: tuple[tuple[str, list[str]], ...] = (
            ("no", ["UPDATE"]), ("before", ["UPDATE"]), ("after", ["UPDATE", "SELECT", "UPDATE"])
        )  # fmt: skip
        for alone in (False, True):
            self.setUp()
            front = self.front(8, alone)
            session = self.sessions[front]
            self.change(front, lease(1))
            for number, (fault, statements) in enumerate(faults, 1):
                session.faults = [fault]
                session.refuse = lambda statement, level: Unavailable("silent")
                self.failureResultOf(front.cell.change(lease(10 * number)), Unavailable)
                session.refuse = lambda statement, level: None
                del session.asked[:]
                self.change(front, lease(number))
                self.assertEqual([text.split()[0] for text, _ in session.asked], statements, fault)
                self.assertEqual(self.change(front, opened), sorted(map(number_of, self.stored().open)))
            self.assertEqual(self.change(front, opened), [1, 2, 3, 30])

    def test_an_old_transaction_of_ours_under_newer_ones(self) -> None:
        self.change(self.one, lease(1))
        self.sessions[self.one].hold = True
        self.sessions[self.one].faults = ["after"]
        waiting = self.one.cell.change(lease(2))
        self.sessions[self.one].turn()
        for number in range(3, 200):
            self.change(self.other, lease(number))
        while not waiting.called:
            self.sessions[self.one].turn()
        self.assertEqual(self.successResultOf(waiting), 2)
        self.sessions[self.one].hold = False
        self.change(self.one, lease(500))
        self.assertEqual(len(self.stored().open), 200)


class RacingTests(GroupsCase):
    """Two front ends."""

    def test_turns(self) -> None:
        """Each decides on what the other has done."""
        random, numbers = Random(5), count(1)
        for _ in range(200):
            front = random.choice((self.one, self.other))
            number = next(numbers)
            self.assertEqual(self.change(front, lease(number)), number)
        self.assertEqual(len(self.stored().open), 200)

    def test_at_the_same_time(self) -> None:
        self.change(self.one, lease(1))
        self.change(self.other, lease(2))
        fronts = (self.one, self.other)
        for front in fronts:
            self.sessions[front].hold = True
        waiting = [front.cell.change(lease(number)) for number, front in enumerate(fronts * 10, 3)]
        for _ in range(200):
            for front in fronts:
                self.sessions[front].turn()
        firsts = [self.successResultOf(one) for one in waiting]
        self.assertEqual(sorted(firsts), list(range(3, 23)))
        self.assertEqual(len(self.stored().open), 22)

    def test_what_waits_together_is_one_row(self) -> None:
        self.change(self.one, lease(1))
        self.sessions[self.one].hold = True
        waiting = [self.one.cell.change(lease(number)) for number in range(2, 30)]
        before = self.head()
        while not all(one.called for one in waiting):
            self.sessions[self.one].turn()
        after = self.head()
        assert before is not None
        assert after is not None
        self.assertEqual(after.version, before.version + 2)  # the first goes alone, and the rest after it

    def test_what_is_cached_may_be_old(self) -> None:
        self.change(self.one, lease(1))
        self.assertEqual(self.change(self.other, opened), [1])
        self.change(self.one, close(1))
        self.assertEqual(self.change(self.other, opened), [])

    def test_alone_nothing_is_read(self) -> None:
        alone = self.front(3, alone=True)
        self.change(alone, lease(1))
        del self.sessions[alone].asked[:]
        self.assertEqual(self.change(alone, opened), [1])
        self.assertEqual(self.sessions[alone].asked, [])
        self.change(alone, close(1))
        self.assertEqual(len(self.sessions[alone].asked), 1)

    def test_the_first_row_by_both(self) -> None:
        for front in (self.one, self.other):
            self.sessions[front].hold = True
        waiting = [front.cell.change(lease(number)) for number, front in enumerate((self.one, self.other), 1)]
        for _ in range(20):
            self.sessions[self.one].turn()
            self.sessions[self.other].turn()
        self.assertEqual(sorted(self.successResultOf(one) for one in waiting), [1, 2])
        self.assertEqual(len(self.stored().open), 2)

    def test_the_first_row_under_newer_ones(self) -> None:
        """It is known who was first, though that was not the last row."""
        for fault in ("", "after"):
            self.setUp()
            self.sessions[self.one].hold = True
            self.sessions[self.one].faults = [fault]
            waiting = self.one.cell.change(lease(1))
            while len(self.sessions[self.one].asked) < 3:  # the last is the transaction
                self.sessions[self.one].turn()
            if fault:
                self.sessions[self.one].turn()
            for number in range(2, 50):
                self.change(self.other, lease(number))
            self.sessions[self.one].hold = False
            self.sessions[self.one].turn()
            self.assertEqual(self.successResultOf(waiting), 1 if fault else 49)
            self.assertEqual(len(self.stored().open), 49)


class CacheTests(GroupsCase):
    """States that are dropped from the cache because there are too many."""

    def test_one_that_is_being_changed(self) -> None:
        """There is one cell of it at a time, so each knows what the other one would have done."""
        self.patch(cell_cache, "MAX_CACHED", 1)
        front = self.front(8, alone=True)
        session, cells = self.sessions[front], front.groups._cells
        for number in (1, 2):
            del session.asked[:]
            session.hold = True
            waiting = cells.at(Source(KEY, front.stands)).change(lease(number))
            while not session.asked[-1][0].startswith("UPDATE"):
                session.turn()
            cells.at(Source("other", front.stands))
            session.hold = False
            found = cells.at(Source(KEY, front.stands)).change(opened)
            session.turn()
            self.assertEqual(self.successResultOf(waiting), number)
            self.assertEqual(self.successResultOf(found), list(range(1, number + 1)))
            again = cells.at(Source(KEY, front.stands)).change(opened)
            self.assertEqual(self.successResultOf(again), list(range(1, number + 1)))

    def test_no_more_than_that_are_kept(self) -> None:
        self.patch(cell_cache, "MAX_CACHED", 3)
        front = self.front(8, alone=True)
        for number in range(1, 100):
            front.groups._cells.at(Source(f"{number}", front.stands)).change(lease(number))
        kept = [one for one in gc.get_objects() if isinstance(one, Cell) and one._shop is front.groups._shop]
        self.assertLessEqual(len(kept), 4)


class EndTests(GroupsCase):
    """States that are removed."""

    def test_a_removed_state_is_not_made_again(self) -> None:
        self.change(self.one, lease(1))
        self.successResultOf(Deferred.fromCoroutine(remove_state(self.other.shop.tables, KEY, self.other.shop.now())))
        self.failureResultOf(self.one.cell.change(lease(2)), NoSuchGroup)
        self.failureResultOf(self.one.cell.change(opened), NoSuchGroup)
        self.failureResultOf(self.front(3).cell.change(lease(2)), NoSuchGroup)
        self.assertEqual(self.session._rows("group_events"), [])
        self.successResultOf(Deferred.fromCoroutine(remove_state(self.other.shop.tables, KEY, self.other.shop.now())))
        self.wall.seconds += 86_401
        self.assertIsNone(self.head())

    def test_a_group_that_is_deleted_as_its_state_begins(self) -> None:
        calls = []

        def stands() -> Deferred[MessageId]:
            calls.append(1)
            if len(calls) == 2:
                self.one.problem = NoSuchGroup("It is gone.")
            return Front.stands(self.one)

        self.one.cell._source = Source(KEY, stands)
        self.failureResultOf(self.one.cell.change(lease(1)), NoSuchGroup)
        self.assertEqual(self.session._rows("group_events"), [])

    def test_a_row_that_cannot_be_read_as_the_state_begins(self) -> None:
        """What was appended is taken back, and the versions that others have seen do not come again."""
        calls = []

        def stands() -> Deferred[MessageId]:
            calls.append(1)
            if len(calls) == 2:
                self.assertEqual(self.change(self.other, opened), [1])
                self.one.problem = Unavailable("silent")
            return Front.stands(self.one)

        self.one.cell._source = Source(KEY, stands)
        error = self.failureResultOf(self.one.cell.change(lease(1)), Unavailable).value
        self.assertEqual(error.applied, "no")
        self.change(self.one, lease(7))
        self.change(self.other, lease(8))
        self.assertEqual([number_of(id) for id in self.stored().open], [7, 8])
