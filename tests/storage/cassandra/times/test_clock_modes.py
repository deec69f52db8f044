"""Serving with one front end and with several, and what is counted of clocks."""

from __future__ import annotations

from random import Random
from uuid import UUID

from queuey.model.stable_time.stamps import StampRequest
from queuey.model.telemetry.counts import Gauge
from queuey.model.timeid import from_seconds
from queuey.storage.cassandra.times.lease import LeaseHolder
from tests.counted import counted, value
from tests.storage.cassandra.times.tables import Tables
from tests.storage.cassandra.times.test_clocks import AGE, HERE, SETTLE, Front, WatchCase
from tests.storage.cassandra.times.times_support import WALL


class ModesTests(WatchCase):
    """The guard between the two modes."""

    def test_a_lease_is_waited_for(self) -> None:
        sole = Front(LeaseHolder, 9, self.tables, 0.0)
        sole.begin()
        front = self.make()
        front.begin()
        self.pass_time(60)
        self.assertEqual(front.ready, [])
        self.assertIn("host9", str(front.times.reason))
        self.assertEqual(front.times.health_problems(), {"lease": front.times.reason})
        self.assertEqual(self.events("modes-mixed"), ["modes-mixed"])
        self.assertFalse([text for text in front.session.asked if text.startswith("INSERT")])
        self.successResultOf(sole.times.stop())
        self.pass_time(1)
        self.assertEqual(front.ready, [None])

    def test_a_lease_whose_holder_died_is_waited_for(self) -> None:
        sole = Front(LeaseHolder, 9, self.tables, 0.0)
        sole.begin()
        sole.session.hold = True
        front = self.make()
        front.begin()
        self.pass_time(11.75)
        self.assertEqual(front.ready, [])
        self.pass_time(1)
        self.assertEqual(front.ready, [None])
        sole.session.let_through()
        self.pass_time(30)
        self.assertIn("host1", str(sole.times.reason))
        self.assertEqual((list(sole.times.health_problems()), front.times.health_problems()), (["lease"], {}))
        self.refuses(sole.stamp)

    def test_at_the_same_time_never_both(self) -> None:
        for seed in range(60):
            random = Random(seed)
            self.tables = Tables(self.clock, WALL)
            both = Front(LeaseHolder, 9, self.tables, 0.0), self.make()
            for one in both:
                one.session.hold = True
                one.begin()
            for _ in range(20):
                one = random.choice(both)
                held, one.session.held = one.session.held, []
                for statement in held:
                    statement.arrive()
                self.assertLess(sum(other.times.reason is None for other in both), 2, seed)
            for one in both:
                one.session.let_through()
            self.pass_time(40)
            self.assertEqual(sum(other.times.reason is None for other in both), 1, seed)
            for one in both:
                self.successResultOf(one.times.stop())

    def test_it_looks_anew_after_it_was_away(self) -> None:
        front = self.serving()
        front.session.away = True
        self.pass_time(40)
        sole = Front(LeaseHolder, 9, self.tables, 0.0)
        sole.begin()
        self.assertIsNone(sole.times.reason)
        front.session.away = False
        self.pass_time(30)
        self.assertIn("host9", str(front.times.reason))
        sole.stamp()


class CountsTests(WatchCase):
    """What is counted of clocks, and of W."""

    def peers(self, front: Front) -> dict[str, float]:
        (metric,) = [one for one in front.times.metrics if one.name == "queuey_clock_peer_offset_seconds"]
        assert isinstance(metric, Gauge)
        return {labels[0]: round(seconds, 3) for labels, seconds in metric.read().items()}

    def offset(self, front: Front) -> float | None:
        return value(front.times.metrics, "queuey_clock_offset_seconds")

    def test_offsets(self) -> None:
        front = self.make(1, 0.125)
        self.assertEqual((self.offset(front), self.peers(front)), (None, {}))
        front.begin()
        self.assertAlmostEqual(self.offset(front) or 0, 0.125, 5)
        self.assertEqual(self.peers(front), {"node 10.0.0.1": -0.125})

    def test_one_that_is_off_is_told(self) -> None:
        front = self.make(1, 3)
        front.begin()
        self.assertAlmostEqual(self.offset(front) or 0, 3, 5)
        self.assertIsNone(value(front.times.metrics, AGE))

    def test_what_was_known_is_forgotten(self) -> None:
        front = self.serving(1, 0.125)
        front.session.away = True
        self.pass_time(30)
        self.assertIsNotNone(self.offset(front))
        self.pass_time(40)
        self.assertEqual((self.offset(front), self.peers(front)), (None, {}))

    def test_other_front_ends(self) -> None:
        """Their rows tell their clocks to some seconds, of which the least that is possible is shown."""
        front = self.serving()
        for seconds in range(0, 60, 5):
            for number, ahead in ((2, 8), (3, 0)):
                row = UUID(int=number), f"host{number}", "many", from_seconds(WALL + seconds + ahead), 0
                self.tables.run("INSERT INTO queuey.frontends", ("frontend", *row))
            self.pass_time(5)
        right, off = (f"front end on host{number} ({UUID(int=number)})" for number in (3, 2))
        peers = self.peers(front)
        self.assertEqual(sorted(peers), [off, right, "node 10.0.0.1"])
        self.assertEqual((peers[right], peers["node 10.0.0.1"]), (0, 0))
        self.assertApproximates(peers[off], 3, 0.1)

    def test_the_age_of_w(self) -> None:
        """It is what a write may take, whatever is in flight."""
        front = self.make(1)
        self.assertIsNone(value(front.times.metrics, AGE))
        front = self.serving()
        self.assertEqual(value(front.times.metrics, AGE), SETTLE)
        front.times.begin([StampRequest(HERE)], True)
        self.pass_time(1)
        self.assertEqual(value(front.times.metrics, AGE), SETTLE)

    def test_late_writes(self) -> None:
        front = self.serving()
        flight = front.times.begin([StampRequest(HERE)], False)
        self.pass_time(2.25)
        self.refuses(lambda: front.times.landed(flight), "unknown")
        self.assertEqual(counted(front.times.metrics, "queuey_late_writes_total"), {(): 1})

    def test_no_lease(self) -> None:
        names = [metric.name for metric in self.make(1).times.metrics]
        self.assertEqual([name for name in names if "lease" in name], [])
