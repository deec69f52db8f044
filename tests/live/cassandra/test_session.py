"""The session over CQL with real nodes: its contract, and what a node asks of those who come."""

from __future__ import annotations

from typing import Any

from twisted.internet.threads import deferToThread

from queuey.storage.cassandra.session import CQLSession
from queuey.storage.cassandra.settings import Host, SessionSettings
from tests.contracts import sessions
from tests.live.cassandra.shared import cql_node, new_keyspace


def make_session(settings: SessionSettings) -> CQLSession:
    """A session as the daemon makes it."""
    from twisted.internet import reactor  # noqa: TID251  # a test has no service that hands it over

    return CQLSession(settings, reactor, deferToThread)


class CQLContractTests(sessions.SessionContract):
    """Over protocol version 5."""

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
