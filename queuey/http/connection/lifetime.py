"""How a connection begins, rests between two requests, and closes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final, Protocol, cast

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, ISSLTransport, ITCPTransport

from queuey.http.connection.forwarded import Network, is_trusted, parse_address
from queuey.http.connection.hooks import Hooks
from queuey.http.connection.limits import Limits
from queuey.http.connection.outgoing import Outgoing, Transport
from queuey.http.connection.receiving import Receiver
from queuey.http.connection.sending import Turn, quickest

if TYPE_CHECKING:
    from queuey.http.connection.channel import Channel

DRAIN_SECONDS: Final = 0.5
"""How long a connection without a request is still kept when the server comes to its end."""

NEWCOMER_SECONDS: Final = 2.0
"""How long a new connection is kept then: its client is about to ask, and has no other connection to ask on."""

LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 1024 * 1024
"""How long, and how much, is still read and thrown away after a refusal: a connection that is closed with bytes unread
is reset, and the client may never see the answer."""


class ChannelOwner(Protocol):
    """The site of a connection, as the connection needs it."""

    hooks: Hooks
    limits: Limits
    forwarded: Sequence[Network]
    leaving: bool
    draining: bool
    turn: Turn
    receiver: Receiver | None

    def arrived(self, channel: Channel) -> None:
        """Learn that it is open."""

    def left(self, channel: Channel) -> None:
        """Learn that it is closed."""


class Stage(Enum):
    """The stages of a connection."""

    WAITING = "for a request"
    HEAD = "reading a head"
    LOOKING = "finding out by its head whether a request may have its body read"
    BODY = "reading a body that no handler has seen yet"
    HANDLING = "a handler is at work, or an answer is being written"
    LINGERING = "throwing away what still comes"
    CLOSING = "its input is no longer read"


class ConnectionLifetime(protocol.Protocol):
    """The part of a channel that knows its transport: the peer, what is written, and how it closes.

    :class:`queuey.http.connection.channel.Channel` is its only subclass, and has what is read.

    :ivar peer: the address of the other end; ``unix`` for a local socket.
    :ivar forwarded: the proxies whose X-Forwarded-For is believed.
    :ivar believed: whether the peer is such a proxy, so that its ``Forwarded`` fields are used.
    :ivar write: hands over a part of an answer.
    :ivar deadline: when the stage has lasted too long, in seconds of the reactor.
    """

    __slots__ = (
        "_ahead", "_ahead_size", "_host_address", "_limits", "_out", "_peer_address", "_seconds", "_stage", "_started",
        "_wire", "believed", "deadline", "forwarded", "hooks", "peer", "site", "write",
    )  # fmt: skip

    write: Callable[[bytes], None]

    def __init__(self, site: ChannelOwner) -> None:
        self.site = site
        self.hooks = site.hooks
        self.peer = "unknown"
        self.forwarded = site.forwarded
        self.believed = False
        self.deadline = inf
        self._seconds = site.hooks.reactor.seconds
        self._stage = Stage.WAITING
        self._limits = site.limits
        self._started = 0.0
        self._ahead: list[bytes] = []
        self._ahead_size = 0

    def connectionMade(self) -> None:
        """Greet a new connection."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._wire = quickest(cast(Transport, self.transport), self.site.turn, self.site.receiver, self.dataReceived)
        self._peer_address = self._wire.getPeer()
        self._host_address = self._wire.getHost()
        self._know_peer()
        self._out = Outgoing(self._wire, self._seconds, self._sent, self.hooks.counts)
        self._out.patience = self._limits.idle_timeout
        self.write = self._out.write
        self._started = self._seconds()
        self.deadline = self._started + self._limits.header_timeout
        self.site.arrived(cast("Channel", self))

    def _know_peer(self) -> None:
        host = getattr(self._peer_address, "host", None)
        address = None if host is None else parse_address(host)
        self.peer = "unix" if host is None else host if address is None else str(address)
        self.believed = is_trusted(address, self.forwarded)

    def abort(self) -> None:
        """Cut the connection."""
        self._stage = Stage.CLOSING
        self.deadline = inf
        self._wire.abortConnection()

    def _rest(self, now: float) -> None:
        """Wait for a request; the time for that begins once the answer before has left.

        :param now: in seconds of the reactor.
        """
        self._stage = Stage.WAITING
        patience = DRAIN_SECONDS if self.site.draining else self.site.limits.idle_timeout
        self.deadline = inf if self._out.full else now + patience

    def _end(self, *, linger: bool) -> None:
        """Close, once everything is written; or then read on for a while, so that the client sees the answer."""
        self._ahead.clear()
        self._ahead_size = 0
        self._forget_reader()
        self.deadline = inf
        self.read_some()
        self._stage = Stage.LINGERING if linger else Stage.CLOSING
        if not self._out.blocked:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Everything is written: close the connection, or shut down its write side."""
        if self._stage is Stage.CLOSING:
            self._close()
            return
        self.deadline = self._seconds() + LINGER_SECONDS
        self._out.release()
        half_close = getattr(self._wire, "loseWriteConnection", None)
        if self.isSecure():
            # TLS sends a close alert, and reads until the peer has answered it.
            self._wire.loseConnection()
        elif half_close is not None:
            half_close()

    def _close(self) -> None:
        if self._stage is Stage.LINGERING and self.isSecure():
            self.abort()
            return
        self._stage = Stage.CLOSING
        self.deadline = self._seconds() + self._limits.idle_timeout
        self._out.release()
        self._wire.loseConnection()

    def read_some(self) -> None:
        """Let the transport read as long as not too much waits."""
        raise NotImplementedError

    def _forget_reader(self) -> None:
        """Forget the head that is being read."""
        raise NotImplementedError

    def _sent(self) -> None:
        """Learn that everything is handed over, and more is wanted."""
        raise NotImplementedError

    # Writing

    @property
    def blocked(self) -> bool:
        """Whether something waits to be handed over, or the transport has enough."""
        return self._out.blocked

    def writable(self) -> Deferred[None]:
        """Wait until more is wanted; fails with :class:`ClientGone`, may be cancelled."""
        return self._out.writable()

    # What twisted.web's Request asks of its channel

    def getPeer(self) -> IAddress:
        """The address of the other end."""
        return self._peer_address

    def getHost(self) -> IAddress:
        """The address of this end."""
        return self._host_address

    def isSecure(self) -> bool:
        """Whether this is TLS."""
        return ISSLTransport.providedBy(self.transport)

    def loseConnection(self) -> None:
        """Cut the connection; an answer that is complete closes it by itself where that is right."""
        self.abort()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Refuse a producer: ``await request.send(data)`` is how answers are written with back-pressure."""
        raise NotImplementedError("use Request.send")

    def unregisterProducer(self) -> None:
        """There is none."""
