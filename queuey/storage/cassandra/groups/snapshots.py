"""Snapshots of states, in chunks of at most 320 KiB: neither writing nor reading one stops the reactor for long.

The first chunk has all but the entries of open messages; each of the others has some thousands of those, packed by
columns. Each chunk ends with its checksum.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from itertools import chain, islice
from typing import Final

import msgspec

from queuey.model.groups.entries import Claim, Entry, UnreadableState, columns_of
from queuey.model.groups.events import Marked, marked
from queuey.model.groups.index import GroupIndex
from queuey.model.timeid import MessageId, Ticks

ENTRIES: Final = 8192
"""Entries in one chunk."""

_FORMAT: Final = 1
_CHECK: Final = struct.Struct(">I")


class _First(msgspec.Struct, frozen=True, array_like=True):
    """The first chunk of a snapshot; see ``GroupIndex``.

    :ivar chunks: how many others there are, and ``count`` how many entries those have.
    """

    form: int
    chunks: int
    count: int
    generation: bytes
    reach: MessageId
    last: int
    set_aside: int
    acked: tuple[int, ...]
    aside: tuple[MessageId, ...]
    claims: tuple[tuple[bytes, int, int, int], ...]
    moves: tuple[Marked, ...]


class Snapshot:
    """A snapshot to write: a copy of an index as it is now.

    :ivar chunks: how many there are.
    """

    def __init__(self, index: GroupIndex) -> None:
        self._entries: Mapping[MessageId, Entry] = dict(index.open)
        self._rest = iter(self._entries.items())
        entries = -(-len(self._entries) // ENTRIES)
        self._first = _First(
            _FORMAT,
            entries,
            len(self._entries),
            index.generation,
            index.reach,
            index.last,
            index.set_aside,
            tuple(index.acked),
            index.aside,
            tuple([(key, *claim) for key, claim in index.claims.items()]),
            tuple([marked(id, index.open[id], move) for id, move in index.moves.items()]),
        )
        self.chunks = entries + 1

    def chunk(self, number: int) -> bytes:
        """One chunk; to be called for each, in their order."""
        return _sealed(_encode(self._first) if number == 0 else _pack(dict(islice(self._rest, ENTRIES))))


class Restoring:
    """An index that is made of the chunks of a snapshot, one after another.

    :ivar index: whole once ``missing`` is 0.
    :ivar missing: chunks that are still to come; ``None`` before the first one.
    :ivar size: bytes of the chunks so far.
    """

    def __init__(self) -> None:
        self.index = GroupIndex(b"", MessageId(b""))
        self.missing: int | None = None
        self.size = 0
        self._count = 0

    def add(self, chunk: bytes) -> None:
        """Take in the next chunk.

        :raise UnreadableState: it is damaged, or of a later version.
        """
        self.size += len(chunk)
        data = chunk[: -_CHECK.size]
        if not data or chunk != _sealed(data):
            raise UnreadableState("A snapshot of a group is damaged: its checksum is not that of its bytes.")
        try:
            if self.missing is None:
                self._begin(_decode(data))
            else:
                self._go_on(data)
        except (struct.error, ValueError, TypeError, msgspec.DecodeError) as problem:
            raise UnreadableState(f"A snapshot of a group is damaged, or of a later version: {problem}.") from None
        if self.missing == 0 and len(self.index.open) != self._count:
            raise UnreadableState("A snapshot of a group is damaged: it has another number of messages than it says.")

    def _begin(self, first: _First) -> None:
        if first.form != _FORMAT:
            raise ValueError(f"its format is {first.form}")
        self.index = GroupIndex(first.generation, first.reach, first.last)
        claims = {key: Claim(at, size, Ticks(until)) for key, at, size, until in first.claims}
        moves = {one.id: one.move for one in first.moves}
        self.index.fill(first.acked, first.aside, first.set_aside, claims, moves)
        self.missing, self._count = first.chunks, first.count

    def _go_on(self, data: bytes) -> None:
        assert self.missing
        self.missing -= 1
        self.index.fill_open(_unpack(data))


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_First).decode


def _sealed(data: bytes) -> bytes:
    return data + _CHECK.pack(zlib.crc32(data))


def _columns(count: int) -> str:
    return f">{count}Q{count}Q{count}H{count}B{count}B{count}I"


def _pack(entries: Mapping[MessageId, Entry]) -> bytes:
    values, count = chain.from_iterable(columns_of(entries.values())), len(entries)
    return b"".join([struct.pack(">I", count), *entries, struct.pack(_columns(count), *values)])


def _unpack(data: bytes) -> dict[MessageId, Entry]:
    (count,) = struct.unpack_from(">I", data)
    if not count or len(data) != 4 + 16 * count + struct.calcsize(_columns(count)):
        raise ValueError("a chunk has another size than it says")
    ids = struct.unpack_from("16s" * count, data, 4)
    values = struct.unpack(_columns(count), data[4 + 16 * count :])
    columns = [values[at : at + count] for at in range(0, len(values), count)]
    return dict(zip(ids, map(Entry, *columns), strict=True))
