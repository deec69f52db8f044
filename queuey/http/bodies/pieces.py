"""A request's body on its way to a handler that reads it in pieces."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from queuey.http.connection.limits import Refusal


class ClientGone(CancelledError):
    """The client hung up, so the answer is no longer needed.

    This is a kind of cancellation, because a hang-up cancels the handler; it is not logged as an error.
    """


class BrokenBody(Exception):
    """The rest of a request's body cannot be read: it is malformed, too large or too late.

    :ivar refusal: the error for the client.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class Source(Protocol):
    """The source of a body."""

    def wants_body(self) -> None:
        """Learn that the next piece is waited for."""

    def read_some(self) -> None:
        """Learn that a piece has been taken away."""


class Pieces:
    """A buffer between the connection, which receives a body in pieces, and the handler that reads it.

    :ivar unread: bytes that were received and not read yet.
    """

    def __init__(self, source: Source) -> None:
        self.unread = 0
        self._source = source
        self._waiting: deque[bytes] = deque()
        self._reader: Deferred[bytes] | None = None
        self._end: Exception | None = None
        self._ended = False

    def take(self, piece: bytes) -> None:
        """Take a piece from the connection."""
        if not piece:
            return
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback(piece)
        else:
            self._waiting.append(piece)
            self.unread += len(piece)

    def end(self, error: Exception | None) -> None:
        """End the body.

        :param error: the reason, if the body is not complete.
        """
        if self._ended:
            return
        self._ended = True
        self._end = error
        reader, self._reader = self._reader, None
        if reader is not None:
            self._last().chainDeferred(reader)

    def read(self) -> Deferred[bytes]:
        """The next piece; see :meth:`queuey.http.requests.request.Request.read_piece`."""
        if self._reader is not None:
            raise RuntimeError("The body is being read already.")
        if self._waiting:
            piece = self._waiting.popleft()
            self.unread -= len(piece)
            self._source.read_some()
            return succeed(piece)
        if not self._ended:
            self._source.wants_body()
        if self._ended:
            return self._last()
        self._reader = Deferred(self._forget)
        return self._reader

    def _last(self) -> Deferred[bytes]:
        return succeed(b"") if self._end is None else fail(self._end)

    def _forget(self, reader: Deferred[bytes]) -> None:
        self._reader = None
