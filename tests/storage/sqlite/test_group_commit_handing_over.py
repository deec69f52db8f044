"""When jobs are handed over to the thread that runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.storage.sqlite.group_commit import AGAIN, SHARE, GroupCommit, Job, Threads
from tests.storage.sqlite.test_group_commit import Due, Worker, note


class HandingOverTests(SynchronousTestCase):
    """When a thread is given what has gathered: the thread and the reactor are the test."""

    def setUp(self) -> None:
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.worker = Worker()
        self.now = 0.0
        self.took = 0.001
        runner = Threads(lambda work: None, lambda *call: self.calls.append(call), self.call_later)
        self.batch: GroupCommit[Worker] = GroupCommit(runner, 99, lambda: self.now)
        self.batch.open(self.work, self.worker.rest)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Due:
        self.timers.append((seconds, call))
        return Due(self.timers, (seconds, call))

    def work(self, jobs: Sequence[Job[Worker]]) -> None:
        self.now += self.took
        self.worker.work(jobs)

    def submit(self, texts: str) -> None:
        for text in texts:
            self.batch.submit(note, text)

    @property
    def handed_over(self) -> int:
        return self.batch._waiting.qsize()

    @property
    def patience(self) -> list[float]:
        """The timers that are set."""
        return [seconds for seconds, _ in self.timers]

    def tick(self) -> None:
        """The next timer's time has come."""
        self.timers.pop(0)[1]()

    def run_pile(self) -> None:
        """The thread takes what was handed over, and the reactor answers it."""
        self.batch._take(self.batch._waiting.get())
        self.answer()

    def answer(self) -> None:
        while self.calls:
            function, *arguments = self.calls.pop(0)
            function(*arguments)

    def test_the_end_of_the_turn(self) -> None:
        self.submit("abc")
        self.assertEqual((self.patience, self.handed_over), ([0], 0))
        self.tick()
        self.run_pile()
        self.submit("d")
        self.assertEqual((self.patience, self.handed_over), ([0.001 * SHARE], 0), "three were answered together")

    def test_one_that_is_alone(self) -> None:
        """The first is not known to be: whether others come with it shows once it was answered alone."""
        self.submit("a")
        self.tick()
        self.run_pile()
        self.submit("b")
        self.assertEqual((self.patience, self.handed_over), ([], 1))
        self.submit("c")  # which comes while that one is under way
        self.assertEqual((self.patience, self.handed_over), ([0.001], 1))
        self.tick()
        self.run_pile()
        self.assertEqual(self.worker.batches, [1, 2])
        closed = self.batch.close(lambda: None)
        self.assertEqual(self.patience, [0])
        self.tick()
        self.run_pile()
        self.successResultOf(closed)

    def test_one_that_is_held_for_others(self) -> None:
        self.submit("a")
        self.tick()
        self.run_pile()
        self.batch.hold()
        self.submit("b")
        self.assertEqual((self.patience, self.handed_over), ([0], 0))
        self.submit("c")
        self.tick()
        self.run_pile()
        self.assertEqual(self.worker.batches, [1, 2])

    def test_the_last_one_expected_is_held_for_others(self) -> None:
        self.slow()
        self.submit("de")
        self.batch.hold()
        self.submit("f")
        self.assertEqual((self.patience, self.handed_over), ([0.1 * SHARE, 0], 0), "until the end of the turn")
        self.submit("g")
        self.timers.pop()[1]()
        self.assertEqual((self.patience, self.handed_over), ([], 1))
        self.run_pile()
        self.assertEqual(self.worker.batches, [3, 4])

    def test_one_that_is_held_and_those_that_follow_it(self) -> None:
        """A held one and the one that follows it are as many as were expected: they do not wait for the disk's time."""
        self.took = 0.1
        self.submit("ab")
        self.tick()
        self.run_pile()
        self.batch.hold()
        self.submit("c")
        self.assertEqual((self.patience, self.handed_over), ([0.1 * SHARE], 0))
        self.submit("d")
        self.assertEqual((self.patience, self.handed_over), ([0.1 * SHARE, 0], 0))
        self.timers.pop()[1]()
        self.assertEqual((self.patience, self.handed_over), ([], 1))
        self.run_pile()
        self.assertEqual(self.worker.batches, [2, 2])

    def slow(self) -> None:
        """Three jobs on a slow disk, answered."""
        self.took = 0.1
        self.submit("abc")
        self.tick()
        self.run_pile()

    def test_a_slow_one_waits_for_as_many_as_were_answered(self) -> None:
        self.slow()
        self.submit("de")
        self.assertEqual((self.patience, self.handed_over), ([0.1 * SHARE], 0))
        self.submit("f")
        self.assertEqual(self.handed_over, 1)
        self.run_pile()
        self.assertEqual(self.worker.batches, [3, 3])

    def test_a_slow_one_does_not_wait_for_long(self) -> None:
        self.slow()
        self.submit("d")
        self.tick()
        self.assertEqual(self.handed_over, 1)
        self.run_pile()
        self.submit("e")
        self.assertEqual((self.patience, self.handed_over), ([], 1), "now it is alone")

    def test_what_came_meanwhile_waits_for_those_that_were_under_way(self) -> None:
        self.slow()
        self.submit("def")
        self.batch._take(self.batch._waiting.get())
        self.timers.clear()
        self.submit("g")
        self.assertEqual((self.patience, self.handed_over), ([0.1], 0), "until the others are answered")
        self.answer()
        self.assertEqual((self.patience, self.handed_over), ([0.1 * SHARE], 0))
        self.submit("hi")
        self.assertEqual(self.handed_over, 0)
        self.submit("j")
        self.assertEqual(self.handed_over, 1)
        self.run_pile()
        self.assertEqual(self.worker.batches, [3, 3, 4])

    def test_two_who_take_turns_come_together(self) -> None:
        self.took = 0.1
        self.submit("a")
        self.tick()
        self.batch._take(self.batch._waiting.get())
        self.submit("b")
        self.answer()
        self.assertEqual((self.patience, self.handed_over), ([0.1 * SHARE], 0))
        self.submit("c")
        self.assertEqual(self.handed_over, 1)
        self.run_pile()
        self.assertEqual(self.worker.batches, [1, 2])

    def test_beside_a_job_that_is_repeated_none_waits(self) -> None:
        """Its next batch begins at once, and would be over before those that wait are there."""
        self.slow()
        self.batch.submit(lambda worker: AGAIN)
        self.tick()
        self.batch._take(self.batch._waiting.get())
        self.submit("d")
        self.assertEqual((self.patience, self.handed_over), ([0], 1), "one is the job that is repeated")
        self.tick()
        self.answer()
        self.assertEqual(self.handed_over, 2)

    def test_if_more_came_meanwhile_they_go_on_at_once(self) -> None:
        self.slow()
        self.submit("def")
        self.batch._take(self.batch._waiting.get())
        self.submit("ghij")
        self.answer()
        self.assertEqual(self.handed_over, 1)
        self.run_pile()
        self.assertEqual(self.worker.batches, [3, 3, 4])

    def test_what_was_handed_over_leaves_no_timer(self) -> None:
        self.slow()
        self.submit("def")
        self.assertEqual((self.patience, self.handed_over), ([], 1), "as many as were expected")
        self.batch._take(self.batch._waiting.get())
        self.submit("ghij")
        self.assertEqual(self.patience, [0.1])
        self.answer()
        self.assertEqual((self.patience, self.handed_over), ([], 1), "more came meanwhile")

    def test_the_end_waits_for_nobody(self) -> None:
        self.slow()
        closed = self.batch.close(lambda: None)
        self.assertEqual(self.patience, [0])
        self.tick()
        self.run_pile()
        self.successResultOf(closed)
