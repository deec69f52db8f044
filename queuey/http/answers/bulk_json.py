"""The JSON of many texts by one call, which takes a tenth of the time of a call for each text."""

from __future__ import annotations

from collections.abc import Sequence
from json.encoder import encode_basestring_ascii
from typing import Final

import msgspec

from queuey.model.messages.columns import BETWEEN

_BETWEEN_JSON: Final = "\\u001e"
_BETWEEN_JSON_BYTES: Final = _BETWEEN_JSON.encode("ascii")

_encode: Final = msgspec.json.Encoder().encode


def ascii_texts_json(texts: Sequence[bytes]) -> list[str] | None:
    """Return the JSON of each of several texts without its quotes; ``None`` if one of them is not ASCII.

    The result is byte for byte that of ``json``. It is also ``None`` if a text has a character that the two write
    differently, or the separator that is used here.
    """
    joined = BETWEEN.join(texts)
    if not _is_plain(joined):
        return None
    found = _encode(joined.decode("ascii")).decode("ascii")[1:-1].split(_BETWEEN_JSON)
    return found if len(found) == len(texts) else None


def joined_texts_json(joined: bytes, number: int, errors: str = "strict") -> list[bytes] | None:
    """The same of UTF-8 texts that have come with ``BETWEEN`` between them, with everything outside ASCII escaped.

    :param number: how many there are.
    :param errors: what to do with bytes that are no UTF-8.
    :return: ``None`` if they could not be separated.
    :raise UnicodeDecodeError: if one is no UTF-8, and that is an error.
    """
    if _is_plain(joined):
        encoded = _encode(joined.decode("ascii"))
    else:
        encoded = encode_basestring_ascii(joined.decode("utf-8", errors)).encode("ascii")
    found = encoded[1:-1].split(_BETWEEN_JSON_BYTES)
    return found if len(found) == number else None


def _is_plain(joined: bytes) -> bool:
    # ``json`` escapes the delete character, which JSON (RFC 8259, section 7) leaves as it is.
    return joined.isascii() and b"\x7f" not in joined
