"""The session over CQL with real nodes: its contract, and what a node asks of those who come."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.cql.session import CQLSession
from queuey.storage.cassandra.cluster.port import AccessRefused, Kind, Level, Statement
from queuey.storage.cassandra.cluster.settings import Check, Host, SessionSettings, TLSSettings
from tests.contracts import sessions
from tests.live.cassandra.nodes import Cluster, needs
from tests.live.cassandra.shared import cql_node, new_keyspace
from tests.live.cassandra.tls import Identity, make_identity, make_truststore


def make_session(settings: SessionSettings) -> CQLSession:
    """A session as the daemon makes it."""
    from twisted.internet import reactor  # noqa: TID251  # a test has no service that hands it over

    return CQLSession(settings, reactor, deferToThread)


def make_client(folder: Path, name: str = "client") -> Path:
    """A key and a certificate that is its own authority, in one file in PEM."""
    made, key, certificate = folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}.crt"
    names = ("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:elsewhere.example")
    files = ("-keyout", str(key), "-out", str(certificate))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names]
    subprocess.run(command, check=True, capture_output=True)
    made.write_bytes(certificate.read_bytes() + key.read_bytes())
    return made


@contextlib.contextmanager
def serving_tls(identity: Path) -> Iterator[int]:
    """Somebody else's server on a port of loopback, who speaks TLS and nothing more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listening.accept()
                    connection.settimeout(5)
                    context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


class CQLContractTests(sessions.SessionContract):
    """Over protocol version 5."""

    run_in = "test"

    version = 5
    keyspace_of_all = new_keyspace()

    def make_session(self) -> Any:
        address, port = cql_node()
        return make_session(SessionSettings((Host(address, port),), protocol_version=self.version))

    def make_keyspace(self) -> str:
        return self.keyspace_of_all


class CQL4ContractTests(CQLContractTests):
    """Over protocol version 4."""

    version = 4
    keyspace_of_all = new_keyspace()


@functools.cache
def guarded() -> tuple[Cluster, Path, Identity, Path]:
    """A node that asks for TLS and a password and lives as long as this process, its folder, its identity and ours."""
    folder = Path(tempfile.mkdtemp(prefix="queuey-guarded-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    node, client = make_identity(folder), make_client(folder)
    cluster = Cluster.start(
        1,
        folder,
        client_encryption_options=node.settings(make_truststore(folder, client)),
        authenticator={"class_name": "PasswordAuthenticator"},
        authorizer={"class_name": "CassandraAuthorizer"},
    )
    atexit.register(cluster.end)
    return cluster, folder, node, client


class GuardedTests(TestCase):
    """A node that asks for TLS with certificates on both sides, and for a name and a password."""

    timeout = 120

    def setUp(self) -> None:
        needs()
        self.cluster, self.folder, self.node, self.client = guarded()

    def settings(self, **more: Any) -> SessionSettings:
        told = {"username": "cassandra", "password": "cassandra", "tls": self.tls(), **more}
        return SessionSettings((Host("127.0.0.1", self.cluster.port),), **told)

    def tls(self, **more: Any) -> TLSSettings:
        return attrs.evolve(TLSSettings(self.node.certificate, self.client, None, Check.ADDRESS), **more)

    async def connected(self, settings: SessionSettings) -> None:
        """Connect as soon as the node has made its first user, some seconds after it serves."""
        session = make_session(settings)
        try:
            for attempt in range(60):
                try:
                    await session.connect()
                    break
                except AccessRefused as error:
                    if "password" not in error.text or attempt == 59:
                        raise
                    await deferToThread(time.sleep, 0.5)
            rows = await session.execute(Statement("SELECT key FROM system.local", Kind.READ), (), Level.ONE)
            self.assertEqual(len(rows), 1)
        finally:
            await session.close()

    async def refused(self, settings: SessionSettings) -> str:
        session = make_session(settings)
        try:
            await session.connect()
        except AccessRefused as error:
            return error.text
        finally:
            await session.close()
        raise self.failureException("let in")

    async def test_who_is_let_in(self) -> None:
        for check in Check:
            await self.connected(self.settings(tls=self.tls(check=check)))
        await self.connected(self.settings(protocol_version=4))

    async def test_who_is_not(self) -> None:
        await self.connected(self.settings())
        self.assertIn("refuses this username", await self.refused(self.settings(password="wrong")))
        self.assertIn("none are set", await self.refused(self.settings(username=None)))
        strange = self.tls(authorities=self.client)
        for check in (Check.ADDRESS, Check.AUTHORITY):
            settings = self.settings(tls=attrs.evolve(strange, check=check))
            self.assertIn("over TLS", await self.refused(settings))
        self.assertIn("over TLS", await self.refused(self.settings(tls=self.tls(certificate=None))))
        with self.assertRaises(Unavailable):
            await make_session(self.settings(tls=None)).connect()

    async def test_files_that_are_of_no_use(self) -> None:
        empty = self.folder / "empty.pem"
        empty.touch()
        other = make_client(self.folder, "no key of the certificate")
        for tls in (
            self.tls(authorities=self.folder / "nothing.pem"),
            self.tls(authorities=empty),
            self.tls(certificate=self.node.certificate, key=None),
            self.tls(key=empty),
            self.tls(key=other),
        ):
            self.assertIn("certificates", await self.refused(self.settings(tls=tls)))

    async def test_rights(self) -> None:
        await self.connected(self.settings())
        root = make_session(self.settings())
        await root.connect()
        await root.execute(
            Statement("CREATE ROLE IF NOT EXISTS guest WITH PASSWORD = 'guest' AND LOGIN = true", Kind.DEFINITION),
            (),
            Level.ONE,
        )
        await root.close()
        guest = make_session(self.settings(username="guest", password="guest"))
        await guest.connect()
        with self.assertRaises(AccessRefused):
            await guest.execute(Statement("SELECT role FROM system_auth.roles", Kind.READ), (), Level.ONE)
        await guest.close()

    async def test_the_name_in_the_certificate(self) -> None:
        """The node's certificate names its address; the client's own does not."""
        other = make_client(self.folder, "other")
        with serving_tls(other) as port:
            settings = attrs.evolve(
                self.settings(tls=self.tls(authorities=other)), hosts=(Host("127.0.0.1", port),), connect_timeout=1.0
            )
            self.assertIn("over TLS", await self.refused(settings))


class LostNodeTests(TestCase):
    """A node that is killed and comes back, and one that is paused."""

    timeout = 240

    async def test_the_session_finds_it_again_by_itself(self) -> None:
        needs()
        folder = Path(tempfile.mkdtemp(prefix="queuey-lost-"))
        self.addCleanup(shutil.rmtree, folder)
        cluster = await deferToThread(Cluster.start, 1, folder)
        self.addCleanup(cluster.end)
        session = make_session(SessionSettings((Host("127.0.0.1", cluster.port),), request_timeout=1.0))
        await session.connect()
        self.addCleanup(session.close)
        read = Statement("SELECT key FROM system.local", Kind.READ)
        await session.execute(read, (), Level.ONE)
        for end in (cluster.node(0).kill, cluster.node(0).stop):
            end()
            with self.assertRaises(Unavailable):
                await session.execute(read, (), Level.ONE)
            await deferToThread(cluster.restart, 0)
            await self.answers(session, read, 20.0)
        cluster.node(0).pause()
        with self.assertRaises(Unavailable):
            await session.execute(read, (), Level.ONE)
        await deferToThread(time.sleep, 6.0)
        cluster.node(0).resume()
        await self.answers(session, read, 20.0)

    async def answers(self, session: CQLSession, read: Statement, limit: float) -> None:
        deadline = time.monotonic() + limit
        while True:
            try:
                await session.execute(read, (), Level.ONE)
                return
            except Unavailable:
                self.assertLess(time.monotonic(), deadline)
                await deferToThread(time.sleep, 0.1)
