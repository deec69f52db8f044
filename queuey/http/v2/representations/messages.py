"""Messages as the JSON of v2."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final

import attrs

from queuey.http.answers.bulk_json import ascii_texts_json, joined_texts_json
from queuey.http.answers.columns import Ids, expiries, interleaved
from queuey.http.answers.encoding import encode
from queuey.http.v2.representations.fields import media_type
from queuey.http.v2.representations.json_bodies import json_text
from queuey.model.messages.columns import BETWEEN, Columns
from queuey.model.messages.message import Content, Message
from queuey.model.timeid import EPOCH, SECOND, second_text, to_rfc3339

_SHORT: Final = 1024
"""Bytes of a body up to which to encode it alone takes less time than to encode it as one of several."""

_OUTSIDE_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


@attrs.frozen
class V2MessageFormat:
    """A message as v2 shows it.

    :ivar parsed: whether bodies that are JSON become the member ``json``, in place of ``body``.
    """

    parsed: bool

    def each(self, messages: Sequence[Message]) -> list[str]:
        """See :class:`~queuey.http.answers.messages.MessageFormat`."""
        if self.parsed:
            members = [_parsed_json(message.content) for message in messages]
        else:
            members = _members_json([message.content.body for message in messages])
        items = []
        last, until = None, ""
        for message, member in zip(messages, members, strict=True):
            content, partition, digits = message.content, message.partition, message.id.hex()
            # What to_rfc3339 returns, without a call for each, which would take half as long again.
            second, rest = divmod(int(digits[:12] + digits[13:16], 16) - EPOCH, SECOND)
            if message.expires != last:  # messages that came together expire together
                last, until = message.expires, to_rfc3339(message.expires)
            headers = "{}" if content.headers is None else _headers_json(content.headers)
            items.append(
                f'{{"id":"{digits}-{partition}","partition":{partition},'
                f'"timestamp":"{second_text(second)}.{rest:07d}Z","expires":"{until}",'
                f'"content_type":{_type_json(content.content_type)},"headers":{headers},{member}}}'
            )
        return items

    def columns(self, columns: Columns, between: bytes) -> bytes | None:
        """See :class:`~queuey.http.answers.messages.MessageFormat`."""
        if self.parsed:
            return None
        ids, partition, number = Ids(columns.ids), b"%d" % columns.partition, columns.number
        before, bodies, after = _bodies_json(columns)
        times, ends = ids.times(), expiries(columns)
        headers = "{}" if columns.headers is None else _headers_json(columns.headers)
        described = f'"content_type":{_type_json(columns.content_type)},"headers":{headers},'.encode("ascii")
        parts = (
            between + b'{"id":"',
            ids.hex(),
            b'-%b","partition":%b,"timestamp":"' % (partition, partition),
            times.texts(),
            b".",
            times.decimals,
            b'Z","expires":"',
            ends.texts(),
            b".",
            ends.decimals,
            b'Z",' + described + before,
            bodies,
            after + b"}",
        )
        return interleaved(parts, number)[len(between) :]


PLAIN: Final = V2MessageFormat(parsed=False)
PARSED: Final = V2MessageFormat(parsed=True)


def message_format(*, parsed: bool) -> V2MessageFormat:
    """Return the format that shows bodies that are JSON as JSON, or as text."""
    return PARSED if parsed else PLAIN


def _bodies_json(columns: Columns) -> tuple[bytes, list[bytes], bytes]:
    """The members that have the bodies: what each begins with, the rest of each, and what each ends with."""
    try:
        texts = joined_texts_json(columns.bodies, columns.number)
    except UnicodeDecodeError:
        texts = None
    if texts is not None:
        return b'"body":"', texts, b'"'
    return b"", [_body_json(body).encode("ascii") for body in columns.bodies.split(BETWEEN)], b""


@lru_cache(maxsize=256)
def _type_json(content_type: str | None) -> str:
    """The type of a message as JSON; the messages of a queue have few."""
    return encode(media_type(content_type))


def _headers_json(headers: bytes) -> str:
    """A message's own headers, which are stored as compact JSON, with everything outside ASCII escaped."""
    if headers.isascii():
        return headers.decode("ascii")
    # They are not parsed: if they are nested deeper than the stack allows now, that would fail.
    return _OUTSIDE_ASCII.sub(lambda some: encode(some[0])[1:-1], headers.decode("utf-8"))


def _members_json(bodies: Sequence[bytes]) -> list[str]:
    """The members that have the bodies."""
    # Only what a sender wrote needs to be looked at for what JSON escapes; to encode it alone takes half of the time.
    alone = len(bodies) == 1 and len(bodies[0]) <= _SHORT
    texts = None if alone else ascii_texts_json(bodies)
    return [_body_json(body) for body in bodies] if texts is None else [f'"body":"{text}"' for text in texts]


def _parsed_json(content: Content) -> str:
    """The member with the body: as JSON if it is JSON."""
    text = json_text(content)
    return _body_json(content.body) if text is None else f'"json":{text}'


def _body_json(body: bytes) -> str:
    """The member with the body: as text if it is UTF-8."""
    try:
        return f'"body":{encode_basestring_ascii(body.decode("utf-8"))}'
    except UnicodeDecodeError:
        return f'"body_base64":"{b64encode(body).decode("ascii")}"'
