"""One request as a handler sees it: its body, whole or in pieces, and its answer, whole or in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from http import HTTPStatus
from io import BytesIO
from typing import Any, AnyStr, Final, Protocol
from urllib.parse import parse_qsl, unquote_to_bytes

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.error import UnsupportedMethod
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, getChildForRequest

from queuey.core.rates import Use
from queuey.errors import QueueyError
from queuey.http.answering import (
    BODILESS,
    BY_LENGTH,
    IN_CHUNKS,
    Field,
    check_own,
    make_template,
    merge_fields,
    template_of,
)
from queuey.http.counting import NOWHERE, Counts
from queuey.http.forwarded import Network, client_behind
from queuey.http.head import Head, RequestLine
from queuey.http.limits import AccessLine, Refusal, render_refusal
from queuey.http.pieces import BrokenBody, ClientGone, Pieces, Source
from queuey.http.targets import without_port, without_secrets
from queuey.http.traced import UNTRACED, Traced, Untraced
from queuey.interfaces import ITraces
from queuey.logs import EventLog
from queuey.model.served import Served
from queuey.model.trace import TraceContext

_MAX_LOGGED: Final = 1024
_MAX_JOINED: Final = 32 * 1024
"""Up to this size, joining data to what stands before it is cheaper than handing over two pieces."""
_MALFORMED: Final = RequestLine(b"-", b"-", b"", b"", None, True)


Render = Callable[["Request | None", Refusal], tuple[Mapping[str, str], bytes]]
"""Makes the header fields and the body of a refusal. The request is given where at least its path is known."""


Look = Callable[["Request", Callable[[], None]], None]
"""Looks at a request whose head is complete and whose body is not: it answers the request without its body, or calls
back when the body is to be read."""


@attrs.frozen
class Hooks:
    """What the door is given from outside; see :class:`queuey.http.wire.Site`."""

    reactor: IReactorTime
    resource: IResource
    new_id: Callable[[], str]
    access: Callable[[AccessLine], None]
    render: Render
    before_head: Callable[[Request], None] | None
    date: Callable[[], bytes]
    streams: Callable[[Request], bool] | None
    counts: Counts | None
    traces: ITraces | None
    look: Look | None


class Cancellable(Protocol):
    """An operation that can be cancelled when its client no longer waits for it."""

    def cancel(self) -> None:
        """Cancel the operation."""


class Connection(Source, Protocol):
    """What a request needs of the connection that it came on, besides what twisted.web's Request does.

    :ivar peer: the address of the other end; ``unix`` for a local socket.
    :ivar forwarded: the proxies whose X-Forwarded-For is believed.
    :ivar believed: whether the other end is one of them.
    """

    hooks: Hooks
    peer: str
    forwarded: Sequence[Network]
    believed: bool

    @property
    def ending(self) -> bool:
        """Whether the connection cannot take another request after this one."""

    @property
    def blocked(self) -> bool:
        """Whether something waits to be handed over, or the transport has enough."""

    def write(self, data: bytes, /) -> None:
        """Send bytes."""

    def writable(self) -> Deferred[None]:
        """Wait until more may be sent."""

    def done(self) -> None:
        """Learn that the answer is complete."""

    def abort(self) -> None:
        """Cut the connection."""


class Request(server.Request):
    """A request and its answer.

    :ivar head: the parsed head, which other requests may share; if parsing failed, what is known of it instead.
    :ivar request_id: the client's own id for the request, if it is valid, or a new one; always sent in the answer.
    :ivar body: the whole body, unless the handler reads it in pieces.
    :ivar max_body: the limit of the body in bytes, or ``None``; may be changed before the body is read.
    :ivar application: the application of the request, for the access log; set by handlers, as ``queue`` is.
    :ivar challenge: the authentication schemes that are accepted at its path, for a 401 answer.
    :ivar signed: the signature and the parameters that it signs, cut out of the query; ``line.query`` has the rest
        then.
    :ivar use: the rate counters of the request, if its application has rates; set by handlers.
    :ivar serving: the running handler, which is cancelled if the client hangs up before the answer; set by handlers.
    :ivar ended: the reason why the handler was cancelled, if it was not a hang-up.
    :ivar route: the template of its path, if a route was found.
    :ivar traced: notes for the tracer.
    :ivar closing: whether the connection is closed after the answer.
    :ivar added: fields of the answer in addition to those of :meth:`answer` and ``setHeader``; if ``answer`` gets a
        field of the same name, that one is sent instead.
    :ivar bytes_in: bytes read for it so far.
    """

    defaultContentType = b"application/json"
    path: bytes
    log = EventLog(Logger(namespace="queuey.http"))

    # What few requests have is an attribute of theirs only then: up to thirty attributes need no dictionary, which is
    # a tenth of all that a waiting read takes.
    body = b""
    challenge = b"Application"
    signed = b""
    use: Use | None = None
    serving: Cancellable | None = None
    ended: QueueyError | None = None
    route = NOWHERE
    traced: Untraced = UNTRACED
    application: str | None = None
    queue: str | None = None
    max_body: int | None = None
    bytes_in = 0
    added: tuple[Field, ...] = ()
    _own: tuple[Field, ...] = ()
    _bytes_out = 0
    _theirs = False
    _headers: Headers | None = None
    _gone = False
    _hooked = False
    _held: bytes | None = None
    _promised: int | None = None
    _pieces: Pieces | None = None
    _prepath: list[bytes] | None = None
    _postpath: list[bytes] | None = None

    def __init__(self, connection: Connection, head: Head | None, line: RequestLine | None, started: float) -> None:
        """Make the request that a head describes.

        :param head: what was read; ``None`` if that failed.
        :param line: the request line, which may have been read although the rest failed.
        :param started: when its first byte came, in seconds of the reactor.
        """
        head = head or Head(line or _MALFORMED, {})
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

    def __getattr__(self, name: str) -> Any:
        """Set the attributes of twisted.web's own constructor when one of them is first used. Most requests never use
        them, and setting them takes a twentieth of the time of a POST."""
        if self._theirs:
            raise AttributeError(f"A request has no {name}.")
        self._theirs = True
        ours = {"_headers": None, **vars(self)}
        super().__init__(self.channel, parsePOSTFormSubmission=False)
        vars(self).update(ours)
        return getattr(self, name)

    # What came with it

    @property
    def known(self) -> bool:
        """Whether at least its first line could be read."""
        return self.line is not _MALFORMED

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
    def counts(self) -> Counts | None:
        """The metrics, if they are kept."""
        return self.connection.hooks.counts

    def count_refused(self, code: str) -> None:
        """Count an answer with a problem, unless the client has gone."""
        if self.counts is not None and not self._gone:
            self.counts.refused(self.application, code)

    def count_messages(self, number: int, size: int) -> None:
        """Count messages that were written with the answer, once they are handed over to the transport.

        :param size: bytes of their bodies.
        """
        counts, application = self.connection.hooks.counts, self.application
        if counts is None or application is None or self._gone or not number or self.method == b"HEAD":
            return
        if not self.connection.blocked:
            counts.messages(application, number, size)
            return
        handed_over = self.connection.writable()
        handed_over.addCallbacks(lambda _: counts.messages(application, number, size), _hung_up)

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        return self._gone

    def refuse(self, refusal: Refusal, *, close: bool = True) -> None:
        """Answer with a refusal; where an answer has begun, cut the connection instead, so that it shows.

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
        known = self if self.known else None
        try:
            return self.connection.hooks.render(known, refusal)
        except Exception:
            self.log.failure(
                "answer-failed", "no answer could be made for {request_id}", Failure(), request_id=self.request_id
            )
            return render_refusal(known, refusal)

    def abort(self) -> None:
        """Cut the connection at once."""
        if not self._gone and not self.finished:
            self.connection.abort()

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

    # The answer

    def answer(self, status: int, headers: Sequence[Field], body: bytes, own: tuple[Field, ...] = ()) -> None:
        """Send a complete answer, unless the client has hung up.

        :param headers: fields in addition to those of ``setHeader``, or in their place if the names are the same.
        :param own: more fields, whose values differ between answers; the rest of the head comes from a cached template.
        """
        if self.finished or self.startedWriting:
            raise RuntimeError("This request has been answered.")
        if self._gone:
            return
        self.code = status
        size = len(body)
        head = self._head(headers, size, own)
        self.startedWriting = 1
        if self.method == b"HEAD" or status in BODILESS:
            self._put(head)
        elif size <= _MAX_JOINED:
            data = head + body
            self._bytes_out += len(data)
            self.connection.write(data)
        else:
            self._put(head)
            self._put(body)
        self._complete()

    def add_own_field(self, name: bytes, value: bytes) -> None:
        """Add a field whose value is seldom that of another answer; no other way says one of that name."""
        self._own += ((name, value),)

    def has_field(self, name: bytes) -> bool:
        """Whether the answer has a field of that name so far."""
        return self._theirs and self.responseHeaders.hasHeader(name)

    def send(self, data: bytes) -> Deferred[None]:
        """Write a piece of the answer, whose status and headers have been set before.

        :return: fires when the client is ready to take more. Fails with :class:`ClientGone`. May be cancelled.
        """
        if self._gone:
            return fail(ClientGone())
        self._begin()
        self._piece(data)
        return self.connection.writable()

    def write(self, data: bytes) -> None:
        """Write a piece of the answer, as twisted.web has it.

        The first piece is kept until there is a second one or the answer is finished, since then its length is known.
        Who needs it to leave at once uses :meth:`send`.
        """
        if self._gone:
            return
        if not self.startedWriting and not self.finished and self._held is None:
            self._held = data
        else:
            self._begin()
            self._piece(data)

    def finish(self) -> None:
        """End the answer, unless it is complete or the client has hung up.

        Klein finishes every request, also one that an error handler has answered completely.
        """
        if self.finished or self._gone:
            return
        if not self.startedWriting:
            self.answer(self.code, (), self._held or b"")
        elif self._promised:
            self.log.error(
                "answer-short",
                "the answer to request {request_id} is {missing} bytes short of its Content-Length",
                request_id=self.request_id,
                missing=self._promised,
            )
            self.abort()
        else:
            if self.chunked:
                self._put(b"0\r\n\r\n")
            self._complete()

    def _begin(self) -> None:
        """Write the head of an answer whose length may be unknown, and the piece that was kept back."""
        if self.finished:
            raise RuntimeError("This request has been answered.")
        if self.startedWriting:
            return
        length = self.responseHeaders.getRawHeaders(b"Content-Length")
        bodiless = self.method == b"HEAD" or self.code in BODILESS
        if length is not None and not bodiless:
            self._promised = int(length[0])
        self.chunked = int(self.line.persistent and length is None and not bodiless)
        head = self._head((), None if length is None else int(length[0]))
        self.startedWriting = 1
        self._put(head)
        held, self._held = self._held, None
        if held:
            self._piece(held)

    def _piece(self, data: bytes) -> None:
        if not data or self.method == b"HEAD" or self.code in BODILESS:
            return
        if self._promised is not None:
            self._promised -= len(data)
        if not self.chunked:
            self._put(data)
        elif len(data) <= _MAX_JOINED:
            self._put(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._put(b"%x\r\n" % len(data))
            self._put(data)
            self._put(b"\r\n")

    def _put(self, data: bytes) -> None:
        self._bytes_out += len(data)
        self.connection.write(data)

    def _head(self, headers: Sequence[Field], length: int | None, own: tuple[Field, ...] = ()) -> bytes:
        """The status line and the header.

        :param length: of the body; ``None`` if it is not known.
        :param own: as for :meth:`answer`.
        """
        connection, code = self.connection, self.code
        hook = connection.hooks.before_head
        if hook is not None and not self._hooked and self.line is not _MALFORMED:
            self._hooked = True
            try:
                hook(self)
            except Exception:
                self._hook_failed()
        has_body = length != 0 and code not in BODILESS
        body_type = self.defaultContentType if has_body else b""
        framing = b""
        if length is not None and code not in BODILESS:
            framing = BY_LENGTH
        elif self.chunked:
            framing = IN_CHUNKS
        own += self._own
        names, values = check_own(own) if own else ((), ())
        if self._theirs:
            template = self._their_template(headers, names, body_type, framing)
        else:
            self.closing = closing = self.closing or connection.ending
            template = template_of(code, tuple(headers), names, self.added, body_type, framing, closing)
        date, id = connection.hooks.date(), self.request_id.encode("ascii", "replace")
        return template % ((date, id, *values, length) if framing is BY_LENGTH else (date, id, *values))

    def _their_template(
        self, headers: Sequence[Field], names: tuple[bytes, ...], body_type: bytes, framing: bytes
    ) -> bytes:
        """Return the template of an answer if twisted.web's own attributes may hold some of its fields."""
        fields = merge_fields(headers, names, self.added, self.responseHeaders, self.cookies, body_type)
        wishes = self.responseHeaders.getRawHeaders(b"Connection", ())
        self.closing = self.closing or b"close" in wishes or self.connection.ending
        return make_template(self.code, fields, framing, self.closing)

    def _hook_failed(self) -> None:
        self.log.failure(
            "headers-failed",
            "no headers were added to the answer to {request_id}",
            Failure(),
            request_id=self.request_id,
        )

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
        self._tell(self.code)
        self.connection.done()

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
        self._tell(self.code if self.startedWriting else 499)

    def _notifications(self) -> list[Deferred[None]]:
        if not self._theirs:
            return []
        waiting, self.notifications = self.notifications, []
        return waiting

    def _tell(self, status: int) -> None:
        connection, head = self.connection, self.head
        hooks = connection.hooks
        seconds = hooks.reactor.seconds() - self.started
        if hooks.counts is not None:
            hooks.counts.request(self.route, self.method, status, seconds)
        if head.shown is None:
            head.shown = self._shown()
        method, target = head.shown
        hooks.access(
            AccessLine(
                self.request_id,
                self.client_host if connection.believed and b"x-forwarded-for" in head.fields else connection.peer,
                method,
                target,
                status,
                self.bytes_in,
                self._bytes_out,
                seconds,
                self.application,
                self.queue,
                None if head.trace is None and self.traced is UNTRACED else self._trace_id(status, seconds),
            )
        )

    def _shown(self) -> tuple[str, str]:
        """The method and the target as the log has them."""
        target = self.line.target
        if b"?" in target or b"%" in target:
            target = without_secrets(target)
        return str(self.method, "ascii"), str(target[:_MAX_LOGGED], "ascii", "replace")

    def _trace_id(self, status: int, seconds: float) -> str | None:
        """Report the request to the tracer and return the id of its trace, if it has one."""
        parent, traces = self.trace, self.connection.hooks.traces
        if traces is not None and self.traced is not UNTRACED:
            told = traces.served(self._served(status, seconds, parent))
            if told is not None:
                return told
        return None if parent is None else parent.trace_id

    def _served(self, status: int, seconds: float, parent: TraceContext | None) -> Served:
        return Served(
            self.request_id,
            self.method.decode("ascii"),
            self.route.replace("<", "{").replace(">", "}"),
            self.path[:_MAX_LOGGED].decode("ascii", "replace"),
            "https" if self.isSecure() else "http",
            "1.1" if self.line.persistent else "1.0",
            self.client_host,
            status,
            seconds,
            self.application,
            self.queue,
            parent,
            self.traced.work,
        )


def _hung_up(failure: Failure) -> None:
    """Ignore the failure if the client has hung up."""
    failure.trap(ClientGone)
