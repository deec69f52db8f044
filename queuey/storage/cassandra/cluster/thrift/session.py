"""A session with a cluster over Thrift, for releases from 2.2 to 3.11; they speak it at a port of its own, 9160."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeVar

import attrs
from cassandra.cqltypes import lookup_casstype
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, fail, succeed
from twisted.internet.task import deferLater
from zope.interface import implementer

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.model.telemetry.counts import Metric
from queuey.storage.cassandra.cluster.port import (
    Bound,
    ICQLSession,
    Kind,
    Level,
    Node,
    Row,
    Statement,
    StatementRefused,
    TransactionResult,
    check_size,
    check_values,
    connection_gauge,
)
from queuey.storage.cassandra.cluster.settings import SessionSettings
from queuey.storage.cassandra.cluster.speakers import speakers
from queuey.storage.cassandra.cluster.thrift.batches import (
    MAX_FILLING,
    MAX_PREPARED,
    grouped,
    rough_size,
    text_of,
    written_out,
)
from queuey.storage.cassandra.cluster.thrift.calls import UNREACHABLE, execute, execute_prepared, schema_versions
from queuey.storage.cassandra.cluster.thrift.errors import (
    RequestTraits,
    is_unprepared,
    of_request,
    retries,
    surely_not_applied,
)
from queuey.storage.cassandra.cluster.thrift.node import ThriftNode
from queuey.storage.cassandra.cluster.thrift.pool import Pool
from queuey.storage.cassandra.cluster.thrift.wire import Lost, Wire

T = TypeVar("T")

VERSION: Final = 3
"""Of CQL's native protocol, as which values are written in Thrift too."""

_PREPARATIONS: Final = 3
"""Attempts to prepare a statement for one execution, at a node that forgets it again and again."""

_POLL: Final = 0.2
"""Seconds between two looks at whether the nodes agree on the schema."""

_FIRST: Final = 2 / 3
"""The part of the time that the first attempt may take, if another node can be asked after it."""

Work = Callable[["_Request", ThriftNode, Wire, float], Awaitable[T]]
"""Work at one node, over one connection to it, with a limit in seconds."""


@attrs.define(eq=False)
class _Request:
    """One request under way.

    :ivar end: when its time is over.
    :ivar sent: whether what may change something is with a node now.
    :ivar unsure: whether an attempt that failed may have been applied.
    """

    asked: RequestTraits
    end: float
    sent: bool = False
    unsure: bool = False

    @property
    def applied(self) -> str:
        """The value of ``applied`` for a request that is given up now."""
        return "unknown" if self.unsure or (self.sent and self.asked.kind is not Kind.READ) else "no"

    def failed(self, error: Exception) -> int:
        """An attempt failed.

        :return: how many attempts after the first one there may be in all.
        """
        sent, self.sent = self.sent, False
        if sent and not surely_not_applied(error, self.asked.kind):
            self.unsure = True
        untouched = not sent or (isinstance(error, Lost) and not error.sent)
        return retries(error) if untouched or self.asked.repeatable else 0


@implementer(ICQLSession)
class ThriftSession:
    """The session over Thrift.

    A connection serves one request after the other, so their number at each node is that of requests it works on.

    :param connections: to each node.
    :param reactor: the one that runs; it is given and never imported.
    """

    def __init__(self, settings: SessionSettings, connections: int, reactor: Any) -> None:
        self._settings = settings
        self._connections = connections
        self._reactor = reactor
        self._turns = DeferredLock()
        self._pool: Pool | None = None
        self._connected = False
        self._closed = False
        self._calls: set[Deferred[Any]] = set()
        self.metrics: Sequence[Metric] = (connection_gauge(self._counted),)

    # Beginning and end

    def connect(self) -> Deferred[None]:
        """See ICQLSession."""
        return self._turns.run(self._connect)

    @deferred
    async def _connect(self) -> None:
        if self._closed:
            raise Unavailable("The session with Cassandra is closed.")
        if self._connected:
            return
        self._pool = pool = Pool(self._settings, self._connections, self._reactor, speakers(self._settings.tls))
        try:
            await pool.connect()
        except Exception:
            await pool.close()
            raise
        self._connected = True

    @deferred
    async def close(self) -> None:
        """See ICQLSession."""
        self._closed = True
        self._connected = False
        for call in list(self._calls):
            call.cancel()
        if self._pool is not None:
            await self._pool.close()

    def _counted(self) -> Mapping[str, int]:
        """Return the number of connections to each node."""
        return self._pool.connections() if self._pool is not None and self._connected else {}

    # Requests

    def nodes(self) -> Sequence[Node]:
        """See ICQLSession."""
        return self._pool.nodes() if self._pool is not None and self._connected else ()

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        """See ICQLSession."""
        request = self._request(statement.kind, False)
        if statement.kind is Kind.DEFINITION:
            return self._begin(request, self._define(request, statement.text, level))
        return self._begin(request, self._rows(request, _prepared(statement.text, values, level)))

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        """See ICQLSession."""
        request = self._request(statement.kind, False)
        return self._begin(request, self._rows_on(request, node, _prepared(statement.text, values, Level.ONE)))

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        """See ICQLSession; over Thrift the level is always SERIAL."""
        request = self._request(Kind.TRANSACTION, False)
        return self._begin(request, self._transact(request, _prepared(statement.text, values, Level.QUORUM)))

    def batch(self, bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        """See ICQLSession."""
        if not bound:
            return succeed(None)
        request = self._request(Kind.WRITE, logged)
        return self._begin(request, self._batch(request, bound, level, logged))

    def _request(self, kind: Kind, logged: bool) -> _Request:
        settings = self._settings
        seconds = settings.definition_timeout if kind is Kind.DEFINITION else settings.request_timeout
        return _Request(RequestTraits(kind, logged, 0, settings.max_request), self._reactor.seconds() + seconds)

    def _begin(self, request: _Request, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        if not self._connected:
            work.close()
            return fail(Unavailable("There is no session with Cassandra."))
        call = Deferred.fromCoroutine(self._guard(request, work))
        self._calls.add(call)
        return call.addBoth(self._over, call)

    def _over(self, result: T, call: Deferred[Any]) -> T:
        self._calls.discard(call)
        return result

    async def _guard(self, request: _Request, work: Coroutine[Deferred[Any], Any, T]) -> T:
        try:
            return await work
        except CancelledError:
            if self._closed:
                raise Unavailable("The session with Cassandra was closed.", applied=request.applied) from None
            raise

    async def _rows(self, request: _Request, work: Work[Any]) -> Sequence[Row]:
        return rows_of(await self._try(request, work))

    async def _rows_on(self, request: _Request, node: Node, work: Work[Any]) -> Sequence[Row]:
        chosen = self._pool.choose_on(node.address) if self._pool is not None else None
        if chosen is None:
            raise Unavailable(f"Cassandra: {node.address} is not up.")
        try:
            return rows_of(await work(request, *chosen, request.end - self._reactor.seconds()))
        except CancelledError:
            raise
        except Exception as error:
            request.failed(error)
            raise of_request(error, request.asked, request.unsure) from error

    async def _transact(self, request: _Request, work: Work[Any]) -> TransactionResult:
        result = await self._try(request, work)
        names = [column.name.decode() for column in result.rows[0].columns]
        return TransactionResult.of(names, rows_of(result)[0])

    async def _batch(self, request: _Request, bound: Sequence[Bound], level: Level, logged: bool) -> None:
        for one in bound:
            if one.statement.text.count("?") != len(one.values):
                raise StatementRefused(f"{len(one.values)} values for {one.statement.text}")
        sizes = [sum(map(rough_size, one.values)) for one in bound]
        size, most = sum(sizes), self._settings.max_request
        check_size(size, most)
        if len(bound) > MAX_PREPARED:
            await self._try(request, _plain(text_of([written_out(one) for one in bound], logged), level))
            return
        filled, filling = grouped(bound, sizes)
        if filling > min(MAX_FILLING, most - size):
            filled = tuple(bound)
        texts = [one.statement.text for one in filled]
        text = texts[0] if len(texts) == 1 else text_of(texts, logged)
        await self._try(request, _prepared(text, [value for one in filled for value in one.values], level))

    async def _define(self, request: _Request, text: str, level: Level) -> Sequence[Row]:
        result = await self._try(request, _plain(text, level))
        while not await self._agreed():
            if self._reactor.seconds() >= request.end:
                raise Unavailable("Cassandra: the nodes do not agree on the schema.", applied="unknown")
            await deferLater(self._reactor, _POLL)
        return rows_of(result)

    async def _agreed(self) -> bool:
        """Whether all nodes that answer have the same schema."""
        chosen = self._pool.choose(()) if self._pool is not None else None
        if chosen is None:
            return False
        try:
            versions = await chosen[1].ask(schema_versions(), self._settings.request_timeout)
        except CancelledError:
            raise
        except Exception:
            # Another connection will find out.
            return False
        return len([version for version in versions if version != UNREACHABLE]) == 1

    # Attempts

    async def _try(self, request: _Request, work: Work[T]) -> T:
        """Call one node, and if that fails and a second time does no harm, others."""
        tried: set[str] = set()
        failures = 0
        while True:
            chosen = None if self._pool is None else self._pool.choose(tried)
            if chosen is None:
                raise Unavailable("Cassandra: no node is up.", applied=request.applied)
            try:
                return await work(request, *chosen, self._seconds(request, failures))
            except CancelledError:
                raise
            except Exception as error:
                failures += 1
                if failures > request.failed(error) or self._reactor.seconds() >= request.end:
                    raise of_request(error, request.asked, request.unsure) from error
            tried.add(chosen[0].node.address)

    def _seconds(self, request: _Request, failures: int) -> float:
        left: float = request.end - self._reactor.seconds()
        share = request.asked.repeatable and not failures and len(self.nodes()) > 1
        return left * _FIRST if share else left


def _plain(text: str, level: Level) -> Work[Any]:
    """Execute a text without values."""

    async def work(request: _Request, node: ThriftNode, wire: Wire, seconds: float) -> Any:
        request.sent = True
        return await wire.ask(execute(text, level), seconds)

    return work


def _prepared(text: str, values: Sequence[Any], level: Level) -> Work[Any]:
    """Execute a statement; the node prepares it first if it does not know it."""

    async def work(request: _Request, node: ThriftNode, wire: Wire, seconds: float) -> Any:
        for attempt in range(1, _PREPARATIONS + 1):
            request.sent = False
            known = await node.prepared(text, wire, seconds)
            found = bind(text, known.types, values)
            check_size(sum(map(len, found)), request.asked.limit)
            request.sent = True
            try:
                return await wire.ask(execute_prepared(known.number, found, level), seconds)
            except Exception as error:
                if not is_unprepared(error) or attempt == _PREPARATIONS:
                    raise
                node.forget(text, known)
        raise AssertionError("the last attempt returns or raises")

    return work


# cache: there are as many types as the tables have.
@cache
def _type(name: str) -> Any:
    return lookup_casstype(name)


def bind(text: str, types: Sequence[str], values: Sequence[Any]) -> list[bytes]:
    """Encode values.

    :raise StatementRefused: they do not fit the statement.
    """
    check_values(text, values, len(types))
    try:
        return [_type(name).serialize(value, VERSION) for name, value in zip(types, values, strict=True)]
    except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        raise StatementRefused(f"{error}, for {text}") from error


def rows_of(result: Any) -> Sequence[Row]:
    """Return the rows of a ``CqlResult``; empty for a statement that returns none."""
    if not result.rows:
        return ()
    names = result.schema.value_types
    types = [_type(names[column.name]) for column in result.rows[0].columns]
    return [
        tuple(kind.from_binary(column.value, VERSION) for kind, column in zip(types, row.columns, strict=True))
        for row in result.rows
    ]
