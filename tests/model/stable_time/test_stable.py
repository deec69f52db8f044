"""The rules of ids, flights, W, the lease and the clock, one by one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from uuid import UUID

from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.model.stable_time.lease import NO_OWNER, Lease, LeaseRow, Terms
from queuey.model.stable_time.stable import Lateness, PeerFrontEnd, SoleFrontEnd
from queuey.model.stable_time.stamps import LONG_CLASS, Flights, Place, StampRequest, Stamps
from queuey.model.timeid import SECOND, MessageId, Ticks, from_seconds, lower_bound, make, ticks_of, upper_bound

NOW = from_seconds(1_700_000_000.0)
A, B = Place(1, 1), Place(1, 2)
US, THEM = UUID(int=1), UUID(int=2)


def later(seconds: float) -> Ticks:
    return Ticks(NOW + round(seconds * SECOND))


def numbered() -> Callable[[int], int]:
    """Bits that differ each time, with all others set."""
    numbers = count(1)
    return lambda bits: (1 << bits) - next(numbers)


class Case(SynchronousTestCase):
    def refuses(self, call: Callable[[], object], applied: str = "no") -> str:
        with self.assertRaises(Unavailable) as caught:
            call()
        self.assertEqual(caught.exception.applied, applied)
        return str(caught.exception)


class StampsTests(Case):
    """Ids rise, whatever the clock does, and never meet those of clients."""

    def test_they_rise_though_the_clock_is_set_back(self) -> None:
        stamps = Stamps(numbered())
        ids = [stamps.make(later(seconds), False) for seconds in (0, 0, 5, 4.9, -3600, 5.1)]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(ticks_of(ids[0]), NOW + 1)
        self.assertEqual(ticks_of(ids[4]), later(5) + 3)

    def test_the_class_is_told_by_the_multicast_bit_alone(self) -> None:
        stamps = Stamps(numbered())
        short, long = (int.from_bytes(stamps.make(NOW, kind)[10:], "big") for kind in (False, True))
        self.assertEqual((short & LONG_CLASS, long & LONG_CLASS), (0, LONG_CLASS))
        self.assertEqual(short | LONG_CLASS, long)

    def test_above_a_clients_id_whose_time_has_come(self) -> None:
        stamps = Stamps(numbered())
        stamps.put(make(later(5), 1, 1), later(5))
        self.assertEqual(ticks_of(stamps.make(NOW, False)), later(5) + 1)

    def test_a_clients_id_of_the_future_raises_nothing(self) -> None:
        stamps = Stamps(numbered())
        stamps.put(make(later(5), 1, 1), NOW)
        self.assertEqual(ticks_of(stamps.make(NOW, False)), NOW + 1)

    def test_a_clients_id_that_would_be_ours_never_is(self) -> None:
        for kind in (False, True):
            stamps = Stamps(numbered())
            ours = stamps.make(NOW, kind)
            taken = [MessageId((int.from_bytes(ours, "big") + (n << 64)).to_bytes(16, "big")) for n in range(1, 6)]
            for id in taken:
                stamps.put(id, NOW)
            made = [stamps.make(NOW, kind) for _ in range(6)]
            self.assertEqual([ours, *made], sorted({ours, *made}))
            self.assertEqual(set(made) & set(taken), set())

    def test_one_of_a_later_time(self) -> None:
        stamps = Stamps(numbered())
        for long in (False, True):
            before = stamps.make(NOW, long)
            delayed = [stamps.delayed(before, Ticks(5 * SECOND), long) for _ in range(2)]
            self.assertEqual({ticks_of(id) for id in delayed}, {ticks_of(before) + 5 * SECOND})
            self.assertEqual(len({id[8:] for id in (before, *delayed)}), 3)
            self.assertEqual({int.from_bytes(id[10:], "big") & LONG_CLASS for id in delayed}, {LONG_CLASS * long})
            self.assertEqual(ticks_of(stamps.make(NOW, long)), ticks_of(before) + 1)

    def test_other_ids_of_clients_change_nothing(self) -> None:
        stamps = Stamps(numbered())
        ours = stamps.make(NOW, False)
        stamps.put(make(later(5), 1, 1), NOW)
        self.assertEqual(stamps.make(NOW, False)[8:], ours[8:])


class FlightsTests(Case):
    """Writes under way, each for as long as it may take."""

    def setUp(self) -> None:
        self.flights = Flights()
        stamps = Stamps(numbered())
        self.ids = [stamps.make(NOW, False) for _ in range(6)]

    def test_the_least_of_a_partition(self) -> None:
        first = self.flights.begin([A, B, A], self.ids[:3], 0, 2)
        second = self.flights.begin([B], self.ids[3:4], 0, 2)
        self.assertEqual([self.flights.least(place, 1) for place in (A, B)], self.ids[:2])
        self.assertTrue(self.flights.end(first, 1))
        self.assertEqual([self.flights.least(place, 1) for place in (A, B)], [None, self.ids[3]])
        self.assertTrue(self.flights.end(second, 1))
        self.assertEqual((self.flights.least(B, 1), len(self.flights)), (None, 0))

    def test_the_least_of_all(self) -> None:
        self.assertIsNone(self.flights.oldest(1))
        first = self.flights.begin([B, A], self.ids[:2], 0, 2)
        self.flights.begin([A], self.ids[2:3], 0, 9)
        self.assertEqual([self.flights.oldest(boot) for boot in (1, 2, 9)], [self.ids[0], self.ids[2], None])
        self.flights.end(first, 1)
        self.assertEqual(self.flights.oldest(1), self.ids[2])

    def test_a_write_that_is_over_twice(self) -> None:
        flight = self.flights.begin([A], self.ids[:1], 0, 2)
        self.assertEqual([self.flights.end(flight, 1), self.flights.end(flight, 1)], [True, False])

    def test_at_its_very_limit_it_is_late(self) -> None:
        for at, in_time in ((1.999, True), (2.0, False)):
            flight = self.flights.begin([A], self.ids[:1], 0, 2)
            self.assertEqual(self.flights.least(A, at), self.ids[0] if in_time else None)
            self.assertEqual(self.flights.end(flight, at), in_time)

    def test_a_quick_one_ends_before_a_slow_one_that_began_earlier(self) -> None:
        slow = self.flights.begin([A], self.ids[:1], 0, 5)
        quick = self.flights.begin([B], self.ids[1:2], 1, 2)
        self.assertEqual([self.flights.least(place, 4) for place in (A, B)], [self.ids[0], None])
        self.assertFalse(self.flights.end(quick, 4))
        self.assertTrue(self.flights.end(slow, 4))

    def test_those_that_nobody_ends_leave_nothing(self) -> None:
        for second in range(100):
            self.flights.begin([A, B], self.ids[:2], second, 5 if second % 2 else 2)
        self.assertLess(len(self.flights), 8)
        self.flights.begin([A], self.ids[:1], 1000, 2)
        self.assertEqual(len(self.flights), 1)

    def test_forgotten(self) -> None:
        flight = self.flights.begin([A], self.ids[:1], 0, 2)
        self.flights.forget()
        self.assertEqual((self.flights.least(A, 0), self.flights.end(flight, 0)), (None, False))


class SoleTests(Case):
    """The front end that serves alone."""

    def setUp(self) -> None:
        self.lease = Lease(US, "us", Terms())
        self.front = SoleFrontEnd(Lateness(), numbered(), self.lease)

    def serve(self, boot: float = 0, row: LeaseRow | None = None, now: Ticks = NOW) -> LeaseRow:
        beat = self.front.take(row, boot, now)
        self.assertTrue(self.front.applied(beat, boot))
        self.front.serve()
        return beat.row

    def test_only_with_the_lease(self) -> None:
        self.front.why = "the reason"
        for call in (
            lambda: self.front.begin([StampRequest(A)], False, 0, NOW),
            lambda: self.front.stable(A, 0, NOW),
        ):
            self.assertEqual(self.refuses(call), "the reason")
        self.serve()
        self.front.begin([StampRequest(A)], False, 7.999, NOW)
        self.refuses(lambda: self.front.begin([StampRequest(A)], False, 8, NOW))
        self.refuses(lambda: self.front.stable(A, 8, NOW))

    def test_the_lease_alone_is_not_enough(self) -> None:
        self.assertTrue(self.front.applied(self.front.take(None, 0, NOW), 0))
        self.refuses(lambda: self.front.begin([StampRequest(A)], False, 0, NOW))
        self.front.serve()
        self.front.begin([StampRequest(A)], False, 0, NOW)
        self.front.rest()
        self.refuses(lambda: self.front.begin([StampRequest(A)], False, 0, NOW))

    def test_what_was_acknowledged_shows_at_once(self) -> None:
        self.serve()
        for place in (A, B, A):
            flight = self.front.begin([StampRequest(place)], False, 0, NOW)
            self.front.landed(flight, 0)
            self.assertGreater(self.front.stable(place, 0, NOW), flight.ids[0])

    def test_w_is_the_least_in_flight_there(self) -> None:
        self.serve()
        first = self.front.begin([StampRequest(A)], False, 0, NOW)
        second = self.front.begin([StampRequest(A), StampRequest(B, True)], False, 0, NOW)
        self.front.landed(second, 1)
        self.assertEqual(self.front.stable(A, 1, NOW), first.ids[0])
        self.assertGreater(self.front.stable(B, 1, NOW), second.ids[1])
        self.assertGreater(self.front.stable(A, 2, NOW), second.ids[0])
        self.refuses(lambda: self.front.landed(first, 2), "unknown")

    def test_a_delayed_message_is_in_flight_from_its_stamp(self) -> None:
        self.serve()
        wanted = [StampRequest(A, delay=Ticks(SECOND)), StampRequest(A)]
        flight = self.front.begin(wanted, False, 0, NOW)
        self.assertEqual([ticks_of(id) for id in flight.ids], [NOW + 1 + SECOND, NOW + 2])
        self.assertEqual(flight.stamps, (NOW + 1, NOW + 2))
        later_one = self.front.begin([StampRequest(A)], False, 0, NOW)
        self.assertEqual(later_one.stamps, (NOW + 3,))
        bound = self.front.stable(A, 1.5, later(1.5))
        self.assertEqual(ticks_of(bound), NOW + 1)
        self.front.landed(flight, 1.5)
        self.assertEqual(self.front.stable(A, 1.5, later(1.5)), later_one.ids[0])
        self.front.landed(later_one, 1.5)
        self.assertGreater(self.front.stable(A, 1.5, later(1.5)), flight.ids[0])

    def test_a_delay_raises_no_id(self) -> None:
        self.serve()
        flight = self.front.begin([StampRequest(A, delay=Ticks(3600 * SECOND))], False, 0, NOW)
        self.front.landed(flight, 0)
        self.assertEqual(ticks_of(self.front.begin([StampRequest(A)], False, 0, NOW).ids[0]), NOW + 2)
        self.assertLess(self.front.stable(B, 0, NOW), lower_bound(later(1)))

    def test_a_delay_may_go_above_the_ceiling(self) -> None:
        row = self.serve()
        flight = self.front.begin([StampRequest(A, delay=Ticks(3600 * SECOND))], False, 0, NOW)
        self.assertGreater(ticks_of(flight.ids[0]), row.ceiling)
        self.refuses(lambda: self.front.begin([StampRequest(A, delay=Ticks(1))], False, 1, later(10)))

    def test_ids_are_above_every_w_before(self) -> None:
        self.serve()
        for step in range(5):
            bound = self.front.stable(A, 0, later(-step))
            flight = self.front.begin([StampRequest(A)], False, 0, later(-step))
            self.assertGreater(flight.ids[0], bound)

    def test_a_clients_id_that_is_due_shows_at_that_very_time(self) -> None:
        self.serve()
        due = make(later(3), (1 << 14) - 1, (1 << 48) - 1)
        self.assertLess(self.front.stable(A, 3, Ticks(later(3) - 1)), due)
        self.assertGreater(self.front.stable(A, 3, later(3)), due)

    def test_what_is_withheld_besides(self) -> None:
        self.front = SoleFrontEnd(Lateness(base=3.0), numbered(), self.lease)
        self.serve()
        id = self.front.begin([StampRequest(A)], False, 0, NOW).ids[0]
        for seconds, bound in ((0, later(-3)), (1, later(-2)), (0.5, later(-2))):
            self.assertEqual(self.front.stable(A, 1, later(seconds)), lower_bound(bound))
        self.assertEqual(self.front.stable(A, 1.5, later(4)), id)
        self.assertGreater(self.front.stable(A, 3, later(4)), id)

    def test_nothing_goes_above_the_ceiling(self) -> None:
        row = self.serve()
        self.assertEqual(row.ceiling, later(10))
        self.refuses(lambda: self.front.begin([StampRequest(A)], False, 1, later(10)))
        self.refuses(lambda: self.front.begin([StampRequest(A)] * 3, False, 1, Ticks(later(10) - 2)))
        self.assertEqual(self.front.stable(A, 1, later(20)), upper_bound(later(10)))
        self.assertTrue(self.front.applied(self.front.beat(2, later(20)), 2))
        self.assertEqual(ticks_of(self.front.begin([StampRequest(A)], False, 2, NOW).ids[0]), later(10) + 1)

    def test_above_the_ceiling_of_whoever_was_before(self) -> None:
        for owner in (THEM, NO_OWNER):
            self.setUp()
            self.serve(row=LeaseRow(owner, "them", 5, later(100)))
            self.assertEqual(ticks_of(self.front.begin([StampRequest(A)], False, 0, NOW).ids[0]), later(100) + 1)

    def test_a_take_that_stood_without_our_knowing_hides_no_ceiling(self) -> None:
        taken = self.front.take(LeaseRow(THEM, "them", 5, later(100)), 0, NOW)
        self.assertFalse(self.front.applied(taken, 9))
        self.serve(9, taken.row)
        self.assertGreater(ticks_of(self.front.begin([StampRequest(A)], False, 9, NOW).ids[0]), later(100))

    def test_a_lease_taken_anew_promises_nothing_of_before(self) -> None:
        row = self.serve()
        flight = self.front.begin([StampRequest(A)], True, 6, NOW)
        self.front.step_down()
        self.serve(6.5, row)
        self.refuses(lambda: self.front.landed(flight, 7), "unknown")
        self.assertGreater(self.front.stable(A, 7, NOW), flight.ids[0])

    def test_what_is_left_to_the_next(self) -> None:
        row = self.serve()
        id = self.front.begin([StampRequest(A)], False, 0, NOW).ids[0]
        bound = self.front.stable(B, 0, later(1))
        beat = self.front.release()
        assert beat is not None
        self.assertEqual((beat.seen, beat.row.owner), (row, NO_OWNER))
        self.assertGreaterEqual(lower_bound(Ticks(beat.row.ceiling + 1)), bound)
        self.assertGreater(beat.row.ceiling, ticks_of(id))
        self.assertGreater(beat.row.beat, row.beat)
        self.assertIsNone(self.front.release())
        self.refuses(lambda: self.front.stable(A, 0, NOW))


class LeaseTests(Case):
    """When the lease may be taken, and how long it is held."""

    def setUp(self) -> None:
        self.lease = Lease(US, "us", Terms())

    def row(self, owner: UUID = THEM, beat: int = 7) -> LeaseRow:
        return LeaseRow(owner, "there", beat, NOW)

    def test_who_waits(self) -> None:
        for row in (None, self.row(NO_OWNER), self.row(US)):
            self.assertTrue(self.lease.may_take(row, 0))
        self.assertEqual([self.lease.may_take(self.row(), at) for at in (100, 111.9, 112)], [False, False, True])

    def test_a_new_beat_begins_the_wait_anew(self) -> None:
        self.assertFalse(self.lease.may_take(self.row(beat=7), 0))
        self.assertEqual([self.lease.may_take(self.row(beat=8), at) for at in (11, 22.9, 23)], [False, False, True])
        self.assertFalse(self.lease.may_take(self.row(UUID(int=3), 8), 24))

    def test_it_counts_from_the_start_of_a_beat(self) -> None:
        self.assertTrue(self.lease.applied(self.lease.take(None, 0, NOW), 3))
        self.assertEqual([self.lease.holds(at) for at in (3, 7.9, 8)], [True, True, False])
        beat = self.lease.beat(4, NOW)
        self.assertTrue(self.lease.applied(beat, 7))
        self.assertEqual([self.lease.holds(at) for at in (11.9, 12)], [True, False])

    def test_a_beat_that_becomes_known_too_late(self) -> None:
        self.assertTrue(self.lease.applied(self.lease.take(None, 0, NOW), 0))
        beat = self.lease.beat(2, NOW)
        self.assertFalse(self.lease.applied(beat, 8))
        self.assertFalse(self.lease.holds(8))

    def test_the_row_tells_which_beat_stands(self) -> None:
        first = self.lease.take(None, 0, NOW)
        self.lease.applied(first, 0)
        beats = [self.lease.beat(at, NOW) for at in (2, 3, 4)]
        self.assertEqual([beat.seen for beat in beats], [first.row] * 3)
        self.assertEqual(len({beat.row.beat for beat in beats}), 3)
        found = self.lease.ours(US, beats[1].row.beat)
        self.assertIs(found, beats[1])
        self.assertTrue(self.lease.applied(beats[1], 5))
        self.assertIsNone(self.lease.ours(US, beats[0].row.beat))
        self.assertIsNone(self.lease.ours(THEM, beats[2].row.beat))
        self.assertEqual([self.lease.holds(at) for at in (10.9, 11)], [True, False])

    def test_the_ceiling_never_falls(self) -> None:
        first = self.lease.take(None, 0, later(50))
        self.lease.applied(first, 0)
        self.assertEqual(self.lease.beat(1, NOW).row.ceiling, later(60))

    def test_numbers_never_come_back(self) -> None:
        numbers = [self.lease.take(row, 0, NOW).row.beat for row in (None, self.row(beat=9), None, self.row(beat=3))]
        self.assertEqual(numbers, [1, 10, 11, 12])


class PeerTests(Case):
    """One of many front ends."""

    def setUp(self) -> None:
        self.front = PeerFrontEnd(Lateness(), numbered())

    def test_only_while_its_clock_is_known_to_be_right(self) -> None:
        self.refuses(lambda: self.front.stable(A, 0, NOW, False, False))
        self.front.serve(20)
        self.front.begin([StampRequest(A)], False, 19.9, NOW)
        self.refuses(lambda: self.front.begin([StampRequest(A)], False, 20, NOW))
        self.front.serve(40)
        flight = self.front.begin([StampRequest(A)], False, 20, NOW)
        self.front.rest()
        self.refuses(lambda: self.front.landed(flight, 20), "unknown")

    def test_w(self) -> None:
        self.front.serve(20)
        self.assertEqual(self.front.stable(A, 0, NOW, False, False), lower_bound(later(-2.5)))
        self.assertEqual(self.front.stable(A, 0, NOW, True, False), lower_bound(later(-5.5)))
        self.assertEqual(self.front.stable(A, 0, NOW, False, True), upper_bound(NOW))

    def test_what_is_withheld_besides(self) -> None:
        self.front = PeerFrontEnd(Lateness(base=3.0), numbered())
        self.front.serve(20)
        self.assertEqual(self.front.stable(A, 0, NOW, False, False), lower_bound(later(-5.5)))
        self.assertEqual(self.front.stable(A, 0, NOW, False, True), upper_bound(later(-3)))

    def test_w_never_falls(self) -> None:
        self.front.serve(20)
        for slow, weak in ((False, False), (True, False), (False, True)):
            before = self.front.stable(A, 0, NOW, slow, weak)
            self.assertEqual(self.front.stable(A, 0, later(-5), slow, weak), before)
            self.assertGreater(self.front.stable(A, 0, later(5), slow, weak), before)
