"""Lenient readers of HTTP/1.1: each accepts something that the HTTP server refuses, as some proxies do.

They are for comparison: where one of them reads a connection differently from the HTTP server, the HTTP server has to
have refused.
"""

from __future__ import annotations

import re
from itertools import product

import attrs

from tests.http.corpus_cases import Seen

_HEX = re.compile(rb"[ \t]*(?:0[xX])?([0-9A-Fa-f]+)")
_DIGITS = re.compile(rb"[ \t]*[+-]?([0-9]+)")


class Waits(Exception):
    """What has come is not complete."""


class GivesUp(Exception):
    """This one refuses it as well."""


@attrs.frozen
class Lenient:
    """One way of reading.

    :ivar ends: what ends a line: LF with or without CR, or also CR alone, or CR LF alone.
    :ivar trims: whether white space, and what follows a NUL, is taken off names and values, and lines that are folded
        are joined.
    :ivar codings: whether a coding comes before a length.
    :ivar last: whether the last of several fields counts, or the first.
    :ivar contains: whether ``chunked`` is looked for anywhere in the value.
    :ivar quotes: whether the quotes of a chunk extension may hold line ends.
    """

    ends: bytes
    trims: bool
    codings: bool
    last: bool
    contains: bool
    quotes: bool

    def read(self, data: bytes) -> tuple[list[Seen], bool]:
        """The requests that it sees, with their targets, and whether it would take more."""
        seen: list[Seen] = []
        at = 0
        try:
            while at < len(data):
                request, at = self._request(data, at)
                seen.append(request)
        except Waits:
            return seen, True
        except GivesUp:
            return seen, False
        return seen, True

    def _line(self, data: bytes, at: int) -> tuple[bytes, int]:
        found = re.compile(self.ends).search(data, at)
        if found is None:
            raise Waits
        return data[at : found.start()], found.end()

    def _request(self, data: bytes, at: int) -> tuple[Seen, int]:
        line, at = self._line(data, at)
        while not line.strip():
            line, at = self._line(data, at)
        words = line.split()
        if len(words) < 3 or not words[-1].upper().startswith(b"HTTP/1"):
            raise GivesUp
        fields, at = self._fields(data, at)
        body, at = self._body(fields, data, at)
        return (words[0], words[1], body), at

    def _fields(self, data: bytes, at: int) -> tuple[list[tuple[bytes, bytes]], int]:
        fields: list[tuple[bytes, bytes]] = []
        while True:
            line, at = self._line(data, at)
            if not line:
                return fields, at
            if self.trims and line[:1] in b" \t" and fields:
                name, value = fields.pop()
                fields.append((name, value + b" " + line.strip()))
                continue
            name, _, value = line.partition(b":")
            if self.trims:
                name, value = name.split(b"\0")[0].strip(), value.split(b"\0")[0]
            fields.append((name.lower(), value.strip()))

    def _body(self, fields: list[tuple[bytes, bytes]], data: bytes, at: int) -> tuple[bytes, int]:
        codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
        lengths = [value for name, value in fields if name == b"content-length"]
        if codings and (self.codings or not lengths):
            coding = codings[-1 if self.last else 0]
            chunked = b"chunked" in coding if self.contains else coding.rpartition(b",")[2].strip() == b"chunked"
            if chunked:
                return self._chunks(data, at)
        if not lengths:
            return b"", at
        match = _DIGITS.match(lengths[-1 if self.last else 0])
        end = at + (int(match[1].lstrip(b"0")[:18] or 0) if match else 0)
        if len(data) < end:
            raise Waits
        return data[at:end], end

    def _chunks(self, data: bytes, at: int) -> tuple[bytes, int]:
        body = b""
        while True:
            line, at = self._line(data, at)
            while self.quotes and re.sub(rb"\\.", b"", line, flags=re.DOTALL).count(b'"') % 2:
                more, at = self._line(data, at)
                line += more
            match = _HEX.match(line)
            size = int(match[1][-16:], 16) if match else 0
            if not size:
                _, at = self._fields(data, at)
                return body, at
            if len(data) < at + size:
                raise Waits
            body += data[at : at + size]
            _, at = self._line(data, at + size)


ALL = tuple(
    Lenient(ends, trims, codings, last, contains, quotes)
    for ends in (rb"\r\n", rb"\r?\n", rb"\r\n|\n|\r")
    for trims, codings, last, contains, quotes in product((False, True), repeat=5)
)
