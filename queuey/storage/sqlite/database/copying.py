"""Copies a database as it is at one moment, while other processes read and write it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from queuey.file_modes import OWN_USER, FileModes

STEPS: Final = 100_000
"""Steps of the copying after which signals are looked at: some milliseconds."""


def copy(
    connection: apsw.Connection,
    target: Path,
    modes: FileModes = OWN_USER,
    on_bytes: Callable[[int], object] = lambda size: None,
) -> None:
    """Write what a connection sees now into a new file, and sync it to the disk.

    It reads in one transaction and blocks no other connection. Meanwhile the write-ahead log of the original can be
    copied into the database, but cannot start over. The copy is packed, and has no write-ahead log.

    :param target: must not exist. If the copying fails or is interrupted, the file is removed.
    :param modes: of the new file.
    :param on_bytes: is called now and then with the size of the new file.
    :raise apsw.Error: the database cannot be read or the file cannot be written.
    :raise OSError: the file cannot be made.
    """
    modes.create(target)

    def go_on() -> bool:
        on_bytes(target.stat().st_size)
        return _go_on()

    connection.set_progress_handler(go_on, STEPS)
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
        sync(target)
    except BaseException:
        for part in (target, target.with_name(f"{target.name}-journal")):
            with suppress(OSError):
                part.unlink()
        raise
    finally:
        connection.set_progress_handler(None)


def _go_on() -> bool:
    """Let Python run the handlers of signals, which it cannot do inside of one call of the database."""
    return False


def sync(path: Path) -> None:
    """Wait until a file or the entries of a directory have reached the disk.

    :raise OSError: the sync fails.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
