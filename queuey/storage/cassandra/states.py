"""Values under compare-and-set, by lightweight transactions alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import MAX_STATE, IStateStore, Outcome, State
from queuey.storage.cassandra.cluster.port import ICQLSession, Kind, Level, Row, Statement

_ATTEMPTS: Final = 3
"""Maximum number of attempts at a change that was certainly not applied."""

_REMOVAL: Final = "removed "
"""Comes before the version of a removal."""

_REMOVED: Final = 86_400
"""Seconds that a removed value leaves its version, so that the process that removed it can find the outcome."""


@implementer(IStateStore)
class CassandraStates:
    """The states of a keyspace.

    A removed value leaves a row without a value for some time, with a version that no value has. A process that creates
    the value again names no version, so its condition asks for a row without a value.
    """

    def __init__(self, session: ICQLSession, keyspace: str) -> None:
        self._session = session
        table = f"{keyspace}.states"
        self._read = Statement(f"SELECT version, value FROM {table} WHERE key = ?", Kind.READ)
        self._make = _transaction(f"UPDATE {table} SET version = ?, value = ? WHERE key = ? IF value = null")
        self._set = _transaction(f"UPDATE {table} SET version = ?, value = ? WHERE key = ? IF version = ?")
        ending = f"UPDATE {table} USING TTL {_REMOVED} SET version = ?, value = null WHERE key = ?"
        self._remove = _transaction(f"{ending} IF version = ?")
        self._remove_nothing = _transaction(f"{ending} IF value = null")

    @deferred
    async def read(self, key: str) -> State | None:
        """See IStateStore; at SERIAL, which shows the newest that was ever applied."""
        row = await self._row(_key(key))
        return None if row is None or row[1] is None else State(bytes(row[1]), row[0])

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """See IStateStore."""
        if value is not None and len(value) > MAX_STATE:
            raise ValueError(f"a state has at most {MAX_STATE} bytes")
        return self._replace(_key(key), version, value, fresh if value is not None else _REMOVAL + fresh)

    @deferred
    async def _replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
        statement, values = self._change(key, version, value, fresh)
        for _ in range(_ATTEMPTS):
            try:
                verdict = await self._session.transact(statement, values)
            except Unavailable as error:
                if error.applied != "unknown":
                    raise
            else:
                return Outcome.APPLIED if verdict.applied else await self._refused(key, fresh, value, verdict.found)
            outcome = await self._settle(key, version, fresh)
            if outcome is not None:
                return outcome
        raise Unavailable("The cluster did not carry out a lightweight transaction.")

    def _change(self, key: str, version: str | None, value: bytes | None, fresh: str) -> tuple[Statement, list[Any]]:
        values: list[Any] = [fresh, key] if value is None else [fresh, value, key]
        if version is None:
            return (self._remove_nothing if value is None else self._make), values
        return (self._remove if value is None else self._set), [*values, version]

    async def _refused(self, key: str, fresh: str, value: bytes | None, found: Mapping[str, Any]) -> Outcome:
        """Find the outcome of a change that was refused. It may have been applied all the same: another node may have
        completed it, or an earlier attempt came through just before."""
        version = found.get("version")
        if version is None and value is not None and found.get("value") == value:
            try:
                row = await self._row(key)
            except Unavailable:
                return Outcome.UNKNOWN
            version = None if row is None else row[0]
        return Outcome.APPLIED if version == fresh else Outcome.REFUSED

    async def _settle(self, key: str, version: str | None, fresh: str) -> Outcome | None:
        """Find the outcome of a change; ``None``: it was certainly not applied, so it may be tried again.

        If another process has set the value since, it cannot be known whether ours was there before.
        """
        try:
            row = await self._row(key)
        except Unavailable:
            return Outcome.UNKNOWN
        if row is not None and row[0] == fresh:
            return Outcome.APPLIED
        as_it_was = (row is None or row[1] is None) if version is None else (row is not None and row[0] == version)
        return None if as_it_was else Outcome.UNKNOWN

    async def _row(self, key: str) -> Row | None:
        rows: Sequence[Row] = await self._session.execute(self._read, (key,), Level.SERIAL)
        return rows[0] if rows else None


def _transaction(text: str) -> Statement:
    return Statement(text, Kind.TRANSACTION)


def _key(key: str) -> str:
    """A key as rows have it: Cassandra takes no empty one."""
    return f":{key}"


def name_of(stored: str) -> str:
    """The key that a row has."""
    return stored[1:]
