"""The store over Thrift with a real node of 3.11: the contracts of all stores, and a daemon."""

from __future__ import annotations

import time
import uuid
from typing import Any, ClassVar

from twisted.internet.defer import gatherResults

from queuey.errors import NotPromised
from queuey.interfaces import Outcome
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.storage.cassandra.assembly import NOT_OVER_THRIFT
from queuey.storage.cassandra.cluster.facts import find_out, release_of
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from queuey.storage.cassandra.cluster.thrift.session import ThriftSession
from queuey.storage.cassandra.schema import Schema, SchemaSettings
from tests.again import again
from tests.contracts import delays, lives, merging, messages, putting, queues, replacing, states, timing
from tests.contracts.reading import MessagesCase, new, once
from tests.contracts.subject import Contract, contract
from tests.live.cassandra import fronts
from tests.live.cassandra.load import Queue, working
from tests.live.cassandra.shared import new_keyspace, thrift_node
from tests.live.cassandra.store import test_contracts, test_messages
from tests.live.clients import make_queue

CONNECTIONS = 8


async def connected(test: Any, keyspace: str) -> Any:
    """A session that ends with the test, in whose keyspace the tables are."""
    where = Host(*thrift_node())
    session = ThriftSession(SessionSettings((where,), request_timeout=10.0), CONNECTIONS, test_contracts.reactor)
    test.addCleanup(session.close)
    await session.connect()
    settings = SchemaSettings(keyspace, 1, True)
    schema = Schema(session, settings, uuid.uuid4(), test_contracts.sleep, lambda text: None)
    await schema.ensure(await release_of(session))
    return session


class ThriftCase(test_contracts.StoreCase):
    """Each test has a session, applications and keys of its own; all share the tables."""

    keyspace: ClassVar[str] = new_keyspace()

    async def setUp(self) -> None:  # type: ignore[override]
        self.session = await connected(self, self.keyspace)
        Contract.setUp(self)

    def make_subject(self) -> test_contracts.NodeSubject:
        return test_contracts.NodeSubject(self.session, self.keyspace, not_once=NOT_OVER_THRIFT)


class StatesTests(ThriftCase, states.StatesContract):
    @contract
    async def test_of_many_at_once_exactly_one_wins(self) -> None:
        """This release may give up if several writers compete: then it is unknown who won, if any did."""
        for _ in range(5):
            state = await self.states.read("key")
            version = None if state is None else state.version
            answers = [self.states.replace("key", version, b"%d" % number, self.fresh()) for number in range(20)]
            outcomes = await gatherResults(answers)
            after = await self.states.read("key")
            if after is None or after.version == version:
                self.assertNotIn(Outcome.APPLIED, outcomes)
                continue
            self.assertLessEqual(outcomes.count(Outcome.APPLIED), 1)
            won = outcomes.pop(int(after.value))
            self.assertIn(won, (Outcome.APPLIED, Outcome.UNKNOWN))
            self.assertNotIn(Outcome.APPLIED, outcomes)


class OnceTests(ThriftCase, MessagesCase):
    """Nothing is promised to be stored once."""

    @contract
    async def test_it_is_refused(self) -> None:
        """The store says why, before anything is asked of the cluster; to weak queues as well."""
        self.assertEqual(self.store.capabilities.not_once, NOT_OVER_THRIFT)
        queue = await self.make_queue()
        for ack in (Ack.ONE, Ack.MAJORITY):
            answer = self.store.append_once(queue, [new(b"a")], WriteTerms(ack), once())
            self.assertEqual(str(await self.fails(NotPromised, answer)), NOT_OVER_THRIFT)
        self.assertEqual((await self.shown(queue), await self.counted(queue)), ([], 0))


class MachineTests(test_messages.MachineTests):
    not_once = NOT_OVER_THRIFT

    async def setUp(self) -> None:  # type: ignore[override]
        self.keyspace = new_keyspace()
        self.session = await connected(self, self.keyspace)

    async def test_what_the_cluster_tells(self) -> None:
        """A release that has no table of its settings is taken as it is, and nothing is promised of its disks."""
        facts = await find_out(self.session, await release_of(self.session), self.keyspace)
        self.assertRegex(facts.release, r"^3\.11\.")
        self.assertEqual((facts.replicas, facts.syncs, facts.batch_bytes), (1, frozenset(), None))
        self.assertFalse(facts.far_expiry)
        self.assertIsNone(facts.refusal(self.keyspace))
        self.assertFalse(facts.capabilities().survives_power_loss)


class DaemonTests(fronts.FrontTestCase):
    """``[storage] protocol = thrift``."""

    def test_it_serves(self) -> None:
        """A daemon makes its tables, serves, and has all of it when it is started again."""
        host, port = thrift_node()
        wanted = (Queue("q"), Queue("spread", 3))
        front = self.front("a", [host], port, protocol="thrift").serve()
        self.make(front, *wanted)
        with working([*self.posters(front, wanted, 3), *self.readers(front, wanted)]):
            time.sleep(2)
        front.stop()
        front.serve()
        with working(self.posters(front, wanted, 1)):
            time.sleep(0.5)
        found = self.check([front], wanted, sole=True)
        self.assertGreater(len(found), 20)

    def test_a_key_is_refused(self) -> None:
        """By the v2 API, to queues of every consistency, saying why; without a key it serves all the same."""
        host, port = thrift_node()
        front = self.front("a", [host], port, protocol="thrift").serve()
        self.assertEqual(front.ask("GET", "/v2/queuey")[1]["not_once"], NOT_OVER_THRIFT)
        for consistency in ("weak", "strong", "very_strong"):
            make_queue(front.port, consistency, consistency=consistency)
            path = f"/v2/queuey/queues/{consistency}/messages"
            status, document, _ = front.ask("POST", path, b"a", **{"Idempotency-Key": '"k"'})
            self.assertEqual((status, document["code"], document["applied"]), (409, "not-promised", "no"))
            self.assertIn(NOT_OVER_THRIFT, document["detail"])
            status, told, _ = front.ask("POST", path, b"b")
            self.assertEqual(status, 201, told)
            status, page, _ = front.ask("GET", f"{path}?wait=5")
            self.assertEqual([message["id"] for message in page["messages"]], [told["messages"][0]["id"]])


again(
    __name__,
    {"": ThriftCase},
    (
        queues.QueuesContract,
        messages.AppendContract,
        messages.ScanContract,
        replacing.ReplaceContract,
        timing.ExpiryContract,
        lives.LifeContract,
        timing.FutureContract,
        delays.DelayContract,
        merging.MergeContract,
        putting.PutContract,
    ),
)
