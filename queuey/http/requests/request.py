"""One request as a handler sees it: what came with it, and its body, whole or in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from io import BytesIO
from typing import Any, AnyStr
from urllib.parse import parse_qsl, unquote_to_bytes

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.error import UnsupportedMethod
from twisted.web.http_headers import Headers
from twisted.web.resource import getChildForRequest

from queuey.core.rates import Use
from queuey.errors import QueueyError
from queuey.http.bodies.pieces import BrokenBody, ClientGone, Pieces
from queuey.http.connection.forwarded import client_behind
from queuey.http.connection.hooks import Cancellable, Connection
from queuey.http.connection.limits import Refusal, render_refusal, with_limit
from queuey.http.heads.head import Head, RequestLine
from queuey.http.heads.targets import without_port
from queuey.http.requests.access import report
from queuey.http.requests.counting import NOWHERE
from queuey.http.requests.response import MALFORMED, Response
from queuey.http.requests.traced import UNTRACED, Traced, Untraced
from queuey.model.telemetry.trace import TraceContext


class Request(Response):
    """A request and its answer.

    :ivar head: the parsed head, which other requests may share; if parsing failed, the parts that are known.
    :ivar request_id: the client's own id for the request, if it is valid, or a new one; always sent in the answer.
    :ivar body: the whole body, unless the handler reads it in pieces.
    :ivar max_body: the limit of the body in bytes, or ``None``; may be changed before the body is read.
    :ivar application: the application of the request, for the access log; set by handlers, as ``queue`` is.
    :ivar origins: the origins whose pages may read the answer, once the policy of the request is known.
    :ivar challenge: the authentication schemes that are accepted at its path, for a 401 answer.
    :ivar signed: the signature and the parameters that it signs, cut out of the query; ``line.query`` has the rest
        then.
    :ivar use: the rate counters of the request, if its application has rates; set by handlers.
    :ivar serving: the running handler, which is cancelled if the client hangs up before the answer; set by handlers.
    :ivar ended: the reason why the handler was cancelled, if it was not a hang-up.
    :ivar lasts: whether the answer goes on when the handler has ended; ``serving`` learns of a hang-up then. Set by
        handlers.
    :ivar route: the template of its path, if a route was found.
    :ivar traced: notes for the tracer.
    :ivar bytes_in: bytes read for it so far.
    """

    # What every request has is in slots. What few requests have is set on them only then: as long as at most thirty
    # names are set on any of them, an instance needs no dictionary of its own, which is a tenth of a waiting read.
    __slots__ = (
        "channel",
        "closing",
        "connection",
        "fields",
        "head",
        "line",
        "method",
        "path",
        "request_id",
        "started",
    )  # fmt: skip

    path: bytes

    body = b""
    origins: tuple[str, ...] | None = None
    challenge = b"Application"
    signed = b""
    use: Use | None = None
    serving: Cancellable | None = None
    ended: QueueyError | None = None
    lasts = False
    route = NOWHERE
    traced: Untraced = UNTRACED
    max_body: int | None = None
    bytes_in = 0
    _headers: Headers | None = None
    _pieces: Pieces | None = None
    _prepath: list[bytes] | None = None
    _postpath: list[bytes] | None = None

    def __init__(self, connection: Connection, head: Head | None, line: RequestLine | None, started: float) -> None:
        """Make the request that a head describes.

        :param head: what was read; ``None`` if that failed.
        :param line: the request line, which may have been read although the rest failed.
        :param started: when its first byte came, in seconds of the reactor.
        """
        head = head or Head(line or MALFORMED, {})
        self.connection = connection
        self.channel = connection  # type: ignore[assignment]
        self.head = head
        self.line = line = head.line
        self.method = line.method
        self.path = line.path
        self.fields = head.fields
        self.request_id = head.request_id or connection.hooks.new_id()
        self.started = started
        self.closing = head.closes

    # What came with it

    @property
    def known(self) -> bool:
        """Whether at least its first line could be read."""
        return self.line is not MALFORMED

    @property
    def clientproto(self) -> bytes:  # type: ignore[override]
        """The version of HTTP that the client speaks."""
        return b"HTTP/1.1" if self.line.persistent else b"HTTP/1.0"

    @property
    def client_host(self) -> str:
        """The address of the client, as far as that can be believed; ``unix`` for a local socket."""
        connection = self.connection
        forwarded_for = self.fields.get(b"x-forwarded-for")
        if forwarded_for is None or not connection.believed:
            return connection.peer
        return client_behind(connection.peer, forwarded_for, connection.forwarded)

    @property
    def trace(self) -> TraceContext | None:
        """The trace that the client says it is of (W3C Trace Context)."""
        return self.head.trace

    @property
    def uri(self) -> bytes:  # type: ignore[override]
        """The path with its query."""
        return self.path + b"?" + self.line.query if self.line.query else self.path

    @property
    def requestHeaders(self) -> Headers:
        """All header fields as twisted.web has them, made when they are asked for."""
        if self._headers is None:
            self._headers = Headers()
            for name, values in self.fields.items():
                self._headers.setRawHeaders(name, values)
        return self._headers

    @requestHeaders.setter
    def requestHeaders(self, headers: Headers) -> None:
        self._headers = headers

    def getHeader(self, key: AnyStr) -> AnyStr | None:
        """The last value of a header field."""
        if isinstance(key, bytes):
            values = self.fields.get(key.lower())
            return values[-1] if values else None
        values = self.fields.get(key.lower().encode("latin-1", "replace"))
        return values[-1].decode("utf-8", "replace") if values else None

    @property
    def args(self) -> dict[bytes, list[bytes]]:  # type: ignore[override]
        """The parameters of the query; only ``&`` parts them."""
        arguments: dict[bytes, list[bytes]] = {}
        for name, value in parse_qsl(self.line.query, keep_blank_values=True):
            arguments.setdefault(name, []).append(value)
        return arguments

    @property
    def content(self) -> BytesIO:  # type: ignore[override]
        """The whole body as a file, for what wants one."""
        return BytesIO(self.body)

    def decoded_path(self) -> str:
        """The path without its percent-encoding; an encoded slash then looks like any other."""
        return unquote_to_bytes(self.path).decode("utf-8", "replace")

    def getRequestHostname(self) -> bytes:
        """The host that was asked for, without its port."""
        return without_port(self.head.host or b"localhost")

    def hostnames(self) -> set[bytes]:
        """All hosts that the request names, without their ports: an absolute target names one beside the Host field."""
        return {self.getRequestHostname(), *map(without_port, self.fields.get(b"host", ()))}

    # Being handled

    def process(self) -> None:
        """Have the request answered: by what serves its head, once that is known, or by the resource for its path."""
        serve = self.head.serve
        if serve is None and self.path == b"*":
            self.answer(200, (), b'{"status": "ok"}')
            return
        try:
            if serve is not None:
                serve(self)
                return
            resource = self.connection.hooks.resource
            self.render(resource if resource.isLeaf else getChildForRequest(resource, self))
        except Exception:
            self.processingFailed(Failure())

    @property
    def prepath(self) -> list[bytes]:  # type: ignore[override]
        """The segments of the path that resources have taken."""
        if self._prepath is None:
            self._prepath = []
        return self._prepath

    @property
    def postpath(self) -> list[bytes]:
        """The segments that none has taken yet."""
        if self._postpath is None:
            self._postpath = self._segments()
        return self._postpath

    @postpath.setter
    def postpath(self, segments: list[bytes]) -> None:
        self._postpath = segments

    def _segments(self) -> list[bytes]:
        path = self.path[1:]
        segments = path.split(b"/")
        if b"%" in path:
            segments = [unquote_to_bytes(segment) for segment in segments]
        if not segments[0] and len(segments) > 1:
            # Klein drops empty segments at the beginning, so that //v1 would be /v1; no route begins like this.
            segments[0] = b"\0"
        return segments

    def render(self, resource: Any) -> None:
        """Let a resource answer."""
        try:
            result = resource.render(self)
        except UnsupportedMethod as error:
            self.setHeader(b"Allow", b", ".join(sorted(error.allowedMethods)))
            self.refuse(Refusal(405, "MethodNotAllowed", "This path does not take that method."), close=False)
            return
        if result is server.NOT_DONE_YET:
            return
        if not isinstance(result, bytes):
            raise TypeError(f"{resource!r} gave {type(result).__name__} instead of bytes")
        self.write(result)
        self.finish()

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer for a handler that failed, unless it was cancelled because the client has gone."""
        if self._gone and reason.check(CancelledError):
            return reason
        if isinstance(reason.value, BrokenBody):
            self.refuse(reason.value.refusal)
        else:
            self.log.failure("request-failed", "request {request_id} failed", reason, request_id=self.request_id)
            if self.counts is not None:
                self.counts.incident()
            text = f"Something went wrong here; the log has it under {self.request_id}."
            self.refuse(Refusal(500, "error", text), close=False)
        return reason

    def note(self) -> None:
        """Note from here on what is done for it, where requests are traced."""
        if self.connection.hooks.traces is not None:
            self.traced = Traced(self._seconds)

    def _seconds(self) -> float:
        return self.connection.hooks.reactor.seconds() - self.started

    def end(self, error: QueueyError) -> None:
        """Cancel the handler and answer the client with an error."""
        if self.serving is not None:
            self.ended = error
            self.serving.cancel()

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        return self._gone

    def refuse(self, refusal: Refusal, *, close: bool = True) -> None:
        """Answer with an error; if an answer has begun, cut the connection instead, so that the client notices.

        :param close: whether to close the connection, since what else comes on it is not to be trusted.
        """
        if self.finished or self._gone:
            return
        if self.startedWriting:
            self.abort()
            return
        self.closing = self.closing or close
        fields, body = self._render(refusal)
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields.items()]
        if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"Retry-After", b"1"))
        self.answer(refusal.status, headers, body)

    def _render(self, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
        known, refusal = self if self.known else None, with_limit(refusal, self.max_body)
        try:
            return self.connection.hooks.render(known, refusal)
        except Exception:
            self.log.failure(
                "answer-failed", "no answer could be made for {request_id}", Failure(), request_id=self.request_id
            )
            return render_refusal(known, refusal)

    # The body

    def choose_reading(self) -> bool:
        """Tell whether the handler reads the body in pieces, and settle how much of it there may be."""
        streams = self.connection.hooks.streams
        limit = self.max_body
        if streams is None or not streams(self):
            return False
        if self.max_body == limit:
            self.max_body = None
        self._pieces = Pieces(self.connection)
        return True

    @property
    def unread(self) -> int:
        """Bytes of the body that were received and not read yet."""
        return 0 if self._pieces is None else self._pieces.unread

    def take(self, piece: bytes, *, last: bool) -> None:
        """Take a piece of the body from the connection."""
        if self._pieces is not None:
            self._pieces.take(piece)
            if last:
                self._pieces.end(None)

    def break_body(self, refusal: Refusal) -> None:
        """Learn from the connection that no more of the body can be read."""
        if self._pieces is not None:
            self._pieces.end(BrokenBody(refusal))

    def read_piece(self) -> Deferred[bytes]:
        """Read on in the body.

        :return: fires with what has come, as soon as that is anything, and with ``b""`` at the end. Fails with
            :class:`BrokenBody`, or :class:`ClientGone`. May be cancelled.
        """
        if self._pieces is None:
            self._pieces = Pieces(self.connection)
            self._pieces.take(self.body)
            self._pieces.end(ClientGone() if self._gone else None)
        return self._pieces.read()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, piece by piece; fails as :meth:`read_piece` does."""
        while piece := await self.read_piece():
            yield piece

    # The end

    def _complete(self) -> None:
        self.finished = 1
        # The handler refers to the request as well: break the cycle, so that both are freed without the garbage
        # collector.
        self.serving = None
        if self._pieces is not None:
            self._pieces.end(ClientGone())
        if self._theirs:
            for waiting in self._notifications():
                waiting.callback(None)
        now = self.connection.hooks.reactor.seconds()
        report(self, self.code, now)
        self.connection.done(now)

    def connectionLost(self, reason: Failure) -> None:
        """Learn from the connection that the client has hung up."""
        self._gone = True
        # First what cancels the handler: what it waits for then fails with a cancellation as well.
        serving, self.serving = self.serving, None
        if serving is not None:
            serving.cancel()
        for waiting in self._notifications():
            waiting.errback(reason)
        if self._pieces is not None:
            self._pieces.end(ClientGone())
        report(self, self.code if self.startedWriting else 499, self.connection.hooks.reactor.seconds())

    def _notifications(self) -> list[Deferred[None]]:
        if not self._theirs:
            return []
        waiting, self.notifications = self.notifications, []
        return waiting
