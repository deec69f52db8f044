"""The embedded store: one directory, one process, two threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import apsw
import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from queuey.deferreds import deferred, shield
from queuey.errors import Unavailable
from queuey.file_modes import Findings
from queuey.interfaces import Capabilities, IGroupStore, IStateStore, IStore
from queuey.logs import EventLog
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.exports import MARK_KEY, refusal
from queuey.model.messages.batch import NewMessages
from queuey.model.messages.message import Address, Condition, Content, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.depth import Depth
from queuey.model.reading.many import Changes, ManyRange, ManySlice
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice
from queuey.model.telemetry.counts import Metric, gauge
from queuey.model.timeid import MessageId, ticks_of, to_seconds
from queuey.storage.change_log import ChangeLog
from queuey.storage.gauges import stable_time_age
from queuey.storage.sqlite import queues
from queuey.storage.sqlite.database import counts, files
from queuey.storage.sqlite.database.files import Lock, SQLiteSettings
from queuey.storage.sqlite.group_commit import BROKEN, GroupCommit, Runner
from queuey.storage.sqlite.groups import SQLiteGroups
from queuey.storage.sqlite.reading import depth, many, reader
from queuey.storage.sqlite.reading.reader import Reader
from queuey.storage.sqlite.states import SQLiteStates
from queuey.storage.sqlite.upkeep import sweeper
from queuey.storage.sqlite.upkeep.export_source import SQLiteImportTarget
from queuey.storage.sqlite.writing import closing, writes
from queuey.storage.sqlite.writing.writer import Writer

MAX_WRITES: Final = 1000
"""Writes in one transaction at the most."""

MAX_READS: Final = 32
"""Reads in one write batch at the most: their slices, of up to a mebibyte each, are in memory together."""

_log = EventLog(Logger(namespace="queuey.storage"))

FULL = Capabilities("An acknowledged write is on the disk: it outlives crashes and the loss of power.", True)
RELAXED = Capabilities(
    "An acknowledged write outlives a crash of the process; the last moments before a loss of power may be lost.", False
)


@attrs.frozen
class _Open:
    """The parts of an open store."""

    lock: Lock
    writer: Writer
    reader: Reader

    def close(self) -> None:
        """Close what writes, and let other processes have the directory; it may block, as a disk does."""
        try:
            self.writer.close()
        finally:
            self.lock.release()


@implementer(IStore)
class SQLiteStore:
    """A database in a directory that no other process uses.

    :param clock: whose timers begin the upkeep.
    :param now: the wall clock, in seconds since 1970; threads call it.
    :param runner: runs the two write batches.
    :param node: 48 bits that the ids of this process carry, and ``clock_sequence`` 14 more.
    :param new_version: makes a text that was never there before; threads call it.
    :param bits: makes as many random bits as it is asked for; threads call it.
    """

    def __init__(
        self,
        directory: Path,
        settings: SQLiteSettings,
        clock: IReactorTime,
        now: Callable[[], float],
        runner: Runner,
        node: int,
        clock_sequence: int,
        new_version: Callable[[], str],
        bits: Callable[[int], int],
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._now = now
        self._node = node
        self._clock_sequence = clock_sequence
        self._new_version = new_version
        self._bits = bits
        self._writing: GroupCommit[Writer] = GroupCommit(runner, MAX_WRITES)
        self._reading: GroupCommit[Reader] = GroupCommit(runner, MAX_READS)
        self._upkeep = sweeper.Upkeep(clock, now, lambda: self._writing.submit(sweeper.turn))
        self._rooms = counts.Rooms(clock, lambda: self._reading.submit(lambda reader: counts.look(directory)))
        self._commits = counts.Commits(clock.seconds)
        self._change_log = ChangeLog()
        self._open: _Open | None = None
        self._end: Deferred[None] | None = None
        self.states: IStateStore = SQLiteStates(self._reading, self._writing)
        self.groups: IGroupStore = SQLiteGroups(self._writing)
        self.capabilities = RELAXED if settings.relaxed else FULL
        self.metrics: Sequence[Metric] = (
            *self._commits.metrics,
            gauge("queuey_sqlite_waiting_writes", "Writes that are not answered yet.", lambda: self._writing.waiting),
            gauge("queuey_sqlite_waiting_reads", "Reads that are not answered yet.", lambda: self._reading.waiting),
            *self._rooms.metrics,
            stable_time_age(self._stable_age),
        )

    # The store as a whole

    def open(self) -> None:
        """See IStore; it takes the directory's lock and opens the database, before it returns."""
        files.check_library()
        modes, findings = self._settings.modes, Findings()
        files.make_directory(self._directory, modes, findings)
        lock = Lock(self._directory, modes)
        try:
            self._open = self._connect(lock)
            # SQLite has just made these, of a group of its own choice.
            database = files.real(self._directory / files.DATABASE)
            for name in ("-wal", "-shm"):
                modes.apply(database.with_name(f"{database.name}{name}"), findings)
            _tell(findings)
        except BaseException:
            lock.release()
            raise
        self._writing.open(self._open.writer.work, self._open.writer.checkpoints.run)
        self._reading.open(self._open.reader.work, self._open.reader.rest)
        self._upkeep.start()
        self._rooms.start()

    def _connect(self, lock: Lock) -> _Open:
        path, cache, vfs = self._directory / files.DATABASE, self._settings.cache_bytes, self._settings.vfs
        synchronous = "NORMAL" if self._settings.relaxed else "FULL"
        connection = files.connect(path, synchronous, cache, vfs, self._settings.modes)
        try:
            self._check_whole(connection)
            reading = files.connect_reader(path, cache, vfs)
        except apsw.Error as error:
            connection.close(True)
            raise files.cannot(path, error) from error
        except BaseException:
            connection.close(True)
            raise
        writer = Writer(
            connection,
            self._now,
            self._node,
            self._clock_sequence,
            self._new_version,
            self._bits,
            self._commits,
            self._change_log,
        )
        return _Open(lock, writer, Reader(reading, self._now, queues.foresee, self._change_log))

    def _check_whole(self, connection: apsw.Connection) -> None:
        """Refuse a copy that is not whole yet, unless it is about to be completed."""
        value = connection.execute("SELECT value FROM states WHERE key = ?", (MARK_KEY,)).get
        why = None if self._settings.filling else refusal(value)
        if why is not None:
            raise Unavailable(f"The store in {self._directory} {why}.")

    def import_target(self) -> SQLiteImportTarget:
        """The store, to take in what another one holds."""
        return SQLiteImportTarget(self._reading, self._writing, self.states, self._upkeep.expect, self.close)

    def opened(self) -> Deferred[None]:
        """See IStore."""
        return succeed(None)

    def subscribe(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore."""
        self._upkeep.subscribe(arrived)
        return None

    def health_problems(self) -> Mapping[str, str]:
        """See IStore. This process is the only writer, so only its own threads may be a problem."""
        return {"threads": BROKEN} if self._writing.broken or self._reading.broken else {}

    def close(self) -> Deferred[None]:
        """See IStore."""
        if self._end is None:
            self._end = self._close(self._open) if self._open else succeed(None)
        return shield(self._end)

    @deferred
    async def _close(self, open: _Open) -> None:
        self._upkeep.stop()
        self._rooms.stop()
        reading = self._reading.close(open.reader.close)
        # The last checkpoint runs in the writing thread, since it waits for the disk, and after the last read, since a
        # reader would keep it from finishing.
        writing = self._writing.close(open.close, after=reading)
        try:
            await reading
        finally:
            await writing

    def _stable_age(self) -> float | None:
        """Everything that is stored shows at once; only a clock that was set back falls behind what was stored."""
        return None if self._open is None else min(0.0, self._now() - to_seconds(self._open.writer.last))

    @deferred
    async def ping(self) -> None:
        """See IStore; both threads answer."""
        await self._writing.submit(_ping)
        await self._reading.submit(_ping)

    # Messages

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        """See IMessageStore."""
        if type(messages) is NewMessages:
            return self._writing.submit(writes.append, queue, messages, terms)
        stored = self._writing.submit(writes.append, queue, tuple(messages), terms)
        for new in messages:
            if new.delay:
                return stored.addCallback(self._expect, messages)
        return stored

    def append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        stored = self._writing.submit(writes.append_once, queue, once, tuple(messages), terms)
        for new in messages:
            if new.delay:
                return stored.addCallback(self._expect_new, messages)
        return stored

    def close_queue(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once | None
    ) -> Deferred[Appended]:
        """See IMessageStore."""
        stored = self._writing.submit(closing.close_queue, queue, tuple(messages), terms, once)
        return stored.addCallback(self._expect_new, messages) if any(new.delay for new in messages) else stored

    def _expect(self, ids: tuple[MessageId, ...], messages: Sequence[NewMessage]) -> tuple[MessageId, ...]:
        self._upkeep.expect(min(ticks_of(id) for id, new in zip(ids, messages, strict=True) if new.delay))
        return ids

    def _expect_new(self, appended: Appended, messages: Sequence[NewMessage]) -> Appended:
        if not appended.duplicate:
            self._expect(tuple(address.id for address in appended.addresses), messages)
        return appended

    def read_merged(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """See IMessageStore; only delayed messages are above the stable time, and no reader may see those."""
        return self._reading.submit(reader.read_merged, queue, merge)

    def read_many(self, queues: Sequence[Queue], asked: ManyRange, acks: Sequence[Ack]) -> Deferred[ManySlice]:
        """See IMessageStore; it goes on in several turns, among which other reads have theirs."""
        return self._reading.submit(many.ManyRead(queues, asked).turn)

    def changes(self, mark: int | None) -> Deferred[Changes]:
        """See IMessageStore."""
        return self._reading.submit(many.changes, mark)

    def read_range(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """See IMessageStore."""
        return self._reading.submit(reader.read_range, queue, window)

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """See IMessageStore."""
        return self._reading.submit(reader.lookup, queue, tuple(addresses))

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """See IMessageStore."""
        due = self._writing.submit(writes.replace, queue, tuple(addresses), content, ttl, terms)
        return due.addCallback(self._upkeep.expect)

    @deferred
    async def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> bool:
        """See IMessageStore."""
        done = await self._writing.submit(writes.put, queue, address, content, ttl, condition, terms)
        self._upkeep.expect(done.due)
        return done.created

    @deferred
    async def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> int:
        """See IMessageStore."""
        restored = await self._writing.submit(writes.restore, queue, tuple(messages), terms)
        self._upkeep.expect(restored.due)
        return restored.stored

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._writing.submit(writes.remove, queue, tuple(addresses))

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """See IMessageStore; it goes on in several transactions, among which other writes have their turn."""
        return self._writing.submit(writes.Purge().turn, queue, before).addCallback(lambda _: None)

    def delayed(self, queue: Queue, limit: int, ack: Ack) -> Deferred[tuple[Address, ...]]:
        """See IMessageStore."""
        return self._reading.submit(reader.delayed, queue, limit)

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        """See IMessageStore."""
        return self._reading.submit(reader.count, queue)

    def measure(self, queue: Queue, ack: Ack) -> Deferred[Depth]:
        """See IMessageStore; the numbers are exact unless the queue has expired messages that are not swept yet."""
        return self._reading.submit(depth.measure, queue)

    # Queues

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """See IQueueStore."""
        return self._writing.submit(queues.create, application, name, settings, max_queues)

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """See IQueueStore."""
        return self._writing.submit(queues.update, queue, settings)

    def forget(self, queue: Queue) -> Deferred[bool]:
        """See IQueueStore."""
        return self._writing.submit(queues.forget, queue)

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """See IQueueStore."""
        return self._reading.submit(queues.names, application, start, limit, prefix)

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """See IQueueStore."""
        return self._reading.submit(queues.describe, application, tuple(names))

    def cached(self, application: str, name: str) -> Queue | None:
        """See IQueueStore; this store has no cache."""
        return None


def _ping(worker: Reader | Writer) -> None:
    """Prove that the database answers this thread; in the writing thread, within a transaction that may write."""
    worker.connection.execute("SELECT last FROM clock")


def _tell(findings: Findings) -> None:
    """Write to the log whose modes were changed, or could not be."""
    if findings.tightened:
        _log.warn(
            "files-tightened",
            "these files were readable for other users, and are not any more: {files}",
            files=", ".join(findings.tightened),
        )
    if findings.left:
        _log.warn("files-open", "others may read or replace these: {files}", files=", ".join(findings.left))
