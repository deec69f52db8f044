"""One message as JSON has it, in batches and in streams: checked member by member, all that is wrong said at once."""

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
"""The type of a message that is text and says no other."""

BYTES: Final = "application/octet-stream"
"""The type of a message that is bytes and says no other."""

MAX_TYPE: Final = 1024
"""Characters of a content type at the most."""

MAX_HEADERS: Final = 8192
"""Bytes of a message's own headers at the most, as compact JSON in UTF-8."""

MAX_KEY: Final = 255
"""Characters of an Idempotency-Key at the most."""

RESERVED: Final = "queuey-"
"""The beginning of names that is reserved for Queuey's own headers, in any case of letters."""

KEY: Final = "idempotency_key"
"""The member by which a message of a stream is stored once."""

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_MEDIA_TYPE: Final = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?>(?: *+; *+(?>(?:{_TOKEN}=(?:{_TOKEN}|"(?>(?:[ !#-\[\]-~]|\\[ -~])*)"))?))*)', re.ASCII
)
_PRINTABLE: Final = re.compile(rf"[ -~]{{1,{MAX_KEY}}}")
_MEMBERS: Final = ("body", "body_base64", "content_type", "ttl", "partition", "key", "delay", "headers")

_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def is_media_type(text: str) -> bool:
    """Whether text is a media type as HTTP writes it: ASCII, and no control characters."""
    return len(text) <= MAX_TYPE and _MEDIA_TYPE.fullmatch(text) is not None


def is_idempotency_key(text: str) -> bool:
    """Whether text can be an Idempotency-Key: 1 to 255 printable ASCII characters."""
    return _PRINTABLE.fullmatch(text) is not None


def long_key(size: int) -> str:
    """Return what is wrong with a key of so many bytes."""
    return f"has {size} bytes in UTF-8; at most {MAX_MESSAGE_KEY} are allowed"


def encoded_headers(headers: Any, back: bool = False) -> bytes | str:
    """A message's own headers as they are stored, or in words what is wrong with them.

    :param back: whether the message is put back, and may have what Queuey has added to its headers before.
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

    :ivar partitions: how many the queue has.
    :ivar ttl: seconds to live for those that do not say.
    :ivar keyed: whether each may have an ``idempotency_key``; see :func:`idempotency_key`.
    :ivar trace: of the request; that of those that do not say.
    """

    partitions: int
    ttl: int
    keyed: bool = False
    trace: TraceContext | None = None
    _bare: bytes | None = attrs.field(init=False)

    @_bare.default
    def _headers_of_most(self) -> bytes | None:
        """The encoded headers of messages that bring no headers themselves."""
        return None if self.trace is None else with_context(None, self.trace, MAX_HEADERS)

    def draft(self, item: Any, pointer: str, mistakes: Mistakes) -> Draft:
        """Return the draft of one message; the draft must not be used if a mistake was noted.

        :param item: the decoded JSON value, of any type.
        :param pointer: its JSON pointer (RFC 6901).
        :param mistakes: collects what is wrong.
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
    """The ``idempotency_key`` of a message object; ``None`` if it has none, or a wrong one."""
    if type(item) is not dict or KEY not in item:
        return None
    key = item[KEY]
    if type(key) is str and is_idempotency_key(key):
        return key
    mistakes.add(f"{pointer}/{KEY}", f"is not text of 1 to {MAX_KEY} printable ASCII characters")
    return None


class Members:
    """The members of one message object; each getter notes what is wrong, and then gives what does no harm."""

    __slots__ = ("_item", "_mistakes", "_pointer")

    def __init__(self, item: dict[str, Any], pointer: str, mistakes: Mistakes) -> None:
        self._item = item
        self._pointer = pointer
        self._mistakes = mistakes

    def wrong(self, name: str, detail: str) -> None:
        """Note what is wrong with a member."""
        self._mistakes.add(f"{self._pointer}/{pointer_part(name)}", detail)

    def only(self, known: Sequence[str], keyed: bool) -> None:
        """Refuse members that no message has."""
        unknown = [name for name in self._item if name not in known and not (keyed and name == KEY)]
        detail = f"is not known; known here: {', '.join((*known, KEY) if keyed else known)}" if unknown else ""
        for name in unknown:
            if name == KEY:
                self.wrong(name, "is only for streams; a batch has one Idempotency-Key, in the header")
            else:
                self.wrong(name, detail)

    def body(self) -> bytes:
        """The bytes, from either of the two members that may have them."""
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
        """The type, or what the body has by default."""
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
        """The text by which a partition is chosen, where none is named."""
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
        """How long until it is due."""
        try:
            return Ticks(round(DELAY.of_json(self._item.get("delay", 0)) * SECOND))
        except ValueError:
            self.wrong("delay", DELAY.refusal())
            return Ticks(0)
