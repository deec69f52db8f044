"""The header fields of v2 requests that are checked strictly: media types, and fields that may come once."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from queuey.http.answers.problems import Problem
from queuey.http.inputs.forms import CHARSETS
from queuey.http.wire import Request
from queuey.model.text import shown

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_MEDIA_TYPE: Final = re.compile(
    # No backtracking: there are exponentially many ways to split the spaces between two semicolons. Groups are made
    # atomic with (?>...): a possessive repeat of a group matches too much before Python 3.11.5 (gh-106052).
    rf'({_TOKEN}/{_TOKEN})((?>(?:[ \t]*+;[ \t]*+(?>(?:{_TOKEN}=(?:{_TOKEN}|"(?>(?:[^"\\]|\\.)*)"))?))*))',
    re.ASCII,
)
_CHARSET: Final = re.compile(r";[ \t]*charset=\"?([^\";]*)", re.IGNORECASE)


def media_type(request: Request) -> tuple[str, str] | None:
    """The type of a body: in lower case without its parameters, and as it was sent; ``None`` if it has none.

    :raise Problem: if it is no media type, or is given more than once.
    """
    raw = field(request, b"content-type")
    if raw is None:
        return None
    match = _MEDIA_TYPE.fullmatch(raw)
    if match is None:
        raise bad_field("Content-Type", f'"{shown(raw)}" is not a media type')
    return match[1].lower(), raw


def expect_type(request: Request, allowed: Collection[str], header: bytes = b"Accept") -> str:
    """Return the type of a body, without its parameters; it must be one of the allowed types.

    :param header: the header field in which a refusal lists those types.
    :raise Problem: if the type is another one or missing, or its charset is not UTF-8.
    """
    found = media_type(request)
    if found is None or found[0] not in allowed:
        said = f"not {shown(found[0])}" if found else "and the request has no Content-Type"
        raise _unsupported(f"The body must be {' or '.join(allowed)}, {said}.", allowed, header)
    charset = _CHARSET.search(found[1])
    if charset is not None and charset[1].lower() not in CHARSETS:
        raise _unsupported(f"JSON must be UTF-8 text, not {shown(charset[1])}.", allowed, header)
    return found[0]


def _unsupported(text: str, allowed: Collection[str], header: bytes) -> Problem:
    return Problem("unsupported-media-type", text, headers=((header, ", ".join(allowed).encode("ascii")),))


def field(request: Request, name: bytes) -> str | None:
    """The value of a header field that may come once; an empty one counts as absent.

    :param name: in lower case.
    :raise Problem: if it came more than once, or is not UTF-8.
    """
    values = request.fields.get(name)
    if values is None:
        return None
    try:
        (value,) = values
        return value.decode("utf-8").strip(" \t") or None
    except ValueError:
        text = "is not UTF-8 text" if len(values) == 1 else "came more than once"
        raise bad_field(name.decode("ascii").title(), text) from None


def bad_field(name: str, detail: str) -> Problem:
    """The problem of a header field that is not valid.

    :param detail: the mistake, to be read after the name.
    """
    return Problem("invalid-parameters", f"{name}: {detail}", errors=({"parameter": name, "detail": detail},))
