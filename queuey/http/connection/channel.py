"""One connection, and the requests that come on it, one after the other, within limits of size and time."""

from __future__ import annotations

from math import inf

from twisted.internet import protocol
from twisted.python.failure import Failure

from queuey.http.bodies.body import ChunkedBody, FixedBody, LostBody
from queuey.http.bodies.body_reader import BodyReader
from queuey.http.bodies.pieces import ClientGone
from queuey.http.connection.lifetime import LINGER_BYTES, NEWCOMER_SECONDS, ChannelOwner, Stage
from queuey.http.connection.limits import STOPPING, TIMEOUT, TOO_LARGE, Refusal, Refused
from queuey.http.connection.sending import Direct
from queuey.http.heads.head import Head
from queuey.http.heads.head_reader import HeadReader
from queuey.http.heads.remembered import MAX_BYTES, MAX_FIELDS, RememberedHead
from queuey.http.requests.request import Request
from queuey.model.telemetry.counts import NONE


class Channel(BodyReader):
    """One connection.

    Bytes go through :meth:`_step`, a stage at a time; what cannot be worked on yet waits in ``_ahead``, and the
    transport is paused where too much waits.
    """

    # With more than thirty attributes each connection would have a dictionary of 1.5 KiB.
    __slots__ = ("_before", "_consuming", "_discarded", "_last", "_new", "_read", "_reader")

    def __init__(self, site: ChannelOwner) -> None:
        super().__init__(site)
        self._read = None if site.hooks.counts is None else site.hooks.counts.read
        self._reader: HeadReader | None = None
        self._last: RememberedHead | None = None
        self._before: RememberedHead | None = None
        self._new = True
        self._consuming = False
        self._discarded = 0

    # Beginning and end

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
            self._rest(self._seconds())
            if self._new:
                self.deadline = max(self.deadline, self._started + NEWCOMER_SECONDS)
        elif self._stage is Stage.HANDLING and self._body is not None:
            self._break_body(STOPPING)

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
        """Process received data as far as possible."""
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
        """Process the data that has waited."""
        if not self._consuming:
            if self._ahead and self._hungry():
                self._consume(self._take_ahead())
            self.read_some()

    def _step(self, data: bytes) -> bytes:
        """Take one step, and return the data that is left for the next."""
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
            self._rest(self._seconds())
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
        if not in_pieces and (there := len(rest)) >= length:
            request.bytes_in += length
            if there > length:
                request.body, rest = rest[:length], rest[length:]
            else:
                request.body, rest = rest, b""
            self._stage = Stage.HANDLING
            self.deadline = inf
            request.process()
            return rest
        self._expect_body(request, head, FixedBody(length), rest, in_pieces)
        return rest

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

    def _forget_reader(self) -> None:
        self._reader = None

    def _sent(self) -> None:
        """Learn that everything is handed over, and more is wanted."""
        if self._stage is Stage.LINGERING or self._stage is Stage.CLOSING:
            self._say_goodbye()
            return
        if self._stage is Stage.WAITING:
            self._rest(self._seconds())
        self._resume()

    def done(self, now: float) -> None:
        """Go on with the connection after the current request was answered.

        :param now: in seconds of the reactor.
        """
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
        self._rest(now)
        if self._ahead or self._paused:
            self._resume()
