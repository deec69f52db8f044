"""Reads that wait for the first message of a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail

from queuey.core import pages
from queuey.core.queues import QueueChanges
from queuey.core.waiting import Waits
from queuey.errors import Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import ANYWAY, Address, Content, Draft, NewMessage
from queuey.model.messages.once import Once
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import SLICE_ROWS, Merge, MergeSlice, Position
from queuey.model.timeid import Ticks, from_seconds, make, upper_bound
from tests.core.reading.test_pages import ALL, PageTestCase, bodies


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
        """No more arrivals are reported to it, and it ends at its deadline."""
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
