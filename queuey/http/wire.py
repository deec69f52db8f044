"""The door: it takes connections, and lets requests in that are worth a handler's time.

What a client does wrong is answered here, before any handler, as JSON; a handler starts once the body is there, or at
the end of the header if it wants to read the body in pieces. HTTP/1.1 and 1.0 are read strictly (``head`` and
``body``), because what two readers of one connection understand differently is how requests are smuggled.

Nothing of twisted.web reads or writes the wire: its HTTPChannel takes what has to be refused here, answers without a
body or in HTML, and counts time anew with every byte. Its Request is the base of ours, because Klein finds its adapter
by that class. **Private names of twisted.web used here: none.** What is used of its public ones is pinned by
``tests/http/test_wire_contract.py``.
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

from queuey.http.channel import Channel
from queuey.http.counting import Counts
from queuey.http.forwarded import Network
from queuey.http.limits import OVERLOADED, STOPPING, AccessLine, Limits, Refusal, render_refusal
from queuey.http.pieces import BrokenBody, ClientGone
from queuey.http.receiving import receiver
from queuey.http.request import Hooks, Look, Render, Request
from queuey.http.sending import Turn
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
"""Seconds between two looks at the clock: a time-out may be late by as much. One timer for all connections, because
ten thousand timers that are set anew with every request would cost more than the requests."""


@implementer(IProtocolNegotiationFactory)
class Site(ServerFactory[Channel]):
    """Makes a :class:`Channel` of each connection.

    :ivar limits: may be replaced at any time; requests that have begun keep those that they began with.
    :ivar forwarded: the proxies whose X-Forwarded-For is believed; may be replaced, for new connections.
    :ivar leaving: whether each connection ends with its next answer, which says so; may be set. New ones are taken.
    :ivar draining: whether nothing new is begun any more.
    :ivar turn: what is to be done at the end of the reactor's turn.
    :ivar receiver: who reads all plain sockets, where the machine has what it takes.
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
        """Open a door.

        :param resource: what is behind it; it gets every request that is not refused here.
        :param reactor: whose time limits are held to; nobody should be able to set it.
        :param now: the wall clock, in seconds since 1970, for the ``Date`` of answers.
        :param new_id: makes the id of a request that brings none: 1 to 128 of ``A-Za-z0-9._~+/=:@-``.
        :param forwarded: the proxies whose X-Forwarded-For is believed.
        :param access: is told about each request when it is over, however it went.
        :param render: makes the bodies of refusals.
        :param before_head: may set header fields of any answer whose request's path is known, just before it is
            written; it is called once for each.
        :param streams: tells by its head whether a request with a body is handled from the end of its header on, the
            handler reading the body in pieces; it may not be asked again for the same head. It may set
            ``request.max_body`` for either way; if it does not, what is read in pieces has no limit, and the rest that
            of ``limits``.
        :param counts: where requests and bytes are counted, if they are.
        :param traces: is told about each request that has a route, if anybody wants to know.
        :param turn: what is to be done at the end of the reactor's turn, where it is not for this door alone.
        :param look: looks at each request of which the head is there and the body is not, before that is read whole;
            without it every body is read.
        """
        self.limits = limits
        self._now = now
        self.forwarded = forwarded
        self.leaving = False
        self.draining = False
        self.turn = Turn(reactor) if turn is None else turn
        self.receiver = receiver(reactor)
        self.hooks = Hooks(
            reactor, resource, new_id, access, render, before_head, self.date, streams, counts, traces, look
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
        """What TLS may agree on: HTTP/2 is not spoken here."""
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
        """Come to an end: close idle connections, and the others after the requests that they are about.

        :return: fires when no connection is left; :meth:`abort` hastens that. May be cancelled, which changes nothing.
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
