"""The tables of group states: their statements, and what their rows say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.port import ICQLSession, Kind, Level, Row, Statement, TransactionResult

T = TypeVar("T")
Enter = Callable[[Callable[[], Deferred[Any]]], Deferred[Any]]

ENDED: Final = -1
"""The version of a state that was removed."""

ENDED_LASTS: Final = 86_400
"""Seconds for which a removed state leaves that version, so that no late transaction makes the state again."""

_REMOVED_LATE: Final = 3600 * 1_000_000
"""Microseconds that the removal of an ended state lies in the future, so that it removes what nodes write whose clocks
are ahead."""

NONE: Final = b""
"""Stands for "no snapshot", since the column must have a value."""

_SLICE: Final = 32
"""Rows of events that are read at once."""

_CHUNKS: Final = 2
"""Chunks of a snapshot that are read at once."""


@attrs.frozen
class Head:
    """The static columns of a state.

    :ivar version: the number of the row that was appended last; ``ENDED``: the state was removed.
    :ivar base: the number of the last row that is part of the snapshot; 0: no row is.
    :ivar snapshot: the id of the snapshot; ``NONE``: there is none, and the state consists of the rows from 1 on.
    :ivar pending: the id of a snapshot that a front end is writing; ``NONE``: there is no such snapshot.
    """

    version: int
    base: int = 0
    snapshot: bytes = NONE
    pending: bytes = NONE


@attrs.frozen
class EventRow:
    """One row of events, and the token of the transaction that appended it."""

    number: int
    token: bytes
    events: bytes


@attrs.frozen
class Seen:
    """The result of a read at SERIAL.

    :ivar head: ``None``: there is no state.
    :ivar rows: with rising numbers.
    """

    head: Head | None
    rows: tuple[EventRow, ...] = ()


class GroupTables:
    """The statements.

    Static columns are written by lightweight transactions alone: a plain write with a later timestamp would hide them.
    All of a transaction are one UPDATE, which sets static columns and those of one row.

    :param enter: makes calls while the store serves.
    """

    def __init__(self, session: ICQLSession, keyspace: str, enter: Enter = lambda call: call()) -> None:
        self._session = session
        self._enter = enter
        events, snapshots = f"{keyspace}.group_events", f"{keyspace}.group_snapshots"
        select = f"SELECT version, base, snapshot, pending, n, txn, events FROM {events} WHERE key = ?"
        self._newest = _read(f"{select} LIMIT 1")
        self._from = _read(f"{select} AND n >= ? LIMIT ?")
        self._between = _read(f"SELECT n, txn, events FROM {events} WHERE key = ? AND n >= ? AND n < ?")
        ours, at = "version = ?, txn = ?, events = ?", "WHERE key = ? AND n = ?"
        whole = f"UPDATE {events} SET {ours}, base = ?, snapshot = ?, pending = ? {at}"
        self._make = _transaction(f"{whole} IF version = null")
        self._replace = _transaction(f"{whole} IF version = ?")
        self._append = _transaction(f"UPDATE {events} SET {ours} {at} IF version = ?")
        ending = "SET version = ?, base = ?, snapshot = ?, pending = ?"
        self._end = _transaction(f"UPDATE {events} USING TTL {ENDED_LASTS} {ending} WHERE key = ? IF version = ?")
        self._drop = _write(f"DELETE FROM {events} WHERE key = ? AND n <= ?")
        self._drop_all = _write(f"DELETE FROM {events} USING TIMESTAMP ? WHERE key = ? AND n > ?")
        self._put_chunk = _write(f"INSERT INTO {snapshots} (id, chunk, data) VALUES (?, ?, ?)")
        self._chunks = _read(f"SELECT chunk, data FROM {snapshots} WHERE id = ? AND chunk >= ? AND chunk < ?")
        self._drop_snapshot = _write(f"DELETE FROM {snapshots} WHERE id = ?")

    # Reading

    @deferred
    async def newest(self, key: str) -> Seen:
        """The head of a state, and its last row; serial, so what is under way is decided before."""
        return _seen(await self._execute(self._newest, (key,), Level.SERIAL))

    @deferred
    async def since(self, key: str, number: int) -> Seen:
        """The head, and the last rows from a number on; not all of them if they are very many.

        :param number: of a row that exists; if it was removed, ``head`` is ``None``.
        """
        return _seen(await self._execute(self._from, (key, number, _SLICE), Level.SERIAL))

    @deferred
    async def rows(self, key: str, start: int, version: int) -> tuple[EventRow, ...]:
        """Some rows from a number on, up to the version that a serial read has shown: they are at a majority."""
        end = min(start + _SLICE, version + 1)
        rows = await self._execute(self._between, (key, start, end), Level.QUORUM)
        return _events(rows)

    @deferred
    async def chunks(self, id: bytes, start: int) -> list[bytes]:
        """Some chunks of a snapshot from a number on."""
        rows = await self._execute(self._chunks, (id, start, start + _CHUNKS), Level.QUORUM)
        found = {chunk: bytes(data) for chunk, data in rows}
        return [found[number] for number in range(start, start + len(found)) if number in found]

    # Changes

    def append(
        self, key: str, seen: int | None, token: bytes, events: bytes, head: Head | None = None
    ) -> Deferred[bool]:
        """Append a row after the one that was seen last, if no other one was appended meanwhile.

        :param seen: the version; ``None``: there was no state.
        :param head: what else is set; needed if there was no state.
        :return: fires with whether it was appended. Fails with ``Unavailable``, whose ``applied`` is true.
        """
        number = (seen or 0) + 1
        values: list[Any] = [number, token, events]
        if head is None:
            assert seen is not None
            return self._transact(self._append, (*values, key, number, seen))
        values += [head.base, head.snapshot, head.pending, key, number]
        return self._transact(self._make, values) if seen is None else self._transact(self._replace, [*values, seen])

    def end(self, key: str, seen: Head) -> Deferred[bool]:
        """Mark a state as removed if it has the version that was seen; ``clear`` its rows after that."""
        return self._transact(self._end, (ENDED, seen.base, seen.snapshot, seen.pending, key, seen.version))

    @deferred
    async def clear(self, key: str, now: int) -> None:
        """Remove all rows of a state that was ended.

        :param now: the time in microseconds since 1970.
        """
        await self._execute(self._drop_all, (now + _REMOVED_LATE, key, 0), Level.QUORUM)

    @deferred
    async def drop(self, key: str, through: int) -> None:
        """Remove rows up to a number."""
        await self._execute(self._drop, (key, through), Level.QUORUM)

    @deferred
    async def put_chunk(self, id: bytes, number: int, data: bytes) -> None:
        """Write one chunk of a snapshot."""
        await self._execute(self._put_chunk, (id, number, data), Level.QUORUM)

    @deferred
    async def drop_snapshot(self, id: bytes) -> None:
        """Remove a snapshot."""
        await self._execute(self._drop_snapshot, (id,), Level.QUORUM)

    def _execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        return self._enter(lambda: self._session.execute(statement, values, level))

    @deferred
    async def _transact(self, statement: Statement, values: Sequence[Any]) -> bool:
        verdict: TransactionResult = await self._enter(lambda: self._session.transact(statement, values))
        return verdict.applied


def _read(text: str) -> Statement:
    return Statement(text, Kind.READ)


def _write(text: str) -> Statement:
    return Statement(text, Kind.WRITE)


def _transaction(text: str) -> Statement:
    return Statement(text, Kind.TRANSACTION)


def _seen(rows: Sequence[Row]) -> Seen:
    if not rows or rows[0][0] is None:
        return Seen(None)
    version, base, snapshot, pending = rows[0][:4]
    head = Head(version, base or 0, bytes(snapshot or NONE), bytes(pending or NONE))
    return Seen(head, _events([row[4:] for row in rows]))


def _events(rows: Sequence[Row]) -> tuple[EventRow, ...]:
    found = [EventRow(number, bytes(token), bytes(events)) for number, token, events in rows if events is not None]
    return tuple(sorted(found, key=lambda row: row.number))


def contended() -> Unavailable:
    """The error of who was overtaken too often."""
    return Unavailable("The group is being changed by other requests at the same time.")


def unknown() -> Unavailable:
    """The error of who cannot learn what became of a transaction."""
    return Unavailable("It is not known whether the group was changed.", applied="unknown")
