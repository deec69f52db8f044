"""Cross-origin resource sharing: which pages' scripts may read the answers (the Fetch standard, CORS protocol)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from queuey.http.answers import problems
from queuey.http.wire import Request
from queuey.model.applications.origins import ANY
from queuey.model.applications.origins import allowed as allows

_EXPOSED: Final = b"Allow, Date, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id"
_EXPOSED_V2: Final = (
    b"Accept-Patch, Allow, Content-Range, Date, ETag, Idempotency-Replayed, Link, Location, Queuey-Expires, "
    b"Queuey-Headers, Queuey-Id, Queuey-Partition, Queuey-Timestamp, RateLimit, RateLimit-Policy, Retry-After, "
    b"WWW-Authenticate, X-Request-Id"
)
_ALLOWED: Final = b"Authorization, Content-Type, X-Partition, X-Request-Id, X-TTL"
_ALLOWED_V2: Final = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, Last-Event-ID, "
    b"Queuey-Headers, Range, X-Request-Id, traceparent, tracestate"
)
_MAX_AGE: Final = b"600"
_VARY: Final = ((b"Vary", b"Origin"),)
_VARY_V2: Final = ((b"Vary", b"Origin, Accept"),)


@attrs.frozen
class Cors:
    """Adds the headers that let a page of a configured origin read an answer, errors and early refusals included.

    :ivar origins: returns the configured origins of an application; none if it does not exist.
    """

    origins: Callable[[str], tuple[str, ...]]

    def add_headers(self, request: Request, second: bool) -> None:
        """Add the headers to an answer that is about to be written.

        :param second: whether it is one of the second API.
        """
        origins = request.origins
        if origins is None:
            origins = self.origins(_application(request))
        if second or origins:
            request.added += _VARY_V2 if second else _VARY
        if not origins:
            return
        origin = _origin(request)
        if origin is None or not allows(origin, origins):
            return
        allowed = b"*" if ANY in origins else origin.encode("latin-1")
        request.added += (
            (b"Access-Control-Allow-Origin", allowed),
            (b"Access-Control-Expose-Headers", _EXPOSED_V2 if second else _EXPOSED),
        )

    def preflight(self, request: Request, methods: str) -> bool:
        """Set the headers of the answer to a preflight request. Return whether it was one, from an allowed origin.

        :param methods: what the path takes, separated by commas.
        """
        origins = self.origins(_application(request))
        asks = b"access-control-request-method" in request.fields
        if not asks or not allows(_origin(request) or "", origins):
            return False
        request.setHeader(b"Access-Control-Allow-Methods", methods.encode("ascii"))
        allowed = _ALLOWED_V2 if problems.wanted(request) else _ALLOWED
        request.setHeader(b"Access-Control-Allow-Headers", allowed)
        request.setHeader(b"Access-Control-Max-Age", _MAX_AGE)
        return True


def _origin(request: Request) -> str | None:
    values = request.fields.get(b"origin")
    return values[0].decode("latin-1") if values else None


def _application(request: Request) -> str:
    """The application that the path names, whether or not a route was found for it."""
    if request.application is not None:
        return request.application
    parts = request.decoded_path().split("/", 3)
    return parts[2] if len(parts) > 2 and parts[1] in ("v1", "v2") else ""
