"""Bodies that are JSON, as JSON within an answer: what the sender wrote, value by value, and not text in a text.

The text is never decoded to objects and encoded again, so numbers keep all their digits, members keep their order, and
a name that comes twice still does. Only whitespace and escapes change: an answer is one line of ASCII.

One body must not spoil an answer for its reader, so bodies that a JSON parser may refuse stay text.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii
from typing import Final

import msgspec

from queuey.http.inputs.json_size import has_too_many_values
from queuey.model.messages.message import Content

MAX_DEPTH: Final = 64
"""Lists and objects within one another; parsers refuse more from about 100 on."""

MAX_SIZE: Final = 1 << 20
"""Bytes of a body; to look at more of them would keep the reactor waiting."""

MAX_DIGITS: Final = 1000
"""Digits of a number in a row; Python, for one, reads no number of more than 4,300."""

_check: Final = msgspec.json.Decoder(msgspec.Raw).decode
"""Raises an error if a text is not JSON (RFC 8259) or has half of a surrogate pair; it makes no objects."""

_OPENING: Final = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS: Final = bytes(sorted({*range(256)} - {*b"[]{}"}))
_DIGITS_ALIKE: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER: Final = b"0" * (MAX_DIGITS + 1)
_ESCAPED_BACKSLASH: Final = "\x00"
"""Temporary replacement of an escaped backslash; encoded text has no such character."""


def is_json_type(content_type: str | None) -> bool:
    """Return whether a media type is that of JSON: ``application/json``, or one that ends with ``+json``."""
    if content_type is None:
        return False
    essence = content_type.partition(";")[0].rstrip(" \t").lower()
    return essence == "application/json" or essence.endswith("+json")


def json_text(content: Content) -> str | None:
    """Return a body as JSON in one line of ASCII; ``None`` if it is to be shown as text."""
    body = content.body
    if len(body) > MAX_SIZE or not is_json_type(content.content_type):
        return None
    try:
        text = body.decode("utf-8")
        if has_too_many_values(body):
            return None
        _check(body)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
    if _is_too_much(body):
        return None
    # Control characters are whitespace here: JSON has no others.
    return _in_ascii(text.replace("\n", " ").replace("\r", " ").replace("\t", " ").strip(" "))


def _is_too_much(body: bytes) -> bool:
    """Return whether valid JSON is nested too deeply, or has a number that is too long."""
    deep = body.count(b"[") + body.count(b"{") > MAX_DEPTH
    long = len(body) > MAX_DIGITS and _has_long_number(body)
    if not deep and not long:
        return False
    # Without its texts, since these may have brackets and digits too.
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    bare = b"".join(bare.split(b'"')[::2])
    return (long and _has_long_number(bare)) or (deep and _is_deep(bare))


def _has_long_number(data: bytes) -> bool:
    return _LONG_NUMBER in data.translate(_DIGITS_ALIKE)


def _is_deep(bare: bytes) -> bool:
    """Return whether JSON without its texts is nested too deeply: each round takes the innermost brackets away."""
    brackets = bare.translate(_OPENING, _ALL_BUT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _in_ascii(text: str) -> str:
    """Return JSON with each character outside ASCII as an escape; such characters occur in texts only."""
    if text.isascii():
        return text
    # The encoder escapes quotes and backslashes too, and has no other way: these escapes are undone.
    escaped = encode_basestring_ascii(text)[1:-1]
    return escaped.replace("\\\\", _ESCAPED_BACKSLASH).replace('\\"', '"').replace(_ESCAPED_BACKSLASH, "\\")
