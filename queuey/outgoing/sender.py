"""Sends pushes: HTTP requests to checked addresses, with limits of time and size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs
from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IHostnameResolver
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from queuey.deferreds import bounded, deferred
from queuey.fair_slots import FairSlots
from queuey.interfaces import BodyEnd, IPushSender, NotSent, PushAnswer, PushRequest, Unsent
from queuey.model.pushes.addresses import Network, is_public, may_connect
from queuey.model.pushes.targets import Target
from queuey.outgoing.bodies import BoundedBody, TooLong, WholeBody, drop_body
from queuey.outgoing.checked_endpoints import AddressRefused, CheckedEndpoints, NoAddress

MAX_BODY: Final = 64 << 10
"""Bytes of an answer's body that are read."""

MAX_KEPT: Final = 64
"""Maximum number of idle connections to one endpoint."""

MAX_HOSTS: Final = 1000
"""Number of endpoints after which a pool is emptied: Twisted's remembers each of them for ever."""

_KEPT: Final = 2.0
"""Seconds for which an idle connection is kept: servers close theirs after two seconds and more."""

_BODY: Final = 5.0
"""Seconds for the body of an answer, once its head is there."""

_STATUSES: Final = range(200, 600)
"""The final statuses of HTTP (RFC 9110, section 15). Twisted's client takes every number, however long, and every
protocol."""


@implementer(IPushSender)
class PushSender:
    """Sends pushes.

    Connections are kept apart by right: those to hosts that ``push_hosts`` names may lead into networks that the
    operator allows, so requests of other applications never use them.

    :param networks: returns the networks that the operator allows.
    :param lookups: number of names that the resolver can look up at the same time.
    :param tls: verifies certificates; by default against the authorities of the system.
    """

    def __init__(
        self,
        reactor: Any,
        resolver: IHostnameResolver,
        networks: Callable[[], Iterable[Network]],
        lookups: int,
        tls: BrowserLikePolicyForHTTPS | None = None,
    ) -> None:
        policy = BrowserLikePolicyForHTTPS() if tls is None else tls
        endpoints = CheckedEndpoints(reactor, resolver, FairSlots(lookups), is_public, policy)
        self._clock = reactor
        self._public = endpoints
        self._named = attrs.evolve(endpoints, may=lambda address: may_connect(address, networks()), named=True)
        self._pools = {True: _Pool(reactor), False: _Pool(reactor)}

    def close(self) -> None:
        """Close the connections that are kept."""
        for pool in self._pools.values():
            pool.empty()

    @deferred
    async def send(self, request: PushRequest) -> PushAnswer:
        """See IPushSender."""
        headers = Headers()
        for name, value in request.headers:
            headers.addRawHeader(name.encode("ascii"), value.encode("ascii"))
        endpoints = attrs.evolve(self._named if request.named else self._public, application=request.application)
        agent = Agent.usingEndpointFactory(self._clock, endpoints, self._pools[request.named].of(request.target))
        url = request.target.url.encode("ascii")
        asking: Deferred[IResponse] = agent.request(b"POST", url, headers, WholeBody(request.body))
        until = self._clock.seconds() + request.timeout
        try:
            response = await bounded(asking, request.timeout, self._clock, lambda: NotSent(Unsent.TIMEOUT))
        except (NotSent, CancelledError):
            raise
        except Exception as error:
            # If a part of the head had come, what was cancelled fails as a broken connection does.
            late = self._clock.seconds() >= until
            raise NotSent(Unsent.TIMEOUT if late else _reason(error)) from None
        if response.version[:2] != (b"HTTP", 1) or response.code not in _STATUSES:
            drop_body(response)
            raise NotSent(Unsent.BROKEN)
        body = BoundedBody(MAX_BODY)
        response.deliverBody(body)
        end = BodyEnd.WHOLE
        try:
            await bounded(body.read, _BODY, self._clock, lambda: NotSent(Unsent.TIMEOUT))
        except CancelledError:
            raise
        except TooLong:
            end = BodyEnd.TOO_LONG
        except Exception:
            # The status counts: the endpoint has decided, whatever becomes of the rest of its answer.
            end = BodyEnd.CUT
        return PushAnswer(
            response.code,
            _field(response, b"retry-after"),
            _field(response, b"content-type"),
            bytes(body.found),
            end,
        )


class _Pool:
    """Keeps idle connections, of a bounded number of endpoints."""

    def __init__(self, reactor: Any) -> None:
        self._pool = HTTPConnectionPool(reactor)
        self._pool.retryAutomatically = False
        self._pool.maxPersistentPerHost = MAX_KEPT
        self._pool.cachedConnectionTimeout = _KEPT  # type: ignore[assignment]
        self._endpoints: set[tuple[str, str, int]] = set()

    def of(self, target: Target) -> HTTPConnectionPool:
        """Return Twisted's pool for a request to an endpoint."""
        endpoint = (target.scheme, target.host, target.port)
        if endpoint not in self._endpoints and len(self._endpoints) >= MAX_HOSTS:
            self.empty()
        self._endpoints.add(endpoint)
        return self._pool

    def empty(self) -> None:
        """Close the idle connections, and forget the endpoints."""
        self._endpoints.clear()
        self._pool.closeCachedConnections()


def _field(response: IResponse, name: bytes) -> str | None:
    values = response.headers.getRawHeaders(name) or ()
    return None if not values else values[0].decode("latin-1")[:1000]


def _reason(error: BaseException | None) -> Unsent:
    """Return why a request got no answer, by its innermost error; most errors of Twisted's client only list others."""
    reasons: list[Failure] | None = getattr(error, "reasons", None)
    if reasons:
        return _reason(reasons[0].value)
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return Unsent.BROKEN


_REASONS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Unsent], ...]] = (
    (AddressRefused, Unsent.REFUSED),
    (NoAddress, Unsent.NO_ADDRESS),
    ((TLSError, VerificationError), Unsent.TLS),
    (ConnectTimeout, Unsent.TIMEOUT),
    ((ConnectError, ConnectingCancelledError), Unsent.CONNECT),
)
