"""States whose transactions get lost."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.interfaces import Outcome
from queuey.storage.cassandra.cluster.port import Level
from queuey.storage.cassandra.states import CassandraStates
from tests.contracts.subject import Wall
from tests.storage.cassandra.row_tables import RowTables
from tests.storage.subjects import versions


class LostTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wall = Wall()
        self.session = RowTables(self.wall)
        self.fresh = versions()
        self.states = CassandraStates(self.session, "ks")
        self.other = CassandraStates(RowTables(self.wall, self.session.tables), "ks")

    def replace(self, version: str | None, value: bytes | None) -> Outcome:
        return self.successResultOf(self.states.replace("key", version, value, self.fresh()))

    def version(self) -> str:
        state = self.successResultOf(self.states.read("key"))
        assert state is not None
        return state.version

    def test_applied_or_tried_again(self) -> None:
        for fault in ("before", "after"):
            self.session.faults = [fault]
            self.assertIs(self.replace(None, b"one"), Outcome.APPLIED)
            self.session.faults = [fault]
            self.assertIs(self.replace(self.version(), b"two"), Outcome.APPLIED)
            self.session.faults = [fault]
            self.assertIs(self.replace(self.version(), None), Outcome.APPLIED)
            self.assertIsNone(self.successResultOf(self.states.read("key")))

    def test_applied_and_said_to_be_refused(self) -> None:
        """Another node completed it, or an attempt with an unknown outcome was applied just before the next one."""
        for faults in (["denied"], ["before", "denied"]):
            self.session.faults = [*faults]
            self.assertIs(self.replace(None, b"one"), Outcome.APPLIED)
            self.session.faults = [*faults]
            self.assertIs(self.replace(self.version(), b"two"), Outcome.APPLIED)
            self.assertIs(self.replace(None, b"two"), Outcome.REFUSED)
            self.assertIs(self.replace(None, None), Outcome.REFUSED)
            self.assertIs(self.replace("other", b"two"), Outcome.REFUSED)
            self.session.faults = [*faults]
            self.assertIs(self.replace(self.version(), None), Outcome.APPLIED)
            self.assertIsNone(self.successResultOf(self.states.read("key")))
        self.session.faults = ["denied"]
        self.session.refuse = lambda statement, level: Unavailable("silent")
        self.assertIs(self.replace(None, b"one"), Outcome.UNKNOWN)

    def test_another_came_in_between(self) -> None:
        self.replace(None, b"one")
        version = self.version()
        self.session.hold = True
        self.session.faults = ["after"]
        answer = self.states.replace("key", version, b"two", self.fresh())
        self.session.turn()
        state = self.successResultOf(self.other.read("key"))
        assert state is not None
        self.assertEqual(state.value, b"two")
        self.successResultOf(self.other.replace("key", state.version, b"three", self.fresh()))
        self.session.turn()
        self.assertIs(self.successResultOf(answer), Outcome.UNKNOWN)

    def test_nobody_knows(self) -> None:
        self.session.faults = ["after"]
        self.session.refuse = lambda statement, level: Unavailable("silent")
        self.assertIs(self.replace(None, b"one"), Outcome.UNKNOWN)
        self.failureResultOf(self.states.read("key"), Unavailable)

    def test_refused_for_certain(self) -> None:
        self.session.faults = ["no"]
        error = self.failureResultOf(self.states.replace("key", None, b"one", self.fresh()), Unavailable).value
        self.assertEqual(error.applied, "no")
        self.session.faults = ["before"] * 3
        error = self.failureResultOf(self.states.replace("key", None, b"one", self.fresh()), Unavailable).value
        self.assertEqual(error.applied, "no")

    def test_what_is_left_of_a_removed_value_goes_by_itself(self) -> None:
        self.replace(None, b"one")
        self.replace(self.version(), None)
        self.assertEqual(len(self.session._rows("states")), 1)
        self.wall.seconds += 86_401
        self.assertEqual(self.session._rows("states"), [])

    def test_what_is_made_anew_does_not_go(self) -> None:
        self.replace(None, b"one")
        self.replace(self.version(), None)
        self.replace(None, b"two")
        self.wall.seconds += 86_401
        self.version()

    def test_reads_are_serial(self) -> None:
        self.successResultOf(self.states.read("key"))
        self.assertEqual(self.session.asked[-1][1], Level.SERIAL)
