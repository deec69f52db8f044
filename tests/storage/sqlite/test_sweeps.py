"""Expired messages and ended queues are removed from SQLite in slices."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content
from queuey.model.messages.once import Appended
from queuey.model.queues.queue import Queue, states_prefix
from queuey.storage.sqlite.upkeep import sweeper
from queuey.storage.sqlite.upkeep.sweeper import STATES
from tests.contracts.reading import TERMS, foreign_id, new, once
from tests.storage.sqlite.test_writer import PAGE, HeldCase


class SweepTests(HeldCase):
    """What is over goes away in small steps, among which others have their turn."""

    def fill(self, number: int, ttl: int = 10, queue: Queue | None = None, size: int = 1) -> None:
        self.successResultOf(self.store.append(queue or self.queue, [new(b"x" * size, ttl=ttl)] * number, TERMS))

    def one_turn(self, seconds: float) -> None:
        """Let the next turn of upkeep be taken, and no other."""
        self.subject.hold()
        self.subject.clock.advance(seconds)
        self.subject.release()

    def test_expired_messages_in_steps_with_others_between(self) -> None:
        self.fill(1234)
        self.fill(3, ttl=100)
        self.subject.wall.seconds += 10
        for seconds, left in ((1, 737), (0, 237), (0, 3), (1, 3)):
            self.subject.hold()
            self.subject.clock.advance(seconds)
            between = self.store.states.replace(f"{left} {seconds}", None, b"", "1")
            self.subject.release()
            self.successResultOf(between)
            self.assertEqual(self.rows("messages"), left)
            self.assertEqual(self.counted(), 3)

    def test_dead_queues_also_after_a_restart(self) -> None:
        future = foreign_id(5000)
        self.fill(1200, ttl=1 << 25)
        self.successResultOf(self.store.replace(self.queue, [Address(1, future)], Content(b"x"), 60, TERMS))
        other = self.make("other")
        self.fill(2, queue=other, ttl=1 << 25)
        self.assertTrue(self.successResultOf(self.store.forget(self.queue)))
        self.assertEqual(self.rows("messages"), 1203)
        self.assertEqual(self.writer.queues.usage("app"), (1, 2))
        self.one_turn(1)
        self.assertEqual(self.rows("messages"), 703)
        self.successResultOf(self.subject.reopen())
        self.successResultOf(self.subject.advance(1))
        self.assertEqual([self.rows(table) for table in ("messages", "dead", "future", "tallies")], [2, 0, 0, 1])
        self.assertEqual(self.shown(other), [b"x"] * 2)

    def keep_states(self, queue: Queue, count: int) -> None:
        for number in range(count):
            key = f"{states_prefix(queue.incarnation)}{number}"
            self.successResultOf(self.store.states.replace(key, None, b"x", "1"))

    def test_states_of_dead_queues_also_after_a_restart(self) -> None:
        """Those of others stay, of queues whose numbers have the same beginning too; no turn takes long."""
        others = [self.make(f"q{number}") for number in range(20)]
        for other in others:
            self.keep_states(other, 1)
        self.successResultOf(self.store.states.replace("applications", None, b"x", "1"))
        dead = others[0]
        self.keep_states(self.queue, 2 * STATES + 10)
        for queue in (self.queue, dead):
            self.assertTrue(self.successResultOf(self.store.forget(queue)))
        self.assertEqual(self.rows("states"), 2 * STATES + 31)
        self.one_turn(1)
        self.assertEqual(self.rows("states"), STATES + 31)
        self.successResultOf(self.subject.reopen())
        self.successResultOf(self.subject.advance(1))
        self.assertEqual([self.rows(table) for table in ("states", "dead")], [20, 0])
        self.assertIsNotNone(self.successResultOf(self.store.states.read("applications")))
        self.assertIsNone(self.successResultOf(self.store.states.read(f"{states_prefix(dead.incarnation)}0")))

    def test_a_queue_that_was_empty_leaves_nothing_to_sweep(self) -> None:
        self.assertTrue(self.successResultOf(self.store.forget(self.queue)))
        self.assertEqual(self.rows("dead"), 0)

    def test_expired_messages_of_dead_queues_are_counted_once(self) -> None:
        other = self.make("other")
        self.fill(5, queue=other)
        self.fill(7)
        self.assertTrue(self.successResultOf(self.store.forget(other)))
        self.subject.wall.seconds += 10
        self.successResultOf(self.subject.advance(1))
        self.assertEqual([self.rows(table) for table in ("messages", "dead")], [0, 0])
        self.assertEqual(self.writer.queues.usage("app"), (1, 0))

    def test_the_future_table_is_true(self) -> None:
        ids = [foreign_id(number) for number in (50, 60, 70, 80, 90)]
        places = [Address(1, id) for id in ids]
        self.successResultOf(self.store.replace(self.queue, places, Content(b"x"), 55, TERMS))
        self.successResultOf(self.store.replace(self.queue, places[3:], Content(b"x"), 1000, TERMS))
        self.assertEqual(self.rows("future"), 5)
        self.successResultOf(self.store.remove(self.queue, places[1:2], Ack.ONE))
        self.assertEqual(self.rows("future"), 4)
        self.successResultOf(self.subject.advance(52))
        self.assertEqual(self.rows("future"), 3)
        self.successResultOf(self.subject.advance(4))
        self.assertEqual(self.rows("future"), 2)
        self.successResultOf(self.store.purge(self.queue, ids[4], Ack.ONE))
        self.assertEqual(self.rows("future"), 2)
        (delayed,) = self.successResultOf(self.store.append(self.queue, [new(b"x", delay=50)], TERMS))
        self.assertEqual(self.rows("future"), 3)
        self.successResultOf(self.store.remove(self.queue, [Address(1, delayed)], Ack.ONE))
        self.assertEqual(self.rows("future"), 2)
        self.successResultOf(self.store.forget(self.queue))
        self.successResultOf(self.subject.advance(1))
        self.assertEqual(self.rows("future"), 0)

    def keep(self, number: int, lifetime: int, queue: Queue | None = None) -> None:
        """Let keys be remembered, whose messages are gone."""
        for each in range(number):
            asked = once(b"%d %d" % (lifetime, each), lifetime=lifetime)
            appended = self.store.append_once(queue or self.queue, [new(b"x")], TERMS, asked)
            addresses = self.successResultOf(appended).addresses
            self.successResultOf(self.store.remove(queue or self.queue, addresses, Ack.ONE))

    def test_keys_that_are_over_in_steps(self) -> None:
        self.keep(1234, 10)
        self.keep(3, 100)
        self.subject.wall.seconds += 10
        for seconds, left in ((1, 737), (0, 237), (0, 3), (1, 3)):
            self.one_turn(seconds)
            self.assertEqual(self.rows("keys"), left)

    def test_keys_of_dead_queues_in_steps_also_after_a_restart(self) -> None:
        other = self.make("other")
        self.keep(1234, 1000)
        self.keep(3, 1000, other)
        self.assertTrue(self.successResultOf(self.store.forget(self.queue)))
        self.assertEqual([self.rows(table) for table in ("messages", "dead")], [0, 1])
        self.one_turn(1)
        self.assertEqual([self.rows(table) for table in ("keys", "dead")], [737, 1])
        self.successResultOf(self.subject.reopen())
        self.successResultOf(self.subject.advance(1))
        self.assertEqual([self.rows(table) for table in ("keys", "dead")], [3, 0])
        self.assertTrue(self.successResultOf(self.append_again(other)).duplicate)

    def append_again(self, queue: Queue) -> Deferred[Appended]:
        return self.store.append_once(queue, [new(b"x")], TERMS, once(b"1000 0", lifetime=1000))

    def test_a_key_that_is_used_anew_before_it_is_swept(self) -> None:
        self.keep(1, 10)
        self.subject.wall.seconds += 10
        self.keep(1, 10)
        self.successResultOf(self.subject.advance(9))
        self.assertEqual(self.rows("keys"), 1)
        self.successResultOf(self.subject.advance(1))
        self.assertEqual(self.rows("keys"), 0)

    def test_many_fall_due_at_once(self) -> None:
        places = [Address(1, foreign_id(number / 1000)) for number in range(1, 1301)]
        self.successResultOf(self.store.replace(self.queue, places, Content(b"x"), 600, TERMS))
        self.assertEqual(len(self.shown()), 0)
        self.successResultOf(self.subject.advance(1.0))
        self.assertEqual(len(self.shown()), 1000)
        self.successResultOf(self.subject.advance(0.25))
        self.assertEqual(self.rows("future"), 50)
        self.successResultOf(self.subject.advance(0.05))
        self.assertEqual(self.rows("future"), 0)

    def test_the_timer_is_set_for_what_falls_due_first(self) -> None:
        def next_turn() -> float:
            calls = self.subject.clock.getDelayedCalls()
            return min(call.getTime() for call in calls) - self.subject.clock.seconds()

        self.assertEqual(next_turn(), 1)
        for due, delay in ((5, 1), (0.5, 0.5), (0.75, 0.5), (0.25, 0.25)):
            place = [Address(1, foreign_id(due))]
            self.successResultOf(self.store.replace(self.queue, place, Content(b"x"), 600, TERMS))
            self.assertAlmostEqual(next_turn(), delay, places=5)
        self.successResultOf(self.subject.advance(0.25))
        self.assertAlmostEqual(next_turn(), 0.25, places=5)

    def test_the_timer_is_set_for_what_is_delayed(self) -> None:
        """Not for what comes with it, nor for what an earlier call has stored."""

        def next_turn() -> float:
            calls = self.subject.clock.getDelayedCalls()
            return min(call.getTime() for call in calls) - self.subject.clock.seconds()

        self.successResultOf(self.store.append(self.queue, [new(b"now"), new(b"x", delay=0.75)], TERMS))
        self.assertAlmostEqual(next_turn(), 0.75, places=5)
        late = [new(b"y", delay=0.5), new(b"now"), new(b"z", delay=0.25)]
        self.successResultOf(self.store.append_once(self.queue, late, TERMS, once()))
        self.assertAlmostEqual(next_turn(), 0.25, places=5)
        self.successResultOf(self.subject.advance(0.3))
        self.assertAlmostEqual(next_turn(), 0.2, places=5)
        again = self.successResultOf(self.store.append_once(self.queue, late, TERMS, once()))
        self.assertTrue(again.duplicate)
        self.assertAlmostEqual(next_turn(), 0.2, places=5)

    def test_room_is_given_back_slowly(self) -> None:
        self.patch(sweeper, "SPARE_PAGES", 100)
        self.fill(300, size=4 * PAGE)
        before = self.writer.connection.pragma("page_count")
        self.subject.wall.seconds += 10
        self.successResultOf(self.subject.advance(1))
        free = self.writer.connection.pragma("freelist_count")
        self.assertGreater(free, 800)
        self.successResultOf(self.subject.advance(1))
        self.assertEqual(self.writer.connection.pragma("freelist_count"), free - sweeper.GIVEN_BACK)
        for _ in range(9):
            self.successResultOf(self.subject.advance(1))
        self.assertLessEqual(self.writer.connection.pragma("freelist_count"), 100)
        self.assertLess(self.writer.connection.pragma("page_count"), before // 2)

    def test_no_turn_is_taken_after_the_end(self) -> None:
        self.subject.hold()
        self.subject.clock.advance(1)
        closed = self.store.close()
        self.subject.release()
        self.successResultOf(closed)
        self.assertEqual(self.subject.clock.getDelayedCalls(), [])
