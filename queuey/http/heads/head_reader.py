"""Collect the head of a request from bytes; the result does not depend on how they were split on their way."""

from __future__ import annotations

from queuey.http.connection.limits import Refused, headers_too_large, uri_too_long
from queuey.http.heads.head import Head, RequestLine, illegal, legal_lines, legal_text, parse_fields, parse_request_line


class HeadReader:
    """Collects the head of one request.

    :ivar line: the request line, once it is there.
    :ivar rest: what came behind the head, once that is complete.
    :ivar size: bytes taken so far for this head.
    """

    __slots__ = ("_buffer", "_checked", "_limit", "_seen", "_start", "line", "rest", "size")

    def __init__(self, limit: int) -> None:
        """Start a head.

        :param limit: bytes that the request line, and again that all fields together, may have.
        """
        self.line: RequestLine | None = None
        self.rest = b""
        self.size = 0
        self._limit = limit
        self._buffer = bytearray()
        self._start = 0
        self._seen = 0
        self._checked = 0

    @property
    def pending(self) -> bool:
        """Whether anything but the one empty line that may precede a request has come."""
        return self.line is not None or len(self._buffer) > self._start

    @property
    def asks_for_head(self) -> bool:
        """Whether a request whose line is incomplete or was refused is a HEAD, so that the answer has no body.

        The client would take a body for the answer to its next request.
        """
        return self._buffer.startswith(b"HEAD ", self._start)

    def feed(self, data: bytes) -> Head | None:
        """Take received data.

        :return: the head, once it is complete; then ``rest`` is what came behind it.
        :raise Refused: as soon as it is certain that no head will come of it.
        """
        view: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            view = self._buffer
        self.size = len(view)
        try:
            line = self.line or self._read_line(view)
        except Refused:
            if view is data:
                self._buffer += data
            raise
        section = None if line is None else self._read_section(view)
        if line is not None and section is not None:
            return Head(line, parse_fields(section))
        self._seen = len(view)
        if view is data:
            self._buffer += data
        return None

    def _read_line(self, view: bytes | bytearray) -> RequestLine | None:
        if self._start == 0 and view[:2] == b"\r\n":
            # Some clients end a body with an empty line more than they should; RFC 9112 asks to bear with one.
            self._start = 2
        start = self._start
        bound = start + self._limit + 2
        end = view.find(b"\r\n", max(start, self._seen - 1), bound)
        if end < 0:
            self._check(view, bound)
            if len(view) >= bound:
                raise uri_too_long(self._limit)
            return None
        text = bytes(view[start:end])
        if not legal_text(text):
            raise illegal()
        self.line = parse_request_line(text)
        self._start = self._checked = end + 2
        return self.line

    def _read_section(self, view: bytes | bytearray) -> bytes | None:
        start = self._start
        bound = start + self._limit + 2
        stop = view.find(b"\r\n\r\n", max(start - 2, self._seen - 3), bound)
        if stop < 0:
            self._check(view, bound)
            if len(view) >= bound:
                raise headers_too_large(f"{self._limit} bytes")
            return None
        section = bytes(view[start:stop])
        if not legal_lines(section):
            raise illegal()
        self.rest = bytes(view[stop + 4 :])
        self.size = stop + 4
        return section

    def _check(self, view: bytes | bytearray, bound: int) -> None:
        """Refuse illegal characters as soon as they come: who sends them may wait for an answer before a line ends."""
        begin = max(self._checked, self._start)
        new = view[begin:bound]
        if new.endswith(b"\r"):
            new = new[:-1]
        self._checked = begin + len(new)
        if not legal_lines(new):
            raise illegal()
