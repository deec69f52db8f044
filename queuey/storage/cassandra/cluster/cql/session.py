"""A session with a cluster over CQL, by the driver, on our own reactor.

What the driver may block in runs in a thread: to connect, to prepare a statement, to shut down. Everything else is done
in the reactor's thread; the answers arrive there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cassandra import ConsistencyLevel
from cassandra.cluster import Cluster, Session
from cassandra.policies import HostDistance
from cassandra.pool import Host
from cassandra.query import BatchStatement, BatchType, PreparedStatement, SimpleStatement
from twisted.internet.defer import Deferred, DeferredLock, fail
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey.deferreds import SingleFlight, deferred
from queuey.errors import Unavailable
from queuey.logs import EventLog
from queuey.model.telemetry.counts import Metric
from queuey.storage.cassandra.cluster.cql.connection import Loop
from queuey.storage.cassandra.cluster.cql.driver import VERDICT, NodeLog, open_cluster
from queuey.storage.cassandra.cluster.cql.errors import Attempts, of_connecting, of_request
from queuey.storage.cassandra.cluster.cql.pending_calls import PendingCall, PendingCalls
from queuey.storage.cassandra.cluster.port import (
    Bound,
    ICQLSession,
    Kind,
    Level,
    Node,
    Row,
    Statement,
    StatementRefused,
    TooLarge,
    TransactionResult,
    check_size,
    check_values,
    connection_gauge,
)
from queuey.storage.cassandra.cluster.settings import SessionSettings
from queuey.storage.cassandra.cluster.speakers import speakers

LEVELS: Final = {level: getattr(ConsistencyLevel, level.value) for level in Level}


MOST: Final = 8192
"""Requests that the driver may have at once, including those whose caller has gone and that no node has answered. A
connection has room for 32,768; with one more the driver would block the reactor's thread."""

GRACE: Final = 1.0
"""Seconds that connections may take to end in good order."""

Run = Callable[[Callable[[], Any]], Deferred[Any]]
"""Calls a function in a thread; fires with its result."""


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
        self._under_way = PendingCalls()
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
            cluster, session = await self._run(
                lambda: open_cluster(self._settings, loop, NodeLog(self._reactor, self._log))
            )
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
        """Return the number of connections to each node in use, and to other nodes that have any."""
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
            return self._ask(query, PendingCall(Attempts(Kind.DEFINITION, False, False), 0))
        call = PendingCall(Attempts(statement.kind, False, True), 0)
        prepared = self._prepared.get(statement.text)
        if prepared is None:
            return self._prepare_and(statement, lambda found: self._execute(found, values, level, call))
        return self._execute(prepared, values, level, call)

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        """See ICQLSession."""
        host = next((host for host in self._hosts() if host.address == node.address), None)
        if host is None:
            return fail(Unavailable(f"Cassandra: {node.address} is not up."))
        call = PendingCall(Attempts(statement.kind, False, False), 0)
        call.host = host
        return self._prepare_and(statement, lambda found: self._execute(found, values, Level.ONE, call))

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        """See ICQLSession."""
        call = PendingCall(Attempts(Kind.TRANSACTION, False, True), 0)
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
            await self._ask(query, PendingCall(Attempts(Kind.WRITE, logged, True), size))

    def _execute(
        self, prepared: PreparedStatement, values: Sequence[Any], level: Level, call: PendingCall
    ) -> Deferred[Any]:
        try:
            query = _bind(prepared, values)
        except StatementRefused as error:
            return fail(error)
        query.consistency_level = LEVELS[level]
        query.serial_consistency_level = ConsistencyLevel.SERIAL
        call.size = sum(map(len, query.values))
        return self._ask(query, call)

    def _ask(self, query: Any, call: PendingCall) -> Deferred[Any]:
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


def _place(host: Host) -> tuple[str, int]:
    return host.endpoint.address, host.endpoint.port


def _bind(prepared: PreparedStatement, values: Sequence[Any]) -> Any:
    check_values(prepared.query_string, values, len(prepared.column_metadata))
    try:
        return prepared.bind(values)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StatementRefused(f"{error}, for {prepared.query_string}") from error


def _verdict(result: tuple[Sequence[str], Sequence[Row]]) -> TransactionResult:
    names, rows = result
    return TransactionResult.of(names, rows[0])
