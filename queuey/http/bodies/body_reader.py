"""The part of a connection that reads the body of a request, for a handler that wants it whole or in pieces."""

from __future__ import annotations

from math import inf
from typing import Final

from queuey.http.bodies.body import Body, LostBody
from queuey.http.connection.lifetime import ChannelOwner, ConnectionLifetime, Stage
from queuey.http.connection.limits import STOPPING, TOO_LARGE, Refusal, Refused
from queuey.http.heads.head import Head
from queuey.http.requests.request import Request

READ_AHEAD: Final = 64 * 1024
"""Bytes that may wait for a handler before no more are read."""


class BodyReader(ConnectionLifetime):
    """Reads the body of the current request; :class:`queuey.http.connection.channel.Channel` is its only subclass."""

    __slots__ = ("_body", "_collected", "_expects_continue", "_paused", "_request")

    def __init__(self, site: ChannelOwner) -> None:
        super().__init__(site)
        self._request: Request | None = None
        self._body: Body | None = None
        self._collected = bytearray()
        self._expects_continue = False
        self._paused = False

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
        """Send ``100 Continue`` to a client that waits for it."""
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
        """Fail the handler's read: the rest of the body cannot be read."""
        self.deadline = inf
        self._body = LostBody()
        if self._request is not None:
            self._request.break_body(refusal)

    def _resume(self) -> None:
        """Process the data that has waited."""
        raise NotImplementedError
