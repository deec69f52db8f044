"""Connections to checked addresses: the name is resolved for each connection, and the address that was checked is the
one that is connected to."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from queuey.deferreds import bounded, deferred
from queuey.fair_slots import FairSlots
from queuey.model.pushes.addresses import Address

RESOLVE: Final = 5.0
"""Seconds for resolving a name."""

CONNECT: Final = 5.0
"""Seconds for connecting to one address."""

MAX_TRIED: Final = 4
"""Maximum number of addresses that are tried for one connection."""

MAX_ANSWER: Final = 256 << 10
"""Bytes that may come on a connection after the last byte that was written: head and body of an answer. More of it is
never read, because a head has no limit of its own in Twisted's client."""

LINGER: Final = 5.0
"""Seconds for which a connection that is being closed waits for the endpoint; then it is aborted. Otherwise an endpoint
that reads no more, or does not answer the end of TLS, would hold it for ever."""

MayConnect = Callable[[Address], bool]


class AddressRefused(Exception):
    """No address of the host may be connected to."""


class NoAddress(Exception):
    """The host cannot be resolved."""


@implementer(IStreamClientEndpoint)
@attrs.frozen
class CheckedEndpoint:
    """Connects to one of the addresses of a host that may be connected to.

    :ivar lookups: the lookups of names at the same time, which applications share: those whose name servers do not
        answer keep no other application waiting.
    :ivar application: whose request it is.
    :ivar may: decides about each address.
    :ivar named: whether the operator has named the host. Otherwise a name with refused addresses looks like one without
        addresses, so that no client can find out which names the private network has.
    """

    reactor: Any
    resolver: IHostnameResolver
    lookups: FairSlots
    application: str
    host: str
    port: int
    may: MayConnect
    named: bool

    @deferred
    async def connect(self, factory: IProtocolFactory) -> IProtocol:
        """Connect. Fails with ``AddressRefused``, with ``NoAddress``, or with the error of the last address that was
        tried."""
        addresses = await self._resolved()
        allowed = [address for address in addresses if self.may(address)]
        if not allowed:
            raise AddressRefused() if addresses and (self.named or _is_address(self.host)) else NoAddress()
        for address in allowed[:MAX_TRIED]:
            kind = TCP4ClientEndpoint if address.version == 4 else TCP6ClientEndpoint
            try:
                protocol: IProtocol = await kind(self.reactor, str(address), self.port, CONNECT).connect(factory)
            except Exception as error:
                last = error
            else:
                return protocol
        raise last

    @deferred
    async def _resolved(self) -> Sequence[Address]:
        if _is_address(self.host):
            return (ipaddress.ip_address(self.host),)
        return await bounded(self._looked_up(), RESOLVE, self.reactor, NoAddress)

    @deferred
    async def _looked_up(self) -> Sequence[Address]:
        while not self.lookups.take(self.application):
            await self.lookups.wait(self.application)
        receiver = _Addresses(lambda: self.lookups.release(self.application))
        self.resolver.resolveHostName(receiver, self.host, self.port)
        return await receiver.done


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@implementer(IResolutionReceiver)
class _Addresses:
    """Gathers the addresses of a name.

    :param ended: is called when the lookup has ended, also if it took too long for who waited for it.
    :ivar done: fires with them.
    """

    def __init__(self, ended: Callable[[], None]) -> None:
        self.done: Deferred[Sequence[Address]] = Deferred()
        self._ended = ended
        self._found: dict[Address, None] = {}

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Ignore it: there is nothing to cancel in a thread."""

    def addressResolved(self, address: IAddress) -> None:
        """Take an address."""
        if isinstance(address, IPv4Address | IPv6Address):
            self._found[ipaddress.ip_address(address.host)] = None

    def resolutionComplete(self) -> None:
        """Fire, unless it took too long."""
        self._ended()
        if not self.done.called:
            self.done.callback(tuple(self._found))


class _Bounded(ProtocolWrapper):
    """Aborts a connection on which more comes than an answer may have, or whose end takes too long.

    :param clock: measures how long that takes.
    """

    _came = 0
    _ending: IDelayedCall | None = None

    def __init__(self, factory: Any, wrapped: IProtocol, clock: IReactorTime) -> None:
        super().__init__(factory, wrapped)
        self._clock = clock

    def write(self, data: bytes) -> None:
        """Write; what comes from now on is counted again."""
        self._came = 0
        super().write(data)

    def writeSequence(self, data: Any) -> None:
        """Write several pieces."""
        self._came = 0
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        """Pass on what came."""
        self._came += len(data)
        if self._came > MAX_ANSWER:
            self.abortConnection()
        else:
            super().dataReceived(data)

    def loseConnection(self) -> None:
        """Close the connection, and abort it if that takes too long."""
        if self._ending is None:
            self._ending = self._clock.callLater(LINGER, self._abort)
        super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note the end of the connection."""
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
        super().connectionLost(reason)

    def _abort(self) -> None:
        self.abortConnection()


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _BoundedEndpoint:
    """Connects, and bounds what may come on the connection and how long its end may take."""

    endpoint: IStreamClientEndpoint
    clock: IReactorTime

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """See IStreamClientEndpoint."""
        wrapping = WrappingFactory(factory)
        wrapping.protocol = lambda factory, wrapped: _Bounded(factory, wrapped, self.clock)
        connecting: Deferred[Any] = self.endpoint.connect(wrapping)
        return connecting.addCallback(lambda wrapper: wrapper.wrappedProtocol)


@implementer(IAgentEndpointFactory)
@attrs.frozen
class CheckedEndpoints:
    """Makes the endpoints of an agent.

    :ivar lookups: see ``CheckedEndpoint``, and ``named`` and ``application``.
    :ivar tls: verifies certificates.
    """

    reactor: Any
    resolver: IHostnameResolver
    lookups: FairSlots
    may: MayConnect
    tls: BrowserLikePolicyForHTTPS
    named: bool = False
    application: str = ""

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return the endpoint for a URL."""
        host = uri.host.decode("ascii").strip("[]")
        endpoint: Any = CheckedEndpoint(
            self.reactor, self.resolver, self.lookups, self.application, host, uri.port, self.may, self.named
        )
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self.tls.creatorForNetloc(uri.host, uri.port), endpoint)
        return _BoundedEndpoint(endpoint, self.reactor)
