"""Message objects in the JSON of batches and streams: each member is checked, and all mistakes are reported."""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from collections.abc import Sequence
from typing import Any, Final

import attrs

from queuey.http.inputs.mistakes import Mistakes
from queuey.http.v2.inputs.parameters import pointer_part
from queuey.model.fields import DELAY, TTL, Whole, partition
from queuey.model.messages.batch import Drafts
from queuey.model.messages.dead_letter_headers import is_ours
from queuey.model.messages.message import MAX_MESSAGE_KEY, Content, Draft
from queuey.model.telemetry.trace import TraceContext, with_context
from queuey.model.timeid import SECOND, Ticks

TEXT: Final = "text/plain;charset=utf-8"
"""The default media type of a message with a text body."""

BYTES: Final = "application/octet-stream"
"""The default media type of a message with a base64 body."""

MAX_TYPE: Final = 1024
"""Maximum length of a content type in characters."""

MAX_HEADERS: Final = 8192
"""Maximum size in bytes of a message's own headers, as compact JSON in UTF-8."""

MAX_KEY: Final = 255
"""Maximum length of an Idempotency-Key in characters."""

RESERVED: Final = "queuey-"
"""The beginning of names that is reserved for Queuey's own headers, in any case of letters."""

KEY: Final = "idempotency_key"
"""The member with the Idempotency-Key of a message of a stream."""

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_MEDIA_TYPE: Final = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?>(?: *+; *+(?>(?:{_TOKEN}=(?:{_TOKEN}|"(?>(?:[ !#-\[\]-~]|\\[ -~])*)"))?))*)', re.ASCII
)
_PRINTABLE: Final = re.compile(rf"[ -~]{{1,{MAX_KEY}}}")
_MEMBERS: Final = ("body", "body_base64", "content_type", "ttl", "partition", "key", "delay", "headers")

_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def is_media_type(text: str) -> bool:
    """Return whether a text is a media type in the syntax of HTTP: ASCII without control characters."""
    return len(text) <= MAX_TYPE and _MEDIA_TYPE.fullmatch(text) is not None


def is_idempotency_key(text: str) -> bool:
    """Return whether a text can be an Idempotency-Key: 1 to 255 printable ASCII characters."""
    return _PRINTABLE.fullmatch(text) is not None


def long_key(size: int) -> str:
    """Return the refusal of a message key of this size in bytes, which is over the maximum."""
    return f"has {size} bytes in UTF-8; at most {MAX_MESSAGE_KEY} are allowed"


def encoded_headers(headers: Any, back: bool = False) -> bytes | str:
    """Return a message's own headers as they are stored, or the text of a refusal.

    :param back: whether the message is restored, and so may have headers that Queuey added.
    """
    if type(headers) is not dict:
        return "is not an object"
    reserved = {name: value for name, value in headers.items() if name[: len(RESERVED)].lower() == RESERVED}
    if reserved and back:
        own = encoded_headers({name: value for name, value in headers.items() if name not in reserved})
        if type(own) is str:
            return own
        for name, value in reserved.items():
            if not is_ours(name, value):
                return f'has a name that begins with "{RESERVED}", and not what Queuey itself gives messages under it'
        return _compact(headers).encode("utf-8")
    if reserved:
        return f'has a name that begins with "{RESERVED}" in upper or lower case; such names are reserved for Queuey'
    try:
        encoded = _compact(headers).encode("utf-8")
    except (ValueError, RecursionError):
        return "cannot be stored: it has half of a surrogate pair, a number beyond 1.8e308, or is nested too deeply"
    if len(encoded) > MAX_HEADERS:
        return f"has {len(encoded)} bytes as compact JSON; at most {MAX_HEADERS} are allowed"
    return encoded


@attrs.frozen
class Items:
    """Makes drafts of the message objects that are sent to one queue.

    :ivar partitions: number of partitions of the queue.
    :ivar ttl: time to live in seconds of messages without one of their own.
    :ivar keyed: whether each may have an ``idempotency_key``; see :func:`idempotency_key`.
    :ivar trace: the trace context of the request, for messages without one of their own.
    """

    partitions: int
    ttl: int
    keyed: bool = False
    trace: TraceContext | None = None
    _bare: bytes | None = attrs.field(init=False)

    @_bare.default
    def _headers_of_most(self) -> bytes | None:
        """Return the encoded headers of messages without headers of their own."""
        return None if self.trace is None else with_context(None, self.trace, MAX_HEADERS)

    def draft(self, item: Any, pointer: str, mistakes: Mistakes) -> Draft:
        """Return the draft of one message; the draft must not be used if a mistake was noted.

        :param item: the decoded JSON value, of any type.
        :param pointer: its JSON pointer (RFC 6901).
        :param mistakes: collects the mistakes.
        """
        if type(item) is dict and len(item) == 1 and type(body := item.get("body")) is str:
            try:
                # The usual case; only the encoding can fail here.
                return Draft(Content(body.encode("utf-8"), TEXT, self._bare), self.ttl)
            except UnicodeEncodeError:
                pass
        if type(item) is not dict:
            mistakes.add(pointer, "is not an object")
            return Draft(Content(b""), self.ttl)
        return self._checked(Members(item, pointer, mistakes))

    def plain(self, bodies: Sequence[bytes]) -> Drafts:
        """Return the drafts of messages that have a text body and no other member."""
        return Drafts(bodies, self.ttl, TEXT, self._bare)

    def _traced(self, headers: bytes | None) -> bytes | None:
        return headers if self.trace is None else with_context(headers, self.trace, MAX_HEADERS)

    def _checked(self, members: Members) -> Draft:
        members.only(_MEMBERS, self.keyed)
        content = Content(members.body(), members.content_type(), self._traced(members.headers()))
        ttl = members.number(TTL) or self.ttl
        number, key = members.number(partition(self.partitions)), members.key()
        return Draft(content, ttl, number, key, members.delay())


def idempotency_key(item: Any, pointer: str, mistakes: Mistakes) -> str | None:
    """Return the ``idempotency_key`` of a message object; ``None`` if it has none or an invalid one."""
    if type(item) is not dict or KEY not in item:
        return None
    key = item[KEY]
    if type(key) is str and is_idempotency_key(key):
        return key
    mistakes.add(f"{pointer}/{KEY}", f"is not text of 1 to {MAX_KEY} printable ASCII characters")
    return None


class Members:
    """The members of one message object. The getter of an invalid one notes the mistake and returns a valid default."""

    __slots__ = ("_item", "_mistakes", "_pointer")

    def __init__(self, item: dict[str, Any], pointer: str, mistakes: Mistakes) -> None:
        self._item = item
        self._pointer = pointer
        self._mistakes = mistakes

    def wrong(self, name: str, detail: str) -> None:
        """Note a mistake in a member."""
        self._mistakes.add(f"{self._pointer}/{pointer_part(name)}", detail)

    def only(self, known: Sequence[str], keyed: bool) -> None:
        """Note the unknown members as mistakes."""
        unknown = [name for name in self._item if name not in known and not (keyed and name == KEY)]
        detail = f"is not known; known here: {', '.join((*known, KEY) if keyed else known)}" if unknown else ""
        for name in unknown:
            if name == KEY:
                self.wrong(name, "is only for streams; a batch has one Idempotency-Key, in the header")
            else:
                self.wrong(name, detail)

    def body(self) -> bytes:
        """Return the body, from ``body`` or ``body_base64``."""
        text, encoded = self._item.get("body"), self._item.get("body_base64")
        if "body_base64" in self._item:
            if "body" in self._item:
                self.wrong("body_base64", "cannot be given together with body")
                return b""
            return self._decoded(encoded)
        if "body" not in self._item:
            self._mistakes.add(self._pointer, "has neither body nor body_base64")
            return b""
        return self._utf8("body", text)

    def _decoded(self, value: Any) -> bytes:
        try:
            if type(value) is str:
                return a2b_base64(value, strict_mode=True)
        except ValueError:
            pass
        self.wrong("body_base64", "is not text in base64 (RFC 4648, section 4), padded and without line ends")
        return b""

    def _utf8(self, name: str, value: Any) -> bytes:
        if type(value) is not str:
            self.wrong(name, "is not text")
            return b""
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError:
            self.wrong(name, "is not Unicode text: half of a surrogate pair stands alone")
            return b""

    def content_type(self) -> str:
        """Return the media type, or the default one for the kind of body."""
        value = self._item.get("content_type")
        if "content_type" not in self._item:
            return BYTES if "body_base64" in self._item else TEXT
        if type(value) is str and is_media_type(value):
            return value
        self.wrong("content_type", f"is not a media type of at most {MAX_TYPE} ASCII characters")
        return BYTES

    def headers(self, back: bool = False) -> bytes | None:
        """The message's own headers, encoded; see :func:`encoded_headers`."""
        if "headers" not in self._item:
            return None
        encoded = encoded_headers(self._item["headers"], back)
        if type(encoded) is bytes:
            return encoded
        self.wrong("headers", str(encoded))
        return None

    def number(self, field: Whole) -> int | None:
        """Return a whole number, or ``None`` if it is absent or wrong."""
        if field.name not in self._item:
            return None
        try:
            return field.of_json(self._item[field.name])
        except ValueError:
            self.wrong(field.name, field.refusal())
            return None

    def key(self) -> str | None:
        """Return the message key, which chooses the partition, or ``None``."""
        if "key" not in self._item:
            return None
        value = self._item["key"]
        if "partition" in self._item:
            self.wrong("key", "cannot be given together with a partition")
        elif value == "":
            self.wrong("key", "is empty")
        elif encoded := self._utf8("key", value):
            if len(encoded) <= MAX_MESSAGE_KEY:
                return str(value)
            self.wrong("key", long_key(len(encoded)))
        return None

    def delay(self) -> Ticks:
        """Return the delay in ticks."""
        try:
            return Ticks(round(DELAY.of_json(self._item.get("delay", 0)) * SECOND))
        except ValueError:
            self.wrong("delay", DELAY.refusal())
            return Ticks(0)
