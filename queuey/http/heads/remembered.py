"""The last two heads of a connection, by which the next one is read if it differs in a few values alone.

Clients send the same head again and again on a connection, or two of them in turn. Equal bytes are the same
:class:`Head`, with everything that was found out about it. If only values differ that are new with each request (a
length, an id), the next head is a copy with these values. Every other head is left to :class:`HeadReader`, which alone
refuses anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from queuey.http.connection.limits import Refused
from queuey.http.heads.head import NEW_EACH_TIME, Head, legal_text

MAX_BYTES: Final = 2048
MAX_FIELDS: Final = 32
"""Bytes and fields of the largest head that is remembered, so that an idle connection keeps little."""


class RememberedHead:
    """A head, and the bytes that it was read from.

    :ivar head: what was read; after a head that differs in such values alone, that one.
    """

    __slots__ = ("_begin", "_bytes", "_gaps", "_line", "_size", "head")

    def __init__(self, data: bytes, head: Head) -> None:
        """Remember a head.

        :param data: all of its bytes, and no others.
        """
        self.head = head
        self._bytes, self._size = data, len(data)
        self._line = data[: data.find(b"\r", 2) + 2]
        self._begin = b""
        self._gaps: Sequence[tuple[bytes, bytes]] | None = None

    def read(self, data: bytes, limit: int) -> tuple[Head, int] | None:
        """Read the head that some bytes begin with.

        :param limit: bytes that it may have.
        :return: the head and its size; ``None`` if it is another head, is not all there, or has to be refused.
        """
        if data.startswith(self._bytes):
            return self.head, self._size
        # The request line is compared first: most other heads differ there, and need no more of a look.
        if not data.startswith(self._line):
            return None
        if self._gaps is None:
            self._begin, self._gaps = _cut(self._bytes)
        return self._fill(self._gaps, data, min(limit, MAX_BYTES)) if self._gaps else None

    def _fill(self, gaps: Sequence[tuple[bytes, bytes]], data: bytes, limit: int) -> tuple[Head, int] | None:
        if not data.startswith(self._begin):
            return None
        at, values = len(self._begin), []
        for name, text in gaps:
            end = data.find(b"\r", at, limit)
            if end < 0 or not data.startswith(text, end):
                return None
            value = data[at:end]
            if not legal_text(value):
                return None
            values.append((name, value.strip(b" \t")))
            at = end + len(text)
        if at > limit:
            return None
        try:
            self.head = self.head.varied(values)
        except Refused:
            return None
        # The variable values have the same places, so the next head may be equal to this one.
        self._bytes, self._size = data[:at], at
        return self.head, at


def _cut(whole: bytes) -> tuple[bytes, Sequence[tuple[bytes, bytes]]]:
    """Cut the bytes of a head at the values of fields that are new each time.

    :return: what stands before the first such value; and for each its field's name and what follows the value, up to
        the next one. There are none if such a field came twice.
    """
    parts: list[bytes] = []
    names: list[bytes] = []
    text = b""
    for line in whole.split(b"\r\n")[:-2]:
        name, colon, _ = line.partition(b":")
        if colon and name.lower() in NEW_EACH_TIME:
            parts.append(text + name + colon)
            names.append(name.lower())
            text = b"\r\n"
        else:
            text += line + b"\r\n"
    if not names or len(set(names)) < len(names):
        return b"", ()
    return parts[0], tuple(zip(names, [*parts[1:], text + b"\r\n"], strict=True))
