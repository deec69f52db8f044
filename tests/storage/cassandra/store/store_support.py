"""The whole store on tables in memory, with clocks that a test sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from queuey.deferreds import deferred
from queuey.interfaces import Capabilities
from queuey.model.telemetry.counts import Metric
from queuey.storage.cassandra.cluster.facts import Facts
from queuey.storage.cassandra.cluster.port import Bound, ICQLSession, Level, Node, Row, Statement, TransactionResult
from queuey.storage.cassandra.messages.store import Messages
from queuey.storage.cassandra.queues.registry import Registry
from queuey.storage.cassandra.schema import Schema, SchemaSettings
from queuey.storage.cassandra.states import CassandraStates
from queuey.storage.cassandra.store import CassandraStore, Parts
from tests.contracts.subject import Wall
from tests.storage.cassandra.messages.message_support import LIMITS, SimpleTimes
from tests.storage.cassandra.messages.message_tables import MessageTables
from tests.storage.cassandra.row_tables import KEYS, RowTables
from tests.storage.subjects import versions

SETTINGS = SchemaSettings("ks", 1, True)
PROMISES = Capabilities("Nobody has asked the cluster.", False, knows_changes=False)
FACTS = Facts("5.0.8", 3, frozenset({"batch"}), 4 << 20, 4 << 20, False)


def incarnations() -> Callable[[], bytes]:
    """Lives that never repeat, the same in each run."""
    numbers = count(1)
    return lambda: next(numbers).to_bytes(16, "big")


class FakeTimes(SimpleTimes):
    """The same, as one or as one of many front ends.

    :ivar age: seconds that queues may be remembered.
    """

    age: float | None = None
    unfit: str | None = None

    def registry_age(self) -> float | None:
        return self.age

    @property
    def reason(self) -> str | None:
        return self.unfit


@implementer(ICQLSession)
class AllTables:
    """A session with a node that has all tables."""

    metrics: Sequence[Metric] = ()

    def __init__(self, now: Callable[[], float]) -> None:
        self.rows = RowTables(now)
        self.messages = MessageTables(now)

    def _of(self, statement: Statement) -> ICQLSession:
        return self.rows if any(f"ks.{table}" in statement.text for table in KEYS) else self.messages

    def connect(self) -> Deferred[None]:
        return succeed(None)

    def nodes(self) -> Sequence[Node]:
        return ()

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        return self._of(statement).execute(statement, values, level)

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        raise NotImplementedError

    def batch(self, bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        return self.messages.batch(bound, level, logged)

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        return self.rows.transact(statement, values)

    def close(self) -> Deferred[None]:
        return succeed(None)


class StoreOfParts(CassandraStore):
    """A store whose cluster needs no looking at.

    :ivar alone: whether it may take what it has cached of groups for what is stored, if its settings say so.
    """

    alone = True

    def _alone(self) -> int | None:
        return super()._alone() if self.alone else None

    async def _prepare(self) -> Facts:
        return FACTS


class StoreSubject:
    """A store under test; its tables outlive it."""

    keeps = True
    counts_bytes = False
    clock_goes_back = False
    forgets_in_time = False
    stamps_all = True

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self.wall = Wall()
        self._now = now or self.wall
        self.clock = Clock()
        self.session = AllTables(self._now)
        self._versions, self._incarnations = versions(), incarnations()
        self._make()

    def _make(self) -> None:
        self.times = FakeTimes(self._now)
        registry = Registry(self.session, self.times, "ks", self.clock, self._versions, self._incarnations)
        self.parts = parts = Parts(
            self.session,
            self.times,
            registry,
            CassandraStates(self.session, "ks"),
            Messages(self.session, self.times, registry, lambda: LIMITS, False, "ks", self.clock, 77, ""),
        )
        self.store = StoreOfParts(parts, SETTINGS, "a cluster", self._schema, self.clock, lambda facts: None, PROMISES)
        self.store.open()

    def _schema(self, sleep: Callable[[float], Deferred[None]], says: Callable[[str], None]) -> Schema:
        return Schema(self.session, SETTINGS, UUID(int=1), sleep, says)

    def advance(self, seconds: float) -> Deferred[None]:
        self.wall.seconds += seconds
        self.clock.advance(seconds)
        return succeed(None)

    @deferred
    async def reopen(self) -> None:
        stamps = self.times.stamps
        await self.store.close()
        self._make()
        # The ceiling of a lease keeps the last of them, and a new process has a node of its own, which is not known
        # before.
        self.times.stamps = stamps

    def hold(self) -> None:
        """Nothing waits here."""

    def release(self) -> None:
        """Nothing waits here."""

    def close(self) -> Deferred[None]:
        return self.store.close()
