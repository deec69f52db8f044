"""What a group keeps of single messages, and the bounds of what it keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

import attrs
import msgspec

from queuey.model.timeid import MessageId, Ticks

DEFAULT_IN_FLIGHT: Final = 120_000
"""Messages of a partition that may be examined and not settled, unless the group says otherwise."""

MAX_IN_FLIGHT: Final = 1_000_000
"""The greatest such number that a group may have."""

MAX_ACKED: Final = 1000
"""Numbers of acked leases that are remembered, so that a repeated ack is told from a stale receipt."""

MAX_ASIDE: Final = 100
"""Ids of messages set aside that are remembered."""

MAX_CLAIMS: Final = 256
"""Claims under a key whose leases have not ended."""

MAX_MOVES: Final = 128
"""Moves under way."""

MAX_TARGETS: Final = 4
"""Dead-letter queues that the moves under way name."""

MAX_REASON: Final = 256
"""Bytes of the reason that is kept with a move."""

MAX_REASONS: Final = 2048
"""Bytes of all those reasons together; a reason for which there is no room is not kept."""

MAX_DELIVERIES: Final = 65_535
"""Deliveries are counted up to here."""

MAX_SETBACKS: Final = 255
"""Failed moves of one message are counted up to here."""

GENERATION: Final = 8
"""Bytes of a generation."""

TOKEN: Final = 16
"""Bytes of the hash of a claim's key."""

KEY_SCOPE: Final = 8
"""Bytes at the start of a claim's key that stand for an Idempotency-Key and its caller; the rest stands for what was
asked."""

WAITING: Final = 0
"""The kind of an entry without a lease: it may be claimed from its due time on."""

LEASED: Final = 1
"""The kind of an entry that was claimed: its lease ends at its due time, and it may be claimed again from then on."""

MARKED: Final = 2
"""The kind of an entry that is being moved: it cannot be claimed, and no receipt of it is valid."""


class UnreadableState(Exception):
    """The bytes are no state: they are damaged, or a later version of Queuey wrote them. The text says which."""


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is known of one message that is not settled.

    There may be a million of them, and the garbage collector looks at none: one that looks through as many objects
    stops the reactor for a tenth of a second.

    :ivar number: of its last lease or mark. It is the fence: only the receipt with this number can change anything.
        0: it was never given.
    :ivar due: when its lease ends, or when it may be claimed.
    :ivar deliveries: how often it was claimed.
    :ivar kind: ``WAITING``, ``LEASED`` or ``MARKED``.
    :ivar setbacks: how often in a row its dead-letter queue was missing.
    :ivar key: the hash of the message's key; 0: it has none, or is older than the hashes.
    """

    number: int
    due: Ticks
    deliveries: int
    kind: int
    setbacks: int = 0
    key: int = 0


def columns_of(entries: Collection[Entry]) -> list[list[int]]:
    """One field of all entries after another."""
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

    :ivar incarnation: which queue of that name; 0 if there was none.
    """

    name: str
    incarnation: int


class Out(msgspec.Struct, frozen=True, gc=False, tag="out"):
    """A message is on its way to a dead-letter queue.

    :ivar reason: why it was rejected; empty if it was delivered too often.
    """

    target: Target
    reason: str = ""


class In(msgspec.Struct, frozen=True, gc=False, tag="in"):
    """A message is on its way back: its dead letter must be removed before it can be claimed.

    :ivar source: the queue that has the dead letter; ``partition`` and ``letter`` say where.
    """

    source: Target
    partition: int
    letter: MessageId


Move = Out | In


class Claim(NamedTuple):
    """What was given under a key: the messages with ``size`` lease numbers from ``first`` on. If ``size`` is 0 it is a
    pointer: the claim under this key is in the partition ``first``.

    :ivar until: the end of the last of those leases; a pointer lives no shorter.
    """

    first: int
    size: int
    until: Ticks


def key_hash(key: str | None) -> int:
    """The hash of a message's key, of four bytes and never 0; 0 without a key."""
    if key is None:
        return 0
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=4).digest(), "big") or 1


def room_for_move(moves: Mapping[MessageId, Move], target: Target) -> bool:
    """Whether one more move that names this queue fits."""
    if len(moves) >= MAX_MOVES:
        return False
    named = set(targets(moves.values()))
    return target in named or len(named) < MAX_TARGETS


def targets(moves: Iterable[Move]) -> list[Target]:
    """The queues that moves name, each once."""
    return list(dict.fromkeys(move.target if isinstance(move, Out) else move.source for move in moves))


def fitting(reason: str, moves: Mapping[MessageId, Move]) -> str:
    """As much of a reason as can be kept with one more move."""
    kept = reason.encode("utf-8", "replace")[:MAX_REASON]
    used = sum(len(move.reason.encode()) for move in moves.values() if isinstance(move, Out))
    return kept.decode("utf-8", "ignore") if used + len(kept) <= MAX_REASONS else ""
