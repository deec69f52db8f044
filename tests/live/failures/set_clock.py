"""Runs twistd with a wall clock that a test sets: ``python set_clock.py FILE [ARGUMENTS OF TWISTD]``.

The time is the machine's plus as many seconds as stand in the file, which is read at every call. It takes the place of
``time.time`` before anything else is imported, so that Twisted's reactor, the store and the log all go by it, as they
do when the machine's clock is set. ``time.monotonic`` is left alone, as setting a clock leaves it alone.
"""

from __future__ import annotations

import os
import sys
import time


def set_clock(path: str) -> None:
    """Let ``time.time`` be off by what the file says."""
    true_time = time.time
    file = os.open(path, os.O_RDONLY)

    def shifted() -> float:
        return true_time() + float(os.pread(file, 40, 0) or 0)

    time.time = shifted


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose modules are no one's business here
    set_clock(sys.argv.pop(1))
    from twisted.scripts.twistd import run

    sys.exit(run())
