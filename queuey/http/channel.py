"""One connection, and the requests that come on it, one after the other, within limits of size and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from math import inf
from typing import Final, Protocol, cast

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, ISSLTransport, ITCPTransport
from twisted.python.failure import Failure

from queuey.http.body import Body, ChunkedBody, FixedBody, LostBody
from queuey.http.forwarded import Network, is_trusted, parse_address
from queuey.http.head import Head, HeadReader
from queuey.http.limits import STOPPING, TIMEOUT, TOO_LARGE, Limits, Refusal, Refused
from queuey.http.outgoing import Outgoing, Transport
from queuey.http.pieces import ClientGone
from queuey.http.receiving import Receiver
from queuey.http.remembered import MAX_BYTES, MAX_FIELDS, RememberedHead
from queuey.http.request import Hooks, Request
from queuey.http.sending import Direct, Turn, quickest
from queuey.model.counts import NONE

READ_AHEAD: Final = 64 * 1024
"""Bytes that may wait for a handler before no more are read."""

DRAIN_SECONDS: Final = 0.5
"""How long a connection without a request is still kept when the server comes to its end."""

NEWCOMER_SECONDS: Final = 2.0
"""How long a new connection is kept then: its client is about to ask, and has no other connection to ask on."""

LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 1024 * 1024
"""How long, and how much, is still read and thrown away after a refusal: a connection that is closed with bytes unread
is reset, and the client may never see the answer."""


class ChannelOwner(Protocol):
    """What a connection needs from the site that accepted it."""

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
    """What a connection is about."""

    WAITING = "for a request"
    HEAD = "reading a head"
    LOOKING = "finding out by its head whether a request may have its body read"
    BODY = "reading a body that no handler has seen yet"
    HANDLING = "a handler is at work, or an answer is being written"
    LINGERING = "throwing away what still comes"
    CLOSING = "nothing more comes of it"


class Channel(protocol.Protocol):
    """One connection.

    Bytes go through :meth:`_step`, a stage at a time; what cannot be worked on yet waits in ``_ahead``, and the
    transport is paused where too much waits.

    :ivar peer: the address of the other end; ``unix`` for a local socket.
    :ivar forwarded: the proxies whose X-Forwarded-For is believed.
    :ivar believed: whether the other end is one of them.
    :ivar write: hands over a part of an answer.
    :ivar deadline: when the stage has lasted too long, in seconds of the reactor.
    """

    # With more than thirty attributes each connection would have a dictionary of 1.5 KiB.
    __slots__ = (
        "_ahead", "_ahead_size", "_before", "_body", "_collected", "_consuming", "_discarded", "_expects_continue",
        "_host_address", "_last", "_limits", "_new", "_out", "_paused", "_peer_address",
        "_read", "_reader", "_request", "_seconds", "_stage", "_started", "_wire", "believed", "deadline",
        "forwarded", "hooks", "peer", "site", "write",
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
        self._read = None if site.hooks.counts is None else site.hooks.counts.read
        self._stage = Stage.WAITING
        self._limits = site.limits
        self._reader: HeadReader | None = None
        self._last: RememberedHead | None = None
        self._before: RememberedHead | None = None
        self._started = 0.0
        self._new = True
        self._request: Request | None = None
        self._body: Body | None = None
        self._collected = bytearray()
        self._expects_continue = False
        self._consuming = False
        self._ahead: list[bytes] = []
        self._ahead_size = 0
        self._paused = False
        self._discarded = 0

    # Beginning and end

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
        self.site.arrived(self)

    def _know_peer(self) -> None:
        host = getattr(self._peer_address, "host", None)
        address = None if host is None else parse_address(host)
        self.peer = "unix" if host is None else host if address is None else str(address)
        self.believed = is_trusted(address, self.forwarded)

    def turn_away(self, refusal: Refusal) -> None:
        """Refuse a connection before anything was read from it."""
        self._refuse(refusal)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Let everyone know that the client has hung up."""
        request = self._request
        if request is None and self._stage is Stage.HEAD:
            request = self._half_request()
        self._stage = Stage.CLOSING
        self.deadline = inf
        self._request = self._body = self._reader = None
        self._last = self._before = None
        self._collected = bytearray()
        self._ahead.clear()
        if request is not None:
            request.connectionLost(reason)
        if isinstance(self._wire, Direct):
            self._wire.lost()
        self._out.lost(ClientGone())
        self.site.left(self)

    @property
    def busy(self) -> bool:
        """Whether a request is under way, be it that only its first bytes have come."""
        return self._request is not None or self._stage is Stage.HEAD

    @property
    def ending(self) -> bool:
        """Whether no further request is served on this connection after the current one."""
        return self._body is not None or self.site.leaving

    def drain(self) -> None:
        """Close the connection after the current request or one that is being received; soon, if no request comes.

        A client that has just had an answer may have sent its next request already. Closing at once would leave that
        request unanswered and its outcome unknown. If a handler is reading a body in pieces, its read fails, because
        the rest could take any time.
        """
        if self._stage is Stage.WAITING:
            self._rest()
            if self._new:
                self.deadline = max(self.deadline, self._started + NEWCOMER_SECONDS)
        elif self._stage is Stage.HANDLING and self._body is not None:
            self._break_body(STOPPING)

    def abort(self) -> None:
        """Cut the connection."""
        self._stage = Stage.CLOSING
        self.deadline = inf
        self._wire.abortConnection()

    def check_time(self, now: float) -> None:
        """Act if a time is over."""
        if self._out.stall <= now:
            self.abort()
        elif self.deadline <= now:
            self.deadline = inf
            self._late()

    def _late(self) -> None:
        stage = self._stage
        if stage is Stage.HEAD or stage is Stage.BODY:
            self._refuse(TIMEOUT)
        elif stage is Stage.HANDLING:
            self._break_body(TIMEOUT)
        elif stage is Stage.WAITING:
            self._end(linger=False)
        elif stage is Stage.LINGERING:
            self._close()
        else:
            self.abort()

    # Reading

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sent."""
        size = len(data)
        if self._read is not None:
            self._read[NONE] += size
        if self._stage is Stage.WAITING and not self._consuming and not self._out.full:
            # Usually exactly one whole request has arrived. It is handled here, without a pass through _consume.
            self._consuming = True
            try:
                data = self._read_head(data)
            except Refused as refused:
                self._refused(refused.refusal)
                data = b""
            finally:
                self._consuming = False
            if data:
                self._consume(data)
            elif self._ahead or self._paused:
                self._resume()
        elif self._stage is not Stage.CLOSING:
            if self._consuming or not self._hungry():
                self._ahead.append(data)
                self._ahead_size += size
                self.read_some()
            else:
                self._consume(data)

    def _hungry(self) -> bool:
        """Whether what comes can be worked on now, or must wait for an answer to be made or to leave."""
        stage = self._stage
        if stage is Stage.HANDLING:
            return self._body is not None
        if stage is Stage.LOOKING:
            return False
        return not ((stage is Stage.WAITING or stage is Stage.HEAD) and self._out.blocked)

    def _consume(self, data: bytes) -> None:
        """Work through what has come, as far as possible."""
        self._consuming = True
        try:
            while data and self._hungry():
                data = self._step(data)
                if not data and self._ahead:
                    data = self._take_ahead()
        finally:
            self._consuming = False
        if data:
            self._ahead.insert(0, data)
            self._ahead_size += len(data)
        self.read_some()

    def _take_ahead(self) -> bytes:
        data = self._ahead[0] if len(self._ahead) == 1 else b"".join(self._ahead)
        self._ahead.clear()
        self._ahead_size = 0
        return data

    def _resume(self) -> None:
        """Go on with what has waited."""
        if not self._consuming:
            if self._ahead and self._hungry():
                self._consume(self._take_ahead())
            self.read_some()

    def _step(self, data: bytes) -> bytes:
        """Take one step, and give what is left for the next."""
        try:
            if self._body is not None:
                return self._read_body(self._body, data)
            if self._stage is Stage.WAITING or self._stage is Stage.HEAD:
                return self._read_head(data)
        except Refused as refused:
            self._refused(refused.refusal)
            return b""
        self._discarded += len(data)
        if self._stage is Stage.LINGERING and self._discarded > LINGER_BYTES and not self._out.blocked:
            self._close()
        return b""

    def _refused(self, refusal: Refusal) -> None:
        """Learn that what came cannot be read on."""
        if self._stage is Stage.HANDLING:
            self._break_body(refusal)
        else:
            self._refuse(refusal)

    def read_some(self) -> None:
        """Let the transport read as long as not too much waits."""
        waiting = self._ahead_size + (0 if self._request is None else self._request.unread)
        too_much = waiting > READ_AHEAD
        if too_much is self._paused or self._stage is Stage.CLOSING:
            return
        self._paused = too_much
        if too_much:
            self._wire.pauseProducing()
        else:
            self._wire.resumeProducing()

    def _read_head(self, data: bytes) -> bytes:
        reader = self._reader
        if self._stage is Stage.WAITING:
            self._started = self._seconds()
        if reader is None:
            if self._limits is not self.site.limits:
                self._take_limits()
            found = None if self._last is None else self._last.read(data, self._limits.max_header)
            if found is None and self._before is not None:
                # A client may do two things in turn, as a worker that claims and settles.
                found = self._before.read(data, self._limits.max_header)
                if found is not None:
                    self._last, self._before = self._before, self._last
            if found is not None:
                known, size = found
                return self._meet(known, size, data[size:], again=True)
            self._reader = reader = HeadReader(self._limits.max_header)
        in_one_piece = not reader.size
        head = reader.feed(data)
        if head is not None:
            self._reader = None
            if in_one_piece:
                return self._meet_whole(head, reader.size, data)
            return self._meet(head, reader.size, reader.rest)
        if self._stage is Stage.WAITING and reader.pending:
            self._stage = Stage.HEAD
            self.deadline = self._started + self._limits.header_timeout
        elif self._stage is Stage.HEAD and not reader.pending:
            self._rest()
        return b""

    def _meet_whole(self, head: Head, size: int, data: bytes) -> bytes:
        """Begin with a request whose head came in one piece, and remember the head."""
        rest = self._meet(head, size, data[size:])
        if size <= MAX_BYTES and len(head.fields) <= MAX_FIELDS and self._stage is not Stage.CLOSING:
            self._last, self._before = RememberedHead(data[:size], head), self._last
        return rest

    def _take_limits(self) -> None:
        """Hold to limits that are new; a head that was within the old ones may not be within these."""
        self._limits = self.site.limits
        self._out.patience = self._limits.idle_timeout
        self._last = self._before = None

    def _rest(self) -> None:
        """Wait for a request; the time for that begins once the answer before has left."""
        self._stage = Stage.WAITING
        patience = DRAIN_SECONDS if self.site.draining else self.site.limits.idle_timeout
        self.deadline = inf if self._out.full else self._seconds() + patience

    def _meet(self, head: Head, size: int, rest: bytes, *, again: bool = False) -> bytes:
        """Begin with a request whose head is complete; what is left is given back.

        :param size: bytes of the head.
        :param rest: what came behind it.
        :param again: whether the head was read by the one before: it is settled, and how its body is read is known
            unless a handler reads that in pieces.
        """
        self._new = False
        self._request = request = Request(self, head, None, self._started)
        request.bytes_in = size
        self._stage = Stage.BODY
        if again and head.whole:
            request.max_body = head.max_body
            in_pieces = False
        else:
            request.max_body = self._limits.max_body
            if not again:
                head.settle()
            try:
                in_pieces = head.length != 0 and request.choose_reading()
            except Exception:
                self._stage = Stage.HANDLING
                self._body = LostBody()
                request.processingFailed(Failure())
                return rest
            head.whole, head.max_body = not in_pieces, request.max_body
        length = head.length
        if length is None:
            self._expect_body(request, head, ChunkedBody(), rest, in_pieces)
            return rest
        if request.max_body is not None and length > request.max_body:
            raise Refused(TOO_LARGE)
        if not in_pieces and len(rest) >= length:
            request.bytes_in += length
            if len(rest) > length:
                request.body, rest = rest[:length], rest[length:]
            else:
                request.body, rest = rest, b""
            self._stage = Stage.HANDLING
            self.deadline = inf
            request.process()
            return rest
        self._expect_body(request, head, FixedBody(length), rest, in_pieces)
        return rest

    def _expect_body(self, request: Request, head: Head, body: Body, rest: bytes, in_pieces: bool) -> None:
        """Wait for the rest of a body, or let the handler read it."""
        self._body = body
        self._expects_continue = head.asks and not rest
        if not in_pieces:
            look = self.hooks.look
            if look is None:
                self._admit()
            else:
                # Until it is known who sends it, no more than READ_AHEAD is kept of it.
                self._stage = Stage.LOOKING
                self.deadline = inf
                look(request, self._admit)
        elif self.site.draining:
            raise Refused(STOPPING)
        else:
            self._handle(request)

    def _admit(self) -> None:
        """Read a body to its end, for a handler that wants it whole."""
        self._stage = Stage.BODY
        self.deadline = self._started + self._limits.request_timeout
        self._continue()
        self._resume()

    def _continue(self) -> None:
        """Tell a client that waits for it to send its body."""
        if self._expects_continue:
            self._expects_continue = False
            self._out.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_body(self, body: Body, data: bytes) -> bytes:
        request = self._request
        if request is None:
            return b""
        body.limit = request.max_body
        piece = body.feed(data)
        request.bytes_in += len(data) - len(body.rest)
        if body.done:
            self._body = None
        if self._stage is Stage.BODY:
            self._collect(request, body, piece)
        else:
            # The beginning of a chunk does not help a handler, so a client that stops there runs into the time limit as
            # well.
            if piece or body.done:
                self.deadline = inf
                self._out.spare()
            request.take(piece, last=body.done)
        if body.error is not None:
            raise Refused(body.error)
        return body.rest

    def _collect(self, request: Request, body: Body, piece: bytes) -> None:
        """Gather a body for a handler that wants it whole."""
        if body.done and not self._collected:
            request.body = piece
        else:
            self._collected += piece
        if body.done:
            if self._collected:
                request.body = bytes(self._collected)
                self._collected = bytearray()
            self._handle(request)

    def _handle(self, request: Request) -> None:
        self._stage = Stage.HANDLING
        self.deadline = inf
        request.process()

    def wants_body(self) -> None:
        """Learn that a handler waits for more of the body."""
        request, body = self._request, self._body
        if request is None or body is None:
            return
        if request.max_body is not None and body.declared > request.max_body:
            self._break_body(TOO_LARGE)
            return
        if not request.startedWriting:
            self._continue()
        self.deadline = self._seconds() + self._limits.request_timeout

    def _break_body(self, refusal: Refusal) -> None:
        """Tell a handler that the rest of the body cannot be read."""
        self.deadline = inf
        self._body = LostBody()
        if self._request is not None:
            self._request.break_body(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        request = self._request
        if request is None:
            request = self._request = self._half_request()
        self._stage = Stage.HANDLING
        self._body = LostBody()
        self.deadline = inf
        request.refuse(refusal)

    def _half_request(self) -> Request:
        """Make the request whose head could not be read to its end."""
        reader, self._reader = self._reader, None
        request = Request(self, None, None if reader is None else reader.line, self._started)
        if reader is not None:
            request.bytes_in = reader.size
            if reader.line is None and reader.asks_for_head:
                request.method = b"HEAD"
        return request

    # Writing

    @property
    def blocked(self) -> bool:
        """Whether something waits to be handed over, or the transport has enough."""
        return self._out.blocked

    def writable(self) -> Deferred[None]:
        """Wait until more is wanted; fails with :class:`ClientGone`, may be cancelled."""
        return self._out.writable()

    def _sent(self) -> None:
        """Learn that everything is handed over, and more is wanted."""
        if self._stage is Stage.LINGERING or self._stage is Stage.CLOSING:
            self._say_goodbye()
            return
        if self._stage is Stage.WAITING:
            self._rest()
        self._resume()

    def done(self) -> None:
        """Go on with the connection after the current request was answered."""
        request = self._request
        if request is None:
            return
        incomplete = self._body is not None
        self._request = self._body = None
        self._expects_continue = False
        if self._stage is Stage.CLOSING:
            return
        if request.closing or incomplete or self.site.leaving:
            self._end(linger=incomplete or self._ahead_size > 0)
            return
        self._rest()
        if self._ahead or self._paused:
            self._resume()

    def _end(self, *, linger: bool) -> None:
        """Close, once everything is written; or then read on for a while, so that the client sees the answer."""
        self._ahead.clear()
        self._ahead_size = 0
        self._reader = None
        self.deadline = inf
        self.read_some()
        self._stage = Stage.LINGERING if linger else Stage.CLOSING
        if not self._out.blocked:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Everything is written: close, or tell the client that this was all."""
        if self._stage is Stage.CLOSING:
            self._close()
            return
        self.deadline = self._seconds() + LINGER_SECONDS
        self._out.release()
        half_close = getattr(self._wire, "loseWriteConnection", None)
        if self.isSecure():
            # TLS tells the other end, and reads on until that has answered.
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
