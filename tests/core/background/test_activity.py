"""How busy queues are: counts become rates and histories, of the busiest queues alone."""

from __future__ import annotations

import pickle
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.activity import (
    ACKED,
    ENTRIES,
    GIVEN,
    LIMIT,
    OTHERS,
    RECENT,
    SPAN,
    STORED,
    Activity,
    Name,
    QueueCounts,
)

A, B = ("app", "a"), ("app", "b")
BEGIN = 1000 * SPAN


def everything(name: Name) -> bool:
    return True


class QueueCountsTests(SynchronousTestCase):
    """What one process counts."""

    def setUp(self) -> None:
        self.counts = QueueCounts()

    def test_what_was_counted(self) -> None:
        for kind, number in ((STORED, 2), (GIVEN, 3), (ACKED, 5), (STORED, 7)):
            self.counts.count(A, kind, number)
        self.counts.count(B, ACKED, 1)
        self.assertEqual(self.counts.take(), {A: [9, 3, 5], B: [0, 0, 1]})
        self.assertEqual(self.counts.take(), {})

    def test_many_queues(self) -> None:
        """The busiest stay, and no message is missing in the sum."""
        for _ in range(3):
            self.counts.count(A, STORED, 1)
        for number in range(10 * LIMIT):
            self.counts.count(("app", str(number)), GIVEN, 1)
            self.assertLessEqual(len(self.counts.lines), 2 * LIMIT + 1)
        found = self.counts.take()
        self.assertEqual(found[A], [3, 0, 0])
        self.assertEqual([sum(kind) for kind in zip(*found.values(), strict=True)], [3, 10 * LIMIT, 0])
        self.assertGreater(found[OTHERS][GIVEN], 8 * LIMIT)


class ActivityTests(SynchronousTestCase):
    """The rates and histories of all processes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(BEGIN)
        self.counts = QueueCounts()
        self.activity = Activity(self.clock, self.counts)
        self.activity.start()
        self.addCleanup(self.activity.stop)

    def pass_by(self, seconds: int) -> None:
        self.clock.pump([1.0] * seconds)

    def rates(self, name: Name | None) -> tuple[float, float, float]:
        found = self.activity.rates(name)
        assert found is not None
        return found.stored, found.given, found.acked

    def test_rates(self) -> None:
        """They are of the last minute, and of what the daemon has lived of it."""
        self.assertEqual(self.rates(None), (0, 0, 0))
        self.assertIsNone(self.activity.rates(A))
        for _ in range(200):
            self.counts.count(A, STORED, 5)
            self.counts.count(A, GIVEN, 2)
            self.pass_by(1)
        for rate, expected in zip(self.rates(A), (5, 2, 0), strict=True):
            self.assertApproximates(rate, expected, 0.1)
        self.pass_by(30)
        stored = self.rates(A)[0]
        self.assertApproximates(stored, 2.5, 0.1)
        self.pass_by((RECENT + 1) * SPAN)
        self.assertEqual(self.rates(A), (0, 0, 0))

    def test_a_burst_at_the_beginning(self) -> None:
        """It is not taken for a rate that lasts."""
        self.counts.count(A, STORED, 100)
        self.pass_by(1)
        self.assertEqual(self.rates(A), (100 / SPAN, 0, 0))

    def test_histories(self) -> None:
        """Each entry has what was counted in its ten seconds; the present one is not shown before it is complete."""
        for number in range(ENTRIES + 5):
            self.counts.count(A, STORED, number + 1)
            self.counts.count(A, ACKED, 1)
            self.pass_by(SPAN)
        history = self.activity.history(A, STORED)
        self.assertEqual(history, list(range(6, ENTRIES + 6)))
        self.assertEqual(self.activity.history(None, STORED), history)
        self.assertEqual(self.activity.history(A, ACKED), [1] * ENTRIES)
        self.assertEqual(self.activity.history(A, GIVEN), [0] * ENTRIES)
        self.pass_by(3 * SPAN)
        self.assertEqual(self.activity.history(A, STORED), [*range(9, ENTRIES + 6), 0, 0, 0])
        self.counts.count(A, STORED, 7)
        self.pass_by(SPAN)
        self.assertEqual(self.activity.history(A, STORED), [*range(10, ENTRIES + 6), 0, 0, 0, 7])
        self.assertEqual(self.activity.ends, 0)
        self.pass_by(3)
        self.assertEqual(self.activity.ends, 3)

    def test_a_history_that_is_over(self) -> None:
        """A queue that has been idle for ten minutes is forgotten; if it is busy again, it begins with zeros."""
        self.counts.count(A, STORED, 1)
        self.pass_by(ENTRIES * SPAN)
        self.assertEqual(self.activity.history(A, STORED), [1] + [0] * (ENTRIES - 1))
        self.pass_by(SPAN)
        self.assertIsNone(self.activity.history(A, STORED))
        self.counts.count(A, STORED, 3)
        self.pass_by(SPAN)
        self.assertEqual(self.activity.history(A, STORED), [0] * (ENTRIES - 1) + [3])

    def test_workers(self) -> None:
        """What two of them have sent is added up, in the form in which it is sent."""
        for counted in ({A: [1, 0, 0], B: [0, 4, 0]}, {A: [2, 1, 0]}, {OTHERS: [5, 0, 0]}):
            self.activity.add(pickle.loads(pickle.dumps(counted)))
        self.pass_by(SPAN)
        self.assertEqual(self.rates(A), (0.3, 0.1, 0))
        self.assertEqual(self.rates(B), (0, 0.4, 0))
        self.assertEqual(self.rates(None), (0.8, 0.5, 0))
        self.assertIsNone(self.activity.rates(OTHERS))

    def test_the_busiest_first(self) -> None:
        counted = {("app", "c"): [1, 9, 0], ("app", "b"): [5, 0, 0], ("app", "a"): [1, 0, 0], ("other", "d"): [9, 0, 0]}
        self.activity.add(counted)
        names = [name for _, name in self.activity.busiest(STORED, lambda name: name[0] == "app")]
        self.assertEqual(names, ["b", "a", "c"])
        self.assertEqual(self.activity.busiest(GIVEN, everything)[0], ("app", "c"))

    def test_busy_queues_stay_in_a_flood(self) -> None:
        """A busy queue comes in although there are more others than fit, each of which was busy once, and stays."""
        for number in range(LIMIT):
            self.activity.add({("old", str(number)): [20, 0, 0]})
        random = Random(1)
        for second in range(3 * 60):
            self.activity.add({("flood", f"{second} {number}"): [1, 0, 0] for number in range(300)})
            if random.random() < 0.9:
                self.counts.count(A, STORED, 3)
            self.pass_by(1)
            self.assertLessEqual(len(self.activity.busiest(STORED, everything)), 2 * LIMIT + 300)
        self.assertEqual(self.activity.busiest(STORED, everything)[0], A)
        self.assertApproximates(self.rates(A)[0], 2.7, 0.5)
        self.assertApproximates(self.rates(None)[0], 302.7, 5)

    def test_a_clock_that_jumps(self) -> None:
        """A process that stood still for an hour begins again."""
        self.counts.count(A, STORED, 1)
        self.pass_by(1)
        self.clock.advance(3600.0)
        self.counts.count(B, STORED, 20)
        self.pass_by(1)
        self.assertIsNone(self.activity.rates(A))
        self.assertGreater(self.rates(B)[0], 0)
