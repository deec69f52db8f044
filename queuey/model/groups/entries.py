"""Entries: what a group stores for each unsettled message, and the limits of its state."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

import attrs
import msgspec

from queuey.model.timeid import MessageId, Ticks

MAX_ACKED: Final = 1000
"""Number of acked leases that are remembered, to distinguish a repeated ack from a stale receipt."""

MAX_ASIDE: Final = 100
"""Maximum number of ids of set-aside messages that are remembered."""

MAX_CLAIMS: Final = 256
"""Maximum number of claims with a key whose leases have not ended."""

MAX_MOVES: Final = 128
"""Maximum number of moves under way."""

MAX_TARGETS: Final = 4
"""Maximum number of different dead-letter queues of the moves under way."""

MAX_REASON: Final = 1024
"""Maximum size in bytes of the reason that is stored with a move."""

MAX_REASONS: Final = 2048
"""Maximum size in bytes of all those reasons together. A reason is cut to half of what is left, but not to less than
``SHORT_REASON`` as long as there is room for that."""

SHORT_REASON: Final = 256
"""Size in bytes to which a reason is cut if other moves are under way; see ``MAX_REASONS``."""

MAX_DELIVERIES: Final = 65_535
"""Maximum value of the count of deliveries."""

MAX_SETBACKS: Final = 255
"""Maximum value of the count of failed moves of a message."""

GENERATION: Final = 8
"""Size of a generation in bytes."""

TOKEN: Final = 16
"""Size in bytes of the hash of a claim's key."""

KEY_SCOPE: Final = 8
"""Size in bytes of the first part of a claim's key, the hash of the Idempotency-Key and its caller; the rest is the
hash of the claim's parameters."""

WAITING: Final = 0
"""The kind of an entry without a lease: it may be claimed from its due time on."""

LEASED: Final = 1
"""The kind of an entry that was claimed: its lease ends at its due time, and it may be claimed again from then on."""

MARKED: Final = 2
"""The kind of an entry that is being moved: it cannot be claimed, and no receipt of it is valid."""


class UnreadableState(Exception):
    """The bytes are not a state: they are damaged, or a later version of Queuey wrote them, as the text says."""


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The state of one unsettled message.

    There may be a million entries, so they are excluded from garbage collection: a collection of that many objects
    would stop the reactor for a tenth of a second.

    :ivar number: of its last lease or mark; 0 if it was never delivered. It is the fencing token: only the receipt with
        this number can change the entry.
    :ivar due: when its lease ends, or when it may be claimed.
    :ivar deliveries: number of claims of the message.
    :ivar kind: ``WAITING``, ``LEASED`` or ``MARKED``.
    :ivar setbacks: number of consecutive moves that failed because the dead-letter queue was missing.
    :ivar key: the hash of the message's key; 0 if it has none, or if the entry is older than the hashes.
    """

    number: int
    due: Ticks
    deliveries: int
    kind: int
    setbacks: int = 0
    key: int = 0


def columns_of(entries: Collection[Entry]) -> list[list[int]]:
    """Return one list for each field of the entries."""
    return [
        [entry.number for entry in entries],
        [entry.due for entry in entries],
        [entry.deliveries for entry in entries],
        [entry.kind for entry in entries],
        [entry.setbacks for entry in entries],
        [entry.key for entry in entries],
    ]


@attrs.frozen
class Target:
    """A dead-letter queue.

    :ivar incarnation: of the queue; 0 if there was no queue of that name.
    """

    name: str
    incarnation: int


class Out(msgspec.Struct, frozen=True, gc=False, tag="out"):
    """A message is being moved to a dead-letter queue.

    :ivar reason: of the rejection; empty if it was delivered too often.
    """

    target: Target
    reason: str = ""


class In(msgspec.Struct, frozen=True, gc=False, tag="in"):
    """A message is being moved back: its dead letter must be removed before it can be claimed.

    :ivar source: the dead-letter queue; ``partition`` and ``letter`` are the address of the dead letter in it.
    """

    source: Target
    partition: int
    letter: MessageId


Move = Out | In


class Claim(NamedTuple):
    """The lease numbers of a claim with a key: ``size`` numbers from ``first`` on. If ``size`` is 0 it is a pointer:
    the claim was made in the partition ``first``.

    :ivar until: the end of the last of those leases; a pointer lives at least as long.
    """

    first: int
    size: int
    until: Ticks


def key_hash(key: str | None) -> int:
    """Return the hash of a message's key, four bytes and never 0; 0 without a key."""
    if key is None:
        return 0
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=4).digest(), "big") or 1


def room_for_move(moves: Mapping[MessageId, Move], target: Target) -> bool:
    """Return whether there is room for one more move with this dead-letter queue."""
    if len(moves) >= MAX_MOVES:
        return False
    named = set(targets(moves.values()))
    return target in named or len(named) < MAX_TARGETS


def targets(moves: Iterable[Move]) -> list[Target]:
    """Return the dead-letter queues of moves, each once."""
    return list(dict.fromkeys(move.target if isinstance(move, Out) else move.source for move in moves))


def fitting(reason: str, moves: Mapping[MessageId, Move]) -> str:
    """Return the start of a reason that fits into the limits if one more move is stored."""
    used = sum(len(move.reason.encode()) for move in moves.values() if isinstance(move, Out))
    room = MAX_REASONS - used
    kept = reason.encode("utf-8", "replace")[: min(MAX_REASON, room, max(room // 2, SHORT_REASON))]
    return kept.decode("utf-8", "ignore")
