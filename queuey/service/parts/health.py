"""Health checks of a front end: those for being alive, and those for being ready."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime

from queuey.config import Settings, SQLiteStorage
from queuey.config.kinds.kinds import size_text
from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import IStore
from queuey.ops.draining import Draining
from queuey.ops.health import Check, Health
from queuey.service.parts.reactor_lag import Pulse

LATE: Final = 5.0
"""Seconds by which the reactor may be late; no single step should take a tenth of a second."""

_MEBIBYTE: Final = 1 << 20

Free = Callable[[Path], Deferred[int]]
"""Gives the bytes that are free in a folder; fails with ``OSError``."""


def liveness(pulse: Pulse, clock: IReactorTime, store: IStore) -> Health:
    """Whether the daemon is alive: that its reactor turns, and that the threads of its store do.

    Whether the store answers is not part of it. A service manager restarts a daemon that is not alive; that mends
    neither a disk nor a cluster, and only ends the requests that wait for them.
    """

    def reactor() -> str:
        if pulse.late > LATE:
            raise Unavailable(f"The reactor is {pulse.late:.1f} s late.")
        return "The reactor turns."

    threads = _problem(store, "threads", "The threads of the store are there, or it has none.", clock)
    return Health("live", [Check("reactor", lambda: maybeDeferred(reactor), clock), threads])


def _problem(store: IStore, name: str, well: str, clock: IReactorTime) -> Check:
    """A check of one of the problems that a store knows of without being asked."""

    def ask() -> str:
        why = store.health_problems().get(name)
        if why is not None:
            raise Unavailable(why)
        return well

    return Check(name, lambda: maybeDeferred(ask), clock)


def readiness(
    *,
    store: IStore,
    draining: Draining,
    settings: Callable[[], Settings],
    free: Free,
    clock: IReactorTime,
    accepting: Callable[[], int] | None = None,
) -> Health:
    """Whether requests should be sent here.

    :param settings: those in force.
    :param free: asks the file system, without blocking the reactor.
    :param accepting: how many workers accept connections; ``None`` without workers.
    """

    @deferred
    async def answers() -> str:
        await store.ping()
        return "The store answers."

    def drained() -> str:
        if draining.stopping:
            raise Unavailable("The daemon is about to stop.")
        if draining.asked:
            raise Unavailable("An operator drains this front end.")
        return "This front end is not drained."

    checks = [
        Check("store", answers, clock),
        _problem(store, "clock", "The clock is within bounds, or compared with no other.", clock),
        _problem(store, "lease", "This front end holds the lease of the store, or needs none.", clock),
        Check("draining", lambda: maybeDeferred(drained), clock),
        Check("disk", lambda: _room(settings(), free), clock),
    ]
    if accepting is not None:
        checks.append(Check("workers", lambda: maybeDeferred(_some, accepting), clock))
    return Health("ready", checks)


def _some(accepting: Callable[[], int]) -> str:
    if not accepting():
        raise Unavailable("No worker accepts.")
    return f"{accepting()} workers accept."


def _room(settings: Settings, free: Free) -> Deferred[str]:
    storage = settings.storage
    if not isinstance(storage, SQLiteStorage):
        return succeed("No messages are kept on this machine.")
    return _above(storage.path, settings.server.disk_floor, free)


@deferred
async def _above(folder: Path, floor: int, free: Free) -> str:
    try:
        found = await free(folder)
    except OSError as error:
        raise Unavailable(f"The file system of {folder} cannot be asked: {error.strerror}.") from None
    text = f"{found / _MEBIBYTE:.1f} MiB are free in {folder}"
    if found < floor:
        raise Unavailable(f"{text}, and disk_floor is {size_text(floor)}.")
    return f"{text}."


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free for the daemon's user in the file system of a folder; may block as long as the
    file system does."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
