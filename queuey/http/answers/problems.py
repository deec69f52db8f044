"""Errors of the v2 API as problem documents (RFC 9457): one table of codes, and what each error of ours is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import attrs

from queuey import errors
from queuey.http.answers.encoding import json_line
from queuey.http.connection.limits import OVERLOADED, Refusal
from queuey.http.wire import Request

TYPE: Final = "urn:queuey:problem:"
"""The beginning of the ``type`` of a problem; its code follows."""

MEDIA_TYPE: Final = "application/problem+json"

Header = tuple[bytes, bytes]


@attrs.frozen
class Code:
    """Members that all problems with one code share.

    :ivar title: the meaning in a few words.
    :ivar retryable: whether the same request may succeed later.
    :ivar unknown: whether it is unknown if a part of the request was stored; if false, no part was.
    :ivar partly: whether a part of the request may have been done in spite of the error.
    """

    status: int
    title: str
    retryable: bool = False
    unknown: bool = False
    partly: bool = False


CODES: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "malformed-request": Code(400, "The request is not valid HTTP"),
        "invalid-parameters": Code(400, "A parameter or header field is not valid"),
        "invalid-body": Code(400, "The body is not valid"),
        "invalid-cursor": Code(400, "The cursor is not valid"),
        "cursor-mismatch": Code(400, "The cursor belongs to another read"),
        "too-many-queues": Code(400, "More queues were chosen than one read may look at"),
        "unauthorized": Code(401, "Credentials are missing or not valid", partly=True),
        "forbidden": Code(403, "This caller may not do that", partly=True),
        "nothing-here": Code(404, "There is nothing at this path"),
        "no-such-application": Code(404, "There is no such application", partly=True),
        "no-such-queue": Code(404, "There is no such queue", partly=True),
        "no-such-group": Code(404, "There is no such consumer group", partly=True),
        "no-such-push": Code(404, "There is no such push"),
        "no-such-schedule": Code(404, "There is no such schedule"),
        "no-such-message": Code(404, "There is no such message"),
        "method-not-allowed": Code(405, "The path does not take this method"),
        "request-timeout": Code(408, "The request did not arrive in time", retryable=True),
        "partitions-shrink": Code(409, "A queue cannot have fewer partitions than before"),
        "queue-closed": Code(409, "The queue is closed, and takes no messages", partly=True),
        "id-out-of-range": Code(409, "A new message cannot have this id"),
        "key-in-use": Code(409, "A request with this Idempotency-Key is under way", retryable=True),
        "stale-receipts": Code(409, "Some receipts are no longer valid, or never were", partly=True),
        "not-promised": Code(409, "This cannot be guaranteed here"),
        "conflict": Code(409, "Another request changed the same thing at the same time", retryable=True),
        "queue-replaced": Code(410, "The queue of the cursor was deleted"),
        "precondition-failed": Code(412, "A condition of the request does not hold"),
        "too-large": Code(413, "The body is too large"),
        "uri-too-long": Code(414, "The request line is too long"),
        "unsupported-media-type": Code(415, "The type of the body is not accepted here"),
        "content-encoding": Code(415, "The Content-Encoding of the body is not accepted here"),
        "range-not-satisfiable": Code(416, "The range is outside the message"),
        "key-reused": Code(422, "The Idempotency-Key was used for another request", partly=True),
        "too-many-requests": Code(429, "A limit of requests, messages or waits is reached", retryable=True),
        "headers-too-large": Code(431, "The header fields are too large or too many"),
        "internal": Code(500, "Something went wrong in the server", unknown=True),
        "unavailable": Code(
            503,
            "The store, or the verifier of the caller, does not answer",
            retryable=True,
            unknown=True,
            partly=True,
        ),
        "overloaded": Code(503, "The server takes no more requests now", retryable=True),
        "storage-full": Code(507, "There is no room left", retryable=True, unknown=True),
    }
)
"""Every code that a problem may have."""


class Problem(Exception):
    """An error of a request, as its client sees it.

    :ivar code: one of ``CODES``.
    :ivar detail: one sentence for the sender of the request.
    :ivar applied: whether anything was stored: ``"no"``, ``"yes"``, ``"partly"`` or ``"unknown"``.
    :ivar errors: the details: each has a ``parameter`` or a ``pointer``, and a ``detail``.
    :ivar headers: fields that the answer has in addition to those of every problem.
    :ivar members: further members of the document.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        applied: str = "no",
        errors: tuple[dict[str, str], ...] = (),
        headers: tuple[Header, ...] = (),
        members: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.applied = applied
        self.errors = errors
        self.headers = headers
        self.members = members

    @property
    def status(self) -> int:
        """The HTTP status of the problem."""
        return CODES[self.code].status


def wanted(request: Request) -> bool:
    """Whether the errors of a request are reported as problem documents, which is so for paths of v2."""
    return is_v2(request.path)


@lru_cache(1024)
def is_v2(path: bytes) -> bool:
    """Whether a path is one of the second API; percent-encoded or not."""
    path = unquote_to_bytes(path)
    return path.startswith(b"/v2/") or path == b"/v2"


def document(problem: Problem, instance: str) -> dict[str, Any]:
    """The problem document.

    :param instance: the id of the request.
    """
    code = CODES[problem.code]
    found: dict[str, Any] = {
        "type": TYPE + problem.code,
        "title": code.title,
        "status": code.status,
        "detail": problem.detail,
        "instance": instance,
        "code": problem.code,
        "retryable": code.retryable,
        "applied": problem.applied,
    }
    if problem.errors:
        found["errors"] = list(problem.errors)
    return {**found, **problem.members}


def answer(request: Request, problem: Problem) -> None:
    """Write a whole answer with a problem document."""
    challenge = ((b"WWW-Authenticate", request.challenge),) if problem.status == HTTPStatus.UNAUTHORIZED else ()
    headers = ((b"Content-Type", MEDIA_TYPE.encode("ascii")), *problem.headers, *challenge)
    request.answer(problem.status, headers, json_line(document(problem, request.request_id)))


def of(error: errors.QueueyError) -> Problem:
    """Return the problem document that a v2 client gets for an error."""
    kind = next(kind for kind in type(error).__mro__ if kind in _PROBLEMS)
    return _PROBLEMS[kind](error)


def with_advice(request: Request, error: errors.QueueyError) -> Problem:
    """Return the same for the error of a whole request; the detail also has advice for the client."""
    problem = of(error)
    if isinstance(error, errors.NeedsCredentials):
        problem.detail += f" Send credentials that are accepted here: {_taken(request)}."
    elif type(error) is errors.BadCredentials:
        problem.detail = f"{problem.detail.rstrip('.')}. Accepted here: {_taken(request)}."
    elif isinstance(error, errors.NoSuchQueue) and error.possible:
        problem.detail += _HOW_A_QUEUE_IS_MADE
    return problem


_HOW_A_QUEUE_IS_MADE: Final = (
    " Create it first with PUT at its path, or set create_queues = on-write for the application, so that the first"
    " message creates it."
)

_CREDENTIALS: Final = {"Application": "<key>", "Bearer": "<token>", "BrowserID": "<assertion>"}
"""The parameter that follows each scheme in a field Authorization."""


def _taken(request: Request) -> str:
    """Return the credentials that are accepted, as a header field has them."""
    schemes = request.challenge.decode("ascii").split(", ")
    return "Authorization: " + " or ".join([f"{scheme} {_CREDENTIALS[scheme]}" for scheme in schemes])


def of_refusal(refusal: Refusal) -> Problem:
    """Return the problem document that a v2 client gets if the HTTP server refuses a request."""
    code, limit = _REFUSALS[refusal.key]
    if refusal is OVERLOADED:
        limit = "max_connections"
    applied = "unknown" if code == "internal" else "no"
    return Problem(code, refusal.text, applied=applied, members={"limit": limit} if limit else {})


def code_of(refusal: Refusal) -> str:
    """Return the problem code of a refusal of the HTTP server."""
    return _REFUSALS[refusal.key][0]


_REFUSALS: Final = {
    "BadRequest": ("malformed-request", ""),
    "MethodNotAllowed": ("method-not-allowed", ""),
    "RequestTimeout": ("request-timeout", ""),
    "RequestTooLarge": ("too-large", "max_body"),
    "URITooLong": ("uri-too-long", "max_header"),
    "HeadersTooLarge": ("headers-too-large", "max_header"),
    "Overloaded": ("overloaded", ""),
    "draining": ("unavailable", ""),
    "error": ("internal", ""),
}
"""The code of each refusal of the HTTP server, and the limit that was exceeded."""


def _plain(code: str) -> Callable[[Any], Problem]:
    """Return a function that turns an error into a problem with its text and no details."""
    return lambda error: Problem(code, error.text, applied=error.applied)


def retry_after(seconds: int) -> tuple[Header, ...]:
    """The field that says when a retry makes sense."""
    return ((b"Retry-After", b"%d" % seconds),)


def _invalid(error: errors.InvalidRequest) -> Problem:
    detail = " ".join(error.problems.values())
    # An error that is not about a parameter has a word of v1, which begins with a capital.
    if any(name[:1].isupper() for name in error.problems):
        return Problem("malformed-request", detail)
    found = tuple({"parameter": name, "detail": text} for name, text in error.problems.items())
    return Problem("invalid-parameters", detail, errors=found)


def _key_in_use(error: errors.KeyInUse) -> Problem:
    return Problem("key-in-use", error.text, headers=retry_after(error.retry_after))


def _replaced(error: errors.QueueReplaced) -> Problem:
    return Problem("queue-replaced", error.text, members={"oldest": error.oldest})


def _too_many_queues(error: errors.TooManyQueues) -> Problem:
    return Problem("too-many-queues", error.text, members={"limit": "max_live_queues"})


def _too_large(error: errors.BodyTooLarge) -> Problem:
    return Problem("too-large", error.text, members={"limit": error.limit})


def _full(error: errors.StorageFull) -> Problem:
    return Problem("storage-full", error.text, applied=error.applied, members={"limit": error.limit})


def _too_many(error: errors.TooManyRequests) -> Problem:
    headers = retry_after(error.retry_after)
    return Problem("too-many-requests", error.text, headers=headers, members={"limit": error.limit})


def _unavailable(error: errors.Unavailable) -> Problem:
    return Problem("unavailable", error.text, applied=error.applied, headers=retry_after(error.retry_after))


_PROBLEMS: Final[Mapping[type[errors.QueueyError], Callable[[Any], Problem]]] = {
    errors.InvalidRequest: _invalid,
    errors.InvalidUpdate: _plain("partitions-shrink"),
    errors.BodyTooLarge: _too_large,
    errors.NoSuchApplication: _plain("no-such-application"),
    errors.NoSuchQueue: _plain("no-such-queue"),
    errors.NoSuchGroup: _plain("no-such-group"),
    errors.NoSuchPush: _plain("no-such-push"),
    errors.NoSuchSchedule: _plain("no-such-schedule"),
    errors.NoSuchMessage: _plain("no-such-message"),
    errors.QueueClosed: _plain("queue-closed"),
    errors.BadCredentials: _plain("unauthorized"),
    errors.NeedsCredentials: _plain("unauthorized"),
    errors.Forbidden: _plain("forbidden"),
    errors.PreconditionFailed: _plain("precondition-failed"),
    errors.IdOutOfRange: _plain("id-out-of-range"),
    errors.KeyReused: _plain("key-reused"),
    errors.KeyInUse: _key_in_use,
    errors.NotPromised: _plain("not-promised"),
    errors.BadCursor: _plain("invalid-cursor"),
    errors.CursorMismatch: _plain("cursor-mismatch"),
    errors.TooManyQueues: _too_many_queues,
    errors.QueueReplaced: _replaced,
    errors.Conflict: _plain("conflict"),
    errors.StorageFull: _full,
    errors.TooManyRequests: _too_many,
    errors.Unavailable: _unavailable,
}
"""How each error becomes a problem. Errors of the settings are missing, because no request meets one."""
