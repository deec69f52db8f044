"""Limits of the HTTP server, refusals, and the line of the log about a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import attrs
import msgspec


@attrs.frozen
class Limits:
    """Limits on the size and the duration of a client's requests.

    :ivar max_body: bytes of a request's body.
    :ivar max_header: bytes of a request line, and again of all header fields together.
    :ivar header_timeout: seconds from the first byte of a request to the end of its header.
    :ivar request_timeout: seconds from the first byte of a request to the end of its body; if a handler reads the body
        in pieces, seconds to wait for each piece.
    :ivar idle_timeout: seconds between two requests, and seconds for which a client may read no byte of its answer.
    :ivar max_connections: how many connections may be open at once.
    """

    max_body: int
    max_header: int
    header_timeout: float
    request_timeout: float
    idle_timeout: float
    max_connections: int


@attrs.frozen
class Refusal:
    """The error that a client gets if the HTTP server itself refuses its request.

    :ivar status: the HTTP status code.
    :ivar key: the code by which clients recognize the error.
    :ivar text: one sentence for the sender of the request.
    """

    status: int
    key: str
    text: str


class Refused(Exception):
    """Reading a request ended because it has to be refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


def bad_request(text: str) -> Refused:
    """The error for a request that is not valid HTTP."""
    return Refused(Refusal(400, "BadRequest", text))


def uri_too_long(most: int) -> Refused:
    """Return the error for a request line of more than ``most`` bytes."""
    return Refused(Refusal(414, "URITooLong", f"The request line is too long; at most {most} bytes are allowed."))


def headers_too_large(most: str) -> Refused:
    """Return the error for header fields beyond a limit, such as ``"100 fields"``."""
    text = f"The header fields of the request are too large or too many; at most {most} are allowed."
    return Refused(Refusal(431, "HeadersTooLarge", text))


TOO_LARGE: Final = Refusal(413, "RequestTooLarge", "The body of the request is too large.")
TIMEOUT: Final = Refusal(408, "RequestTimeout", "The request did not arrive in time.")
OVERLOADED: Final = Refusal(503, "Overloaded", "There are too many connections; try again later.")
STOPPING: Final = Refusal(503, "Overloaded", "The server is stopping; try again later.")


def with_limit(refusal: Refusal, max_body: int | None) -> Refusal:
    """Return a refusal whose text also names the limit in bytes, if a body is too large for a limit that is known."""
    if refusal is not TOO_LARGE or max_body is None:
        return refusal
    return attrs.evolve(refusal, text=f"The body of a request has at most {max_body} bytes here.")


def render_refusal(request: object, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
    """The answer to a refused request in the shape of the first API: its header fields and its body."""
    document = {"status": "error", "error_msg": {refusal.key: refusal.text}}
    return {"Content-Type": "application/json"}, json.dumps(document, separators=(",", ":")).encode("ascii")


class AccessLine(msgspec.Struct, frozen=True, gc=False):
    """The line of the log about one request.

    :ivar client: the client's address; ``unix`` for a local socket.
    :ivar method: ``-`` where the request was not understood so far, unless it is a HEAD; and so for the path.
    :ivar path: the request's target as it was sent, with its query, cut to 1,024 characters.
    :ivar status: of the answer; 499 if the client hung up before it began.
    :ivar bytes_in: bytes read for it, head and framing included.
    :ivar bytes_out: bytes written for it, head and framing included.
    :ivar seconds: from the first byte read to the last byte handed to the transport.
    :ivar application: the application that it was about, where a handler found that out; and so for the queue.
    :ivar trace: the id of the trace that it is of, where there is one.
    """

    request_id: str
    client: str
    method: str
    path: str
    status: int
    bytes_in: int
    bytes_out: int
    seconds: float
    application: str | None
    queue: str | None
    trace: str | None = None
