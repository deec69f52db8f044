"""The reading side: one write batch is one snapshot, and each read takes one slice of what it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import merge as merged
from typing import Any, Final

import apsw
from twisted.logger import Logger

from queuey.errors import StorageFull, Unavailable
from queuey.logs import EventLog
from queuey.model.messages.message import Address, Content, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import (
    SLICE_BYTES,
    SLICE_ROWS,
    LookupSlice,
    Merge,
    MergeSlice,
    Merging,
    Window,
    WindowSlice,
)
from queuey.model.timeid import LOWEST, MessageId, Ticks, from_seconds, upper_bound
from queuey.storage.change_log import ChangeLog
from queuey.storage.sqlite.chunks import INT64, SIZES, parts
from queuey.storage.sqlite.database.files import translated
from queuey.storage.sqlite.group_commit import Job
from queuey.storage.sqlite.reading.page_query import Bulk, Found, Range

_LIVES = "SELECT messages FROM tallies WHERE queue = ?"
_EXPIRED = "SELECT queue, count(*) FROM messages INDEXED BY expiry WHERE expires <= ? GROUP BY queue"

# Bodies of what has expired are not fetched; what has expired is passed over here and not in the database, so that no
# statement runs on through a million messages that are not swept yet.
_COLUMNS = "id, expires, content_type, headers, CASE WHEN expires > ? THEN body END"
Row = tuple[MessageId, Ticks, str | None, bytes | None, bytes]
_RANGE = f"SELECT {_COLUMNS} FROM messages WHERE queue = ? AND partition = ? AND id >= ? AND id < ? ORDER BY id"
SCAN: Final = {False: f"{_RANGE} LIMIT ?", True: f"{_RANGE} DESC LIMIT ?"}

# A merge of several partitions looks at the next message of each and takes few of those, so it fetches their bodies
# afterwards. A merge of one partition takes all but the last, so it fetches them at once.
_HEADS = "SELECT id, partition, seq, expires, length(body) FROM messages"
_HEADS = f"{_HEADS} WHERE queue = ? AND partition = ? AND id >= ? AND id < ? ORDER BY id"
HEADS: Final = {False: _HEADS, True: f"{_HEADS} DESC"}
CONTENTS: Final = {
    size: f"SELECT seq, content_type, headers, body FROM messages WHERE seq IN ({', '.join('?' * size)})"
    for size in SIZES
}
WHOLE: Final = {False: _RANGE, True: f"{_RANGE} DESC"}
_PURGED = "SELECT purged FROM queues WHERE queue = ?"
_FUTURE = "SELECT id FROM messages WHERE queue = ? AND partition = ? AND id >= ? AND expires > ? ORDER BY id LIMIT ?"
LOOKUP: Final = f"SELECT {_COLUMNS} FROM messages WHERE queue = ? AND partition = ? AND id = ?"


Foresee = Callable[["Reader", Sequence[Job["Reader"]]], None]


class Reader:
    """Runs write batches of reads; all of it belongs to the reading thread.

    :param now: the wall clock, in seconds since 1970.
    :param foresee: looks at a write batch before it is run, and puts into ``foreseen`` what its reads will ask for.
    :ivar clock: the time of the snapshot.
    :ivar stable: the bound below which scans show messages.
    :ivar bulk: reads what is of one partition.
    :ivar committed: number of changes in ``change_log`` that the snapshot surely has.
    :ivar foreseen: queues by application and name, as they are in the snapshot.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(
        self, connection: apsw.Connection, now: Callable[[], float], foresee: Foresee, change_log: ChangeLog
    ) -> None:
        self.change_log = change_log
        self.committed = 0
        self.connection = connection
        self.bulk = Bulk(connection)
        self.clock = Ticks(0)
        self.stable = MessageId(b"")
        self._now = now
        self.foreseen: dict[tuple[str, str], Queue | None] = {}
        self._foresee = foresee
        self._expired: dict[int, int] | None = None

    def work(self, jobs: Sequence[Job[Reader]]) -> None:
        """Run a write batch; see ``GroupCommit``. What was cancelled meanwhile is not begun."""
        self._expired = None
        self.foreseen = {}
        try:
            self._roll_back()
            self.committed = self.change_log.committed
            self.connection.execute("BEGIN")
            self.stable = upper_bound(self.connection.execute("SELECT last FROM clock").get)
            self.clock = from_seconds(self._now())
            if len(jobs) > 1:
                self._look_ahead(jobs)
            for job in jobs:
                if job.answer.called:
                    job.result = None  # it was cancelled between two turns
                else:
                    self._run(job)
        except apsw.Error as error:
            for job in jobs:
                job.error = self._meaning(error)
        finally:
            try:
                self._roll_back()
            except apsw.Error as error:
                # What was read stands. The next write batch tries again before it begins, and fails if that fails.
                self._log.error("rollback-failed", "a snapshot could not be ended: {error}", error=error)

    def _roll_back(self) -> None:
        """Give the snapshot back, if there is one."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _look_ahead(self, jobs: Sequence[Job[Reader]]) -> None:
        try:
            self._foresee(self, jobs)
        except Exception:
            self.foreseen = {}  # each read meets the error itself, if it is in its way at all

    def _run(self, job: Job[Reader]) -> None:
        try:
            job.run(self)
        except apsw.Error as error:
            job.error = self._meaning(error)
        except Exception as error:
            job.error = error

    def _meaning(self, error: apsw.Error) -> Exception:
        self._log.warn("read-failed", "the database said: {error}", error=error)
        word = translated(error)
        # A read stores no data, so a full disk is reported like any other reason why it cannot be answered now.
        return Unavailable(word.text, retry_after=10) if isinstance(word, StorageFull) else word

    def rest(self) -> None:
        """See ``GroupCommit.open``: reads leave no work between batches."""

    def close(self) -> None:
        """Give everything back."""
        self.connection.close(True)

    def held(self, queue: Queue) -> int | None:
        """Return how many messages a queue holds, including expired ones that are not swept; ``None`` if it was
        deleted."""
        held: int | None = self.connection.execute(_LIVES, (queue.incarnation,)).get
        return held

    def expired(self, queue: Queue) -> int:
        """Return how many of its messages have expired.

        All queues are looked at together, once a batch: a page of counts that each walked through what is not swept yet
        would keep the other readers waiting.
        """
        if self._expired is None:
            rows: list[Any] = self.connection.execute(_EXPIRED, (self.clock,)).fetchall()
            self._expired = dict(rows)
        return self._expired.get(queue.incarnation, 0)


class SliceBuilder:
    """Collects the messages of one slice, up to its limits of rows and bytes.

    :ivar rows: how many more rows may be looked at.
    :ivar bytes: how many more bytes of bodies it may take.
    """

    def __init__(self, now: Ticks) -> None:
        self.messages: list[Message] = []
        self.rows = SLICE_ROWS
        self.bytes = SLICE_BYTES
        self._now = now

    def full(self) -> bool:
        """Whether the slice ends here."""
        return self.rows <= 0 or self.bytes <= 0

    def take(self, partition: int, rows: Iterable[Row], limit: int) -> tuple[int, MessageId | None]:
        """Take rows that have not expired, until there are as many as wanted, or the slice ends.

        :return: how many were taken, and the id of the row with which the slice ended before that.
        """
        messages, before, now = self.messages, len(self.messages), self._now
        end = before + limit
        for id, expires, content_type, headers, body in rows:
            self.rows -= 1
            if expires > now:
                messages.append(Message(partition, id, Content(body, content_type, headers), expires))
                self.bytes -= len(body)
                if len(messages) == end:
                    break
            if self.rows <= 0 or self.bytes <= 0:
                return len(messages) - before, id
        return len(messages) - before, None


def read_range(reader: Reader, queue: Queue, window: Window) -> WindowSlice:
    """One slice of a window."""
    if len(window.partitions) == 1:
        (partition,), (lower, upper, limit) = window.partitions, window.first()
        asked = Range(queue.incarnation, partition, lower, min(upper, reader.stable), window.descending, limit)
        found = reader.bulk.read(asked, reader.clock, one_more=False)
        if found is not None and found.messages is not None:
            return WindowSlice(found.messages, None)
    builder = SliceBuilder(reader.clock)
    rest: Window | None = window if window.partitions and reader.held(queue) else None
    while rest is not None and not builder.full():
        rest = _scan_first(reader, queue, rest, builder)
    return WindowSlice(tuple(builder.messages), rest)


def _scan_first(reader: Reader, queue: Queue, window: Window, builder: SliceBuilder) -> Window | None:
    """Read on in the first partition of a window; what is left of the window."""
    partition = window.partitions[0]
    lower, upper, limit = window.first()
    before = builder.rows
    if limit > 0 and partition in INT64:
        bounds = (reader.clock, queue.incarnation, partition, lower, min(upper, reader.stable), builder.rows)
        taken, last = builder.take(partition, reader.connection.execute(SCAN[window.descending], bounds), limit)
        if last is not None:
            return window.after(last, taken)
    if builder.rows == before:
        builder.rows -= 1  # an empty partition costs something too
    return window.next_partition()


Head = tuple[MessageId, int, int, Ticks, int]
"""The head of a message, read before its content: its id, its partition, the key of its row, its expiry, its bytes."""


def read_merged(reader: Reader, queue: Queue, asked: Merge) -> MergeSlice:
    """The first slice of a merged range."""
    merging = Merging(asked, reader.clock)
    found = _merge_at_once(reader, queue, asked, merging)
    if found is None:
        purged, lives = reader.connection.execute(_PURGED, (queue.incarnation,)).get, bool(reader.held(queue))
        found = Found(lives, purged)
    messages = found.messages
    if messages is None:
        read = _merge_one if len(asked.partitions) == 1 else _merge_several
        messages = tuple(read(reader, queue, asked, merging)) if found.lives else ()
    return merging.slice(messages, reader.stable, LOWEST if found.purged is None else found.purged)


def _merge_at_once(reader: Reader, queue: Queue, asked: Merge, merging: Merging) -> Found | None:
    """Read a merged range of one partition in one row; return ``None`` if that is not possible."""
    if len(asked.partitions) != 1 or asked.max_bytes < SLICE_BYTES:
        return None
    (partition,) = asked.partitions
    lower, upper = asked.bounds(partition)
    range = Range(queue.incarnation, partition, lower, min(upper, reader.stable), asked.descending, asked.limit)
    found = reader.bulk.read(range, reader.clock, one_more=True)
    if found is not None and found.messages:
        merging.take_all(found.last, partition, full=found.more)
    return found


def _merge_one(reader: Reader, queue: Queue, asked: Merge, merging: Merging) -> list[Message]:
    """The messages of a merged range of one partition."""
    (partition,), taken, take = asked.partitions, [], merging.take
    if partition not in INT64:
        return []
    lower, upper = asked.bounds(partition)
    bounds = (reader.clock, queue.incarnation, partition, lower, min(upper, reader.stable))
    rows = reader.connection.execute(WHOLE[asked.descending], bounds)
    for id, expires, content_type, headers, body in rows:
        if take(id, partition, expires, len(body or b"")):
            taken.append(Message(partition, id, Content(body, content_type, headers), expires))
        elif merging.full:
            break
    rows.close()
    return taken


def _merge_several(reader: Reader, queue: Queue, asked: Merge, merging: Merging) -> list[Message]:
    """The messages of a merged range of several partitions."""
    taken, cursors = [], _cursors(reader, queue, asked)
    try:
        for head in merged(*cursors, reverse=asked.descending):
            id, partition, _, expires, size = head
            if merging.take(id, partition, expires, size):
                taken.append(head)
            elif merging.full:
                break
    finally:
        for cursor in cursors:
            cursor.close()
    return fetch(reader, taken)


def _cursors(reader: Reader, queue: Queue, asked: Merge) -> list[apsw.Cursor]:
    """A cursor for each partition of a merged range; each reads only as far as it is asked."""
    cursors = []
    for partition in asked.partitions:
        if partition in INT64:
            lower, upper = asked.bounds(partition)
            bounds = (queue.incarnation, partition, lower, min(upper, reader.stable))
            cursors.append(reader.connection.execute(HEADS[asked.descending], bounds))
    return cursors


def fetch(reader: Reader, heads: Sequence[Head]) -> list[Message]:
    """The messages that have these heads."""
    numbers = [seq for _, _, seq, _, _ in heads]
    contents: dict[int, Content] = {}
    for size, start in parts(len(numbers)):
        for seq, content_type, headers, body in reader.connection.execute(
            CONTENTS[size], numbers[start : start + size]
        ):
            contents[seq] = Content(body, content_type, headers)
    return [Message(partition, id, contents[seq], expires) for id, partition, seq, expires, _ in heads]


def lookup(reader: Reader, queue: Queue, addresses: Sequence[Address]) -> LookupSlice:
    """One slice of the messages at these addresses."""
    builder = SliceBuilder(reader.clock)
    for place, address in enumerate(addresses if reader.held(queue) else ()):
        if builder.full():
            return LookupSlice(tuple(builder.messages), tuple(addresses[place:]))
        builder.rows -= 1
        if address.partition in INT64:
            key = (reader.clock, queue.incarnation, address.partition, address.id)
            for row in reader.connection.execute(LOOKUP, key):
                builder.rows += 1
                builder.take(address.partition, (row,), 1)
    return LookupSlice(tuple(builder.messages), None)


def count(reader: Reader, queue: Queue) -> int:
    """Return how many messages of a queue have not expired."""
    held = reader.held(queue)
    return held - reader.expired(queue) if held else 0


def delayed(reader: Reader, queue: Queue, limit: int) -> tuple[Address, ...]:
    """Return the addresses of messages above the stable time."""
    found: list[Address] = []
    for partition in range(1, queue.settings.partitions + 1) if reader.held(queue) else ():
        bounds = (queue.incarnation, partition, reader.stable, reader.clock, limit - len(found))
        found += [Address(partition, id) for (id,) in reader.connection.execute(_FUTURE, bounds)]
    return tuple(found)
