"""What is counted and reported of the lease."""

from __future__ import annotations

from queuey.model.stable_time.stamps import Place, StampRequest
from queuey.storage.cassandra.times.lease import LOST, RELEASED, TAKEN
from tests.counted import counted, value
from tests.storage.cassandra.times.test_lease import AGE, HELD, HERE, MACHINE, Bench, Front


class CountsTests(Bench):
    """What is counted of the lease, of W and of late writes."""

    def value(self, front: Front, name: str) -> float | None:
        return value(front.times.metrics, name)

    def changes(self, front: Front) -> dict[tuple[str, ...], float]:
        return counted(front.times.metrics, "queuey_lease_changes_total")

    def test_changes(self) -> None:
        front = self.make(1)
        self.assertEqual((self.value(front, HELD), self.changes(front)), (0, {}))
        front.begin()
        self.pass_time(60)
        self.assertEqual((self.value(front, HELD), self.changes(front)), (1, {TAKEN: 1}))
        front.session.away = True
        self.pass_time(20)
        self.assertEqual((self.value(front, HELD), self.changes(front)), (0, {TAKEN: 1, LOST: 1}))
        front.session.away = False
        self.pass_time(20)
        self.assertEqual((self.value(front, HELD), self.changes(front)), (1, {TAKEN: 2, LOST: 1}))
        self.successResultOf(front.times.stop())
        self.assertEqual((self.value(front, HELD), self.changes(front)), (0, {TAKEN: 2, LOST: 1, RELEASED: 1}))

    def test_who_waits(self) -> None:
        self.serving(1)
        waiting = self.started(2)
        self.pass_time(5)
        self.assertEqual((self.value(waiting, HELD), self.changes(waiting)), (0, {}))
        self.assertIsNone(self.value(waiting, AGE))

    def test_the_age_of_w(self) -> None:
        """It is that of the oldest write in flight, in whichever partition."""
        front = self.serving()
        self.assertEqual(self.value(front, AGE), 0)
        first = front.times.begin([StampRequest(Place(7, 2)), StampRequest(HERE)], True)
        self.pass_time(1)
        second = front.times.begin([StampRequest(HERE)], True)
        self.pass_time(0.5)
        self.assertAlmostEqual(self.value(front, AGE) or 0, 1.5, 5)
        front.times.landed(first)
        self.assertAlmostEqual(self.value(front, AGE) or 0, 0.5, 5)
        front.times.landed(second)
        self.assertEqual(self.value(front, AGE), 0)

    def test_a_write_that_nobody_ended_counts_for_as_long_as_it_may_take(self) -> None:
        front = self.serving()
        front.times.begin([StampRequest(HERE)], False)
        slow = front.times.begin([StampRequest(HERE)], True)
        self.pass_time(2)
        front.times.landed(slow)
        self.assertEqual(self.value(front, AGE), 0)

    def test_late_writes(self) -> None:
        front = self.serving()
        front.stamp()
        for _ in range(2):
            flight = front.times.begin([StampRequest(HERE)], False)
            self.pass_time(2.25)
            self.refuses(lambda: front.times.landed(flight), "unknown")  # noqa: B023
        front.times.lost(front.times.begin([StampRequest(HERE)], False))
        self.assertEqual(counted(front.times.metrics, "queuey_late_writes_total"), {(): 2})
        front.times.lost(front.times.begin([StampRequest(HERE)], False), late=True)
        self.assertEqual(counted(front.times.metrics, "queuey_late_writes_total"), {(): 3})

    def test_a_clock_that_is_set(self) -> None:
        front = self.serving()
        self.assertEqual(self.value(front, MACHINE), 0)
        front.wall += 30
        self.pass_time(4)
        self.assertAlmostEqual(self.value(front, MACHINE) or 0, 30, 1)
