"""Waiting readers look at the store now and then if other front ends write to it."""

from __future__ import annotations

import gc

from twisted.internet.defer import Deferred, fail, succeed

from queuey.errors import Unavailable
from queuey.model.reading.window import NEWEST, OLDEST, Merge, MergeSlice
from tests.core.reading.test_waiting import OTHER, QUEUE, WaitsCase, new, nothing, position, something


class LookingTests(WaitsCase):
    """A store in which others write too."""

    look_every = 1.0

    def test_one_look_for_all_who_wait_for_a_queue(self) -> None:
        for number in range(500):
            self.wait(partitions=(1 + number % 3,), seen=position(5 + number % 7))
        self.wait(OTHER, partitions=(9,), seen=position(8), fresh=True)
        self.assertEqual(self.timers(), 3)
        self.clock.advance(0.9)
        self.assertEqual(self.looks, [])
        self.clock.advance(0.1)
        first = Merge((1, 2, 3), position(5), limit=1, max_bytes=0)
        second = Merge((9,), position(8), limit=1, max_bytes=0, fresh=True)
        self.assertEqual(self.looks, [first, second])
        self.assertEqual(self.timers(), 3)

    def test_fresh_if_anybody_is(self) -> None:
        self.wait()
        self.wait(fresh=True)
        self.clock.advance(1)
        self.assertTrue(self.looks[0].fresh)

    def test_it_goes_on_where_it_came_to(self) -> None:
        self.clock.advance(100)
        self.wait(seen=position(50))
        self.clock.pump([1.0] * 3)
        self.assertEqual([look.lower for look in self.looks], [position(50), position(101), position(102)])
        self.wait(seen=position(7))
        self.clock.pump([1.0] * 2)
        self.assertEqual([look.lower for look in self.looks[3:]], [position(7), position(104)])

    def test_a_lower_place_that_comes_while_it_looks_is_kept(self) -> None:
        self.answer = Deferred
        self.wait(seen=position(50))
        self.clock.advance(1)
        self.wait(seen=position(7))
        self.answers[0].callback(nothing(60))
        self.clock.advance(1)
        self.assertEqual(self.looks[1].lower, position(7))

    def test_what_it_finds_is_told_to_all(self) -> None:
        """Then they look for themselves, and it does not look before somebody waits again."""
        waiting = [self.wait(partitions=(number,)) for number in (1, 2)]
        waiter = self.join()
        third = waiter.arrival(OLDEST)
        self.answer = lambda: succeed(something(5))
        self.clock.advance(1)
        self.clock.advance(0)
        for told in (*waiting, third):
            self.assertIs(self.successResultOf(told), True)
        self.clock.pump([1.0] * 3)
        self.assertEqual(len(self.looks), 1)
        self.answer = lambda: succeed(nothing(9))
        waiter.arrival(position(9))
        self.clock.advance(1)
        self.assertEqual([look.lower for look in self.looks], [OLDEST, position(9)])

    def test_no_look_before_anybody_has_seen_the_end(self) -> None:
        self.join()
        self.clock.pump([1.0] * 5)
        self.assertEqual(self.looks, [])

    def test_one_at_a_time(self) -> None:
        """A slow store is not asked again meanwhile, also if more readers join."""
        self.answer = Deferred
        self.wait()
        self.clock.pump([1.0] * 5)
        self.wait(seen=position(3))
        self.clock.pump([1.0] * 5)
        self.assertEqual((len(self.looks), self.timers()), (1, 1))
        self.answers[0].callback(nothing(9))
        self.clock.advance(0.9)
        self.assertEqual(len(self.looks), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.looks), 2)

    def test_one_that_fails(self) -> None:
        """The next one comes in time, and asks the same."""
        self.answer = lambda: fail(Unavailable("gone"))
        waiting = self.wait(seen=position(5))
        self.clock.pump([1.0] * 3)
        self.assertEqual([look.lower for look in self.looks], [position(5)] * 3)
        self.assertNoResult(waiting)
        self.answer = lambda: succeed(something(6))
        self.clock.pump([1.0, 0.0])
        self.assertIs(self.successResultOf(waiting), True)
        self.assert_nothing_left()
        self.assert_nothing_logged()

    def assert_nothing_logged(self) -> None:
        """No failure was left to be found by the collector."""
        self.answers.clear()
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_defect_is_not_hidden(self) -> None:
        """It is logged, and looking goes on."""
        self.answer = lambda: fail(ZeroDivisionError())
        self.wait()
        self.clock.pump([1.0] * 2)
        self.assertEqual(len(self.looks), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_a_defect_is_logged_at_once(self) -> None:
        """It is logged before the next look, whether the store raises it at once or answers with it later, and though
        that answer is still kept. A look that has ended is not under way."""

        def raises() -> Deferred[MergeSlice]:
            raise ZeroDivisionError

        self.wait()
        (awaited,) = self.waits._queues.values()
        for answer in (raises, lambda: fail(ZeroDivisionError()), Deferred):
            self.answer = answer
            self.clock.advance(1)
            if answer is Deferred:
                self.assertIs(awaited._looking, self.answers[-1])
                self.answers[-1].errback(ZeroDivisionError())
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertIsNone(awaited._looking)

    def test_the_last_one_leaves_while_it_looks(self) -> None:
        """The look is ended, and none follows."""
        cancelled: list[None] = []
        self.answer = lambda: Deferred(lambda _: cancelled.append(None))
        one, two = self.wait(), self.wait()
        self.clock.advance(1)
        self.give_up(one)
        self.assertEqual(cancelled, [])
        self.give_up(two)
        self.assertEqual(cancelled, [None])
        self.assert_nothing_left()
        self.clock.pump([1.0] * 3)
        self.assertEqual(len(self.looks), 1)
        self.assert_nothing_logged()

    def test_the_last_one_leaves_between_two_looks(self) -> None:
        waiting = self.wait()
        self.clock.advance(1.5)
        self.give_up(waiting)
        self.assert_nothing_left()

    def test_where_it_is_told_it_need_not_look(self) -> None:
        """A write through this process wakes readers at once, as on every store."""
        waiting = self.wait()
        self.waits.wake(QUEUE, [new()])
        self.clock.advance(0)
        self.assertIs(self.successResultOf(waiting), True)
        self.assertEqual(self.looks, [])

    def test_the_end_of_what_there_can_be(self) -> None:
        """No reader can have seen more than that."""
        self.wait(seen=NEWEST)
        self.clock.pump([1.0] * 3)
        self.assertEqual(self.looks, [])
