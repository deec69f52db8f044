"""The nodes of a cluster that speaks Thrift, and the connections to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.interfaces import IDelayedCall, IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.deferreds import SingleFlight, bounded, deferred
from queuey.errors import Unavailable
from queuey.logs import EventLog
from queuey.storage.cassandra.cluster.port import AccessRefused, Level, Node
from queuey.storage.cassandra.cluster.settings import SessionSettings
from queuey.storage.cassandra.cluster.thrift.calls import cluster_name, execute, login, prepare, ring
from queuey.storage.cassandra.cluster.thrift.errors import of_connecting
from queuey.storage.cassandra.cluster.thrift.wire import Lost, Wire
from queuey.storage.cassandra.times.waiting import growing

REFRESH: Final = 30.0
"""Seconds between two looks at which nodes there are."""

PREPARED: Final = 1000
"""Statements whose numbers are kept for each node; the oldest ones make room."""

_LONGEST: Final = 4.0
"""Seconds between two attempts to reach a node at the most."""

_GRACE: Final = 1.0
"""Seconds that the end of all connections may take."""

_LASTED: Final = 5.0
"""Seconds after which a connection was no failure, when it ends."""

_CENTRE: Final = execute("SELECT data_center FROM system.local", Level.ONE)
"""Finds the data centre of a node, and whether we may read at all."""


def delay(failures: int) -> float:
    """Seconds until the next attempt to reach a node, after so many that failed one after another."""
    return growing(0.1, failures, _LONGEST)


@attrs.frozen
class Prepared:
    """A statement that one node knows.

    :ivar number: by which it knows it.
    :ivar types: of the values, in the words of Cassandra.
    """

    number: int
    types: tuple[str, ...]


class Dialler:
    """Opens connections, and logs in on them.

    :param reactor: the running one.
    :param tls: makes the TLS side of a connection to an address; ``None`` without TLS.
    """

    def __init__(
        self, settings: SessionSettings, reactor: Any, tls: Callable[[str], IOpenSSLClientConnectionCreator] | None
    ) -> None:
        self._settings = settings
        self._reactor = reactor
        self._tls = tls
        self._under_way: set[Deferred[tuple[Wire, str]]] = set()
        self._there: set[Wire] = set()

    def dial(self, host: str, port: int, ended: Callable[[Wire], None]) -> Deferred[tuple[Wire, str]]:
        """Open a connection.

        :param ended: is called when it has ended.
        :return: fires with the connection, ready for calls, and with the data centre of the node.
        """
        limit = self._settings.connect_timeout
        made = Deferred.fromCoroutine(self._dial(host, port, ended))
        self._under_way.add(made)
        waited = bounded(made, limit, self._reactor, lambda: Lost("no answer in time", False))
        return waited.addBoth(self._over, made)

    def _over(self, result: Any, made: Deferred[tuple[Wire, str]]) -> Any:
        self._under_way.discard(made)
        return result

    def stop(self) -> Deferred[None]:
        """Give up what is under way, and end all connections.

        :return: fires once there is none.
        """
        for made in list(self._under_way):
            made.cancel()
        gone = DeferredList([wire.gone for wire in self._there], consumeErrors=True)
        for wire in list(self._there):
            wire.end()
        return bounded(gone, _GRACE, self._reactor, CancelledError).addBoth(lambda result: None)

    async def _dial(self, host: str, port: int, ended: Callable[[Wire], None]) -> tuple[Wire, str]:
        settings = self._settings
        wire = await connectProtocol(self._endpoint(host, port), Wire(self._reactor, ended))
        self._there.add(wire)
        wire.gone.addCallback(lambda result: self._there.discard(wire))
        try:
            if settings.username is not None:
                await wire.ask(login(settings.username, settings.password or ""), settings.connect_timeout)
            found = await wire.ask(_CENTRE, settings.connect_timeout)
        except BaseException:
            wire.end()
            raise
        return wire, found.rows[0].columns[0].value.decode()

    def _endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        limit = self._settings.connect_timeout
        plain: IStreamClientEndpoint
        if isIPAddress(host):
            plain = TCP4ClientEndpoint(self._reactor, host, port, timeout=limit)
        elif isIPv6Address(host):
            plain = TCP6ClientEndpoint(self._reactor, host, port, timeout=limit)
        else:
            plain = HostnameEndpoint(self._reactor, host, port, timeout=limit)
        return plain if self._tls is None else wrapClientTLS(self._tls(host), plain)


class ThriftNode:
    """One node: its connections, and the statements that it has prepared.

    Connections are opened one after another; after a failure, again after a delay that grows.

    :param dial: opens one.
    :param connections: how many.
    :param changed: is called with ``True`` when the first connection is open, and with ``False`` when the last one is
        gone.
    """

    def __init__(
        self,
        node: Node,
        dial: Callable[[Callable[[Wire], None]], Deferred[tuple[Wire, str]]],
        connections: int,
        clock: Any,
        changed: Callable[[Node, bool], None],
    ) -> None:
        self.node = node
        self.wires: list[Wire] = []
        self._dial = dial
        self._connections = connections
        self._clock = clock
        self._changed = changed
        self._failures = 0
        self._made: dict[Wire, float] = {}
        self._busy = False
        self._stopped = False
        self._timer: IDelayedCall | None = None
        self._first: Deferred[None] | None = None
        self._prepared: dict[str, Prepared] = {}
        self._preparing: dict[str, SingleFlight[Prepared]] = {}

    # Connections

    def start(self) -> Deferred[None]:
        """Begin to connect.

        :return: fires once there is a connection; fails as the first attempt does, after which others follow.
        """
        first: Deferred[None] = Deferred()
        self._first = first
        self._fill()
        return first

    def stop(self) -> None:
        """End all connections, and open no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for wire in list(self.wires):
            wire.end()

    def _fill(self) -> None:
        self._timer = None
        if self._stopped or self._busy or len(self.wires) >= self._connections:
            return
        self._busy = True
        self._dial(self._lost).addCallbacks(self._connected, self._not_connected)

    def _connected(self, found: tuple[Wire, str]) -> None:
        wire = found[0]
        self._busy = False
        if self._stopped:
            wire.end()
        elif wire.is_open:
            self._made[wire] = self._clock.seconds()
            self.wires.append(wire)
            if len(self.wires) == 1:
                self._changed(self.node, True)
            self._tell(None)
            self._fill()
        else:
            self._later()

    def _not_connected(self, failure: Failure) -> None:
        self._busy = False
        self._failures += 1
        self._tell(failure)
        self._later()

    def _lost(self, wire: Wire) -> None:
        made = self._made.pop(wire, None)
        if made is None:
            return
        self.wires.remove(wire)
        self._failures = 0 if self._clock.seconds() - made > _LASTED else self._failures + 1
        if not self.wires:
            # It may be another server that comes back.
            self._prepared.clear()
            if not self._stopped:
                self._changed(self.node, False)
        self._later()

    def _later(self) -> None:
        if not self._stopped and self._timer is None:
            self._timer = self._clock.callLater(delay(self._failures), self._fill)

    def _tell(self, result: Failure | None) -> None:
        first, self._first = self._first, None
        if first is not None:
            first.callback(result)

    # Prepared statements

    def prepared(self, text: str, wire: Wire, seconds: float) -> Deferred[Prepared]:
        """Return this node's id of a prepared statement; concurrent callers share one request.

        :param wire: the connection that it is prepared on, if the node does not know it yet.
        """
        found = self._prepared.get(text)
        if found is not None:
            return succeed(found)
        question = self._preparing.get(text)
        if question is not None:
            return question.join()
        question = self._preparing[text] = SingleFlight()
        answer = question.join()
        wire.ask(prepare(text), seconds).addBoth(self._answered, text)
        return answer

    def forget(self, text: str, prepared: Prepared) -> None:
        """The node has forgotten a statement; others may have found that too, and have prepared it since."""
        if self._prepared.get(text) is prepared:
            del self._prepared[text]

    def _answered(self, result: Any, text: str) -> None:
        if not isinstance(result, Failure):
            result = Prepared(result.itemId, tuple(result.variable_types or ()))
            while len(self._prepared) >= PREPARED:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[text] = result
        self._preparing.pop(text).answered(result)


class Pool:
    """All nodes of one data centre.

    :param connections: to each of them.
    :param reactor: the running one.
    :param tls: makes the TLS side of a connection, and the error class that it ends with; ``None`` without TLS.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(
        self,
        settings: SessionSettings,
        connections: int,
        reactor: Any,
        tls: tuple[Callable[[str], IOpenSSLClientConnectionCreator] | None, tuple[type[BaseException], ...]],
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._reactor = reactor
        self._errors = tls[1]
        self._dialler = Dialler(settings, reactor, tls[0])
        self._local = settings.local_dc
        self._nodes: dict[str, ThriftNode] = {}
        self._timers: dict[str, IDelayedCall] = {}
        self._turn = 0
        self._closed = False

    def nodes(self) -> Sequence[Node]:
        """Those that there is a connection to."""
        return tuple(node.node for _, node in sorted(self._nodes.items()) if node.wires)

    def connections(self) -> Mapping[str, int]:
        """How many connections there are to each node."""
        return {address: len(node.wires) for address, node in sorted(self._nodes.items())}

    def choose(self, tried: Collection[str]) -> tuple[ThriftNode, Wire] | None:
        """The connection with the least to do, of a node that was not tried before if there is one."""
        self._turn += 1
        nodes = list(self._nodes.values())
        start = self._turn % len(nodes) if nodes else 0
        turned = nodes[start:] + nodes[:start]
        found = [(node, wire) for node in turned for wire in node.wires]
        return min(found, key=lambda each: (each[0].node.address in tried, each[1].load), default=None)

    def choose_on(self, address: str) -> tuple[ThriftNode, Wire] | None:
        """The same of one node."""
        node = self._nodes.get(address)
        wires = [] if node is None else node.wires
        wire = min(wires, key=lambda each: each.load, default=None)
        return None if node is None or wire is None else (node, wire)

    # Beginning and end

    async def connect(self) -> None:
        """Find the nodes, and wait for the first connection.

        :raise Unavailable: or AccessRefused, see ICQLSession; it may be called again then.
        """
        self._take(await self._find())
        starts = [node.start() for node in self._nodes.values()]
        result = await DeferredList(starts, fireOnOneCallback=True, consumeErrors=True)
        if self._closed:
            raise Unavailable("The session with Cassandra is closed.")
        if isinstance(result, list):
            causes = dict(zip(self._nodes, (found.value for _, found in result), strict=True))
            self._drop(list(self._nodes))
            raise of_connecting(causes, self._errors)
        self._every("refresh", REFRESH, self._refresh)
        self._every("heartbeat", self._settings.heartbeat, self._beat)

    def close(self) -> Deferred[None]:
        """End everything; what is pending fails at once.

        :return: fires once no connection is left.
        """
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for node in self._nodes.values():
            node.stop()
        return self._dialler.stop()

    def _drop(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            self._nodes.pop(address).stop()

    def _every(self, name: str, seconds: float, work: Callable[[], object]) -> None:
        def again() -> None:
            self._timers[name] = self._reactor.callLater(seconds, again)
            work()

        self._timers[name] = self._reactor.callLater(seconds, again)

    # Which nodes there are

    async def _find(self) -> Mapping[str, Node]:
        """All nodes, by the word of the first host that answers."""
        causes: dict[str, Exception] = {}
        for host in self._settings.hosts:
            try:
                return await self._ask_host(host.name, host.port)
            except Exception as error:
                if self._closed:
                    raise Unavailable("The session with Cassandra is closed.") from None
                causes[f"{host.name}:{host.port}"] = error
        raise of_connecting(causes, self._errors)

    async def _ask_host(self, name: str, port: int) -> Mapping[str, Node]:
        wire, centre = await self._dialler.dial(name, port, lambda wire: None)
        try:
            found = nodes_of(await wire.ask(ring(), self._settings.connect_timeout))
        finally:
            wire.end()
        if self._local is None:
            self._local = centre
        return found

    def _take(self, found: Mapping[str, Node]) -> None:
        """Speak to these nodes, as far as they are in our data centre, and no more to others."""
        ours = {address: node for address, node in found.items() if node.data_centre == self._local}
        if not ours:
            centres = ", ".join(sorted({node.data_centre for node in found.values()}))
            raise AccessRefused(f"Cassandra has no data centre named {self._local!r}, but {centres}.")
        for address in [address for address in self._nodes if address not in ours]:
            self._log.info("node-gone", "Cassandra at {address} is no more of the cluster", address=address)
            self._drop([address])
        for address, node in ours.items():
            if address not in self._nodes:
                self._nodes[address] = self._make(node)

    def _make(self, node: Node) -> ThriftNode:
        port = self._settings.hosts[0].port

        def dial(ended: Callable[[Wire], None]) -> Deferred[tuple[Wire, str]]:
            return self._dialler.dial(node.address, port, ended)

        return ThriftNode(node, dial, self._connections, self._reactor, self._changed)

    def _changed(self, node: Node, up: bool) -> None:
        if self._closed:
            return
        if up:
            self._log.info("node-up", "Cassandra at {address} answers", address=node.address)
        else:
            self._log.warn("node-down", "Cassandra at {address} does not answer", address=node.address)

    def _refresh(self) -> None:
        self._look_again()

    @deferred
    async def _look_again(self) -> None:
        """Look which nodes there are. It never fails: the node that is asked may be away, and another one is asked the
        next time."""
        before = set(self._nodes)
        chosen = self.choose(())
        try:
            if chosen is None:
                found = await self._find()
            else:
                found = nodes_of(await chosen[1].ask(ring(), self._settings.heartbeat))
            if not self._closed:
                self._take(found)
        except Exception:
            return
        for address, node in self._nodes.items():
            if address not in before:
                node.start().addErrback(lambda failure: None)

    def _beat(self) -> None:
        """Ask idle connections for a sign of life; one that gives none is broken off."""
        now, every = self._reactor.seconds(), self._settings.heartbeat
        for node in list(self._nodes.values()):
            for wire in list(node.wires):
                if not wire.load and now - wire.heard >= every:
                    wire.ask(cluster_name(), every).addErrback(lambda failure: None)


def nodes_of(ranges: Iterable[Any]) -> Mapping[str, Node]:
    """The nodes of a ring, by the addresses at which they answer clients."""
    found: dict[str, Node] = {}
    for each in ranges:
        details = each.endpoint_details or ()
        for inside, outside, detail in zip(each.endpoints, each.rpc_endpoints or each.endpoints, details, strict=True):
            address = inside if outside in ("0.0.0.0", "::", "") else outside
            found[address] = Node(address, detail.datacenter)
    return found
