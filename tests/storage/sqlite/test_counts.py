"""The metrics of the embedded store, compared with what was done: commits, waiting jobs, files."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import NoSuchQueue, Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Window
from queuey.model.telemetry.counts import Histogram
from queuey.storage.sqlite.database.counts import EVERY, Commits, Room, Rooms, look
from queuey.storage.sqlite.database.files import DATABASE
from queuey.storage.sqlite.writing.writer import Writer
from tests.counted import counted, value
from tests.storage.sqlite.test_writer import HeldCase

PILES = "queuey_sqlite_pile_size"
SYNCS = "queuey_sqlite_sync_duration_seconds"
WRITES = "queuey_sqlite_waiting_writes"
READS = "queuey_sqlite_waiting_reads"
FILES = ("queuey_sqlite_database_bytes", "queuey_sqlite_wal_bytes", "queuey_disk_free_bytes")


class CommitsTests(HeldCase):
    """Commits, and how many writes share each."""

    def batches(self) -> list[int]:
        """Commits of 1, 2, up to 4, up to 8, up to 16 writes, and so on."""
        (metric,) = [one for one in self.store.metrics if one.name == PILES]
        assert isinstance(metric, Histogram)
        return metric.of(()).counts[:5]

    def since(self, before: list[int]) -> list[int]:
        return [count - then for count, then in zip(self.batches(), before, strict=True)]

    def test_one_by_one(self) -> None:
        before = self.batches()
        for _ in range(3):
            self.successResultOf(self.append(b"x"))
        self.assertEqual(self.since(before), [3, 0, 0, 0, 0])
        self.assertEqual(counted(self.store.metrics, SYNCS), counted(self.store.metrics, PILES))

    def test_together(self) -> None:
        before = self.batches()
        self.subject.hold()
        waiting = [self.append(b"x", b"y") for _ in range(7)]
        self.assertEqual(self.since(before), [0, 0, 0, 0, 0])
        self.subject.release()
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual(self.since(before), [0, 0, 0, 1, 0])

    def test_what_changes_nothing_is_no_commit(self) -> None:
        before = self.batches()
        self.successResultOf(self.store.ping())
        self.successResultOf(self.subject.advance(60))
        gone = Queue("app", "gone", self.queue.settings, 99, "v", self.queue.created)
        self.failureResultOf(self.append(b"x", queue=gone), NoSuchQueue)
        self.assertEqual(self.since(before), [0, 0, 0, 0, 0])

    def test_a_pile_that_is_undone_is_stored_one_by_one(self) -> None:
        def break_down(writer: Writer) -> None:
            raise ValueError("broken")

        before = self.batches()
        self.subject.hold()
        good = [self.append(b"x") for _ in range(2)]
        bad = self.store._writing.submit(break_down)
        self.subject.release()
        for each in good:
            self.successResultOf(each)
        self.failureResultOf(bad, ValueError)
        self.assertEqual(self.since(before), [2, 0, 0, 0, 0])

    def test_what_waits(self) -> None:
        self.assertEqual((value(self.store.metrics, WRITES), value(self.store.metrics, READS)), (0, 0))
        self.subject.hold()
        waiting: list[Any] = [self.append(b"x") for _ in range(3)]
        waiting.append(self.store.read_range(self.queue, Window((1,)), Ack.ONE))
        self.assertEqual((value(self.store.metrics, WRITES), value(self.store.metrics, READS)), (3, 1))
        self.subject.release()
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual((value(self.store.metrics, WRITES), value(self.store.metrics, READS)), (0, 0))

    def test_what_waits_for_more_turns(self) -> None:
        """A purge goes on in several write batches, and waits until it is over."""
        for _ in range(3):
            self.successResultOf(self.append(*[b"x"] * 600))
        self.successResultOf(self.store.forget(self.queue))
        self.assertEqual(value(self.store.metrics, WRITES), 0)

    def test_the_age_of_the_stable_time(self) -> None:
        """Everything shows at once, however long ago it was; only a clock that was set back falls behind."""
        name = "queuey_stable_time_age_seconds"
        self.successResultOf(self.append(b"x"))
        self.subject.wall.seconds += 100
        self.assertEqual(value(self.store.metrics, name), 0)
        self.subject.wall.seconds -= 130
        self.assertAlmostEqual(value(self.store.metrics, name) or 0, -30, 3)


class SyncTests(SynchronousTestCase):
    """How long commits take."""

    def test_what_is_observed(self) -> None:
        clock = Clock()
        commits = Commits(clock.seconds)
        began = commits.seconds()
        clock.advance(0.25)
        commits.committed(3, began)
        for metric, total in zip(commits.metrics, (3, 0.25), strict=True):
            assert isinstance(metric, Histogram)
            self.assertEqual(metric.of(()).sum, total)


class FilesTests(HeldCase):
    """The files and the disk."""

    def test_sizes(self) -> None:
        file = self.subject.directory / DATABASE
        self.successResultOf(self.append(*[b"x" * 1000] * 100))
        self.subject.clock.advance(EVERY)
        sizes = [value(self.store.metrics, name) for name in FILES]
        self.assertEqual(sizes[:2], [os.stat(file).st_size, os.stat(f"{file}-wal").st_size])
        self.assertGreater(sizes[1] or 0, 100_000)
        found = os.statvfs(self.subject.directory)
        self.assertLess(sizes[2] or 0, found.f_blocks * found.f_frsize)
        self.assertGreater(sizes[2] or 0, 0)

    def test_nothing_is_there(self) -> None:
        self.assertEqual(look(self.subject.directory / "nowhere"), Room(None, None, None))


class RoomsTests(SynchronousTestCase):
    """Looks at the files, one after another."""

    def test_looks(self) -> None:
        clock = Clock()
        answers: list[Any] = [succeed(Room(1, 2, 3)), succeed(Room(4, 5, 6))]
        rooms = Rooms(clock, lambda: answers.pop(0))
        self.assertEqual([value(rooms.metrics, name) for name in FILES], [None, None, None])
        rooms.start()
        self.assertEqual([value(rooms.metrics, name) for name in FILES], [1, 2, 3])
        clock.advance(EVERY - 0.1)
        self.assertEqual(len(answers), 1)
        clock.advance(0.1)
        self.assertEqual([value(rooms.metrics, name) for name in FILES], [4, 5, 6])
        rooms.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_what_cannot_be_known(self) -> None:
        """A store that is closed, or a look that fails, leaves nothing that was known before; others follow."""
        clock = Clock()
        answers: list[Any] = [succeed(Room(1, 2, 3)), Unavailable("closed"), succeed(Room(7, 8, 9))]

        def take_look() -> Any:
            answer = answers.pop(0)
            return succeed(None).addCallback(lambda _: _raise(answer)) if isinstance(answer, Exception) else answer

        rooms = Rooms(clock, take_look)
        rooms.start()
        clock.advance(EVERY)
        self.assertEqual([value(rooms.metrics, name) for name in FILES], [None, None, None])
        clock.advance(EVERY)
        self.assertEqual([value(rooms.metrics, name) for name in FILES], [7, 8, 9])
        rooms.stop()


def _raise(error: Exception) -> None:
    raise error
