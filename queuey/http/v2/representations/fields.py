"""The header fields of v2 answers, and the texts in them."""

from __future__ import annotations

from functools import lru_cache
from string import ascii_letters, digits
from typing import Final
from urllib.parse import quote

from queuey.http.answers.encoding import JSON, Field
from queuey.http.v2.inputs.items import BYTES, TEXT, is_media_type
from queuey.model.messages.message import Content
from queuey.model.queues.queue import Queue

NO_STORE: Final[Field] = (b"Cache-Control", b"no-store")
ASK_AGAIN: Final[Field] = (b"Cache-Control", b"private, no-cache")
"""Of what a client may keep that asks each time whether it still is so: anything can be deleted, or expire."""

HEAD: Final = (JSON, NO_STORE)
"""The fields of every answer in JSON."""

HEAD_REPLAYED: Final = (*HEAD, (b"Idempotency-Replayed", b"true"))
"""Those of an answer to a request that an earlier one with the same Idempotency-Key has done."""

_PLAIN_HEADERS: Final = "!#$&'()*+,-./:;<=>?@[]^_`{|}~"
"""Characters that a Queuey-Headers field has unencoded, besides letters and digits."""

_URI: Final = "!$%&'()*+,-./:;=@_~"
"""Characters that the path of a URI has unencoded, besides letters and digits; and the percent sign."""

_AS_THEY_ARE: Final = (ascii_letters + digits + _URI).encode("ascii")
"""All of these characters: most paths have no others, so a check is faster than quoting."""


def content_type_of(content: Content) -> str:
    """Return the type of a message for a header field; it is always a media type, whatever was stored.

    Messages of v1 may have none, or any text; without one they are text.
    """
    return media_type(content.content_type)


def media_type(content_type: str | None) -> str:
    """Return the media type by which a message is shown that was stored with this one."""
    if content_type is None:
        return TEXT
    return content_type if is_media_type(content_type) else BYTES


@lru_cache(1024)
def uri_path(path: bytes) -> bytes:
    """Return the path of a request as header fields may have it: clients also send characters that no URI has."""
    return quote(path, safe=_URI).encode("ascii") if path.translate(None, _AS_THEY_ARE) else path


def headers_field(headers: bytes) -> bytes:
    """A message's own headers as the value of a field: JSON, percent-encoded."""
    return quote(headers, safe=_PLAIN_HEADERS).encode("ascii")


def etag(tag: str) -> Field:
    """The field that has an entity tag.

    :param tag: without the quotes.
    """
    return b"ETag", b'"%b"' % tag.encode("ascii")


def location(queue: Queue, *below: str) -> Field:
    """The field that has the path of a queue, or of something of it.

    :param below: for example ``"groups"`` and the name of a group.
    """
    path = "/".join([quote(part, safe="") for part in (queue.application, "queues", queue.name, *below)])
    return b"Location", f"/v2/{path}".encode("ascii")
