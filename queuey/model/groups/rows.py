"""The stored formats of the groups of a queue: one row for each group, and an index of their names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from queuey.model import fields
from queuey.model.exports import GroupPlace
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Order
from queuey.model.pushes.settings import decode_push, encode_push
from queuey.model.queues.queue import Guarantee, states_prefix
from queuey.model.reading.start import Start
from queuey.model.timeid import MessageId, Ticks

MAX_GROUPS: Final = fields.MAX_GROUPS.high
"""Maximum number of groups of a queue; an index of that number of names fits into one value."""

_FORMAT: Final = 1
_PUSH_FORMAT: Final = 2
"""The format of a group with a push. A version without pushes refuses to read it, so it cannot drop the push."""

_SEALED_FORMAT: Final = 3
"""The same if the URL and the header fields are sealed. A version that cannot open them refuses to read it, so it does
not send messages to a part of the URL."""

_STATE_KEY: Final = re.compile(r"([0-9a-f]{32})/state/((?:[0-9a-f]{2})+)/([0-9]{1,3})")


class UnreadableGroup(Exception):
    """The bytes are not a valid row: they are damaged, or another version of Queuey wrote them, as the text says."""


def groups_key(incarnation: int) -> str:
    """Return the key of the index of a queue's groups."""
    return f"{states_prefix(incarnation)}groups"


def group_key(incarnation: int, name: str) -> str:
    """Return the key of the row of a group."""
    return f"{states_prefix(incarnation)}group/{name}"


def state_key(incarnation: int, gid: bytes, partition: int) -> str:
    """Return the key of the state of a group in a partition."""
    return f"{states_prefix(incarnation)}state/{gid.hex()}/{partition}"


def place_of(key: str) -> GroupPlace | None:
    """Parse a key that ``state_key`` made; return ``None`` for any other key."""
    match = _STATE_KEY.fullmatch(key)
    return None if match is None else GroupPlace(int(match[1], 16), bytes.fromhex(match[2]), int(match[3]))


def encode_group(group: Group) -> bytes:
    """Encode a group, without its queue and its version, because the reader knows them from the key and the stored
    value."""
    settings = group.settings
    row: dict[str, Any] = {
        "format": _FORMAT,
        "name": group.name,
        "gid": group.gid.hex(),
        "secret": group.secret.hex(),
        "start": settings.start.value if isinstance(settings.start, Start) else settings.start,
        "lease": settings.lease,
        "max_deliveries": settings.max_deliveries,
        "dead_letter": settings.dead_letter,
        "order": settings.order.value,
        "guarantee": settings.guarantee and settings.guarantee.value,
        "place": group.place.hex(),
        "created": group.created,
        "ended": group.ended,
    }
    if settings.max_in_flight != fields.MAX_IN_FLIGHT.default:
        row["max_in_flight"] = settings.max_in_flight
    if settings.push is not None:
        row["format"] = _PUSH_FORMAT if settings.push.sealed is None else _SEALED_FORMAT
        row["push"] = encode_push(settings.push)
    return json.dumps(row, separators=(",", ":")).encode("ascii")


def decode_group(value: bytes, queue: int, version: str) -> Group:
    """Decode a group.

    :param queue: the incarnation of its queue.
    :param version: of the stored value.
    :raise UnreadableGroup: the bytes are damaged, or were written by another version.
    """
    row = _object(value)
    try:
        start, guarantee, push = row["start"], row["guarantee"], row.get("push")
        return Group(
            queue,
            row["name"],
            bytes.fromhex(row["gid"]),
            bytes.fromhex(row["secret"]),
            GroupSettings(
                Ticks(start) if isinstance(start, int) else Start(start),
                row["lease"],
                row["max_deliveries"],
                row["dead_letter"],
                Order(row["order"]),
                None if guarantee is None else Guarantee(guarantee),
                row.get("max_in_flight", fields.MAX_IN_FLIGHT.default),
                None if push is None else decode_push(push),
            ),
            MessageId(bytes.fromhex(row["place"])),
            Ticks(row["created"]),
            version,
            row["ended"],
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise UnreadableGroup(f"What is kept of a group is damaged: {problem!r}.") from None


def _object(value: bytes) -> dict[str, Any]:
    try:
        row = json.loads(value)
        found = row["format"]
    except (ValueError, KeyError, TypeError):
        raise UnreadableGroup("What is kept of a group is damaged: it is no JSON of ours.") from None
    _check_format(found, _SEALED_FORMAT)
    return dict(row)


def _check_format(found: object, newest: int = _FORMAT) -> None:
    if not isinstance(found, int):
        raise UnreadableGroup("What is kept of a group is damaged: its format is no number.")
    if not _FORMAT <= found <= newest:
        raise UnreadableGroup(
            f"What is kept of a group has format {found}, of another version of Queuey; this one reads {newest}."
        )


def encode_names(names: Iterable[str]) -> bytes:
    """Encode an index; one with ``MAX_GROUPS`` names of 64 characters has less than 64 KiB."""
    return "\n".join((str(_FORMAT), *sorted(names))).encode("ascii")


def decode_names(value: bytes) -> frozenset[str]:
    """Decode the names of an index.

    :raise UnreadableGroup: the bytes are damaged, or were written by another version.
    """
    try:
        form, *names = value.decode("ascii").split("\n")
        found = int(form)
    except ValueError:
        raise UnreadableGroup("The index of a queue's groups is damaged.") from None
    _check_format(found)
    return frozenset(names)
