"""The end of a process: time limits for requests under way, and the exit status."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

from twisted.internet.defer import Deferred

from queuey.deferreds import bounded
from queuey.errors import Unavailable


async def ends_within(seconds: float, work: Deferred[Any], reactor: Any) -> bool:
    """Wait for a Deferred; return whether it fired within this number of seconds."""
    try:
        await bounded(work, seconds, reactor, lambda: Unavailable("stop_timeout"))
    except Unavailable:
        return False
    return True


def end_badly() -> None:
    """Let the process end with status 1 once all is closed; twistd knows of no other way than a traceback."""
    atexit.register(_exit_with_1)


def _exit_with_1() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
