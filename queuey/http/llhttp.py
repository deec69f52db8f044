"""Reading heads with llhttp, the parser of Node.js, by httptools: that takes two thirds of the time of ``head``.

It reads what has come whole, and takes what both readers take. Of all else nothing is said here: the strict reader
reads the same bytes, and decides. So what llhttp is lenient about, and what it does not know, changes no answer.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from queuey.http.head import MAX_FIELDS, NAMES, Head, take_target
from queuey.http.limits import Refused

_PERSISTENT: Final = {b"1\r\n": True, b"0\r\n": False}


class _Told:
    """What llhttp tells of a head."""

    __slots__ = ("fields", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: dict[bytes, list[bytes]] = {}

    def on_url(self, target: bytes) -> None:
        self.target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        name = NAMES.get(name) or name.lower()
        if name in self.fields:
            self.fields[name].append(value.rstrip(b" \t"))
        else:
            self.fields[name] = [value.rstrip(b" \t")]


def read_head(data: bytes, limit: int) -> tuple[Head, int] | None:
    """Read the head that some bytes begin with.

    :param limit: bytes that it may have, at least.
    :return: the head and how many bytes it has; ``None`` where it is not all there, or is for the strict reader.
    """
    size = data.find(b"\r\n\r\n", 0, limit) + 4
    if size < 4:
        return None
    whole, told = data[:size], _Told()
    parser = HttpRequestParser(told)
    try:
        parser.feed_data(whole)
        method, target, fields = parser.get_method(), told.target, told.fields
        begin = b"%b %b HTTP/1." % (method, target)
        persistent = _PERSISTENT.get(whole[len(begin) : len(begin) + 3])
        if persistent is None or not whole.startswith(begin):
            return None
        # Each line is one field, and ends with CR LF: whatever does otherwise, or is folded, is not for here.
        lines = whole.count(b"\r") - 2
        if lines > MAX_FIELDS or lines != whole.count(b"\n") - 2:
            return None
        if lines != len(fields) and lines != sum(map(len, fields.values())):
            return None
        return Head(take_target(method, target, persistent), fields), size
    except (HttpParserError, HttpParserUpgrade, Refused):
        return None
