"""The nodes of these tests do what tests ask of them: they start, break, come back, and end."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.live.cassandra.nodes import (
    ROOT,
    THRIFT,
    Cluster,
    NoCassandra,
    accepts,
    answers_cql,
    changed,
    free_ports,
    needs,
    token,
    why_not,
    without_jmx,
)
from tests.live.cassandra.session.wire import ONE, Wire
from tests.live.cassandra.shared import cql_node, new_keyspace, thrift_node
from tests.live.cassandra.tls import PASSWORD, make_identity, make_truststore

TABLE = "CREATE TABLE k.t (i int PRIMARY KEY, x text)"


def keyspace(name: str, replication: int) -> str:
    """The statement that makes one."""
    return (
        f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {replication}}}"
    )


class SettingsTests(SynchronousTestCase):
    """What a node is started with."""

    text = "a: 1\nlist:\n  - b: x\n    c: y\n\n# of d\nd: 2\n"

    def test_changed(self) -> None:
        """A setting is replaced with all that stands below it, and nothing else is."""
        self.assertEqual(changed(self.text, {"list": [1]}), "a: 1\n\n# of d\nd: 2\nlist: [1]\n")
        self.assertEqual(changed(self.text, {"d": "x", "new": True}).splitlines()[-2:], ['d: "x"', "new: true"])
        self.assertEqual(changed(self.text, {"a": None, "list": None}), "\n# of d\nd: 2\n")

    def test_without_jmx(self) -> None:
        """Several nodes on one address cannot have the same port."""
        self.assertEqual(without_jmx("-Xmx1g\n-Dcassandra.jmx.local.port=7199\n-Da=b\n"), "-Xmx1g\n-Da=b\n")

    def test_tokens(self) -> None:
        """The ring is shared evenly."""
        self.assertEqual(token(0, 1), -(2**63))
        self.assertEqual([token(i, 4) for i in range(4)], [-(2**63), -(2**62), 0, 2**62])

    def test_free_ports(self) -> None:
        """Only what is free at each address."""
        ports = free_ports(["127.0.0.1", "127.0.0.2"], 4)
        self.assertEqual(len(set(ports)), 4)
        with socket.create_server(("127.0.0.2", ports[0])):
            self.assertFalse(accepts("127.0.0.1", ports[0]))
            self.assertTrue(accepts("127.0.0.2", ports[0]))
            self.assertFalse(answers_cql("127.0.0.2", ports[1]))

    def test_what_is_missing(self) -> None:
        """A machine that cannot have a server skips; one that can, and has not, fails."""
        reason = why_not()
        self.assertRaises(SkipTest if reason else NoCassandra, needs, "cassandra-2")


class NodesTestCase(SynchronousTestCase):
    """Starts clusters of its own."""

    def setUp(self) -> None:
        needs()
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-nodes-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, nodes: int, **more: Any) -> Cluster:
        """A cluster that ends with the test."""
        cluster = Cluster.start(nodes, self.folder, **more)
        self.addCleanup(cluster.end)
        return cluster


class OneNodeTests(NodesTestCase):
    """A node for itself."""

    def test_life(self) -> None:
        """It dies and comes back with what it acknowledged, hangs and goes on, stops and is gone."""
        cluster = self.start(1, native_transport_max_threads=7)
        node, where = cluster.node(0), (cluster.hosts[0], cluster.port)
        with Wire.connect(*where) as wire:
            for statement in (keyspace("k", 1), TABLE, "INSERT INTO k.t (i, x) VALUES (1, 'it is kept')"):
                wire.query(statement)
            found = wire.query("SELECT value FROM system_views.settings WHERE name = 'native_transport_max_threads'")
        self.assertTrue(found.endswith(b"\0\0\0\x017"), found)
        first = node.pid
        node.kill()
        self.assertFalse(node.running)
        self.assertFalse(answers_cql(*where))
        cluster.restart(0)
        self.assertNotEqual(node.pid, first)
        with Wire.connect(*where) as wire:
            self.assertIn(b"it is kept", wire.query("SELECT x FROM k.t"))
        node.pause()
        self.assertTrue(node.running)
        self.assertFalse(answers_cql(*where))
        node.resume()
        self.assertTrue(answers_cql(*where))
        node.pause()
        node.stop()
        self.assertFalse(node.running)
        self.assertIn("Cassandra shutdown complete", node.log())
        self.assertRaises(NoCassandra, node.serves)

    def test_what_matters(self) -> None:
        """The settings that promises stand on are in force."""
        where = cql_node()
        wanted = {"commitlog_sync": b"batch", "paxos_variant": b"v2", "batch_size_fail_threshold": b"4MiB"}
        with Wire.connect(*where) as wire:
            for name, value in wanted.items():
                found = wire.query(f"SELECT value FROM system_views.settings WHERE name = '{name}'")
                self.assertTrue(found.endswith(value), (name, found))

    def test_does_not_start(self) -> None:
        """It says why, in its own words, and nothing of it runs on."""
        failure = self.assertRaises(NoCassandra, self.start, 1, no_such_setting=1)
        self.assertIn("no_such_setting", str(failure))

    def test_tls_and_password(self) -> None:
        """A client needs the authority's certificate and the password."""
        identity = make_identity(self.folder)
        cluster = self.start(1, authenticator="PasswordAuthenticator", client_encryption_options=identity.settings())
        where = (cluster.hosts[0], cluster.port)
        trusting = ssl.create_default_context(cafile=str(identity.certificate))
        with Wire.connect(*where, trusting, "cassandra") as wire:
            self.assertIn(b"queuey", wire.query("SELECT cluster_name FROM system.local"))
        for tls, password, error in (
            (trusting, "wrong", ConnectionRefusedError),
            (ssl.create_default_context(), "cassandra", ssl.SSLCertVerificationError),
            (None, "cassandra", OSError),
        ):
            self.assertRaises(error, Wire.connect(*where, tls, password).__enter__)

    def test_certificates_of_clients(self) -> None:
        """The settings that ask for one name a keystore with those that are believed."""
        identity = make_identity(self.folder)
        made = identity.settings(make_truststore(self.folder, identity.certificate))
        self.assertTrue(made["require_client_auth"])
        self.assertTrue(Path(made["truststore"]).exists())
        self.assertEqual(made["truststore_password"], PASSWORD)


class SharedTests(SynchronousTestCase):
    """The nodes that a run starts once."""

    def test_cql(self) -> None:
        """It takes keyspaces that differ in their names."""
        names = [new_keyspace(), new_keyspace()]
        with Wire.connect(*cql_node()) as wire:
            for name in names:
                wire.query(keyspace(name, 1))
                wire.query(f"DROP KEYSPACE {name}")
        self.assertEqual(cql_node(), cql_node())

    def test_thrift(self) -> None:
        """It is another server, at another port."""
        needs(THRIFT)
        self.assertTrue(accepts(*thrift_node()))
        self.assertNotEqual(thrift_node(), cql_node())


class ThreeNodesTests(NodesTestCase):
    """A cluster that loses one node."""

    def agree(self, cluster: Cluster) -> None:
        """Return once all nodes have the same tables."""
        deadline = time.monotonic() + 60
        while len({self.schema(host, cluster.port) for host in cluster.hosts}) > 1:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def schema(self, host: str, port: int) -> bytes:
        """Which tables a node has, as one value."""
        with Wire.connect(host, port) as wire:
            return wire.query("SELECT schema_version FROM system.local", consistency=ONE)

    def test_one_dies(self) -> None:
        """The others know each other, serve without it, and have it back."""
        cluster = self.start(3)
        self.assertEqual(cluster.hosts, ["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        for node in map(cluster.node, range(3)):
            # Another node that forgets a slow one while it starts never again asks it for changes of the tables.
            self.assertNotIn("removing from gossip", node.log())
        with Wire.connect("127.0.0.1", cluster.port) as wire:
            for statement in (keyspace("k", 3), TABLE):
                wire.query(statement)
            self.agree(cluster)
            cluster.node(2).kill()
            wire.query("INSERT INTO k.t (i, x) VALUES (1, 'by two of three')")
        cluster.restart(2)
        with Wire.connect("127.0.0.3", cluster.port) as wire:
            self.assertIn(b"by two of three", wire.query("SELECT x FROM k.t WHERE i = 1"))


class EnvironmentTests(SynchronousTestCase):
    """Where the run has started nodes, they are the ones that tests use."""

    def test_named(self) -> None:
        """The part of the checks says where they are; ports of others are not touched."""
        for name, found in (("QUEUEY_TEST_CASSANDRA", cql_node), ("QUEUEY_TEST_THRIFT", thrift_node)):
            if name in os.environ:
                self.assertEqual("{}:{}".format(*found()), os.environ[name])
        self.assertTrue((ROOT / "etc" / "cassandra" / "setup.sh").exists())
