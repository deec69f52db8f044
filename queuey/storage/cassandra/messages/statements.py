"""The statements over messages and their buckets, in CQL."""

from __future__ import annotations

from functools import cache
from typing import Final

import attrs

from queuey.storage.cassandra.cluster.port import Kind, Statement

TABLES: Final = ("messages", "messages_long")
"""The tables of the two classes of messages, by the number of the class."""

MAX_IDS: Final = 64
"""Ids that one look-up names at the most; a power of two."""

_WHERE: Final = "WHERE life = ? AND part = ? AND bucket = ?"
_LAST: Final = "expires, WRITETIME(body), WRITETIME(gone), txn, live, dkey"
_FULL: Final = f"id, body, content_type, headers, {_LAST}"
_BRIEF: Final = f"id, {_LAST}"
_CLEARED: Final = "gone = null, txn = null, dkey = null, live = null"


def _read(text: str) -> Statement:
    return Statement(text, Kind.READ)


def _write(text: str) -> Statement:
    return Statement(text, Kind.WRITE)


@attrs.frozen(eq=False)
class Statements:
    """All of them, for one keyspace; those over messages take the class, whose table they name.

    A column that a message lacks is not bound in an insert, and set to a ``null`` that is written out in an update, so
    there are several of either.
    """

    keyspace: str

    @cache  # noqa: B019 - there is one of these in a process, and it lasts as long
    def insert(self, kind: int, content_type: bool, headers: bool, once: bool = False) -> Statement:
        """A new message: life, part, bucket, id, body, expires, [content type], [headers], [attempt, key], timestamp,
        TTL.

        :param once: whether it is one that readers have to ask about before it counts.
        """
        columns = (("content_type", content_type), ("headers", headers), ("txn", once), ("dkey", once))
        more = [name for name, there in columns if there]
        names = ", ".join(["life, part, bucket, id, body, expires", *more])
        marks = ", ".join("?" * (6 + len(more)))
        return _write(f"INSERT INTO {self._table(kind)} ({names}) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?")

    @cache  # noqa: B019 - there is one of these in a process, and it lasts as long
    def put(self, kind: int, content_type: bool, headers: bool) -> Statement:
        """Set all columns: timestamp, TTL, body, expires, [content type], [headers], life, part, bucket, id."""
        some = f"content_type = {'?' if content_type else 'null'}, headers = {'?' if headers else 'null'}"
        return _write(
            f"UPDATE {self._table(kind)} USING TIMESTAMP ? AND TTL ? "
            f"SET body = ?, expires = ?, {some}, {_CLEARED} {_WHERE} AND id = ?"
        )

    @cache  # noqa: B019 - there is one of these in a process, and it lasts as long
    def flag(self, kind: int) -> Statement:
        """Say that a message counts, whatever its attempt: timestamp, TTL, life, part, bucket, id."""
        return _write(f"UPDATE {self._table(kind)} USING TIMESTAMP ? AND TTL ? SET live = true {_WHERE} AND id = ?")

    @cache  # noqa: B019 - there is one of these in a process, and it lasts as long
    def remove(self, kind: int) -> Statement:
        """Empty a message and say that it is gone: timestamp, TTL, life, part, bucket, id."""
        return _write(
            f"UPDATE {self._table(kind)} USING TIMESTAMP ? AND TTL ? SET gone = true, body = null, expires = null, "
            f"content_type = null, headers = null, txn = null, dkey = null, live = null {_WHERE} AND id = ?"
        )

    @cache  # noqa: B019 - there is one of these in a process, and it lasts as long
    def page(self, kind: int, descending: bool) -> Statement:
        """Messages of a bucket: life, part, bucket, lower bound, upper bound, how many."""
        return self._page(kind, _FULL, descending)

    @cache  # noqa: B019 - there is one of these in a process, and it lasts as long
    def ids(self, kind: int) -> Statement:
        """The same without what messages carry."""
        return self._page(kind, _BRIEF, False)

    @cache  # noqa: B019 - there is one of these in a process, and it lasts as long
    def find(self, kind: int, ids: int) -> Statement:
        """Messages of a bucket by ids: life, part, bucket, and so many ids."""
        return self._find(kind, _FULL, ids)

    @cache  # noqa: B019 - there is one of these in a process, and it lasts as long
    def stamps(self, kind: int, ids: int) -> Statement:
        """The same without what messages carry."""
        return self._find(kind, _BRIEF, ids)

    @cache  # noqa: B019 - there is one of these in a process, and it lasts as long
    def register(self) -> Statement:
        """Registers a bucket for readers: life, part, class, bucket, until, TTL."""
        return _write(
            f"INSERT INTO {self.keyspace}.buckets (life, part, class, bucket, until) VALUES (?, ?, ?, ?, ?) USING TTL ?"
        )

    @cache  # noqa: B019 - there is one of these in a process, and it lasts as long
    def registered(self) -> Statement:
        """Buckets that are to be looked into: life, part, then the class, bucket and until after which to go on, and
        how many."""
        return _read(
            f"SELECT class, bucket, until FROM {self.keyspace}.buckets "
            "WHERE life = ? AND part = ? AND (class, bucket, until) > (?, ?, ?) LIMIT ?"
        )

    def _page(self, kind: int, columns: str, descending: bool) -> Statement:
        order = "ORDER BY id DESC " if descending else ""
        return _read(f"SELECT {columns} FROM {self._table(kind)} {_WHERE} AND id >= ? AND id < ? {order}LIMIT ?")

    def _find(self, kind: int, columns: str, ids: int) -> Statement:
        return _read(f"SELECT {columns} FROM {self._table(kind)} {_WHERE} AND id IN ({', '.join('?' * ids)})")

    def _table(self, kind: int) -> str:
        return f"{self.keyspace}.{TABLES[kind]}"
