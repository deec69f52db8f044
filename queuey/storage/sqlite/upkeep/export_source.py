"""Reads the contents of an embedded store, also beside its daemon, and writes them to one that serves no client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import IExportSource, IImportTarget, IStateStore, State
from queuey.model.exports import MARK_KEY, ExportPage, GroupPlace, Head, Heads, KeptAnswer, Reach, Size, StoredQueue
from queuey.model.groups.snapshot import GroupState
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import LookupSlice
from queuey.model.timeid import MessageId, Ticks, successor
from queuey.storage.change_log import ChangeLog
from queuey.storage.sqlite import queues, states
from queuey.storage.sqlite.database import schema
from queuey.storage.sqlite.database.files import Lock
from queuey.storage.sqlite.group_commit import GroupCommit, Runner
from queuey.storage.sqlite.reading import reader
from queuey.storage.sqlite.reading.reader import Reader
from queuey.storage.sqlite.upkeep import group_copies
from queuey.storage.sqlite.upkeep.backup import open_to_read
from queuey.storage.sqlite.writing import writes
from queuey.storage.sqlite.writing.writer import Writer

MAX_READS: Final = 32
"""Reads in one write batch at the most."""

_HEADS: Final = """
    SELECT id, expires FROM messages WHERE queue = ? AND partition = ? AND id >= ? ORDER BY id LIMIT ?
"""
_ANSWERS: Final = """
    SELECT seq, queue, key, digest, answer, note, expires FROM keys
    WHERE seq > ? AND EXISTS (SELECT 1 FROM queues WHERE queues.queue = keys.queue) ORDER BY seq LIMIT ?
"""
_STATES: Final = "SELECT key, version FROM states WHERE key > ? ORDER BY key LIMIT ?"
_SIZE: Final = "SELECT count(*), coalesce(sum(messages), 0) FROM tallies"
_REACH: Final = """
    SELECT last, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'queues'), 0) FROM clock
"""
_COUNT_ON: Final = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'queues'"
_COUNT_FIRST: Final = """
    INSERT INTO sqlite_sequence (name, seq)
    SELECT 'queues', ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'queues')
"""
_LIFE: Final = 32
"""Number of digits of a state's key that are the incarnation of its queue."""


def heads(reader: Reader, queue: Queue, partition: int, start: MessageId, limit: int) -> Heads:
    """The messages of a partition from an id on."""
    if reader.held(queue) is None:
        return Heads((), None)
    rows: list[Any] = reader.connection.execute(_HEADS, (queue.incarnation, partition, start, limit)).fetchall()
    found = tuple(Head(id, expires) for id, expires in rows if expires > reader.clock)
    return Heads(found, successor(rows[-1][0]) if len(rows) == limit else None)


def answers(reader: Reader, rest: str | None, limit: int) -> ExportPage[KeptAnswer]:
    """Answers in the order in which they came."""
    rows: list[Any] = reader.connection.execute(_ANSWERS, (int(rest or 0), limit)).fetchall()
    found = tuple(answer for _, *row in rows if (answer := writes.answered(tuple(row))).expires > reader.clock)
    return ExportPage(found, str(rows[-1][0]) if len(rows) == limit else None)


def state_keys(reader: Reader, rest: str | None, limit: int) -> ExportPage[tuple[str, str]]:
    """The keys of states in their order, with their versions."""
    execute = reader.connection.execute
    rows: list[Any] = execute(_STATES, (rest or "", limit)).fetchall()
    dead = {f"{queue:0{_LIFE}x}/" for (queue,) in execute("SELECT queue FROM dead")}
    found = tuple((key, version) for key, version in rows if key != MARK_KEY and key[: _LIFE + 1] not in dead)
    return ExportPage(found, rows[-1][0] if len(rows) == limit else None)


def size(reader: Reader) -> Size:
    """Return the numbers of queues and messages, including expired messages that are not swept yet."""
    count, messages = reader.connection.execute(_SIZE).get
    return Size(count, messages)


def reach(reader: Reader) -> Reach:
    """The last id, and the last number of a queue."""
    last, number = reader.connection.execute(_REACH).get
    return Reach(Ticks(last), number)


def keep_reach(writer: Writer, reach: Reach) -> None:
    """Let ids, and numbers of queues, be greater from now on."""
    writer.last = max(writer.last, reach.stable)
    writer.connection.execute(_COUNT_ON, (reach.incarnation,))
    writer.connection.execute(_COUNT_FIRST, (reach.incarnation,))


class _Reading:
    """The reads that export and import share."""

    def __init__(self, reading: GroupCommit[Reader]) -> None:
        self._reading = reading

    def size(self) -> Deferred[Size]:
        """See IExportSource."""
        return self._reading.submit(size)

    def queues(self, rest: str | None, limit: int) -> Deferred[ExportPage[StoredQueue]]:
        """See IExportSource."""
        return self._reading.submit(queues.page, rest, limit)

    def find(self, application: str, name: str) -> Deferred[StoredQueue | None]:
        """See IExportSource."""
        return self._reading.submit(queues.standing, application, name)

    def heads(self, queue: Queue, partition: int, start: MessageId, limit: int) -> Deferred[Heads]:
        """See IExportSource."""
        return self._reading.submit(heads, queue, partition, start, limit)

    def lookup(self, queue: Queue, addresses: Sequence[Address]) -> Deferred[LookupSlice]:
        """See IExportSource."""
        return self._reading.submit(reader.lookup, queue, tuple(addresses))

    def answers(self, rest: str | None, limit: int) -> Deferred[ExportPage[KeptAnswer]]:
        """See IExportSource."""
        return self._reading.submit(answers, rest, limit)

    def state_keys(self, rest: str | None, limit: int) -> Deferred[ExportPage[tuple[str, str]]]:
        """See IExportSource."""
        return self._reading.submit(state_keys, rest, limit)

    def state(self, key: str) -> Deferred[State | None]:
        """See IExportSource."""
        return self._reading.submit(states.read, key)

    def group_states(self, rest: str | None, limit: int) -> Deferred[ExportPage[GroupPlace]]:
        """See IExportSource."""
        return self._reading.submit(group_copies.page, rest, limit)

    def group_state(self, place: GroupPlace) -> Deferred[GroupState | None]:
        """See IExportSource."""
        return self._reading.submit(group_copies.read, place)

    def reach(self) -> Deferred[Reach]:
        """See IExportSource."""
        return self._reading.submit(reach)


@implementer(IExportSource)
class SQLiteHoldings(_Reading):
    """A store that others may serve from: it is read through a connection that cannot write, without its lock.

    :param now: the wall clock, in seconds since 1970; a thread calls it.
    :param runner: runs the write batch.
    :raise Unavailable: it cannot be read by this program.
    """

    def __init__(self, directory: Path, now: Callable[[], float], runner: Runner) -> None:
        connection = open_to_read(directory)
        version = connection.pragma("user_version")
        if version != schema.CURRENT:
            connection.close(True)
            raise Unavailable(
                f"The store in {directory} has schema {version}, and stores of schema {schema.CURRENT} are copied: "
                "let a daemon of this version serve from it once."
            )
        self._directory = directory
        self._lock: Lock | None = None
        self._reader = Reader(connection, now, queues.foresee, ChangeLog())
        super().__init__(GroupCommit(runner, MAX_READS))
        self._reading.open(self._reader.work, self._reader.rest)

    def seal(self) -> Deferred[bool]:
        """See IExportSource; it takes the lock that a daemon would hold."""
        if self._lock is None:
            try:
                self._lock = Lock(self._directory)
            except Unavailable:
                return succeed(False)
        return succeed(True)

    @deferred
    async def close(self) -> None:
        """See IExportSource."""
        await self._reading.close(self._reader.close)
        if self._lock is not None:
            self._lock.release()


@implementer(IImportTarget)
class SQLiteImportTarget(_Reading):
    """A store that this process alone has open.

    :param expect: hears when the next message falls due.
    :param close: closes the store.
    """

    def __init__(
        self,
        reading: GroupCommit[Reader],
        writing: GroupCommit[Writer],
        states: IStateStore,
        expect: Callable[[Ticks | None], None],
        close: Callable[[], Deferred[None]],
    ) -> None:
        super().__init__(reading)
        self._writing = writing
        self._expect = expect
        self._close = close
        self.states = states

    def opened(self) -> Deferred[None]:
        """See IImportTarget."""
        return succeed(None)

    def seal(self) -> Deferred[bool]:
        """See IExportSource; the store's lock is held."""
        return succeed(True)

    def keep_queue(self, standing: StoredQueue) -> Deferred[bool]:
        """See IImportTarget."""
        return self._writing.submit(queues.keep, standing)

    def end_queue(self, queue: Queue) -> Deferred[bool]:
        """See IImportTarget."""
        return self._writing.submit(queues.forget, queue)

    def keep(self, queue: Queue, messages: Sequence[Message]) -> Deferred[None]:
        """See IImportTarget."""
        return self._writing.submit(writes.keep, queue, tuple(messages)).addCallback(self._expect)

    def remove(self, queue: Queue, addresses: Sequence[Address]) -> Deferred[int]:
        """See IImportTarget."""
        return self._writing.submit(writes.remove, queue, tuple(addresses))

    def keep_answers(self, answers: Sequence[KeptAnswer]) -> Deferred[int]:
        """See IImportTarget."""
        return self._writing.submit(writes.keep_answers, tuple(answers))

    def keep_group_state(self, place: GroupPlace, state: GroupState | None) -> Deferred[None]:
        """See IImportTarget."""
        return self._writing.submit(group_copies.keep, place, state)

    @deferred
    async def keep_reach(self, reach: Reach) -> None:
        """See IImportTarget; the store goes on from there whatever the clock shows."""
        await self._writing.submit(keep_reach, reach)

    def close(self) -> Deferred[None]:
        """See IExportSource."""
        return self._close()
