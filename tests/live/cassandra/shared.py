"""The node that the tests of a run share: to start one takes 10 seconds, and half a CPU each second of them.

``make test`` starts it before the tests and names it in the environment. A test that is run alone starts it itself, the
first time that it is asked for, and it ends with the process.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import uuid
from pathlib import Path

from tests.live.cassandra.nodes import CQL, THRIFT, Cluster, needs

#: The variables of the environment that name the nodes of a run, as ``127.0.0.1:port``.
VARIABLES = {CQL: "QUEUEY_TEST_CASSANDRA", THRIFT: "QUEUEY_TEST_THRIFT"}


def cql_node() -> tuple[str, int]:
    """The address and port of the node that speaks CQL.

    Tests tell their data apart by keyspaces or applications of their own, and break nothing: who stops a node starts
    one of its own.

    :raise SkipTest: where the machine lacks what it needs.
    """
    return _named(CQL) or _own(CQL)


def thrift_node() -> tuple[str, int]:
    """The same for the node of 3.11, with the port of Thrift."""
    return _named(THRIFT) or _own(THRIFT)


def new_keyspace() -> str:
    """A name that no other test has for its keyspace."""
    return f"test_{uuid.uuid4().hex}"


def _named(server: str) -> tuple[str, int] | None:
    host, _, port = os.environ.get(VARIABLES[server], "").rpartition(":")
    return (host, int(port)) if host else None


@functools.cache
def _own(server: str) -> tuple[str, int]:
    """Start a node that lives as long as this process."""
    needs(server)
    folder = Path(tempfile.mkdtemp(prefix="queuey-cassandra-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cluster = Cluster.start(1, folder, server=server)
    atexit.register(cluster.end)
    return address(server, cluster)


def address(server: str, cluster: Cluster) -> tuple[str, int]:
    """Where the clients of a server ask: by CQL, or by Thrift where that is what it is for."""
    return cluster.hosts[0], cluster.thrift_port if server == THRIFT else cluster.port
