"""Claims that leave a wait queue: by time, by hanging up, and when their group ends."""

from __future__ import annotations

import gc
import tracemalloc

from twisted.internet.defer import CancelledError

from queuey.core.groups.values import Claiming
from tests.core.groups.waiting.test_group_wait_queues import BLOCKED, NOTHING, LinesCase, some


class EndTests(LinesCase):
    """Waiting has an end."""

    def test_its_deadline(self) -> None:
        first, second = self.wait(5), self.wait(9)
        self.clock.advance(4.99)
        self.assertNoResult(first)
        self.clock.advance(0.01)
        self.assertEqual((self.successResultOf(first), self.tried), (NOTHING, []))
        self.clock.advance(4)
        self.assertEqual(self.successResultOf(second), NOTHING)
        self.assert_nothing_left()

    def test_it_is_told_why_it_got_nothing(self) -> None:
        waiting = self.wait(5)
        self.at_once = [BLOCKED]
        self.arrives(1)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(waiting), BLOCKED)

    def test_its_deadline_while_it_tries(self) -> None:
        self.later = True
        waiting = [self.wait(5), self.wait(5)]
        self.arrives(1, 1)
        self.clock.advance(6)
        self.assertEqual([one.called for one in waiting], [False, False])
        self.tried[0].answer.callback(some())
        self.tried[1].answer.callback(NOTHING)
        self.assertEqual([self.successResultOf(one) for one in waiting], [some(), NOTHING])
        self.assert_nothing_left()

    def test_the_end_of_all_waiting(self) -> None:
        self.later = True
        waiting = [self.wait(), self.wait(partitions=(2,))]
        self.arrives(1)
        self.waits.end()
        self.assertEqual(self.successResultOf(waiting[1]), NOTHING)
        self.tried[0].answer.callback(NOTHING)
        self.assertEqual(self.successResultOf(waiting[0]), NOTHING)
        self.assertEqual(self.successResultOf(self.wait()), NOTHING)
        self.assert_nothing_left()

    def test_one_that_hangs_up(self) -> None:
        waiting = [self.wait(limit=limit) for limit in (1, 2)]
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        self.at_once = [some()]
        self.arrives(1)
        self.assertEqual((self.limits(), self.successResultOf(waiting[1])), ([2], some()))
        self.assert_nothing_left()

    def test_one_that_hangs_up_while_it_tries(self) -> None:
        self.later = True
        waiting = [self.wait(limit=limit) for limit in (1, 2)]
        self.arrives(1, 1)
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        self.assertTrue(self.tried[0].answer.called)
        self.tried[1].answer.callback(some())
        self.assertEqual(self.successResultOf(waiting[1]), some())
        self.assert_nothing_left()

    def test_idle_ones_are_small(self) -> None:
        """Ten thousand of them take less than a third of what they may, with one timer for all."""
        gc.collect()
        tracemalloc.start()
        try:
            waiting = [self.wait() for _ in range(1000)]
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(taken / 1000, 3_000)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for one in waiting:
            one.cancel()
            self.failureResultOf(one, CancelledError)
        self.assert_nothing_left()


class OthersTests(LinesCase):
    """Where others write too, it is looked for every so often."""

    look_every = 1.0

    def test_it_looks(self) -> None:
        waiting = self.wait()
        self.clock.pump([1, 0, 1, 0])
        self.assertEqual(len(self.tried), 2)
        self.at_once = [some()]
        self.clock.pump([1, 0])
        self.assertEqual(self.successResultOf(waiting), some())
        self.assert_nothing_left()

    def test_nobody_knows_that_there_is_nothing(self) -> None:
        with self.wait_queues.join(self.queue, self.group, (1,)) as line:
            line.wait(Claiming(wait=20), line.news, NOTHING)
            self.assertIsNone(line.nothing())

    def test_claims_that_ask_for_a_longer_pause(self) -> None:
        """It looks for them as often as the most impatient one asks, and as it is then."""
        pauses = [5.0, 3.0]
        self.wait(600, limit=1, pause=lambda: pauses[0])
        self.wait(600, limit=2, pause=lambda: pauses[1])
        self.clock.pump([4.9, 0])
        self.assertEqual(self.tried, [])  # the first claim has set the time of the first look
        self.clock.pump([0.1, 0])
        self.assertEqual({one.claiming.limit for one in self.tried}, {1, 2})
        del self.tried[:]
        self.clock.pump([2.9, 0])
        self.assertEqual(self.tried, [])
        pauses[:] = [0.1, 0.2]  # never more often than the store says
        self.clock.pump([0.1, 0, 0.9, 0])
        self.assertEqual(len(self.tried), 2)
        self.clock.pump([0.1, 0])
        self.assertEqual(len(self.tried), 4)

    def test_an_impatient_claim_beside_a_patient_one(self) -> None:
        """From then on it looks as often as the store says; claims that come one after another do not delay it."""
        self.wait(600, pause=lambda: 100.0)
        self.clock.pump([10, 0])
        self.assertEqual(self.tried, [])
        for _ in range(4):
            self.wait(600)
            self.clock.pump([0.3, 0])
        self.assertGreaterEqual(len(self.tried), 4)

    def test_one_look_for_all_in_line(self) -> None:
        for _ in range(100):
            self.wait()
        self.clock.pump([1, 0, 1, 0])
        self.assertEqual(len(self.tried), 8)
