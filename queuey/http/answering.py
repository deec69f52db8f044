"""The head of an answer, as bytes. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from twisted.web.http_headers import Headers

BODILESS: Final = frozenset({204, 304})
"""The statuses whose answers never have a body."""

Field = tuple[bytes, bytes]

_FRAMING: Final = frozenset({b"Content-Length", b"Transfer-Encoding", b"Connection", b"Date", b"X-Request-Id"})
_STATUS_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode("ascii") for s in HTTPStatus}


def merge_fields(
    first: Sequence[Field], added: Sequence[Field], second: Headers | None, cookies: Sequence[bytes], body_type: bytes
) -> list[Field]:
    """The fields of an answer, but for those that frame it, which are the door's.

    :param first: fields that take the place of others with the same name.
    :param added: fields that come besides those of ``second``.
    :param body_type: the type of a body where no field says one; empty for none.
    """
    fields = list(first)
    given = {name.title() for name, _ in first}
    fields += [field for field in added if field[0] not in given]
    for name, values in () if second is None else second.getAllRawHeaders():
        if name not in _FRAMING and (titled := name.title()) not in given:
            fields += [(name, value) for value in values]
            given.add(titled)
    fields += [(b"Set-Cookie", value) for value in cookies]
    if body_type and b"Content-Type" not in given:
        fields.append((b"Content-Type", body_type))
    return fields


def make_head(status: int, date: bytes, request_id: str, fields: Sequence[Field], framing: bytes, close: bool) -> bytes:
    """The status line and the header.

    :param date: the Date field, as a line.
    :param framing: the field that says how long the body is, as a line.
    :param close: whether the connection is closed afterwards.
    :raise ValueError: where a field would end its line early.
    """
    parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status, date]
    parts += [b"X-Request-Id: ", request_id.encode("ascii", "replace"), b"\r\n"]
    for name, value in fields:
        parts += (name, b": ", value, b"\r\n")
    parts.append(framing)
    parts.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
    head = b"".join(parts)
    # One look at all of it is quicker than one at each value.
    lines = 4 + len(fields) + bool(framing) + close
    if not (head.count(b"\n") == head.count(b"\r") == lines) or b"\0" in head:
        raise ValueError(f"a line end in one of the header fields {[name for name, _ in fields]!r}")
    return head
