"""Build the head of an answer as bytes, without I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from twisted.web.http_headers import Headers

BODILESS: Final = frozenset({204, 304})
"""The statuses whose answers never have a body."""

Field = tuple[bytes, bytes]

Room = tuple[bytes, bytes | None]
"""A field, or room for one whose value is not known yet."""

BY_LENGTH: Final = b"Content-Length: %d\r\n"
IN_CHUNKS: Final = b"Transfer-Encoding: chunked\r\n"
"""The fields that say how long a body is, as lines; the first with room for the length."""

_FRAMING: Final = frozenset({b"Content-Length", b"Transfer-Encoding", b"Connection", b"Date", b"X-Request-Id"})
_BREAK: Final = re.compile(rb"[\r\n\0]")
_STATUS_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode("ascii") for s in HTTPStatus}


def merge_fields(
    first: Sequence[Field],
    own: Sequence[bytes],
    added: Sequence[Field],
    second: Headers | None,
    cookies: Sequence[bytes],
    body_type: bytes,
) -> list[Room]:
    """Return the header fields of an answer, except those that frame it, which the HTTP server adds itself.

    :param first: fields that replace others of the same name.
    :param own: names of more such fields, with a slot for each value.
    :param added: fields that are sent unless an answer has another one of the same name.
    :param body_type: the Content-Type to send if no field gives one; empty for none.
    """
    fields: list[Room] = [*first, *((name, None) for name in own)]
    given = {name.title() for name, _ in fields}
    fields += [
        field for field in added if field[0].title() not in given and not (second and second.hasHeader(field[0]))
    ]
    for name, values in () if second is None else second.getAllRawHeaders():
        if name not in _FRAMING and (titled := name.title()) not in given:
            fields += [(name, value) for value in values]
            given.add(titled)
    fields += [(b"Set-Cookie", value) for value in cookies]
    if body_type and b"Content-Type" not in given:
        fields.append((b"Content-Type", body_type))
    return fields


def make_template(status: int, fields: Sequence[Room], framing: bytes, close: bool) -> bytes:
    """Return the status line and the header, with slots for the parts that differ from answer to answer.

    The slots are, in this order: the Date field, as a line; the id of the request; the values that are not known yet;
    and the length of the body, if the framing has a slot for it.

    :param framing: the field that says how long the body is, as a line; empty for none.
    :param close: whether the connection is closed after the answer.
    :raise ValueError: if a field contains a line end or a NUL.
    """
    parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status, b"%bX-Request-Id: %b\r\n"]
    for name, value in fields:
        shown = b"%b" if value is None else value.replace(b"%", b"%%")
        parts += (name.replace(b"%", b"%%"), b": ", shown, b"\r\n")
    parts.append(framing)
    parts.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
    head = b"".join(parts)
    # One look at all of it is quicker than one at each value.
    lines = 3 + len(fields) + bool(framing) + close
    if not (head.count(b"\n") == head.count(b"\r") == lines) or b"\0" in head:
        raise _line_end(fields)
    return head


@lru_cache(512)
def template_of(
    status: int,
    fields: tuple[Field, ...],
    own: tuple[bytes, ...],
    added: tuple[Field, ...],
    body_type: bytes,
    framing: bytes,
    close: bool,
) -> bytes:
    """Return a template from a cache: most answers have the same fields as earlier ones, so the merge is rarely needed.

    The parameters are those of :func:`merge_fields` and :func:`make_template`.
    """
    return make_template(status, merge_fields(fields, own, added, None, (), body_type), framing, close)


def check_own(fields: Sequence[Field]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return the names of the fields whose values fill slots of a template, and the values.

    :raise ValueError: if a value contains a line end or a NUL.
    """
    if len(fields) == 1:  # the usual case; zip would double the time of this function
        ((name, value),) = fields
        names, values = (name,), (value,)
    else:
        names, values = zip(*fields, strict=True)
    for value in values:
        if _BREAK.search(value) is not None:
            raise _line_end(fields)
    return names, values


def _line_end(fields: Sequence[Room]) -> ValueError:
    return ValueError(f"a line end in one of the header fields {[name for name, _ in fields]!r}")
