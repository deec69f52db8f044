"""The directory, its lock, and the connections to the database in it; whatever is wrong is said in one line."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw
import attrs

from queuey.errors import DataInUse, QueueyError, StorageFull, Unavailable
from queuey.file_modes import OWN_USER, FileModes, Findings, is_link_of_others, note_owner
from queuey.storage.sqlite import single_statement
from queuey.storage.sqlite.database import schema

DATABASE: Final = "queuey.sqlite"
LOCK: Final = "queuey.lock"

OLDEST_SQLITE: Final = (3, 51, 3)
"""Before it a checkpoint could race a commit, and lose what was acknowledged."""

PAGE: Final = 4096

CHECKPOINT_PAGES: Final = 8000
"""Pages of the write-ahead log at which it is copied into the database: some 32 MB."""

PREPARED: Final = 256
"""Statements that a connection keeps prepared: those of write batches, which are some dozens in each of a few sizes."""

BUSY: Final = 5000
"""Milliseconds to wait for a lock that another program holds on the database, such as one that makes a backup."""


class Lock:
    """The lock that one process holds on a directory; it ends with the process however that ends."""

    def __init__(self, directory: Path, modes: FileModes = OWN_USER) -> None:
        """Take the lock.

        :raise DataInUse: another process has it.
        :raise Unavailable: it cannot be made.
        """
        try:
            self._file = modes.open(directory / LOCK, os.O_RDWR)
        except OSError as error:
            raise Unavailable(f"The data directory {directory} cannot be written to: {error.strerror}.") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._file, 20).decode("ascii", "replace").strip()
            os.close(self._file)
            raise DataInUse(f"The data directory {directory} is in use by process {holder or '?'}.") from error
        try:
            os.ftruncate(self._file, 0)
            os.write(self._file, b"%d\n" % os.getpid())
        except OSError as error:
            os.close(self._file)
            raise Unavailable(f"The data directory {directory} cannot be written to: {error.strerror}.") from error

    def release(self) -> None:
        """Let others have it."""
        os.close(self._file)


def make_directory(directory: Path, modes: FileModes, findings: Findings) -> None:
    """Make the directory if it is not there, so that it outlives a loss of power, and set the modes of what is in it.

    :param findings: is called with the files that others could read until now.
    :raise Unavailable: it cannot be made.
    """
    try:
        for folder in modes.make_folders(directory):
            _keep_entry(folder.parent)
    except OSError as error:
        raise Unavailable(f"The data directory {directory} cannot be made: {error.strerror}.") from error
    if not modes.apply_to_own(directory, _is_ours, findings):
        _look_at_shared(directory, findings)
    with suppress(OSError):
        for name in sorted(filter(_is_ours, os.listdir(directory))):
            modes.apply(directory / name, findings)


def _is_ours(name: str) -> bool:
    """Whether a name is of a file of a store: the database, what SQLite has beside it, the lock, copies of upgrades."""
    return name.startswith(("queuey.", "queuey-"))


def _look_at_shared(directory: Path, findings: Findings) -> None:
    """Find out whether others may replace files in a directory that has other files too."""
    with suppress(OSError):
        found = directory.stat()
        mode = found.st_mode
        note_owner(directory, found, findings)
        if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            findings.left.append(f"{directory} with mode {stat.S_IMODE(mode):03o} (it has files of others)")


def connect(
    path: Path, synchronous: str, cache_bytes: int, vfs: str | None = None, modes: FileModes = OWN_USER
) -> apsw.Connection:
    """The connection that writes, to a database that is ours and up to date.

    :param synchronous: ``FULL`` or ``NORMAL``.
    :param modes: of the database, if it is made now. SQLite makes its other files with the mode of the database.
    :raise QueueyError: the file cannot be used.
    """
    _make_file(path, modes)
    with opening(path, vfs) as connection:
        version = schema.check(connection)
        if version == 0:
            # Both hold only if they are set before the first table is made.
            connection.pragma("page_size", PAGE)
            connection.pragma("auto_vacuum", "INCREMENTAL")
        if connection.pragma("journal_mode", "WAL") != "wal":
            raise Unavailable("its file system has no shared memory, which the write-ahead log needs")
        connection.pragma("synchronous", synchronous)
        # The writer checkpoints between batches. SQLite would do it inside a commit, while callers wait for the answer.
        connection.wal_autocheckpoint(0)
        connection.pragma("journal_size_limit", 2 * CHECKPOINT_PAGES * PAGE)
        _tune(connection, cache_bytes)
        schema.upgrade(connection, version)
        single_statement.prepare(connection)
        _keep_entry(path.parent)
    return connection


def _make_file(path: Path, modes: FileModes) -> None:
    """Make an empty file, which is an empty database, unless there is one.

    :raise QueueyError: it cannot be made, or what is there cannot be written to, or is another user's link.
    """
    try:
        for one in [path, *(path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm", "-journal"))]:
            if one.is_symlink() and is_link_of_others(one):
                raise Unavailable(f"The database {path} cannot be used: {one.name} is a symbolic link of another user.")
        modes.create(real(path))
    except FileExistsError:
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            raise Unavailable(f"The database {path} cannot be written to: Permission denied.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"There is no room on the disk to open {path}.") from error
        raise Unavailable(f"The database {path} cannot be made: {error.strerror}.") from error


def real(path: Path) -> Path:
    """The file that a path leads to. SQLite has its other files beside that one."""
    return Path(os.path.realpath(path))


def connect_reader(path: Path, cache_bytes: int, vfs: str | None = None) -> apsw.Connection:
    """A connection that only reads.

    :raise QueueyError: the file cannot be used.
    """
    with opening(path, vfs) as connection:
        connection.wal_autocheckpoint(0)
        _tune(connection, cache_bytes)
        connection.pragma("query_only", 1)
    return connection


def _tune(connection: apsw.Connection, cache_bytes: int) -> None:
    connection.pragma("cache_size", -(cache_bytes // 1024))
    connection.pragma("temp_store", "MEMORY")


@contextmanager
def opening(path: Path, vfs: str | None = None) -> Iterator[apsw.Connection]:
    """A connection that is closed again if anything goes wrong, which is then said with the path."""
    try:
        connection = apsw.Connection(str(path), vfs=vfs, statementcachesize=PREPARED)
    except apsw.Error as error:
        raise cannot(path, error) from error
    try:
        connection.set_busy_timeout(BUSY)
        yield connection
    except (apsw.Error, Unavailable) as error:
        connection.close(True)
        raise cannot(path, error) from error
    except BaseException:
        connection.close(True)
        raise


def cannot(path: Path, error: Exception) -> QueueyError:
    """Why a database cannot be used, in a sentence."""
    if isinstance(error, apsw.NotADBError):
        why = "it is no database"
    elif isinstance(error, apsw.CorruptError):
        why = "it is damaged"
    elif isinstance(error, apsw.FullError):
        return StorageFull(f"There is no room on the disk to open {path}.")
    elif isinstance(error, apsw.BusyError):
        why = "another program has locked it"
    else:
        why = str(error)
    return Unavailable(f"The database {path} cannot be used: {why}.")


def _keep_entry(directory: Path) -> None:
    """Make sure that the directory's entries of what was made in it outlive a loss of power."""
    file = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def check_library() -> None:
    """Refuse a SQLite that loses data.

    :raise Unavailable: it is older than the first that can be relied on.
    """
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise Unavailable(f"SQLite {version} can lose data; install apsw with SQLite {oldest} or later.")


def translated(error: apsw.Error) -> QueueyError:
    """Return the error that the callers get for an error of the database."""
    if isinstance(error, apsw.FullError):
        return StorageFull("There is no room left on the disk of the store.")
    if isinstance(error, apsw.IOError):
        # After a failed sync the whole transaction is in the log, and a restart after a crash may still apply it. No
        # other failure leaves that possible.
        applied = "unknown" if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_FSYNC else "no"
        return Unavailable("The disk of the store failed.", applied=applied, retry_after=10)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return Unavailable("The database is damaged.", retry_after=60)
    return Unavailable("The database failed.", retry_after=10)


@attrs.frozen
class SQLiteSettings:
    """The operator's settings of the embedded store.

    :ivar relaxed: do not wait for the disk. The writes of the last moments before a loss of power may then be lost,
        although they were acknowledged. A crash of the process alone loses no acknowledged write.
    :ivar cache_bytes: the page cache of each of the two connections.
    :ivar vfs: the registered name of the layer of SQLite that reads and writes files; ``None``: SQLite's own. Tests use
        one that simulates a loss of power.
    :ivar filling: whether to open a copy that is not complete yet, in order to complete it.
    :ivar modes: of the files and the folder.
    """

    relaxed: bool = False
    cache_bytes: int = 16 << 20
    vfs: str | None = None
    filling: bool = False
    modes: FileModes = OWN_USER
