"""The answer to a request: whole, or in pieces as fast as the client takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server

from queuey.http.bodies.pieces import ClientGone
from queuey.http.connection.hooks import Connection
from queuey.http.heads.head import RequestLine
from queuey.http.requests.answering import (
    BODILESS,
    BY_LENGTH,
    IN_CHUNKS,
    Field,
    check_own,
    make_template,
    merge_fields,
    template_of,
)
from queuey.http.requests.counting import Counts
from queuey.logs import EventLog

_MAX_JOINED: Final = 32 * 1024
"""Up to this size, joining data with the data before it is cheaper than writing two pieces."""
MALFORMED: Final = RequestLine(b"-", b"-", b"", b"", None, True)
"""Replaces a request line that could not be parsed."""


class Response(server.Request):
    """The write side of a request; :class:`queuey.http.requests.request.Request` is its only subclass.

    :ivar closing: whether the connection is closed after the answer.
    :ivar added: fields of the answer in addition to those of :meth:`answer` and ``setHeader``; if one of these has the
        same name, that one is sent instead.
    :ivar bytes_out: bytes written so far.
    """

    defaultContentType = b"application/json"
    log = EventLog(Logger(namespace="queuey.http"))

    connection: Connection
    line: RequestLine
    request_id: str
    closing: bool
    application: str | None = None
    queue: str | None = None
    added: tuple[Field, ...] = ()
    bytes_out = 0
    _own: tuple[Field, ...] = ()
    _theirs = False
    _gone = False
    _hooked = False
    _held: bytes | None = None
    _promised: int | None = None

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

    @property
    def counts(self) -> Counts | None:
        """The metrics, if they are kept."""
        return self.connection.hooks.counts

    def count_refused(self, code: str) -> None:
        """Count an answer with a problem, unless the client has gone."""
        if self.counts is not None and not self._gone:
            self.counts.refused(self.application, code)

    def count_messages(self, number: int, size: int, names: Sequence[str] | None = None) -> None:
        """Count messages that were written with the answer, once they are handed over to the transport.

        :param size: bytes of their bodies.
        :param names: the name of the queue of each message, if they may be of several.
        """
        counts, application = self.connection.hooks.counts, self.application
        if counts is None or application is None or self._gone or not number or self.method == b"HEAD":
            return
        if not self.connection.blocked:
            counts.messages(application, names or self.queue, number, size)
            return
        handed_over = self.connection.writable()
        handed_over.addCallbacks(lambda _: counts.messages(application, names or self.queue, number, size), _hung_up)

    def abort(self) -> None:
        """Cut the connection at once."""
        if not self._gone and not self.finished:
            self.connection.abort()

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
            self.bytes_out += len(data)
            self.connection.write(data)
        else:
            self._put(head)
            self._put(body)
        self._complete()

    def add_own_field(self, name: bytes, value: bytes) -> None:
        """Add a field whose value is seldom that of another answer; no other way says one of that name."""
        self._own += ((name, value),)

    def begin(self, status: int, headers: Sequence[Field]) -> None:
        """Write the head of an answer that is sent in pieces, unless the client has hung up.

        It takes less memory than ``setHeader``, which makes all attributes of twisted.web's own request.

        :param headers: as for :meth:`answer`.
        """
        if self.finished or self.startedWriting:
            raise RuntimeError("This request has been answered.")
        if self._gone:
            return
        self.code = status
        self.chunked = int(self.line.persistent and self.method != b"HEAD")
        head = self._head(headers, None)
        self.startedWriting = 1
        self._put(head)

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
        self.bytes_out += len(data)
        self.connection.write(data)

    def _head(self, headers: Sequence[Field], length: int | None, own: tuple[Field, ...] = ()) -> bytes:
        """The status line and the header.

        :param length: of the body; ``None`` if it is not known.
        :param own: as for :meth:`answer`.
        """
        connection, code = self.connection, self.code
        hook = connection.hooks.before_head
        if hook is not None and not self._hooked and self.line is not MALFORMED:
            self._hooked = True
            try:
                hook(self)  # type: ignore[arg-type]  # it is always a Request
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

    def _complete(self) -> None:
        """Learn that the answer is complete."""
        raise NotImplementedError


def _hung_up(failure: Failure) -> None:
    """Ignore the failure if the client has hung up."""
    failure.trap(ClientGone)
