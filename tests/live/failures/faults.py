"""The base of tests of what may happen to a daemon."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

from queuey.storage.sqlite.database import files
from tests.live.daemon.test_daemon import LiveTestCase
from tests.live.failures.mixed import Worker, problems
from tests.live.running import Daemon

LONG = bool(os.environ.get("QUEUEY_LONG"))
JSON = {"Content-Type": "application/json"}
TALLIES = "SELECT queue, messages, bytes FROM tallies WHERE messages > 0 ORDER BY queue"
"""What a database says of each queue with messages."""


class FaultTestCase(LiveTestCase):
    """Daemons and workers, and what they must agree about."""

    crew: list[Worker]

    def setUp(self) -> None:
        super().setUp()
        self.crew = []
        self.data = self.folder / "data"

    def begin(self) -> Daemon:
        """As always, with nothing in its output of the one before."""
        (self.folder / "output").unlink(missing_ok=True)
        return super().begin()

    def say(self, text: str) -> None:
        """Print a figure."""
        sys.stdout.write(f"{self.id().rpartition('.')[2]}: {text}\n")

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let the workers work meanwhile."""
        for worker in self.crew:
            worker.start(self.port)
        try:
            yield
        finally:
            for worker in self.crew:
                worker.finish()

    def check(self) -> None:
        """What the workers know is what the daemon has."""
        self.assertEqual(problems(self.port, self.crew)[:5], [])

    def check_file(self) -> None:
        """The database of a daemon that has ended is whole, and its sums are right."""
        connection = apsw.Connection(str(self.data / files.DATABASE))
        try:
            self.assertEqual(connection.pragma("integrity_check"), "ok")
            sums: list[Any] = connection.execute(
                "SELECT queue, count(*), sum(size) FROM messages WHERE queue IN (SELECT queue FROM queues) GROUP BY 1"
            ).fetchall()
            tallies = connection.execute(
                "SELECT queue, messages, bytes FROM tallies WHERE messages > 0 ORDER BY queue"
            ).fetchall()
            self.assertEqual(tallies, sums)
        finally:
            connection.close()

    def stop(self, daemon: Daemon) -> None:
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertNotIn("Traceback", daemon.output())
