"""A case of the corpus of byte streams: what is sent, and how it must be read."""

from __future__ import annotations

from enum import Enum

import attrs

HOST = b"Host: a\r\n"


SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n"


END = b"0\r\n\r\n"


Seen = tuple[bytes, bytes, bytes]
"""A request as a handler sees it: method, path, body."""


POST: Seen = (b"POST", b"/", b"")


GET: Seen = (b"GET", b"/", b"")


class Outcome(Enum):
    """What becomes of the connection."""

    REFUSED = "the last answer is a refusal, nothing behind it is read, and the connection closes"
    KEPT = "each request is answered, and the next one on this connection is read"
    CLOSED = "each request is answered, nothing behind them is read, and the connection closes"
    WAITING = "each request is answered, and the rest is still waited for"


@attrs.frozen
class Case:
    """One row of the table.

    :ivar reason: who would read it in another way, or why there is only one way.
    :ivar seen: the requests that handlers see, all of them.
    :ivar status: of the refusal, if it is one.
    """

    data: bytes
    reason: str
    seen: tuple[Seen, ...] = ()
    outcome: Outcome = Outcome.REFUSED
    status: int = 400


def post(fields: bytes, body: bytes = b"", line: bytes = b"POST / HTTP/1.1") -> bytes:
    """A request of these lines of fields, each with its CR LF."""
    return line + b"\r\n" + HOST + fields + b"\r\n" + body


def get(fields: bytes = HOST, line: bytes = b"GET / HTTP/1.1") -> bytes:
    """A request without a body, of these lines of fields; another follows it."""
    return line + b"\r\n" + fields + b"\r\n" + SMUGGLED


def read_as(body: bytes, *more: Seen) -> tuple[Seen, ...]:
    """That a POST with this body is seen, and others after it."""
    return ((b"POST", b"/", body), *more)
