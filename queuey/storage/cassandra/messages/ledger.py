"""The rows of Idempotency-Keys, which lightweight transactions alone change; see queuey.model.messages.producer."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import attrs

from queuey.errors import Unavailable
from queuey.model.messages.message import Address
from queuey.model.messages.producer import KILLED, Reservation
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.cassandra.cluster.port import ICQLSession, Kind, Level, Statement
from queuey.storage.cassandra.queues.rows import Incarnation

KILLED_LASTS: Final = 3600
"""Seconds for which a row is kept that names no attempt; a missing row means the same."""

_COUNT: Final = struct.Struct(">I")
_PLACE: Final = struct.Struct(">H16sQ")


@attrs.frozen
class Placed:
    """A message that was stored under a key.

    :ivar expires: when it was to end as it was stored.
    """

    address: Address
    expires: Ticks


@attrs.frozen
class Answer:
    """The answer of a committed attempt.

    :ivar note: of who asked for it.
    """

    placed: tuple[Placed, ...]
    note: str

    def encoded(self) -> bytes:
        """Return the bytes that are stored in the row."""
        places = [_PLACE.pack(one.address.partition, one.address.id, one.expires) for one in self.placed]
        return b"".join([_COUNT.pack(len(places)), *places, self.note.encode()])

    @classmethod
    def decoded(cls, data: bytes) -> Answer:
        """Out of what a row has."""
        (count,) = _COUNT.unpack_from(data)
        end = _COUNT.size + count * _PLACE.size
        places = _PLACE.iter_unpack(data[_COUNT.size : end])
        placed = [Placed(Address(partition, MessageId(id)), Ticks(expires)) for partition, id, expires in places]
        return cls(tuple(placed), data[end:].decode())


def row_key(incarnation: Incarnation, key: bytes) -> bytes:
    """The key of a row: an Idempotency-Key means something else in each incarnation of a queue."""
    return incarnation.key + key


class Ledger:
    """The table of keys.

    A row is created by UPDATE, which leaves no marker of the row itself: it ends with its cells. Each change sets all
    of them, since each cell has a time to live of its own. A change is applied (``True``), refused (``False``), or its
    outcome is unknown (``None``); if it was certainly not tried it fails with ``Unavailable``.
    """

    def __init__(self, session: ICQLSession, keyspace: str) -> None:
        self._session = session
        table = f"{keyspace}.dedupe"
        ours = f"UPDATE {table} USING TTL ? SET txn = ?, digest = ?, reserved = ?, done = false, answer = null"
        done = f"UPDATE {table} USING TTL ? SET txn = ?, digest = ?, reserved = ?, done = true, answer = ?"
        unless_done = "WHERE key = ? IF txn = ? AND done = false"
        self._keep_anew = Statement(f"{done} WHERE key = ? IF txn = ?", Kind.TRANSACTION)
        self._keep = Statement(f"{done} WHERE key = ? IF txn = null", Kind.TRANSACTION)
        self._read = Statement(f"SELECT txn, digest, reserved, done, answer FROM {table} WHERE key = ?", Kind.READ)
        self._insert = Statement(f"{ours} WHERE key = ? IF txn = null", Kind.TRANSACTION)
        self._take = Statement(f"{ours} {unless_done}", Kind.TRANSACTION)
        self._commit = Statement(f"{done} {unless_done}", Kind.TRANSACTION)

    async def read(self, key: bytes) -> Reservation | None:
        """The row of a key, the newest that was ever applied. Fails with ``Unavailable``."""
        return await self._row(key, Level.SERIAL)

    async def _row(self, key: bytes, level: Level) -> Reservation | None:
        rows = await self._session.execute(self._read, (key,), level)
        txn, digest, reserved, done, answer = rows[0] if rows else (None,) * 5
        if txn is None:
            return None
        return Reservation(bytes(txn), bytes(digest), bool(done), Ticks(reserved), bytes(answer or b""))

    async def keep(self, key: bytes, row: Reservation, seconds: int) -> bool | None:
        """Store a row that is done, and lives for so many seconds; ``False`` if it exists.

        It is looked for at a majority first, which costs less than a lightweight transaction, and is enough if no other
        front end creates rows.
        """
        found = await self._row(key, Level.QUORUM)
        if found is not None and (found.digest, found.done, found.answer) == (row.digest, True, row.answer):
            return False
        values = (seconds, row.txn, row.digest, row.reserved, row.answer, key)
        if found is None:
            return await self._transact(self._keep, values)
        return await self._transact(self._keep_anew, (*values, found.txn))

    async def insert(self, key: bytes, row: Reservation, seconds: int) -> bool | None:
        """Make a row that lives for so many seconds, if there is none."""
        return await self._transact(self._insert, (seconds, row.txn, row.digest, row.reserved, key))

    async def take(self, key: bytes, seen: bytes, row: Reservation, seconds: int) -> bool | None:
        """Set a row that names the attempt that was seen, and that is not done."""
        return await self._transact(self._take, (seconds, row.txn, row.digest, row.reserved, key, seen))

    async def commit(self, key: bytes, row: Reservation, seconds: int) -> bool | None:
        """Set the row to done that names this very attempt, and that is not done."""
        values = (seconds, row.txn, row.digest, row.reserved, row.answer, key, row.txn)
        return await self._transact(self._commit, values)

    async def kill(self, key: bytes, row: Reservation) -> bool | None:
        """Make a row name no attempt, if it still names this one and is not done."""
        return await self.take(key, row.txn, attrs.evolve(row, txn=KILLED), KILLED_LASTS)

    async def _transact(self, statement: Statement, values: Sequence[Any]) -> bool | None:
        try:
            return (await self._session.transact(statement, values)).applied
        except Unavailable as error:
            if error.applied == "no":
                raise
            return None
