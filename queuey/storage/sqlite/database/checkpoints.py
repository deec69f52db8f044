"""Checkpoints: copying the write-ahead log into the database while no caller waits."""

from __future__ import annotations

from typing import Final

import apsw
from twisted.logger import Logger

from queuey.logs import EventLog
from queuey.storage.sqlite.database.files import BUSY, CHECKPOINT_PAGES

PATIENCE: Final = 100
"""Milliseconds that a checkpoint waits for readers, including those of a backup."""


class Checkpoints:
    """Copies the write-ahead log of the writing connection when it is long.

    SQLite itself would do it inside a commit, before the batch is answered.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        # A process that was killed may have left a long log: it is copied as soon as there is time.
        self.log_pages = CHECKPOINT_PAGES
        self._stuck = False

    def run(self) -> None:
        """Copy the log if it is long; called after the callers of a write batch were answered."""
        self.log_pages += self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, True)[0]
        if self.log_pages < CHECKPOINT_PAGES:
            return
        try:
            self.log_pages = self._copy(apsw.SQLITE_CHECKPOINT_PASSIVE)
            if self.log_pages >= 4 * CHECKPOINT_PAGES:
                # Readers that are always there keep the log from starting over: it is worth a short wait for them.
                self._connection.set_busy_timeout(PATIENCE)
                self.log_pages = self._copy(apsw.SQLITE_CHECKPOINT_RESTART)
            self._stuck = False
        except apsw.BusyError:
            pass
        except apsw.Error as error:
            if not self._stuck:
                self._log.warn("checkpoint-failed", "a checkpoint failed, and is retried: {error}", error=error)
            self._stuck = True
        finally:
            self._connection.set_busy_timeout(BUSY)

    def _copy(self, mode: int) -> int:
        """Copy the log; return how many of its pages the next checkpoint will find again, as far as they are known."""
        pages, copied = self._connection.wal_checkpoint("main", mode)
        return 0 if copied == pages else pages

    def run_last(self) -> None:
        """Copy the whole log before the connection is closed, so that one file holds all data."""
        try:
            self._connection.set_busy_timeout(PATIENCE)
            self._connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            self._log.warn(
                "last-checkpoint-failed", "the last checkpoint failed; the next start repeats it: {error}", error=error
            )
