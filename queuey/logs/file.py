"""A file, a pipe or a terminal that takes the lines of the log without ever stopping the program."""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path
from threading import RLock
from typing import Final

from queuey.file_modes import OWN_USER, FileModes, Findings

_PATIENCE: Final = 0.1
"""Seconds that a line waits for a pipe or a terminal that is not read, before it is lost."""

_PIPE_PIECE: Final = 4096
"""Bytes that a pipe that is ready takes without waiting (POSIX: PIPE_BUF)."""


class LogFile:
    """Takes lines, and never raises or waits for long, whatever becomes of the file.

    Safe for several threads: the logger calls its observers in the thread that logs.
    """

    def __init__(self, path: Path | None, descriptor: int, modes: FileModes = OWN_USER) -> None:
        """:param path: of the file, to open it again; ``None`` if that is not possible.
        :param descriptor: to write to.
        :param modes: of a file that is created.
        """
        self.path = path
        self._modes = modes
        self._descriptor = descriptor
        # A signal or the end of a Failure may log in the middle of a write of the same thread.
        self._lock = RLock()
        self._torn = False
        self._stuck = False
        self._ready = _readiness(descriptor)

    @classmethod
    def at(cls, path: Path, modes: FileModes, findings: Findings) -> LogFile:
        """Open a file for appending.

        Its folder gets its mode too, if it contains only logs.

        :param findings: is called with the files that others could read until now.
        :raise OSError: that is not possible.
        """
        descriptor = _open(path, modes, findings)
        modes.apply_to_own(path.parent, lambda name: name.startswith(path.name) or ".log" in name, findings)
        return cls(path, descriptor, modes)

    def write(self, data: bytes) -> int:
        """Write lines, each with its newline.

        :return: how many bytes of them were written.
        """
        with self._lock:
            whole = b"\n" + data if self._torn else data
            written = 0
            try:
                while written < len(whole):
                    written += self._put(whole[written:])
            except OSError:
                pass
            if written:
                self._torn = written < len(whole)
            return max(0, written - (len(whole) - len(data)))

    def _put(self, data: bytes) -> int:
        if self._ready is None:
            return os.write(self._descriptor, data)
        self._stuck = not self._ready.poll(0 if self._stuck else _PATIENCE * 1000)
        if self._stuck:
            raise BlockingIOError
        piece = data[:_PIPE_PIECE]
        # Whole lines: a pipe may have several writers, between whose pieces others may come.
        return os.write(self._descriptor, piece[: piece.rfind(b"\n") + 1] or piece)

    def reopen(self, findings: Findings) -> None:
        """Open the file of this name again, after it was moved away; if that fails, the old one stays in use.

        :param findings: is called with a file of that name that others could read.
        :raise OSError: it cannot be opened.
        """
        if self.path is None:
            return
        fresh = _open(self.path, self._modes, findings)
        try:
            with self._lock:
                # The descriptor stays the same, so that no other thread writes to a number that was reused meanwhile.
                os.dup2(fresh, self._descriptor, inheritable=False)
                self._torn = False
                self._ready = _readiness(self._descriptor)
        finally:
            os.close(fresh)

    def close(self) -> None:
        """Close the file; lines that come later are lost. Standard error stays open."""
        with self._lock:
            if self.path is not None and self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


def _open(path: Path, modes: FileModes, findings: Findings) -> int:
    # Without O_NONBLOCK, opening a named pipe would wait for its reader.
    descriptor = modes.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    modes.apply(path, findings)
    return descriptor


def _readiness(descriptor: int) -> select.poll | None:
    """Return a poll object that shows whether a write would block; ``None`` for files, which never block."""
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
    except OSError:
        return None
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)
    return ready
