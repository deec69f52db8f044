"""The tables, as numbered statements: a file of any older version is brought up to date by those it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import apsw

from queuey.errors import Unavailable
from queuey.storage.sqlite.database.copying import copy, sync

APPLICATION_ID: Final = 0x51756579
"""The ``application_id`` in the header of our files (the letters are "Quey"), which distinguishes them from other
SQLite files."""

Versions = Mapping[int, tuple[str, ...]]

VERSIONS: Final[Versions] = {
    1: (
        # Ids are unique within a partition. The row's key is seq, not the id: rows then go to the end of the table
        # and only the index is written in many places, which takes less than half the time over a million queues.
        """
        CREATE TABLE messages (
            seq INTEGER PRIMARY KEY,
            queue INTEGER NOT NULL,
            partition INTEGER NOT NULL,
            id BLOB NOT NULL,
            expires INTEGER NOT NULL,
            size INTEGER NOT NULL,
            content_type TEXT,
            headers BLOB,
            body BLOB NOT NULL,
            UNIQUE (queue, partition, id)
        ) STRICT
        """,
        # The queue stands in it so that the expired messages of one queue are counted without a look at the rows.
        "CREATE INDEX expiry ON messages (expires, queue)",
        # Ids whose time has not come.
        """
        CREATE TABLE future (
            id BLOB NOT NULL,
            queue INTEGER NOT NULL,
            partition INTEGER NOT NULL,
            PRIMARY KEY (id, queue, partition)
        ) STRICT, WITHOUT ROWID
        """,
        # AUTOINCREMENT: no number comes again, not even that of the last queue once it was deleted.
        """
        CREATE TABLE queues (
            queue INTEGER PRIMARY KEY AUTOINCREMENT,
            application TEXT NOT NULL,
            name TEXT NOT NULL,
            type TEXT NOT NULL,
            partitions INTEGER NOT NULL,
            consistency TEXT NOT NULL,
            principals TEXT NOT NULL,
            version TEXT NOT NULL,
            created INTEGER NOT NULL,
            UNIQUE (application, name)
        ) STRICT
        """,
        # What each living queue holds, what expired and is not swept included. Apart from queues, since it changes
        # with every message: narrow rows make that a third quicker over a million queues.
        """
        CREATE TABLE tallies (
            queue INTEGER PRIMARY KEY,
            messages INTEGER NOT NULL,
            bytes INTEGER NOT NULL
        ) STRICT
        """,
        # Queues that were deleted and whose messages are not swept yet.
        "CREATE TABLE dead (queue INTEGER PRIMARY KEY) STRICT",
        # What each application holds in its living queues.
        """
        CREATE TABLE usage (
            application TEXT PRIMARY KEY,
            queues INTEGER NOT NULL,
            bytes INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE states (
            key TEXT PRIMARY KEY,
            version TEXT NOT NULL,
            value BLOB NOT NULL
        ) STRICT
        """,
        # One row: the stable time.
        "CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL) STRICT",
        "INSERT INTO clock (one, last) VALUES (1, 0)",
    ),
    2: (
        # What a queue does not say for itself is NULL, and is what its application has.
        "ALTER TABLE queues ADD COLUMN guarantee TEXT",
        "ALTER TABLE queues ADD COLUMN ttl INTEGER",
        # The bound up to which it was purged; NULL: it never was.
        "ALTER TABLE queues ADD COLUMN purged BLOB",
        # What was answered to writes that are done once: for each message its partition, in two bytes, and its id.
        # The row's key is seq for the reason that stands above.
        """
        CREATE TABLE keys (
            seq INTEGER PRIMARY KEY,
            queue INTEGER NOT NULL,
            key BLOB NOT NULL,
            digest BLOB NOT NULL,
            answer BLOB NOT NULL,
            note TEXT NOT NULL,
            expires INTEGER NOT NULL,
            UNIQUE (queue, key)
        ) STRICT
        """,
        "CREATE INDEX key_expiry ON keys (expires)",
    ),
    3: (
        # The states of consumer groups, each of one partition. AUTOINCREMENT: a seek takes a new number, and the rows
        # of the old one may not be swept yet.
        """
        CREATE TABLE group_states (
            state INTEGER PRIMARY KEY AUTOINCREMENT,
            queue INTEGER NOT NULL,
            gid BLOB NOT NULL,
            partition INTEGER NOT NULL,
            UNIQUE (gid, partition)
        ) STRICT
        """,
        "CREATE INDEX group_states_queue ON group_states (queue)",
        # What they consist of; see group_rows.py. The rows of a state lie side by side, so a claim changes few pages.
        """
        CREATE TABLE deliveries (
            state INTEGER NOT NULL,
            key BLOB NOT NULL,
            value BLOB NOT NULL,
            PRIMARY KEY (state, key)
        ) STRICT, WITHOUT ROWID
        """,
        # States that are over and whose rows are not swept yet.
        "CREATE TABLE dead_states (state INTEGER PRIMARY KEY) STRICT",
    ),
    4: (
        # The time of the last message of a queue that is closed; NULL: it is open. It stands in both tables: a write
        # looks at tallies alone.
        "ALTER TABLE queues ADD COLUMN closed INTEGER",
        "ALTER TABLE tallies ADD COLUMN closed INTEGER",
    ),
}
"""The statements that lead from the version before to each one."""

CURRENT: Final = max(VERSIONS)


def check(connection: apsw.Connection, versions: Versions = VERSIONS) -> int:
    """Find out whether the file is ours, and return its schema version.

    :param versions: the versions that this program knows.
    :return: the version; 0 for an empty file.
    :raise Unavailable: the file is not ours, or its version is newer than this program knows.
    """
    mark, version = connection.pragma("application_id"), connection.pragma("user_version")
    if mark == 0 and version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").get == 0:
        return 0
    if mark != APPLICATION_ID:
        raise Unavailable("it is a database of another program")
    if version > max(versions):
        raise Unavailable(f"its schema has version {version}, and this program knows those up to {max(versions)}")
    return int(version)


def upgrade(connection: apsw.Connection, version: int, versions: Versions = VERSIONS) -> None:
    """Bring a file up to date in one transaction, after a copy of it was made beside it.

    :param version: what ``check`` found.
    :param versions: what this program knows.
    :raise Unavailable: it can only be read, it lacks what no store can do without, or the copy cannot be made.
    :raise apsw.Error: a statement failed; the file is what it was before, and there is no copy.
    """
    if connection.readonly("main"):
        raise Unavailable("it can only be read")
    if version < max(versions):
        _upgrade(connection, version, versions)
    if connection.execute("SELECT last FROM clock").get is None:
        raise Unavailable("it is damaged: it has no stable time")


def _upgrade(connection: apsw.Connection, version: int, versions: Versions) -> None:
    kept = _keep(connection, version) if version else None
    try:
        _run(connection, version, versions)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if kept is not None:
            # The upgrade failed. A daemon that is started again and again would fill the disk with copies.
            kept.unlink(missing_ok=True)
        raise


def _run(connection: apsw.Connection, version: int, versions: Versions) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for number in range(version + 1, max(versions) + 1):
        for statement in versions[number]:
            connection.execute(statement)
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", max(versions))
    connection.execute("COMMIT")


def _keep(connection: apsw.Connection, version: int) -> Path:
    """Copy the database, so that an operator can go back to an older program, and return the path of the copy."""
    path = Path(connection.db_filename("main"))
    date = connection.execute("SELECT strftime('%Y%m%dT%H%M%SZ', 'now')").get
    kept = path.with_name(f"{path.stem}-schema-{version}-{date}{path.suffix}")
    part = path.with_name(f"{path.stem}-before-upgrade.partial")
    try:
        part.unlink(missing_ok=True)  # a crash may have left it
        copy(connection, part)
        part.rename(kept)
        sync(kept.parent)
    except (apsw.FullError, OSError) as error:
        part.unlink(missing_ok=True)
        why = "there is no room on the disk" if isinstance(error, apsw.FullError) else error.strerror
        raise Unavailable(f"no copy of schema {version} could be kept before its upgrade: {why}") from error
    return kept
