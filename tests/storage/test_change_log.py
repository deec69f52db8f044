"""The log of changed queues: what came since a mark, and marks that are too old."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.storage.change_log import MAX_PART, ChangeLog


class ChangeLogTests(SynchronousTestCase):
    def since(self, log: ChangeLog, mark: int | None) -> tuple[int, set[int] | None, bool]:
        """What has come since a mark, all of which is committed."""
        log.commit()
        return log.since(mark, log.committed)

    def test_what_is_not_committed_comes_again(self) -> None:
        """A snapshot that began before does not show it."""
        log = ChangeLog(8)
        log.add([5])
        log.commit()
        committed = log.committed
        log.add([6])
        self.assertEqual(log.since(0, committed), (1, {5, 6}, True))
        self.assertEqual(log.since(1, committed), (1, {6}, True))
        log.commit()
        self.assertEqual(log.since(1, log.committed), (2, {6}, True))
        self.assertEqual(log.since(2, log.committed), (2, set(), True))

    def test_since_a_mark(self) -> None:
        log = ChangeLog(8)
        self.assertEqual(self.since(log, None), (0, None, True))
        log.add([5, 6])
        self.assertEqual(self.since(log, 0), (2, {5, 6}, True))
        self.assertEqual(self.since(log, 1), (2, {6}, True))
        self.assertEqual(self.since(log, 2), (2, set(), True))

    def test_what_is_not_kept_any_more(self) -> None:
        log = ChangeLog(8)
        log.add(range(7))
        self.assertEqual(self.since(log, 0), (7, set(range(7)), True))
        log.add([7])
        # The next change takes the place of the first one, and may be on its way now.
        self.assertEqual(self.since(log, 0), (8, None, True))
        log.add(range(100, 120))
        self.assertEqual(self.since(log, 25), (28, {117, 118, 119}, True))
        self.assertEqual(self.since(log, 20), (28, None, True))

    def test_marks_of_others(self) -> None:
        log = ChangeLog(8)
        log.add([1])
        self.assertEqual(self.since(log, 9), (1, None, True))

    def test_parts(self) -> None:
        log = ChangeLog()
        log.add(range(2 * MAX_PART + 1))
        mark, found, over = self.since(log, 0)
        self.assertEqual((mark, found, over), (MAX_PART, set(range(MAX_PART)), False))
        self.assertEqual(self.since(log, 2 * MAX_PART), (2 * MAX_PART + 1, {2 * MAX_PART}, True))
