"""Writes of messages: their times, their limits, and the ``applied`` of errors."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import (
    BodyTooLarge,
    IdOutOfRange,
    InvalidRequest,
    NotPromised,
    PreconditionFailed,
    Unavailable,
)
from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import ANYWAY, MAX_TTL, Address, Condition, Content, NewMessage, tag_of
from queuey.model.messages.once import Once
from queuey.model.queues.queue import QueueSettings
from queuey.model.reading.window import Window
from queuey.model.timeid import HIGHEST, SECOND, MessageId, Ticks, from_seconds, make, successor, ticks_of
from queuey.storage.cassandra.cluster.port import TooLarge
from queuey.storage.cassandra.messages.changes import RESIDUES, Stamps
from queuey.storage.cassandra.messages.store import Messages
from queuey.storage.cassandra.messages.writes import LAST, WriteLimits, microseconds
from tests.contracts.reading import TERMS, foreign_id
from tests.contracts.subject import START, Wall
from tests.storage.cassandra.messages.message_support import LIMIT, MemoryRegistry, MessagesSubject, SimpleTimes
from tests.storage.cassandra.messages.message_tables import MessageTables

SMALL = WriteLimits(batch_bytes=2000, mutation_bytes=4000, far_expiry=False, count=10, skew=0.5)


class ChangesCase(SynchronousTestCase):
    limits = WriteLimits(4 << 20, 4 << 20, False, 100_000, 0.5)

    def setUp(self) -> None:
        self.subject = MessagesSubject(limits=self.limits)
        self.store = self.subject.store
        self.session: MessageTables = self.subject.session
        self.queue, _ = self.successResultOf(self.store.create("app", "q", QueueSettings(partitions=5), None))

    def append(self, *bodies: bytes, partition: int = 1, ttl: int = 3600) -> Deferred[tuple[MessageId, ...]]:
        return self.store.append(self.queue, [NewMessage(partition, Content(body), ttl) for body in bodies], TERMS)

    def added(self, *bodies: bytes, partition: int = 1, ttl: int = 3600) -> tuple[MessageId, ...]:
        return self.successResultOf(self.append(*bodies, partition=partition, ttl=ttl))

    def replace(self, *ids: MessageId, body: bytes = b"x") -> Deferred[None]:
        return self.store.replace(self.queue, [Address(1, id) for id in ids], Content(body), 3600, TERMS)

    def remove(self, *ids: MessageId) -> Deferred[int]:
        return self.store.remove(self.queue, [Address(1, id) for id in ids], Ack.MAJORITY)

    def shown(self, partition: int = 1) -> list[bytes]:
        piece = self.successResultOf(self.store.read_range(self.queue, Window((partition,), limit=999), Ack.MAJORITY))
        self.assertIsNone(piece.rest)
        return [message.content.body for message in piece.messages]

    def other_front_end(self, ahead: float) -> tuple[Messages, Wall]:
        """Another front end of the same cluster and registry, whose clock is so many seconds ahead."""
        wall = Wall()
        wall.seconds += ahead
        registry: Any = self.subject.messages._views.registry
        assert isinstance(registry, MemoryRegistry)
        times = SimpleTimes(wall)
        limits = self.limits
        other = Messages(self.session, times, registry, lambda: limits, False, "ks", self.subject.clock, 12, "")
        return other, wall


class ClockTests(ChangesCase):
    def test_a_front_end_whose_clock_is_behind_changes_what_another_wrote(self) -> None:
        behind, _ = self.other_front_end(-30)
        (id,) = self.added(b"a")
        where = [Address(1, id)]
        for body in (b"b", b"c"):
            self.successResultOf(behind.replace(self.queue, where, Content(body), 3600, TERMS))
            self.assertEqual(self.shown(), [body])
            self.successResultOf(self.replace(id, body=b"x" + body))
            self.assertEqual(self.shown(), [b"x" + body])
        self.assertEqual(self.successResultOf(behind.remove(self.queue, where, Ack.ONE)), 1)
        self.assertEqual(self.shown(), [])
        self.successResultOf(behind.replace(self.queue, where, Content(b"again"), 3600, TERMS))
        self.assertEqual(self.shown(), [b"again"])

    def test_all_that_a_message_had_is_replaced(self) -> None:
        behind, _ = self.other_front_end(-30)
        full, plain = Content(b"a", "text/plain", b"h"), Content(b"b")
        (id,) = self.successResultOf(self.store.append(self.queue, [NewMessage(1, full, 60)], TERMS))
        for content in (plain, full, Content(b"", "", b""), plain):
            self.successResultOf(behind.replace(self.queue, [Address(1, id)], content, 60, TERMS))
            piece = self.successResultOf(self.store.lookup(self.queue, [Address(1, id)], Ack.ONE))
            self.assertEqual([message.content for message in piece.messages], [content])

    def test_a_purge_covers_front_ends_that_are_ahead_and_what_follows_shows(self) -> None:
        ahead, wall = self.other_front_end(0.4)
        self.successResultOf(ahead.append(self.queue, [NewMessage(1, Content(b"ahead"), 60)], TERMS))
        (id,) = self.added(b"a")
        self.successResultOf(self.subject.advance(1))
        wall.seconds += 1
        self.successResultOf(ahead.replace(self.queue, [Address(1, id)], Content(b"A"), 60, TERMS))
        self.successResultOf(self.store.purge(self.queue, HIGHEST, Ack.MAJORITY))
        self.assertEqual(self.successResultOf(self.store.count(self.queue, Ack.ONE)), 0)
        self.added(b"after")
        behind, _ = self.other_front_end(-0.4)
        self.successResultOf(behind.replace(self.queue, [Address(1, id)], Content(b"put"), 60, TERMS))
        self.successResultOf(self.subject.advance(1))
        self.assertEqual(self.shown(), [b"put", b"after"])

    def test_a_purge_below_an_earlier_one(self) -> None:
        a, b, c = self.added(b"a", b"b", b"c")
        self.successResultOf(self.store.purge(self.queue, successor(c), Ack.MAJORITY))
        self.successResultOf(self.replace(a, c, body=b"again"))
        self.successResultOf(self.store.purge(self.queue, b, Ack.MAJORITY))
        self.assertEqual(self.shown(), [b"again"])
        piece = self.successResultOf(self.store.lookup(self.queue, [Address(1, i) for i in (a, b, c)], Ack.ONE))
        self.assertEqual([message.id for message in piece.messages], [c])

    def test_a_late_repeat_of_an_append_changes_nothing_newer(self) -> None:
        (id,) = self.added(b"a")
        (first,) = [call for call in self.session.calls if call.text.startswith("INSERT INTO ks.messages")]
        self.assertEqual(first.values[-2], microseconds(ticks_of(id)))
        self.successResultOf(self.replace(id, body=b"b"))
        self.session._run(first.text, first.values)
        self.assertEqual(self.shown(), [b"b"])
        self.successResultOf(self.remove(id))
        self.session._run(first.text, first.values)
        self.assertEqual(self.shown(), [])

    def test_what_is_removed_ends_when_its_message_would_have(self) -> None:
        (id,) = self.added(b"a", ttl=1000)
        self.successResultOf(self.subject.advance(300.5))
        self.successResultOf(self.remove(id))
        self.assertEqual(self.session.calls[-1].values[1], 700 + 60)

    def test_two_front_ends_never_write_at_the_same_time(self) -> None:
        one, other = Stamps(3), Stamps(4)
        for now in range(0, 3000, 7):
            for stamps in (one, other):
                self.assertLess(now, stamps.after(now))
                self.assertLessEqual(stamps.after(now), now + RESIDUES)
            self.assertNotEqual(one.after(now, None, 5), other.after(now, 6))
        self.assertGreater(one.after(one.latest), one.latest - RESIDUES)


class DelayTests(ChangesCase):
    """Messages that take their place in the log some time from now."""

    def delayed(self, seconds: float, ttl: int = 3600, body: bytes = b"later") -> Deferred[tuple[MessageId, ...]]:
        new = NewMessage(1, Content(body), ttl, Ticks(round(seconds * SECOND)))
        return self.store.append(self.queue, [new], TERMS)

    def test_it_is_written_now_and_lives_from_when_it_is_due(self) -> None:
        (id,) = self.successResultOf(self.delayed(500.5, ttl=100))
        call = self.session.calls[-1]
        self.assertEqual(ticks_of(id), from_seconds(START + 500.5) + 1)
        self.assertEqual(call.values[5], ticks_of(id) + 100 * SECOND)
        self.assertEqual(call.values[-2:], (microseconds(from_seconds(START)), 601 + 60))

    def test_beside_others(self) -> None:
        (later,) = self.successResultOf(self.delayed(5))
        (now,) = self.added(b"now")
        self.assertLess(now, later)
        self.assertEqual(self.shown(), [b"now"])
        self.successResultOf(self.subject.advance(6))
        self.added(b"then")
        self.assertEqual(self.shown(), [b"now", b"later", b"then"])

    def test_readers_wait_for_one_that_is_due_before_it_is_stored(self) -> None:
        self.session.hold = True
        slow = self.delayed(0.5, body=b"slow")
        waiting, self.session.waiting = self.session.waiting, []
        self.session.hold = False
        self.successResultOf(self.subject.advance(1))
        self.added(b"quick")
        self.assertEqual(self.shown(), [])
        self.session.waiting = waiting
        self.session.turn()
        self.successResultOf(slow)
        self.assertEqual(self.shown(), [b"slow", b"quick"])

    def test_a_purge_stops_at_the_stable_time(self) -> None:
        self.successResultOf(self.delayed(5))
        self.added(b"now")
        self.successResultOf(self.store.purge(self.queue, HIGHEST, Ack.MAJORITY))
        self.assertEqual(self.successResultOf(self.store.count(self.queue, Ack.ONE)), 1)
        self.successResultOf(self.subject.advance(6))
        self.assertEqual(self.shown(), [b"later"])
        self.successResultOf(self.store.purge(self.queue, HIGHEST, Ack.MAJORITY))
        self.assertEqual(self.shown(), [])

    def test_into_2038(self) -> None:
        self.subject.wall.seconds = (LAST - from_seconds(0)) / 10**7 - 100
        self.failureResultOf(self.delayed(51, ttl=50), InvalidRequest)
        self.successResultOf(self.delayed(49, ttl=50))


class PutTests(ChangesCase):
    """One message under a condition, or a new one under a client's own id."""

    def put(self, id: MessageId, body: bytes = b"put", condition: Condition = ANYWAY) -> Deferred[bool]:
        return self.store.put(self.queue, Address(1, id), Content(body), 60, condition, TERMS)

    def next(self, seconds: float) -> MessageId:
        return make(from_seconds(self.subject.wall.seconds + seconds), 5, 7)

    def test_a_new_one_is_waited_for_as_one_of_ours(self) -> None:
        id = self.next(0.3)
        self.session.hold = True
        putting = self.put(id)
        while not self.session.waiting[0][1].called and not any("UPDATE" in c.text for c in self.session.calls):
            self.session.turn()
        waiting, self.session.waiting = self.session.waiting, []
        self.session.hold = False
        self.successResultOf(self.subject.advance(1))
        self.added(b"after")
        self.assertEqual(self.shown(), [])
        self.session.waiting = waiting
        self.session.turn()
        self.assertIs(self.successResultOf(putting), True)
        self.assertEqual(self.shown(), [b"put", b"after"])

    def test_one_that_takes_too_long(self) -> None:
        self.session.hold = True
        putting = self.put(self.next(0.3))
        self.session.turn()
        self.subject.clock.advance(LIMIT + 0.1)
        self.assertEqual(self.failureResultOf(putting, Unavailable).value.applied, "unknown")
        self.assertEqual(self.subject.times._flights, {})

    def test_out_of_range_leaves_nothing_in_flight(self) -> None:
        for seconds in (-1, 0, 0.6):
            self.failureResultOf(self.put(self.next(seconds)), IdOutOfRange)
        self.assertEqual(self.subject.times._flights, {})
        self.assertFalse(any("UPDATE" in call.text for call in self.session.calls))

    def test_two_at_once_under_one_condition(self) -> None:
        (id,) = self.added(b"a")
        (message,) = self.successResultOf(self.store.lookup(self.queue, [Address(1, id)], Ack.ONE)).messages
        condition = Condition(tags=frozenset([tag_of(message)]))
        self.session.hold = True
        answers = [self.put(id, body, condition) for body in (b"b", b"c")]
        while self.session.turn():
            pass
        self.session.hold = False
        self.assertIs(self.successResultOf(answers[0]), False)
        self.failureResultOf(answers[1], PreconditionFailed)
        self.assertEqual(self.shown(), [b"b"])


class LimitTests(ChangesCase):
    limits = SMALL

    def refused(self, answer: Deferred[Any], word: str) -> None:
        calls = len(self.session.calls)
        error = self.failureResultOf(answer, BodyTooLarge).value
        text = str(error)
        self.assertEqual(error.limit, "storage")
        self.assertIn(word, text)
        self.assertEqual(len(self.session.calls), calls)

    def test_one_that_is_too_large(self) -> None:
        self.added(b"x" * 3700)
        self.refused(self.append(b"x" * 4000), "4000 at once; cassandra.yaml raises it by commitlog_segment_size")
        self.refused(self.replace(foreign_id(0), body=b"x" * 4000), "commitlog_segment_size")
        self.assertEqual(self.session.calls[-1].text[:6], "INSERT")

    def test_a_batch_over_partitions_has_a_lower_limit(self) -> None:
        self.added(*[b"x" * 500] * 4)
        several = [NewMessage(partition, Content(b"x" * 500), 60) for partition in (1, 2, 3, 4)]
        self.refused(self.store.append(self.queue, several, TERMS), "batch_size_fail_threshold")
        self.successResultOf(self.store.append(self.queue, several[:2], TERMS))
        where = [Address(partition, foreign_id(0)) for partition in (1, 2, 3, 4)]
        self.refused(self.store.replace(self.queue, where, Content(b"x" * 500), 60, TERMS), "batch_size_fail_threshold")

    def test_batches(self) -> None:
        self.added(b"a", b"b")
        self.assertEqual([self.session.calls[-1].text, self.session.calls[-1].logged], ["BATCH", False])
        several = [NewMessage(partition, Content(b"a"), 60) for partition in (1, 2)]
        self.successResultOf(self.store.append(self.queue, several, TERMS))
        self.assertTrue(self.session.calls[-1].logged)
        self.successResultOf(self.store.append(self.queue, [several[0], NewMessage(1, Content(b"a"), MAX_TTL)], TERMS))
        self.assertTrue(self.session.calls[-1].logged)
        self.added(b"a")
        self.assertTrue(self.session.calls[-1].text.startswith("INSERT"))

    def test_what_the_session_finds_too_large(self) -> None:
        self.session.refuse = lambda call: TooLarge("too large", 0, 0)
        for answer in (self.append(b"a"), self.replace(foreign_id(0))):
            self.assertEqual(self.failureResultOf(answer, BodyTooLarge).value.limit, "storage")

    def test_into_2038(self) -> None:
        self.subject.wall.seconds = (LAST - from_seconds(0)) / 10**7 - 100
        self.added(b"a", ttl=100)
        self.failureResultOf(self.append(b"a", ttl=101), InvalidRequest)
        where = [Address(1, foreign_id(0))]
        self.failureResultOf(self.store.replace(self.queue, where, Content(b""), 101, TERMS), InvalidRequest)
        self.subject.limits = WriteLimits(None, None, True, 10, 0)
        self.added(b"a", ttl=101)

    def test_counts_have_a_cap(self) -> None:
        self.added(*[b""] * 9)
        self.assertEqual(self.successResultOf(self.store.count(self.queue, Ack.ONE)), 9)
        self.added(*[b""] * 9, partition=3)
        self.assertEqual(self.successResultOf(self.store.count(self.queue, Ack.ONE)), 10)

    def test_measures_have_a_cap_and_estimate_the_bytes(self) -> None:
        self.subject.limits = WriteLimits(None, None, True, 150, 0)
        self.added(*[b"x" * 10] * 120)
        found = self.successResultOf(self.store.measure(self.queue, Ack.ONE))
        self.assertEqual((found.messages, found.bytes, found.approximate), (120, 1200, True))
        self.added(*[b"x" * 10] * 60, partition=3)
        found = self.successResultOf(self.store.measure(self.queue, Ack.ONE))
        self.assertEqual((found.messages, found.bytes, found.approximate), (150, 1500, True))

    def test_partitions_that_no_table_has(self) -> None:
        for partition in (-1, 1 << 15):
            self.failureResultOf(self.append(b"a", partition=partition), InvalidRequest)


class PromiseTests(ChangesCase):
    """What cannot be done once is refused before anything is asked of the cluster."""

    once = Once(bytes(32), bytes(32), "", 60)

    def refusal(self, store: IStore, ack: Ack) -> str:
        answer = store.append_once(self.queue, [NewMessage(1, Content(b"a"), 60)], WriteTerms(ack), self.once)
        return str(self.failureResultOf(answer, NotPromised).value)

    def test_on_weak_terms(self) -> None:
        self.assertIn("A weak queue", self.refusal(self.store, Ack.ONE))
        self.assertEqual(self.session.calls, [])

    def test_over_a_protocol_that_cannot(self) -> None:
        subject = MessagesSubject(not_once="The reason.")
        self.assertEqual(self.refusal(subject.store, Ack.MAJORITY), "The reason.")
