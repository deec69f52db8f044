"""Puts the store on a cluster together, out of the settings."""

from __future__ import annotations

import random
import secrets
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool

from queuey.config import CassandraStorage, ClusterTLS
from queuey.errors import ConfigurationError
from queuey.interfaces import Capabilities, IStore
from queuey.model.stable_time.lease import Terms
from queuey.model.stable_time.stable import Lateness
from queuey.storage.cassandra.cluster.facts import Facts
from queuey.storage.cassandra.cluster.layers import Bounds, CallLimits, layered
from queuey.storage.cassandra.cluster.port import ICQLSession
from queuey.storage.cassandra.cluster.settings import Check, Host, SessionSettings, TLSSettings
from queuey.storage.cassandra.import_target import CassandraImportTarget, Tables
from queuey.storage.cassandra.messages.store import Messages
from queuey.storage.cassandra.messages.writes import WriteLimits
from queuey.storage.cassandra.queues.registry import Registry
from queuey.storage.cassandra.schema import Schema, SchemaSettings
from queuey.storage.cassandra.states import CassandraStates
from queuey.storage.cassandra.store import CassandraStore, Parts
from queuey.storage.cassandra.times.clocks import ClockWatch
from queuey.storage.cassandra.times.lease import LeaseHolder
from queuey.storage.cassandra.times.machine_clock import MachineClock, OwnClock
from queuey.storage.cassandra.times.port import Times
from queuey.storage.cassandra.times.presence import Identity

PORTS: Final = {"cql": 9042, "thrift": 9160}
"""The default ports of nodes, by protocol."""

CONNECTIONS: Final = 16
"""Connections to each node over Thrift; each serves one request at a time."""

COUNTED: Final = 100_000
"""Messages of a queue that are counted at most; a queue with more is reported to have that many."""

NOT_OVER_THRIFT: Final = (
    "Over Thrift no message can be promised to be stored only once: the lightweight transactions of Cassandra 3.11 and "
    "before give up where two compete."
)
"""Why no Idempotency-Key is taken there."""

NO_GROUPS_OVER_THRIFT: Final = (
    "Over Thrift there are no consumer groups: the lightweight transactions of Cassandra 3.11 and before give up where "
    "two compete."
)
"""Why no group can be made there."""


class Known:
    """Limits of the cluster, for writers of messages; empty before the cluster was reached."""

    def __init__(self, skew: float) -> None:
        self._skew = skew
        self.limits = WriteLimits(None, None, False, COUNTED, skew)

    def learn(self, facts: Facts) -> None:
        """Take over what was found out."""
        self.limits = WriteLimits(facts.batch_bytes, facts.mutation_bytes, facts.far_expiry, COUNTED, self._skew)


def make_cassandra_store(settings: CassandraStorage, reactor: Any, now: Callable[[], float]) -> IStore:
    """Make the store on a cluster, not open yet.

    :param now: the wall clock, in seconds since 1970.
    :raise ConfigurationError: a package that it needs is not installed.
    """
    clock = MachineClock(now, lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
    return assemble(settings, make_session(settings, reactor), clock, reactor)


def make_import_target(settings: CassandraStorage, reactor: Any, now: Callable[[], float]) -> CassandraImportTarget:
    """Make the store on a cluster that takes in what another store holds, not open yet. No daemon serves from it
    meanwhile.

    :param now: the wall clock, in seconds since 1970.
    :raise ConfigurationError: a package that it needs is not installed, or the cluster cannot hold what others do.
    """
    if settings.protocol == "thrift":
        text = "[storage] protocol: thrift: what it can hold is less than what is copied; copy over cql"
        raise ConfigurationError((text,))
    clock = MachineClock(now, lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
    alone = attrs.evolve(settings, frontends="one")
    session = make_session(alone, reactor)
    store, messages, registry, times = _assembled(alone, session, clock, reactor, True)
    store.open()
    tables = Tables(session, settings.keyspace)
    return CassandraImportTarget(store, tables, messages, registry, times, lambda seconds: deferLater(reactor, seconds))


def assemble(settings: CassandraStorage, session: ICQLSession, clock: OwnClock, timer: Any) -> CassandraStore:
    """The store over a session."""
    return _assembled(settings, session, clock, timer, False)[0]


def _assembled(
    settings: CassandraStorage, session: ICQLSession, clock: OwnClock, timer: Any, filling: bool
) -> tuple[CassandraStore, Messages, Registry, Times]:
    """Make the store, with those of its parts that a copy needs."""
    keyspace, known = settings.keyspace, Known(settings.clock_skew)
    identity = Identity(uuid.uuid4(), socket.gethostname())
    times = _times(settings, session, identity, clock, timer)
    registry = Registry(session, times, keyspace, timer, new_version, lambda: secrets.token_bytes(16))
    promised = promises_of(settings)
    rest = secrets.randbelow(256)
    messages = Messages(
        session, times, registry, lambda: known.limits, settings.multi_dc, keyspace, timer, rest, promised.not_once
    )
    schema, metrics = schema_settings(settings), (*times.metrics, *session.metrics)
    store = CassandraStore(
        Parts(session, times, registry, CassandraStates(session, keyspace), messages, metrics),
        schema,
        where(settings),
        lambda sleep, says: Schema(session, schema, identity.id, sleep, says),
        timer,
        known.learn,
        promised,
        filling,
    )
    return store, messages, registry, times


def promises_of(settings: CassandraStorage) -> Capabilities:
    """Return the guarantees that follow from the settings alone."""
    unknown = "What an acknowledged write survives is known once Cassandra has been asked."
    if settings.protocol == "thrift":
        return Capabilities(
            unknown, False, NOT_OVER_THRIFT, NO_GROUPS_OVER_THRIFT, settings.multi_dc, knows_changes=False
        )
    return Capabilities(unknown, False, apart=settings.multi_dc, knows_changes=False)


def _times(
    settings: CassandraStorage, session: ICQLSession, identity: Identity, clock: OwnClock, timer: Any
) -> LeaseHolder | ClockWatch:
    kind: type[LeaseHolder | ClockWatch] = LeaseHolder if settings.frontends == "one" else ClockWatch
    lateness = Lateness(write=settings.write_timeout, skew=settings.clock_skew, base=settings.base_delay)
    return kind(session, settings.keyspace, identity, lateness, Terms(), timer, clock, time.monotonic, secrets.randbits)


def make_session(settings: CassandraStorage, reactor: Any) -> ICQLSession:
    """Make a session with the cluster and all its layers, not connected yet.

    :raise ConfigurationError: a package that it needs is not installed.
    """
    bounds = Bounds(count=settings.in_flight)
    return layered(bare_session(settings, reactor), reactor, bounds, CallLimits(), random.random)


def bare_session(settings: CassandraStorage, reactor: Any) -> ICQLSession:
    """Make the session without layers.

    :raise ConfigurationError: a package that it needs is not installed.
    """
    session = session_settings(settings)
    try:
        if settings.protocol == "thrift":
            from queuey.storage.cassandra.cluster.thrift.session import ThriftSession

            return ThriftSession(session, min(CONNECTIONS, settings.in_flight), reactor)
        from queuey.storage.cassandra.cluster.cql.session import CQLSession
    except ImportError as error:
        extra = "thrift" if settings.protocol == "thrift" else "cassandra"
        text = f"[storage] backend: needs more to be installed ({error.name}): pip install queuey[{extra}]"
        raise ConfigurationError((text,)) from None
    return CQLSession(session, reactor, lambda call: deferToThreadPool(reactor, reactor.getThreadPool(), call))


def session_settings(settings: CassandraStorage) -> SessionSettings:
    """Return the settings of a session."""
    return SessionSettings(
        hosts=tuple(Host(name, port or PORTS[settings.protocol]) for name, port in settings.hosts),
        local_dc=settings.local_dc,
        username=settings.username,
        password=settings.password,
        tls=None if settings.tls is None else _tls(settings.tls),
        request_timeout=settings.request_timeout,
    )


def _tls(tls: ClusterTLS) -> TLSSettings:
    return TLSSettings(tls.authorities, tls.certificate, tls.key, Check(tls.check))


def schema_settings(settings: CassandraStorage) -> SchemaSettings:
    """Return the settings of the schema."""
    return SchemaSettings(settings.keyspace, settings.replication, settings.create_schema)


def where(settings: CassandraStorage) -> str:
    """The cluster, as an operator knows it."""
    return ", ".join(f"{name}:{port or PORTS[settings.protocol]}" for name, port in settings.hosts)


def new_version() -> str:
    """A text that was never there before."""
    return uuid.uuid4().hex
