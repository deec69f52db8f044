"""The whole state of one group in one partition as an immutable value, and its binary format.

Versions up to 2.0 wrote format 1; format 2 adds a hash of each message's key. A state without such hashes is written in
format 1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

import attrs

from queuey.model.groups.entries import (
    GENERATION,
    MARKED,
    MAX_ACKED,
    TOKEN,
    Claim,
    Entry,
    In,
    Move,
    Out,
    Target,
    UnreadableState,
    columns_of,
    targets,
)
from queuey.model.groups.index import GroupIndex
from queuey.model.timeid import MessageId

MAX_OPEN: Final = 1000
"""Maximum number of open messages in a state that is stored as one value."""

MAX_TOKENS: Final = 32
"""Number of tokens of recent changes that a state keeps."""


@attrs.frozen
class GroupState:
    """The state of one group in one partition; see ``GroupIndex`` for the fields.

    :ivar open: by ascending ids.
    :ivar claims: by the hashes of their keys, in the order of their lease numbers.
    :ivar tokens: of the last changes. If the outcome of a change is unknown, its token shows whether it was stored.
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
    """Add the token of the change that is about to be made.

    :param token: ``TOKEN`` bytes, unique to the change.
    """
    return attrs.evolve(state, tokens=(*state.tokens, token)[-MAX_TOKENS:])


def index_of(state: GroupState) -> GroupIndex:
    """Return a new index with this state."""
    index = GroupIndex(state.generation, state.reach, state.last)
    index.fill_open(state.open)
    index.fill(state.acked, state.aside, state.set_aside, state.claims, state.moves)
    return index


def state_of(index: GroupIndex, tokens: tuple[bytes, ...] = ()) -> GroupState:
    """Return the state of an index."""
    return GroupState(
        index.generation,
        index.reach,
        index.last,
        dict(sorted(index.open.items())),
        tuple(index.acked)[-MAX_ACKED:],
        index.aside,
        index.set_aside,
        dict(sorted(index.claims.items(), key=lambda item: item[1].first) if index.claims else ()),
        dict(index.moves),
        tokens,
    )


# Binary format

_FORMAT: Final = 2
_WITHOUT_KEYS: Final = 1
_CHECK: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(f">B{GENERATION}s16sQQHHBHBBB")
_CLAIM: Final = struct.Struct(f">{TOKEN}sQHQ")
_TARGET: Final = struct.Struct(">16sB")
_MOVE: Final = struct.Struct(">HBH")
"""The position of the entry, the number of the target (with a bit for moves back), and the size of the rest."""

_LETTER: Final = struct.Struct(">B16s")
_INWARD: Final = 0x80


def _sealed(data: bytes) -> bytes:
    return data + _CHECK.pack(zlib.crc32(data))


def encode(state: GroupState) -> bytes:
    """Encode a state; if its lists keep to their limits, the result has less than 64 KiB."""
    named = targets(state.moves.values())
    form = _FORMAT if any(entry.key for entry in state.open.values()) else _WITHOUT_KEYS
    head = _HEAD.pack(
        form,
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
        len(named),
    )
    parts = [
        head,
        b"".join(state.open),
        _entries_bytes(state.open, form),
        struct.pack(f">{len(state.acked)}Q", *state.acked),
        b"".join(state.aside),
        b"".join(state.tokens),
        *(_CLAIM.pack(key, claim.first, claim.size, claim.until) for key, claim in state.claims.items()),
        *map(_target_bytes, named),
        *(_moves_bytes(state, named) if named else ()),
    ]
    return _sealed(b"".join(parts))


def decode(value: bytes) -> GroupState:
    """Decode a state.

    :raise UnreadableState: the bytes are damaged, or were written by a later version.
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
    """Reads consecutive parts of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        piece = self._data[self._at : self._at + size]
        if len(piece) < size:
            raise ValueError("it ends too early")
        self._at += size
        return piece

    def ids(self, count: int) -> tuple[MessageId, ...]:
        """Return the next ``count`` ids."""
        return struct.unpack("16s" * count, self.take(16 * count))

    def unpack(self, layout: str) -> tuple[int, ...]:
        """Return the next numbers."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def end(self) -> None:
        """Check that all bytes were read."""
        if self._at != len(self._data):
            raise ValueError("more follows than it says")


def _decoded(reader: _Reader) -> GroupState:
    head = _HEAD.unpack(reader.take(_HEAD.size))
    form, generation, reach, last, set_aside, open_, acked, aside, claims, moves, tokens, targets = head
    if form not in (_FORMAT, _WITHOUT_KEYS):
        raise ValueError(f"there is no format {form}")
    ids = reader.ids(open_)
    columns = reader.unpack(_columns(open_, form))
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
    if not len(state.moves) == marked == moves == columns[3 * open_ : 4 * open_].count(MARKED):
        raise ValueError("what is marked and what is moved are not the same")
    if len(state.open) != open_:
        raise ValueError("a message is open twice")
    return state


def _columns(entries: int, form: int) -> str:
    """Return the layout of the entries: column by column, which is fast to read."""
    keys = "" if form == _WITHOUT_KEYS else f"{entries}I"
    return f">{entries}Q{entries}Q{entries}H{entries}B{entries}B{keys}"


def _entries_bytes(entries: Mapping[MessageId, Entry], form: int) -> bytes:
    columns = columns_of(entries.values())
    if form == _WITHOUT_KEYS:
        del columns[-1:]
    return struct.pack(_columns(len(entries), form), *chain.from_iterable(columns))


def _entries(columns: tuple[int, ...], count: int) -> list[Entry]:
    fields = [columns[at : at + count] for at in range(0, len(columns), count or 1)]
    return list(map(Entry, *fields)) if count else []


def _target_bytes(target: Target) -> bytes:
    name = target.name.encode()
    return _TARGET.pack(target.incarnation.to_bytes(16, "big"), len(name)) + name


def _moves_bytes(state: GroupState, named: Sequence[Target]) -> Iterable[bytes]:
    places = {id: place for place, id in enumerate(state.open)}
    for id, move in state.moves.items():
        if isinstance(move, Out):
            number, tail = named.index(move.target), move.reason.encode()
        else:
            number, tail = named.index(move.source) | _INWARD, _LETTER.pack(move.partition, move.letter)
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
