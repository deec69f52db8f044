"""The headers that Queuey adds to messages: of dead letters, of copies, for a key, and for SQS."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

import attrs

from queuey.model.messages.message import MAX_MESSAGE_KEY, Address, Content
from queuey.model.timeid import MessageId

LETTER: Final = "queuey-dead-letter"
"""The header of a dead letter that describes the original message."""

ONLY: Final = "queuey-only"
"""The header of a copy that names the only group that receives it."""

ORIGIN: Final = "queuey-origin"
"""The header of a copy that has the id of the original message, in the form that the APIs use."""

KEY: Final = "queuey-key"
"""The header that has a message's key; groups with order ``KEY`` keep the order of messages with the same key."""

SQS: Final = "queuey-sqs"
"""The header of a message that was sent through SQS, with its SQS attributes."""

MAX_SQS: Final = 8192
"""Maximum size in bytes of that header as compact JSON."""

MAX_LETTER: Final = 8192
"""Maximum size in bytes of a dead letter's header as compact JSON; a queue, a group and a reason of full length need
less."""

_KEY: Final = f'"{KEY}"'.encode()
_ONLY: Final = f'"{ONLY}"'.encode()
_LETTER: Final = f'"{LETTER}"'.encode()

_GID: Final = re.compile("[0-9a-f]{32}")
_ID: Final = re.compile("[0-9a-f]{32}-[1-9][0-9]{0,2}", re.ASCII)
_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@attrs.frozen
class Letter:
    """The origin of a dead letter.

    :ivar queue: the name of the original queue, and ``address`` the address of the original message in it.
    :ivar group: the name of the group that gave up the message, and ``gid`` its id.
    :ivar deliveries: number of deliveries of the message.
    :ivar reason: of the rejection, or ``LEASE_ENDED``; empty if it was rejected or retried without a reason.
    """

    queue: str
    address: Address
    group: str
    gid: bytes
    deliveries: int
    reason: str


def dead_letter(content: Content, letter: Letter) -> Content:
    """Return the content of a dead letter: that of the message, with a header that describes its origin."""
    described: dict[str, Any] = {
        "queue": letter.queue,
        "id": f"{letter.address.id.hex()}-{letter.address.partition}",
        "group": letter.group,
        "gid": letter.gid.hex(),
        "deliveries": letter.deliveries,
        "reason": letter.reason,
    }
    origin = _headers(content).get(ORIGIN)
    return _with(content, {LETTER: described if origin is None else {**described, "origin": origin}})


def copy_for(content: Content, gid: bytes) -> Content:
    """Return the content of a copy of a dead letter for one group: that of the message, with headers for the group and
    the id of the original message; if the message was a copy itself, the id of the first one."""
    header = _headers(content).get(LETTER)
    origin = header.get("origin", header.get("id")) if isinstance(header, dict) else None
    return _with(content, {ONLY: gid.hex()} if origin is None else {ONLY: gid.hex(), ORIGIN: origin})


def moved(content: Content) -> Content:
    """Return the content of a dead letter for another queue: that of the message, with the id of the original."""
    header = _headers(content).get(LETTER)
    origin = header.get("origin", header.get("id")) if isinstance(header, dict) else _headers(content).get(ORIGIN)
    return _with(content, {} if origin is None else {ORIGIN: origin})


def move_key(source: int, letter: Address, target: int) -> bytes:
    """Return the key that makes a move of a dead letter to another queue idempotent.

    :param source: the incarnation of the dead-letter queue, and ``target`` that of the other one.
    """
    return _hash(b"queuey move\0", source.to_bytes(16, "big"), target.to_bytes(16, "big"), _place(letter))


def letter_of(content: Content) -> Letter | None:
    """Return the origin of a dead letter; ``None`` if the content is not that of a dead letter."""
    if content.headers is None or _LETTER not in content.headers:
        return None
    header: Any = _headers(content).get(LETTER)
    try:
        id, _, partition = header["id"].partition("-")
        return Letter(
            str(header["queue"]),
            Address(int(partition), MessageId(bytes.fromhex(id))),
            str(header["group"]),
            bytes.fromhex(header["gid"]),
            int(header["deliveries"]),
            str(header["reason"]),
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def is_only_for_another(content: Content, gid: bytes) -> bool:
    """Return whether a message is a copy for another group only."""
    if content.headers is None or _ONLY not in content.headers:
        return False
    only = _headers(content).get(ONLY)
    return isinstance(only, str) and only != gid.hex()


def with_key(content: Content, key: str | None) -> Content:
    """Return the content with a header for the message's key, if it has one and the headers can be encoded."""
    if key is None:
        return content
    try:
        headers = _compact({**_headers(content), KEY: key}).encode("utf-8")
    except (ValueError, RecursionError):
        return content
    return Content(content.body, content.content_type, headers)


def key_of(content: Content) -> str | None:
    """Return the key of a message, or ``None``."""
    if content.headers is None or _KEY not in content.headers:
        return None
    key = _headers(content).get(KEY)
    return key if isinstance(key, str) else None


def is_ours(name: str, value: Any) -> bool:
    """Return whether Queuey may have added this header; a message that a client posts again still has it."""
    if name == LETTER:
        headers = _compact({LETTER: value}).encode("utf-8")
        return len(headers) <= MAX_LETTER and letter_of(Content(b"", None, headers)) is not None
    if name == SQS:
        return isinstance(value, dict) and len(_compact({SQS: value}).encode("utf-8")) <= MAX_SQS
    if not isinstance(value, str):
        return False
    if name == KEY:
        return 0 < len(value.encode("utf-8")) <= MAX_MESSAGE_KEY
    return (name == ONLY and _GID.fullmatch(value) is not None) or (name == ORIGIN and _ID.fullmatch(value) is not None)


def letter_key(gid: bytes, address: Address, number: int) -> bytes:
    """Return the key that makes the append of a dead letter idempotent.

    :param number: of the mark of its move.
    """
    return _hash(b"queuey dead letter\0", gid, _place(address), number.to_bytes(8, "big"))


def copy_key(gid: bytes, incarnation: int, letter: Address) -> bytes:
    """Return the key that makes the append of a copy of a dead letter idempotent.

    :param incarnation: of the dead-letter queue.
    """
    return _hash(b"queuey redrive\0", gid, incarnation.to_bytes(16, "big"), _place(letter))


def _place(address: Address) -> bytes:
    return bytes((address.partition,)) + address.id


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def _headers(content: Content) -> dict[str, Any]:
    """Return a message's headers as a dict; an empty one if they are missing or not a JSON object."""
    try:
        headers = json.loads(content.headers or b"{}")
    except (ValueError, RecursionError):
        return {}
    return headers if isinstance(headers, dict) else {}


def _own(content: Content) -> dict[str, Any]:
    """Return the headers without those that Queuey adds to dead letters and copies."""
    return {name: value for name, value in _headers(content).items() if name not in (LETTER, ONLY, ORIGIN)}


def _with(content: Content, more: dict[str, Any]) -> Content:
    """Return the content with more headers; its own headers are dropped if they cannot be encoded."""
    try:
        headers = _compact({**_own(content), **more}).encode("utf-8")
    except (ValueError, RecursionError):
        headers = _compact(more).encode("utf-8")
    return Content(content.body, content.content_type, headers)
