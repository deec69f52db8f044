"""A session with a cluster over CQL, by the driver, on our own reactor.

What the driver may block in runs in a thread: to connect, to prepare a statement, to shut down. Everything else is done
in the reactor's thread; the answers arrive there too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import DCAwareRoundRobinPolicy, ExponentialReconnectionPolicy, HostDistance, TokenAwarePolicy
from cassandra.pool import Host
from cassandra.query import BatchStatement, BatchType, PreparedStatement, SimpleStatement
from twisted.internet.defer import Deferred, DeferredLock, fail
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

from queuey.deferreds import SingleFlight, deferred
from queuey.errors import Unavailable
from queuey.logs import EventLog
from queuey.model.counts import Metric
from queuey.storage.cassandra.cluster.cql.connection import Loop, connection_class
from queuey.storage.cassandra.cluster.cql.errors import Attempts, of_connecting, of_request
from queuey.storage.cassandra.cluster.port import (
    AccessRefused,
    Bound,
    ICQLSession,
    Kind,
    Level,
    Node,
    Row,
    Statement,
    StatementRefused,
    TooLarge,
    Verdict,
    check_size,
    check_values,
    connection_gauge,
)
from queuey.storage.cassandra.cluster.settings import SessionSettings
from queuey.storage.cassandra.cluster.speakers import speakers

LEVELS: Final = {level: getattr(ConsistencyLevel, level.value) for level in Level}

VERDICT: Final = "verdict"
"""The profile of lightweight transactions, whose columns are needed by name."""

THREADS: Final = 8
"""Threads of the driver: an attempt to reach a node that is silent keeps one, and retries must not wait for that."""

MOST: Final = 8192
"""Requests that the driver may have at once, including those whose caller has gone and that no node has answered. A
connection has room for 32,768; with one more the driver would block the reactor's thread."""

GRACE: Final = 1.0
"""Seconds that connections may take to end in good order."""

Run = Callable[[Callable[[], Any]], Deferred[Any]]
"""Calls something in a thread, and fires with what it returns."""


@implementer(ICQLSession)
class CQLSession:
    """The session over CQL.

    :param reactor: the one that runs; it is given and never imported.
    :param run: calls something that blocks in a thread that is there for that.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(self, settings: SessionSettings, reactor: Any, run: Run) -> None:
        self._settings = settings
        self._reactor = reactor
        self._run = run
        self._turns = DeferredLock()
        self._loop: Loop | None = None
        self._cluster: Cluster | None = None
        self._session: Session | None = None
        self._closed = False
        self._prepared: dict[str, PreparedStatement] = {}
        self._preparing: dict[str, SingleFlight[PreparedStatement]] = {}
        self._under_way = _UnderWay()
        self.metrics: Sequence[Metric] = (connection_gauge(self._connections),)

    # Beginning and end

    def connect(self) -> Deferred[None]:
        """See ICQLSession."""
        return self._turns.run(self._connect)

    @deferred
    async def _connect(self) -> None:
        if self._closed:
            raise Unavailable("The session with Cassandra is closed.")
        if self._session is not None:
            return
        tls, errors = speakers(self._settings.tls)
        loop = Loop(self._reactor, tls)
        try:
            cluster, session = await self._run(lambda: _open(self._settings, loop, _Watcher(self._reactor, self._log)))
        except Exception as error:
            await loop.end(GRACE)
            raise of_connecting(error, errors) from error
        if self._closed:
            await self._end(cluster, loop)
            raise Unavailable("The session with Cassandra is closed.")
        self._loop, self._cluster, self._session = loop, cluster, session
        for node in self.nodes():
            self._log.info("node-up", "Cassandra at {address} answers", address=node.address)

    @deferred
    async def close(self) -> None:
        """See ICQLSession."""
        self._closed = True
        self._session = None
        for call in list(self._under_way.awaited):
            call.failed(Unavailable("The session with Cassandra was closed.", applied=call.unsure()))
        await self._turns.run(self._close)

    @deferred
    async def _close(self) -> None:
        cluster, loop, self._cluster, self._loop = self._cluster, self._loop, None, None
        if cluster is not None and loop is not None:
            await self._end(cluster, loop)

    @deferred
    async def _end(self, cluster: Cluster, loop: Loop) -> None:
        try:
            await self._run(cluster.shutdown)
        finally:
            await loop.end(GRACE)

    # The cluster

    def nodes(self) -> Sequence[Node]:
        """See ICQLSession."""
        return tuple(Node(host.address, host.datacenter or "") for host in self._hosts())

    def _hosts(self) -> list[Host]:
        session = self._session
        pools = [] if session is None else list(session.get_pools())
        return sorted((pool.host for pool in pools if pool.host.is_up and not pool.is_shutdown), key=_place)

    def _connections(self) -> Mapping[str, int]:
        """How many connections there are to each node that may be asked, and to others that have one."""
        if self._cluster is None or self._loop is None:
            return {}
        distance = self._cluster.profile_manager.distance
        known = [host for host in self._cluster.metadata.all_hosts() if distance(host) != HostDistance.IGNORED]
        found = dict.fromkeys([host.address for host in known], 0)
        for connection in self._loop.open:
            if connection.is_made:
                address = connection.endpoint.address
                found[address] = found.get(address, 0) + 1
        return found

    # Requests

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        """See ICQLSession."""
        if statement.kind is Kind.DEFINITION:
            query = SimpleStatement(statement.text, consistency_level=LEVELS[level])
            return self._ask(query, _Call(Attempts(Kind.DEFINITION, False, False), 0))
        call = _Call(Attempts(statement.kind, False, True), 0)
        prepared = self._prepared.get(statement.text)
        if prepared is None:
            return self._prepare_and(statement, lambda found: self._execute(found, values, level, call))
        return self._execute(prepared, values, level, call)

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        """See ICQLSession."""
        host = next((host for host in self._hosts() if host.address == node.address), None)
        if host is None:
            return fail(Unavailable(f"Cassandra: {node.address} is not up."))
        call = _Call(Attempts(statement.kind, False, False), 0)
        call.host = host
        return self._prepare_and(statement, lambda found: self._execute(found, values, Level.ONE, call))

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[Verdict]:
        """See ICQLSession."""
        call = _Call(Attempts(Kind.TRANSACTION, False, True), 0)
        call.profile = VERDICT
        answer = self._prepare_and(statement, lambda found: self._execute(found, values, Level.QUORUM, call))
        return answer.addCallback(_verdict)

    @deferred
    async def batch(self, bound: Sequence[Bound], level: Level, logged: bool) -> None:
        """See ICQLSession."""
        kind = BatchType.LOGGED if logged else BatchType.UNLOGGED
        query = BatchStatement(kind, consistency_level=LEVELS[level], serial_consistency_level=ConsistencyLevel.SERIAL)
        size = 0
        for one in bound:
            prepared = self._prepared.get(one.statement.text) or await self._prepare(one.statement)
            made = _bind(prepared, one.values)
            size += sum(map(len, made.values))
            query.add(made)
        if bound:
            await self._ask(query, _Call(Attempts(Kind.WRITE, logged, True), size))

    def _execute(self, prepared: PreparedStatement, values: Sequence[Any], level: Level, call: _Call) -> Deferred[Any]:
        try:
            query = _bind(prepared, values)
        except StatementRefused as error:
            return fail(error)
        query.consistency_level = LEVELS[level]
        query.serial_consistency_level = ConsistencyLevel.SERIAL
        call.size = sum(map(len, query.values))
        return self._ask(query, call)

    def _ask(self, query: Any, call: _Call) -> Deferred[Any]:
        """Send one request."""
        session, settings = self._session, self._settings
        if session is None:
            return fail(Unavailable("There is no session with Cassandra."))
        if self._under_way.sent >= MOST:
            return fail(Unavailable("Cassandra leaves too many requests without an answer."))
        try:
            check_size(call.size, settings.max_request)
        except TooLarge as error:
            return fail(error)
        attempts = call.attempts
        query.retry_policy = attempts
        query.is_idempotent = attempts.kind in (Kind.READ, Kind.WRITE)
        timeout = settings.definition_timeout if attempts.kind is Kind.DEFINITION else settings.request_timeout
        call.begin(self._under_way, self._reactor, settings.max_request)
        future = session.execute_async(query, execution_profile=call.profile, timeout=timeout, host=call.host)
        call.future = future
        future.add_callbacks(call.answer, call.error)
        return call.deferred

    # Statements

    @deferred
    async def _prepare_and(self, statement: Statement, then: Callable[[PreparedStatement], Deferred[Any]]) -> Any:
        return await then(self._prepared.get(statement.text) or await self._prepare(statement))

    def _prepare(self, statement: Statement) -> Deferred[PreparedStatement]:
        """Prepare a statement; concurrent callers share one request."""
        question = self._preparing.get(statement.text)
        if question is not None:
            return question.join()
        question = self._preparing[statement.text] = SingleFlight()
        answer = question.join()
        self._prepare_now(statement).addErrback(
            lambda failure: self._log.failure("incident", "a statement cannot be prepared", failure)
        )
        return answer

    @deferred
    async def _prepare_now(self, statement: Statement) -> None:
        found: PreparedStatement | Failure
        try:
            session = self._session
            if session is None:
                raise Unavailable("There is no session with Cassandra.")
            found = await self._run(lambda: session.prepare(statement.text))
            self._prepared[statement.text] = found
        except Exception as error:
            # The statement has not been executed, whatever kind it is.
            found = Failure(of_request(error, Attempts(Kind.READ, False, False), 0, self._settings.max_request))
        self._preparing.pop(statement.text).answered(found)


class _UnderWay:
    """The requests that are under way.

    :ivar awaited: those whose callers still wait.
    :ivar sent: how many the driver has.
    """

    def __init__(self) -> None:
        self.awaited: set[_Call] = set()
        self.sent = 0


class _Call:
    """One request under way: a Deferred of ours, and a future of the driver's."""

    __slots__ = (
        "_limit",
        "_reactor",
        "_under_way",
        "attempts",
        "deferred",
        "ended",
        "future",
        "host",
        "profile",
        "size",
    )

    def __init__(self, attempts: Attempts, size: int) -> None:
        self.attempts = attempts
        self.size = size
        self.profile: Any = EXEC_PROFILE_DEFAULT
        self.host: Host | None = None
        self.future: Any = None
        self.ended = False

    def begin(self, under_way: _UnderWay, reactor: Any, limit: int) -> None:
        """It is about to be sent."""
        self.deferred: Deferred[Any] = Deferred(self._cancelled)
        self._under_way = under_way
        self._reactor = reactor
        self._limit = limit
        under_way.awaited.add(self)
        under_way.sent += 1

    def unsure(self) -> str:
        """What is known of a request that is given up."""
        return "no" if self.attempts.kind is Kind.READ else "unknown"

    def answer(self, result: Any) -> None:
        """The driver has the answer; called in any thread."""
        if isInIOThread():
            self._answered(result)
        else:
            self._reactor.callFromThread(self._answered, result)

    def error(self, error: Exception) -> None:
        """The driver has failed; called in any thread."""
        if isInIOThread():
            self._failed(error)
        else:
            self._reactor.callFromThread(self._failed, error)

    def failed(self, error: Exception) -> None:
        """It fails with this."""
        if self in self._under_way.awaited:
            self._under_way.awaited.discard(self)
            self.deferred.errback(error)

    def _answered(self, result: Any) -> None:
        self._end()
        if self not in self._under_way.awaited:
            return
        if self.attempts.kind is Kind.DEFINITION and self.future is not None and not self.future.is_schema_agreed:
            self.failed(Unavailable("Cassandra: the nodes do not agree on the schema.", applied="unknown"))
            return
        self._under_way.awaited.discard(self)
        self.deferred.callback(() if result is None else result)

    def _end(self) -> None:
        """The driver has finished with it; it says so twice if a connection ends when the time is over."""
        if not self.ended:
            self.ended = True
            self._under_way.sent -= 1

    def _failed(self, error: Exception) -> None:
        self._end()
        self.failed(of_request(error, self.attempts, self.size, self._limit))

    def _cancelled(self, deferred: Deferred[Any]) -> None:
        # The driver cannot cancel: it drops the answer, or gives the request up when its time is over.
        self._under_way.awaited.discard(self)
        self.attempts.last()


class _Watcher:
    """Says in the log which nodes come and go; the driver calls it in its own threads."""

    def __init__(self, reactor: Any, log: EventLog) -> None:
        self._reactor = reactor
        self._log = log

    def on_up(self, host: Host) -> None:
        self._later(lambda: self._log.info("node-up", "Cassandra at {address} answers", address=str(host.endpoint)))

    def on_down(self, host: Host) -> None:
        self._later(
            lambda: self._log.warn("node-down", "Cassandra at {address} does not answer", address=str(host.endpoint))
        )

    def on_add(self, host: Host) -> None:
        self.on_up(host)

    def on_remove(self, host: Host) -> None:
        self._later(
            lambda: self._log.info(
                "node-gone", "Cassandra at {address} is no more of the cluster", address=str(host.endpoint)
            )
        )

    def _later(self, say: Callable[[], None]) -> None:
        self._reactor.callFromThread(say)


def _place(host: Host) -> tuple[str, int]:
    return host.endpoint.address, host.endpoint.port


def _bind(prepared: PreparedStatement, values: Sequence[Any]) -> Any:
    check_values(prepared.query_string, values, len(prepared.column_metadata))
    try:
        return prepared.bind(values)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StatementRefused(f"{error}, for {prepared.query_string}") from error


def _verdict(result: tuple[Sequence[str], Sequence[Row]]) -> Verdict:
    names, rows = result
    return Verdict.of(names, rows[0])


def _open(settings: SessionSettings, loop: Loop, watcher: _Watcher) -> tuple[Cluster, Session]:
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
