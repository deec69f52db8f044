"""The state of a group in a partition as rows: one for each message in flight, and a few others.

A row has the number of its state, a key, and a value. The first byte of the key says what it is:

* ``HEAD``: the generation, the bound up to which the log was examined, the greatest lease number, and how many were set
  aside.
* ``OPEN`` and the id of a message: its entry.
* ``ACKED`` and a number that rises: the numbers of leases that were acked in one transaction.
* ``CLAIM`` and the hash of a key: a claim under that key.
* ``MOVE`` and the id of a message: the move that it is marked for, as the event that marked it.
* ``ASIDE``: the ids that were set aside last.

A transaction writes the rows that it has changed. A seek begins a state with another number, and the rows of the old
one are swept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from queuey.model.groups.entries import MAX_ACKED, Claim, Entry, Move, UnreadableState
from queuey.model.groups.events import Marked, decode, encode, marked
from queuey.model.groups.index import GroupIndex
from queuey.model.timeid import MessageId
from queuey.storage.sqlite.single_statement import Value

HEAD: Final = b"\x00"
OPEN: Final = b"\x01"
ACKED: Final = b"\x02"
CLAIM: Final = b"\x03"
MOVE: Final = b"\x04"
ASIDE: Final = b"\x05"

_HEAD: Final = struct.Struct(">8s16sQQ")
_ENTRY: Final = struct.Struct(">QQHBBI")
_CLAIM: Final = struct.Struct(">QHQ")


class StateRows:
    """The stored rows of an index.

    :ivar state: the number of its rows; 0: it has none yet.
    """

    __slots__ = ("_aside", "_batch", "_batches", "_fresh", "_head", "_kept", "index", "state")

    def __init__(self, index: GroupIndex, state: int = 0) -> None:
        self.index = index
        self.state = state
        self._head: tuple[bytes, MessageId, int, int] | None = None
        self._aside: tuple[MessageId, ...] = ()
        self._batch = 0
        self._batches: list[tuple[int, int]] = []
        self._kept = 0
        self._fresh: tuple[int, tuple[int, ...]] | None = None

    def changes(self, state: int) -> tuple[list[Value], list[Value]]:
        """The rows to put, as state, key and value one after another; and to drop, as state and key.

        :param state: the number that they are stored under.
        """
        index = self.index
        put: list[Value] = []
        drop: list[Value] = []
        opened, pack = index.open, _ENTRY.pack
        if state != self.state:
            self._whole(state, put)
            return put, drop
        for id, before in index.before.items():
            entry = opened.get(id)
            if entry is not None:
                fields = (entry.number, entry.due, entry.deliveries, entry.kind, entry.setbacks, entry.key)
                put += (state, OPEN + id, pack(*fields))
            elif before is not None:
                drop += (state, OPEN + id)
        head = (index.generation, index.reach, index.last, index.set_aside)
        if head != self._head:
            put += (state, HEAD, _HEAD.pack(*head))
        if index.fresh_acks:
            numbers = tuple(index.acked[-index.fresh_acks :])
            self._put_acked(state, numbers, put, drop)
        for key, held in index.claims_before.items():
            claim = index.claims.get(key)
            if claim is not None:
                put += (state, CLAIM + key, _CLAIM.pack(*claim))
            elif held is not None:
                drop += (state, CLAIM + key)
        for id, move in index.moves_before.items():
            if id in index.moves:
                put += (state, MOVE + id, _move(index, id))
            elif move is not None:
                drop += (state, MOVE + id)
        if index.aside != self._aside:
            put += (state, ASIDE, b"".join(index.aside))
        return put, drop

    def _whole(self, state: int, put: list[Value]) -> None:
        """All rows, for a state that has none under that number."""
        index = self.index
        for id, entry in index.open.items():
            put += (state, OPEN + id, _entry_bytes(entry))
        put += (state, HEAD, _HEAD.pack(index.generation, index.reach, index.last, index.set_aside))
        for key, claim in index.claims.items():
            put += (state, CLAIM + key, _CLAIM.pack(*claim))
        for id in index.moves:
            put += (state, MOVE + id, _move(index, id))
        if index.aside:
            put += (state, ASIDE, b"".join(index.aside))
        if index.acked:
            self._put_acked(state, tuple(index.acked)[-MAX_ACKED:], put, [])

    def _put_acked(self, state: int, numbers: tuple[int, ...], put: list[Value], drop: list[Value]) -> None:
        """Remember numbers, and forget those of transactions that are not needed any more."""
        self._fresh = (self._batch + 1, numbers)
        put += (state, _acked_key(self._batch + 1), struct.pack(f">{len(numbers)}Q", *numbers))
        kept = self._kept + len(numbers)
        for batch, count in self._batches if kept > 2 * MAX_ACKED and state == self.state else ():
            if kept - count < MAX_ACKED:
                break
            kept -= count
            drop += (state, _acked_key(batch))

    def stored(self, state: int) -> None:
        """Learn that the changes were stored."""
        index = self.index
        if state != self.state or index.sought:
            self._batches.clear()
            self._kept = 0
        self.state = state
        self._head = (index.generation, index.reach, index.last, index.set_aside)
        self._aside = index.aside
        if self._fresh is not None:
            self._batch, numbers = self._fresh
            self._batches.append((self._batch, len(numbers)))
            self._kept += len(numbers)
            self._fresh = None
            if self._kept > 2 * MAX_ACKED:
                at = 0
                while self._kept - self._batches[at][1] >= MAX_ACKED:
                    self._kept -= self._batches[at][1]
                    at += 1
                del self._batches[:at]
        index.stored()

    def undo(self) -> None:
        """Take back the changes: they were not stored."""
        self._fresh = None
        self.index.undo()

    @classmethod
    def read(cls, state: int, rows: Iterable[tuple[bytes, bytes]]) -> StateRows:
        """Make a state of all its rows, by rising keys.

        :raise UnreadableState: they are damaged.
        """
        reading = StateReading(state)
        reading.add(rows)
        return reading.end()


class StateReading:
    """Makes a state of its rows, which are read in several pieces, by rising keys.

    :ivar last: the key of the last row so far.
    """

    def __init__(self, state: int) -> None:
        self.state = state
        self.last = b""
        self._index: GroupIndex | None = None
        self._claims: dict[bytes, Claim] = {}
        self._moves: dict[MessageId, Move] = {}
        self._acked: list[int] = []
        self._batches: list[tuple[int, int]] = []
        self._set_aside = 0
        self._aside: tuple[MessageId, ...] = ()

    def add(self, rows: Iterable[tuple[bytes, bytes]]) -> int:
        """Take in the next rows; return how many there were.

        :raise UnreadableState: they are damaged.
        """
        with _damage():
            return self._add(rows)

    def _add(self, rows: Iterable[tuple[bytes, bytes]]) -> int:
        entries: dict[MessageId, Entry] = {}
        key, count = self.last, 0
        for key, value in rows:
            count += 1
            kind, rest = key[:1], key[1:]
            if kind == OPEN:
                entries[MessageId(rest)] = Entry(*_ENTRY.unpack(value))
            elif kind == HEAD:
                generation, reach, last, self._set_aside = _HEAD.unpack(value)
                self._index = GroupIndex(generation, reach, last)
            elif kind == ACKED:
                numbers = struct.unpack(f">{len(value) // 8}Q", value)
                self._acked += numbers
                self._batches.append((int.from_bytes(rest, "big"), len(numbers)))
            elif kind == CLAIM:
                self._claims[rest] = Claim(*_CLAIM.unpack(value))
            elif kind == MOVE:
                (event,) = decode(value)
                assert isinstance(event, Marked)
                self._moves[MessageId(rest)] = event.move
            elif kind == ASIDE:
                self._aside = struct.unpack("16s" * (len(value) // 16), value)
            else:
                raise ValueError(f"there is no kind of rows {kind!r}")
        self.last = key
        self._head().fill_open(entries)
        return count

    def _head(self) -> GroupIndex:
        if self._index is None:
            raise ValueError("it has no head")
        return self._index

    def end(self) -> StateRows:
        """Return the state, after its last row.

        :raise UnreadableState: the rows are damaged.
        """
        with _damage():
            index = self._head()
        index.fill(self._acked, self._aside, self._set_aside, self._claims, self._moves)
        found = StateRows(index, self.state)
        found._head = (index.generation, index.reach, index.last, index.set_aside)
        found._aside, found._batches, found._kept = self._aside, self._batches, len(self._acked)
        found._batch = self._batches[-1][0] if self._batches else 0
        return found


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (struct.error, ValueError, KeyError, IndexError) as problem:
        raise UnreadableState(f"The state of a group is damaged: {problem!r}.") from None


def _entry_bytes(entry: Entry) -> bytes:
    return _ENTRY.pack(entry.number, entry.due, entry.deliveries, entry.kind, entry.setbacks, entry.key)


def _acked_key(batch: int) -> bytes:
    return ACKED + batch.to_bytes(8, "big")


def _move(index: GroupIndex, id: MessageId) -> bytes:
    return encode([marked(id, index.open[id], index.moves[id])])
