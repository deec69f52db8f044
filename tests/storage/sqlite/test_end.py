"""How the SQLite store ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.model.queues.queue import QueueSettings
from queuey.storage.sqlite.database import files
from tests.contracts.reading import TERMS, new
from tests.storage.quick import quick_directory
from tests.storage.subjects import HeldSubject


class EndTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.subject = HeldSubject(quick_directory(self))
        self.store: Any = self.subject.store
        queue, _ = self.successResultOf(self.store.create("app", "queue", QueueSettings(), None))
        self.successResultOf(self.store.append(queue, [new(b"x")], TERMS))
        self.log = self.subject.directory / f"{files.DATABASE}-wal"

    def test_the_last_checkpoint_is_the_writing_threads(self) -> None:
        """A disk that hangs then holds up that thread alone: all is done before the reactor hears of it."""
        self.assertGreater(self.log.stat().st_size, 0)
        self.subject.hold()
        closed = self.store.close()
        self.assertNoResult(closed)
        self.assertGreater(self.log.stat().st_size, 0)
        self.assertRaises(Unavailable, files.Lock, self.subject.directory)
        answers: list[tuple[Any, ...]] = []
        self.patch(self.subject.runner, "answer", lambda *answer: answers.append(answer))
        self.subject.release()
        # The reader's end is what the writer's waits for.
        while answers and self.log.exists():
            function, jobs = answers.pop(0)
            function(jobs)
            self.subject.release()
        self.assertFalse(self.log.exists())
        files.Lock(self.subject.directory).release()
        self.assertNoResult(closed)
        for function, jobs in answers:
            function(jobs)
        self.successResultOf(closed)

    def test_the_reader_ends_first(self) -> None:
        """A reader that is still there keeps the last checkpoint from its end. Of two batches that wait, the runner of
        this test takes the later one first."""
        ended: list[str] = []
        for name in ("reader", "writer"):
            worker = getattr(self.store._open, name)

            def close(name: str = name, close: Callable[[], None] = worker.close) -> None:
                ended.append(name)
                close()

            self.patch(worker, "close", close)
        self.subject.hold()
        closed = self.store.close()
        self.subject.release()
        self.successResultOf(closed)
        self.assertEqual(ended, ["reader", "writer"])

    def test_a_reader_that_fails(self) -> None:
        """The writer is closed all the same, and other processes may have the directory."""

        def fail() -> None:
            raise ZeroDivisionError

        close = self.store._open.reader.close
        self.patch(self.store._open.reader, "close", fail)
        self.failureResultOf(self.store.close(), ZeroDivisionError)
        files.Lock(self.subject.directory).release()
        close()

    def test_a_writer_that_fails(self) -> None:
        """So may they then."""

        def fail() -> None:
            raise ZeroDivisionError

        close = self.store._open.writer.close
        self.patch(self.store._open.writer, "close", fail)
        self.failureResultOf(self.store.close(), ZeroDivisionError)
        files.Lock(self.subject.directory).release()
        close()
