"""The HTTP server: it accepts connections, and passes on the requests that a handler should see.

Malformed and oversized requests are answered here as JSON, before any handler runs. A handler starts when the body is
complete, or at the end of the header if it wants to read the body in pieces. HTTP/1.1 and 1.0 are read strictly
(``head`` and ``body``), because two readers that understand one connection differently make request smuggling possible.

twisted.web does not read or write the connection: its HTTPChannel accepts requests that have to be refused here, sends
errors without a body or in HTML, and restarts its timeout with every byte. Its Request is the base class of ours,
because Klein finds its adapter by that class. **Private names of twisted.web used here: none.** The public ones that
are used are pinned by ``tests/http/wire/test_contract.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource
from zope.interface import implementer

from queuey.http.bodies.pieces import BrokenBody, ClientGone
from queuey.http.connection.channel import Channel
from queuey.http.connection.forwarded import Network
from queuey.http.connection.hooks import Hooks, Look, Render
from queuey.http.connection.limits import OVERLOADED, STOPPING, AccessLine, Limits, Refusal, render_refusal
from queuey.http.connection.receiving import receiver
from queuey.http.connection.sending import Turn
from queuey.http.requests.counting import Counts
from queuey.http.requests.request import Request
from queuey.interfaces import ITraces
from queuey.logs import EventLog

__all__ = [
    "AccessLine",
    "BrokenBody",
    "ClientGone",
    "Limits",
    "Refusal",
    "Request",
    "Site",
    "render_refusal",
]

TICK: Final = 0.5
"""Seconds between two checks of the time limits, so a timeout may be that late. One timer serves all connections,
because ten thousand timers that are reset with every request would cost more than the requests."""


@implementer(IProtocolNegotiationFactory)
class Site(ServerFactory[Channel]):
    """Creates a :class:`Channel` for each connection.

    :ivar limits: may be replaced at any time; requests that have begun keep the limits that they began with.
    :ivar forwarded: the proxies whose X-Forwarded-For is believed; may be replaced, for new connections.
    :ivar leaving: whether each connection is closed after its next answer, which says so; may be set. New connections
        are still accepted.
    :ivar draining: whether new requests are no longer accepted.
    :ivar turn: the calls to make at the end of the reactor's turn.
    :ivar receiver: reads all plain sockets, if the platform has epoll.
    """

    noisy = False
    _log = EventLog(Logger(namespace="queuey.http"))

    def __init__(
        self,
        resource: IResource,
        limits: Limits,
        *,
        reactor: IReactorTime,
        now: Callable[[], float],
        new_id: Callable[[], str],
        forwarded: Sequence[Network],
        access: Callable[[AccessLine], None],
        render: Render = render_refusal,
        before_head: Callable[[Request], None] | None = None,
        streams: Callable[[Request], bool] | None = None,
        counts: Counts | None = None,
        traces: ITraces | None = None,
        turn: Turn | None = None,
        look: Look | None = None,
    ) -> None:
        """Create the server.

        :param resource: gets every request that is not refused here.
        :param reactor: the clock of all time limits; it should be monotonic.
        :param now: the wall clock, in seconds since 1970, for the ``Date`` of answers.
        :param new_id: makes the id of a request that brings none: 1 to 128 of ``A-Za-z0-9._~+/=:@-``.
        :param forwarded: the proxies whose X-Forwarded-For is believed.
        :param access: is called after each request, however it ended.
        :param render: makes the bodies of refusals.
        :param before_head: may set header fields of any answer whose request's path is known; called once, just before
            the answer is written.
        :param streams: says by the head of a request with a body whether its handler reads the body in pieces and so
            starts at the end of the header; the result may be cached for the same head. It may set ``request.max_body``
            in both cases; if it does not, a body that is read in pieces has no limit, and any other that of ``limits``.
        :param counts: the metrics of requests and bytes, if they are kept.
        :param traces: is called after each request that has a route, if requests are traced.
        :param turn: the calls at the end of the reactor's turn, if several servers share them.
        :param look: checks each request whose head is complete and whose body is not, before the body is read as a
            whole; without it every body is read.
        """
        self.limits = limits
        self._now = now
        self.forwarded = forwarded
        self.leaving = False
        self.draining = False
        self.turn = Turn(reactor) if turn is None else turn
        self.receiver = receiver(reactor)
        self.hooks = Hooks(
            reactor=reactor,
            resource=resource,
            new_id=new_id,
            access=access,
            render=render,
            before_head=before_head,
            date=self.date,
            streams=streams,
            counts=counts,
            traces=traces,
            look=look,
        )
        self._channels: set[Channel] = set()
        self._ticking = False
        self._drained: list[Deferred[None]] = []
        self._date = (-1, b"")

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        """Make the channel of a new connection."""
        channel = Channel(self)
        channel.factory = self
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """Return the protocols that TLS may agree on: HTTP/1.1 alone."""
        return [b"http/1.1"]

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._channels)

    @property
    def busy(self) -> int:
        """How many of them have a request under way."""
        return sum(channel.busy for channel in self._channels)

    def arrived(self, channel: Channel) -> None:
        """Count a new connection in, or turn it away."""
        self._channels.add(channel)
        if not self._ticking:
            self._ticking = True
            self.hooks.reactor.callLater(TICK, self._tick)
        if self.connections > 2 * self.limits.max_connections:
            channel.abort()
        elif self.connections > self.limits.max_connections:
            channel.turn_away(OVERLOADED)
        elif self.draining:
            channel.turn_away(STOPPING)

    def left(self, channel: Channel) -> None:
        """Count a connection out."""
        self._channels.discard(channel)
        if not self._channels:
            self._tell_drained()

    def _tick(self) -> None:
        if not self._channels:
            self._ticking = False
            return
        now = self.hooks.reactor.seconds()
        self._each(lambda channel: channel.check_time(now))
        self.hooks.reactor.callLater(TICK, self._tick)

    def _each(self, work: Callable[[Channel], None]) -> None:
        """Do something with each connection; an error ends the connection that it is about, and no other."""
        for channel in list(self._channels):
            try:
                work(channel)
            except Exception:
                self._log.failure("connection-defect", "a connection failed, and is cut", Failure())
                with suppress(Exception):  # the transport may be what failed
                    channel.abort()

    def drain(self) -> Deferred[None]:
        """Shut down: close idle connections, and the others after their current requests.

        :return: fires when no connection is left; :meth:`abort` hastens that. Cancelling it does not stop the shutdown.
        """
        self.leaving = self.draining = True
        self._each(lambda channel: channel.drain())
        drained: Deferred[None] = Deferred(self._drained_remove)
        self._drained.append(drained)
        if not self._channels:
            self._tell_drained()
        return drained

    def _drained_remove(self, drained: Deferred[None]) -> None:
        self._drained.remove(drained)

    def _tell_drained(self) -> None:
        drained, self._drained = self._drained, []
        for each in drained:
            each.callback(None)

    def abort(self) -> None:
        """Cut every connection."""
        self._each(lambda channel: channel.abort())

    def date(self) -> bytes:
        """The Date field for now, which changes once a second."""
        now = int(self._now())
        if self._date[0] != now:
            self._date = (now, b"Date: %b\r\n" % datetimeToString(now))
        return self._date[1]
