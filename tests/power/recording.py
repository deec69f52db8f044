"""A file layer for SQLite that notes what would reach a disk, and when it was certain to be there."""

from __future__ import annotations

import os
from typing import Final

import apsw
import attrs

_DATA: Final = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
_LOGS: Final = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL


@attrs.frozen
class Created:
    """A file was made; files have numbers, since a name may come to stand for another one."""

    file: int
    name: str


@attrs.frozen
class Removed:
    """A name was taken out of the directory."""

    name: str


@attrs.frozen
class Wrote:
    file: int
    offset: int
    data: bytes


@attrs.frozen
class Truncated:
    file: int
    size: int


@attrs.frozen
class Synced:
    """All that was done to one file before is on the disk."""

    file: int


@attrs.frozen
class DirectorySynced:
    """All names that were made or taken out before are on the disk."""


Event = Created | Removed | Wrote | Truncated | Synced | DirectorySynced


class Recording:
    """Everything that happened to the files of one directory, in order.

    :param events: what is noted; how many there are is the *position*, which tells before from after.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._files: dict[str, int] = {}

    @property
    def position(self) -> int:
        return len(self.events)

    def note(self, event: Event) -> None:
        self.events.append(event)

    def begin(self, files: dict[str, bytes]) -> None:
        """Files that are there from the beginning, and certain to be on the disk."""
        for name, content in files.items():
            number = self.opened(name, created=True)
            self.note(Wrote(number, 0, content))
            self.note(Synced(number))
        self.note(DirectorySynced())

    def knows(self, name: str) -> bool:
        """Whether a file of that name was opened before."""
        return name in self._files

    def opened(self, name: str, created: bool) -> int:
        """The number of a file."""
        if created:
            self._files[name] = self.position
            self.note(Created(self.position, name))
        return self._files[name]


class RecordingVFS(apsw.VFS):
    """SQLite's own layer with a recording; it is registered until ``unregister``."""

    def __init__(self, name: str, recording: Recording) -> None:
        super().__init__(name, "")
        self._recording = recording

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if not flags[0] & _DATA or name is None:
            raise AssertionError(f"SQLite keeps a file beside those that are recorded: {name} {flags[0]:x}")
        path = name if isinstance(name, str) else name.filename()
        short = os.path.basename(path)
        # The store makes the database itself, as an empty file, to give it its mode.
        created = not os.path.exists(path) or not (self._recording.knows(short) or os.stat(path).st_size)
        file = RecordingFile(name, flags, self._recording)
        file.number = self._recording.opened(short, created)
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self._recording.note(Removed(os.path.basename(filename)))
        if syncdir:
            self._recording.note(DirectorySynced())


class RecordingFile(apsw.VFSFile):
    """One open file.

    The first sync of a log through each of its handles syncs the directory too, as SQLite's own layer does it.
    """

    number: int

    def __init__(self, name: str | apsw.URIFilename, flags: list[int], recording: Recording) -> None:
        self._with_directory = bool(flags[0] & _LOGS and flags[0] & apsw.SQLITE_OPEN_CREATE)
        super().__init__("", name, flags)
        self._recording = recording

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._recording.note(Wrote(self.number, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._recording.note(Truncated(self.number, newsize))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._recording.note(Synced(self.number))
        if self._with_directory:
            self._with_directory = False
            self._recording.note(DirectorySynced())
