"""The store as a whole: how it comes up, what it says meanwhile, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from queuey.config import CassandraStorage
from queuey.errors import ConfigurationError, Unavailable
from queuey.interfaces import Capabilities
from queuey.model.queues.queue import QueueSettings
from queuey.storage.cassandra.assembly import NO_GROUPS_OVER_THRIFT, NOT_OVER_THRIFT, promises_of
from queuey.storage.cassandra.cluster.facts import Facts
from queuey.storage.cassandra.cluster.port import AccessRefused, Node, Row, Statement
from queuey.storage.cassandra.messages.store import Messages
from queuey.storage.cassandra.queues.registry import Registry
from queuey.storage.cassandra.schema import Schema
from queuey.storage.cassandra.states import CassandraStates
from queuey.storage.cassandra.store import CassandraStore, Parts
from tests.storage.cassandra.messages.message_support import LIMITS
from tests.storage.cassandra.store.store_support import SETTINGS, FakeTimes, incarnations
from tests.storage.cassandra.store.test_schema import Cluster, Session
from tests.storage.subjects import versions

PLAIN = QueueSettings()
WHERE = "127.0.0.1:9042"
PROMISES = Capabilities("Nobody has asked.", False, "No transactions.", "None here.", True)


class Whole(Session):
    """A cluster that may be away, or refuse."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.problem: Exception | None = None
        self.connected = 0
        self.closed = False
        self.sync = "batch"
        self.replicas = "1"

    def connect(self) -> Deferred[None]:
        if self.problem is not None:
            return fail(self.problem)
        self.connected += 1
        return succeed(None)

    def execute(self, statement: Statement, values: Sequence[Any], level: Any) -> Deferred[Sequence[Row]]:
        if "release_version" in statement.text:
            return succeed([("5.0.8",)])
        if "system_schema.keyspaces" in statement.text:
            return succeed([({"class": "x", "dc": self.replicas},)])
        return super().execute(statement, values, level)

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        return succeed([("commitlog_sync", self.sync), ("max_mutation_size", "4MiB")])

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class WaitingTimes(FakeTimes):
    """Times that are ready when the test says so."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.ready: Deferred[None] = succeed(None)
        self.stopped = False

    def start(self) -> Deferred[None]:
        return self.ready

    def stop(self) -> Deferred[None]:
        self.stopped = True
        if not self.ready.called:
            self.ready.errback(Unavailable("stopping"))
        return succeed(None)


class PromisesTests(SynchronousTestCase):
    """What the settings alone decide."""

    def capabilities(self, protocol: str, multi_dc: bool) -> Capabilities:
        hosts, none = (), None
        return promises_of(
            CassandraStorage(
                hosts, "ks", 1, none, multi_dc, none, none, protocol, True, "one", 2.0, 0.5, 0.0, 5.0, 256, none
            )
        )

    def test_over_cql(self) -> None:
        capabilities = self.capabilities("cql", False)
        self.assertEqual((capabilities.not_once, capabilities.no_groups, capabilities.apart), ("", "", False))
        self.assertTrue(self.capabilities("cql", True).apart)

    def test_over_thrift(self) -> None:
        capabilities = self.capabilities("thrift", False)
        self.assertEqual((capabilities.not_once, capabilities.no_groups), (NOT_OVER_THRIFT, NO_GROUPS_OVER_THRIFT))


class StoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cluster = Cluster()
        self.clock = self.cluster.clock
        self.session = Whole(self.cluster)
        self.times = WaitingTimes(self.clock.seconds)
        self.found: list[Facts] = []
        registry = Registry(self.session, self.times, "ks", self.clock, versions(), incarnations())
        parts = Parts(
            self.session,
            self.times,
            registry,
            CassandraStates(self.session, "ks"),
            Messages(self.session, self.times, registry, lambda: LIMITS, False, "ks", self.clock, 77, ""),
        )
        self.store = CassandraStore(parts, SETTINGS, WHERE, self.schema, self.clock, self.found.append, PROMISES)

    def schema(self, sleep: Callable[[float], Deferred[None]], says: Callable[[str], None]) -> Schema:
        return Schema(self.session, SETTINGS, UUID(int=1), sleep, says)

    def go_on(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))

    def why(self) -> str:
        error = self.failureResultOf(self.store.create("app", "queue", PLAIN, None), Unavailable).value
        self.assertEqual(error.applied, "no")
        for answer in (self.store.ping(), self.store.states.read("key"), self.store.names("app", "", 1, "")):
            self.assertEqual(str(self.failureResultOf(answer, Unavailable).value), str(error))
        return str(error)

    def test_comes_up(self) -> None:
        self.assertIn("has not been opened", self.why())
        self.store.open()
        opened = self.store.opened()
        self.assertEqual(self.why(), "Storage waits for Cassandra at 127.0.0.1:9042.")
        self.go_on(3)
        self.assertIn("version 1 of the tables in the keyspace ks is being made", self.why())
        self.go_on(20)
        self.assertIsNone(self.successResultOf(opened))
        self.assertIsNone(self.successResultOf(self.store.opened()))
        self.assertEqual(self.found[0].mutation_bytes, 4 << 20)
        self.assertIn("on the disks", self.store.capabilities.durable)
        self.assertTrue(self.store.capabilities.survives_power_loss)
        self.assertEqual(
            (self.store.capabilities.not_once, self.store.capabilities.no_groups, self.store.capabilities.apart),
            (PROMISES.not_once, PROMISES.no_groups, PROMISES.apart),
        )
        self.successResultOf(self.store.ping())
        _, made = self.successResultOf(self.store.create("app", "queue", PLAIN, None))
        self.assertTrue(made)

    def test_waits_for_the_cluster_for_ever(self) -> None:
        self.session.problem = Unavailable("Connection refused.")
        self.store.open()
        opened = self.store.opened()
        self.go_on(1000)
        self.assertIn("waiting for Cassandra at 127.0.0.1:9042: Connection refused.", self.why())
        self.assertNotIn("..", self.why())
        self.session.problem = None
        self.go_on(25)
        self.successResultOf(opened)
        self.assertEqual(self.session.connected, 1)

    def test_waits_for_its_turn(self) -> None:
        self.times.ready = Deferred()
        self.store.open()
        self.go_on(20)
        self.assertIn("Cassandra answers, and this front end gets ready", self.why())
        self.times.ready.callback(None)
        self.successResultOf(self.store.ping())

    def test_not_fit_to_serve(self) -> None:
        self.store.open()
        self.go_on(20)
        self.times.unfit = "The clock is off."
        self.assertEqual(str(self.failureResultOf(self.store.ping(), Unavailable).value), "The clock is off.")

    def test_refused(self) -> None:
        self.session.problem = AccessRefused("The password is wrong.")
        self.store.open()
        error = self.failureResultOf(self.store.opened(), ConfigurationError).value
        self.assertEqual(str(error), "Cassandra at 127.0.0.1:9042: The password is wrong.")
        self.assertIn("The password is wrong.", self.why())

    def test_a_cluster_that_keeps_no_promise(self) -> None:
        self.session.sync = "periodic"
        self.store.open()
        self.go_on(20)
        error = self.failureResultOf(self.store.opened(), ConfigurationError).value
        self.assertIn("commitlog_sync is periodic", str(error))

    def test_closed_while_it_waits(self) -> None:
        self.session.problem = Unavailable("Connection refused.")
        self.store.open()
        opened = self.store.opened()
        self.successResultOf(self.store.close())
        self.failureResultOf(opened, Unavailable)
        self.assertTrue(self.session.closed)
        self.assertEqual(self.why(), "The store is closed.")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed_while_it_waits_for_its_turn(self) -> None:
        self.times.ready = Deferred()
        self.store.open()
        self.go_on(20)
        opened = self.store.opened()
        self.successResultOf(self.store.close())
        self.failureResultOf(opened, Unavailable)
        self.assertTrue(self.times.stopped)

    def test_what_was_begun_is_finished(self) -> None:
        self.store.open()
        self.go_on(20)
        self.session.hold = True
        making = self.store.create("app", "queue", PLAIN, None)
        closing = self.store.close()
        self.assertNoResult(closing)
        self.assertFalse(self.times.stopped)
        self.assertEqual(self.why(), "The store is closed.")
        self.session.turn()
        self.successResultOf(making)
        self.successResultOf(closing)
        self.successResultOf(self.store.close())
