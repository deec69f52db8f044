"""Processes of this machine as the kernel shows them: which listen, which hold a lock, which serve which settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_LISTENS: Final = "0A"
"""The state of a TCP socket that listens, in /proc/net/tcp."""

_ACCEPTS: Final = 0x10000
"""The flag of a local socket that listens, in /proc/net/unix."""


class Processes:
    """Reads ``/proc``, as far as this user may; what cannot be read is unknown, and no error.

    :param proc: where it is.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def serving(self, settings: Path) -> int | None:
        """The process of a ``twistd queuey`` whose ``--config`` is this file."""
        for pid in self._pids():
            words = self._read(f"{pid}/cmdline").split("\0")[:-1]
            file = _config(words)
            if file is not None and self._same(pid, file, settings):
                return pid
        return None

    def _same(self, pid: int, file: str, settings: Path) -> bool:
        with suppress(OSError):
            folder = "/" if os.path.isabs(file) else os.readlink(self._proc / str(pid) / "cwd")
            return os.path.samefile(Path(folder, file), settings)
        return False

    def lock_holder(self, file: Path) -> int | None:
        """The process that holds the lock of a folder of data: the file has its number, and the kernel the lock."""
        try:
            inode, text = file.stat().st_ino, file.read_text("ascii")
        except (OSError, UnicodeDecodeError):
            return None
        for line in self._read("locks").splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
                return int(words[4]) if words[4] == text.strip() else None
        return None

    def listeners(self, kind: str, place: str) -> frozenset[int]:
        """The processes that listen on a port or a path, as far as it can be seen whose sockets they are.

        :param kind: ``unix`` or ``tcp``.
        """
        wanted = {f"socket:[{inode}]" for inode in (self._local(place) if kind == "unix" else self._ports(int(place)))}
        return frozenset(pid for pid in self._pids() if wanted and not wanted.isdisjoint(self._open(pid)))

    def named(self, pid: int) -> str:
        """A process as a line names it: not by its command line, which may have secrets."""
        name = self._read(f"{pid}/comm").strip()
        return f"process {pid} ({name})" if name.isprintable() and name else f"process {pid}"

    def _ports(self, port: int) -> Iterator[str]:
        for table in ("net/tcp", "net/tcp6"):
            for line in self._read(table).splitlines()[1:]:
                words = line.split()
                if len(words) > 9 and words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                    yield words[9]

    def _local(self, path: str) -> Iterator[str]:
        for line in self._read("net/unix").splitlines()[1:]:
            words = line.split(maxsplit=7)
            if len(words) > 7 and words[7] == path and int(words[3], 16) & _ACCEPTS:
                yield words[6]

    def _open(self, pid: int) -> Iterator[str]:
        with suppress(OSError):
            for name in os.listdir(self._proc / str(pid) / "fd"):
                with suppress(OSError):
                    yield os.readlink(self._proc / str(pid) / "fd" / name)

    def _pids(self) -> list[int]:
        try:
            return sorted(int(name) for name in os.listdir(self._proc) if name.isdigit())
        except OSError:
            return []

    def _read(self, name: str) -> str:
        try:
            return (self._proc / name).read_text("utf-8", "surrogateescape")
        except OSError:
            return ""


def _config(words: list[str]) -> str | None:
    """The settings that a command line of ``twistd queuey`` names."""
    programs = [at for at, word in enumerate(words) if os.path.basename(word) == "twistd"]
    if not programs or "queuey" not in words[programs[0] :]:
        return None
    given = words[words.index("queuey", programs[0]) + 1 :]
    for at, word in enumerate(given):
        name, equals, value = word.partition("=")
        if name == "--config" and equals:
            return value
        if word in ("--config", "-c"):
            return given[at + 1] if at + 1 < len(given) else None
        if word.startswith("-c") and not word.startswith("--"):
            return word[2:]
    return None
