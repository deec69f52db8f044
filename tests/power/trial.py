"""A run under load, and the power cut in it again and again; everything follows from a seed and the number of a cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from shutil import rmtree
from typing import Final

import attrs

from tests.power.checker import Checker
from tests.power.disk import Disk
from tests.power.history import Claims, History, Ledger
from tests.power.load import Load, MakeStore
from tests.power.recording import Recording, RecordingVFS, Removed, Synced, Truncated, Wrote

_names = count()

NEAR: Final = 40
"""Events before and after a point of interest, among which a cut is drawn."""


@attrs.frozen
class Loss:
    """A cut after which something was wrong."""

    seed: int
    cut: int
    position: int
    problems: tuple[str, ...]

    def __str__(self) -> str:
        lines = "\n  ".join(self.problems)
        return f"seed {self.seed}, cut {self.cut}, after {self.position} events:\n  {lines}"


@attrs.frozen
class Figures:
    """What was done, for reports."""

    cuts: int = 0
    runs: int = 0
    operations: int = 0
    events: int = 0
    files: int = 0
    unsynced: int = 0
    seconds: float = 0

    def __add__(self, other: Figures) -> Figures:
        mine, others = attrs.astuple(self), attrs.astuple(other)
        return Figures(*(a + b for a, b in zip(mine, others, strict=True)))

    def __str__(self) -> str:
        return (
            f"{self.cuts} cuts in {self.runs} runs of {self.operations} operations and {self.events} events; "
            f"{self.files} files rebuilt, {self.unsynced} changes not synced; {self.seconds:.0f} s"
        )


class Trial:
    """One run.

    :param directory: where it keeps its files; nothing is left there.
    :param relaxed: see ``Checker``.
    """

    def __init__(self, directory: Path, seed: int, steps: int, make_store: MakeStore, relaxed: bool = False) -> None:
        self.seed = seed
        self.figures = Figures()
        self._directory = directory
        self._relaxed = relaxed
        self._began = time.monotonic()
        self._recording = Recording()
        self._history = self._record(steps, make_store)
        self._interesting = [*self._points()]

    def _record(self, steps: int, make_store: MakeStore) -> History:
        name = f"recording-{next(_names)}"
        vfs = RecordingVFS(name, self._recording)
        home = self._directory / "run"
        try:
            load = Load(home, name, self._recording, make_store, Random(self.seed))
            load.run(steps)
        finally:
            vfs.unregister()
            rmtree(home, ignore_errors=True)
        if load.history.failures:
            load.history.failures[0].raiseException()
        return load.history

    def _points(self) -> Iterator[int]:
        """Where the database itself is written, files are cut off, or go: in the midst of checkpoints."""
        for position, event in enumerate(self._recording.events):
            if isinstance(event, Truncated | Removed) or (isinstance(event, Synced | Wrote) and event.file == 0):
                yield position

    def _position(self, random: Random) -> int:
        """Anywhere, just after an answer, or near a checkpoint."""
        last = self._recording.position
        match random.randrange(3):
            case 0:
                return random.randrange(last + 1)
            case 1:
                return random.choice(self._history.done).answered or 0
            case _:
                return min(last, max(0, random.choice(self._interesting) + random.randrange(-NEAR, NEAR)))

    def losses(self, cuts: range) -> list[Loss]:
        """Cut the power, and check what is left each time."""
        drawn = [(cut, Random(f"{self.seed}/{cut}")) for cut in cuts]
        planned = sorted((self._position(random), cut, random) for cut, random in drawn)
        disk, ledger, happened, found = Disk(), Ledger(self._history), 0, []
        for position, cut, random in planned:
            for event in self._recording.events[happened:position]:
                disk.happen(event)
            happened = position
            self.figures += Figures(unsynced=disk.asked())
            problems = self._check(disk.after_cut(random), ledger.at(position), random)
            if problems:
                found.append(Loss(self.seed, cut, position, tuple(problems)))
        done = len(self._history.done)
        self.figures += Figures(len(cuts), 1, done, self._recording.position, seconds=time.monotonic() - self._began)
        return found

    def _check(self, files: dict[str, bytes], claims: Claims, random: Random) -> list[str]:
        home = self._directory / "cut"
        home.mkdir()
        try:
            for name, content in files.items():
                (home / name).write_bytes(content)
            if random.random() < 0.5:
                # The index of the log, which is never synced; SQLite must not believe it.
                (home / "queuey.sqlite-shm").write_bytes(random.randbytes(1 << 15))
            self.figures += Figures(files=len(files))
            return Checker(home, claims, tuple(self._history.done), self._relaxed).problems()
        finally:
            rmtree(home)
