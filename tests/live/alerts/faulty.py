"""Runs twistd with faults that a test turns on: ``python faulty.py FOLDER [ARGUMENTS OF TWISTD]``.

The folder has a file for each of them, which is looked for whenever it matters:

- ``sync``: seconds by which each sync of the database takes longer, as with a disk that is overloaded; one that goes
  on ends sooner where they become fewer;
- ``defect``: each POST of a message runs into a defect of the program;
- ``clock``: seconds by which the clock is off; it has to be there from the beginning, see
  :mod:`tests.live.failures.set_clock`.

What the daemon looks at every ten seconds, the room that its files take, it looks at every second. Its workers have the
faults that are theirs: see :mod:`tests.live.alerts.faulty_worker`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import apsw

from tests.live.failures.set_clock import set_clock


class SlowVFS(apsw.VFS):
    """SQLite's own layer, which takes its time; every database is opened with it."""

    def __init__(self, file: Path) -> None:
        self._base = apsw.vfs_names()[0]
        super().__init__("slow", self._base, makedefault=True)
        self._file = file

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return SlowFile(self._base, name, flags, self._file)


class SlowFile(apsw.VFSFile):
    """One open file."""

    def __init__(self, base: str, name: Any, flags: list[int], file: Path) -> None:
        super().__init__(base, name, flags)
        self._file = file

    def xSync(self, flags: int) -> None:
        began = time.monotonic()
        while time.monotonic() - began < self._seconds():
            time.sleep(0.02)
        super().xSync(flags)

    def _seconds(self) -> float:
        """How long it takes, as it is now."""
        try:
            return float(self._file.read_text() or 0)
        except FileNotFoundError:
            return 0.0


def break_appends(file: Path) -> None:
    """Put a defect into the way of every message, which is there as long as the file is."""
    from queuey.core import messages

    exchange: Any = messages
    whole = exchange.spread

    def spread(*arguments: Any) -> Any:
        if file.exists():
            raise ZeroDivisionError("a defect that a test has turned on")
        return whole(*arguments)

    exchange.spread = spread


def break_workers() -> None:
    """Let workers have faults, too."""
    from queuey.service.workers import workers

    workers.PROGRAM = "tests.live.alerts.faulty_worker"  # type: ignore[misc]


def hasten() -> None:
    """Let the daemon look at its files often."""
    from queuey.storage.sqlite.database import counts

    counts.EVERY = 1.0  # type: ignore[misc]


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose modules are no one's business here
    folder = Path(sys.argv.pop(1))
    if (folder / "clock").exists():
        set_clock(str(folder / "clock"))
    slow = SlowVFS(folder / "sync")
    break_appends(folder / "defect")
    break_workers()
    hasten()
    from twisted.scripts.twistd import run

    sys.exit(run())
