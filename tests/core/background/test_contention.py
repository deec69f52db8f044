"""Changes of a value that others change too: gathered in a process, and tried for a time if others are first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.contention import ENOUGH, MAX_PATIENCE, PATIENCE, Gathered, Retries
from queuey.core.groups.group_changes import GroupChanges
from queuey.errors import StorageFull, Unavailable
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, begun

Answer = Sequence[Any] | None
"""What an attempt comes to; ``None``: another process was first."""


def late() -> Unavailable:
    """The error of a change that was tried for too long."""
    return Unavailable("Others were first.")


class GatheredTests(SynchronousTestCase):
    """Changes of one value in one process."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts: list[tuple[str, list[str], Deferred[Answer]]] = []
        self.gathered: Gathered[str, str, Any] = Gathered(Retries(self.clock, Random(1).randbytes), self.attempt, late)

    async def attempt(self, key: str, changes: Sequence[str]) -> Answer:
        answer: Deferred[Answer] = Deferred()
        self.attempts.append((key, list(changes), answer))
        return await answer

    def answer(self, answer: Callable[[list[str]], Answer] = list) -> list[str]:
        """Answer the attempt that is under way; the changes that it was about."""
        _, changes, waiting = self.attempts.pop()
        self.assertEqual(self.attempts, [])
        waiting.callback(answer(changes))
        return changes

    def test_together(self) -> None:
        """One attempt is under way at a time, and the next one is of all that came meanwhile."""
        made = [self.gathered.make("k", text) for text in "abcd"]
        self.assertEqual(self.answer(), ["a"])
        made.append(self.gathered.make("k", "e"))
        self.assertEqual(self.answer(), ["b", "c", "d"])
        self.assertEqual(self.answer(), ["e"])
        self.assertEqual([self.successResultOf(one) for one in made], [*"abcde"])
        again = self.gathered.make("k", "f")
        self.assertEqual(self.answer(), ["f"])
        self.assertEqual(self.successResultOf(again), "f")

    def test_by_keys(self) -> None:
        """Changes of different values do not wait for each other."""
        for key in "kl":
            self.gathered.make(key, "a")
        self.assertEqual([key for key, _, _ in self.attempts], [*"kl"])

    def test_one_that_fails(self) -> None:
        """The others are made."""
        self.gathered.make("k", "first")
        one, other = self.gathered.make("k", "one"), self.gathered.make("k", "other")
        self.answer()
        self.answer(lambda changes: [Failure(StorageFull("Full.")), "done"])
        self.failureResultOf(one, StorageFull)
        self.assertEqual(self.successResultOf(other), "done")

    def test_a_defect(self) -> None:
        """All of that attempt fail, and the next ones are made."""
        made = [self.gathered.make("k", text) for text in "abc"]
        _, _, waiting = self.attempts.pop()
        waiting.errback(ZeroDivisionError())
        self.failureResultOf(made[0], ZeroDivisionError)
        self.assertEqual(self.answer(), ["b", "c"])
        self.assertEqual(self.successResultOf(made[2]), "c")
        self.gathered.make("k", "d")
        self.assertEqual(self.answer(), ["d"])

    def test_another_process_is_first(self) -> None:
        """It is tried again with what has come meanwhile, after pauses that are short, and longer each time."""
        made = [self.gathered.make("k", "a")]
        pauses = []
        for number in range(12):
            self.answer(lambda changes: None)
            made.append(self.gathered.make("k", f"{number}"))
            before = self.clock.seconds()
            while not self.attempts:
                self.clock.advance(0.001)
            pauses.append(self.clock.seconds() - before)
            self.assertEqual(len(self.attempts[0][1]), len(made) - (number == 0))
        self.answer()
        for one in made:
            self.successResultOf(one)
        self.assertEqual(pauses[0], 0)
        self.assertLess(sum(pauses[:5]), 0.1)
        self.assertLess(max(pauses), 0.26)

    def test_given_up(self) -> None:
        """Each of them is tried for the same time."""
        first = self.gathered.make("k", "first")
        while self.clock.seconds() < PATIENCE - 1:
            self.answer(lambda changes: None)
            while not self.attempts:
                self.clock.advance(0.01)
        second = self.gathered.make("k", "second")
        while not first.called:
            self.answer(lambda changes: None)
            while not self.attempts:
                self.clock.advance(0.01)
        self.failureResultOf(first, Unavailable)
        self.assertLess(self.clock.seconds(), PATIENCE + 0.3)
        self.assertEqual(self.answer(), ["second"])
        self.assertEqual(self.successResultOf(second), "second")

    def lose(self, seconds: float) -> None:
        """Let the next attempt take some seconds and lose the race."""
        self.clock.pump([0.01] * 30)  # longer than any pause
        self.clock.advance(seconds)
        self.answer(lambda changes: None)

    def test_slow_attempts(self) -> None:
        """A change gets enough attempts on a machine on which each of them takes long."""
        one = self.gathered.make("k", "one")
        for _ in range(ENOUGH - 1):
            self.lose(1)
        self.assertGreater(self.clock.seconds(), 2 * PATIENCE)
        self.assertNoResult(one)
        other = self.gathered.make("k", "other")
        self.lose(1)
        self.failureResultOf(one, Unavailable)
        self.assertNoResult(other)

    def test_very_slow_attempts(self) -> None:
        """A change is given up in the end, however few attempts there were."""
        one = self.gathered.make("k", "one")
        for _ in range(3):
            self.lose(MAX_PATIENCE / 4)
        self.assertNoResult(one)
        self.lose(MAX_PATIENCE / 4)
        self.failureResultOf(one, Unavailable)

    def test_alone(self) -> None:
        """A change that is not gathered has the same limits."""
        for seconds, attempts in ((1.0, ENOUGH), (MAX_PATIENCE / 4, 4)):
            clock = Clock()
            tried = Retries(clock, Random(1).randbytes).begin(late)
            count, failed = 0, list[Failure]()
            while not failed:
                clock.advance(seconds)
                count += 1
                again = Deferred.fromCoroutine(tried.again()).addErrback(failed.append)
                clock.pump([0.01] * 30)  # longer than any pause
                self.assertTrue(again.called)
            failed[0].trap(Unavailable)
            self.assertEqual(count, attempts)

    def test_cancelled(self) -> None:
        """Its change is made all the same."""
        self.gathered.make("k", "a")
        one = self.gathered.make("k", "b")
        one.cancel()
        self.failureResultOf(one)
        self.answer()
        self.assertEqual(self.answer(), ["b"])


class GroupCrowdTests(GroupCase):
    """Clients that make and delete groups of their own on one queue."""

    def finish(self, answers: Sequence[Deferred[Any]]) -> list[Any]:
        """Let the store answer until all is done."""
        held = self.spied.states.held
        while held.waiting:
            for _ in range(len(held.waiting)):
                held.release()
        self.clock.pump([0.25] * 8)
        return [self.successResultOf(one) for one in answers]

    def test_as_one(self) -> None:
        """The index of the queue is stored a few times for all of them."""
        states = self.spied.states
        states.held.on = True
        before = states.replaces
        changes = GroupChanges(lease=7)
        names = [f"own{number:02}" for number in range(24)]
        made = [self.groups.put(self.queue, name, changes, lambda _: None) for name in names]
        groups = [group for group, made_here in self.finish(made) if made_here]
        self.assertEqual([group.name for group in groups], names)
        self.assertLessEqual(states.replaces - before, 24 + 6)
        found = self.successResultOf(self.groups.names(self.queue))
        self.assertEqual([group.name for group in found], ["g", *names])
        before = states.replaces
        self.finish([begun(self.groups.delete(self.queue, group, lambda _: None)) for group in groups])
        self.assertLessEqual(states.replaces - before, 2 * 24 + 6)
        self.assertEqual(len(self.successResultOf(self.groups.names(self.queue))), 1)

    def test_deleted_although_the_rest_cannot_be_removed(self) -> None:
        """A group that is no more is not said to be there; what is left of it is removed later."""
        for failing in (1, 2):
            group = self.make_group("own")
            states = self.spied.states
            states.failing_after, states.failing = 1, [Unavailable("Away.")] * failing
            self.successResultOf(begun(self.groups.delete(self.queue, group, lambda _: None)))
            self.assertEqual([one.name for one in self.successResultOf(self.groups.names(self.queue))], ["g"])
            states.failing = []
            self.assertEqual([one.name for one in self.successResultOf(self.groups.names(self.queue))], ["g"])
            self.assertEqual(self.successResultOf(self.queues.groups.names(self.queue.incarnation)), {"g"})

    def test_made_although_that_cannot_be_made_sure(self) -> None:
        """Once the group may be there, no answer says that nothing was done."""
        states = self.spied.states
        states.failing_after, states.failing = 2, [Unavailable("Away.")]
        error = self.failureResultOf(
            self.groups.put(self.queue, "own", GroupChanges(), lambda _: None), Unavailable
        ).value
        self.assertEqual(error.applied, "unknown")
        self.assertEqual(self.successResultOf(self.groups.find(self.queue, "own")).name, "own")
        states.failing = [Unavailable("Away.")]
        error = self.failureResultOf(
            self.groups.put(self.queue, "other", GroupChanges(), lambda _: None), Unavailable
        ).value
        self.assertEqual(error.applied, "no")


class GroupCrowdOnCassandraTests(CassandraGroupCase, GroupCrowdTests):
    """The same where others may write too."""
