"""Byte ranges of a message (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import Final

import attrs

from queuey.http.answers.problems import Problem
from queuey.http.v2.inputs.header_fields import bad_field, field
from queuey.http.wire import Request

_SET: Final = re.compile(r"bytes=(.*)", re.IGNORECASE | re.ASCII)
_SPEC: Final = re.compile(r"[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.ASCII)
MAX_RANGES: Final = 100
"""Ranges in one field that are looked at."""

_MOST_DIGITS: Final = 18
"""Positions of more digits are beyond the end of every message."""


@attrs.frozen
class ByteRange:
    """A part of a body.

    :ivar start: its first byte.
    :ivar end: the byte after its last.
    """

    start: int
    end: int


def wanted(request: Request, tag: str, length: int) -> ByteRange | None:
    """The part of a body that a GET asks for; ``None`` is all of it.

    A request for several parts at once is given the whole, as is one in units that are not bytes, or one whose If-Range
    is not of this body.

    :param tag: the body's entity tag, without the quotes.
    :param length: bytes of the body.
    :raise Problem: if the range is malformed, or outside of the body.
    """
    if b"range" not in request.fields or request.method != b"GET":
        return None
    match = _SET.fullmatch(field(request, b"range") or "")
    if match is None or not _unchanged(request, tag):
        return None
    if match[1].count(",") >= MAX_RANGES:
        return None  # as for several parts; RFC 9110, section 14.2, lets a server pass over a field of very many
    specs = [_SPEC.fullmatch(part) for part in match[1].split(",")]
    found = [_resolved(spec[1], spec[2], spec[3], length) for spec in specs if spec is not None]
    if len(found) != len(specs):
        raise bad_field("Range", "is not a range of bytes, as in bytes=0-99, bytes=100- or bytes=-100")
    return _satisfied(found[0], length) if len(found) == 1 else None


def _unchanged(request: Request, tag: str) -> bool:
    """Whether a range is wanted of the body as it is."""
    return b"if-range" not in request.fields or field(request, b"if-range") == f'"{tag}"'


def _resolved(first: str | None, last: str | None, suffix: str | None, length: int) -> ByteRange:
    """Where a part would be, however long the body is.

    :raise Problem: if it ends before it begins.
    """
    if suffix is not None:
        return ByteRange(max(0, length - _position(suffix)), length)
    start, end = _position(first or ""), _position(last) + 1 if last else length
    if last and end <= start:
        raise bad_field("Range", "ends before it begins")
    return ByteRange(start, min(end, length))


def _satisfied(found: ByteRange, length: int) -> ByteRange:
    if found.start >= found.end:
        text = f"The message has {length} bytes, and none of them is in the range."
        unsatisfied = b"bytes */%d" % length
        raise Problem("range-not-satisfiable", text, headers=((b"Content-Range", unsatisfied),))
    return found


def _position(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS
