"""Opens connections to Thrift nodes: TCP, TLS and login."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint

from queuey.deferreds import bounded
from queuey.storage.cassandra.cluster.port import Level
from queuey.storage.cassandra.cluster.settings import SessionSettings
from queuey.storage.cassandra.cluster.thrift.calls import execute, login
from queuey.storage.cassandra.cluster.thrift.wire import Lost, Wire

_GRACE: Final = 1.0
"""Seconds that the end of all connections may take."""

_CENTRE: Final = execute("SELECT data_center FROM system.local", Level.ONE)
"""Finds the data centre of a node, and whether we may read at all."""


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
        """Abort calls under way, and end all connections.

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
