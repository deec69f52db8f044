"""Write batches: which jobs are taken together, jobs that fail, and the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.storage.sqlite import single_statement
from queuey.storage.sqlite.chunks import SIZES, parts
from queuey.storage.sqlite.database.files import PREPARED
from queuey.storage.sqlite.group_commit import AGAIN, NOT_YET, Again, GroupCommit, Job, Threads
from queuey.storage.sqlite.writing.pending_rows import INSERT, REMEMBER
from tests.storage.sqlite.runners import Inline, Manual


class Worker:
    """Notes the write batches that it was given; each job may fail on its own."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.rested: list[list[str]] = []
        self.done: list[str] = []
        self.broken = False

    def work(self, jobs: Sequence[Job[Worker]]) -> None:
        self.batches.append(len(jobs))
        if self.broken:
            raise RuntimeError("broken")
        for job in jobs:
            job.error = None
            try:
                job.run(self)
            except ValueError as error:
                job.error = error

    def rest(self) -> None:
        self.rested.append(list(self.done))


def note(worker: Worker, text: str) -> str:
    worker.done.append(text)
    return text.upper()


def refuse(worker: Worker) -> None:
    raise ValueError("no")


def break_down() -> None:
    raise ZeroDivisionError


def thrice(worker: Worker, left: list[int]) -> Again | str:
    worker.done.append(f"turn {len(left)}")
    left.pop()
    return AGAIN if left else "over"


class Watched(GroupCommit[Worker]):
    """Notes when it hands over."""

    def __init__(self, runner: Manual, events: list[str]) -> None:
        super().__init__(runner, 100)
        self._events = events

    def hand_over(self) -> None:
        self._events.append("handed over")
        super().hand_over()


@attrs.frozen
class Due:
    """One of the timers that are set."""

    _timers: list[tuple[float, Callable[[], None]]]
    _timer: tuple[float, Callable[[], None]]

    def active(self) -> bool:
        return self._timer in self._timers

    def cancel(self) -> None:
        self._timers.remove(self._timer)


class PileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.worker = Worker()
        self.runner = Manual()
        self.batch = self.make()
        self.runner.held = True

    def make(self, most: int = 100) -> GroupCommit[Worker]:
        batch: GroupCommit[Worker] = GroupCommit(self.runner, most)
        batch.open(self.worker.work, self.worker.rest)
        return batch

    def take(self) -> None:
        self.runner.take()

    def test_all_that_waits_is_one_pile(self) -> None:
        answers = [self.batch.submit(note, text) for text in "abc"]
        self.assertNoResult(answers[0])
        self.take()
        self.assertEqual([self.successResultOf(answer) for answer in answers], ["A", "B", "C"])
        self.assertEqual(self.worker.batches, [3])

    def test_results_are_not_kept(self) -> None:
        """The worker has its last jobs until the next batch, without what they were answered with."""
        jobs: list[Job[Worker]] = []

        def work(batch: Sequence[Job[Worker]]) -> None:
            jobs.extend(batch)
            self.worker.work(batch)

        batch: GroupCommit[Worker] = GroupCommit(self.runner, 100)
        batch.open(work, self.worker.rest)
        answer = batch.submit(note, "a")
        self.take()
        self.assertEqual(self.successResultOf(answer), "A")
        self.assertEqual([job.result for job in jobs], [None])

    def test_answers_are_given_before_another_pile_if_few_gathered(self) -> None:
        events: list[str] = []
        batch = Watched(self.runner, events)
        batch.open(self.worker.work, self.worker.rest)
        batch.submit(note, "a").addCallback(events.append)
        self.take()
        self.assertEqual(events, ["handed over", "A"])  # to take the write batch; while it ran, no job came

    def test_a_lone_job_waits_for_nobody(self) -> None:
        self.runner.held = False
        self.assertEqual(self.successResultOf(self.batch.submit(note, "a")), "A")

    def test_no_more_than_so_many(self) -> None:
        batch = self.make(most=2)
        answers = [batch.submit(note, text) for text in "abcde"]
        self.take()
        self.assertEqual([self.successResultOf(answer) for answer in answers], ["A", "B", "C", "D", "E"])
        self.assertEqual(self.worker.batches, [2, 2, 1])

    def test_one_that_fails_harms_no_other(self) -> None:
        first, bad, last = self.batch.submit(note, "a"), self.batch.submit(refuse), self.batch.submit(note, text="b")
        self.take()
        self.assertEqual([self.successResultOf(first), self.successResultOf(last)], ["A", "B"])
        self.failureResultOf(bad, ValueError)

    def test_a_worker_that_breaks_leaves_nobody_waiting(self) -> None:
        self.worker.broken = True
        answers = [self.batch.submit(note, text) for text in "ab"]
        self.take()
        for answer in answers:
            self.failureResultOf(answer, RuntimeError)
        self.worker.broken = False
        self.assertEqual(self.successResultOf(self.batch.submit(note, "c")), "C")

    def test_a_job_with_more_to_do_goes_behind_whoever_waits(self) -> None:
        long = self.batch.submit(thrice, [1, 2, 3])
        self.batch.submit(note, "a").addCallback(lambda _: self.batch.submit(note, "b"))
        self.take()
        self.assertEqual(self.successResultOf(long), "over")
        self.assertEqual(self.worker.done, ["turn 3", "a", "turn 2", "b", "turn 1"])

    def test_a_job_that_has_changed_nothing_yet(self) -> None:
        """If it fails later, nothing is stored of it."""
        results = [NOT_YET, NOT_YET, AGAIN, NOT_YET, "done"]
        seen: list[bool] = []

        def work(jobs: Sequence[Job[Worker]]) -> None:
            for job in jobs:
                seen.append(job.repeated)
                job.result = results.pop(0)

        self.batch = GroupCommit(self.runner, 100)
        self.batch.open(work, self.worker.rest)
        job = self.batch.submit(note, "x")
        self.take()
        self.assertEqual(self.successResultOf(job), "done")
        self.assertEqual(seen, [False, False, False, True, True])

    def test_rest_comes_after_the_answers(self) -> None:
        self.batch.submit(note, "a").addCallback(lambda _: self.worker.done.append("answered"))
        self.take()
        self.assertEqual(self.worker.rested, [["a", "answered"]])

    def test_a_rest_that_breaks_harms_nothing(self) -> None:
        batch: GroupCommit[Worker] = GroupCommit(Inline(), 9)
        batch.open(self.worker.work, break_down)
        for text in "ab":
            self.assertEqual(self.successResultOf(batch.submit(note, text)), text.upper())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_a_cancelled_write_is_done_all_the_same(self) -> None:
        answer = self.batch.submit(note, "a")
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.take()
        self.assertEqual(self.worker.done, ["a"])

    def test_closing_finishes_what_was_accepted(self) -> None:
        long, answer = self.batch.submit(thrice, [1, 2, 3]), self.batch.submit(note, "a")
        closed = self.batch.close(lambda: self.worker.done.append("finish"))
        late = self.batch.submit(note, "late")
        self.assertNoResult(closed)
        self.take()
        self.assertEqual([self.successResultOf(long), self.successResultOf(answer)], ["over", "A"])
        self.failureResultOf(late, Unavailable)
        self.successResultOf(closed)
        self.assertEqual(self.worker.done, ["turn 3", "a", "turn 2", "turn 1", "finish"])

    def test_closing_with_more_than_one_pile_left(self) -> None:
        batch = self.make(most=2)
        long, answers = batch.submit(thrice, [1, 2, 3]), [batch.submit(note, text) for text in "abcd"]
        closed = batch.close(lambda: self.worker.done.append("finish"))
        self.take()
        self.assertEqual(self.successResultOf(long), "over")
        self.assertEqual([self.successResultOf(answer) for answer in answers], ["A", "B", "C", "D"])
        self.successResultOf(closed)
        self.assertEqual(self.worker.done[-1], "finish")

    def test_closing_that_fails_says_so(self) -> None:
        closed = self.batch.close(lambda: refuse(self.worker))
        self.take()
        self.failureResultOf(closed, ValueError)

    def test_closing_after_something_else(self) -> None:
        """What was accepted is worked off meanwhile, nothing new is taken, and the last act comes after it."""
        for result in (None, Failure(ValueError())):
            batch, other = self.make(most=2), Deferred[Any]()
            answer = batch.submit(note, "a")
            closed = batch.close(lambda: self.worker.done.append("finish"), other)
            self.failureResultOf(batch.submit(note, "late"), Unavailable)
            self.take()
            self.assertEqual(self.successResultOf(answer), "A")
            self.assertNoResult(closed)
            other.callback(result)
            self.take()
            self.successResultOf(closed)
            other.addErrback(lambda failure: failure.trap(ValueError))
        self.assertEqual(self.worker.done, ["a", "finish"] * 2)

    def test_before_and_after(self) -> None:
        batch: GroupCommit[Worker] = GroupCommit(self.runner, 9)
        self.failureResultOf(batch.submit(note, "a"), Unavailable)
        self.successResultOf(batch.close(lambda: None))

    def test_closing_twice(self) -> None:
        self.batch.close(lambda: None)
        self.successResultOf(self.batch.close(lambda: None))


class ThreadsTests(SynchronousTestCase):
    """The runner with threads, its thread being the test."""

    def test_the_thread_works_until_the_end(self) -> None:
        started: list[Callable[[], None]] = []
        calls: list[tuple[Any, ...]] = []
        worker = Worker()

        def at_once(seconds: float, call: Callable[[], None]) -> Due:
            call()
            return Due([], (seconds, call))

        batch: GroupCommit[Worker] = GroupCommit(Threads(started.append, lambda *call: calls.append(call), at_once), 9)
        batch.open(worker.work, worker.rest)
        answers = [batch.submit(note, text) for text in "ab"]
        closed = batch.close(lambda: None)
        (thread,) = started
        thread()
        self.assertEqual((worker.batches, worker.done), ([2], ["a", "b"]))
        for answer in (*answers, closed):
            self.assertNoResult(answer)
        for function, *arguments in calls:
            function(*arguments)
        self.assertEqual([self.successResultOf(answer) for answer in answers], ["A", "B"])
        self.successResultOf(closed)


class PartsTests(SynchronousTestCase):
    def test_all_rows_and_each_once(self) -> None:
        for rows in (*range(200), 511, 512, 1000, 3200):
            place = 0
            for size, start in parts(rows):
                self.assertEqual(start, place)
                self.assertIn(size, SIZES)
                place += size
            self.assertEqual(place, rows)

    def test_how_many_statements(self) -> None:
        most = {rows: len(list(parts(rows))) for rows in range(1, 1025)}
        self.assertEqual({most[rows] for rows in range(1, 17)}, {1})
        self.assertLessEqual(max(most[rows] for rows in range(1, 41)), 2)
        self.assertLessEqual(max(most.values()), 8)

    def test_statements_stay_prepared(self) -> None:
        """A longer statement is prepared again each time by a connection."""
        connection = apsw.Connection(":memory:", statementcachesize=PREPARED)
        longest = max(
            len(text) for statements in (INSERT, REMEMBER, single_statement._PUT) for text in statements.values()
        )
        self.assertLess(longest, connection.cache_stats(False)["max_cacheable_bytes"])
