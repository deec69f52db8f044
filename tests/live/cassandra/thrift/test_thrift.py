"""The session over Thrift with real nodes of 3.11: its contract, the tables of the store, TLS, and nodes that break."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor  # noqa: TID251 - real sockets
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.port import AccessRefused, Bound, Kind, Level, Row, Statement, TooLarge
from queuey.storage.cassandra.cluster.settings import Check, Host, SessionSettings, TLSSettings
from queuey.storage.cassandra.cluster.thrift.session import ThriftSession
from queuey.storage.cassandra.schema import Schema, SchemaSettings
from queuey.storage.cassandra.scripts import table_id
from tests.contracts import sessions
from tests.live.cassandra.nodes import THRIFT, Cluster, needs
from tests.live.cassandra.shared import new_keyspace, thrift_node
from tests.live.cassandra.tls import make_identity

CONNECTIONS = 4


def make_session(address: str, port: int, **more: Any) -> ThriftSession:
    return ThriftSession(SessionSettings((Host(address, port),), **more), CONNECTIONS, reactor)


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


class ThriftContractTests(sessions.SessionContract):
    """The contract of all sessions."""

    def make_session(self) -> Any:
        return make_session(*thrift_node())

    def make_keyspace(self) -> str:
        return new_keyspace()

    async def test_batches_of_all_sizes(self) -> None:
        """Prepared ones, filled-up ones, and those whose values are written out, give the same rows."""
        for count in (1, 2, 5, 100, 128, 129, 400):
            for logged in (True, False):
                key = uuid.uuid4()
                rows = [
                    (n, f"it's {n} \u00e9\0\n?", bytes([n % 256, 0, 255]), n % 2 == 0, {"a'": "?"})
                    for n in range(count)
                ]
                await self.session.batch([Bound(self.insert, (key, *row)) for row in rows], Level.QUORUM, logged)
                found = await self.session.execute(self.select, (key,), Level.QUORUM)
                self.assertEqual([tuple(row) for row in found], rows)

    async def test_what_a_node_itself_finds_too_large(self) -> None:
        """It is distinguished from what is malformed."""
        session = make_session(*thrift_node(), max_request=1 << 24)
        self.addCleanup(session.close)
        await session.connect()
        bound = [Bound(self.insert, (uuid.uuid4(), 1, "", bytes(3 << 20), True, {})) for _ in range(2)]
        await self.fails(TooLarge, session.batch(bound, Level.QUORUM, False))


class TablesTests(TestCase):
    """The tables of the store, on a release that is this old."""

    timeout = 120

    async def test_the_tables(self) -> None:
        """All of them are made, with the ids of the files, and hold what their types say."""
        keyspace = new_keyspace()
        session = make_session(*thrift_node())
        self.addCleanup(session.close)
        await session.connect()
        said: list[str] = []
        schema = Schema(session, SchemaSettings(keyspace, 1, True), uuid.uuid4(), sleep, said.append)
        await schema.ensure("3.11.19")
        await schema.ensure("3.11.19")
        tables = Statement("SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = ?", Kind.READ)
        found: Sequence[Row] = await session.execute(tables, (keyspace,), Level.ONE)
        self.assertIn("messages_long", [name for name, _ in found])
        self.assertEqual([tuple(row) for row in found], [(name, table_id(keyspace, name)) for name, _ in found])
        await self.queues(session, keyspace)
        await session.execute(Statement(f"DROP KEYSPACE {keyspace}", Kind.DEFINITION), (), Level.QUORUM)

    async def queues(self, session: ThriftSession, keyspace: str) -> None:
        purged, principals = {0: (b"\0\xff", 2**60), 32767: (b"", -1)}, ["a", "\u00e9"]
        where = "WHERE app = ? AND shard = ? AND name = ?"
        write = Statement(
            f"UPDATE {keyspace}.queues USING TTL ? SET purged = ?, principals = ?, life = ? {where}", Kind.WRITE
        )
        read = Statement(f"SELECT purged, principals, life, version FROM {keyspace}.queues {where}", Kind.READ)
        swap = Statement(f"UPDATE {keyspace}.queues SET purged = ? {where} IF purged = ?", Kind.TRANSACTION)
        key = ("app", -3, "name")
        await session.execute(write, (1000, purged, principals, b"x", *key), Level.QUORUM)
        (row,) = await session.execute(read, key, Level.QUORUM)
        self.assertEqual((dict(row[0]), list(row[1]), *row[2:]), (purged, principals, b"x", None))
        verdict = await session.transact(swap, ({1: (b"a", 1)}, *key, {0: (b"b", 1)}))
        self.assertEqual((verdict.applied, dict(verdict.found["purged"])), (False, purged))
        self.assertTrue((await session.transact(swap, ({1: (b"a", 1)}, *key, purged))).applied)


class ClusterTestCase(TestCase):
    """Starts clusters of its own."""

    timeout = 400

    async def start(self, nodes: int, **settings: Any) -> Cluster:
        needs(THRIFT)
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-thrift-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.identity = make_identity(self.folder)
        if "client_encryption_options" in settings:
            settings["client_encryption_options"] = {**self.identity.settings(), "store_type": "PKCS12"}
        cluster: Cluster = await deferToThread(Cluster.start, nodes, self.folder, server=THRIFT, **settings)
        self.addCleanup(cluster.end)
        return cluster


class SecretTests(ClusterTestCase):
    """A node that speaks TLS and asks for a password."""

    async def test_tls_and_password(self) -> None:
        """Who trusts it and has the password is let in; all others learn why not."""
        cluster = await self.start(1, authenticator="PasswordAuthenticator", client_encryption_options={})
        where = cluster.hosts[0], cluster.thrift_port
        trusting = TLSSettings(self.identity.certificate, None, None, Check.ADDRESS)
        user: dict[str, Any] = {"username": "cassandra", "password": "cassandra"}
        await self.let_in(*where, tls=trusting, **user)
        await self.let_in(*where, tls=TLSSettings(None, None, None, Check.NOTHING), **user)
        refused: list[tuple[dict[str, Any], str]] = [
            ({"tls": trusting, "username": "cassandra", "password": "x"}, "refuses this username and password"),
            ({"tls": trusting}, "asks for a username and a password"),
            ({"tls": TLSSettings(None, None, None, Check.AUTHORITY), **user}, "over TLS"),
            (user, "speaks it over TLS alone"),
        ]
        for more, text in refused:
            session = make_session(*where, **more)
            with self.assertRaisesRegex(AccessRefused, text):
                await session.connect()
            await session.close()

    async def let_in(self, address: str, port: int, **more: Any) -> None:
        session = make_session(address, port, **more)
        for _ in range(60):
            try:
                await session.connect()
                break
            except (AccessRefused, Unavailable):  # the first user is made some seconds after the start
                await sleep(1)
        rows = await session.execute(Statement("SELECT cluster_name FROM system.local", Kind.READ), (), Level.ONE)
        self.assertEqual(list(rows), [("queuey-3.11",)])
        await session.close()


class TwoNodesTests(ClusterTestCase):
    """Two nodes with all data, of which one breaks."""

    async def test_a_node_that_stops_dies_and_comes_back(self) -> None:
        """After the moments in which the nodes cannot know, what one node can answer is answered."""
        cluster = await self.start(2)
        session = make_session(cluster.hosts[0], cluster.thrift_port)
        self.addCleanup(session.close)
        await session.connect()
        await self.until(session, 2)
        await self.prepare_tables(session)
        node = cluster.node(1)
        await self.serves(session)
        node.pause()
        await self.serves(session)
        await self.until(session, 1)
        node.resume()
        await self.until(session, 2)
        await self.serves(session)
        node.kill()
        await self.serves(session)
        await self.until(session, 1)
        await deferToThread(cluster.restart, 1)
        await self.until(session, 2)
        await self.serves(session)

    async def prepare_tables(self, session: ThriftSession) -> None:
        for text in (
            "CREATE KEYSPACE k WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 2}",
            "CREATE TABLE k.t (i uuid PRIMARY KEY, x text)",
        ):
            await session.execute(Statement(text, Kind.DEFINITION), (), Level.ONE)
        self.insert = Statement("INSERT INTO k.t (i, x) VALUES (?, ?)", Kind.WRITE)
        self.select = Statement("SELECT x FROM k.t WHERE i = ?", Kind.READ)

    async def serves(self, session: ThriftSession) -> None:
        """Return once it has served many times on end; the other node asks a silent one until it knows better."""
        served, deadline = 0, reactor.seconds() + 60
        while served < 20:
            began = reactor.seconds()
            try:
                await self.write_and_read(session)
                served += 1
            except Unavailable as error:
                served = 0
                self.assertLess(began, deadline, str(error))
            self.assertLess(reactor.seconds() - began, 8)

    async def write_and_read(self, session: ThriftSession) -> None:
        key = uuid.uuid4()
        await session.execute(self.insert, (key, "x"), Level.ONE)
        found = await session.execute(self.select, (key,), Level.ONE)
        # At ONE the node that is asked may be the one that has not got it yet.
        self.assertIn(list(found), ([("x",)], []))

    async def until(self, session: ThriftSession, nodes: int) -> None:
        for _ in range(300):
            if len(session.nodes()) == nodes:
                return
            await sleep(0.1)
        self.fail(f"{session.nodes()}, where {nodes} were to be there")
