"""What headers say of messages that a group has moved: dead letters, and copies that are for one group alone."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

import attrs

from queuey.model.message import MAX_MESSAGE_KEY, Address, Content
from queuey.model.timeid import MessageId

LETTER: Final = "queuey-dead-letter"
"""The member of a dead letter's headers that tells where it comes from."""

ONLY: Final = "queuey-only"
"""The member of a copy's headers that names the one group that is given it."""

ORIGIN: Final = "queuey-origin"
"""The member of a copy's headers that has the id of the message that it stands for, as APIs have ids."""

KEY: Final = "queuey-key"
"""The member of a message's headers that has its key, by which groups give messages of one key in their order."""

MAX_LETTER: Final = 2048
"""Bytes of what a dead letter tells, as compact JSON: more than a queue, a group and a reason of full length take."""

_KEY: Final = f'"{KEY}"'.encode()
_ONLY: Final = f'"{ONLY}"'.encode()
_LETTER: Final = f'"{LETTER}"'.encode()

_GID: Final = re.compile("[0-9a-f]{32}")
_ID: Final = re.compile("[0-9a-f]{32}-[1-9][0-9]{0,2}", re.ASCII)
_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@attrs.frozen
class Letter:
    """Where a dead letter comes from.

    :ivar queue: the name of the queue that had the message, and ``address`` where it was in there.
    :ivar group: the name of the group that gave it up, and ``gid`` which of that name.
    :ivar deliveries: how often it was given.
    :ivar reason: that of a rejection, or ``LEASE_ENDED``; empty if it was rejected or given back without a reason.
    """

    queue: str
    address: Address
    group: str
    gid: bytes
    deliveries: int
    reason: str


def dead_letter(content: Content, letter: Letter) -> Content:
    """What a message carries once it is a dead letter: the same, and where it comes from."""
    told: dict[str, Any] = {
        "queue": letter.queue,
        "id": f"{letter.address.id.hex()}-{letter.address.partition}",
        "group": letter.group,
        "gid": letter.gid.hex(),
        "deliveries": letter.deliveries,
        "reason": letter.reason,
    }
    origin = _headers(content).get(ORIGIN)
    return _with(content, {LETTER: told if origin is None else {**told, "origin": origin}})


def copy_for(content: Content, gid: bytes) -> Content:
    """What a copy of a dead letter carries: the same as the message did, for which group it is, and the id of that
    message; of the first one, where that was a copy itself."""
    told = _headers(content).get(LETTER)
    origin = told.get("origin", told.get("id")) if isinstance(told, dict) else None
    return _with(content, {ONLY: gid.hex()} if origin is None else {ONLY: gid.hex(), ORIGIN: origin})


def letter_of(content: Content) -> Letter | None:
    """Where a dead letter comes from; ``None`` where it is none."""
    if content.headers is None or _LETTER not in content.headers:
        return None
    told: Any = _headers(content).get(LETTER)
    try:
        id, _, partition = told["id"].partition("-")
        return Letter(
            str(told["queue"]),
            Address(int(partition), MessageId(bytes.fromhex(id))),
            str(told["group"]),
            bytes.fromhex(told["gid"]),
            int(told["deliveries"]),
            str(told["reason"]),
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def is_only_for_another(content: Content, gid: bytes) -> bool:
    """Whether a message is a copy that another group is given, and not this one."""
    if content.headers is None or _ONLY not in content.headers:
        return False
    only = _headers(content).get(ONLY)
    return isinstance(only, str) and only != gid.hex()


def with_key(content: Content, key: str | None) -> Content:
    """What a message carries that was posted with a key: the key too, by which groups can keep its order."""
    if key is None:
        return content
    try:
        headers = _compact({**_headers(content), KEY: key}).encode("utf-8")
    except (ValueError, RecursionError):
        return content
    return Content(content.body, content.content_type, headers)


def key_of(content: Content) -> str | None:
    """The key of a message; ``None`` if it has none."""
    if content.headers is None or _KEY not in content.headers:
        return None
    key = _headers(content).get(KEY)
    return key if isinstance(key, str) else None


def is_ours(name: str, value: Any) -> bool:
    """Whether a member of a message's headers may have been added here; a message that is put back still has it."""
    if name == LETTER:
        headers = _compact({LETTER: value}).encode("utf-8")
        return len(headers) <= MAX_LETTER and letter_of(Content(b"", None, headers)) is not None
    if not isinstance(value, str):
        return False
    if name == KEY:
        return 0 < len(value.encode("utf-8")) <= MAX_MESSAGE_KEY
    return (name == ONLY and _GID.fullmatch(value) is not None) or (name == ORIGIN and _ID.fullmatch(value) is not None)


def letter_key(gid: bytes, address: Address, number: int) -> bytes:
    """The key under which a dead letter is written, so that it is written once.

    :param number: of the mark that its move has.
    """
    return _hash(b"queuey dead letter\0", gid, _place(address), number.to_bytes(8, "big"))


def copy_key(gid: bytes, incarnation: int, letter: Address) -> bytes:
    """The key under which a copy of a dead letter is written, so that it is written once.

    :param incarnation: of the queue that has the dead letter.
    """
    return _hash(b"queuey redrive\0", gid, incarnation.to_bytes(16, "big"), _place(letter))


def _place(address: Address) -> bytes:
    return bytes((address.partition,)) + address.id


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def _headers(content: Content) -> dict[str, Any]:
    """A message's headers; none where it has none, or what is no object."""
    try:
        headers = json.loads(content.headers or b"{}")
    except (ValueError, RecursionError):
        return {}
    return headers if isinstance(headers, dict) else {}


def _own(content: Content) -> dict[str, Any]:
    """The headers that a message's sender gave it."""
    return {name: value for name, value in _headers(content).items() if name not in (LETTER, ONLY, ORIGIN)}


def _with(content: Content, more: dict[str, Any]) -> Content:
    """The same with more members in its headers; without its own, where those cannot be written."""
    try:
        headers = _compact({**_own(content), **more}).encode("utf-8")
    except (ValueError, RecursionError):
        headers = _compact(more).encode("utf-8")
    return Content(content.body, content.content_type, headers)
