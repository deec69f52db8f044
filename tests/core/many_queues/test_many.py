"""Reads of many queues: choices that grow, waits, gaps, and what is left when all have gone."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from queuey.core.many import reading, watching
from queuey.core.many.chosen import View
from queuey.core.many.reading import Gap, ManyPage
from queuey.errors import Forbidden, TooManyQueues, TooManyRequests
from queuey.model.applications.policy import Ack, Policy
from queuey.model.queues.queue import Queue, QueueType
from queuey.model.reading.many import STORE_OLDEST, Changes, ManyRange, ManySlice, StorePosition
from queuey.model.timeid import HIGHEST
from queuey.storage.memory import MemoryStore
from tests.contracts.subject import Wall
from tests.core.many_queues.many_support import ManyCase, Process, shown
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, random_bits, versions


class Counting(MemoryStore):
    """A memory store that counts what is asked of it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.reads: list[int] = []
        self.looks = 0
        self.held: Deferred[None] | None = None

    def read_many(self, queues: Any, asked: ManyRange, acks: Any) -> Deferred[ManySlice]:
        self.reads.append(len(queues))
        return super().read_many(queues, asked, acks)

    def changes(self, mark: int | None) -> Deferred[Changes]:
        self.looks += 1
        changes = super().changes(mark)
        return changes if self.held is None else self.held.addCallback(lambda _: changes)


class ManyReadsCase(ManyCase):
    def setUp(self) -> None:
        self.clock, self.wall = Clock(), Wall()
        self.store: Counting = Counting(self.clock, self.wall, 1 << 30, NODE, CLOCK_SEQUENCE, versions(), random_bits())
        self.process = Process(self.store, self.clock, self.wall, Policy("app", 1000, max_waits=3))
        self.store.open()
        self.addCleanup(self.store.close)

    def turn(self, seconds: float = 0) -> None:
        self.wall.seconds += seconds
        self.clock.advance(seconds)

    def assert_nothing_left(self) -> None:
        """No waiter, no deadline and no timer is left."""
        watch = self.process.watch
        self.assertEqual((watch._waiters, watch._woken, watch._timer, watch._waking.scheduled), ({}, {}, None, False))
        self.assertEqual(self.process.waits.waiting, 0)
        self.assertTrue(all(not chosen.uses for chosen in watch._chosen.values()))


class PagesTests(ManyReadsCase):
    """Pages without a wait."""

    def test_one_order(self) -> None:
        one, two = self.make("one"), self.make("two")
        self.make("other")
        for number in range(4):
            self.post((one, two)[number % 2], str(number))
        page = self.read("one", "two")
        self.assertEqual(shown(page), ["one:0", "two:1", "one:2", "two:3"])
        self.assertEqual((page.more, page.gaps), (False, ()))
        self.assertEqual(shown(self.read("one", "two", place=page.position)), [])
        first = self.read("one", "two", limit=3)
        self.assertEqual((len(first.messages), first.more), (3, True))
        self.assertEqual(shown(self.read("two", place=first.position)), ["two:3"])

    def test_at_the_end_only_what_was_changed_is_read(self) -> None:
        queues = [self.make(f"q{number}") for number in range(20)]
        self.post(queues[3], "a")
        page = self.successResultOf(self.process.page(prefixes=["q"]))
        self.assertEqual(self.store.reads, [20])
        page = self.successResultOf(self.process.page(prefixes=["q"], place=page.position))
        self.assertEqual(self.store.reads, [20])
        self.post(queues[7], "b")
        page = self.successResultOf(self.process.page(prefixes=["q"], place=page.position))
        self.assertEqual((shown(page), self.store.reads), (["q7:b"], [20, 1]))

    def test_what_is_written_without_a_wake_up_is_read(self) -> None:
        queue = self.make("one")
        place = self.read("one").position
        self.process.waits.wake = lambda *_, **__: None  # type: ignore[method-assign]
        self.post(queue, "a")
        self.assertEqual(shown(self.read("one", place=place)), ["one:a"])

    def test_from_now_on(self) -> None:
        queue = self.make("one")
        self.post(queue, "before")
        page = self.read("one", place=None)
        self.assertEqual((shown(page), self.store.reads), ([], []))
        self.post(queue, "after")
        self.assertEqual(shown(self.read("one", place=page.position)), ["one:after"])

    def test_queues_that_are_made_later_join_from_their_first_message_on(self) -> None:
        self.make("room-1")
        page = self.successResultOf(self.process.page(prefixes=["room-"]))
        self.post(self.make("room-2"), "first")
        self.post(self.make("hall-2"), "no")
        page = self.successResultOf(self.process.page(prefixes=["room-"], place=page.position))
        self.assertEqual((shown(page), page.view.count), (["room-2:first"], 2))

    def test_a_queue_that_is_made_again(self) -> None:
        queue = self.make("one")
        self.post(queue, "a")
        page = self.read("one")
        self.successResultOf(self.store.forget(queue))
        missing = self.read("one", place=page.position)
        self.assertEqual((missing.view.missing, shown(missing)), (("one",), []))
        self.post(self.make("one"), "b")
        self.assertEqual(shown(self.read("one", place=missing.position)), ["one:b"])

    def test_partitions_that_are_added(self) -> None:
        queue = self.make("one")
        page = self.read("one")
        more = self.successResultOf(self.store.update(queue, type(queue.settings)(partitions=3)))
        self.post(more, "a", partition=3)
        self.assertEqual(shown(self.read("one", place=page.position)), ["one:a"])

    def test_who_may_read_what(self) -> None:
        self.make("a-public", type=QueueType.PUBLIC)
        self.make("a-own")
        self.make("a-theirs", principals=("bid:x@y.z",))
        nobody: frozenset[str] = frozenset()
        view = self.read("a-own", "none", prefixes=["a-"], caller=nobody).view
        self.assertEqual((view.count, view.forbidden, view.missing, view.left_out), (1, ("a-own",), ("none",), 1))
        view = self.read("a-own", "none", prefixes=["a-"]).view
        self.assertEqual((view.count, view.forbidden, view.left_out), (2, (), 1))
        theirs = self.read(prefixes=["a-"], caller=frozenset(("bid:x@y.z",))).view
        self.assertEqual((theirs.count, theirs.left_out), (2, 1))

    def test_what_changes_who_may_read(self) -> None:
        queue = self.make("one", type=QueueType.PUBLIC)
        nobody: frozenset[str] = frozenset()
        self.assertEqual(self.read("one", caller=nobody).view.forbidden, ())
        self.successResultOf(self.store.update(queue, type(queue.settings)()))
        self.assertEqual(self.read("one", caller=nobody).view.forbidden, ("one",))

    def test_a_refusal(self) -> None:
        def refuse(view: View) -> None:
            raise Forbidden("no")

        self.make("one")
        self.failureResultOf(self.process.page(["one"], permit=refuse), Forbidden)
        self.failureResultOf(self.process.page(["one"], permit=refuse, wait=5.0), Forbidden)
        self.assert_nothing_left()

    def test_too_many_queues(self) -> None:
        self.patch(reading, "MAX_QUEUES", 4)
        queues = [self.make(f"q{number}", partitions=2) for number in range(3)]
        self.failureResultOf(self.process.page(prefixes=["q"]), TooManyQueues)
        page = self.successResultOf(self.process.page(prefixes=["q"], place=None))
        self.post(queues[0], "a")
        page = self.successResultOf(self.process.page(prefixes=["q"], place=page.position))
        self.assertEqual(shown(page), ["q0:a"])

    def test_purges(self) -> None:
        queues = [self.make("one"), self.make("two")]
        for number in range(6):
            self.post(queues[number % 2], str(number))
        first = self.read("one", "two", limit=1, resumed=True)
        self.assertEqual(first.gaps, ())
        self.successResultOf(self.store.purge(queues[1], HIGHEST, Ack.MAJORITY))
        page = self.read("one", "two", place=first.position, resumed=True)
        self.assertEqual(shown(page), ["one:2", "one:4"])
        self.assertEqual([(gap.queue, gap.why) for gap in page.gaps], [("two", "purged")])
        self.assertEqual(self.read("one", "two", place=page.position, resumed=True).gaps, ())

    def test_each_purge_is_told_on_one_page(self) -> None:
        one, two = self.make("one"), self.make("two")
        for number in range(6):
            self.post(two if number in (0, 2) else one, str(number))
        self.successResultOf(self.store.purge(two, HIGHEST, Ack.MAJORITY))
        self.post(two, "6")
        place, told, found = StorePosition(STORE_OLDEST.id, 0, 1), list[Gap](), list[str]()
        for _ in range(9):
            page = self.read("one", "two", place=place, limit=1, resumed=True)
            told += page.gaps
            if "two:6" in shown(page):
                self.assertEqual(len(told), 1)
            found += shown(page)
            place = page.position
        self.assertEqual((len(told), found), (1, ["one:1", "one:3", "one:4", "one:5", "two:6"]))

    def test_what_may_have_expired(self) -> None:
        queue = self.make("one", ttl=10)
        self.make("two", ttl=1000)
        self.post(queue, "a", ttl=10)
        first = self.read("one", "two", resumed=True)
        self.post(queue, "b", ttl=10)
        self.turn(20)
        self.post(queue, "c")
        page = self.read("one", "two", place=first.position, resumed=True)
        self.assertEqual((shown(page), [(gap.queue, gap.why) for gap in page.gaps]), (["one:c"], [("one", "expired")]))
        self.assertEqual(self.read("one", "two", place=page.position, resumed=True).gaps, ())

    def test_choices_are_shared_and_some_are_kept(self) -> None:
        self.patch(watching, "MAX_IDLE", 3)
        for number in range(6):
            self.make(f"q{number}")
        for number in range(6):
            self.read(f"q{number}", "q0")
            self.read("q0", f"q{number}")
        watch = self.process.watch
        self.assertEqual((watch.choices, watch.queues, watch._idle_queues), (3, 4, 6))
        self.patch(watching, "MAX_IDLE", 0)
        self.read("q0")
        self.assertEqual((watch.choices, watch.queues, watch._idle_queues), (0, 0, 0))


class WaitsTests(ManyReadsCase):
    """Pages that wait."""

    def wait(
        self, *names: str, seconds: float = 20.0, place: StorePosition | None = None, **asked: Any
    ) -> Deferred[ManyPage]:
        return self.process.page(names, place=place, wait=seconds, **asked)

    def test_what_comes_wakes(self) -> None:
        queue = self.make("one")
        self.make("two")
        waiting = self.wait("one", "two")
        self.turn(5)
        self.assertNoResult(waiting)
        self.post(queue, "a")
        self.turn()
        self.assertEqual(shown(self.successResultOf(waiting)), ["one:a"])
        self.assert_nothing_left()

    def test_what_comes_elsewhere_does_not(self) -> None:
        self.make("one")
        other = self.make("other")
        waiting = self.wait("one", prefixes=["room-"])
        looks = self.store.looks
        self.post(other, "a")
        self.turn()
        # It may be new, and of the choice; once it is known, it is passed over.
        self.assertEqual(self.store.looks, looks + 1)
        for _ in range(5):
            self.post(other, "b")
            self.turn()
        self.assertEqual(self.store.looks, looks + 1)
        self.assertNoResult(waiting)
        waiting.addErrback(lambda _: None).cancel()
        self.assert_nothing_left()

    def test_nothing_comes(self) -> None:
        queue, other = self.make("one"), self.make("other")
        waiting = self.wait("one")
        self.turn(19)
        self.post(other, "a")
        self.turn(1)
        page = self.successResultOf(waiting)
        self.assertEqual((shown(page), page.more), ([], False))
        self.assert_nothing_left()
        self.post(queue, "b")
        self.assertEqual(shown(self.read("one", place=page.position)), ["one:b"])

    def test_a_new_queue_wakes(self) -> None:
        waiting = self.successResultOf
        answer = self.process.page(prefixes=["room-"], place=None, wait=20.0)
        self.turn(1)
        self.post(self.make("room-9"), "a")
        self.turn()
        self.assertEqual(shown(waiting(answer)), ["room-9:a"])

    def test_a_delayed_message_wakes(self) -> None:
        queue = self.make("one")
        waiting = self.wait("one")
        self.post(queue, "a", delay=50_000_000)
        self.turn(4)
        self.assertNoResult(waiting)
        for _ in range(3):
            self.turn(1)
        self.assertEqual(shown(self.successResultOf(waiting)), ["one:a"])

    def test_many_on_one_choice(self) -> None:
        self.process.policy = Policy("app", 1000)
        queue = self.make("one")
        waiting = [self.wait("one") for _ in range(10)]
        looks = self.store.looks
        self.post(queue, "a")
        self.turn()
        for each in waiting:
            self.assertEqual(shown(self.successResultOf(each)), ["one:a"])
        self.assertLessEqual(self.store.looks - looks, 10)
        self.assert_nothing_left()

    def test_looks_are_shared(self) -> None:
        self.process.policy = Policy("app", 1000)
        queue = self.make("one")
        waiting = [self.wait("one") for _ in range(10)]
        looks = self.store.looks
        held: Deferred[None] = Deferred()
        self.store.held = held
        self.post(queue, "a")
        self.turn()
        self.assertEqual(self.store.looks, looks + 1)
        self.store.held = None
        held.callback(None)
        self.assertLessEqual(self.store.looks, looks + 2)
        for each in waiting:
            self.assertEqual(shown(self.successResultOf(each)), ["one:a"])

    def test_one_that_hangs_up(self) -> None:
        self.make("one")
        waiting = self.wait("one")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assert_nothing_left()

    def test_one_that_hangs_up_while_the_store_is_asked(self) -> None:
        self.make("one")
        held: Deferred[None] = Deferred()
        self.store.held = held
        waiting, other = self.wait("one"), self.wait("one")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.store.held = None
        held.callback(None)
        self.turn(20)
        self.successResultOf(other)
        self.assert_nothing_left()

    def test_the_limit_of_waits(self) -> None:
        self.make("one")
        waiting = [self.wait("one") for _ in range(3)]
        self.failureResultOf(self.wait("one"), TooManyRequests)
        self.turn(20)
        for each in waiting:
            self.successResultOf(each)
        self.assert_nothing_left()

    def test_the_end_of_all_waits(self) -> None:
        self.make("one")
        waiting = self.wait("one")
        self.process.waits.end()
        self.successResultOf(waiting)
        self.successResultOf(self.wait("one"))
        self.assert_nothing_left()

    def test_a_message_that_comes_while_a_choice_is_looked_up(self) -> None:
        """Its queue is in no choice yet when the message arrives."""
        queue = self.make("one")
        self.read("two")
        self.post(queue, "before")
        self.read("two")  # now the queue was seen, and is of no choice
        described = self.store.describe
        answer: Deferred[tuple[Queue | None, ...]] = Deferred()
        self.store.describe = lambda application, names: answer  # type: ignore[method-assign]
        waiting = self.wait("one")
        self.post(queue, "a")
        self.store.describe = described  # type: ignore[method-assign]
        answer.callback((queue,))
        self.turn()
        self.assertEqual(shown(self.successResultOf(waiting)), ["one:a"])
