"""Backups: a copy of a store, made beside the daemon that serves it, and what is read out of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, cast

import apsw
import attrs

from queuey.errors import AlreadyThere, QueueyError, StorageFull, Unavailable
from queuey.file_modes import OWN_USER, FileModes
from queuey.model.messages.message import Content, Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import Ticks
from queuey.storage.sqlite import queues
from queuey.storage.sqlite.database import schema
from queuey.storage.sqlite.database.copying import copy, sync
from queuey.storage.sqlite.database.files import BUSY, DATABASE, check_library

_SUMS: Final = "SELECT count(*), coalesce(sum(messages), 0), (SELECT last FROM clock) FROM tallies"
_COUNT: Final = "SELECT messages FROM tallies WHERE queue = ?"
_LIVING: Final = """
    SELECT id, expires, content_type, headers, body FROM messages
    WHERE queue = ? AND partition = ? AND expires > ? ORDER BY id
"""
_NEXT_PARTITION: Final = "SELECT min(partition) FROM messages WHERE queue = ? AND partition > ?"


@attrs.frozen
class Backup:
    """The contents of a backup.

    :ivar path: its folder, from which a daemon can serve.
    :ivar bytes: of its one file.
    :ivar messages: those that have expired and were not swept yet included.
    :ivar stable: the stable time: everything that was answered with an id up to it is there, unless it was deleted.
    """

    path: Path
    bytes: int
    messages: int
    queues: int
    stable: Ticks


def back_up(
    source: Path,
    target: Path,
    modes: FileModes = OWN_USER,
    *,
    parents: bool = False,
    on_bytes: Callable[[int], object] = lambda size: None,
) -> Backup:
    """Copy a store as it is when this begins, even if a daemon serves it.

    The copy has everything that was acknowledged before. It is made in a folder of another name beside the target, and
    renamed once it is complete, checked and synced to the disk. If a step fails, that folder is removed, so the target
    is either complete or missing.

    :param source: the folder of the store.
    :param target: the folder to make.
    :param modes: of the target, of the files in it, and of the parent folders that are made.
    :param parents: whether to make missing parent folders, too.
    :param on_bytes: is called now and then with the size of the copy so far.
    :raise QueueyError: with one line that says why there is no backup.
    """
    if os.path.lexists(target):
        raise AlreadyThere(f"{target} is there already; a backup makes a new folder.")
    connection = open_to_read(source)
    try:
        with _parents(target.parent, modes, parents), _growing(target) as folder:
            copy(connection, folder / DATABASE, modes, on_bytes)
            made = _checked(folder / DATABASE, target)
            modes.give(folder)
            sync(folder)
            folder.rename(target)
            sync(target.parent)
            return made
    except apsw.FullError as error:
        raise StorageFull(f"There is no room on the disk for the backup {target}.") from error
    except apsw.CantOpenError as error:
        raise Unavailable(f"The backup {target} cannot be written.") from error
    except apsw.Error as error:
        raise _unreadable(source / DATABASE, error) from error
    except OSError as error:
        raise Unavailable(f"The backup {target} cannot be written: {error.strerror}.") from error
    finally:
        connection.close(True)


def size_of(folder: Path) -> int:
    """Return the bytes of a store's database, or 0 if there is none; a copy is about as large, or smaller."""
    try:
        return (folder / DATABASE).stat().st_size
    except OSError:
        return 0


@contextmanager
def _parents(folder: Path, modes: FileModes, wanted: bool) -> Iterator[None]:
    """Make a folder and those that it is in; remove them again if anything goes wrong."""
    made: list[Path] = []
    try:
        if wanted:
            for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
                missing.mkdir(mode=0o700)
                made.append(missing)
                modes.give(missing)
                sync(missing.parent)
        yield
    except BaseException:
        for each in reversed(made):
            with suppress(OSError):
                each.rmdir()
        raise


@contextmanager
def _growing(target: Path) -> Iterator[Path]:
    """A folder beside the target that is removed if anything goes wrong."""
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _checked(file: Path, target: Path) -> Backup:
    """Return the contents of a complete copy; reading it finds damage that copying did not."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found = connection.execute("PRAGMA integrity_check(1)").get
        if found != "ok":
            raise apsw.CorruptError(str(found))
        count, messages, stable = cast(tuple[int, int, int], connection.execute(_SUMS).get)
        return Backup(target, file.stat().st_size, messages, count, Ticks(stable))
    finally:
        connection.close(True)


def open_to_read(folder: Path) -> apsw.Connection:
    """A connection to the database of a store or of a backup that can only read, and takes no lock of ours.

    :raise Unavailable: there is none that this program can read.
    """
    check_library()
    path = folder / DATABASE
    if not path.is_file():
        raise Unavailable(f"{folder} is no store of Queuey: it has no {DATABASE}.")
    connection: apsw.Connection | None = None
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(BUSY)
        if schema.check(connection) == 0:
            raise Unavailable("there is nothing in it")
        return connection
    except (apsw.Error, Unavailable) as error:
        if connection is not None:
            connection.close(True)
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> QueueyError:
    if isinstance(error, apsw.NotADBError):
        why = "it is no database"
    elif isinstance(error, apsw.CorruptError):
        why = "it is damaged"
    else:
        why = str(error)
    return Unavailable(f"The database {path} cannot be read: {why}.")


class Archive:
    """A backup from which single queues are read; all of it may block.

    :param folder: of a backup, or of a store that no daemon of an older version is to serve any more.
    :raise Unavailable: it cannot be read by this program.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / DATABASE
        self._connection = open_to_read(folder)
        version = self._connection.pragma("user_version")
        if version != schema.CURRENT:
            self.close()
            raise Unavailable(
                f"The database {self._path} has schema {version}, and queues are read out of schema {schema.CURRENT} "
                "alone: let a daemon of this version serve from a copy of it once."
            )

    def close(self) -> None:
        """Give the file back."""
        self._connection.close(True)

    def queue(self, application: str, name: str) -> Queue | None:
        """The queue of a name, if there is one.

        :raise Unavailable: the file is damaged.
        """
        with self._reading():
            return queues.find(self._connection, application, name)

    def count(self, queue: Queue) -> int:
        """Return the number of its messages, among which may be expired ones.

        :raise Unavailable: the file is damaged.
        """
        with self._reading():
            return int(self._connection.execute(_COUNT, (queue.incarnation,)).get or 0)

    def messages(self, queue: Queue, now: Ticks) -> Iterator[Message]:
        """Its messages that have not expired, partition by partition in the order of their ids, one at a time.

        :raise Unavailable: the file is damaged.
        """
        execute = self._connection.execute
        with self._reading():
            partition = 0
            while (partition := execute(_NEXT_PARTITION, (queue.incarnation, partition)).get) is not None:
                for id, expires, content_type, headers, body in execute(_LIVING, (queue.incarnation, partition, now)):
                    yield Message(partition, id, Content(body, content_type, headers), Ticks(expires))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise _unreadable(self._path, error) from error
