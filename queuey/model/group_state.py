"""The state of one consumer group in one partition, as a value and as bytes.

It is small enough to be replaced as a whole, by compare-and-set, at each claim and at each settlement, whatever the
group has before it: every list in it has a bound, and so have its bytes. What may happen to it is in
:mod:`queuey.model.group`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Final, NamedTuple

import attrs

from queuey.model.timeid import MessageId, Ticks

MAX_OPEN: Final = 1000
"""Messages that are examined and not settled, at the most."""

MAX_ACKED: Final = 1000
"""Lease numbers that were acked last, at the most: a repeat of those is told from what is stale."""

MAX_ASIDE: Final = 100
"""Messages set aside of which the id is kept, at the most."""

MAX_CLAIMS: Final = 256
"""Claims under a key whose lease lives, at the most."""

MAX_MOVES: Final = 128
"""Moves under way, at the most."""

MAX_TARGETS: Final = 4
"""Dead-letter queues that the moves under way name, at the most."""

MAX_REASON: Final = 256
"""Bytes of the reason that is kept with a move, at the most."""

MAX_REASONS: Final = 2048
"""Bytes of all those reasons together, at the most; one for which there is no room is not kept."""

MAX_TOKENS: Final = 32
"""Tokens of the changes that were made last, at the most."""

MOST_DELIVERIES: Final = 65_535
"""Deliveries are counted up to here."""

MOST_SETBACKS: Final = 255
"""Failed moves of one message are counted up to here."""

GENERATION: Final = 8
"""Bytes of a generation."""

TOKEN: Final = 16
"""Bytes of a token, and of the hash of a claim's key."""

KEY_SCOPE: Final = 8
"""Bytes that a claim's key begins with which tell an Idempotency-Key and its caller; the rest tells what was asked."""

WAITING: Final = 0
"""The kind of an entry that no lease is on: it may be claimed from its due time on."""

LEASED: Final = 1
"""The kind of an entry that was claimed: its lease ends at its due time, and it may be claimed anew from then on."""

MARKED: Final = 2
"""The kind of an entry that is being moved: nobody can claim it, and no receipt of it holds."""


class UnreadableState(Exception):
    """The bytes are no state: they are damaged, or a later version of Queuey wrote them. The text says which."""


class Entry(NamedTuple):
    """What is known of one message that is not settled; a plain tuple, as a state has up to a thousand.

    :ivar number: of its last lease or mark. It is the fence: only the receipt that has it can change anything.
    :ivar due: when its lease ends, or when it may be claimed.
    :ivar deliveries: how often it was claimed.
    :ivar kind: ``WAITING``, ``LEASED`` or ``MARKED``.
    :ivar setbacks: how often its dead-letter queue was missing, one time after another.
    """

    number: int
    due: Ticks
    deliveries: int
    kind: int
    setbacks: int = 0


@attrs.frozen
class Target:
    """A dead-letter queue in one of its lives.

    :ivar incarnation: of that life; 0 where there was none of that name.
    """

    name: str
    incarnation: int


@attrs.frozen
class Out:
    """A message is on its way to a dead-letter queue.

    :ivar reason: that of a rejection, or ``LEASE_ENDED``; empty if it was rejected or given back without a reason.
    """

    target: Target
    reason: str = ""


@attrs.frozen
class In:
    """A message is on its way back: its dead letter is to be removed before it can be claimed.

    :ivar source: the queue that has the dead letter, and ``partition`` and ``letter`` where it is in there.
    """

    source: Target
    partition: int
    letter: MessageId


Move = Out | In


class Claim(NamedTuple):
    """What was given under a key: messages with ``size`` lease numbers from ``first`` on; or, where ``size`` is 0,
    a pointer: what was given under it is in the partition ``first``.

    :ivar until: the end of the last of those leases; of a pointer, they end no later.
    """

    first: int
    size: int
    until: Ticks


@attrs.frozen
class GroupState:
    """One group in one partition. Nobody changes what is in it: a change makes another one.

    :ivar generation: random, and another one after each seek.
    :ivar reach: a bound: every id below it was examined, and is settled unless it is in ``open``.
    :ivar last: the greatest lease number there was; it never falls, whatever else begins anew.
    :ivar open: what is not settled, by rising ids.
    :ivar acked: the lease numbers acked last, in the order in which that was.
    :ivar aside: the ids set aside last, in the order in which that was.
    :ivar set_aside: how many were set aside, less those that were taken back.
    :ivar claims: by the hashes of their keys, in the order of their lease numbers.
    :ivar moves: by the ids of entries that are marked.
    :ivar tokens: of the last changes: whoever does not know what became of a change looks for its token here.
    """

    generation: bytes
    reach: MessageId
    last: int = 0
    open: Mapping[MessageId, Entry] = attrs.field(factory=dict)
    acked: tuple[int, ...] = ()
    aside: tuple[MessageId, ...] = ()
    set_aside: int = 0
    claims: Mapping[bytes, Claim] = attrs.field(factory=dict)
    moves: Mapping[MessageId, Move] = attrs.field(factory=dict)
    tokens: tuple[bytes, ...] = ()


def stamped(state: GroupState, token: bytes) -> GroupState:
    """The state with the token of the change that is about to be made.

    :param token: ``TOKEN`` bytes that no other change has.
    """
    return attrs.evolve(state, tokens=(*state.tokens, token)[-MAX_TOKENS:])


def room_for_move(moves: Mapping[MessageId, Move], target: Target) -> bool:
    """Whether one more move, that names this queue, fits."""
    if len(moves) >= MAX_MOVES:
        return False
    named = set(_targets(moves.values()))
    return target in named or len(named) < MAX_TARGETS


def fitting(reason: str, moves: Mapping[MessageId, Move]) -> str:
    """As much of a reason as can be kept with one more move."""
    kept = reason.encode("utf-8", "replace")[:MAX_REASON]
    used = sum(len(move.reason.encode()) for move in moves.values() if isinstance(move, Out))
    return kept.decode("utf-8", "ignore") if used + len(kept) <= MAX_REASONS else ""


# As bytes

_FORMAT: Final = 1
_CHECK: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(f">B{GENERATION}s16sQQHHBHBBB")
_CLAIM: Final = struct.Struct(f">{TOKEN}sQHQ")
_TARGET: Final = struct.Struct(">16sB")
_MOVE: Final = struct.Struct(">HBH")
"""The place of the entry, the target (and whether it is a move in), and the bytes that follow."""

_LETTER: Final = struct.Struct(">B16s")
_INWARD: Final = 0x80


def _sealed(data: bytes) -> bytes:
    return data + _CHECK.pack(zlib.crc32(data))


def encode(state: GroupState) -> bytes:
    """A state as bytes; as long as its lists keep to their bounds, they are less than 64 KiB."""
    targets = _targets(state.moves.values())
    head = _HEAD.pack(
        _FORMAT,
        state.generation,
        state.reach,
        state.last,
        state.set_aside,
        len(state.open),
        len(state.acked),
        len(state.aside),
        len(state.claims),
        len(state.moves),
        len(state.tokens),
        len(targets),
    )
    parts = [
        head,
        b"".join(state.open),
        struct.pack(_columns(len(state.open)), *chain.from_iterable(zip(*state.open.values(), strict=True))),
        struct.pack(f">{len(state.acked)}Q", *state.acked),
        b"".join(state.aside),
        b"".join(state.tokens),
        *(_CLAIM.pack(key, claim.first, claim.size, claim.until) for key, claim in state.claims.items()),
        *map(_target_bytes, targets),
        *(_moves_bytes(state, targets) if targets else ()),
    ]
    return _sealed(b"".join(parts))


def decode(value: bytes) -> GroupState:
    """The state that bytes are.

    :raise UnreadableState: they are damaged, or of a later version.
    """
    if value and value[0] > _FORMAT:
        raise UnreadableState(
            f"The state of a group has format {value[0]}, of a later version of Queuey; this one reads {_FORMAT}."
        )
    data = value[: -_CHECK.size]
    if not data or value != _sealed(data):
        raise UnreadableState("The state of a group is damaged: its checksum is not that of its bytes.")
    try:
        return _decoded(_Reader(data))
    except (struct.error, ValueError, IndexError) as problem:
        raise UnreadableState(f"The state of a group is damaged: {problem}.") from None


class _Reader:
    """Takes one piece after another off some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next bytes, so many."""
        piece = self._data[self._at : self._at + size]
        if len(piece) < size:
            raise ValueError("it ends too early")
        self._at += size
        return piece

    def ids(self, count: int) -> tuple[MessageId, ...]:
        """The next ids."""
        return struct.unpack("16s" * count, self.take(16 * count))

    def unpack(self, layout: str) -> tuple[int, ...]:
        """The next numbers."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def end(self) -> None:
        """Nothing is left."""
        if self._at != len(self._data):
            raise ValueError("more follows than it says")


def _decoded(reader: _Reader) -> GroupState:
    head = _HEAD.unpack(reader.take(_HEAD.size))
    form, generation, reach, last, set_aside, open_, acked, aside, claims, moves, tokens, targets = head
    if form != _FORMAT:
        raise ValueError(f"there is no format {form}")
    ids = reader.ids(open_)
    columns = reader.unpack(_columns(open_))
    state = GroupState(
        generation,
        reach,
        last,
        dict(zip(ids, _entries(columns, open_), strict=True)),
        reader.unpack(f">{acked}Q"),
        reader.ids(aside),
        set_aside,
        tokens=struct.unpack(f"{TOKEN}s" * tokens, reader.take(TOKEN * tokens)),
        claims={row[0]: Claim._make(row[1:]) for row in _CLAIM.iter_unpack(reader.take(claims * _CLAIM.size))},
        moves=_read_moves(reader, ids, moves, targets),
    )
    reader.end()
    marked = sum(state.open[id].kind == MARKED for id in state.moves)
    if not len(state.moves) == marked == moves == columns[-2 * open_ : -open_ or None].count(MARKED):
        raise ValueError("what is marked and what is moved are not the same")
    if len(state.open) != open_:
        raise ValueError("a message is open twice")
    return state


def _columns(entries: int) -> str:
    """How the entries are laid out: one field of all of them after another, which is quick to read."""
    return f">{entries}Q{entries}Q{entries}H{entries}B{entries}B"


def _entries(columns: tuple[int, ...], count: int) -> list[Entry]:
    fields = [columns[at * count : (at + 1) * count] for at in range(len(Entry._fields))]
    # Entry(*fields) is a function in Python; this makes the same tuples in a third of the time.
    return list(map(tuple.__new__, repeat(Entry), zip(*fields, strict=True)))


def _targets(moves: Iterable[Move]) -> list[Target]:
    """The queues that moves name, each once."""
    return list(dict.fromkeys(move.target if isinstance(move, Out) else move.source for move in moves))


def _target_bytes(target: Target) -> bytes:
    name = target.name.encode()
    return _TARGET.pack(target.incarnation.to_bytes(16, "big"), len(name)) + name


def _moves_bytes(state: GroupState, targets: Sequence[Target]) -> Iterable[bytes]:
    places = {id: place for place, id in enumerate(state.open)}
    for id, move in state.moves.items():
        if isinstance(move, Out):
            number, tail = targets.index(move.target), move.reason.encode()
        else:
            number, tail = targets.index(move.source) | _INWARD, _LETTER.pack(move.partition, move.letter)
        yield _MOVE.pack(places[id], number, len(tail)) + tail


def _read_moves(reader: _Reader, ids: Sequence[MessageId], count: int, targets: int) -> dict[MessageId, Move]:
    named = [_read_target(reader) for _ in range(targets)]
    moves: dict[MessageId, Move] = {}
    for _ in range(count):
        place, number, size = _MOVE.unpack(reader.take(_MOVE.size))
        tail = reader.take(size)
        if number & _INWARD:
            moves[ids[place]] = In(named[number & ~_INWARD], *_LETTER.unpack(tail))
        else:
            moves[ids[place]] = Out(named[number], tail.decode())
    return moves


def _read_target(reader: _Reader) -> Target:
    incarnation, size = _TARGET.unpack(reader.take(_TARGET.size))
    return Target(reader.take(size).decode(), int.from_bytes(incarnation, "big"))
