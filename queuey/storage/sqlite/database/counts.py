"""Metrics of the embedded store: its commits, the space of its files and the free space on their disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from queuey.model.telemetry.counts import Histogram, Metric, gauge
from queuey.storage.sqlite.database.files import DATABASE

EVERY: Final = 10.0
"""Seconds between two looks at the files."""

_PILES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SYNCS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Commits:
    """Counts the commits that change something; the writing thread calls it.

    :ivar seconds: a monotonic clock, of which only differences are used.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self._piles = Histogram("queuey_sqlite_pile_size", "Writes that were stored by one commit.", _PILES)
        self._syncs = Histogram(
            "queuey_sqlite_sync_duration_seconds",
            "Seconds that a commit took, including its last writes and the sync of the disk.",
            _SYNCS,
        )
        self.metrics: tuple[Metric, ...] = (self._piles, self._syncs)

    def committed(self, writes: int, began: float) -> None:
        """A commit is over that has changed something.

        :param writes: how many have shared it.
        :param began: when, by ``seconds``.
        """
        self._piles.observe(writes)
        self._syncs.observe(self.seconds() - began)


@attrs.frozen
class Room:
    """Bytes that the files take, and those that are left on their disk; ``None`` is what could not be found out."""

    database: int | None = None
    log: int | None = None
    free: int | None = None


def look(directory: Path) -> Room:
    """Look at the files; it may block for as long as the disk does."""
    database = directory / DATABASE
    return Room(_size(database), _size(database.with_name(f"{DATABASE}-wal")), _free(directory))


def _size(file: Path) -> int | None:
    try:
        return os.stat(file).st_size
    except OSError:
        return None


def _free(directory: Path) -> int | None:
    """Return the free space for users other than root."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


class Rooms:
    """Looks at the files every so often, in a thread that may be blocked; what it belongs to is the reactor's.

    :param take_look: looks at them, elsewhere.
    """

    def __init__(self, clock: IReactorTime, take_look: Callable[[], Deferred[Room]]) -> None:
        self._clock = clock
        self._take_look = take_look
        self._room = Room()
        self._timer: IDelayedCall | None = None
        self._running = False
        self.metrics: tuple[Metric, ...] = (
            gauge("queuey_sqlite_database_bytes", "Size of the database.", lambda: self._room.database),
            gauge("queuey_sqlite_wal_bytes", "Size of the write-ahead log.", lambda: self._room.log),
            gauge("queuey_disk_free_bytes", "Bytes left on the disk of the data.", lambda: self._room.free),
        )

    def start(self) -> None:
        """Begin with a look at once."""
        self._running = True
        self._look()

    def stop(self) -> None:
        """Look no more."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        self._take_look().addBoth(self._seen)

    def _seen(self, room: Room | Failure) -> None:
        self._room = Room() if isinstance(room, Failure) else room
        if self._running:
            self._timer = self._clock.callLater(EVERY, self._look)
