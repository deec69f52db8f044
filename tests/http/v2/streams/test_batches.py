"""How the lines of a stream become batches, one after another."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import deferred
from queuey.http.v2.streams.batches import MAX_BYTES, MAX_KEYS, Batches
from queuey.http.v2.streams.lines import MAX_LINES, Line, PlainLines, joined
from queuey.model.messages.batch import Drafts
from queuey.model.messages.message import Content, Draft
from queuey.model.messages.once import Once


def lines(first: int, count: int, size: int = 10) -> list[Line]:
    return [Line(first + place, size, Draft(Content(b""), 60)) for place in range(count)]


def keyed(number: int, key: bytes) -> Line:
    return Line(number, 10, Draft(Content(b""), 60), Once(key, b"", "", 60))


def plain(first: int, ttl: int) -> PlainLines:
    return PlainLines(range(first, first + 2), [10, 11], Drafts([b"a", b"b"], ttl))


class JoinedTests(SynchronousTestCase):
    """Lines that came in portions are the same lines together."""

    def check(self, *portions: Sequence[Line]) -> Sequence[Line]:
        found = joined(portions)
        self.assertEqual(list(found), [line for portion in portions for line in portion])
        self.assertEqual(list(found), [found[place] for place in range(len(found))])
        return found

    def test_columns(self) -> None:
        self.assertIsInstance(self.check(plain(1, 5), plain(7, 5)), PlainLines)

    def test_other_rules_meanwhile(self) -> None:
        """Each is a message by the rules of when it came."""
        self.assertIsInstance(self.check(plain(1, 5), plain(3, 6)), list)

    def test_others_beside_them(self) -> None:
        self.check(plain(1, 5), lines(3, 2), plain(5, 5))


class BatchesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.begun: list[list[int]] = []
        self.working: list[Deferred[None]] = []
        self.ended = 0
        self.batches = Batches(self.work, self.end)

    @deferred
    async def work(self, batch: Sequence[Line]) -> None:
        self.begun.append([line.number for line in batch])
        done: Deferred[None] = Deferred()
        self.working.append(done)
        await done

    def end(self) -> None:
        self.ended += 1

    def done(self) -> None:
        self.working.pop(0).callback(None)

    def test_one_at_a_time(self) -> None:
        """What comes while a batch is worked on is the next one."""
        self.successResultOf(self.batches.put(lines(1, 2)))
        self.successResultOf(self.batches.put(lines(3, 1)))
        self.successResultOf(self.batches.put(lines(4, 2)))
        self.assertEqual([[1, 2]], self.begun)
        finished = self.batches.finish()
        self.done()
        self.assertEqual([[1, 2], [3, 4, 5]], self.begun)
        self.assertNoResult(finished)
        self.done()
        self.successResultOf(finished)
        self.successResultOf(self.batches.finish())
        self.assertEqual((0, False), (self.ended, self.batches.over))

    def test_as_many_as_one_batch_wait(self) -> None:
        """Who puts more waits for the batch before."""
        self.successResultOf(self.batches.put(lines(1, 1)))
        waiting = self.batches.put(lines(2, MAX_LINES))
        self.assertNoResult(waiting)
        self.done()
        self.successResultOf(waiting)
        self.assertEqual(MAX_LINES, len(self.begun[1]))

    def test_more_than_one_batch(self) -> None:
        """What is put at once may be several batches."""
        waiting = self.batches.put(lines(1, 3 * MAX_LINES + 1))
        self.assertNoResult(waiting)
        self.done()
        self.assertNoResult(waiting)
        self.done()
        self.successResultOf(waiting)
        self.done()
        self.assertEqual([MAX_LINES, MAX_LINES, MAX_LINES, 1], [len(batch) for batch in self.begun])

    def test_bytes(self) -> None:
        """A batch ends with the line that fills it."""
        self.batches.put(lines(1, 5, MAX_BYTES // 2 + 1))
        self.assertEqual([[1, 2]], self.begun)
        self.done()
        self.assertEqual([[1, 2], [3, 4]], self.begun)
        self.batches.put(lines(6, 1, 3 * MAX_BYTES))
        self.done()
        self.assertEqual([5, 6], self.begun[2])

    def test_as_many_bytes_as_one_batch_wait(self) -> None:
        """So it is with few lines that are large."""
        self.successResultOf(self.batches.put(lines(1, 1)))
        self.successResultOf(self.batches.put(lines(2, 1, MAX_BYTES - 1)))
        waiting = self.batches.put(lines(3, 1, 1))
        self.assertNoResult(waiting)
        self.done()
        self.successResultOf(waiting)
        self.assertEqual([2, 3], self.begun[1])

    def test_nothing(self) -> None:
        """No lines are no batch."""
        self.successResultOf(self.batches.put([]))
        self.successResultOf(self.batches.finish())
        self.assertEqual([], self.begun)

    def test_keys(self) -> None:
        """Few lines with keys are in one batch, and of those with one key only one."""
        self.batches.put([keyed(1, b"a"), *lines(2, 2), keyed(4, b"b"), keyed(5, b"a"), keyed(6, b"a")])
        self.done()
        self.done()
        self.assertEqual([[1, 2, 3, 4], [5], [6]], self.begun)
        self.done()
        self.begun.clear()
        self.batches.put([keyed(place, b"%d" % place) for place in range(MAX_KEYS + 1)])
        self.done()
        self.assertEqual([MAX_KEYS, 1], [len(batch) for batch in self.begun])

    def test_stopped(self) -> None:
        """What was begun is finished, and nothing more is begun."""
        self.batches.put(lines(1, 1))
        waiting = self.batches.put(lines(2, MAX_LINES))
        self.batches.stop()
        finished = self.batches.finish()
        self.assertNoResult(finished)
        self.done()
        self.successResultOf(finished)
        self.successResultOf(waiting)
        self.successResultOf(self.batches.put(lines(5, 1)))
        self.assertEqual(([[1]], 1), (self.begun, self.ended))

    def test_failed(self) -> None:
        """A failure ends it, and is the result for all that wait, and for those who come later."""
        self.successResultOf(self.batches.put(lines(1, 1)))
        waiting = self.batches.put(lines(2, MAX_LINES))
        self.working.pop().errback(ZeroDivisionError())
        self.failureResultOf(waiting, ZeroDivisionError)
        self.failureResultOf(self.batches.finish(), ZeroDivisionError)
        self.failureResultOf(self.batches.put(lines(2, 1)), ZeroDivisionError)
        self.assertEqual(([[1]], 1), (self.begun, self.ended))

    def test_cancelled(self) -> None:
        """Who waits may leave; the work goes on."""
        self.batches.put(lines(1, 1))
        waiting = self.batches.put(lines(2, MAX_LINES))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.done()
        self.assertEqual(2, len(self.begun))
