"""Fast decoder for batches and lines whose messages have a body and no other member, as most have.

msgspec decodes them into its own structs, in a fraction of the time of one dictionary for each. All other input goes to
the general reader, which also reports errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    body: str


class _Batch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    messages: list[_Message]


_STARTS: Final = (b'{"body":"', b'{"body": "')
"""How a line begins that a program writes, by the two habits there are."""

_batch: Final = msgspec.json.Decoder(_Batch).decode
_lines: Final = msgspec.json.Decoder(_Message).decode_lines


def batch_bodies(data: bytes) -> list[bytes] | None:
    """The bodies of a batch, ``{"messages": [{"body": text}, ...]}``.

    :return: ``None`` if it is anything else, or may have a name twice in one object.
    """
    try:
        found = _batch(data).messages
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    # There are quotes around the name of the list, and around the name and the text of each message.
    return _encoded(found) if _quotes(data) == 2 + 4 * len(found) else None


def line_bodies(lines: Sequence[bytes]) -> list[bytes] | None:
    """The bodies of lines, ``{"body": text}`` each.

    :return: ``None`` if one of them is anything else, or may have a name twice.
    """
    data = b"\n".join(lines)
    start = _STARTS[data.startswith(_STARTS[1])]
    # Where each begins in this way none can be a part of another one, nor have two messages unless another has none.
    if not data.startswith(start) or data.count(b"\n" + start) != len(lines) - 1:
        return None
    try:
        found = _lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return _encoded(found) if len(found) == len(lines) and _quotes(data) == 4 * len(found) else None


def _quotes(data: bytes) -> int:
    """Return the number of quotes around names and texts of JSON; a name that comes twice adds some.

    Those within a text follow a backslash. Where backslashes are texts themselves, -1: it would take a look at each.
    """
    if b"\\" not in data:
        return data.count(b'"')
    return -1 if b"\\\\" in data else data.count(b'"') - data.count(b'\\"')


def _encoded(messages: Sequence[_Message]) -> list[bytes]:
    return [message.body.encode() for message in messages]
