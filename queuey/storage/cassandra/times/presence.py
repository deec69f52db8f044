"""The rows by which front ends know of each other."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import attrs

from queuey.model.timeid import Ticks
from queuey.storage.cassandra.cluster.port import ICQLSession, Kind, Level, Statement
from queuey.storage.cassandra.times.retrying import Pace

READ_LIMIT: Final = 1.5
"""Seconds that a read of one of our own rows may take, and ``WRITE_LIMIT`` a write: two of each fit into a lease."""

WRITE_LIMIT: Final = 2.0


@attrs.frozen
class Identity:
    """The identity of a front end, for other front ends and for operators.

    :ivar id: unique to this process.
    :ivar host: the host on which it runs, as operators know it.
    """

    id: UUID
    host: str


@attrs.frozen
class Peer:
    """Another front end, as its row shows it.

    :ivar clock: what its own clock showed when it wrote the row.
    """

    id: UUID
    host: str
    mode: str
    clock: Ticks


class Presence:
    """The rows by which front ends know of each other.

    :param mode: ``ONE`` or ``MANY``.
    :ivar id: of our own row.
    """

    def __init__(self, session: ICQLSession, keyspace: str, identity: Identity, mode: str, pace: Pace) -> None:
        self._session = session
        self.id = identity.id
        self._identity = identity
        self._mode = mode
        self._pace = pace
        self._started: Ticks | None = None
        table = f"{keyspace}.frontends"
        self._insert = Statement(
            f"INSERT INTO {table} (k, id, host, mode, clock, started) VALUES (?, ?, ?, ?, ?, ?)", Kind.WRITE
        )
        self._delete = Statement(f"DELETE FROM {table} WHERE k = ? AND id = ?", Kind.WRITE)
        self._select = Statement(f"SELECT id, host, mode, clock FROM {table} WHERE k = ? LIMIT 1000", Kind.READ)

    async def announce(self, now: Ticks) -> None:
        """Say that we are here."""
        if self._started is None:
            self._started = now
        me = self._identity
        values = ("frontend", me.id, me.host, self._mode, now, self._started)
        await self._pace.within(self._session.execute(self._insert, values, Level.QUORUM), WRITE_LIMIT)

    async def withdraw(self) -> None:
        """Say that we are not here any more."""
        values = ("frontend", self._identity.id)
        await self._pace.within(self._session.execute(self._delete, values, Level.QUORUM), WRITE_LIMIT)

    async def others(self) -> list[Peer]:
        """Return the other front ends."""
        rows = await self._pace.within(self._session.execute(self._select, ("frontend",), Level.QUORUM), READ_LIMIT)
        return [Peer(id, host, mode, Ticks(clock)) for id, host, mode, clock in rows if id != self._identity.id]
