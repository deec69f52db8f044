"""The machine-readable description of the v2 API: for everyone, whichever page asks."""

from __future__ import annotations

import functools
import hashlib
from typing import Final

import attrs

from queuey.http.v2.openapi import document
from queuey.http.v2.parameters import Query
from queuey.http.v2.tags import tags
from queuey.http.wire import Request
from queuey.http.writing import JSON, encoded

PATH: Final = "/v2/openapi.json"
METHODS: Final = ("GET", "OPTIONS")

_OPEN: Final = (b"Access-Control-Allow-Origin", b"*")
_EXPOSED: Final = (b"Access-Control-Expose-Headers", b"ETag, X-Request-Id")
_ALLOW: Final = b"GET, HEAD, OPTIONS"


@functools.cache
def _rendered() -> bytes:
    return encoded(document())


@attrs.frozen
class Description:
    """Answers with the description, which is rendered once in a process.

    :ivar tag: its entity tag, without the quotes.
    """

    body: bytes = attrs.field(factory=_rendered, repr=False)
    tag: str = attrs.field(init=False)

    @tag.default
    def _make_tag(self) -> str:
        return hashlib.blake2b(self.body, digest_size=16).hexdigest()

    async def answer(self, request: Request) -> None:
        """Answer a GET, or what a browser asks before one."""
        if request.method == b"OPTIONS":
            self._options(request)
            return
        Query(request, ()).check()
        known = tags(request, b"if-none-match")
        headers = (_OPEN, _EXPOSED, (b"Cache-Control", b"no-cache"), (b"ETag", b'"%b"' % self.tag.encode("ascii")))
        if known is not None and (known.any or self.tag in known.strong | known.weak):
            request.answer(304, headers, b"")
        else:
            request.answer(200, (JSON, *headers), self.body)

    def _options(self, request: Request) -> None:
        headers = [(b"Allow", _ALLOW)]
        if b"access-control-request-method" in request.fields:
            headers = [
                _OPEN,
                (b"Access-Control-Allow-Methods", _ALLOW),
                (b"Access-Control-Allow-Headers", b"If-None-Match"),
                (b"Access-Control-Max-Age", b"600"),
            ]
        request.answer(204, headers, b"")
