"""The rows of the table ``queues``: how they are read and written in CQL, and how long they are remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

import attrs

from queuey.model.queues.queue import Consistency, Guarantee, Queue, QueueSettings, QueueType
from queuey.model.timeid import SECOND, Ticks
from queuey.storage.cassandra.cluster.port import Kind, Row, Statement

SHARDS: Final = 16
"""Parts that the queues of an application are spread over, so that a million of them are no single partition."""

BUCKET_SECONDS: Final = 21_600
"""Seconds of ids in one partition of messages of a queue that is made now; each queue keeps its own for life."""

Name = tuple[str, str]
"""An application, and the name of a queue in it."""

Purged = Mapping[int, tuple[bytes, int]]
"""By partition: the bound below which messages are purged, and until which write time, in microseconds."""


@attrs.frozen
class Incarnation:
    """One incarnation of a queue, with what only this back end knows of it.

    :ivar key: the incarnation, as rows name it.
    :ivar bucket_seconds: of its messages; fixed as long as it lives.
    """

    queue: Queue
    key: bytes
    bucket_seconds: int
    purged: Purged


@attrs.frozen
class Stored:
    """The row of a name: an incarnation, or the mark that one has ended and that the name cannot be used yet.

    :ivar version: of what stands there, in either case.
    """

    version: str
    incarnation: Incarnation | None


def incarnation_key(queue: Queue) -> bytes:
    """The incarnation of a queue, as rows name it."""
    return queue.incarnation.to_bytes(16, "big")


def standing(found: Stored | None, key: bytes) -> Incarnation | None:
    """The incarnation with this key, if it is the one that stands under its name."""
    incarnation = None if found is None else found.incarnation
    return incarnation if incarnation is not None and incarnation.key == key else None


def shard(name: str) -> int:
    """The shard of a queue."""
    return crc32(name.encode()) % SHARDS


COLUMNS: Final = (
    "name, life, created, version, type, partitions, consistency, principals, guarantee, ttl, bucket_seconds, purged, "
    "ended, closed"
)
"""The columns of a row, as ``stored`` takes them."""

_KEY: Final = "WHERE app = ? AND shard = ? AND name = ?"
_SETTINGS: Final = "type = ?, partitions = ?, consistency = ?, principals = ?, guarantee = ?, ttl = ?"


@attrs.frozen
class Statements:
    """The statements on the table of queues.

    A row is made by UPDATE, which leaves no marker of the row itself: it ends with its cells, so that a mark that ends
    an incarnation can expire.
    """

    read: Statement
    read_many: Statement
    count: Statement
    create: Statement
    replace: Statement
    update: Statement
    end: Statement
    sweep: Statement
    close: Statement
    close_first: Statement
    purge: Statement
    purge_first: Statement
    names: Statement
    names_below: Statement

    @classmethod
    def of(cls, keyspace: str) -> Statements:
        """Return the statements for the tables of a keyspace."""
        table = f"{keyspace}.queues"
        make = (
            f"UPDATE {table} SET life = ?, created = ?, version = ?, {_SETTINGS}, bucket_seconds = ?, "
            f"purged = null, ended = null, closed = null {_KEY}"
        )
        end = (
            f"UPDATE {table} USING TTL ? SET version = ?, ended = ?, life = null, created = null, type = null, "
            "partitions = null, consistency = null, principals = null, guarantee = null, ttl = null, "
            f"bucket_seconds = null, purged = null, closed = null {_KEY} IF life = ?"
        )
        listing = f"SELECT name, ended FROM {table} WHERE app = ? AND shard = ? AND name >= ?"
        return cls(
            read=Statement(f"SELECT {COLUMNS} FROM {table} {_KEY}", Kind.READ),
            read_many=Statement(f"SELECT {COLUMNS} FROM {table} WHERE app = ? AND shard = ? AND name IN ?", Kind.READ),
            count=Statement(f"SELECT count(*), count(ended) FROM {table} WHERE app = ? AND shard = ?", Kind.READ),
            create=Statement(f"{make} IF version = null", Kind.TRANSACTION),
            replace=Statement(f"{make} IF version = ?", Kind.TRANSACTION),
            update=Statement(
                f"UPDATE {table} SET {_SETTINGS}, version = ? {_KEY} IF life = ? AND version = ?", Kind.TRANSACTION
            ),
            end=Statement(end, Kind.TRANSACTION),
            sweep=Statement(f"DELETE FROM {table} {_KEY} IF version = ?", Kind.TRANSACTION),
            close=Statement(
                f"UPDATE {table} SET closed = ?, version = ? {_KEY} IF life = ? AND closed = ?", Kind.TRANSACTION
            ),
            close_first=Statement(
                f"UPDATE {table} SET closed = ?, version = ? {_KEY} IF life = ? AND closed = null", Kind.TRANSACTION
            ),
            purge=Statement(f"UPDATE {table} SET purged = ? {_KEY} IF life = ? AND purged = ?", Kind.TRANSACTION),
            purge_first=Statement(
                f"UPDATE {table} SET purged = ? {_KEY} IF life = ? AND purged = null", Kind.TRANSACTION
            ),
            names=Statement(f"{listing} LIMIT ?", Kind.READ),
            names_below=Statement(f"{listing} AND name < ? LIMIT ?", Kind.READ),
        )


def key_of(application: str, name: str) -> tuple[str, int, str]:
    """The values of a row's key."""
    return application, shard(name), name


def values_of(settings: QueueSettings) -> tuple[str, int, str, list[str], str, int]:
    """The values of settings, in the order of the statements; what the application decides is empty, or 0."""
    return (
        settings.type.value,
        settings.partitions,
        settings.consistency.value,
        list(settings.principals),
        settings.guarantee.value if settings.guarantee else "",
        settings.ttl or 0,
    )


def _settings(
    type: str,
    partitions: int,
    consistency: str,
    principals: Sequence[str] | None,
    guarantee: str | None,
    ttl: int | None,
) -> QueueSettings:
    """Make settings of such values; the last two are missing if the row is older than these columns."""
    return QueueSettings(
        QueueType(type),
        partitions,
        Consistency(consistency),
        tuple(principals or ()),
        Guarantee(guarantee) if guarantee else None,
        ttl or None,
    )


def stored(application: str, row: Row) -> Stored | None:
    """Return the contents of a row; ``None`` for the remains of a row that is about to expire."""
    name, key, created, version, *settings, seconds, purged, ended, closed = row
    if version is None:
        return None
    if key is None or ended is not None:
        return Stored(version, None)
    number = int.from_bytes(key, "big")
    queue = Queue(application, name, _settings(*settings), number, version, Ticks(created), closed)
    return Stored(version, Incarnation(queue, key, seconds, _purged(purged)))


def _purged(value: Any) -> Purged:
    return {int(partition): (bytes(bound), int(at)) for partition, (bound, at) in (value or {}).items()}


def first(application: str, rows: Sequence[Row]) -> Stored | None:
    """Return the contents of the one row of a name, if there is one."""
    return stored(application, rows[0]) if rows else None


@attrs.frozen
class _Remembered:
    incarnation: Incarnation
    since: Ticks


class Memory:
    """A cache of incarnations by the names of their queues; absence is never cached.

    A look-up in the cluster is between ``begin`` and ``end``: what was changed meanwhile is not cached, because the
    answer may be from before the change. An answer is as old as its question.

    :param size: incarnations, at most; the least recently used ones make room.
    :param now: the time, by a clock that never jumps.
    :param age: seconds that an incarnation may be cached; ``None``: as long as there is room.
    :param tenure: a number that changes when everything that is cached is invalid.
    """

    def __init__(
        self, size: int, now: Callable[[], Ticks], age: Callable[[], float | None], tenure: Callable[[], int]
    ) -> None:
        self._size = size
        self._now = now
        self._age = age
        self._tenure = tenure
        self._seen = tenure()
        self._incarnations: dict[Name, _Remembered] = {}
        self._asking: dict[object, tuple[Name, Ticks]] = {}

    def get(self, name: Name) -> Incarnation | None:
        """An incarnation, which is then the most recently used."""
        self._look()
        found = self._incarnations.get(name)
        if found is None or not self.fresh(found.since):
            return None
        del self._incarnations[name]
        self._incarnations[name] = found
        return found.incarnation

    def weak(self, name: Name) -> Incarnation | None:
        """The incarnation of a weak queue, however long ago it was learnt; ``None`` for any other."""
        self._look()
        found = self._incarnations.get(name)
        return found.incarnation if found and found.incarnation.queue.settings.consistency is Consistency.WEAK else None

    def ended(self, name: Name) -> None:
        """The cluster has no such incarnation."""
        self._incarnations.pop(name, None)

    def fresh(self, since: Ticks) -> bool:
        """Whether what was asked then may still be gone by."""
        age = self._age()
        return age is None or self._now() - since < age * SECOND

    def begin(self, name: Name) -> object:
        """Begin to ask the cluster; returns what ``end`` takes."""
        self._look()
        asking = object()
        self._asking[asking] = (name, self._now())
        return asking

    def end(self, asking: object, incarnation: Incarnation | None) -> None:
        """Cache the answer, unless the look-up failed."""
        self._look()
        name, since = self._asking.pop(asking, (None, Ticks(0)))
        if incarnation is None or name is None:
            return
        self._incarnations.pop(name, None)
        self._incarnations[name] = _Remembered(incarnation, since)
        if len(self._incarnations) > self._size:
            del self._incarnations[next(iter(self._incarnations))]

    def change(self, name: Name) -> None:
        """Forget an incarnation: its change begins, or is over."""
        self._incarnations.pop(name, None)
        for asking in [asking for asking, (asked, _) in self._asking.items() if asked == name]:
            del self._asking[asking]

    def _look(self) -> None:
        if self._tenure() != self._seen:
            self._seen = self._tenure()
            self._incarnations.clear()
            self._asking.clear()
