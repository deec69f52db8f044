"""The states of groups in the writing thread: cached, changed by commands, and stored with the write batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from queuey.errors import NoSuchGroup, Unavailable
from queuey.model.groups.entries import GENERATION, UnreadableState
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.rows import UnreadableGroup, decode_group, group_key, state_key
from queuey.model.groups.settings import Group
from queuey.model.groups.snapshot import decode, index_of
from queuey.model.messages.message import Content, Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.group_data import GroupData, Scan
from queuey.storage.sqlite.chunks import SIZES, parts
from queuey.storage.sqlite.reading.page_query import Bulk
from queuey.storage.sqlite.reading.read_ahead import ReadAhead, Room, Source
from queuey.storage.sqlite.single_statement import Value
from queuey.storage.sqlite.writing.group_rows import StateReading, StateRows

if TYPE_CHECKING:
    import apsw

    from queuey.storage.sqlite.writing.writer import Writer

MAX_CACHED: Final = 4096
"""States that are cached."""

MAX_CACHED_OPEN: Final = 2_000_000
"""Messages in flight that are cached, of all states together."""

MAX_LOADED: Final = 8192
"""Rows of states that one write batch reads, about: other jobs wait some 10 ms for them. If commands need more, they
join the next batch."""

_EACH: Final = 16
"""Rows that could be read in the time that it takes to begin with a state."""

_FIND: Final = {
    size: "SELECT id, expires, content_type, headers, body FROM messages "
    f"WHERE queue = ? AND partition = ? AND id IN ({', '.join('?' * size)}) ORDER BY id"
    for size in SIZES
}
_EXISTING: Final = {
    size: "SELECT id FROM messages "
    f"WHERE queue = ? AND partition = ? AND id IN ({', '.join('?' * size)}) AND expires > ?"
    for size in SIZES
}
_ALL: Final = -1
_STATE: Final = "SELECT state FROM group_states WHERE gid = ? AND partition = ?"
_ROWS: Final = "SELECT key, value FROM deliveries WHERE state = ? AND key > ? ORDER BY key LIMIT ?"


@attrs.define(eq=False)
class Held:
    """A cached state.

    :ivar size: its messages in flight, as they are part of the sum over all cached states.
    :ivar old_key: the key under which an earlier version stored it, if it is not converted yet.
    """

    queue: int
    gid: bytes
    partition: int
    rows: StateRows
    ahead: ReadAhead
    old_key: str | None = None
    size: int = 0


class GroupStates(Source, GroupData):
    """All states that are cached; all of it belongs to the writing thread.

    :ivar ahead: the memory for what is read ahead.
    :ivar arrivals: of the queues of these states, the stable time up to which something may have come; the writer sets
        it whenever messages are appended.
    """

    def __init__(self, writer: Writer, connection: apsw.Connection) -> None:
        self._writer = writer
        self.reading = connection
        self.bulk = Bulk(connection)
        self._cached: OrderedDict[tuple[bytes, int], Held] = OrderedDict()
        self._held: dict[GroupIndex, Held] = {}
        self._of_queue: dict[int, dict[tuple[bytes, int], Held]] = {}
        self.arrivals: dict[int, Ticks] = {}
        self.used: dict[Held, None] = {}
        self._numbers: dict[Held, int] = {}
        self._open = 0
        self._loading: dict[tuple[bytes, int], tuple[int, StateReading]] = {}
        self._rows_left = MAX_LOADED
        self._waits = False
        self._in_turn: set[tuple[bytes, int]] = set()
        self._put_off: set[tuple[bytes, int]] = set()
        self.ahead = Room()

    @property
    def clock(self) -> Ticks:  # type: ignore[override]
        """See GroupData."""
        return self._writer.clock

    def readable(self, queue: int) -> Ticks:
        """See Source; what this batch has appended to the queue is written first."""
        if self.arrivals[queue] <= self._writer.stored_last:
            return self._writer.stored_last
        self._writer.queues.flush()
        return self._writer.last

    # What commands ask

    def load(self, queue: Queue, group: Group, partitions: Iterable[int]) -> bool:
        """Cache the states of a group in some partitions, as far as this batch may read rows.

        A state with many messages in flight is read in several batches, so that other jobs do not wait for all of it.
        If states get no rows in one batch, the next batch reads only those: a small state does not wait for large ones.

        :return: whether all of them are cached. Otherwise call again in the next batch.
        """
        for partition in partitions:
            place = (group.gid, partition)
            if place in self._cached:
                continue
            if self._rows_left <= 0 or (self._in_turn and place not in self._in_turn):
                self._put_off.add(place)
            elif self._load(queue, group, partition, self._rows_left) is not None:
                continue
            self._waits = True
            return False
        return True

    def index(self, queue: Queue, group: Group, partition: int) -> GroupIndex:
        """See GroupData."""
        place = (group.gid, partition)
        held = self._cached.get(place)
        if held is None:
            held = self._load(queue, group, partition, _ALL)
            assert held is not None
        else:
            self._cached.move_to_end(place)
        self.used[held] = None
        return held.rows.index

    def find(
        self, queue: Queue, partition: int, ids: Sequence[MessageId], max_bytes: int | None = None
    ) -> Mapping[MessageId, Message]:
        """See GroupData."""
        now, total = self._writer.clock, 0
        found: dict[MessageId, Message] = {}
        for size, start in parts(len(ids)):
            rows = self.reading.execute(_FIND[size], (queue.incarnation, partition, *ids[start : start + size]))
            for id, expires, content_type, headers, body in rows:
                if expires > now:
                    found[id] = Message(partition, id, Content(body, content_type, headers), expires)
                    total += len(body)
                    if max_bytes is not None and total > max_bytes:
                        rows.close()  # the bodies of the others are not read
                        return found
        return found

    def existing(self, queue: Queue, partition: int, ids: Sequence[MessageId]) -> Collection[MessageId]:
        """See GroupData."""
        found: set[MessageId] = set()
        for size, start in parts(len(ids)):
            asked = (queue.incarnation, partition, *ids[start : start + size], self._writer.clock)
            found.update([id for (id,) in self.reading.execute(_EXISTING[size], asked)])
        return found

    def scan(self, queue: Queue, index: GroupIndex, group: Group, partition: int, limit: int, max_bytes: int) -> Scan:
        """See GroupData."""
        ahead = self._held[index].ahead
        return ahead.scan(self, queue.incarnation, partition, index.reach, group.gid, limit, max_bytes)

    def newest(self, queue: int) -> Ticks:
        """See Source."""
        return self.arrivals[queue]

    # What the writer reports

    def raised(self, last: Ticks) -> None:
        """Learn that the stable time was raised, so that messages may show in any queue."""
        for queue in self.arrivals:
            self.arrivals[queue] = last

    def fell_due(self, queues: Iterable[int]) -> None:
        """Learn that delayed messages of some queues show, although the stable time may have passed them before."""
        for queue in self.arrivals.keys() & queues:
            self.arrivals[queue] = self._writer.last

    def touched(self, queue: int) -> None:
        """Learn that messages of a queue are about to be changed or deleted."""
        for held in self._of_queue.get(queue, {}).values():
            held.ahead.forget()

    def bury(self, queue: int) -> None:
        """Forget an incarnation of a queue that has ended."""
        for place in list(self._of_queue.get(queue, ())):
            self._drop(place)
        for place in [place for place, (other, _) in self._loading.items() if other == queue]:
            del self._loading[place]

    def end(self, gid: bytes, partitions: int) -> None:
        """Forget a group that is being deleted."""
        for number in range(1, partitions + 1):
            self._drop((gid, number))

    # Storing

    def has_changes(self, gid: bytes) -> bool:
        """Whether states of a group were changed in this transaction."""
        return any(held.gid == gid and held.rows.index.events for held in self.used)

    def changes(self) -> tuple[list[Value], list[Value]]:
        """The rows that a transaction has to put, and to drop; see ``StateRows.changes``."""
        put: list[Value] = []
        drop: list[Value] = []
        for held in self.used:
            rows = held.rows
            if not rows.index.events:
                continue
            self._numbers[held] = number = self._number(held)
            some, gone = rows.changes(number)
            put += some
            drop += gone
        return put, drop

    def _number(self, held: Held) -> int:
        """The number that a state is stored under; a new one if it has none yet, or went to another place."""
        rows = held.rows
        if rows.state and not rows.index.sought:
            return rows.state
        execute = self._writer.connection.execute  # this begins a transaction, which most batches need not
        if rows.state:
            execute("INSERT INTO dead_states (state) VALUES (?)", (rows.state,))
            execute("DELETE FROM group_states WHERE state = ?", (rows.state,))
        if held.old_key is not None:
            execute("DELETE FROM states WHERE key = ?", (held.old_key,))
        number: int = execute(
            "INSERT INTO group_states (queue, gid, partition) VALUES (?, ?, ?) RETURNING state",
            (held.queue, held.gid, held.partition),
        ).get
        return number

    def stored(self) -> None:
        """Learn that the transaction was committed."""
        for held, number in self._numbers.items():
            held.rows.stored(number)
            held.old_key = None
            size = len(held.rows.index.open)
            self._open += size - held.size
            held.size = size
        if not self._waits:
            self._tidy()
        self._end_batch()

    def undo(self) -> None:
        """Learn that the transaction was rolled back.

        What was read ahead for its commands is dropped: they may have read what was undone with it. All else was read
        before, and is as it was.
        """
        for held in list(self.used):
            held.rows.undo()
            held.ahead.forget()
            if not held.rows.state:
                self._drop((held.gid, held.partition))
        self._end_batch()

    def _end_batch(self) -> None:
        self._numbers.clear()
        self.used.clear()
        self._rows_left, self._waits = MAX_LOADED, False
        self._in_turn, self._put_off = self._put_off, set()

    # The cache

    def _load(self, queue: Queue, group: Group, partition: int, most: int) -> Held | None:
        """Cache a state, and read up to ``most`` rows for it; if it has more, return ``None``. The next call goes on.

        :param most: all rows if it is negative.
        """
        place = (group.gid, partition)
        try:
            rows, old_key = self._read(place, queue.incarnation, most), None
            if rows is None:
                if place in self._loading:
                    return None
                rows, old_key = self._begin(queue, group, partition)
        except UnreadableState as problem:
            raise Unavailable(str(problem)) from None
        held = Held(queue.incarnation, group.gid, partition, rows, ReadAhead(self.ahead), old_key, len(rows.index.open))
        self._cached[place] = self._held[rows.index] = held
        self._of_queue.setdefault(queue.incarnation, {})[place] = held
        self.arrivals.setdefault(queue.incarnation, self._writer.last)
        self._open += held.size
        return held

    def _read(self, place: tuple[bytes, int], queue: int, most: int) -> StateRows | None:
        """Read up to so many rows of a state; return it once it is whole. ``None`` also if it has no rows yet."""
        execute = self.reading.execute
        _, reading = self._loading.pop(place, (0, None))  # if this fails, the next call begins again
        if reading is None:
            state = execute(_STATE, place).get
            if state is None:
                self._rows_left -= _EACH
                return None
            reading = StateReading(state)
        count = reading.add(execute(_ROWS, (reading.state, reading.last, most)))
        self._rows_left -= _EACH + count
        if count == most:
            self._loading[place] = (queue, reading)
            return None
        return reading.end()

    def _begin(self, queue: Queue, group: Group, partition: int) -> tuple[StateRows, str | None]:
        """A state that has no rows: one that an earlier version kept, or the first one."""
        execute = self.reading.execute
        key = state_key(queue.incarnation, group.gid, partition)
        value = execute("SELECT value FROM states WHERE key = ?", (key,)).get
        if value is not None:
            return StateRows(index_of(decode(value))), key
        row = execute("SELECT value FROM states WHERE key = ?", (group_key(queue.incarnation, group.name),)).get
        try:
            found = None if row is None else decode_group(row, queue.incarnation, "")
        except UnreadableGroup as problem:
            raise Unavailable(str(problem)) from None
        if found is None or found.ended or found.gid != group.gid:
            raise NoSuchGroup("The queue has no group of that name.")
        return StateRows(GroupIndex(self._writer.random(GENERATION), found.place)), None

    def _drop(self, place: tuple[bytes, int]) -> None:
        self._loading.pop(place, None)
        held = self._cached.pop(place, None)
        if held is None:
            return
        self._held.pop(held.rows.index, None)
        self.used.pop(held, None)
        held.ahead.forget()
        self._open -= held.size
        of_queue = self._of_queue[held.queue]
        del of_queue[place]
        if not of_queue:
            del self._of_queue[held.queue]
            del self.arrivals[held.queue]

    def _tidy(self) -> None:
        if len(self._cached) <= MAX_CACHED and self._open <= MAX_CACHED_OPEN:
            return
        while len(self._cached) > MAX_CACHED or (self._open > MAX_CACHED_OPEN and len(self._cached) > 1):
            self._drop(next(iter(self._cached)))
