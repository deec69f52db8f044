"""Waiting readers are woken when there may be more messages, and at their deadlines, without timers of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.waiting import REST, Waiter, Waits
from queuey.model.messages.message import Content, Message, NewMessage
from queuey.model.reading.window import OLDEST, Merge, MergeSlice, Position
from queuey.model.timeid import SECOND, MessageId, Ticks, make, upper_bound

QUEUE, OTHER = 7, 8


def id_at(seconds: float) -> MessageId:
    return make(Ticks(int(seconds * SECOND)), 0, 1)


def position(seconds: float) -> Position:
    """Where a reader is who has seen all up to a time."""
    return Position(upper_bound(Ticks(int(seconds * SECOND))))


def new(partition: int = 1, delay: float = 0) -> NewMessage:
    return NewMessage(partition, Content(b"x"), 60, Ticks(int(delay * SECOND)))


def nothing(seconds: float) -> MergeSlice:
    """What a look finds that finds nothing, at a stable time."""
    return MergeSlice((), position(seconds), True, position(seconds).id)


def something(seconds: float) -> MergeSlice:
    message = Message(1, id_at(seconds), Content(b"x"), Ticks(0))
    return MergeSlice((message,), Position(message.id, 1), True, position(seconds).id)


class WaitsCase(SynchronousTestCase):
    """Waits of a store that tells of everything, or that has to be looked at every so often."""

    look_every: float | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.store_tells: Callable[[int], None] | None = None
        self.looks: list[Merge] = []
        self.answers: list[Deferred[MergeSlice]] = []
        self.answer: Callable[[], Deferred[MergeSlice]] = lambda: succeed(nothing(self.clock.seconds()))
        self.waits = Waits(self.clock, self.subscribe)

    def subscribe(self, arrived: Callable[[int], None]) -> float | None:
        self.store_tells = arrived
        return self.look_every

    def look(self, merge: Merge) -> Deferred[MergeSlice]:
        self.looks.append(merge)
        self.answers.append(self.answer())
        return self.answers[-1]

    def join(
        self, queue: int = QUEUE, partitions: Sequence[int] = (1,), seconds: float = 20, fresh: bool = False
    ) -> Waiter:
        return self.waits.join(queue, partitions, seconds, self.look, fresh=fresh)

    def wait(
        self,
        queue: int = QUEUE,
        partitions: Sequence[int] = (1,),
        seconds: float = 20,
        seen: Position = OLDEST,
        fresh: bool = False,
    ) -> Deferred[bool]:
        """Wait once, as a reader does who then leaves."""
        waiter = self.join(queue, partitions, seconds, fresh)

        def leave(result: object) -> object:
            waiter.__exit__(None, None, None)
            return result

        told: Deferred[bool] = waiter.arrival(seen)
        told.addBoth(leave)
        return told

    def give_up(self, *waiting: Deferred[bool]) -> None:
        """Their readers hang up."""
        for told in waiting:
            told.cancel()
            self.failureResultOf(told, CancelledError)

    def timers(self) -> int:
        return len(self.clock.getDelayedCalls())

    def assert_nothing_left(self) -> None:
        self.assertEqual((self.timers(), self.waits.waiting, self.waits._queues), (0, 0, {}))
        self.assertEqual((self.waits._deadlines._heap, self.waits._deadlines._waiters), ([], {}))


class DeadlineTests(WaitsCase):
    """The time that a reader waits at the most."""

    def test_nothing_comes(self) -> None:
        waiting = self.wait(seconds=5)
        self.clock.advance(4.999)
        self.assertNoResult(waiting)
        self.clock.advance(0.001)
        self.assertIs(self.successResultOf(waiting), False)
        self.assert_nothing_left()

    def test_each_at_its_own(self) -> None:
        deadlines = {1: 9.0, 2: 2.0, 3: 5.0, 4: 20.0, 5: 1.0, 6: 5.5}
        waiting = {seconds: self.wait(number % 3, seconds=seconds) for number, seconds in deadlines.items()}
        for passed in range(21):
            for seconds, told in waiting.items():
                self.assertEqual(told.called, seconds <= passed, (seconds, passed))
            self.clock.advance(1)
        self.assert_nothing_left()

    def test_the_end_of_all_waiting(self) -> None:
        waiting = [self.wait(number, seconds=20) for number in (1, 1, 2)]
        self.waits.end()
        self.assertEqual([self.successResultOf(told) for told in waiting], [False] * 3)
        later = self.wait(seconds=20)
        self.assertIs(self.successResultOf(later), False)
        self.assert_nothing_left()

    def test_one_timer_for_all(self) -> None:
        waiting = [self.wait(number % 100, seconds=20 - number % 7) for number in range(2000)]
        self.assertEqual((self.timers(), self.waits.waiting), (1, 2000))
        self.clock.advance(13.5)
        self.assertEqual((self.timers(), self.waits.waiting), (1, 2000))
        self.give_up(*waiting)
        self.assert_nothing_left()

    def test_it_comes_also_to_one_that_is_looking(self) -> None:
        """The deadline passes while the reader reads; the next wait is over at once, whatever has come."""
        quiet, told = self.join(seconds=5), self.join(OTHER, seconds=5)
        self.clock.advance(6)
        self.waits.wake(OTHER)
        self.clock.advance(0)
        for waiter in (quiet, told):
            self.assertIs(self.successResultOf(waiter.arrival(OLDEST)), False)

    def test_those_that_leave_leave_nothing(self) -> None:
        """However many come and go while one waits on."""
        waiting = self.wait(seconds=20)
        for number in range(5000):
            self.give_up(self.wait(number % 3, seconds=30))
        self.assertLess(len(self.waits._deadlines._heap), 200)
        self.assertEqual((self.timers(), self.waits.waiting, list(self.waits._queues)), (1, 1, [QUEUE]))
        self.clock.advance(20)
        self.assertIs(self.successResultOf(waiting), False)
        self.assert_nothing_left()

    def test_those_that_stay_keep_their_deadlines(self) -> None:
        """However many leave among them, in whatever order."""
        random = Random(1)
        staying, leaving = {}, []
        for seconds in random.sample(range(1, 20_000), 4000):
            if seconds % 40:
                leaving.append(self.wait(seconds=seconds / 1024))
            else:
                staying[seconds] = self.wait(seconds=seconds / 1024)
        random.shuffle(leaving)
        self.give_up(*leaving)
        for seconds in range(1, 20_000):
            self.clock.advance(1 / 1024)
            if seconds in staying:
                self.assertIs(self.successResultOf(staying[seconds]), False, seconds)

    def test_one_that_leaves_at_the_deadline_of_another(self) -> None:
        """What a deadline sets off may end other waits."""
        others: list[Deferred[bool]] = []
        first: Deferred[object] = self.wait(seconds=5).addCallback(lambda told: self.give_up(*others))
        others.append(self.wait(OTHER, seconds=5))
        last = self.wait(seconds=5.5)
        self.clock.advance(5)
        self.successResultOf(first)
        self.clock.advance(0.5)
        self.assertIs(self.successResultOf(last), False)
        self.assert_nothing_left()

    def test_one_that_fails(self) -> None:
        """An error in one waiter, at its deadline or at the end, has nothing to do with the deadlines of the others."""

        class Failing:
            number = 0

            def expire(self) -> None:
                raise ZeroDivisionError

        one, other = Failing(), Failing()
        self.waits.set_deadline(one, 5)
        self.waits.set_deadline(other, 60)
        first, second, third = (self.wait(seconds=seconds) for seconds in (5, 6, 20))
        self.clock.advance(5)
        self.assertIs(self.successResultOf(first), False)
        self.clock.advance(1)
        self.assertIs(self.successResultOf(second), False)
        self.waits.end()
        self.assertIs(self.successResultOf(third), False)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_joined_by_one_whose_deadline_is_earlier(self) -> None:
        self.wait(seconds=20)
        self.clock.advance(1)
        waiting = self.wait(seconds=2)
        self.assertEqual(self.timers(), 1)
        self.clock.advance(2)
        self.assertIs(self.successResultOf(waiting), False)


class WakingTests(WaitsCase):
    """Messages that come to a queue, and the readers that are woken."""

    def test_a_listener_that_fails(self) -> None:
        """Neither the others nor the writer that wakes them see its error."""

        def fail(partitions: object, arrived: object) -> None:
            raise ZeroDivisionError

        told: list[object] = []
        self.waits.listen(QUEUE, fail)
        self.waits.listen(QUEUE, lambda *all: told.append(all))
        self.waits.wake(QUEUE)
        self.waits.removed(QUEUE, None)
        self.assertEqual(told, [(None, None)] * 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_a_listener_learns_how_many_have_come(self) -> None:
        """Delayed messages are not there yet."""
        told: list[object] = []
        self.waits.listen(QUEUE, lambda *all: told.append(all))
        self.waits.wake(QUEUE, [new(1), new(2, 0.5), new(1)])
        self.waits.offer(QUEUE, [new(3)])
        self.assertEqual(told, [({1}, 2), ({3}, 1)])

    def test_whose_queue_and_partition_it_is(self) -> None:
        one, two = self.wait(partitions=(1, 3)), self.wait(partitions=(2,))
        elsewhere = self.wait(OTHER, partitions=(1, 2, 3))
        self.waits.wake(QUEUE, [new(2), new(4)])
        self.clock.advance(0)
        self.assertIs(self.successResultOf(two), True)
        self.assertNoResult(one)
        later = self.wait(partitions=(2,))
        self.waits.wake(QUEUE, [new(3)])
        self.clock.advance(0)
        self.assertIs(self.successResultOf(one), True)
        self.assertNoResult(later)
        self.assertNoResult(elsewhere)

    def test_what_only_those_see_who_want_what_is_fresh(self) -> None:
        settled, fresh = self.join(), self.join(2, fresh=True)
        told = [settled.arrival(OLDEST), fresh.arrival(OLDEST)]
        for queue in (QUEUE, 2):
            self.waits.wake(queue, only_fresh=True)
        self.clock.advance(0)
        self.assertNoResult(told[0])
        self.assertIs(self.successResultOf(told[1]), True)
        for waiter in (settled, fresh):
            waiter.__exit__(None, None, None)

    def test_anything_anywhere(self) -> None:
        waiting = [self.wait(partitions=(number,)) for number in range(1, 4)]
        self.waits.wake(QUEUE)
        self.clock.advance(0)
        for told in waiting:
            self.assertIs(self.successResultOf(told), True)
        self.assert_nothing_left()

    def test_what_is_delayed_has_not_come(self) -> None:
        waiting = self.wait()
        self.waits.wake(QUEUE, [new(1, 0.5), new(2)])
        self.clock.advance(0)
        self.assertNoResult(waiting)
        timers = self.timers()
        self.waits.wake(QUEUE, [new(1, 0.5)])
        self.assertEqual(self.timers(), timers)
        self.waits.wake(QUEUE, [new(1, 0.5), new(1)])
        self.clock.advance(0)
        self.assertIs(self.successResultOf(waiting), True)

    def test_the_store_tells(self) -> None:
        """What falls due, for one."""
        waiting, other = self.wait(), self.wait(OTHER)
        assert self.store_tells is not None
        self.store_tells(QUEUE)
        self.clock.advance(0)
        self.assertIs(self.successResultOf(waiting), True)
        self.assertNoResult(other)

    def test_whoever_tells_goes_on_first(self) -> None:
        waiting = self.wait()
        self.waits.wake(QUEUE)
        self.assertNoResult(waiting)
        self.clock.advance(0)
        self.assertIs(self.successResultOf(waiting), True)

    def test_one_notification_for_all(self) -> None:
        """A thousand messages of one turn cause one wake-up of each reader that any of them concerns."""
        waiting = [self.wait(partitions=(number,)) for number in range(1, 200)]
        for number in range(1000):
            self.waits.wake(QUEUE, [new(1 + number % 200)])
            self.waits.wake(OTHER, [new(1)])
        self.assertEqual(self.timers(), 2)
        self.clock.advance(0)
        for told in waiting:
            self.assertIs(self.successResultOf(told), True)
        self.assert_nothing_left()

    def test_of_what_nobody_waits_for(self) -> None:
        self.waits.wake(QUEUE)
        self.waits.wake(QUEUE, [new()])
        self.assert_nothing_left()

    def test_what_comes_while_he_looks_counts_once(self) -> None:
        waiter = self.join()
        self.waits.wake(QUEUE, [new()])
        self.clock.advance(0)
        self.assertIs(self.successResultOf(waiter.arrival(OLDEST)), True)
        again = waiter.arrival(OLDEST)
        self.assertNoResult(again)
        self.waits.wake(QUEUE, [new()])
        self.clock.advance(0)
        self.assertIs(self.successResultOf(again), True)

    def test_the_last_one_leaves_before_it_is_told(self) -> None:
        waiting = self.wait()
        self.waits.wake(QUEUE)
        self.give_up(waiting)
        self.assert_nothing_left()

    def test_one_leaves_when_another_is_told(self) -> None:
        """What the news set off ends the wait of one who has not heard them yet, and lets one more begin."""
        later: list[Deferred[bool]] = []

        def told(come: bool) -> None:
            self.give_up(second)
            later.append(self.wait())

        first: Deferred[None] = self.wait().addCallback(told)
        second = self.wait()
        third = self.wait()
        self.waits.wake(QUEUE)
        self.clock.advance(0)
        self.successResultOf(first)
        self.assertIs(self.successResultOf(third), True)
        self.assertNoResult(later[0])
        self.waits.wake(QUEUE)
        self.clock.advance(0)
        self.assertIs(self.successResultOf(later[0]), True)
        self.assert_nothing_left()

    def test_a_wait_that_was_cancelled_is_over_alone(self) -> None:
        """Its reader may wait once more, and hears what came in between."""
        waiter = self.join()
        first = waiter.arrival(OLDEST)
        self.give_up(first)
        self.waits.wake(QUEUE)
        self.clock.advance(0)
        self.assertIs(self.successResultOf(waiter.arrival(OLDEST)), True)

    def test_left_by_an_error(self) -> None:
        def fall() -> None:
            with self.join():
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fall)
        self.assert_nothing_left()

    def test_a_rest(self) -> None:
        """It ends after a moment, or when it is cancelled."""
        waiter = self.join()
        first, second = waiter.rest(), waiter.rest()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.clock.advance(REST / 2)
        self.assertNoResult(first)
        self.clock.advance(REST / 2)
        self.successResultOf(first)
        waiter.__exit__(None, None, None)
        self.assert_nothing_left()

    def test_no_look_is_taken(self) -> None:
        """A store that tells of everything is never asked."""
        self.wait(seconds=20)
        self.clock.pump([1.0] * 20)
        self.assertEqual(self.looks, [])
