"""The whole store on a real node: its contracts, with clocks that are set, and how its tables come to be."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, cast

import attrs
from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from queuey.deferreds import bounded, deferred
from queuey.errors import ConfigurationError, NotPromised, Unavailable
from queuey.interfaces import Capabilities, IStateStore, Outcome, State
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.once import Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import Ticks
from queuey.storage.cassandra.assembly import Known, new_version
from queuey.storage.cassandra.cluster.cql.session import CQLSession
from queuey.storage.cassandra.cluster.facts import Facts, find_out, release_of
from queuey.storage.cassandra.cluster.port import Kind, Level, Statement
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from queuey.storage.cassandra.messages.store import Messages
from queuey.storage.cassandra.messages.writes import GRACE
from queuey.storage.cassandra.queues.registry import Registry
from queuey.storage.cassandra.queues.rows import Incarnation
from queuey.storage.cassandra.schema import Schema, SchemaSettings
from queuey.storage.cassandra.scripts import names, replication_cql, scripts, whole
from queuey.storage.cassandra.states import CassandraStates
from queuey.storage.cassandra.store import Parts
from tests.again import again, leave_to_long
from tests.contracts import (
    groups,
    once,
    reading,
)
from tests.contracts.every import EVERY
from tests.contracts.reading import new
from tests.contracts.subject import Contract, Wall, contract
from tests.live.cassandra.shared import cql_node, new_keyspace
from tests.storage.cassandra.store.store_support import FACTS, FakeTimes, StoreOfParts

run_in = "test"

reactor: Any = _reactor
LIMIT = 120
AT_ONCE = 64
"""Queues made at the same time: a test that makes thousands of them would wait longer than a request may."""


def make_session() -> CQLSession:
    address, port = cql_node()
    return CQLSession(SessionSettings((Host(address, port),), request_timeout=10.0), reactor, deferToThread)


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds, lambda: None)


@implementer(IStateStore)
class ApartStates:
    """States under keys of their own."""

    def __init__(self, inner: IStateStore, mark: str) -> None:
        self._inner = inner
        self._mark = mark

    def read(self, key: str) -> Deferred[State | None]:
        return self._inner.read(self._mark + key)

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        return self._inner.replace(self._mark + key, version, value, fresh)


class ApartRegistry(Registry):
    """Queues of applications that are called otherwise in the tables, so that tests need no empty ones."""

    mark = ""

    def _out(self, queue: Queue) -> Queue:
        return attrs.evolve(queue, application=queue.application.removeprefix(self.mark))

    def _in(self, queue: Queue) -> Queue:
        return attrs.evolve(queue, application=self.mark + queue.application)

    @deferred
    async def current(self, queue: Queue) -> Incarnation | None:
        found = await super().current(self._in(queue))
        return found and attrs.evolve(found, queue=self._out(found.queue))

    def set_purged(self, queue: Queue, bounds: Any, at: int) -> Deferred[bool]:
        return super().set_purged(self._in(queue), bounds, at)

    @deferred
    async def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> tuple[Queue, bool]:
        make = super().create
        queue, made = await self.few.run(lambda: make(self.mark + application, name, settings, max_queues))
        return self._out(queue), made

    @deferred
    async def update(self, queue: Queue, settings: QueueSettings) -> Queue:
        return self._out(await super().update(self._in(queue), settings))

    @deferred
    async def close(self, queue: Queue, last: Ticks) -> Queue:
        return self._out(await super().close(self._in(queue), last))

    def forget(self, queue: Queue) -> Deferred[bool]:
        return super().forget(self._in(queue))

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        return super().names(self.mark + application, start, limit, prefix)

    @deferred
    async def describe(self, application: str, names: Sequence[str]) -> tuple[Queue | None, ...]:
        found = await super().describe(self.mark + application, names)
        return tuple(queue and self._out(queue) for queue in found)

    few = DeferredSemaphore(AT_ONCE)


class NodeSubject:
    """A store under test on the shared node."""

    keeps = True
    counts_bytes = False
    clock_goes_back = False
    forgets_in_time = False
    stamps_all = True

    def __init__(
        self, session: CQLSession, keyspace: str, now: Callable[[], float] | None = None, not_once: str = ""
    ) -> None:
        self.wall = Wall()
        self._not_once = not_once
        self._session = session
        self._keyspace = keyspace
        self._mark = f"{uuid.uuid4().hex}."
        self._times = FakeTimes(now or self.wall)
        self._make()

    def _make(self) -> None:
        session, keyspace = self._session, self._keyspace
        known = Known(0.5)
        registry = ApartRegistry(session, self._times, keyspace, reactor, new_version, lambda: secrets.token_bytes(16))
        registry.mark = self._mark
        stored = ApartStates(CassandraStates(session, keyspace), self._mark)
        put = Messages(
            session, self._times, registry, lambda: known.limits, False, keyspace, reactor, 77, self._not_once
        )
        self.store = OpenStore(
            Parts(session, self._times, registry, stored, put),
            SchemaSettings(keyspace, 1, True),
            "the node",
            lambda wait, says: Schema(session, SchemaSettings(keyspace, 1, True), uuid.uuid4(), wait, says),
            reactor,
            known.learn,
            Capabilities("It is not known yet.", False, self._not_once),
        )
        self.store.open()

    def advance(self, seconds: float) -> Deferred[None]:
        self.wall.seconds += seconds
        return sleep(0)

    @deferred
    async def reopen(self) -> None:
        await self.store.close()
        self._make()

    def close(self) -> Deferred[None]:
        return self.store.close()


class Lent:
    """A session that goes on when the store closes."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def close(self) -> Deferred[None]:
        return sleep(0)


class OpenStore(StoreOfParts):
    """A store whose tables are there, and whose session is the test's."""

    def __init__(self, parts: Parts, *rest: Any) -> None:
        super().__init__(attrs.evolve(parts, session=cast(Any, Lent(parts.session))), *rest)

    async def _until_it_answers(self) -> Facts:
        return FACTS


async def connected(test: TestCase, keyspace: str) -> CQLSession:
    """A session that ends with the test, in whose keyspace the tables are."""
    session = make_session()
    test.addCleanup(session.close)
    await session.connect()
    schema = Schema(session, SchemaSettings(keyspace, 1, True), uuid.uuid4(), sleep, lambda text: None)
    await schema.ensure(await release_of(session))
    return session


class StoreCase(TestCase, Contract):
    """Each test has applications and keys of its own; all share the tables."""

    timeout = LIMIT
    keyspace: ClassVar[str] = new_keyspace()

    async def setUp(self) -> None:  # type: ignore[override]
        self.session = await connected(self, self.keyspace)
        super().setUp()

    def make_subject(self) -> NodeSubject:
        return NodeSubject(self.session, self.keyspace)

    def drive(self, steps: Coroutine[Deferred[Any], Any, None]) -> object:
        return Deferred.fromCoroutine(steps)


class GroupsOfManyTests(StoreCase, groups.GroupsContract):
    """The same as one of many front ends, which do not trust what they have cached."""

    def make_subject(self) -> NodeSubject:
        subject = super().make_subject()
        subject.store.alone = False
        return subject


class OnceTests(StoreCase, once.OnceContract):
    @contract
    async def test_it_is_forgotten_in_time(self) -> None:
        """The clock of the node ends the row of a key: all its cells at the same time, and after all messages."""
        queue = await self.make_queue()
        late = [new(b"a"), new(b"b", ttl=1_000_000, delay=500)]
        for batch, wanted in (([new(b"a")], 7200), (late, 1_000_500)):
            asked = reading.once(secrets.token_bytes(32), lifetime=7200)
            await self.append_once(queue, batch, asked)
            ends = await self.ends(asked)
            self.assertEqual(len(ends), 5)
            self.assertLess(max(ends) - min(ends), 2)
            self.assertTrue(wanted < min(ends) <= wanted + GRACE, ends)

    async def ends(self, asked: Once) -> list[int]:
        """Seconds that are left to the cells of a row."""
        ends = ", ".join(f"TTL({name})" for name in ("txn", "digest", "done", "answer", "reserved"))
        every = Statement(f"SELECT key, {ends} FROM {self.keyspace}.dedupe LIMIT 10000", Kind.READ)
        rows = await self.session.execute(every, (), Level.QUORUM)
        return [left for key, *found in rows if key.endswith(asked.key) for left in found]

    @contract
    async def test_a_weak_queue(self) -> None:
        """What one replica has acknowledged is not sure to be read."""
        queue = await self.make_queue()
        answer = self.store.append_once(queue, [new(b"a")], WriteTerms(Ack.ONE), reading.once())
        self.assertIn("weak queue", str(await self.fails(NotPromised, answer)))
        self.assertEqual(await self.counted(queue), 0)


class SchemaTests(TestCase):
    """Who makes the tables, and who does not."""

    timeout = LIMIT

    async def setUp(self) -> None:  # type: ignore[override]
        self.session = make_session()
        self.addCleanup(self.session.close)
        await self.session.connect()
        self.release = await release_of(self.session)
        self.keyspace = new_keyspace()
        self.said: list[str] = []

    def schema(self, session: CQLSession | None = None, create: bool = True) -> Schema:
        settings = SchemaSettings(self.keyspace, 1, create)
        return Schema(session or self.session, settings, uuid.uuid4(), sleep, self.said.append)

    async def run_text(self, text: str) -> Any:
        return await self.session.execute(Statement(text, Kind.DEFINITION), (), Level.ONE)

    async def refused(self, schema: Schema) -> str:
        try:
            await schema.ensure(self.release)
        except ConfigurationError as error:
            return error.text
        raise self.failureException("not refused")

    async def version(self) -> int | None:
        statement = Statement(f"SELECT version FROM {self.keyspace}.schema_state WHERE k = 'version'", Kind.READ)
        rows = await self.session.execute(statement, (), Level.SERIAL)
        return rows[0][0] if rows else None

    async def test_four_at_once(self) -> None:
        sessions = [make_session() for _ in range(4)]
        for session in sessions:
            self.addCleanup(session.close)
        await gatherResults([session.connect() for session in sessions])
        made = [Deferred.fromCoroutine(self.stubborn(self.schema(session))) for session in sessions]
        await gatherResults(made)
        self.assertEqual(await self.version(), scripts()[-1].number)
        rows = await self.run_text(
            f"SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{self.keyspace}'"
        )
        self.assertEqual(len(rows), 11)
        for session in sessions:
            for (table,) in rows:
                query = Statement(f"SELECT * FROM {self.keyspace}.{table} LIMIT 1", Kind.READ)
                await session.execute(query, (), Level.QUORUM)
        self.assertEqual(await self.run_text(f"SELECT owner FROM {self.keyspace}.schema_state WHERE k = 'lock'"), [])

    async def stubborn(self, schema: Schema) -> None:
        """As the store does it."""
        while True:
            try:
                return await schema.ensure(self.release)
            except Unavailable:
                await sleep(0.2)

    async def test_a_newer_one(self) -> None:
        await self.schema().ensure(self.release)
        newer = Statement(
            f"UPDATE {self.keyspace}.schema_state SET version = 99 WHERE k = 'version' "
            f"IF version = {scripts()[-1].number}",
            Kind.TRANSACTION,
        )
        self.assertTrue((await self.session.transact(newer, ())).applied)
        text = await self.refused(self.schema())
        self.assertIn(f"{self.keyspace} have version 99, made by a newer Queuey", text)

    async def test_an_older_one_is_upgraded(self) -> None:
        for script in scripts()[:2]:
            for text in script.statements(names(self.keyspace, replication_cql(1))):
                await self.run_text(text)
        # As it was, and after a front end that died on its way.
        for before, number in (("null", 1), (scripts()[-1].number, 1)):
            set_to = f"UPDATE {self.keyspace}.schema_state SET version = {number} WHERE k = 'version'"
            verdict = await self.session.transact(Statement(f"{set_to} IF version = {before}", Kind.TRANSACTION), ())
            self.assertTrue(verdict.applied)
            await self.schema().ensure(self.release)
            found = Statement(f"SELECT guarantee, ttl FROM {self.keyspace}.queues LIMIT 1", Kind.READ)
            self.assertEqual(len(await self.session.execute(found, (), Level.ONE)), 0)

    async def test_the_keyspace_of_another_program(self) -> None:
        replication = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
        await self.run_text(f"CREATE KEYSPACE {self.keyspace} WITH replication = {replication}")
        await self.run_text(f"CREATE TABLE {self.keyspace}.schema_state (k text PRIMARY KEY, version int)")
        text = await self.refused(self.schema())
        self.assertIn(f"The keyspace {self.keyspace} is not Queuey's", text)

    async def test_an_empty_keyspace_is_used(self) -> None:
        replication = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
        await self.run_text(f"CREATE KEYSPACE {self.keyspace} WITH replication = {replication}")
        await self.schema().ensure(self.release)
        facts = await find_out(self.session, self.release, self.keyspace)
        self.assertEqual((facts.replicas, facts.release), (1, self.release))
        self.assertEqual(facts.syncs, frozenset({"batch"}))
        self.assertIsNone(facts.refusal(self.keyspace))

    async def test_by_hand(self) -> None:
        waiting = Deferred.fromCoroutine(self.stubborn(self.schema(create=False)))
        await sleep(0.7)
        self.assertFalse(waiting.called)
        self.assertIn("type queuey schema --config FILE --apply", self.said[0])
        uncommented = "\n".join(line for line in whole(self.keyspace, 1).splitlines() if not line.startswith("--"))
        for text in filter(None, map(str.strip, uncommented.split(";"))):
            if text.startswith("UPDATE"):
                await self.session.transact(Statement(text, Kind.TRANSACTION), ())
            else:
                await self.run_text(text)
        await bounded(waiting, 20, reactor, lambda: Unavailable("still waiting"))

    async def test_a_data_centre_that_is_none(self) -> None:
        settings = SchemaSettings(self.keyspace, (("nowhere", 3),), True)
        text = await self.refused(Schema(self.session, settings, uuid.uuid4(), sleep, self.said.append))
        self.assertIn("Cassandra refuses to make the tables", text)
        self.assertIn("nowhere", text)


again(__name__, {"": StoreCase}, EVERY)
# These write thousands of rows. In make test they run on tables in memory alone, by the same code of the store, in
# tests.storage.cassandra.store.test_store_contracts.
leave_to_long(__name__, "QueuesTests", "test_paging_over_ten_thousand")
leave_to_long(__name__, "ManyTests", "test_more_queues_than_a_turn_looks_at")
leave_to_long(__name__, "MergeTests", "test_over_many_partitions")
