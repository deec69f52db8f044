"""The lease of the one front end that serves: taken, kept, lost, taken over, released."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from queuey.errors import Unavailable
from queuey.model.stable_time.lease import NOBODY, Terms
from queuey.model.stable_time.stable import Lateness
from queuey.model.stable_time.stamps import Place, StampRequest
from queuey.model.timeid import SECOND, MessageId, Ticks, from_seconds, ticks_of
from queuey.storage.cassandra.times.lease import LeaseHolder
from queuey.storage.cassandra.times.machine_clock import MachineClock
from queuey.storage.cassandra.times.port import Times
from queuey.storage.cassandra.times.presence import Identity
from tests.storage.cassandra.times.tables import Tables, TableSession
from tests.storage.cassandra.times.times_support import WALL, TimesCase

HERE = Place(7, 1)
TICK = 0.25
HELD = "queuey_lease_held"
AGE = "queuey_stable_time_age_seconds"
MACHINE = "queuey_clock_machine_offset_seconds"


class Bench(TimesCase):
    """Front ends on one cluster, whose time the test lets pass."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.tables = Tables(self.clock, WALL)

    def make(self, number: int, ahead: float = 0.0) -> Front:
        session = TableSession(self.tables)
        return Front(number, session, self.clock, WALL + ahead)

    def started(self, number: int, ahead: float = 0.0) -> Front:
        front = self.make(number, ahead)
        front.begin()
        return front

    def serving(self, number: int = 1, ahead: float = 0.0) -> Front:
        front = self.started(number, ahead)
        self.assertIsNone(front.times.reason)
        return front

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([TICK] * round(seconds / TICK))

    def refuses(self, call: Callable[[], object], applied: str = "no") -> str:
        with self.assertRaises(Unavailable) as caught:
            call()
        self.assertEqual(caught.exception.applied, applied)
        return str(caught.exception)


class Front:
    """One front end; ``asleep`` are the seconds that its process was paused, which its timers do not count."""

    def __init__(self, number: int, session: TableSession, clock: Clock, wall: float) -> None:
        self.session = session
        self.wall = wall
        self.clock = clock
        self.times = LeaseHolder(
            session,
            "queuey",
            Identity(UUID(int=number), f"host{number}"),
            Lateness(),
            Terms(),
            clock,
            MachineClock(lambda: self.wall + clock.seconds(), clock.seconds),
            clock.seconds,
            lambda bits: number,
        )
        self.ready: list[object] = []

    def begin(self) -> None:
        self.times.start().addBoth(self.ready.append)

    def stamp(self, place: Place = HERE) -> MessageId:
        flight = self.times.begin([StampRequest(place)], False)
        self.times.landed(flight)
        return flight.ids[0]


class TakingTests(Bench):
    """Who serves, and when."""

    def test_it_provides_times(self) -> None:
        times: Times = self.make(1).times
        self.assertIsNone(times.registry_age())

    def test_at_once_where_nobody_has_it(self) -> None:
        front = self.make(1)
        self.assertIn("not started", str(front.times.reason))
        self.refuses(front.stamp)
        front.begin()
        self.assertEqual(front.ready, [None])
        self.assertIsNone(front.times.reason)
        assert self.tables.lease is not None
        self.assertEqual(self.tables.lease[:3], (UUID(int=1), "host1", 1))
        self.assertEqual(self.tables.lease[3], from_seconds(WALL) + 10 * SECOND)
        self.assertEqual(ticks_of(front.stamp()), from_seconds(WALL) + 1)
        self.assertEqual(self.events("lease-taken"), ["lease-taken"])

    def test_it_is_renewed_with_a_ceiling_ahead(self) -> None:
        front = self.serving()
        self.pass_time(60)
        assert self.tables.lease is not None
        self.assertEqual(self.tables.lease[2], 31)
        self.assertEqual(self.tables.lease[3], from_seconds(WALL + 60) + 10 * SECOND)
        front.stamp()

    def test_the_second_waits_and_says_for_whom(self) -> None:
        first, second = self.serving(1), self.started(2)
        self.pass_time(100)
        self.assertIn("host1", str(second.times.reason))
        self.assertEqual(second.times.health_problems(), {"lease": second.times.reason})
        self.assertEqual(second.ready, [])
        self.assertIn("host1", self.refuses(second.stamp))
        self.assertIn("host1", self.refuses(lambda: second.times.stable(HERE)))
        self.assertEqual(self.events("lease-waits"), ["lease-waits"])
        first.stamp()

    def test_a_clean_stop_lets_the_next_serve_at_once_and_above(self) -> None:
        first, second = self.serving(1, ahead=5), self.started(2)
        last = first.stamp()
        self.successResultOf(first.times.stop())
        self.refuses(first.stamp)
        assert self.tables.lease is not None
        self.assertEqual(self.tables.lease[0], NOBODY)
        self.assertEqual(self.tables.lease[3], ticks_of(last))
        self.pass_time(1)
        self.assertEqual(second.ready, [None])
        self.assertEqual(ticks_of(second.stamp()), ticks_of(last) + 1)
        self.assertEqual(self.tables.frontends.keys(), {UUID(int=2)})

    def test_one_that_died_is_waited_for_and_its_ceiling_passed(self) -> None:
        first = self.serving(1, ahead=30)
        self.pass_time(1)
        first.session.hold = True  # it dies
        second = self.started(2)
        self.pass_time(11.75)
        self.assertEqual(second.ready, [])
        self.pass_time(1.5)
        self.assertEqual(second.ready, [None])
        self.assertEqual(ticks_of(second.stamp()), from_seconds(WALL + 40) + 1)
        first.session.let_through()
        self.pass_time(3)
        self.assertIsNotNone(first.times.reason)
        second.stamp()

    def test_a_stop_while_waiting(self) -> None:
        self.serving(1)
        second = self.started(2)
        self.successResultOf(second.times.stop())
        failure = second.ready[0]
        self.assertIs(type(getattr(failure, "value", None)), Unavailable)
        self.pass_time(30)
        self.assertEqual(self.tables.frontends.keys(), {UUID(int=1)})
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)

    def test_an_insert_that_two_try(self) -> None:
        fronts = [self.make(number) for number in (1, 2)]
        for front in fronts:
            front.session.hold = True
            front.begin()
        for _ in range(8):
            for front in fronts:
                for one in front.session.held:
                    one.arrive()
                front.session.held = []
        self.assertEqual([len(front.ready) for front in fronts], [1, 0])

    def test_a_cluster_that_comes_later(self) -> None:
        front = self.make(1)
        front.session.away = True
        front.begin()
        self.pass_time(300)
        self.assertEqual(front.ready, [])
        self.assertIn("No node answers", str(front.times.reason))
        self.assertLess(len(front.session.asked), 150)
        self.assertEqual(self.events("cluster-silent"), ["cluster-silent"] * 2)
        front.session.away = False
        self.pass_time(11)
        self.assertEqual(front.ready, [None])
        self.assertEqual(self.events("cluster-answers"), ["cluster-answers"] * 2)

    def test_a_take_whose_answer_is_lost(self) -> None:
        front = self.make(1)
        front.session.hold = True
        front.begin()
        while not any("INSERT INTO queuey.lease" in one.text for one in front.session.held):
            held, front.session.held = front.session.held, []
            for one in held:
                one.arrive()
        (take,) = [one for one in front.session.held if "queuey.lease" in one.text]
        take.run()
        front.session.hold = False
        take.answer.errback(Unavailable("lost", applied="unknown"))
        self.assertEqual(front.ready, [None])
        front.stamp()

    def test_front_ends_of_the_other_mode_are_waited_for(self) -> None:
        self.tables.run(
            "INSERT INTO queuey.frontends", ("frontend", UUID(int=9), "host9", "many", from_seconds(WALL), 0)
        )
        front = self.started(1)
        self.pass_time(29)
        self.assertEqual(front.ready, [])
        self.assertIn("host9", str(front.times.reason))
        self.assertEqual(self.events("modes-mixed"), ["modes-mixed"])
        self.assertIsNone(self.tables.lease)
        self.pass_time(3)
        self.assertEqual(front.ready, [None])

    def test_one_of_the_other_mode_that_comes_at_the_same_time(self) -> None:
        front = self.make(1)
        front.session.hold = True
        front.begin()
        while self.tables.lease is None:
            held, front.session.held = front.session.held, []
            for one in held:
                one.arrive()
        self.tables.run(
            "INSERT INTO queuey.frontends", ("frontend", UUID(int=9), "host9", "many", from_seconds(WALL), 0)
        )
        front.session.let_through()
        self.assertEqual(front.ready, [])
        assert self.tables.lease is not None
        self.assertEqual(self.tables.lease[0], NOBODY)
        self.refuses(front.stamp)


class KeepingTests(Bench):
    """What becomes of writes when the lease cannot be renewed."""

    def test_nothing_is_promised_after_eight_seconds(self) -> None:
        front = self.serving()
        front.session.away = True
        self.pass_time(6.5)
        flight = front.times.begin([StampRequest(HERE)], False)
        self.pass_time(1.25)
        front.stamp()
        self.pass_time(0.25)
        self.assertIn("lease", self.refuses(lambda: front.times.landed(flight), "unknown"))
        self.refuses(front.stamp)
        self.refuses(lambda: front.times.stable(HERE))
        self.assertIsNotNone(front.times.reason)
        self.pass_time(2)
        self.assertEqual(self.events("lease-lost"), ["lease-lost"])
        front.session.away = False
        self.pass_time(2)
        self.assertIsNone(front.times.reason)
        front.stamp()

    def test_flights_of_before_are_unknown_once_it_is_taken_anew(self) -> None:
        front = self.serving()
        self.pass_time(1.75)
        front.session.away = True
        self.pass_time(6)
        flight = front.times.begin([StampRequest(HERE)], True)
        front.session.away = False
        front.session.hold = True
        self.pass_time(0.5)
        self.refuses(front.stamp)
        front.session.let_through()
        self.pass_time(1.25)
        front.stamp()
        self.refuses(lambda: front.times.landed(flight), "unknown")

    def test_a_node_that_stops_for_five_seconds_costs_no_lease(self) -> None:
        front = self.serving()
        self.pass_time(1.75)
        front.session.hold = True
        for _ in range(20):
            self.pass_time(0.25)
            front.stamp()
        front.session.let_through()
        self.pass_time(1)
        self.assertIsNone(front.times.reason)
        self.assertEqual(self.events("lease-lost"), [])
        self.pass_time(30)
        front.stamp()

    def test_a_beat_whose_answer_is_lost_is_found(self) -> None:
        front = self.serving()
        self.pass_time(1.75)
        front.session.deaf = True
        self.pass_time(0.25)
        front.session.deaf = False
        self.pass_time(7)
        self.assertIsNone(front.times.reason)
        self.assertEqual(self.events("lease-lost"), [])

    def test_a_beat_that_never_arrives_is_repeated(self) -> None:
        front = self.serving()
        self.pass_time(1.75)
        front.session.hold = True
        self.pass_time(0.25)
        (beat,) = front.session.held
        front.session.hold = False
        beat.answer.errback(Unavailable("lost", applied="unknown"))
        front.stamp()
        self.pass_time(7)
        front.stamp()
        self.assertEqual(self.events("lease-lost"), [])

    def test_an_answer_that_comes_after_eight_seconds_is_no_beat(self) -> None:
        front = self.serving()
        self.pass_time(1.75)
        paused = self.clock.rightNow
        front.session.hold = True
        self.pass_time(0.25)
        self.clock.rightNow = paused + 9  # the process is paused: no timer runs
        front.session.let_through()
        self.refuses(lambda: front.times.stable(HERE))
        self.refuses(front.stamp)
        self.pass_time(2)
        front.stamp()

    def test_a_lease_that_another_has_taken(self) -> None:
        front = self.serving()
        self.tables.lease = UUID(int=2), "host2", 50, from_seconds(WALL + 100)
        self.pass_time(2)
        self.refuses(front.stamp)
        self.assertIn("host2", str(front.times.reason))
        self.assertEqual(self.events("lease-lost", "lease-waits"), ["lease-lost", "lease-waits"])
        self.pass_time(14)
        self.assertGreater(ticks_of(front.stamp()), from_seconds(WALL + 100))

    def test_a_lease_that_somebody_deleted(self) -> None:
        front = self.serving()
        last = front.stamp()
        self.tables.lease = None
        self.pass_time(4)
        self.assertGreater(front.stamp(), last)
        assert self.tables.lease is not None

    def test_a_stop_while_a_beat_is_under_way(self) -> None:
        front = self.serving()
        self.pass_time(1.75)
        front.session.hold = True
        self.pass_time(0.25)
        done = front.times.stop()
        self.refuses(front.stamp)
        self.assertNoResult(done)
        front.session.let_through()
        self.successResultOf(done)
        assert self.tables.lease is not None
        self.assertEqual(self.tables.lease[0], NOBODY)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_stop_without_a_cluster_ends_in_time(self) -> None:
        front = self.serving()
        front.session.hold = True
        done: Deferred[None] = front.times.stop()
        self.pass_time(10)
        self.successResultOf(done)

    def test_a_clock_that_is_set_is_followed_slowly(self) -> None:
        front = self.serving()
        front.wall += 3600
        self.pass_time(10)
        self.assertLess(front.times.now(), from_seconds(WALL + 10.01))
        self.assertGreater(front.times.now(), from_seconds(WALL + 10.001))
        self.assertEqual(self.events("clock-set"), ["clock-set"])
        front.stamp()

    def test_ids_go_no_further_than_the_ceiling(self) -> None:
        front = self.serving()
        front.times.put(front.stamp())
        flight = front.times.begin([StampRequest(HERE)] * 3, False)
        self.assertEqual(list(flight.ids), sorted(set(flight.ids)))
        assert self.tables.lease is not None
        self.assertLess(ticks_of(flight.ids[-1]), self.tables.lease[3])
        self.refuses(lambda: front.times.begin([StampRequest(HERE)] * (10 * SECOND), False))

    def test_w(self) -> None:
        front = self.serving()
        first = front.times.begin([StampRequest(HERE)], False)
        other = front.stamp(Place(7, 2))
        self.assertEqual(front.times.stable(HERE), first.ids[0])
        self.assertGreater(front.times.stable(Place(7, 2)), other)
        front.times.lost(first)
        self.assertGreater(front.times.stable(HERE), first.ids[0])
        self.assertLess(ticks_of(front.times.stable(HERE)), Ticks(from_seconds(WALL + 1)))
