"""Serves ``openapi.json``, the description of the v2 API as OpenAPI 3.1, to everyone and to pages of any origin."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Final

import attrs

from queuey.http.answers.encoding import JSON
from queuey.http.v2.inputs.parameters import Query
from queuey.http.v2.inputs.tags import tags
from queuey.http.wire import Request

PATH: Final = "/v2/openapi.json"
METHODS: Final = ("GET", "OPTIONS")

_OPEN: Final = (b"Access-Control-Allow-Origin", b"*")
_EXPOSED: Final = (b"Access-Control-Expose-Headers", b"ETag, X-Request-Id")
_ALLOW: Final = b"GET, HEAD, OPTIONS"


@functools.cache
def _content() -> bytes:
    """Read the file, once in a process."""
    return Path(__file__).with_name("openapi.json").read_bytes()


@attrs.frozen
class Description:
    """Answers with the description, byte for byte as the file has it.

    :ivar tag: its entity tag, without the quotes.
    """

    body: bytes = attrs.field(factory=_content, repr=False)
    tag: str = attrs.field(init=False)

    @tag.default
    def _make_tag(self) -> str:
        return hashlib.blake2b(self.body, digest_size=16).hexdigest()

    async def answer(self, request: Request) -> None:
        """Answer a GET, or the OPTIONS by which a browser asks before one."""
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
