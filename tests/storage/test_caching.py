"""The store that caches queues: the contract, and the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.storage.caching import CachedStore
from queuey.storage.memory import MemoryStore
from tests.again import again
from tests.contracts import closing, delays, lives, merging, messages, once, putting, queues, replacing, states, timing
from tests.contracts.subject import Contract, Wall
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, CachedMemorySubject, random_bits, versions

PLAIN, OTHER = QueueSettings(), QueueSettings(partitions=9)


class CachedCase(Contract):
    def make_subject(self) -> CachedMemorySubject:
        return CachedMemorySubject()


class ArrivalTests(CachedCase, timing.ArrivalContract):
    subject: CachedMemorySubject


class SlowStore(MemoryStore):
    """A store whose describing and forgetting take as long as the test says, and which counts what it was asked."""

    def __init__(self) -> None:
        super().__init__(Clock(), Wall(), 1 << 30, NODE, CLOCK_SEQUENCE, versions(), random_bits())
        self.asked = 0
        self.slow = False
        self.answer: Callable[[], None]
        self.go_on: Callable[[], None]

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        self.asked += 1
        answer = super().describe(application, names)
        return answer.addCallback(self.wait) if self.slow else answer

    def wait(self, result: tuple[Queue | None, ...]) -> Deferred[tuple[Queue | None, ...]]:
        """Answer later what was true now."""
        later: Deferred[tuple[Queue | None, ...]] = Deferred()
        self.answer = lambda: later.callback(result)
        return later

    def forget(self, queue: Queue) -> Deferred[bool]:
        if not self.slow:
            return super().forget(queue)
        begin: Deferred[None] = Deferred()
        self.go_on = lambda: begin.callback(None)
        return begin.addCallback(lambda _: super(SlowStore, self).forget(queue))


class CachedQueuesTests(SynchronousTestCase):
    """What is remembered, and what is not."""

    def setUp(self) -> None:
        self.store = SlowStore()
        self.store.open()
        self.addCleanup(self.store.close)
        self.cached = CachedStore(self.store, 3)
        self.queue = self.make("a")

    def make(self, name: str) -> Queue:
        queue, _ = self.successResultOf(self.cached.create("app", name, PLAIN, None))
        return queue

    def describe(self, *names: str) -> tuple[Queue | None, ...]:
        return self.successResultOf(self.cached.describe("app", names))

    def test_the_store_is_asked_once(self) -> None:
        for _ in range(3):
            self.assertEqual(self.describe("a"), (self.queue,))
        self.assertEqual(self.store.asked, 1)

    def test_absence_is_not_remembered(self) -> None:
        self.assertEqual(self.describe("b"), (None,))
        made, _ = self.successResultOf(self.store.create("app", "b", PLAIN, None))
        self.assertEqual(self.describe("b"), (made,))

    def test_the_least_used_makes_room(self) -> None:
        for name in "bcd":
            self.make(name)
        for name in "abcadab":
            self.describe(name)
        self.assertEqual(self.store.asked, 5)

    def test_changes_show_at_once(self) -> None:
        self.describe("a")
        new = self.successResultOf(self.cached.update(self.queue, OTHER))
        self.assertEqual(self.describe("a"), (new,))
        self.successResultOf(self.cached.forget(new))
        self.assertEqual(self.describe("a"), (None,))
        again = self.make("a")
        self.assertEqual(self.describe("a"), (again,))

    def ask_slowly(self) -> Deferred[tuple[Queue | None, ...]]:
        self.store.slow = True
        asked = self.cached.describe("app", ["a"])
        self.store.slow = False
        return asked

    def test_an_answer_from_before_an_update_is_not_remembered(self) -> None:
        asked = self.ask_slowly()
        new = self.successResultOf(self.cached.update(self.queue, OTHER))
        self.store.answer()
        self.assertEqual(self.successResultOf(asked), (self.queue,))
        self.assertEqual(self.describe("a"), (new,))

    def test_an_answer_from_before_the_end_of_a_queue_is_not_remembered(self) -> None:
        asked = self.ask_slowly()
        self.assertTrue(self.successResultOf(self.cached.forget(self.queue)))
        again = self.make("a")
        self.store.answer()
        self.assertEqual(self.successResultOf(asked), (self.queue,))
        self.assertEqual(self.describe("a"), (again,))

    def test_what_is_asked_while_a_change_is_under_way(self) -> None:
        self.store.slow = True
        forgotten = self.cached.forget(self.queue)
        self.store.slow = False
        self.assertEqual(self.describe("a"), (self.queue,))
        self.store.go_on()
        self.assertTrue(self.successResultOf(forgotten))
        self.assertEqual(self.describe("a"), (None,))

    def test_a_change_whose_caller_has_gone(self) -> None:
        self.store.slow = True
        forgotten = self.cached.forget(self.queue)
        self.store.slow = False
        forgotten.cancel()
        self.failureResultOf(forgotten, CancelledError)
        self.assertEqual(self.describe("a"), (self.queue,))
        self.store.go_on()
        self.assertEqual(self.describe("a"), (None,))

    def test_a_cancelled_question_leaves_nothing_behind(self) -> None:
        self.store.slow = True
        asked = self.cached.describe("app", ["a"])
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.store.slow = False
        self.assertEqual(self.describe("a"), (self.queue,))

    def test_pages_do_not_push_out_what_is_in_use(self) -> None:
        self.describe("a")
        self.describe(*"bcdefgh")
        self.describe("a", "a")
        self.assertEqual(self.store.asked, 3)
        self.describe("a")
        self.assertEqual(self.store.asked, 3)

    def test_nothing_is_remembered_after_the_end(self) -> None:
        self.describe("a")
        self.successResultOf(self.cached.close())
        self.failureResultOf(self.cached.describe("app", ["a"]), Unavailable)


again(
    __name__,
    {"": CachedCase},
    (
        queues.QueuesContract,
        states.StatesContract,
        messages.AppendContract,
        messages.ScanContract,
        replacing.ReplaceContract,
        delays.DelayContract,
        merging.MergeContract,
        closing.ClosingContract,
        once.OnceContract,
        putting.PutContract,
        lives.LifeContract,
    ),
)
