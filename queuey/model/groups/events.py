"""The events of a group in one partition: what decisions lead to, and all that ever changes an index.

They are small, and can be stored: ``encode`` makes bytes of them. An event is never changed once a version of Queuey
has stored it; a new kind gets a new tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from queuey.model.groups.entries import Entry, In, Move, Out, Target
from queuey.model.timeid import MessageId, Ticks


class Leased(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """Messages were given under a lease. Their numbers rise by one from ``first`` on.

    :ivar keys: the hash of each message's key, 0 without one; empty: none has a key.
    """

    first: int
    until: Ticks
    ids: tuple[MessageId, ...]
    keys: tuple[int, ...] = ()


class Reached(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """Everything below a bound was examined."""

    reach: MessageId


class Closed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """Messages are settled.

    :ivar acked: the numbers of the leases that were acked, which are remembered.
    """

    ids: tuple[MessageId, ...]
    acked: tuple[int, ...] = ()


class Put(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """A message is open with this entry: it was given back or extended, or came back. See ``Entry``."""

    id: MessageId
    number: int
    due: Ticks
    deliveries: int
    kind: int
    setbacks: int = 0
    key: int = 0


class Marked(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """A message is being moved; the first fields are its entry.

    :ivar queue: the dead-letter queue, and ``incarnation`` which of that name, in 16 bytes.
    :ivar reason: of a move out.
    :ivar letter: the dead letter that a move in takes back, and ``partition`` where it is; empty for a move out.
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
        """The move."""
        target = Target(self.queue, int.from_bytes(self.incarnation, "big"))
        return In(target, self.partition, MessageId(self.letter)) if self.letter else Out(target, self.reason)


def marked(id: MessageId, entry: Entry, move: Move) -> Marked:
    """The event of a mark: a message has this entry, and is being moved."""
    if isinstance(move, Out):
        target, rest = move.target, (move.reason, 0, b"")
    else:
        target, rest = move.source, ("", move.partition, bytes(move.letter))
    known = (entry.number, entry.due, entry.deliveries, entry.setbacks, entry.key)
    return Marked(id, *known, target.name, target.incarnation.to_bytes(16, "big"), *rest)


class Unmarked(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=6):
    """A move has ended; the event after this one tells what became of the message."""

    id: MessageId


class SetAside(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=7):
    """Messages are settled, and remembered as set aside."""

    ids: tuple[MessageId, ...]


class NotAside(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=8):
    """Messages are no longer set aside."""

    ids: tuple[MessageId, ...]


class Keyed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=9):
    """A claim under a key was made here, or points to another partition, or lives longer. See ``Claim``."""

    key: bytes
    first: int
    size: int
    until: Ticks


class Unkeyed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=10):
    """Claims under keys are over."""

    keys: tuple[bytes, ...]


class Passed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=11):
    """Messages were examined that wait for earlier ones of their keys."""

    ids: tuple[MessageId, ...]
    keys: tuple[int, ...]


class Sought(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=12):
    """The group goes on from another place; what was open, acked or claimed under a key is forgotten.

    :ivar aside: the ids that stay set aside.
    """

    generation: bytes
    reach: MessageId
    aside: tuple[MessageId, ...]


Event = Leased | Reached | Closed | Put | Marked | Unmarked | SetAside | NotAside | Keyed | Unkeyed | Passed | Sought

encode: Final = msgspec.msgpack.Encoder().encode
"""A list of events as bytes."""

_decoder: Final = msgspec.msgpack.Decoder(list[Event])


def decode(data: bytes) -> Sequence[Event]:
    """The events that bytes are.

    :raise ValueError: they are damaged, or of a later version of Queuey.
    """
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as problem:
        raise ValueError(f"the events of a group are damaged, or of a later version: {problem}") from None
