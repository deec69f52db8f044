"""Many pushes of one process: they begin and end part by part, and none of them costs a look at all the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from queuey.core.pushes.engine import MAX_LOOKS, MAX_STARTS
from queuey.core.pushes.runner import IDLE
from queuey.model.pushes.places import PushPlace
from queuey.storage.cassandra.cluster.port import Level, Row, Statement
from tests.http.push_support import URL, PushTestCase
from tests.http.v1.test_stores import OnCassandra


class ManyTests(PushTestCase):
    partitions = 3

    def test_partitions(self) -> None:
        """The messages of all partitions are sent, each once."""
        self.pushed()
        for number in range(30):
            self.appended(f"{number}")
        self.pass_time(1)
        self.assertEqual(sorted(map(int, self.sender.bodies)), list(range(30)))

    def test_very_many_pushes(self) -> None:
        """They begin a part a second, and each of them looks less often where no arrivals are reported."""
        for number in range(MAX_STARTS + 1):
            self.expect(201, self.send("PUT", self.push("", f"p{number}"), {"url": URL}))
        self.successResultOf(self.assembly.pushes.stop())
        engine = self.other_engine()
        self.appended("x")
        self.assertEqual((len(self.sender.sent), engine._look_pause()), (MAX_STARTS, (MAX_STARTS + 1) / 100))
        self.pass_time(1.2)
        self.assertEqual(len(self.sender.sent), MAX_STARTS + 1)
        stopping = engine.stop()
        self.clock.pump([0.1] * 20)
        self.successResultOf(stopping)

    def test_several_pushes(self) -> None:
        """Each push gets all messages."""
        for name in "abc":
            self.pushed(name)
        self.appended("x")
        self.pass_time(0.1)
        self.assertEqual(self.sender.bodies, ["x"] * 3)

    def test_one_more_of_many(self) -> None:
        """A push that is made costs no look at all the others."""
        for number in range(50):
            self.expect(201, self.send("PUT", self.push("", f"p{number}"), {"url": URL}))
        self.pass_time(3)
        senders, looked = self.assembly.pushes._senders, []
        owns = senders.owns

        def counted(place: PushPlace, living: frozenset[str]) -> bool:
            looked.append(place.name)
            return owns(place, living)

        senders.owns = counted  # type: ignore[method-assign]
        self.pushed("one-more")
        self.appended("x")
        self.assertEqual((set(looked), len(self.sender.sent)), ({"one-more"}, 51))

    def test_many_end(self) -> None:
        """Pushes that end with their queue leave the registry, in the background."""
        for number in range(50):
            self.expect(201, self.send("PUT", self.push("", f"p{number}"), {"url": URL}))
        self.pass_time(3)
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.clock.advance(IDLE + 1)  # their claims have waited for that long
        self.pass_time(5)
        engine = self.assembly.pushes
        self.assertEqual((len(engine._runners), self.successResultOf(engine._registry.read())), (0, frozenset()))


class ReadsTests(OnCassandra, PushTestCase):
    """Idle pushes on a store that does not report what other front ends write."""

    def reads(self, pushes: int, seconds: int) -> Counter[str]:
        """Count the statements that a process with idle pushes runs, by their tables."""
        for number in range(pushes):
            self.send("PUT", self.push("", f"p{number}"), {"url": URL})
        self.pass_time(15)
        session, counted = self._subject.session, Counter[str]()
        execute = session.execute

        def execute_counted(statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
            counted[statement.text.partition(" FROM ")[2].partition(" ")[0]] += 1
            return execute(statement, values, level)

        session.execute = execute_counted  # type: ignore[method-assign]
        self.pass_time(seconds)
        session.execute = execute  # type: ignore[method-assign]
        return counted

    def test_bounded(self) -> None:
        """A few idle pushes look once a second each; more than a hundred look a hundred times a second together. A look
        reads the messages of the queue once."""
        self.assertIn(self.reads(20, 10)["ks.messages"], range(150, 201))
        many = self.reads(150, 10)
        self.assertIn(many["ks.messages"], range(700, 10 * MAX_LOOKS + 1))
        self.assertLess(sum(many.values()), 10 * MAX_LOOKS * 4)
