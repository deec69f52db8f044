"""Many front ends: their clocks, their rows, and W."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from twisted.internet.task import Clock

from queuey.errors import Unavailable
from queuey.model.stable_time.lease import Terms
from queuey.model.stable_time.stable import Lateness
from queuey.model.stable_time.stamps import Place, StampRequest
from queuey.model.timeid import SECOND, MessageId, from_seconds, ticks_of
from queuey.storage.cassandra.times.clocks import ClockWatch
from queuey.storage.cassandra.times.lease import LeaseHolder
from queuey.storage.cassandra.times.machine_clock import MachineClock
from queuey.storage.cassandra.times.port import Times
from queuey.storage.cassandra.times.presence import Identity
from tests.storage.cassandra.times.tables import Tables, TableSession
from tests.storage.cassandra.times.times_support import WALL, TimesCase

HERE = Place(7, 1)
TICK = 0.25
SETTLE = 2.5
AGE = "queuey_stable_time_age_seconds"


class Front:
    """One front end, whose clock and session the test may spoil."""

    def __init__(self, kind: type[ClockWatch] | type[LeaseHolder], number: int, tables: Tables, ahead: float) -> None:
        self.session = TableSession(tables)
        self.ahead = ahead
        clock = tables.timer
        self.times: ClockWatch | LeaseHolder = kind(
            self.session,
            "queuey",
            Identity(UUID(int=number), f"host{number}"),
            Lateness(),
            Terms(),
            clock,
            MachineClock(lambda: WALL + clock.seconds() + self.ahead, clock.seconds),
            clock.seconds,
            lambda bits: number,
        )
        self.ready: list[object] = []

    def begin(self) -> None:
        self.times.start().addBoth(self.ready.append)

    def stamp(self, slow: bool = False) -> MessageId:
        flight = self.times.begin([StampRequest(HERE)], slow)
        self.times.landed(flight)
        return flight.ids[0]


class WatchCase(TimesCase):
    """Front ends on one cluster, whose time the test lets pass."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.tables = Tables(self.clock, WALL)

    def make(self, number: int = 1, ahead: float = 0.0) -> Front:
        return Front(ClockWatch, number, self.tables, ahead)

    def serving(self, number: int = 1, ahead: float = 0.0) -> Front:
        front = self.make(number, ahead)
        front.begin()
        self.assertEqual(front.ready, [None], front.times.reason)
        self.assertIsNone(front.times.reason)
        return front

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([TICK] * round(seconds / TICK))

    def refuses(self, call: Callable[[], object], applied: str = "no") -> str:
        with self.assertRaises(Unavailable) as caught:
            call()
        self.assertEqual(caught.exception.applied, applied)
        return str(caught.exception)


class ClockWatchTests(WatchCase):
    """When one of many front ends serves, and what W is then."""

    def test_it_provides_times(self) -> None:
        times: Times = self.make().times
        self.assertEqual(times.registry_age(), SETTLE / 2)

    def test_it_serves_where_its_clock_is_right(self) -> None:
        front = self.make(1)
        self.refuses(front.stamp)
        front.begin()
        self.assertEqual(front.ready, [None])
        self.assertEqual(ticks_of(front.stamp()), from_seconds(WALL) + 1)
        ((id, host, mode, clock, started),) = self.tables.living()
        self.assertEqual((id, host, mode), (UUID(int=1), "host1", "many"))
        self.assertEqual((clock, started), (from_seconds(WALL),) * 2)
        self.pass_time(300)
        front.stamp()
        ((*_, clock, started),) = self.tables.living()
        self.assertEqual((clock, started), (from_seconds(WALL + 300), from_seconds(WALL)))
        self.assertEqual(self.events("clocks-right", "clock-off", "other-clock-off"), ["clocks-right"])

    def test_w_is_what_has_settled(self) -> None:
        front = self.serving()
        now = from_seconds(WALL)
        for slow, weak, bound in ((False, False, now - SETTLE * SECOND), (True, False, now - 5.5 * SECOND)):
            self.assertEqual(ticks_of(front.times.stable(HERE, slow, weak)), bound)
        id = front.stamp()
        self.assertGreater(front.times.stable(HERE, False, True), id)
        self.assertLess(front.times.stable(HERE), id)
        self.pass_time(SETTLE)
        self.assertLess(front.times.stable(HERE), id)
        self.clock.advance(0.001)
        self.assertGreater(front.times.stable(HERE), id)
        self.assertLess(front.times.stable(HERE, slow=True), id)

    def test_weak_queues_go_on_without_a_majority(self) -> None:
        front, late = self.serving(), self.make(2)
        front.session.deaf = late.session.deaf = True
        late.begin()
        self.pass_time(60)
        self.refuses(front.stamp)
        self.refuses(lambda: front.times.stable(HERE))
        self.assertIsNotNone(front.times.reason)
        flight = front.times.begin([StampRequest(HERE)], False, True)
        front.times.landed(flight)
        self.assertGreater(front.times.stable(HERE, weak=True), flight.ids[0])
        self.refuses(lambda: late.times.begin([StampRequest(HERE)], False, True))
        front.session.skews = {"10.0.0.1": 3.0}
        flight = front.times.begin([StampRequest(HERE)], False, True)
        self.pass_time(60)
        self.refuses(lambda: front.times.begin([StampRequest(HERE)], False, True))
        self.refuses(lambda: front.times.landed(flight), "unknown")

    def test_a_write_has_its_time(self) -> None:
        front = self.serving()
        for slow, limit in ((False, 2), (True, 5)):
            flights = [front.times.begin([StampRequest(HERE)], slow) for _ in range(2)]
            self.assertEqual(flights[0].limit, limit)
            self.pass_time(limit - TICK)
            front.times.landed(flights[0])
            self.pass_time(TICK)
            self.refuses(lambda late=flights[1]: front.times.landed(late), "unknown")  # type: ignore[misc]

    def test_a_clock_that_is_three_seconds_off_is_refused(self) -> None:
        for ahead, way in ((3.0, "3.000 s ahead of the middle of 1"), (-3.0, "3.000 s behind the middle of 1")):
            front = self.make(2, ahead)
            front.begin()
            self.pass_time(60)
            self.assertEqual(front.ready, [])
            self.assertIn(way, str(front.times.reason))
            self.assertEqual(front.times.health_problems(), {"clock": front.times.reason})
            self.assertIn(way, self.refuses(front.stamp))
            self.assertIn(way, self.refuses(lambda watch=front.times: watch.stable(HERE)))  # type: ignore[misc]
            self.assertEqual(self.events("clock-off"), ["clock-off"])
            self.assertEqual(self.tables.living(), [])
            front.ahead = 0.2
            self.pass_time(61)
            self.assertEqual(front.ready, [None])
            self.successResultOf(front.times.stop())
            self._events.clear()

    def test_a_node_that_is_off_is_named(self) -> None:
        front = self.make()
        front.session.skews = {"10.0.0.1": 0.1, "10.0.0.2": -0.1, "10.0.0.3": 3.0}
        front.begin()
        self.assertEqual(front.ready, [None])
        self.pass_time(60)
        self.assertEqual(self.events("other-clock-off"), ["other-clock-off"])
        self.assertEqual(self.texts("other-clock-off"), ["node 10.0.0.3 is +2.900 s from the median of all clocks"])

    def test_of_two_nodes_that_differ_neither_is_believed(self) -> None:
        front = self.make()
        front.session.skews = {"10.0.0.1": 0.0, "10.0.0.2": 3.0}
        front.begin()
        self.assertEqual(front.ready, [])
        self.assertIn("node 10.0.0.1 by -1.500 s, node 10.0.0.2 by +1.500 s", str(front.times.reason))

    def test_another_front_end_that_is_off_is_named(self) -> None:
        front = self.serving()
        for seconds in range(0, 60, 5):
            row = UUID(int=2), "host2", "many", from_seconds(WALL + seconds + 8), 0
            self.tables.run("INSERT INTO queuey.frontends", ("frontend", *row))
            self.pass_time(5)
        self.assertEqual(self.events("other-clock-off"), ["other-clock-off"])
        self.assertIn("host2", self.texts("other-clock-off")[0])
        front.stamp()

    def test_others_that_are_right_are_not_named(self) -> None:
        fronts = [self.serving(number, ahead) for number, ahead in ((1, -0.2), (2, 0.0), (3, 0.2))]
        self.pass_time(120)
        for front in fronts:
            front.stamp()
        self.assertEqual(self.events("other-clock-off", "clock-off"), [])

    def test_half_of_a_round_trip_is_allowed_for(self) -> None:
        front = self.make()
        front.session.round_trip = 0.1
        front.begin()
        self.clock.pump([0.05] * 4)
        self.assertEqual(front.ready, [None])
        slow = self.make(2)
        slow.session.round_trip = 0.8
        slow.begin()
        self.clock.pump([0.05] * 100)
        self.assertEqual(slow.ready, [])
        self.assertIn("closely enough", str(slow.times.reason))

    def test_a_clock_that_is_set_while_it_serves(self) -> None:
        front = self.serving()
        before = front.times.stable(HERE)
        front.ahead = 3600
        self.pass_time(60)
        front.stamp()
        self.assertLess(front.times.now(), from_seconds(WALL + 60.1))
        self.assertEqual(self.events("clock-set"), ["clock-set"])
        front.ahead = -3600
        self.pass_time(60)
        front.stamp()
        self.assertGreater(front.times.stable(HERE), before)
        self.pass_time(700)
        self.assertIn("behind the middle", str(front.times.reason))

    def test_a_clock_that_turns_out_to_be_off_serves_no_longer(self) -> None:
        front = self.serving()
        flight = front.times.begin([StampRequest(HERE)], True)
        front.session.skews = {"10.0.0.1": 3.0}
        self.pass_time(4.75)
        front.stamp()
        self.pass_time(0.25)
        self.assertIn("behind", self.refuses(front.stamp))
        self.refuses(lambda: front.times.landed(flight), "unknown")
        self.assertEqual(self.events("clock-off"), ["clock-off"])

    def test_w_and_ids_do_not_fall_though_the_clock_is_set_between(self) -> None:
        front = self.serving(ahead=0.2)
        self.pass_time(10)
        id, bound, weak = front.stamp(), front.times.stable(HERE), front.times.stable(HERE, weak=True)
        front.session.skews = {"10.0.0.1": -0.2}
        self.pass_time(70)
        self.assertIsNotNone(front.times.reason)
        front.ahead = -70
        front.session.skews = {"10.0.0.1": -70.0}
        self.pass_time(70)
        self.assertIsNone(front.times.reason)
        self.assertLess(front.times.now(), from_seconds(WALL + 81))
        self.assertGreater(front.stamp(), id)
        self.assertGreaterEqual(front.times.stable(HERE), bound)
        self.assertGreaterEqual(front.times.stable(HERE, weak=True), weak)
        self.assertEqual(front.times.tenure, 2)

    def test_it_serves_no_longer_than_it_is_compared(self) -> None:
        front = self.serving()
        front.session.away = True
        flight = front.times.begin([StampRequest(HERE)], False)
        self.pass_time(1)
        front.times.landed(flight)
        self.pass_time(18.75)
        front.stamp()
        self.pass_time(0.5)
        self.assertIn("clocks", self.refuses(front.stamp))
        self.pass_time(100)
        self.assertEqual(self.events("cluster-silent"), ["cluster-silent"])
        front.session.away = False
        self.pass_time(6)
        front.stamp()
        words = ["clocks-right", "cluster-answers"]
        self.assertEqual(sorted(self.events(*words)), ["clocks-right", *words])

    def test_a_cluster_that_comes_later(self) -> None:
        front = self.make()
        front.session.away = True
        front.begin()
        self.pass_time(100)
        self.assertEqual(front.ready, [])
        front.session.away = False
        self.pass_time(6)
        self.assertEqual(front.ready, [None])

    def test_a_clean_stop(self) -> None:
        front = self.serving()
        flight = front.times.begin([StampRequest(HERE)], False)
        self.successResultOf(front.times.stop())
        self.assertEqual(self.tables.living(), [])
        self.assertIn("stopping", self.refuses(front.stamp))
        self.refuses(lambda: front.times.landed(flight), "unknown")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_stop_before_it_was_ready(self) -> None:
        front = self.make()
        front.session.hold = True
        front.begin()
        done = front.times.stop()
        self.pass_time(10)
        self.successResultOf(done)
        self.assertIs(type(getattr(front.ready[0], "value", None)), Unavailable)
