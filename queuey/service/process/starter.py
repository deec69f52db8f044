"""The process that starts the daemon: its output, how long it waits, and its exit status."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

_STARTED: Final = b"s"
_REFUSED: Final = b"r"

_INTERRUPTED: Final = 130
"""The exit status of a program that was ended by Ctrl-C, as shells have it."""


class StartRefused(Exception):
    """The daemon cannot start; the starter has printed why, one line for each mistake."""


class Starter:
    """The terminal, script or service manager that starts the daemon, and reads its standard error until then.

    A twistd without ``--nodaemon`` forks. The first process waits for the daemon, prints at most 100 bytes of the
    exception that ended the start, and sends its reader to a log file; if the store is refused later, it has already
    ended with status 0. So the first process waits here, in a hook of the fork, until the daemon has started or has
    ended. If the start was refused, it ends with status 1 and prints nothing, since the daemon has printed the reason.
    """

    def __init__(self, descriptor: int, *, forks: bool) -> None:
        """
        :param descriptor: of standard error, before the daemon closes it.
        :param forks: whether twistd will go into the background.
        """
        self._descriptor: int | None = os.dup(descriptor)
        self._pid = os.getpid()
        self._pipe: tuple[int, int] | None = None
        if forks:
            self._pipe = os.pipe()
            os.register_at_fork(after_in_parent=self._await_daemon)

    @property
    def listens(self) -> bool:
        """Whether standard error is still open."""
        return self._descriptor is not None

    def tell(self, *lines: str) -> None:
        """Write lines to standard error. If its reader has gone, the lines are lost, and that is no error."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            os.write(self._descriptor, "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))

    def refuse(self) -> None:
        """Let the first process end with status 1 once the daemon has ended and removed its pid file."""
        # The pipe stays open: the end of this process closes it.
        self._report(_REFUSED)
        self._pipe = None

    def leave(self) -> None:
        """Let the first process end if the start was not refused, and close standard error."""
        self._report(_STARTED)
        if self._pipe is not None:
            for end in self._pipe:
                os.close(end)
            self._pipe = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _report(self, word: bytes) -> None:
        if self._pipe is not None:
            with suppress(OSError):
                os.write(self._pipe[1], word)

    def _await_daemon(self) -> None:
        """Wait in the first process until the daemon has started or ended; every other process forks without it."""
        if os.getpid() != self._pid or self._pipe is None:
            return
        reading, writing = self._pipe
        self._pipe = None
        os.close(writing)
        try:
            # The end of the daemon closes the pipe, so this wait ends in any case.
            words = b""
            while _STARTED not in words and (word := os.read(reading, 1)):
                words += word
        except KeyboardInterrupt:
            os._exit(_INTERRUPTED)
        if words.startswith(_REFUSED):
            os._exit(1)
        # An exception without a message of ours ends here too: twistd prints it.
