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

from queuey.storage.sqlite.database import files as names
from tests.contracts.subject import START
from tests.power.checker import Checker
from tests.power.disk import Disk
from tests.power.group_load import GroupLoad
from tests.power.history import Claims, History, Ledger
from tests.power.load import MakeStore
from tests.power.recording import Created, DirectorySynced, Recording, RecordingVFS, Removed, Synced, Truncated, Wrote

_names = count()

NEAR: Final = 40
"""Events before and after a checkpoint's write, among which a cut is drawn."""

NEARER: Final = 5
"""The same, where a file comes, goes or is cut off."""


@attrs.frozen
class Left:
    """What a cut has left, for another run to begin with.

    :ivar name: the seed of the run that was cut, and the number of the cut.
    :ivar seconds: what the wall clock showed.
    """

    name: str
    files: dict[str, bytes]
    seconds: float


@attrs.frozen
class Loss:
    """A cut after which something was wrong."""

    seed: int | str
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


def write(directory: Path, files: dict[str, bytes]) -> None:
    """Make a directory with these files."""
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)


class Trial:
    """One run.

    :param directory: where it keeps its files; nothing is left there.
    :param seed: of the run; of one that begins with what a cut has left, this cut's name.
    :param relaxed: see ``Checker``.
    """

    def __init__(
        self,
        directory: Path,
        seed: int | str,
        steps: int,
        make_store: MakeStore,
        relaxed: bool = False,
        left: Left | None = None,
    ) -> None:
        self.seed = seed
        self.figures = Figures()
        self._directory = directory
        self._relaxed = relaxed
        self._began = time.monotonic()
        self._recording = Recording()
        self._history = self._record(steps, make_store, left or Left("", {}, START))
        self._in_checkpoints = [*self._checkpoints()]
        self._at_turns = [*self._turns()]

    def _record(self, steps: int, make_store: MakeStore, left: Left) -> History:
        name = f"recording-{next(_names)}"
        vfs = RecordingVFS(name, self._recording)
        home = self._directory / "run"
        write(home, left.files)
        self._recording.begin(left.files)
        self._first = self._recording.position
        try:
            load = GroupLoad(home, name, self._recording, make_store, Random(self.seed))
            load.run(steps, left.seconds)
        finally:
            vfs.unregister()
            rmtree(home, ignore_errors=True)
        if load.history.failures:
            load.history.failures[0].raiseException()
        return load.history

    def _checkpoints(self) -> Iterator[int]:
        """Where the database itself is written."""
        database: set[int] = set()
        for position, event in enumerate(self._recording.events):
            if isinstance(event, Created) and event.name == names.DATABASE:
                database.add(event.file)
            elif isinstance(event, Synced | Wrote) and event.file in database:
                yield position

    def _turns(self) -> Iterator[int]:
        """Where files come, go or are cut off."""
        for position, event in enumerate(self._recording.events):
            if isinstance(event, Created | Removed | Truncated | DirectorySynced):
                yield position

    def _position(self, random: Random) -> int:
        """Anywhere, just after an answer, or near something of interest."""
        match random.randrange(4):
            case 0:
                position = random.randrange(self._recording.position + 1)
            case 1:
                position = random.choice(self._history.done).answered or 0
            case 2:
                position = random.choice(self._in_checkpoints) + random.randint(-NEAR, NEAR)
            case _:
                position = random.choice(self._at_turns) + random.randint(-NEARER, NEARER)
        return min(max(position, self._first), self._recording.position)

    def losses(self, cuts: range) -> Iterator[Loss]:
        """Cut the power, and check what is left each time; a loss is found when it is asked for."""
        drawn = [(cut, Random(f"{self.seed}/{cut}")) for cut in cuts]
        planned = sorted((self._position(random), cut, random) for cut, random in drawn)
        disk, ledger, happened = Disk(), Ledger(self._history), 0
        for position, cut, random in planned:
            for event in self._recording.events[happened:position]:
                disk.happen(event)
            happened = position
            self.figures += Figures(unsynced=disk.asked())
            problems = self._check(disk.after_cut(random), ledger.at(position), random)
            if problems:
                yield Loss(self.seed, cut, position, tuple(problems))
        done = len(self._history.done)
        self.figures += Figures(len(cuts), 1, done, self._recording.position, seconds=time.monotonic() - self._began)

    def left(self, cut: int) -> Left:
        """What one cut has left."""
        random, disk = Random(f"{self.seed}/{cut}"), Disk()
        position = self._position(random)
        for event in self._recording.events[:position]:
            disk.happen(event)
        return Left(f"{self.seed}/{cut}", disk.after_cut(random), self._history.time_at(position))

    def _check(self, files: dict[str, bytes], claims: Claims, random: Random) -> list[str]:
        home = self._directory / "cut"
        write(home, files)
        try:
            if random.random() < 0.5:
                # The index of the log, which is never synced; SQLite must not believe it.
                (home / f"{names.DATABASE}-shm").write_bytes(random.randbytes(1 << 15))
            self.figures += Figures(files=len(files))
            return Checker(home, claims, self._history, self._relaxed).problems()
        finally:
            rmtree(home)
