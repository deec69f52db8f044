"""Pages of messages: slices that become one, and readers that wait at the end of the log."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed

from queuey.core import pages
from queuey.core.queues import QueueChanges
from queuey.errors import NoSuchApplication
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Content, Draft, Message, NewMessage
from queuey.model.queues.queue import Consistency, Queue
from queuey.model.reading.window import SLICE_BYTES, SLICE_ROWS, Merge, MergeSlice, Position
from queuey.model.timeid import HIGHEST, SECOND, MessageId, Ticks, make, successor
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
        """The page is empty and says that there is more; a reader that goes on comes to it."""
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
