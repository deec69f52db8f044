"""Pages that are kept: which, for how long, how many; and that no reader can tell, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.interfaces import IStore
from queuey.model.message import ANYWAY, Address, Content, Message, NewMessage
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.timeid import HIGHEST, LOWEST, SECOND, MessageId, Ticks, successor
from queuey.model.window import OLDEST, Merge, MergeSlice, Messages, Position, Window, WindowSlice
from queuey.storage.caching import CachedStore
from queuey.storage.memory import MemoryStore
from queuey.storage.pages import CONTENT, MESSAGE, PAGE, Pages, Range, Told, expiry, is_full
from tests import LONG
from tests.contracts.reading import TERMS, TTL, bodies, foreign_id, new
from tests.contracts.subject import START, Wall
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, random_bits, versions

T = TypeVar("T")

ALWAYS = Ticks(0)
SIZE = PAGE + MESSAGE + CONTENT


def page(*expiries: int, body: bytes = b"x") -> WindowSlice:
    """A slice of messages that expire at these times."""
    return WindowSlice(tuple(Message(1, LOWEST, Content(body), Ticks(expires)) for expires in expiries), None)


def one(number: int) -> Window:
    """Any of several windows whose page has one message."""
    return Window((1,), foreign_id(number), limit=1)


class PagesTests(SynchronousTestCase):
    """What is kept."""

    def setUp(self) -> None:
        self.pages = Pages(3 * SIZE)

    def put(self, queue: int, window: Window, slice: WindowSlice) -> WindowSlice:
        return self.pages.end(self.pages.begin(queue, window), slice)

    def kept(self, queue: int = 1) -> list[int]:
        """The numbers of the windows whose page is kept."""
        return [number for number in range(9) if self.pages.get(queue, one(number), ALWAYS)]

    def test_what_is_kept_is_marked_and_given_again(self) -> None:
        slice = self.put(1, one(0), page(5))
        self.assertIsNotNone(slice.lasting)
        self.assertIs(self.pages.get(1, one(0), ALWAYS), slice)
        self.assertIsNone(self.pages.get(2, one(0), ALWAYS))

    def test_the_least_recently_used_makes_room(self) -> None:
        for number in range(3):
            self.put(1, one(number), page(5))
        self.pages.get(1, one(0), ALWAYS)
        self.put(1, one(3), page(5))
        self.assertEqual(self.kept(), [0, 2, 3])

    def test_a_page_in_the_place_of_another_counts_once(self) -> None:
        for _ in range(9):
            self.put(1, one(0), page(5))
        self.put(1, one(1), page(5))
        self.put(2, one(2), page(5))
        self.assertEqual((self.kept(), self.kept(2)), ([0, 1], [2]))

    def test_a_large_page_pushes_out_several_and_one_that_is_too_large_none(self) -> None:
        for number in range(3):
            self.put(1, one(number), page(5))
        room = (3 * SIZE - PAGE - MESSAGE) // CONTENT
        self.assertIsNone(self.put(1, one(3), page(5, body=bytes(room + 1))).lasting)
        self.assertEqual(self.kept(), [0, 1, 2])
        self.put(1, one(3), page(5, body=bytes(room)))
        self.assertEqual(self.kept(), [3])

    def test_until_the_first_message_expires(self) -> None:
        window = Window((1,), limit=3)
        self.put(1, window, page(7, 5, 9))
        self.assertIsNotNone(self.pages.get(1, window, Ticks(4)))
        self.assertIsNone(self.pages.get(1, window, Ticks(5)))
        self.assertIsNone(self.pages.get(1, window, Ticks(4)))

    def test_changes_end_the_pages_of_their_queue_alone(self) -> None:
        self.put(1, one(0), page(5))
        self.put(1, one(1), page(5))
        self.put(2, one(2), page(5))
        self.pages.change(1)
        self.assertEqual((self.kept(1), self.kept(2)), ([], [2]))

    def test_nothing_is_kept_before_all_changes_are_over(self) -> None:
        early = self.pages.begin(1, one(0))
        self.pages.change(1)
        during = self.pages.begin(1, one(1))
        self.assertIsNone(self.put(1, one(2), page(5)).lasting)
        self.pages.change(1)
        self.pages.changed(1)
        self.put(1, one(3), page(5))
        self.pages.changed(1)
        self.assertIsNone(self.pages.end(early, page(5)).lasting)
        self.assertIsNone(self.pages.end(during, page(5)).lasting)
        self.assertEqual(self.kept(), [])
        self.put(1, one(4), page(5))
        self.assertEqual(self.kept(), [4])

    def test_what_is_over_leaves_nothing_behind(self) -> None:
        empty = vars(Pages(3 * SIZE))
        self.put(1, one(0), page(5))
        self.put(1, one(1), page())
        asked = self.pages.begin(2, one(2))
        self.assertTrue(self.pages.give_up(asked))
        self.pages.begin(2, one(3))
        self.pages.change(2)
        self.pages.changed(2)
        self.pages.clear()
        self.assertEqual(vars(self.pages), empty)

    def test_only_full_ascending_pages_in_one_slice(self) -> None:
        many, rest = Window((1, 2), limit=2), Window((1,))
        for window, slice, expected in (
            (one(0), page(5), True),
            (one(0), page(), False),
            (Window((1,), limit=2), page(5), False),
            (Window((1,), limit=1, descending=True), page(5), False),
            (Window((1,), limit=3, first_limit=1, resume=foreign_id(1)), page(5), True),
            (Window((1,), limit=1), WindowSlice(page(5).messages, rest), False),
            (many, page(5, 5, 5), False),
            (many, page(5, 5, 5, 5), True),
            (attrs.evolve(many, first_limit=1), page(5, 5, 5), True),
            (Window((1,), limit=0), page(), False),
            (Window(()), page(), False),
        ):
            self.assertEqual(is_full(window, slice), expected, window)

    def test_only_ascending_pages_of_one_log_after_which_there_is_more(self) -> None:
        messages = page(7).messages

        def merged(over: bool, some: Messages = messages) -> MergeSlice:
            return MergeSlice(some, Position(LOWEST, 1), over, HIGHEST, LOWEST, Ticks(6))

        for range, slice, expected in (
            (Merge((1,), limit=1), merged(over=False), 6),
            (Merge((1,), limit=1), merged(over=True), None),
            (Merge((1,), limit=1), merged(False, ()), None),
            (Merge((1,), limit=1, descending=True), merged(over=False), None),
            (Merge((1,), limit=1, fresh=True), merged(over=False), None),
            (one(0), page(5), 5),
            (one(0), page(), None),
        ):
            self.assertEqual(expiry(range, slice), expected, range)


class ToldTests(SynchronousTestCase):
    """The clock that knows the latest time it has told."""

    def test_it_is_not_set_back(self) -> None:
        wall = Wall()
        told = Told(wall)
        wall.seconds += 10
        self.assertEqual(told(), START + 10)
        wall.seconds -= 15
        self.assertEqual((told(), told.latest()), (START - 5, START + 10))
        wall.seconds += 20
        self.assertEqual(told.latest(), START + 15)


class Split:
    """A store whose calls are done when the test says so, and answered when it says so again."""

    def __init__(self, store: MemoryStore) -> None:
        self.inner = store
        self.states, self.promises = store.states, store.promises
        self.scans = 0
        self.at_once = True
        self.undone: list[Callable[[], None]] = []
        self.untold: list[Callable[[], None]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self.inner, name)
        return method if name in ("open", "close") else lambda *arguments: self.call(method, arguments)

    def scan(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        self.scans += 1
        return self.call(self.inner.scan, (queue, window, ack))

    def merge(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        self.scans += 1
        return self.call(self.inner.merge, (queue, merge, ack))

    def call(self, method: Callable[..., Deferred[T]], arguments: Sequence[object]) -> Deferred[T]:
        answer: Deferred[T] = Deferred()

        def do() -> None:
            result: list[Any] = []
            method(*arguments).addBoth(result.append)
            self.untold.append(lambda: tell(result[0]))

        def tell(result: Any) -> None:
            (answer.errback if isinstance(result, Failure) else answer.callback)(result)

        if self.at_once:
            do()
            self.untold.pop()()
        else:
            self.undone.append(do)
        return answer

    def finish(self) -> None:
        """Do and answer all that waits."""
        for waiting in (self.undone, self.untold):
            while waiting:
                waiting.pop(0)()


class House:
    """A cached store over one that waits for the test, on clocks of its own."""

    def __init__(self, pages: int) -> None:
        self.wall, self.clock = Wall(), Clock()
        told = Told(self.wall)
        self.split = Split(MemoryStore(self.clock, told, 1 << 40, NODE, CLOCK_SEQUENCE, versions(), random_bits()))
        split: Any = self.split
        self.store: IStore = CachedStore(split, told, 9, pages)
        self.store.open()

    def advance(self, seconds: float) -> None:
        """Let time pass, and let the store sweep."""
        self.wall.seconds += seconds
        self.clock.advance(seconds)


class CachedStoreTests(SynchronousTestCase):
    """What a reader of a store sees whose pages are kept."""

    def setUp(self) -> None:
        self.house = House(1 << 20)
        self.split, self.store = self.house.split, self.house.store
        self.queue, _ = self.successResultOf(self.store.create("app", "q", QueueSettings(partitions=2), None))
        self.ids = self.append(b"a", b"b", b"c", b"d")

    def append(self, *texts: bytes, ttl: int = TTL) -> tuple[MessageId, ...]:
        return self.successResultOf(self.store.append(self.queue, [new(text, ttl=ttl) for text in texts], TERMS))

    def scan(self, **window: Any) -> WindowSlice:
        return self.successResultOf(self.store.scan(self.queue, Window(**{"partitions": (1,), **window}), Ack.ONE))

    def read(self, **window: Any) -> list[bytes]:
        return bodies(self.scan(**window).messages)

    def asked(self, expected: list[bytes], **window: Any) -> int:
        """How often the store is asked for what is read twice."""
        before = self.split.scans
        self.assertEqual((self.read(**window), self.read(**window)), (expected, expected))
        return self.split.scans - before

    def test_a_full_page_is_asked_for_once(self) -> None:
        self.assertEqual(self.asked([b"a", b"b"], limit=2), 1)
        self.assertEqual(self.asked([b"c", b"d"], lower=successor(self.ids[1]), limit=2), 1)
        self.assertIs(self.scan(limit=2), self.scan(limit=2))
        self.assertEqual(self.split.scans, 2)

    def merged(self, expected: list[bytes], **options: Any) -> int:
        """How often the store is asked for a page of one log that is read twice."""
        before, asked = self.split.scans, Merge(**{"partitions": (1, 2), "kept": True, **options})
        for _ in range(2):
            slice = self.successResultOf(self.store.merge(self.queue, asked, Ack.ONE))
            self.assertEqual(bodies(slice.messages), expected)
        return self.split.scans - before

    def test_a_page_of_one_log_is_asked_for_once_where_a_reader_is_glad_of_it(self) -> None:
        self.assertEqual(self.merged([b"a", b"b"], limit=2), 1)
        self.assertEqual(self.merged([b"a", b"b"], limit=2, kept=False), 2)
        self.assertEqual(self.merged([b"a", b"b", b"c", b"d"], limit=4), 2)
        self.assertEqual(self.merged([b"d", b"c"], limit=2, descending=True), 2)
        self.append(b"e")
        self.assertEqual(self.merged([b"a", b"b", b"c", b"d"], limit=4), 1)
        self.successResultOf(self.store.remove(self.queue, [Address(1, self.ids[1])], Ack.ONE))
        self.assertEqual(self.merged([b"a", b"c"], limit=2), 1)

    def test_that_more_follows_lasts_as_long_as_what_follows(self) -> None:
        self.append(b"e", ttl=5)
        self.assertEqual(self.merged([b"a", b"b", b"c", b"d"], limit=4), 1)
        self.house.wall.seconds += 5
        slice = self.successResultOf(self.store.merge(self.queue, Merge((1, 2), limit=4, kept=True), Ack.ONE))
        self.assertTrue(slice.over)

    def test_nothing_that_has_expired_is_part_of_what_is_kept(self) -> None:
        self.append(b"e", ttl=5)
        self.append(b"f")
        self.house.wall.seconds += 5
        asked: dict[str, Any] = {"lower": Position(self.ids[3], 1), "limit": 1}
        self.append(b"g")
        self.assertEqual(self.merged([b"f"], **asked), 2)
        self.house.advance(5)
        self.assertEqual(self.merged([b"f"], **asked), 1)

    def test_what_may_become_more_is_not_kept(self) -> None:
        self.assertEqual(self.asked([b"a", b"b", b"c", b"d"], limit=5), 2)
        self.assertEqual(self.asked([b"d", b"c"], limit=2, descending=True), 2)
        self.assertEqual(self.asked([b"a", b"b"], limit=2, partitions=(1, 2)), 2)
        self.append(b"e")
        self.assertEqual(self.read(limit=5), [b"a", b"b", b"c", b"d", b"e"])

    def test_an_append_ends_nothing(self) -> None:
        self.read(limit=4)
        self.append(b"e")
        self.assertEqual(self.read(limit=4), [b"a", b"b", b"c", b"d"])
        self.assertEqual(self.split.scans, 1)

    def test_a_message_of_the_future_that_falls_due_is_after_every_page(self) -> None:
        self.read(limit=4)
        self.successResultOf(self.store.replace(self.queue, [Address(1, foreign_id(5))], Content(b"later"), TTL, TERMS))
        self.assertEqual(self.asked([b"a", b"b", b"c", b"d"], limit=4), 1)
        self.house.advance(10)
        self.append(b"e")
        self.assertEqual(self.read(limit=4), [b"a", b"b", b"c", b"d"])
        self.assertEqual(self.read(lower=successor(self.ids[3]), limit=2), [b"later", b"e"])

    def test_each_kind_of_change_shows_at_once(self) -> None:
        early, a, b = foreign_id(-9), self.ids[0], self.ids[1]
        changes: list[tuple[Callable[[], Deferred[Any]], list[bytes]]] = [
            (lambda: self.store.replace(self.queue, [Address(1, a)], Content(b"A"), TTL, TERMS), [b"A", b"b"]),
            (lambda: self.store.replace(self.queue, [Address(1, early)], Content(b"0"), TTL, TERMS), [b"0", b"A"]),
            (lambda: self.store.remove(self.queue, [Address(1, a)], Ack.ONE), [b"0", b"b"]),
            (lambda: self.store.purge(self.queue, b, Ack.ONE), [b"b", b"c"]),
            (lambda: self.store.forget(self.queue), []),
        ]
        self.read(limit=2)
        for change, expected in changes:
            self.successResultOf(change())
            self.assertEqual(self.asked(expected, limit=2), 1 if expected else 2)

    def test_expiry_shows_at_once_and_is_not_undone(self) -> None:
        self.append(b"e", b"f", ttl=5)
        window: dict[str, Any] = {"lower": self.ids[3], "limit": 2}
        self.assertEqual(self.asked([b"d", b"e"], **window), 1)
        self.house.wall.seconds += 4.9
        self.assertEqual(self.asked([b"d", b"e"], **window), 0)
        self.house.advance(0.1)
        self.assertEqual(self.read(**window), [b"d"])

    def test_what_was_swept_does_not_come_back_with_the_clock(self) -> None:
        self.append(b"e", ttl=5)
        window: dict[str, Any] = {"lower": self.ids[3], "limit": 2}
        self.read(**window)
        self.house.advance(6)
        self.house.wall.seconds -= 6
        self.assertEqual(self.read(**window), [b"d"])

    def test_while_a_change_is_under_way_and_its_caller_has_gone(self) -> None:
        self.read(limit=2)
        self.split.at_once = False
        removed = self.store.remove(self.queue, [Address(1, self.ids[0])], Ack.ONE)
        removed.cancel()
        self.failureResultOf(removed, CancelledError)
        self.split.at_once = True
        self.assertEqual(self.asked([b"a", b"b"], limit=2), 2)
        self.split.finish()
        self.assertEqual(self.asked([b"b", b"c"], limit=2), 1)

    def test_a_failed_change_ends_too(self) -> None:
        gone = attrs.evolve(self.queue, incarnation=99)
        self.failureResultOf(self.store.remove(gone, [Address(1, self.ids[0])], Ack.ONE))
        self.assertEqual(vars(self.store)["_pages"]._changing, {})

    def test_a_cancelled_read_leaves_nothing_behind(self) -> None:
        self.split.at_once = False
        asked = self.store.scan(self.queue, Window((1,), limit=2), Ack.ONE)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(vars(self.store)["_pages"]._asked, {})

    def test_nothing_is_shown_after_the_end(self) -> None:
        self.read(limit=2)
        self.successResultOf(self.store.close())
        self.failureResultOf(self.store.scan(self.queue, Window((1,), limit=2), Ack.ONE), Unavailable)


LOWER = st.sampled_from([LOWEST, foreign_id(-6), foreign_id(0)])
WINDOWS = st.builds(
    Window, st.sampled_from([(1,), (1,), (2, 1)]), LOWER, st.just(HIGHEST), st.just(False), st.integers(1, 5)
)
MERGES = st.builds(
    Merge,
    st.sampled_from([(1,), (1, 2)]),
    st.sampled_from([OLDEST, Position(foreign_id(-6)), Position(foreign_id(0), 1)]),
    limit=st.integers(1, 5),
    kept=st.just(True),
)
PLACES = st.integers(0, 20)
SELDOM = st.sampled_from([False] * 7 + [True])


class PagesMachine(RuleBasedStateMachine):
    """Changes and reads that are begun, done and answered in any order.

    Whatever is answered at once comes from the pages. It must be what the store itself would say at that moment, though
    changes are under way that somebody may have seen already. After each step every window that may be kept is asked
    for.
    """

    hits = 0
    merged = 0

    def __init__(self) -> None:
        super().__init__()
        self.house = House(3 * SIZE + 3 * MESSAGE)
        self.split, self.store = self.house.split, self.house.store
        self.ids: list[MessageId] = [foreign_id(-3), foreign_id(-2), foreign_id(3)]
        self.queues = [self.make(name) for name in "ab"]
        self.ranges: list[tuple[Queue, Range]] = []
        for queue in self.queues:
            some = [new(text, partition) for partition in (1, 2) for text in (b"x", b"y", b"z")]
            self.now(self.store.append(queue, some, TERMS).addCallback(self.ids.extend))
        self.split.at_once = False

    def make(self, name: str) -> Queue:
        queue, _ = self.now(self.store.create("app", name, QueueSettings(partitions=2), None))
        return queue

    def now(self, answer: Deferred[T]) -> T:
        results: list[T] = []
        answer.addCallback(results.append)
        return results[0]

    def begin(self, answer: Deferred[Any]) -> None:
        """Begin a change; a queue that is gone meanwhile refuses it."""
        answer.addErrback(lambda _: None)

    def where(self, partition: int, place: int) -> list[Address]:
        return [Address(partition, self.ids[place % len(self.ids)])]

    @rule(
        place=PLACES,
        partition=st.integers(1, 2),
        ttl=st.sampled_from([3, 60]),
        delay=st.sampled_from([0, 0, SECOND]).map(Ticks),
        number=st.integers(1, 3),
    )
    def append(self, place: int, partition: int, ttl: int, delay: Ticks, number: int) -> None:
        some = [NewMessage(partition, Content(b"new"), ttl, delay)] * number
        answer = self.store.append(self.queues[place % 2], some, WriteTerms(Ack.ONE))
        self.begin(answer.addCallback(self.ids.extend))

    @rule(place=PLACES, partition=st.integers(1, 2), which=PLACES, ttl=st.sampled_from([3, 60]))
    def replace(self, place: int, partition: int, which: int, ttl: int) -> None:
        where = self.where(partition, which)
        self.begin(self.store.replace(self.queues[place % 2], where, Content(b"put"), ttl, TERMS))

    @rule(place=PLACES, partition=st.integers(1, 2), which=PLACES, ttl=st.sampled_from([3, 60]))
    def put(self, place: int, partition: int, which: int, ttl: int) -> None:
        (where,) = self.where(partition, which)
        self.begin(self.store.put(self.queues[place % 2], where, Content(b"put"), ttl, ANYWAY, TERMS))

    @rule(place=PLACES, partition=st.integers(1, 2), which=PLACES)
    def remove(self, place: int, partition: int, which: int) -> None:
        self.begin(self.store.remove(self.queues[place % 2], self.where(partition, which), Ack.ONE))

    @rule(place=PLACES, which=PLACES, really=SELDOM)
    def purge(self, place: int, which: int, really: bool) -> None:
        if really:
            self.begin(self.store.purge(self.queues[place % 2], self.where(1, which)[0].id, Ack.ONE))

    @rule(place=PLACES, really=SELDOM)
    def forget(self, place: int, really: bool) -> None:
        if really:
            self.begin(self.store.forget(self.queues[place % 2]))

    @rule(seconds=st.sampled_from([0.5, 1, 4]))
    def advance(self, seconds: float) -> None:
        self.house.advance(seconds)

    def read(self, store: Any, queue: Queue, range: Range) -> Deferred[Any]:
        answer: Deferred[Any] = (store.merge if isinstance(range, Merge) else store.scan)(queue, range, Ack.ONE)
        return answer

    @rule(place=PLACES, range=WINDOWS | MERGES)
    def scan(self, place: int, range: Range) -> None:
        queue = self.queues[place % 2]
        self.ranges.append((queue, range))
        self.begin(self.read(self.store, queue, range))

    @rule(place=PLACES, range=WINDOWS | MERGES)
    def scan_at_rest(self, place: int, range: Range) -> None:
        """Let everything come to its end before and after."""
        self.split.finish()
        self.scan(place, range)
        self.split.finish()

    @invariant()
    def kept_pages_are_as_the_store_has_them(self) -> None:
        for queue, range in self.ranges[-9:]:
            answer = self.read(self.store, queue, range)
            if answer.called:
                kept, asked = self.now(answer), self.now(self.read(self.split.inner, queue, range))
                if isinstance(kept, MergeSlice):
                    type(self).merged += 1
                    assert kept.stable <= asked.stable
                    kept = attrs.evolve(kept, stable=asked.stable)
                type(self).hits += 1
                assert kept == asked
            else:
                self.split.undone.pop()
                answer.cancel()
                self.begin(answer)

    @precondition(lambda self: self.split.undone)
    @rule(place=PLACES)
    def do(self, place: int) -> None:
        self.split.undone.pop(place % len(self.split.undone))()

    @precondition(lambda self: self.split.untold)
    @rule(place=PLACES)
    def tell(self, place: int) -> None:
        self.split.untold.pop(place % len(self.split.untold))()

    def teardown(self) -> None:
        self.split.finish()
        pages = vars(self.store)["_pages"]
        assert not pages._asked
        assert not pages._changing
        assert pages._used == sum(page.bytes for page in pages._pages.values()) <= 3 * SIZE + 3 * MESSAGE


class RandomTests(SynchronousTestCase):
    def test_no_reader_can_tell(self) -> None:
        class Machine(PagesMachine):
            pass

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=10_000 if LONG else 200,
                stateful_step_count=50,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        self.assertGreater(Machine.hits, 1000)
        self.assertGreater(Machine.merged, 300)
