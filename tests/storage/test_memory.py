"""The memory store: the contracts, and what only it promises."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import StorageFull
from queuey.interfaces import Outcome
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content
from queuey.model.messages.once import Appended
from queuey.model.queues.queue import Queue, QueueSettings, states_prefix
from queuey.storage.memory import MemoryStore
from queuey.storage.memory.data import OVERHEAD
from tests.again import again
from tests.contracts import (
    group_troubles,
    once,
    putting,
    sizes,
    timing,
)
from tests.contracts.every import EVERY
from tests.contracts.reading import TERMS, foreign_id, new
from tests.contracts.reading import once as of_key
from tests.contracts.subject import Contract
from tests.storage.subjects import MemorySubject


class MemoryCase(Contract):
    def make_subject(self) -> MemorySubject:
        return MemorySubject()


class ArrivalTests(MemoryCase, timing.ArrivalContract):
    subject: MemorySubject


class GroupTroublesTests(MemoryCase, group_troubles.GroupTroublesContract):
    in_flight = 100_000


class BoundTests(SynchronousTestCase):
    """Whatever does not fit is refused, and nothing is dropped."""

    LIMIT = 10 * OVERHEAD

    def setUp(self) -> None:
        self.subject = MemorySubject(self.LIMIT)
        store = self.subject.store
        assert isinstance(store, MemoryStore)
        self.store = store

    def make(self) -> Queue:
        queue, _ = self.successResultOf(self.store.create("app", "queue", QueueSettings(), None))
        return queue

    def full(self, answer: Deferred[Any]) -> None:
        error = self.failureResultOf(answer, StorageFull).value
        self.assertIn(f"{self.LIMIT} bytes", str(error))

    def test_messages(self) -> None:
        queue = self.make()
        ids = self.successResultOf(self.store.append(queue, [new(b"")] * 8, TERMS))
        self.full(self.store.append(queue, [new(b"x" * (OVERHEAD + 1))], TERMS))
        self.full(self.store.append(queue, [new(b""), new(b"")], TERMS))
        self.successResultOf(self.store.append(queue, [new(b"")], TERMS))
        self.full(self.store.replace(queue, [Address(1, ids[0])], Content(b"x"), 9, TERMS))
        self.full(self.store.create("app", "other", QueueSettings(), None))
        self.full(self.store.states.replace("key", None, b"", "1"))
        self.assertEqual(self.successResultOf(self.store.count(queue, Ack.ONE)), 9)
        self.successResultOf(self.store.remove(queue, [Address(1, ids[0])], Ack.ONE))
        self.successResultOf(self.store.append(queue, [new(b"")], TERMS))

    def test_what_has_expired_makes_room_at_once(self) -> None:
        queue = self.make()
        self.successResultOf(self.store.append(queue, [new(b"", ttl=5)] * 9, TERMS))
        self.subject.wall.seconds += 5
        self.successResultOf(self.store.append(queue, [new(b"")] * 9, TERMS))

    def test_a_deleted_queue_gives_everything_back(self) -> None:
        for _ in range(3):
            queue = self.make()
            self.successResultOf(self.store.append(queue, [new(b"x", ttl=1 << 25)] * 8, TERMS))
            self.assertTrue(self.successResultOf(self.store.forget(queue)))

    def test_answers_that_are_remembered(self) -> None:
        """They take room beside their messages, and give it back when they are over."""
        queue = self.make()
        for number in range(3):
            self.once(queue, b"%d" % number, ttl=3600)
        self.successResultOf(self.store.append(queue, [new(b"")], TERMS))
        self.full(self.store.append_once(queue, [new(b"")], TERMS, of_key(b"4", note="", lifetime=10)))
        self.assertTrue(self.once(queue, b"0").duplicate)
        self.subject.wall.seconds += 10
        self.assertFalse(self.once(queue, b"4").duplicate)
        self.assertEqual(self.successResultOf(self.store.count(queue, Ack.ONE)), 5)
        self.successResultOf(self.store.append(queue, [new(b"")] * 2, TERMS))
        self.full(self.store.append(queue, [new(b"")], TERMS))

    def once(self, queue: Queue, key: bytes, ttl: int = 1) -> Appended:
        asked = of_key(key, note="", lifetime=10)
        return self.successResultOf(self.store.append_once(queue, [new(b"", ttl=ttl)], TERMS, asked))

    def test_nothing_is_left_of_what_is_over(self) -> None:
        """Deleted, expired, forgotten, used again, or refused: the room is what it was, to the byte."""
        room = self.store._data.space
        queue = self.make()
        before = room.used
        for key in (b"a", b"b", b"a"):
            self.once(queue, key)
        self.full(self.store.append_once(queue, [new(b"x" * self.LIMIT)], TERMS, of_key(b"c")))
        self.subject.wall.seconds += 10
        self.once(queue, b"a")
        self.successResultOf(self.subject.advance(11))
        self.assertEqual(room.used, before)
        self.successResultOf(self.store.append(queue, [new(b"late", delay=1000), new(b"now")], TERMS))
        self.once(queue, b"a", ttl=3600)
        self.assertTrue(self.successResultOf(self.store.forget(queue)))
        self.assertEqual(room.used, 0)
        self.successResultOf(self.subject.advance(2000))
        self.assertEqual((room.used, len(self.store._data.forgetting), len(self.store._data.future)), (0, 0, 0))

    def test_states(self) -> None:
        replace = self.store.states.replace
        self.assertIs(self.successResultOf(replace("k", None, b"x" * (9 * OVERHEAD - 1), "1")), Outcome.APPLIED)
        state = self.successResultOf(self.store.states.read("k"))
        assert state is not None
        self.full(self.store.states.replace("l", None, b"", "2"))
        self.assertIs(self.successResultOf(replace("k", state.version, None, "3")), Outcome.APPLIED)
        self.assertIs(self.successResultOf(replace("l", None, b"x" * (9 * OVERHEAD - 1), "4")), Outcome.APPLIED)

    def test_states_of_a_queue_go_with_it(self) -> None:
        queue, replace = self.make(), self.store.states.replace
        keys = [f"{states_prefix(number)}{rest}" for number in (queue.incarnation, 77) for rest in ("a", "b/c")]
        for key in (*keys, "d"):
            self.assertIs(self.successResultOf(replace(key, None, b"x", "1")), Outcome.APPLIED)
        used = self.store._data.space.used
        self.assertTrue(self.successResultOf(self.store.forget(queue)))
        self.assertEqual(used - self.store._data.space.used, 3 * OVERHEAD + len("".join(keys[:2])) + 2)
        kept = [self.successResultOf(self.store.states.read(key)) is not None for key in (*keys, "d")]
        self.assertEqual(kept, [False, False, True, True, True])


class LeakTests(SynchronousTestCase):
    """Nothing that is over leaves anything behind."""

    def test_messages_written_and_removed_for_ever(self) -> None:
        subject = MemorySubject()
        queue, _ = self.successResultOf(subject.store.create("app", "queue", QueueSettings(), None))
        for number in range(1000):
            address = [Address(1, foreign_id(1e6 + number % 2 * number))]
            self.successResultOf(subject.store.replace(queue, address, Content(b"x"), 1 << 25, TERMS))
            self.successResultOf(subject.store.remove(queue, address, Ack.ONE))
        store = subject.store
        assert isinstance(store, MemoryStore)
        self.assertLess(len(store._data.expiry), 100)
        self.assertLess(len(store._data.future), 100)

    def test_no_timer_is_left(self) -> None:
        subject = MemorySubject()
        subject.advance(10)
        self.successResultOf(subject.close())
        self.assertEqual(subject.clock.getDelayedCalls(), [])


again(
    __name__,
    {"": MemoryCase},
    (*EVERY, once.OnceContract, once.ExactOnceContract, putting.ExactPutContract, sizes.BytesContract),
)
