"""Which buckets there are, which readers look into, and which are registered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address, Content, Message, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Window
from queuey.model.stable_time.stamps import LONG_CLASS
from queuey.model.timeid import HIGHEST, LOWEST, MAX_TICKS, SECOND, MessageId, Ticks, from_seconds, make, successor
from queuey.storage.cassandra.cluster.port import Level
from queuey.storage.cassandra.messages.buckets import (
    DAY,
    EARLY,
    LONG,
    LOOK_BACK,
    NORMAL,
    bucket,
    class_of,
    entries,
    implied,
    is_implied,
    is_long,
    spot_of,
)
from queuey.storage.cassandra.queues.rows import Incarnation
from tests.contracts.reading import TERMS, foreign_id
from tests.contracts.subject import START
from tests.storage.cassandra.messages.message_support import MessagesSubject

NOW = from_seconds(START)
QUEUE = Queue("app", "q", QueueSettings(), 1, "v", NOW)
LIFE = Incarnation(QUEUE, b"k" * 16, 3600, {})
TICKS = st.one_of(
    st.integers(0, MAX_TICKS), st.integers(NOW - 10 * DAY, NOW + 10 * DAY), st.sampled_from([0, MAX_TICKS])
)
IDS = st.builds(make, TICKS.map(Ticks), st.integers(0, 0x3FFF), st.integers(0, (1 << 48) - 1))
DAYS = 86_400


def long_id(seconds: float) -> MessageId:
    return foreign_id(seconds, 7 | LONG_CLASS)


class BucketTests(SynchronousTestCase):
    @given(IDS)
    def test_an_id_is_within_its_bucket(self, id: MessageId) -> None:
        spot = spot_of(LIFE, 1, id)
        there = bucket(LIFE, spot.kind, spot.bucket)
        self.assertLessEqual(there.start, id)
        self.assertLess(id, there.end)
        self.assertLess(spot.bucket, 1 << 31)
        self.assertEqual(bucket(LIFE, spot.kind, spot.bucket + 1).start, there.end)

    @given(IDS, st.integers(1, 1 << 25), TICKS, st.integers(0, 60 * SECOND))
    def test_what_is_not_registered_is_in_an_implied_bucket_as_long_as_it_lives(
        self, id: MessageId, ttl: int, later: int, skew: int
    ) -> None:
        expires = Ticks(NOW + ttl * SECOND)
        if not is_implied(LIFE, id, expires, NOW):
            return
        spot = spot_of(LIFE, 1, id)
        for now in (NOW - skew, NOW, later, expires - 1):
            if NOW - skew <= now < expires:
                numbers = [one.number for one in implied(LIFE, Ticks(now), Ticks(now + EARLY))]
                self.assertIn(spot.bucket, numbers)

    def test_the_class_is_told_by_the_id(self) -> None:
        self.assertEqual([class_of(foreign_id(0)), class_of(long_id(0))], [NORMAL, LONG])
        for ttl, delay, long in (
            (4 * DAYS, 0, False),
            (4 * DAYS + 1, 0, True),
            (4 * DAYS, 1, True),
            (DAYS, DAY, False),
        ):
            self.assertEqual(is_long(ttl, Ticks(delay)), long)

    def test_what_is_registered(self) -> None:
        id, soon = foreign_id(0), Ticks(NOW + SECOND)
        for place, expires, registered in (
            (id, soon, False),
            (id, Ticks(NOW + LOOK_BACK), False),
            (id, Ticks(NOW + LOOK_BACK + SECOND), True),
            (foreign_id(-599), soon, False),
            (foreign_id(-601), soon, True),
            (foreign_id(59), soon, False),
            (foreign_id(61), soon, True),
            (long_id(0), soon, True),
        ):
            found = entries(LIFE, [(1, place, expires)], NOW)
            self.assertEqual(bool(found), registered, (place, expires))

    def test_the_last_day_covers_all_of_a_bucket(self) -> None:
        expiries = [Ticks(NOW + days * DAY) for days in (1, 5, 3)]
        (entry,) = entries(LIFE, [(1, long_id(number), at) for number, at in enumerate(expiries)], NOW)
        self.assertEqual(entry.until, int(START // DAYS) + 5)
        (entry,) = entries(LIFE, [(1, long_id(0), Ticks(NOW + 100 * DAY))], NOW)
        self.assertEqual(entry.until % 16, 0)
        self.assertLessEqual(0, entry.until - (START // DAYS + 100))
        self.assertLess(entry.until - (START // DAYS + 100), 16)


class ScanCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.subject = MessagesSubject()
        self.store = self.subject.store
        self.session = self.subject.session
        self.queue, _ = self.successResultOf(self.store.create("app", "q", QueueSettings(partitions=200), None))

    def put(self, id: MessageId, body: bytes, ttl: int = 60, partition: int = 1) -> None:
        self.successResultOf(self.store.replace(self.queue, [Address(partition, id)], Content(body), ttl, TERMS))

    def append(self, *bodies: bytes, ttl: int = 3600, partition: int = 1) -> tuple[MessageId, ...]:
        new = [NewMessage(partition, Content(body), ttl) for body in bodies]
        return self.successResultOf(self.store.append(self.queue, new, TERMS))

    def read(self, window: Window) -> list[Message]:
        found: list[Message] = []
        rest: Window | None = window
        for _ in range(2000):
            if rest is None:
                return found
            piece = self.successResultOf(self.store.read_range(self.queue, rest, Ack.MAJORITY))
            found += piece.messages
            rest = piece.rest
        raise AssertionError("it came to no end")

    def shown(self, window: Window) -> list[bytes]:
        return [message.content.body for message in self.read(window)]

    def asked(self, word: str) -> int:
        return sum(word in call.text for call in self.session.calls)


class RegistrationTests(ScanCase):
    def test_it_costs_once(self) -> None:
        for number in range(5):
            self.append(b"%d" % number, ttl=30 * DAYS)
        self.assertEqual(self.asked("INSERT INTO ks.buckets"), 1)
        self.append(b"later", ttl=60 * DAYS)
        self.assertEqual(self.asked("INSERT INTO ks.buckets"), 2)
        self.append(b"normal")
        self.assertEqual(self.asked("INSERT INTO ks.buckets"), 2)

    def test_what_is_delayed_is_registered_where_readers_do_not_look_by_themselves(self) -> None:
        for delay, registered in ((59, 0), (61, 1), (3 * DAYS, 2), (20 * DAYS, 3)):
            new = NewMessage(1, Content(b"%d" % delay), 3600, Ticks(delay * SECOND))
            (id,) = self.successResultOf(self.store.append(self.queue, [new], TERMS))
            self.assertEqual(self.asked("INSERT INTO ks.buckets"), registered)
            self.assertEqual(class_of(id), LONG if delay > 4 * DAYS else NORMAL)
        self.assertEqual(self.successResultOf(self.store.count(self.queue, Ack.MAJORITY)), 4)
        for passed, shown in ((60, [b"59"]), (2, [b"59", b"61"]), (3 * DAYS - 60, [b"%d" % (3 * DAYS)])):
            self.successResultOf(self.subject.advance(passed))
            self.assertEqual(self.shown(Window((1,))), shown)

    def test_it_is_acknowledged_before_the_message_is_sent(self) -> None:
        def refuse(call: object) -> Exception | None:
            return Unavailable("no") if "ks.buckets" in str(call) else None

        self.session.refuse = refuse
        new = [NewMessage(1, Content(b"a"), 30 * DAYS)]
        failure = self.failureResultOf(self.store.append(self.queue, new, TERMS), Unavailable)
        self.assertEqual(failure.value.applied, "no")
        self.assertEqual(self.asked("messages_long"), 0)
        self.session.refuse = lambda call: None
        self.append(b"b", ttl=30 * DAYS)
        self.assertEqual(self.asked("INSERT INTO ks.buckets"), 2)

    def test_another_level_is_registered_anew(self) -> None:
        new = [NewMessage(1, Content(b"a"), 30 * DAYS)]
        for ack in (Ack.ONE, Ack.MAJORITY, Ack.ONE):
            self.successResultOf(self.store.append(self.queue, new, WriteTerms(ack)))
        levels = [call.level for call in self.session.calls if "INSERT INTO ks.buckets" in call.text]
        self.assertEqual(levels, [Level.ONE, Level.QUORUM])

    def reads_of_buckets(self) -> int:
        """How often a scan asks for what is registered."""
        before = self.asked("SELECT class")
        self.shown(Window((1,)))
        return self.asked("SELECT class") - before

    def test_one_front_end_remembers_what_it_read(self) -> None:
        self.append(b"a")
        self.assertEqual([self.reads_of_buckets() for _ in range(3)], [1, 0, 0])
        self.append(b"long", ttl=30 * DAYS)
        self.assertEqual(self.shown(Window((1,))), [b"a", b"long"])
        self.assertEqual(self.reads_of_buckets(), 0)
        self.subject.times.tenure += 1
        self.assertEqual([self.reads_of_buckets() for _ in range(2)], [1, 0])
        self.successResultOf(self.subject.advance(31))
        self.assertEqual([self.reads_of_buckets() for _ in range(2)], [1, 0])

    def test_of_many_front_ends_none_does(self) -> None:
        self.subject.times.age = 1.25
        self.assertEqual([self.reads_of_buckets() for _ in range(3)], [1, 1, 1])

    def test_what_one_replica_said_is_not_remembered(self) -> None:
        for _ in range(2):
            self.successResultOf(self.store.read_range(self.queue, Window((1,)), Ack.ONE))
        self.assertEqual(self.asked("SELECT class"), 2)

    def test_what_is_registered_while_it_is_read_is_not_missed(self) -> None:
        self.session.hold = True
        reading = self.store.read_range(self.queue, Window((1,)), Ack.MAJORITY)
        waiting = [(run(), answer) for run, answer in self.session.waiting]
        self.session.waiting, self.session.hold = [], False
        self.append(b"long", ttl=30 * DAYS)
        for rows, answer in waiting:
            answer.callback(rows)
        self.successResultOf(reading)
        self.assertEqual(self.shown(Window((1,))), [b"long"])

    def test_all_are_read_however_many(self) -> None:
        for number in range(1100):
            self.put(foreign_id(-3600 * (number + 10)), b"%d" % number)
        self.assertEqual(self.shown(Window((1,), limit=5000)), [b"%d" % n for n in reversed(range(1100))])
        self.assertEqual(self.successResultOf(self.store.count(self.queue, Ack.ONE)), 1100)

    def test_what_is_over_is_looked_into_no_more(self) -> None:
        self.put(foreign_id(-100 * DAYS), b"old", ttl=60)
        self.append(b"long", ttl=10 * DAYS)
        self.successResultOf(self.subject.advance(3 * DAYS))
        self.session.calls.clear()
        self.assertEqual(self.shown(Window((1,))), [b"long"])
        numbers = [call.values[2] for call in self.session.calls if "FROM ks.messages " in call.text]
        self.assertNotIn(spot_of(LIFE, 1, foreign_id(-100 * DAYS)).bucket, numbers)


class ScanTests(ScanCase):
    def test_classes_and_times_are_merged(self) -> None:
        expected: list[tuple[MessageId, bytes]] = []
        for hours in range(60):
            ttl = (3600 * 90, 30 * DAYS)[hours % 2]
            (id,) = self.append(b"%d" % hours, ttl=ttl)
            expected.append((id, b"%d" % hours))
            self.put(foreign_id(-1000 - 7000 * hours), b"old %d" % hours, ttl=30 * DAYS)
            expected.append((foreign_id(-1000 - 7000 * hours), b"old %d" % hours))
            self.put(long_id(-500 - 90_000 * hours), b"older %d" % hours, ttl=30 * DAYS)
            expected.append((long_id(-500 - 90_000 * hours), b"older %d" % hours))
            self.successResultOf(self.subject.advance(3600))
        bodies = [body for _, body in sorted(expected)]
        for limit in (1000, 7, 1):
            window = Window((1,), limit=limit)
            self.assertEqual(self.shown(window), bodies[:limit])
            self.assertEqual(self.shown(Window((1,), limit=limit, descending=True)), bodies[::-1][:limit])
        ids = sorted(id for id, _ in expected)
        for low, high in ((0, 50), (17, 18), (60, 179)):
            window = Window((1,), ids[low], successor(ids[high]), limit=1000)
            self.assertEqual(self.shown(window), bodies[low : high + 1])

    def test_page_after_page_over_both_classes(self) -> None:
        bodies = []
        for number in range(400):
            bodies.append(b"%d" % number)
            self.append(bodies[-1], ttl=(3600, 30 * DAYS)[number % 2])
        self.assertEqual(self.shown(Window((1,), limit=5000)), bodies)
        self.assertEqual(self.shown(Window((1,), limit=5000, descending=True)), bodies[::-1])

    def test_bounds_that_are_no_ids(self) -> None:
        ids = self.append(*[b"%d" % number for number in range(40)])
        for at in (ids[0], ids[20], ids[-1]):
            for tail in (b"\0" * 10, b"\xff" * 10):
                bound = MessageId(at[:6] + tail)
                below = [b"%d" % number for number, id in enumerate(ids) if id < bound]
                above = [b"%d" % number for number, id in enumerate(ids) if id >= bound]
                self.assertEqual(self.shown(Window((1,), upper=bound)), below)
                self.assertEqual(self.shown(Window((1,), bound, HIGHEST)), above)
                self.assertEqual(self.shown(Window((1,), bound, descending=True)), above[::-1])

    def test_nothing_is_asked_of_an_empty_range(self) -> None:
        (id,) = self.append(b"a")
        self.assertEqual(self.shown(Window((1,), id, id)), [])
        self.assertEqual(self.shown(Window((1,), HIGHEST, LOWEST)), [])

    def test_few_rows_of_large_messages_are_asked_for(self) -> None:
        self.append(*[b"x" * 400_000] * 5)
        self.session.calls.clear()
        self.assertEqual(len(self.read(Window((1,), limit=1000))), 5)
        limits = [call.values[-1] for call in self.session.calls if "FROM ks.messages " in call.text]
        self.assertLessEqual(max(limits), 3)

    def test_what_has_gone_is_passed_over_and_a_slice_may_be_empty(self) -> None:
        ids: list[MessageId] = []
        for _ in range(17):
            ids += self.append(*[b"x"] * 1000)
        self.successResultOf(self.store.remove(self.queue, [Address(1, id) for id in ids], Ack.ONE))
        (last,) = self.append(b"last")
        piece = self.successResultOf(self.store.read_range(self.queue, Window((1,)), Ack.ONE))
        self.assertEqual(piece.messages, ())
        self.assertIsNotNone(piece.rest)
        self.assertEqual([message.id for message in self.read(Window((1,)))], [last])
        self.assertEqual(self.successResultOf(self.store.count(self.queue, Ack.ONE)), 1)

    def test_many_partitions_take_few_round_trips(self) -> None:
        for partition in range(1, 201):
            self.append(b"%d" % partition, partition=partition)
        self.session.hold = True
        answer = self.store.read_range(self.queue, Window(tuple(range(1, 201))), Ack.MAJORITY)
        rounds, most = 0, 0
        while not answer.called:
            most = max(most, self.session.turn())
            rounds += 1
        self.assertEqual(len(self.successResultOf(answer).messages), 200)
        self.assertLess(rounds, 30)
        self.assertLessEqual(most, 64)

    def test_a_queue_with_a_past_takes_few_round_trips(self) -> None:
        self.successResultOf(self.subject.advance(10 * DAYS))
        self.append(b"a")
        self.session.hold = True
        answer = self.store.read_range(self.queue, Window((1,)), Ack.MAJORITY)
        rounds = 0
        while not answer.called:
            self.session.turn()
            rounds += 1
        self.assertEqual(len(self.successResultOf(answer).messages), 1)
        self.assertLess(rounds, 14)  # of 97 buckets

    def test_cancelled(self) -> None:
        self.append(b"a")
        self.session.hold = True
        answer = self.store.read_range(self.queue, Window((1, 2, 3)), Ack.MAJORITY)
        answer.addErrback(lambda failure: None)
        answer.cancel()
        self.assertTrue(answer.called)
        self.assertTrue(all(one.called for _, one in self.session.waiting))
