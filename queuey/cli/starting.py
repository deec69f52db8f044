"""Whether a daemon could start here with some settings: folders, files and ports are tried, and left as they were."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Final

import attrs

from queuey.cli.processes import Processes
from queuey.config import Settings, SQLiteStorage
from queuey.config.kinds.endpoints import arguments
from queuey.logs import printable
from queuey.storage.sqlite.database.files import DATABASE, LOCK

_FILES: Final = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", LOCK)
"""Files of a data folder that the daemon has to be able to write."""

_TAKEN: Final = os.strerror(errno.EADDRINUSE)

Bind = Callable[[int, tuple[str, int]], AbstractContextManager[object]]
"""Binds a socket of a family to an address and a port, until the end of the context. Raises ``OSError``."""


@attrs.frozen
class Findings:
    """Result of the checks before a start.

    :ivar problems: each would keep a daemon from starting, or is a folder that it could not use later.
    :ivar served_by: the process that serves these settings now; ``None`` if there is none.
    """

    problems: tuple[str, ...]
    served_by: int | None


def bind(family: int, address: tuple[str, int]) -> socket.socket:
    """Bind a socket as Twisted does, without listening: no client can connect.

    It keeps others of this program from the same port until it is closed, so two endpoints on one port are found.
    """
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except BaseException:
        found.close()
        raise
    return found


def look(settings: Settings, processes: Processes, bind: Bind = bind) -> Findings:
    """Try what a start would need.

    A daemon that serves the same settings has the ports and the data: that is no problem.

    :param settings: from a file.
    :param processes: of this machine.
    """
    assert settings.source is not None
    serving = processes.serving(settings.source)
    looking = _Looking(settings, processes, serving, bind)
    return Findings(tuple(looking.problems()), serving)


@attrs.frozen
class _Looking:
    _settings: Settings
    _processes: Processes
    _serving: int | None
    _bind: Bind

    def problems(self) -> Iterator[str]:
        settings = self._settings
        if isinstance(settings.storage, SQLiteStorage):
            for problem in self._data(settings.storage.path):
                yield f"[storage] path: {problem}"
        if settings.logging.file is not None:
            for problem in _log(settings.logging.file):
                yield f"[logging] file: {problem}"
        backups = settings.server.ops.backups
        if backups is not None:
            for problem in _would_be_made(backups):
                yield f"[server] ops_backups: {problem}"
        ops = settings.server.ops
        # An automatic socket is in the folder of the data, which was looked at, and a daemon serves without it.
        yield from self._endpoints(
            (
                ("http", settings.server.http),
                ("ops", () if ops.automatic else ops.listen),
                ("dashboard", settings.server.dashboard.listen),
            )
        )

    def _data(self, folder: Path) -> Iterator[str]:
        found = [*_would_be_made(folder)]
        yield from found
        if found or not folder.exists():
            return
        for name in _FILES:
            if os.path.lexists(folder / name) and not os.access(folder / name, os.R_OK | os.W_OK):
                yield f"{printable(str(folder / name))} cannot be read and written by this user"
        holder = self._processes.lock_holder(folder / LOCK)
        if holder is not None and not self._is_ours(holder):
            what = f"is in use by {self._processes.named(holder)}, which does not serve these settings"
            yield f"{printable(str(folder))} {what}"

    def _is_ours(self, pid: int) -> bool:
        """Whether a process is the daemon of these settings: its command line says so, or it has one of the ports."""
        if pid == self._serving:
            return True
        described = (*self._settings.server.http, *self._settings.server.ops.listen)
        return any(pid in self._processes.listeners(*_address(one)) for one in described if _address(one)[1])

    def _endpoints(self, groups: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
        with ExitStack() as bound:
            ours: set[tuple[str, str]] = set()
            for key, descriptions in groups:
                for description in descriptions:
                    kind, place = _address(description)
                    if not place:
                        continue
                    why = _no_socket(place) if kind == "unix" else self._no_port(description, bound)
                    holders = self._processes.listeners(kind, place)
                    if why is None and not (kind == "unix" and holders):
                        ours.add((kind, place))
                        continue
                    if (kind, place) not in ours and self._has(holders, why):
                        continue
                    reason = why or _TAKEN
                    by = f", by {self._processes.named(min(holders))}" if holders else ""
                    yield f"[server] {key}: cannot listen on {description}: {reason}{by}"

    def _has(self, holders: frozenset[int], why: str | None) -> bool:
        """Whether the daemon of these settings has a port that is taken."""
        if holders:
            holder = self._processes.lock_holder(self._lock) if self._lock is not None else None
            return self._serving in holders or holder in holders
        # Who has it can be seen by root and by its own user alone.
        return self._serving is not None and why == _TAKEN

    @property
    def _lock(self) -> Path | None:
        storage = self._settings.storage
        return storage.path / LOCK if isinstance(storage, SQLiteStorage) else None

    def _no_port(self, description: str, bound: ExitStack) -> str | None:
        """Why a port cannot be had, if so; one that can stays bound."""
        kind, named = arguments(description)
        version6 = kind == "tcp6" or ":" in named.get("interface", "")
        address = named.get("interface") or ("::" if version6 else "0.0.0.0")
        try:
            bound.enter_context(
                self._bind(socket.AF_INET6 if version6 else socket.AF_INET, (address, int(named["port"])))
            )
        except OSError as error:
            return error.strerror or str(error)
        return None


def _address(description: str) -> tuple[str, str]:
    """Return the kind of an endpoint, and the port or the path that it takes; ``None`` for one that takes any free
    port."""
    kind, named = arguments(description)
    if kind == "unix":
        return kind, named["address"]
    if kind == "systemd" or named["port"] == "0":
        return kind, ""
    return "tcp", named["port"]


def _no_socket(path: str) -> str | None:
    """Why there can be no socket of this path, if so. One that no process listens on any more is removed at a start."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return "a file that is not a socket is there"
    return next(_folder(Path(path).parent), None)


def _folder(folder: Path, wanted: Path | None = None) -> Iterator[str]:
    """Yield the problems that prevent creating files in a folder."""
    shown = printable(str(wanted or folder))
    try:
        if not folder.is_dir():
            there = os.path.lexists(folder)
            what = "is not a folder" if wanted is None else f"cannot be made: {printable(str(folder))} is not a folder"
            yield f"{shown} {what}" if there else f"{shown} is not there"
            return
        # It has no name in the folder, or lost it before it was looked at.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = "cannot be written to" if wanted is None else "cannot be made"
        yield f"{shown} {what}: {error.strerror}"


def _would_be_made(folder: Path) -> Iterator[str]:
    """Yield the problems that prevent creating a folder, with its missing parents, and files in it."""
    if os.path.lexists(folder):
        yield from _folder(folder)
    else:
        yield from _folder(next(above for above in folder.parents if os.path.lexists(above)), folder)


def _log(file: Path) -> Iterator[str]:
    if not os.path.lexists(file):
        yield from (f"{printable(str(file))} cannot be made: {problem}" for problem in _folder(file.parent))
    elif file.is_dir():
        yield f"{printable(str(file))} is a folder"
    elif not os.access(file, os.W_OK):
        yield f"{printable(str(file))} cannot be written to by this user"
