"""How many values a JSON text has, found without decoding it.

To decode 1 MiB of JSON takes up to 0.1 s if it consists of the smallest values there are, and a decoder cannot be
interrupted: it keeps the reactor waiting, and in a thread it would keep the interpreter's lock. So texts of more values
than any sensible request has are refused before. Counting takes at most a few milliseconds for 1 MiB.
"""

from __future__ import annotations

from typing import Final

MAX_VALUES: Final = 50_000
"""Values in one JSON text: numbers, texts, lists, objects and so on, each member's and each item's."""

TOO_MANY: Final = f"The JSON has more than {MAX_VALUES} values."


def has_too_many_values(data: bytes) -> bool:
    """Return whether a JSON text has more than ``MAX_VALUES`` values; the result is arbitrary if it is not JSON.

    Values are parted by commas, or begin a list or an object. Where there are few such characters, some of them may
    even stand in texts; else what stands in texts is left out first.
    """
    if len(data) <= MAX_VALUES or _separators(data) <= MAX_VALUES:
        return False
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A member has at most four quotes: two for its name, two for its value if that is a text.
    if data.count(b'"') > 4 * (MAX_VALUES + 1):
        return True
    return _separators(b"".join(data.split(b'"')[::2])) > MAX_VALUES


def _separators(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")
