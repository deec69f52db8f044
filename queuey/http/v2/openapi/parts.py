"""The pieces that a description is put together from, as OpenAPI 3.1 has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from queuey.http.problems import CODES
from queuey.http.problems import MEDIA_TYPE as PROBLEM

Object = dict[str, Any]

_ANYWHERE: Final = (
    "malformed-request",
    "invalid-parameters",
    "request-timeout",
    "uri-too-long",
    "too-many-requests",
    "headers-too-large",
    "internal",
    "unavailable",
    "overloaded",
)
"""Codes that any request may be answered with."""

_HEADERS: Final[Mapping[int, Sequence[str]]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    416: ("Content-Range",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
"""Header fields that a refusal of that status has."""

_ALWAYS: Final = ("X-Request-Id", "Cache-Control", "RateLimit", "RateLimit-Policy")
"""Header fields that any answer may have."""

_TYPES: Final = "Accept"
"""The field that names the types which are taken, but for merge patches."""

_OF_SOME: Final[Mapping[str, str]] = {
    "key-in-use": "Retry-After",
    "unsupported-media-type": _TYPES,
    "content-encoding": "Accept-Encoding",
}
"""The header field that a refusal with that code has, though not every refusal of its status has it."""


def schema(name: str) -> Object:
    """A shared schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(name: str) -> Object:
    """A shared parameter."""
    return {"$ref": f"#/components/parameters/{name}"}


def query(name: str, text: str, of: Object, example: Any = None, **more: Any) -> Object:
    """A parameter of a query."""
    return _given("query", name, text, of, example, **more)


def header(name: str, text: str, of: Object, example: Any = None) -> Object:
    """A header field of a request."""
    return _given("header", name, text, of, example)


def in_path(name: str, text: str, of: Object, example: Any) -> Object:
    """A part of a path."""
    return _given("path", name, text, of, example, required=True)


def _given(place: str, name: str, text: str, of: Object, example: Any, **more: Any) -> Object:
    found = {"name": name, "in": place, "description": text, "schema": of, **more}
    return found if example is None else {**found, "example": example}


def sent_back(*names: str) -> Object:
    """Header fields of an answer."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def answer(
    text: str,
    content: Object | None = None,
    headers: Sequence[str] = (),
    perhaps: Mapping[str, str] = MappingProxyType({}),
) -> Object:
    """An answer.

    :param content: by media type.
    :param headers: that it has besides those that any answer may have.
    :param perhaps: those that it has in some cases, and what they are then.
    """
    some = {name: {"description": text, "schema": {"type": "string"}} for name, text in perhaps.items()}
    found: Object = {"description": text, "headers": {**sent_back(*_ALWAYS, *headers), **some}}
    return found if content is None else {**found, "content": content}


def media(of: Object, example: Any = None) -> Object:
    """What a body of some media type is."""
    return {"schema": of} if example is None else {"schema": of, "example": example}


def refusals(codes: Sequence[str], told: str = _TYPES) -> Object:
    """The answers that refuse, by status, each with the codes that it may have.

    :param told: the header field that names the types which are taken.
    """
    found = _by_status((*codes, *_ANYWHERE))
    return {
        str(status): _shared(status) if some == _EVERYWHERE.get(status) else _refusal(status, some, told)
        for status, some in found.items()
    }


def shared_refusals() -> Object:
    """Those that are the same for many requests."""
    return {_name(status): _refusal(status, codes) for status, codes in _EVERYWHERE.items()}


def _by_status(codes: Iterable[str]) -> dict[int, list[str]]:
    found: defaultdict[int, list[str]] = defaultdict(list)
    for code in sorted(set(codes), key=list(CODES).index):
        found[CODES[code].status].append(code)
    return dict(sorted(found.items()))


_EVERYWHERE: Final = _by_status(_ANYWHERE)


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _shared(status: int) -> Object:
    return {"$ref": f"#/components/responses/{_name(status)}"}


def _refusal(status: int, codes: Sequence[str], told: str = _TYPES) -> Object:
    text = "; ".join(f"`{code}`: {CODES[code].title}" for code in codes)
    of = {"allOf": [schema("Problem"), {"properties": {"code": {"enum": list(codes)}}}]}
    perhaps = {_OF_SOME[code]: f"Where the code is `{code}`." for code in codes if code in _OF_SOME}
    if _TYPES in perhaps:
        perhaps[told] = perhaps.pop(_TYPES)
    return answer(text, {PROBLEM: media(of)}, _HEADERS.get(status, ()), perhaps)


def operation(
    id: str,
    tag: str,
    summary: str,
    text: str,
    *,
    answers: Object,
    codes: Sequence[str],
    parameters: Sequence[Object] = (),
    body: Object | None = None,
    told: str = _TYPES,
    anonymous: bool = False,
) -> Object:
    """What one method does at one path.

    :param answers: those of success, by status.
    :param codes: of refusals, besides those that any request may meet.
    :param body: by media type.
    :param told: the header field of a refusal that names the types which are taken.
    :param anonymous: whether there are cases that need no credentials.
    """
    found: Object = {
        "operationId": id,
        "tags": [tag],
        "summary": summary,
        "description": text,
        "parameters": list(parameters),
        "responses": {**answers, **refusals(codes, told)},
    }
    if body is not None:
        found["requestBody"] = {"content": body}
    if anonymous:
        found["security"] = [{}, {"application": []}, {"bearer": []}]
    return found
