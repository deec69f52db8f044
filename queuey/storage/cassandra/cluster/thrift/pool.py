"""The nodes of a cluster that speaks Thrift, and the connections to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IOpenSSLClientConnectionCreator
from twisted.logger import Logger

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.logs import EventLog
from queuey.storage.cassandra.cluster.port import AccessRefused, Node
from queuey.storage.cassandra.cluster.settings import SessionSettings
from queuey.storage.cassandra.cluster.thrift.calls import cluster_name, ring
from queuey.storage.cassandra.cluster.thrift.dialler import Dialler
from queuey.storage.cassandra.cluster.thrift.errors import of_connecting
from queuey.storage.cassandra.cluster.thrift.node import ThriftNode
from queuey.storage.cassandra.cluster.thrift.wire import Wire

REFRESH: Final = 30.0
"""Seconds between two looks at which nodes there are."""


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
        """The nodes with at least one connection."""
        return tuple(node.node for _, node in sorted(self._nodes.items()) if node.wires)

    def connections(self) -> Mapping[str, int]:
        """Number of connections to each node."""
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
        """End everything; pending calls fail at once.

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
            self._log.info("node-gone", "Cassandra at {address} has left the cluster", address=address)
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
