"""Queues in the database: those operations that write, and those that read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import apsw

from queuey.errors import Conflict, InvalidRequest, NoSuchQueue
from queuey.model.exports import ExportPage, StoredQueue
from queuey.model.queues.queue import Consistency, Guarantee, Queue, QueueSettings, QueueType, end_of_prefix
from queuey.model.timeid import LOWEST, MessageId, Ticks
from queuey.storage.refusals import too_many_queues
from queuey.storage.sqlite import states
from queuey.storage.sqlite.chunks import INT64, SIZES, parts
from queuey.storage.sqlite.group_commit import Job
from queuey.storage.sqlite.reading.reader import Reader
from queuey.storage.sqlite.writing.writer import Writer

_COLUMNS = (
    "queue, application, name, type, partitions, consistency, principals, guarantee, ttl, version, created, closed"
)
_BY_NAME: Final = f"SELECT {_COLUMNS} FROM queues WHERE application = ? AND name = ?"
_BY_NAMES: Final = {
    size: f"SELECT {_COLUMNS} FROM queues WHERE application = ? AND name IN ({', '.join('?' * size)})" for size in SIZES
}
_BY_NUMBER: Final = f"SELECT {_COLUMNS} FROM queues WHERE queue = ?"
_CREATE: Final = """
    INSERT INTO queues (application, name, type, partitions, consistency, principals, guarantee, ttl, version, created)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE: Final = """
    UPDATE queues
    SET type = ?, partitions = ?, consistency = ?, principals = ?, guarantee = ?, ttl = ?, version = ? WHERE queue = ?
"""
_KEEP: Final = """
    INSERT INTO queues (queue, application, name, type, partitions, consistency, principals, guarantee, ttl, version,
        created, closed, purged)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_KEEP_PURGED: Final = "UPDATE queues SET purged = ? WHERE queue = ?"
_KEEP_CLOSED: Final = "UPDATE queues SET closed = ? WHERE queue = ?"
_KEEP_TALLY: Final = "UPDATE tallies SET closed = ? WHERE queue = ?"
_HAS_MORE: Final = """
    SELECT EXISTS (SELECT 1 FROM keys WHERE queue = ?) OR EXISTS (SELECT 1 FROM states WHERE key >= ? AND key < ?)
        OR EXISTS (SELECT 1 FROM group_states WHERE queue = ?)
"""
_PAGE: Final = f"SELECT {_COLUMNS}, purged FROM queues WHERE queue > ? ORDER BY queue LIMIT ?"
_STANDING: Final = f"SELECT {_COLUMNS}, purged FROM queues WHERE application = ? AND name = ?"
_NAMES: Final = "SELECT name FROM queues WHERE application = ? AND name >= ? ORDER BY name LIMIT ?"
_NAMES_BELOW: Final = "SELECT name FROM queues WHERE application = ? AND name >= ? AND name < ? ORDER BY name LIMIT ?"


def _queue(row: tuple[Any, ...]) -> Queue:
    number, application, name, *chosen, version, created, closed = row
    settings = _settings(*chosen)
    return Queue(application, name, settings, number, version, Ticks(created), closed)


@lru_cache(256)
def _settings(
    type: str, partitions: int, consistency: str, principals: str, guarantee: str | None, ttl: int | None
) -> QueueSettings:
    """The settings in a row; most queues have the same ones."""
    return QueueSettings(
        QueueType(type),
        partitions,
        Consistency(consistency),
        tuple(json.loads(principals)),
        None if guarantee is None else Guarantee(guarantee),
        ttl,
    )


def _columns(settings: QueueSettings) -> tuple[str | int | None, ...]:
    guarantee = None if settings.guarantee is None else settings.guarantee.value
    principals = json.dumps(settings.principals)
    return settings.type.value, settings.partitions, settings.consistency.value, principals, guarantee, settings.ttl


def create(
    writer: Writer, application: str, name: str, settings: QueueSettings, max_queues: int | None
) -> tuple[Queue, bool]:
    """The queue of a name, and whether it was made here."""
    row = writer.connection.execute(_BY_NAME, (application, name)).get
    if row is not None:
        return _queue(row), False
    if max_queues is not None and writer.queues.usage(application)[0] >= max_queues:
        raise too_many_queues(max_queues)
    version = writer.new_version()
    writer.connection.execute(_CREATE, (application, name, *_columns(settings), version, writer.clock))
    number = writer.connection.last_insert_rowid()
    writer.connection.execute("INSERT INTO tallies (queue, messages, bytes) VALUES (?, 0, 0)", (number,))
    writer.spend(application, 1, 0, 0)
    writer.changed[number] = None
    return Queue(application, name, settings, number, version, writer.clock), True


def update(writer: Writer, queue: Queue, settings: QueueSettings) -> Queue:
    """Change the settings if the version is still the same."""
    row = writer.connection.execute(_BY_NUMBER, (queue.incarnation,)).get
    if row is None:
        raise NoSuchQueue(f'The queue "{queue.name}" was deleted.')
    found = _queue(row)
    if found.version != queue.version:
        raise Conflict(f'The queue "{queue.name}" was changed meanwhile.')
    version = writer.new_version()
    writer.connection.execute(_UPDATE, (*_columns(settings), version, queue.incarnation))
    writer.changed[queue.incarnation] = None
    return Queue(found.application, found.name, settings, found.incarnation, version, found.created, found.closed)


def forget(writer: Writer, queue: Queue) -> bool:
    """Delete a queue: its bytes no longer count from now on, and its rows are swept later."""
    application = writer.queues.application_of(queue.incarnation)
    if application is None:
        return False
    writer.queues.flush()
    execute, key = writer.connection.execute, (queue.incarnation,)
    messages, size = execute("SELECT messages, bytes FROM tallies WHERE queue = ?", key).get
    execute("DELETE FROM queues WHERE queue = ?", key)
    execute("DELETE FROM tallies WHERE queue = ?", key)
    if messages or execute(_HAS_MORE, (queue.incarnation, *states.span(queue.incarnation), queue.incarnation)).get:
        execute("INSERT INTO dead (queue) VALUES (?)", key)
    writer.spend(application, -1, -messages, -size)
    writer.bury(queue.incarnation)
    writer.changed[queue.incarnation] = None
    return True


def keep(writer: Writer, stored: StoredQueue) -> bool:
    """Create a queue with the incarnation that it has elsewhere; return whether it is new."""
    queue, purged = stored.queue, None if stored.purged == LOWEST else stored.purged
    execute, number = writer.connection.execute, queue.incarnation
    if number not in INT64:
        text = "Its incarnation is larger than an embedded store can store, since it comes from Cassandra."
        raise InvalidRequest({"queue": f'The queue "{queue.name}" cannot be kept. {text}'})
    row = execute(_BY_NUMBER, (number,)).get
    if row is not None:
        if _queue(row) != queue:
            execute(_UPDATE, (*_columns(queue.settings), queue.version, number))
            execute(_KEEP_CLOSED, (queue.closed, number))
            execute(_KEEP_TALLY, (queue.closed, number))
            writer.queues.forget(number)
        execute(_KEEP_PURGED, (purged, number))
        return False
    other = execute(_BY_NAME, (queue.application, queue.name)).get
    if other is not None:
        forget(writer, _queue(other))
    values = (*_columns(queue.settings), queue.version, queue.created, queue.closed, purged)
    execute(_KEEP, (number, queue.application, queue.name, *values))
    execute("INSERT INTO tallies (queue, messages, bytes, closed) VALUES (?, 0, 0, ?)", (number, queue.closed))
    writer.spend(queue.application, 1, 0, 0)
    return True


def page(reader: Reader, rest: str | None, limit: int) -> ExportPage[StoredQueue]:
    """Queues by their numbers."""
    rows: list[Any] = reader.connection.execute(_PAGE, (int(rest or 0), limit)).fetchall()
    found = tuple(StoredQueue(_queue(row), MessageId(purged or LOWEST)) for *row, purged in rows)
    return ExportPage(found, str(rows[-1][0]) if len(rows) == limit else None)


def standing(reader: Reader, application: str, name: str) -> StoredQueue | None:
    """The queue of a name, with what was purged."""
    row = reader.connection.execute(_STANDING, (application, name)).get
    return None if row is None else StoredQueue(_queue(row[:-1]), MessageId(row[-1] or LOWEST))


def names(reader: Reader, application: str, start: str, limit: int, prefix: str) -> tuple[str, ...]:
    """Names with a prefix, from one on; the bytes of UTF-8 have the order of the code points."""
    if limit <= 0:
        return ()
    start, limit, end = max(start, prefix), min(limit, INT64[-1]), end_of_prefix(prefix)
    if end is None:
        return tuple(name for (name,) in reader.connection.execute(_NAMES, (application, start, limit)))
    return tuple(name for (name,) in reader.connection.execute(_NAMES_BELOW, (application, start, end, limit)))


def describe(reader: Reader, application: str, names: Sequence[str]) -> tuple[Queue | None, ...]:
    """The queues of these names."""
    if len(names) == 1 and (application, names[0]) in reader.foreseen:
        return (reader.foreseen[application, names[0]],)
    found = _find_all(reader.connection, application, names)
    return tuple(map(found.get, names))


def foresee(reader: Reader, jobs: Sequence[Job[Reader]]) -> None:
    """Look together for the queues that single reads of a write batch ask for."""
    asked: dict[str, list[str]] = {}
    for job in jobs:
        if job.function is describe and len(job.arguments[1]) == 1:
            asked.setdefault(job.arguments[0], []).extend(job.arguments[1])
    for application, names in asked.items():
        found = _find_all(reader.connection, application, names)
        reader.foreseen.update(((application, name), found.get(name)) for name in names)


def _find_all(connection: apsw.Connection, application: str, names: Sequence[str]) -> dict[str, Queue]:
    found: dict[str, Queue] = {}
    for size, start in parts(len(names)):
        for row in connection.execute(_BY_NAMES[size], (application, *names[start : start + size])):
            queue = _queue(row)
            found[queue.name] = queue
    return found


def find(connection: apsw.Connection, application: str, name: str) -> Queue | None:
    """The queue of a name, if there is one."""
    row = connection.execute(_BY_NAME, (application, name)).get
    return None if row is None else _queue(row)
