"""Makes the tables at the first start and brings them up to date, by one front end at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

import attrs
from twisted.internet.defer import Deferred

from queuey.config.kinds.clusters import Replication
from queuey.errors import ConfigurationError, Unavailable
from queuey.storage.cassandra.cluster.port import ICQLSession, Kind, Level, Statement, StatementRefused
from queuey.storage.cassandra.scripts import (
    STATE_TABLE,
    Script,
    column_added,
    names,
    replication_cql,
    scripts,
    table_id,
)

_POLL: Final = 0.5
"""Seconds between two looks at what another front end or an operator does."""

_LOCK: Final = 30
"""Seconds that the lock of a front end that died stays; before each statement it is renewed."""

_DEAF: Final = 6
"""Attempts, a poll apart, at a statement for which a node says that something does not exist."""

_AGREEMENT: Final = 20
"""Looks, a poll apart, at whether all nodes have the tables; one that is down would keep it waiting for ever."""

_OLD: Final = 4
"""The first release that finds the data centres of a keyspace out itself."""


@attrs.frozen
class SchemaSettings:
    """Settings for creating the tables.

    :ivar create: whether we may.
    """

    keyspace: str
    replication: Replication
    create: bool


class Schema:
    """The schema of one keyspace.

    Its lock and its version are changed by lightweight transactions. The version comes last, so that no process uses
    tables that do not exist yet. If the outcome of a transaction is unknown, everything is repeated, and continues from
    what is there.

    :param owner: of the lock; unique to this process.
    :param sleep: waits some seconds.
    :param says: is called with what it waits for.
    """

    def __init__(
        self,
        session: ICQLSession,
        settings: SchemaSettings,
        owner: UUID,
        sleep: Callable[[float], Deferred[None]],
        says: Callable[[str], None],
    ) -> None:
        self._session = session
        self._settings = settings
        self._owner = owner
        self._sleep = sleep
        self._says = says
        self._scripts = scripts()
        self._latest = self._scripts[-1].number
        table = f"{settings.keyspace}.{STATE_TABLE}"
        self._read_version = Statement(f"SELECT version FROM {table} WHERE k = 'version'", Kind.READ)
        self._lock = _transaction(f"UPDATE {table} USING TTL {_LOCK} SET owner = ? WHERE k = 'lock' IF owner = null")
        self._renew = _transaction(f"UPDATE {table} USING TTL {_LOCK} SET owner = ? WHERE k = 'lock' IF owner = ?")
        self._unlock = _transaction(f"DELETE FROM {table} WHERE k = 'lock' IF owner = ?")
        self._first = _transaction(f"UPDATE {table} SET version = ? WHERE k = 'version' IF version = null")
        self._next = _transaction(f"UPDATE {table} SET version = ? WHERE k = 'version' IF version = ?")

    async def ensure(self, release: str) -> None:
        """Wait until the tables exist in our version, and create them unless another process does.

        :param release: of the cluster.
        :raise ConfigurationError: the tables are of a newer version of Queuey, or of another program.
        :raise Unavailable: the cluster does not answer; call this again.
        """
        while True:
            version = await self._version()
            if version == self._latest:
                return
            if version is not None and version > self._latest:
                raise ConfigurationError((self._newer(version),))
            if not self._settings.create:
                self._says(self._by_hand(version))
                await self._sleep(_POLL)
            elif not await self._make(version, release):
                self._says(f"another front end makes the tables in the keyspace {self._settings.keyspace}")
                await self._sleep(_POLL)

    async def _version(self) -> int | None:
        """Read the version of the tables; ``None`` if there is none yet."""
        if not await self._tables():
            return None
        try:
            rows = await self._session.execute(self._read_version, (), Level.SERIAL)
        except StatementRefused as error:  # a node that has not heard of the table yet
            raise Unavailable(f"Cassandra: {error.text}") from None
        return rows[0][0] if rows else None

    async def _tables(self) -> bool:
        """Return whether the table of versions exists.

        :raise ConfigurationError: the keyspace belongs to another program.
        """
        keyspace = self._settings.keyspace
        question = Statement("SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = ?", Kind.READ)
        tables: dict[str, UUID] = dict(await self._session.execute(question, (keyspace,), Level.ONE))
        if tables and tables.get(STATE_TABLE) != table_id(keyspace, STATE_TABLE):
            text = (
                f"The keyspace {keyspace} is not Queuey's: it has other tables; name another one as [storage] database."
            )
            raise ConfigurationError((text,))
        return bool(tables)

    async def _make(self, version: int | None, release: str) -> bool:
        """Run the files that are missing; ``False`` if another process has the lock."""
        if not await self._tables():
            await self._run(self._scripts[0], release)
        if not await self._locked():
            return False
        try:
            await self._upgrade(release)
        finally:
            await self._session.transact(self._unlock, (self._owner,))
        return True

    async def _locked(self) -> bool:
        try:
            verdict = await self._session.transact(self._lock, (self._owner,))
        except StatementRefused as error:
            raise Unavailable(f"Cassandra: {error.text}") from None
        return verdict.applied or verdict.found.get("owner") == self._owner

    async def _upgrade(self, release: str) -> None:
        version = await self._version()
        for script in self._scripts[1:]:
            if version is not None and script.number <= version:
                continue
            self._says(f"version {script.number} of the tables in the keyspace {self._settings.keyspace} is being made")
            if not await self._run(script, release):
                return
            await self._agreed()
            values = (script.number,) if version is None else (script.number, version)
            await self._session.transact(self._first if version is None else self._next, values)
            version = script.number

    async def _run(self, script: Script, release: str) -> bool:
        """Run one file; ``False`` if the lock was lost before its end."""
        keyspace, replication = self._settings.keyspace, self._replication(release)
        for text in script.statements(names(keyspace, replication)):
            if script.number and not (await self._session.transact(self._renew, (self._owner, self._owner))).applied:
                return False
            try:
                await self._define(Statement(text, Kind.DEFINITION))
            except StatementRefused as error:
                what = f"Cassandra refuses to make the tables in the keyspace {keyspace} with replication {replication}"
                raise ConfigurationError((f"{what}: {error.text}",)) from None
        return True

    async def _define(self, statement: Statement) -> None:
        """Execute one definition; the node that is asked may not have heard yet of what the one before has made."""
        for attempt in range(_DEAF + 1):
            if await self._added(statement):
                return
            try:
                await self._session.execute(statement, (), Level.QUORUM)
                return
            except StatementRefused as error:
                # 5.0 says "doesn't exist", 3.11 "non existing"; of a column that is there both say something else.
                if attempt == _DEAF or not ("exist" in error.text or await self._added(statement)):
                    raise
                await self._sleep(_POLL)

    async def _added(self, statement: Statement) -> bool:
        """Whether it is to add a column that is there."""
        added = column_added(statement.text)
        if added is None:
            return False
        table, column = added
        rows = await self._session.execute(_COLUMNS, (self._settings.keyspace, table), Level.ONE)
        return (column,) in rows

    def _replication(self, release: str) -> str:
        centres: tuple[str, ...] = ()
        if int(release.split(".")[0]) < _OLD:
            centres = tuple(sorted({node.data_centre for node in self._session.nodes()}))
        return replication_cql(self._settings.replication, centres)

    async def _agreed(self) -> None:
        """Wait until all nodes that answer have the same schema."""
        for _ in range(_AGREEMENT):
            local = await self._session.execute(_LOCAL, (), Level.ONE)
            peers = await self._session.execute(_PEERS, (), Level.ONE)
            if len({version for (version,) in (*local, *peers) if version is not None}) == 1:
                return
            await self._sleep(_POLL)

    def _newer(self, version: int) -> str:
        return (
            f"The tables in the keyspace {self._settings.keyspace} have version {version}, made by a newer Queuey; "
            f"this one knows versions up to {self._latest}."
        )

    def _by_hand(self, version: int | None) -> str:
        there = "has no tables" if version is None else f"has tables of version {version}"
        return (
            f"the keyspace {self._settings.keyspace} {there}, version {self._latest} is needed, and create_schema is "
            "false: type queuey schema --config FILE --apply"
        )


_LOCAL: Final = Statement("SELECT schema_version FROM system.local", Kind.READ)
_COLUMNS: Final = Statement(
    "SELECT column_name FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?", Kind.READ
)
_PEERS: Final = Statement("SELECT schema_version FROM system.peers", Kind.READ)


def _transaction(text: str) -> Statement:
    return Statement(text, Kind.TRANSACTION)
