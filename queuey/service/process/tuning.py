"""Settings of the process: switches between threads, garbage collection and the limit of open files."""

from __future__ import annotations

import gc
import resource
import sys
from typing import Final

_GC_THRESHOLDS: Final = (2_000, 10, 10)
"""Objects made before the youngest are looked through, and how much more seldom each older generation is."""

_TURN: Final = 0.0001
"""Seconds for which a thread waits for the interpreter's lock before it asks for it."""

_OTHER_DESCRIPTORS: Final = 100
"""Files that the process has open besides connections, with room to spare."""


def take_turns() -> None:
    """Let a thread that waits for the interpreter's lock have it soon.

    Python lets it wait 5 ms, which is as long as several transactions take. The thread that has come back from the disk
    has answers that many wait for, and needs the lock for some 0.1 ms.
    """
    sys.setswitchinterval(_TURN)


def collect_less() -> None:
    """Let the garbage collector pass over what the program consists of, and look for cycles a little more seldom.

    Requests leave few cycles. Under load a fifth of the time of a POST went into looking at all modules again and
    again. What is left takes about 1 % of a POST; ten times as many objects between two looks would save most of that,
    and let ten times as much garbage gather.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def raise_file_limit(max_connections: int) -> list[str]:
    """Raise the soft limit of open files as far as needed and allowed; warn if ``max_connections`` cannot be reached.

    Connections above ``max_connections`` are answered 503, up to as many again, if there are descriptors left for that.
    If not, those are closed without an answer; every connection that the settings allow is served, so there is no
    warning.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted, needed = 2 * max_connections + _OTHER_DESCRIPTORS, max_connections + _OTHER_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return []
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed >= needed:
        return []
    fits = max(1, allowed - _OTHER_DESCRIPTORS)
    return [
        f"this process may open {allowed} files, and max_connections = {max_connections} needs {needed}: raise the "
        f"limit (LimitNOFILE={wanted} in the unit of systemd, ulimit -n {wanted} in a shell), or set "
        f"max_connections = {fits} in [server]"
    ]
