"""Maintenance of a whole store while it is served, besides its own threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw
import attrs
from twisted.internet.defer import Deferred

from queuey.errors import Unavailable
from queuey.file_modes import OWN_USER, FileModes
from queuey.storage.sqlite.database.files import DATABASE
from queuey.storage.sqlite.upkeep.backup import Backup, back_up, open_to_read

_CHECK: Final = "PRAGMA integrity_check(1)"


@attrs.frozen
class SQLiteCare:
    """Checks and copies a store.

    :ivar folder: of the store.
    :ivar in_thread: calls a function in a thread; fires with what it returns, or fails with what it raises.
    :ivar modes: of the files and folders of copies.
    """

    folder: Path
    in_thread: Callable[[Callable[[], Any]], Deferred[Any]]
    modes: FileModes = OWN_USER

    def check(self) -> Deferred[str]:
        """Read all of the database.

        :return: fires with ``ok``, or what is wrong with it. Fails with ``Unavailable``.
        """
        return self.in_thread(lambda: _check(self.folder))

    def back_up(self, target: Path) -> Deferred[Backup]:
        """Copy the database as it is now into a new folder; see :func:`queuey.storage.sqlite.upkeep.backup.back_up`."""
        return self.in_thread(lambda: _back_up(self.folder, target, self.modes))


def _back_up(folder: Path, target: Path, modes: FileModes) -> Backup:
    try:
        modes.make_folders(target.parent)
    except OSError as error:
        raise Unavailable(f"The folder {target.parent} cannot be made: {error.strerror}.") from None
    return back_up(folder, target, modes)


def _check(folder: Path) -> str:
    connection = open_to_read(folder)
    try:
        return str(connection.execute(_CHECK).get)
    except apsw.CorruptError:
        return "the database is damaged"
    except apsw.Error as error:
        raise Unavailable(f"The database {folder / DATABASE} cannot be read: {error}.") from None
    finally:
        connection.close(True)
