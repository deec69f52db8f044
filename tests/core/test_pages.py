"""Pages of messages: slices that become one, and readers that wait at the end of the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from queuey.core import pages
from queuey.core.queues import QueueChanges
from queuey.core.waiting import Waits
from queuey.errors import NoSuchApplication, Unavailable
from queuey.model.message import ANYWAY, Address, Content, Draft, Message, NewMessage
from queuey.model.once import Once
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Consistency, Queue
from queuey.model.timeid import HIGHEST, SECOND, MessageId, Ticks, from_seconds, make, successor, upper_bound
from queuey.model.window import SLICE_BYTES, SLICE_ROWS, Merge, MergeSlice, Position
from tests.core.support import CoreTestCase

ALL = Merge((1, 2, 3))
NO_LIMIT = WriteTerms(Ack.ONE)


def bodies(page: MergeSlice) -> list[bytes]:
    return [message.content.body for message in page.messages]


def ids_of(page: MergeSlice) -> tuple[MessageId, ...]:
    """The ids on a page, with those of messages that are read when they are sent."""
    later = [address.id for some in page.later for address in some]
    return (*[message.id for message in page.messages], *later)


class PageTestCase(CoreTestCase):
    """A queue of three partitions."""

    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(1_000_000)
        self.queue = self.make(partitions=3)

    def put(self, *new: NewMessage) -> tuple[MessageId, ...]:
        """Store messages past the exchange."""
        return self.successResultOf(self.store.append(self.queue, new, NO_LIMIT))

    def write(self, body: bytes, partition: int = 1, delay: float = 0, queue: Queue | None = None) -> Deferred[Any]:
        draft = Draft(Content(body), 60, partition, None, Ticks(int(delay * SECOND)))
        return self.exchange.append(queue or self.queue, [draft])

    def page(self, merge: Merge = ALL) -> MergeSlice:
        """What is there, without waiting."""
        return self.successResultOf(Deferred.fromCoroutine(self.exchange.page(self.queue, merge, 0)))

    def wait(self, merge: Merge = ALL, seconds: float = 20) -> Deferred[MergeSlice]:
        return Deferred.fromCoroutine(self.exchange.page(self.queue, merge, seconds))

    def after(self, page: MergeSlice, merge: Merge = ALL) -> Merge:
        return attrs.evolve(merge, lower=page.position)

    def assert_nothing_left(self) -> None:
        """But the store's own timer."""
        self.assertEqual((self.waits.waiting, len(self.clock.getDelayedCalls())), (0, 1))


class SlicesTests(PageTestCase):
    """A page is as long as it was asked for, whatever a store gives at once."""

    def test_one_slice_is_asked_for_where_it_is_enough(self) -> None:
        self.put(*[NewMessage(1, Content(b"%d" % number), 60) for number in range(10)])
        self.assertEqual(bodies(self.page(attrs.evolve(ALL, limit=3))), [b"0", b"1", b"2"])
        page = self.page()
        self.assertEqual((len(page.messages), page.over), (10, True))
        self.assertEqual(len(self.store.merges), 2)

    def test_more_bytes_than_a_slice_has(self) -> None:
        size = SLICE_BYTES // 2 + 1
        ids = self.put(*[NewMessage(1 + number % 3, Content(b"%d" % number * size), 60) for number in range(5)])
        page = self.page(attrs.evolve(ALL, max_bytes=16 << 20))
        self.assertEqual(ids_of(page), ids)
        self.assertTrue(page.over)
        self.assertEqual(page.position, Position(page.stable))
        for most, number, reads in ((3 * size, 3, 3), (3 * size - 1, 2, 3), (1, 1, 1), (0, 1, 1)):
            del self.store.merges[:]
            page = self.page(attrs.evolve(ALL, max_bytes=most))
            self.assertEqual(len(self.store.merges), reads)
            self.assertEqual(ids_of(page), ids[:number], most)
            self.assertFalse(page.over)
            self.assertEqual(page.position, Position(ids[number - 1], 1 + (number - 1) % 3))

    def test_the_newest_first(self) -> None:
        size = SLICE_BYTES // 2 + 1
        ids = self.put(*[NewMessage(1, Content(b"x" * size), 60) for _ in range(4)])
        asked = attrs.evolve(ALL, descending=True, max_bytes=3 * size)
        page = self.page(asked)
        self.assertEqual(ids_of(page), ids[:0:-1])
        self.assertEqual((page.position, page.over), (Position(ids[1], 1), False))
        page = self.page(attrs.evolve(asked, upper=page.position))
        self.assertEqual((ids_of(page), page.over), (ids[:1], True))

    def test_the_limit_holds_over_all_slices(self) -> None:
        size = SLICE_BYTES // 2 + 1
        self.put(*[NewMessage(1, Content(b"x" * size), 60) for _ in range(5)])
        page = self.page(attrs.evolve(ALL, limit=3, max_bytes=16 << 20))
        self.assertEqual((len(ids_of(page)), page.over), (3, False))
        self.put(*[NewMessage(2, Content(b"x"), 60) for _ in range(2 * SLICE_ROWS)])
        page = self.page(attrs.evolve(ALL, partitions=(2,), limit=SLICE_ROWS + 7))
        self.assertEqual((len(page.messages), page.later, page.over), (SLICE_ROWS + 7, (), False))

    def test_no_more_than_a_slice_is_kept(self) -> None:
        """Of what a page has beyond it, only the addresses are kept, in portions that fit in a slice each."""
        small, large = SLICE_BYTES // 4, SLICE_BYTES // 2 + 1
        self.put(*[NewMessage(1, Content(b"x" * size), 60) for size in (small, small, small, large, small, large)])
        for partitions in ((1,), (1, 2)):
            page = self.page(attrs.evolve(ALL, partitions=partitions, max_bytes=16 << 20))
            self.assertLessEqual(sum(len(message.content.body) for message in page.messages), SLICE_BYTES)
            sizes = [len(some) for some in (page.messages, *page.later)]
            self.assertEqual(sizes, [3, 2, 1])
            self.assertEqual(len(set(ids_of(page))), 6)

    def expired(self, number: int) -> None:
        self.put(*[NewMessage(1, Content(b""), 1) for _ in range(number)])

    def test_what_has_expired_is_passed_over(self) -> None:
        self.expired(3 * SLICE_ROWS)
        self.put(NewMessage(1, Content(b"a"), 60))
        self.store._data.now = lambda: self.clock.seconds() + 1
        page = self.page()
        self.assertEqual((bodies(page), page.over, len(self.store.merges)), ([b"a"], True, 4))

    def test_an_end_is_made_of_it(self) -> None:
        """The page is empty and says that there is more; whoever goes on comes to it."""
        self.patch(pages, "MAX_SLICES", 2)
        self.expired(3 * SLICE_ROWS)
        self.put(NewMessage(1, Content(b"a"), 60))
        self.store._data.now = lambda: self.clock.seconds() + 1
        page = self.page()
        self.assertEqual((bodies(page), page.over, len(self.store.merges)), ([], False, 2))
        self.assertEqual(bodies(self.page(self.after(page))), [b"a"])

    def test_a_large_one_after_small_ones_waits_for_the_next_page(self) -> None:
        small, large = self.put(NewMessage(1, Content(b"x"), 60), NewMessage(1, Content(b"y" * 100), 60))
        page = self.page(attrs.evolve(ALL, max_bytes=50))
        self.assertEqual((ids_of(page), page.over), ((small,), False))
        page = self.page(self.after(page, attrs.evolve(ALL, max_bytes=50)))
        self.assertEqual((ids_of(page), page.over), ((large,), True))

    def test_what_is_not_stable_comes_again(self) -> None:
        """A page that shows it goes on at the stable time, over several slices too."""
        ids = tuple(make(Ticks(number), 0, 1) for number in range(1, 6))
        stable = successor(ids[1])

        def read_merged(queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
            """One message at a time; those from the third on are not stable."""
            asked.append(merge)
            left = [id for id in ids if merge.lower < Position(id, 1)]
            if not left:
                return succeed(MergeSlice((), max(merge.lower, Position(stable)), True, stable))
            position = max(merge.lower, min(Position(left[0], 1), Position(stable)))
            message = Message(1, left[0], Content(b"x"), Ticks(0))
            return succeed(MergeSlice((message,), position, len(left) == 1, stable))

        asked: list[Merge] = []
        self.store.read_merged = read_merged  # type: ignore[method-assign]
        page = self.page(attrs.evolve(ALL, fresh=True))
        self.assertEqual(ids_of(page), ids)
        self.assertEqual((page.position, page.over), (Position(stable), True))
        self.assertEqual(len(asked), 5)
        page = self.page(attrs.evolve(ALL, fresh=True, limit=2))
        self.assertEqual((page.position, page.over), (Position(ids[1], 1), False))
        page = self.page(attrs.evolve(ALL, fresh=True, limit=4))
        self.assertEqual((len(page.messages), page.position, page.over), (4, Position(stable), False))

    def test_a_store_that_does_not_come_on(self) -> None:
        """It is not asked for ever."""
        answer = MergeSlice((), ALL.lower, False, HIGHEST)
        asked: list[Merge] = []

        def read_merged(queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
            asked.append(merge)
            return succeed(answer)

        self.store.read_merged = read_merged  # type: ignore[method-assign]
        self.assertEqual(self.page(), answer)
        self.assertEqual(len(asked), 1)

    def test_on_whose_word(self) -> None:
        """As the queue's consistency has it, of an application that is known."""
        acks: list[Ack] = []
        merge = self.store.read_merged

        def noting(queue: Queue, asked: Merge, ack: Ack) -> Deferred[MergeSlice]:
            acks.append(ack)
            return merge(queue, asked, ack)

        self.store.read_merged = noting  # type: ignore[method-assign, assignment]
        weak = self.successResultOf(self.directory.change(self.queue, QueueChanges(consistency=Consistency.WEAK)))
        for queue in (self.queue, weak):
            self.successResultOf(Deferred.fromCoroutine(self.exchange.page(queue, ALL, 0)))
        self.assertEqual(acks, [Ack.MAJORITY, Ack.ONE])
        unknown = attrs.evolve(self.queue, application="b")
        asked = Deferred.fromCoroutine(self.exchange.page(unknown, ALL, 5))
        self.failureResultOf(asked, NoSuchApplication)
        self.assert_nothing_left()


class WaitingTests(PageTestCase):
    """A reader at the end of the log."""

    def test_something_is_there(self) -> None:
        self.put(NewMessage(1, Content(b"a"), 60))
        self.assertEqual(bodies(self.successResultOf(self.wait())), [b"a"])
        self.assert_nothing_left()

    def test_nothing_comes(self) -> None:
        self.put(NewMessage(1, Content(b"a"), 60))
        page = self.page()
        waiting = self.wait(self.after(page), 5)
        self.clock.pump([1.0] * 4 + [0.75])
        self.assertNoResult(waiting)
        self.clock.advance(0.25)
        empty = self.successResultOf(waiting)
        self.assertEqual((bodies(empty), empty.over), ([], True))
        self.assertEqual((empty.position, empty.stable), (page.position, page.stable))
        self.assert_nothing_left()

    def test_an_idle_one_reads_once(self) -> None:
        waiting = self.wait()
        self.clock.pump([1.0] * 19)
        self.assertEqual(len(self.store.merges), 1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        self.clock.advance(1)
        self.successResultOf(waiting)
        self.assertEqual(len(self.store.merges), 1)

    def test_what_is_written(self) -> None:
        """It is shown at once, and only that."""
        self.put(NewMessage(1, Content(b"there"), 60))
        once = Once(b"k" * 32, b"d" * 32, "", 60)
        draft = Draft(Content(b"x"), 60, 2)
        writes: Sequence[Callable[[], Deferred[Any]]] = (
            lambda: self.exchange.append(self.queue, [draft]),
            lambda: self.exchange.append_once(self.queue, [draft], once),
        )
        for write in writes:
            waiting = self.wait(self.after(self.page()))
            self.successResultOf(write())
            self.assertNoResult(waiting)
            self.clock.advance(0)
            self.assertEqual(bodies(self.successResultOf(waiting)), [b"x"])
        self.assert_nothing_left()

    def test_what_is_put_for_now(self) -> None:
        """It is shown when its time comes."""
        id = make(Ticks(from_seconds(self.clock.seconds() + 0.25)), 1, 1)
        waiting = self.wait()
        self.successResultOf(self.exchange.put(self.queue, Address(1, id), Content(b"x"), 60, ANYWAY))
        self.clock.pump([0, 0.125, 0.0625])
        self.assertNoResult(waiting)
        self.clock.pump([0.0625, 0])
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"x"])
        self.assert_nothing_left()

    def test_what_is_put_into_the_past(self) -> None:
        """Who waits from the oldest on is shown it."""
        id = make(from_seconds(self.clock.seconds() - 5), 1, 1)
        waiting = self.wait()
        self.successResultOf(self.exchange.replace(self.queue, [Address(3, id)], Content(b"x"), 60))
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"x"])
        self.assert_nothing_left()

    def test_a_write_whose_client_has_gone(self) -> None:
        waiting = self.wait()
        self.store.held = Deferred()
        writing = self.write(b"a")
        writing.cancel()
        self.failureResultOf(writing, CancelledError)
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.store.held.callback(None)
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"a"])

    def test_what_falls_due(self) -> None:
        """At its time, in the log where its time is, and with it what came meanwhile to other partitions."""
        self.successResultOf(self.write(b"late", 2, delay=5))
        self.successResultOf(self.write(b"later", 3, delay=9))
        waiting = self.wait(attrs.evolve(ALL, partitions=(2, 3)))
        self.successResultOf(self.write(b"delayed meanwhile", 2, delay=30))
        self.clock.pump([1.0] * 4 + [0.99])
        self.assertNoResult(waiting)
        reads = len(self.store.merges)
        self.clock.advance(0.02)
        self.clock.advance(0)
        page = self.successResultOf(waiting)
        self.assertEqual(bodies(page), [b"late"])
        self.assertEqual(len(self.store.merges), reads + 1)
        waiting = self.wait(self.after(page))
        self.clock.advance(4)
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"later"])
        self.assert_nothing_left()

    def test_other_partitions_and_queues(self) -> None:
        """They cost it no read."""
        waiting = self.wait(Merge((1, 2)))
        other = self.successResultOf(self.directory.create("a", "other", QueueChanges()))[0]
        self.successResultOf(self.write(b"x", 3))
        self.successResultOf(self.write(b"x", 1, queue=other))
        self.successResultOf(self.write(b"x", 1, delay=9))
        draft, once = Draft(Content(b"x"), 60, 3), Once(b"k" * 32, b"d" * 32, "", 60)
        self.successResultOf(self.exchange.append_once(self.queue, [draft], once))
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.assertEqual(len(self.store.merges), 1)
        self.successResultOf(self.write(b"a", 2))
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"a"])

    def test_a_store_in_which_others_write(self) -> None:
        """It is asked every second, for as little as can be, and from where the log was looked at on."""
        waits = Waits(self.clock, lambda arrived: 1.0)
        self.exchange = attrs.evolve(self.exchange, waits=waits)
        for fresh in (False, True):
            stable = self.page().stable
            waiting = self.wait(attrs.evolve(ALL, lower=Position(stable), fresh=fresh))
            del self.store.merges[:]
            self.clock.pump([1.0] * 3)
            asked = Merge(ALL.partitions, Position(stable), limit=1, max_bytes=0, fresh=fresh)
            self.assertEqual(self.store.merges, [asked] * 3)
            self.put(NewMessage(3, Content(b"a" * 100), 60))
            self.clock.advance(0.5)
            self.assertNoResult(waiting)
            self.clock.pump([0.5, 0])
            self.assertEqual(bodies(self.successResultOf(waiting)), [b"a" * 100])
        waiting = self.wait(attrs.evolve(ALL, partitions=(1, 2)))
        self.clock.advance(1)
        self.assertEqual(self.store.merges[-1].lower, Position(self.page().stable))
        self.clock.pump([1.0] * 19)
        self.successResultOf(waiting)
        self.assert_nothing_left()

    def test_what_comes_between_its_read_and_its_waiting(self) -> None:
        """The store answers late, with what it was before."""
        merge, late = self.store.read_merged, Deferred[None]()

        def slow(queue: Queue, asked: Merge, ack: Ack) -> Deferred[MergeSlice]:
            found = merge(queue, asked, ack)
            return late.addCallback(lambda _: found)

        self.store.read_merged = slow  # type: ignore[method-assign, assignment]
        waiting = self.wait()
        self.successResultOf(self.write(b"a"))
        self.clock.advance(0)
        self.store.read_merged = merge  # type: ignore[method-assign]
        late.callback(None)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"a"])

    def test_woken_for_nothing(self) -> None:
        """It rests a moment, goes on waiting from where it came to, and ends at its deadline."""
        waiting = self.wait(seconds=5)
        for _ in range(50):
            self.waits.wake(self.queue.incarnation)
            self.clock.advance(0.01)
        self.assertNoResult(waiting)
        self.assertLess(len(self.store.merges), 8)
        self.successResultOf(self.write(b"elsewhere", 2, queue=self.other()))
        self.waits.wake(self.queue.incarnation)
        self.clock.pump([0.0, 0.1, 0.1])
        moved = self.store.merges[-1].lower
        self.assertGreater(moved, ALL.lower)
        self.clock.pump([1.0] * 5)
        empty = self.successResultOf(waiting)
        self.assertEqual((bodies(empty), empty.over), ([], True))
        self.assertGreaterEqual(empty.position, moved)
        self.successResultOf(self.write(b"a"))
        self.assertEqual(bodies(self.page(self.after(empty))), [b"a"])
        self.assert_nothing_left()

    def other(self) -> Queue:
        return self.successResultOf(self.directory.create("a", "other", QueueChanges(partitions=3)))[0]

    def test_a_range_that_is_over(self) -> None:
        """Nothing can come any more, so it does not wait."""
        self.put(NewMessage(1, Content(b"a"), 60))
        stable = self.page().stable
        past = attrs.evolve(ALL, lower=Position(stable), upper=Position(stable))
        self.assertEqual(bodies(self.successResultOf(self.wait(past))), [])
        waiting = self.wait(attrs.evolve(past, upper=Position(upper_bound(from_seconds(self.clock.seconds() + 3)))))
        self.assertNoResult(waiting)
        self.clock.advance(2)
        self.successResultOf(self.write(b"b"))
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"b"])
        self.assert_nothing_left()

    def test_the_newest_first(self) -> None:
        waiting = self.wait(attrs.evolve(ALL, descending=True, limit=1))
        self.assertNoResult(waiting)
        self.successResultOf(self.write(b"a"))
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"a"])

    def test_more_follows_an_empty_page(self) -> None:
        """It is answered at once: much has expired, and what follows is not known yet."""
        self.patch(pages, "MAX_SLICES", 1)
        self.put(*[NewMessage(1, Content(b""), 1) for _ in range(SLICE_ROWS + 1)])
        self.store._data.now = lambda: self.clock.seconds() + 1
        page = self.successResultOf(self.wait())
        self.assertEqual((bodies(page), page.over), ([], False))
        self.assert_nothing_left()

    def test_hung_up(self) -> None:
        """While it waits, while it rests, or while it reads: everything is free."""
        waiting = self.wait()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assert_nothing_left()
        waiting = self.wait()
        self.waits.wake(self.queue.incarnation)
        self.clock.advance(0)
        self.assertEqual(len(self.store.merges), 3)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assert_nothing_left()
        cancelled: list[None] = []
        self.store.read_merged = lambda *asked: Deferred(lambda _: cancelled.append(None))  # type: ignore[method-assign]
        waiting = self.wait()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(cancelled, [None])
        self.assert_nothing_left()

    def test_a_store_that_fails(self) -> None:
        """At the first read, or at a later one."""
        waiting = self.wait()
        self.store.read_merged = lambda *asked: fail(Unavailable("gone"))  # type: ignore[method-assign]
        self.failureResultOf(self.wait(), Unavailable)
        self.assertNoResult(waiting)
        self.waits.wake(self.queue.incarnation)
        self.clock.advance(0)
        self.failureResultOf(waiting, Unavailable)
        self.assert_nothing_left()

    def test_a_queue_that_is_deleted(self) -> None:
        """It is told nothing more, and ends at its deadline."""
        waiting = self.wait(seconds=5)
        self.successResultOf(self.directory.delete(self.queue))
        anew = self.make(partitions=3)
        self.successResultOf(self.write(b"a", queue=anew))
        self.clock.pump([1.0] * 5)
        self.assertEqual(bodies(self.successResultOf(waiting)), [])
        self.assert_nothing_left()

    def test_many(self) -> None:
        """Each gets what is new to it, in one notification."""
        readers = [self.wait(attrs.evolve(ALL, partitions=(1 + number % 3,))) for number in range(300)]
        writes: Sequence[Deferred[Any]] = [self.write(b"%d" % number, number) for number in (1, 2)]
        for write in writes:
            self.successResultOf(write)
        self.clock.advance(0)
        for number, reader in enumerate(readers):
            if number % 3 == 2:
                self.assertNoResult(reader)
            else:
                self.assertEqual(bodies(self.successResultOf(reader)), [b"%d" % (1 + number % 3)])
        self.assertEqual(self.waits.waiting, 100)
        self.assertEqual(len(self.store.merges), 500)
