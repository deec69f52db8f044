"""Configures the CQL driver, connects it, and logs which nodes come and go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import DCAwareRoundRobinPolicy, ExponentialReconnectionPolicy, TokenAwarePolicy
from cassandra.pool import Host

from queuey.logs import EventLog
from queuey.storage.cassandra.cluster.cql.connection import Loop, connection_class
from queuey.storage.cassandra.cluster.port import (
    AccessRefused,
)
from queuey.storage.cassandra.cluster.settings import SessionSettings

VERDICT: Final = "verdict"
"""The profile of lightweight transactions, whose columns are needed by name."""

THREADS: Final = 8
"""Threads of the driver: an attempt to reach a node that is silent keeps one, and retries must not wait for that."""


class NodeLog:
    """Logs which nodes come and go; the driver calls it in its own threads."""

    def __init__(self, reactor: Any, log: EventLog) -> None:
        self._reactor = reactor
        self._log = log

    def on_up(self, host: Host) -> None:
        """Log that a node answers."""
        self._later(lambda: self._log.info("node-up", "Cassandra at {address} answers", address=str(host.endpoint)))

    def on_down(self, host: Host) -> None:
        """Log that a node does not answer."""
        self._later(
            lambda: self._log.warn("node-down", "Cassandra at {address} does not answer", address=str(host.endpoint))
        )

    def on_add(self, host: Host) -> None:
        """Log that a node was added."""
        self.on_up(host)

    def on_remove(self, host: Host) -> None:
        """Log that a node was removed."""
        self._later(
            lambda: self._log.info(
                "node-gone", "Cassandra at {address} has left the cluster", address=str(host.endpoint)
            )
        )

    def _later(self, say: Callable[[], None]) -> None:
        self._reactor.callFromThread(say)


def open_cluster(settings: SessionSettings, loop: Loop, watcher: NodeLog) -> tuple[Cluster, Session]:
    """Find the cluster; in a thread."""
    cluster = _cluster(settings, loop)
    try:
        session = cluster.connect()
    except Exception as error:
        centres = sorted({host.datacenter for host in cluster.metadata.all_hosts() if host.datacenter})
        cluster.shutdown()
        if settings.local_dc is not None and centres and settings.local_dc not in centres:
            text = f"Cassandra has no data centre named {settings.local_dc!r}, but {', '.join(centres)}."
            raise AccessRefused(text) from error
        raise
    # All rows: a statement that may find many has a LIMIT, so no paging state has to be kept.
    session.default_fetch_size = None
    cluster.register_listener(watcher)
    return cluster, session


def _cluster(settings: SessionSettings, loop: Loop) -> Cluster:
    # The log of the driver is dropped; errors, and nodes that come and go, are logged here.
    logging.getLogger("cassandra").addHandler(logging.NullHandler())
    policy = TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.local_dc or ""))
    login = None
    if settings.username is not None:
        login = PlainTextAuthProvider(settings.username, settings.password or "")
    return Cluster(
        [(host.name, host.port) for host in settings.hosts],
        port=settings.hosts[0].port,
        compression=False,
        auth_provider=login,
        # Without an end: an outage may last, and the driver gives a node up after 64 attempts otherwise.
        reconnection_policy=ExponentialReconnectionPolicy(1.0, 4.0, max_attempts=None),
        connection_class=connection_class(loop),
        protocol_version=settings.protocol_version,
        executor_threads=THREADS,
        idle_heartbeat_interval=settings.heartbeat,
        idle_heartbeat_timeout=settings.heartbeat,
        connect_timeout=settings.connect_timeout,
        control_connection_timeout=settings.connect_timeout,
        # A node that has not seen a statement says so, and the driver prepares it there; it would wait for one that is
        # silent otherwise.
        prepare_on_all_hosts=False,
        monitor_reporting_enabled=False,
        execution_profiles={
            EXEC_PROFILE_DEFAULT: ExecutionProfile(policy, row_factory=lambda names, rows: rows),
            VERDICT: ExecutionProfile(policy, row_factory=lambda names, rows: (names, rows)),
        },
    )
