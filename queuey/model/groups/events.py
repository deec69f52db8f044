"""The events of a group in one partition. Decisions produce them, and an index is changed by events only.

Events are small and can be stored with ``encode``. The format of an event never changes after a release of Queuey has
stored it; a new kind gets a new tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from queuey.model.groups.entries import Entry, In, Move, Out, Target
from queuey.model.timeid import MessageId, Ticks


class Leased(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """Messages were leased. Their lease numbers are consecutive from ``first`` on.

    :ivar keys: the hash of each message's key, 0 without a key; empty if no message has a key.
    """

    first: int
    until: Ticks
    ids: tuple[MessageId, ...]
    keys: tuple[int, ...] = ()


class Reached(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """All messages below a bound were examined."""

    reach: MessageId


class Closed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """Messages were settled.

    :ivar acked: the lease numbers that were acked; the index remembers them.
    """

    ids: tuple[MessageId, ...]
    acked: tuple[int, ...] = ()


class Put(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """A message is open with this entry: it was released, extended or moved back. See ``Entry``."""

    id: MessageId
    number: int
    due: Ticks
    deliveries: int
    kind: int
    setbacks: int = 0
    key: int = 0


class Marked(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """A message is being moved; the first fields are its entry.

    :ivar queue: the name of the dead-letter queue, and ``incarnation`` its incarnation in 16 bytes.
    :ivar reason: of a move to the dead-letter queue.
    :ivar letter: the id of the dead letter of a move back, and ``partition`` its partition; empty for a move to the
        dead-letter queue.
    """

    id: MessageId
    number: int
    due: Ticks
    deliveries: int
    setbacks: int
    key: int
    queue: str
    incarnation: bytes
    reason: str = ""
    partition: int = 0
    letter: bytes = b""

    @property
    def move(self) -> Move:
        """Return the move."""
        target = Target(self.queue, int.from_bytes(self.incarnation, "big"))
        return In(target, self.partition, MessageId(self.letter)) if self.letter else Out(target, self.reason)


def marked(id: MessageId, entry: Entry, move: Move) -> Marked:
    """Return the event that gives a message this entry and marks it for a move."""
    if isinstance(move, Out):
        target, rest = move.target, (move.reason, 0, b"")
    else:
        target, rest = move.source, ("", move.partition, bytes(move.letter))
    known = (entry.number, entry.due, entry.deliveries, entry.setbacks, entry.key)
    return Marked(id, *known, target.name, target.incarnation.to_bytes(16, "big"), *rest)


class Unmarked(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=6):
    """A move has ended; the next event is the result for the message."""

    id: MessageId


class SetAside(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=7):
    """Messages were settled, and remembered as set aside."""

    ids: tuple[MessageId, ...]


class NotAside(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=8):
    """Messages are no longer set aside."""

    ids: tuple[MessageId, ...]


class Keyed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=9):
    """A claim with a key was made here, is in another partition, or lives longer. See ``Claim``."""

    key: bytes
    first: int
    size: int
    until: Ticks


class Unkeyed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=10):
    """Claims with keys have ended."""

    keys: tuple[bytes, ...]


class Passed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=11):
    """Messages were examined that have to wait for earlier ones with the same key."""

    ids: tuple[MessageId, ...]
    keys: tuple[int, ...]


class Sought(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=12):
    """The group's position was changed; open messages, remembered acks and claims with a key are discarded.

    :ivar aside: the ids that stay set aside.
    """

    generation: bytes
    reach: MessageId
    aside: tuple[MessageId, ...]


Event = Leased | Reached | Closed | Put | Marked | Unmarked | SetAside | NotAside | Keyed | Unkeyed | Passed | Sought

encode: Final = msgspec.msgpack.Encoder().encode
"""Encode a list of events."""

_decoder: Final = msgspec.msgpack.Decoder(list[Event])


def decode(data: bytes) -> Sequence[Event]:
    """Decode events.

    :raise ValueError: the bytes are damaged, or were written by a later version of Queuey.
    """
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as problem:
        raise ValueError(f"the events of a group are damaged, or of a later version: {problem}") from None
