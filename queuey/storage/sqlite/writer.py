"""Runs batches of writes: one batch is one transaction, and its sums are written once, at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import apsw
import attrs
from twisted.logger import Logger

from queuey.errors import NoSuchQueue, QueueyError
from queuey.logs import EventLog
from queuey.model.once import Once
from queuey.model.policy import WriteTerms
from queuey.model.queue import Queue
from queuey.model.timeid import (
    RANDOM_BITS,
    MessageId,
    Ticks,
    from_seconds,
    make,
    make_random,
    make_run,
    upper_bound,
)
from queuey.storage.refusals import NOTHING, Held, check_room
from queuey.storage.sqlite import single_statement
from queuey.storage.sqlite.chunks import SIZES, parts
from queuey.storage.sqlite.counts import Commits
from queuey.storage.sqlite.files import BUSY, CHECKPOINT_PAGES, translated
from queuey.storage.sqlite.group_commit import Job
from queuey.storage.sqlite.group_states import GroupStates
from queuey.storage.sqlite.single_statement import Value

KNOWN: Final = 16_384
"""Size of two caches: queues that are known to exist, and queues whose messages and bytes are known."""

PATIENCE: Final = 100
"""Milliseconds that a checkpoint waits for readers, those of a backup among them."""

LIVING: Final = {size: f"SELECT queue FROM tallies WHERE queue IN ({', '.join('?' * size)})" for size in SIZES}
"""A living queue has a tally, which a write to it changes anyway: to look there touches no other page."""

COLUMNS: Final = 8


KEY_COLUMNS: Final = 6

KEYS: Final = {
    size: "SELECT queue, key, digest, answer, note, expires FROM keys "
    f"WHERE (queue, key) IN (VALUES {', '.join(['(?, ?)'] * size)})"
    for size in SIZES
}


def _statements(before: str, columns: int, after: str = "") -> Mapping[int, str]:
    row = f"({', '.join('?' * columns)})"
    return {size: f"{before} VALUES {', '.join([row] * size)} {after}" for size in SIZES}


INSERT: Final = _statements(
    "INSERT INTO messages (queue, partition, id, expires, size, content_type, headers, body)", COLUMNS
)
AWAIT: Final = _statements("INSERT OR IGNORE INTO future (id, queue, partition)", 3)
REMEMBER: Final = _statements("INSERT OR REPLACE INTO keys (queue, key, digest, answer, note, expires)", KEY_COLUMNS)
TALLY: Final = _statements(
    "INSERT INTO tallies (queue, messages, bytes)",
    3,
    "ON CONFLICT (queue) DO UPDATE SET messages = messages + excluded.messages, bytes = bytes + excluded.bytes",
)
USE: Final = _statements(
    "INSERT INTO usage (application, queues, bytes)",
    3,
    "ON CONFLICT (application) DO UPDATE SET queues = queues + excluded.queues, bytes = bytes + excluded.bytes",
)

PUT_ROWS: Final = _statements("INSERT OR REPLACE INTO deliveries (state, key, value)", 3)
DROP_ROWS: Final = {
    size: f"DELETE FROM deliveries WHERE state = ? AND key IN ({', '.join('?' * size)})" for size in SIZES
}

_COUNT_ALL: Final = """
    SELECT coalesce(sum(messages), 0) FROM queues JOIN tallies USING (queue) WHERE application = ?
"""
_TALLY_OF: Final = "SELECT messages, bytes FROM tallies WHERE queue = ?"
_NOTHING_SPENT: Final = (0, 0, 0)


@attrs.frozen
class Kept:
    """What is stored under an Idempotency-Key.

    :ivar digest: the hash of the request.
    :ivar answer: the addresses of its messages, encoded.
    :ivar note: stored with it for the caller.
    :ivar expires: the time from which the key counts as unused.
    """

    digest: bytes
    answer: bytes
    note: str
    expires: Ticks


class Writer:
    """Runs batches of writes; only the writing thread uses it.

    An operation makes all checks before it writes, so one that raises a ``QueueyError`` has changed no data. Any other
    exception rolls the batch back, and each operation is then run again in a transaction of its own. Most batches need
    only what the writer has cached, and are written by one statement at their end, see
    :mod:`queuey.storage.sqlite.single_statement`. The others begin a transaction when the first of their operations
    uses the database.

    :param now: the wall clock, in seconds since 1970.
    :param node: 48 bits that the ids of this process carry, and ``clock_sequence`` 14 more.
    :param new_version: makes a text that was never used before.
    :param bits: makes a number of as many random bits as its argument says.
    :param commits: counts each commit that changes something.
    :ivar clock: the time of the transaction.
    :ivar last: the stable time: that of the last id made, or of a later delayed message that is due.
    :ivar alone: whether the operation has a transaction of its own.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(
        self,
        connection: apsw.Connection,
        now: Callable[[], float],
        node: int,
        clock_sequence: int,
        new_version: Callable[[], str],
        bits: Callable[[int], int],
        commits: Commits,
    ) -> None:
        self._connection = connection
        self._awaits_begin = False
        self._refused: apsw.Error | None = None
        self.new_version = new_version
        self.clock = Ticks(0)
        self.alone = False
        self.last = Ticks(connection.execute("SELECT last FROM clock").get)
        self._now = now
        self._node = node
        self._clock_sequence = clock_sequence
        self._bits = bits
        self._commits = commits
        self._together = 0
        self._changes = connection.total_changes()
        self._stored_last = self.last
        self._applications: dict[int, str] = {}
        self._usage: dict[str, tuple[int, int]] = {}
        self._messages: dict[str, int] = {}
        self._rows: list[Value] = []
        self._awaited: list[Value] = []
        self._kept: dict[tuple[int, bytes], Kept | None] = {}
        self._keys: list[Value] = []
        self.groups = GroupStates(self, connection)
        self._tallies: dict[int, tuple[int, int]] = {}
        self._held: dict[int, tuple[int, int]] = {}
        self._spent: dict[str, tuple[int, int, int]] = {}
        # A process that was killed may have left a long log: it is copied as soon as there is time.
        self._log_pages = CHECKPOINT_PAGES
        self._stuck = False

    # Transactions

    @property
    def stored_last(self) -> Ticks:
        """The stable time of the last commit."""
        return self._stored_last

    @property
    def connection(self) -> apsw.Connection:
        """The database, for operations: in a write batch, whose transaction begins when it is first asked for."""
        if self._awaits_begin:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except apsw.Error as error:
                self._refused = error
                raise
            self._awaits_begin = False
        return self._connection

    def work(self, jobs: Sequence[Job[Writer]]) -> None:
        """Run a write batch; see ``GroupCommit``."""
        try:
            self._begin()
            self._foresee(jobs)
            self._together = len(jobs)
            for job in jobs:
                try:
                    job.result = job.function(self, *job.arguments, **job.named)  # job.run, without a call more
                except QueueyError as error:
                    job.error = error
            self._commit()
        except Exception as error:
            self._roll_back()
            for job in jobs:
                if error is self._refused:
                    # BEGIN failed, so no operation has written. Running each one alone would only wait for the lock
                    # again.
                    job.error = job.error or self._meaning(error, job)
                else:
                    self._work_alone(job)

    def _work_alone(self, job: Job[Writer]) -> None:
        job.error = None
        self.alone = True
        try:
            self._begin()
            self._together = 1
            job.run(self)
            self._commit()
        except Exception as error:
            self._roll_back()
            job.error = self._meaning(error, job)
        finally:
            self.alone = False

    def _foresee(self, jobs: Sequence[Job[Writer]]) -> None:
        """Learn together what jobs would each ask for: which queues live, and what their keys stand for."""
        queues: dict[int, str] = {}
        keys: dict[tuple[int, bytes], None] = {}
        for job in jobs:
            arguments: tuple[Any, ...] = (*job.arguments, None, None)
            queue, once = arguments[0], arguments[1]
            if type(queue) is Queue:
                if queue.incarnation not in self._applications:
                    queues[queue.incarnation] = queue.application
                if type(once) is Once:
                    keys[queue.incarnation, once.key] = None
        if queues:
            self._foresee_queues(queues)
        if keys:
            self._foresee_keys(keys)

    def _foresee_queues(self, asked: Mapping[int, str]) -> None:
        numbers = list(asked)
        for size, start in parts(len(numbers)):
            for (number,) in self._connection.execute(LIVING[size], numbers[start : start + size]):
                self._know(number, asked[number])

    def _foresee_keys(self, keys: dict[tuple[int, bytes], None]) -> None:
        asked = list(keys)
        self._kept.update(keys)
        values: list[Value] = list(chain.from_iterable(asked))
        for size, start in parts(len(asked)):
            for queue, key, *kept in self._connection.execute(KEYS[size], values[2 * start : 2 * (start + size)]):
                self._kept[queue, key] = Kept(*kept)

    def _meaning(self, error: Exception, job: Job[Writer]) -> Exception:
        if not isinstance(error, apsw.Error):
            return error
        self._log.warn("write-failed", "the database said: {error}", error=error)
        word = translated(error)
        if job.repeated:
            word.applied = "unknown"  # what its earlier turns did stands
        return word

    def _begin(self) -> None:
        if self._connection.in_transaction:
            # An earlier one could not be rolled back. What is written into it would be answered and never committed.
            self._connection.execute("ROLLBACK")
        self._awaits_begin = True
        self._refused = None
        self.clock = from_seconds(self._now())

    def _commit(self) -> None:
        last = None if self.last == self._stored_last else self.last
        sums = max(len(self._tallies), len(self._spent), last is not None)
        rows = len(self._rows) // COLUMNS + len(self._keys) // KEY_COLUMNS + sums
        groups: list[Value] = []
        if self.groups.used:
            groups = self._group_rows(single_statement.ROWS - rows)
            rows += len(groups) // COLUMNS
        if self._awaited or rows > single_statement.ROWS:
            self._store()
        began = self._commits.seconds()
        if sums > single_statement.ROWS:
            self._add_up(last)
        else:
            self._put(last, groups)
        if not self._awaits_begin:
            self._connection.execute("COMMIT")
        self._awaits_begin = False
        self.groups.stored()
        changes, self._changes = self._changes, self._connection.total_changes()
        if changes != self._changes:
            self._commits.committed(self._together, began)
        self._stored_last = self.last
        self._kept = {}
        for application, (queues, messages, size) in self._spent.items():
            if application in self._messages:
                self._messages[application] += messages
            if application in self._usage:
                before = self._usage[application]
                self._usage[application] = before[0] + queues, before[1] + size
        self._spent = {}

    def _group_rows(self, room: int) -> list[Value]:
        """Return the changed rows of groups, to be written by one statement with others. If they are more than
        ``room``, write them now and return an empty list."""
        put, drop = self.groups.changes()
        if len(put) // 3 + len(drop) // 2 <= room:
            return single_statement.group_rows(put, drop)
        self.put_rows(put)
        states: dict[Value, list[Value]] = {}
        for at in range(0, len(drop), 2):
            states.setdefault(drop[at], []).append(drop[at + 1])
        for state, keys in states.items():
            for size, start in parts(len(keys)):
                self.connection.execute(DROP_ROWS[size], (state, *keys[start : start + size]))
        return []

    def put_rows(self, rows: list[Value]) -> None:
        """Write rows of groups: the state, the key and the value of each."""
        self._insert(PUT_ROWS, 3, rows)

    def _put(self, last: Ticks | None, groups: list[Value]) -> None:
        """Write what has gathered by one statement, with the stable time if it is another one.

        :param groups: rows of groups that go with it.
        """
        spent = [(application, _used(more)) for application, more in self._spent.items()]
        values = (
            self._rows
            + single_statement.keys(self._keys)
            + single_statement.sums(self._taken_tallies(), spent, last)
            + groups
        )
        self._rows, self._keys = [], []
        if values:
            try:
                single_statement.put(self._connection, values)
            except apsw.BusyError as error:
                if self._awaits_begin:
                    self._refused = error
                raise

    def _add_up(self, last: Ticks | None) -> None:
        """Write sums by a statement for each table."""
        self.settle()
        self._insert(USE, 3, list(chain.from_iterable((name, *_used(more)) for name, more in self._spent.items())))
        if last is not None:
            self.connection.execute("UPDATE clock SET last = ?", (last,))

    def _roll_back(self) -> None:
        self._awaits_begin = False
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            self._log.error("rollback-failed", "a transaction could not be rolled back: {error}", error=error)
        self.last = self._stored_last
        self._applications.clear()
        self._rows, self._tallies, self._held, self._spent = [], {}, {}, {}
        self._awaited, self._kept, self._keys = [], {}, []
        self.groups.undo()

    def settle(self) -> None:
        """Write what has gathered, so that what follows finds it in the database."""
        self._store()
        if self._tallies:
            self._insert(TALLY, 3, list(chain.from_iterable((queue, *more) for queue, more in self._taken_tallies())))

    def _taken_tallies(self) -> list[tuple[int, tuple[int, int]]]:
        """Return the changes to the tallies of queues, for the caller to write, and add them to the cache."""
        tallies, self._tallies = sorted(self._tallies.items()), {}
        if self._held:
            for queue, (messages, size) in tallies:
                held = self._held.get(queue)
                if held is not None:
                    self._held[queue] = held[0] + messages, held[1] + size
        return tallies

    def _store(self) -> None:
        """Write the rows that have gathered by a statement for each table."""
        if self._rows:
            rows, self._rows = self._rows, []
            self._insert(INSERT, COLUMNS, rows)
        if self._awaited:
            awaited, self._awaited = self._awaited, []
            self._insert(AWAIT, 3, awaited)
        if self._keys:
            keys, self._keys = self._keys, []
            self._insert(REMEMBER, KEY_COLUMNS, keys)

    def _insert(self, statements: Mapping[int, str], columns: int, values: list[Value]) -> None:
        for size, start in parts(len(values) // columns):
            self.connection.execute(statements[size], values[start * columns : (start + size) * columns])

    # What operations are made of

    def new_id(self) -> MessageId:
        """The next id."""
        last = self.last
        self.last = last = Ticks((last if last > self.clock else self.clock) + 1)
        return make(last, self._clock_sequence, self._node)

    def new_ids(self, count: int) -> list[MessageId]:
        """The next ids, in their order."""
        if count == 1:
            return [self.new_id()]
        last = self.last
        first = Ticks((last if last > self.clock else self.clock) + 1)
        self.last = Ticks(first + count - 1)
        return make_run(first, count, self._clock_sequence, self._node)

    def fresh(self) -> Ticks:
        """The time of the next id."""
        return Ticks((self.last if self.last > self.clock else self.clock) + 1)

    def late_id(self, due: Ticks) -> MessageId:
        """Return an id for a future time, with random bits so that it cannot be guessed."""
        return make_random(due, self._bits(RANDOM_BITS))

    def raise_to(self, ticks: Ticks) -> bool:
        """Raise the stable time to at least this. If this is in the future, return false and leave the stable time as
        it is."""
        if ticks > self.last:
            if ticks > self.clock:
                return False
            self.last = ticks
            self.groups.raised(ticks)
        return True

    def stable(self) -> MessageId:
        """The bound below which scans show messages."""
        return upper_bound(self.last)

    def first_awaited(self) -> MessageId | None:
        """The first id of those whose time has not come, or has come and was not seen to yet."""
        first: MessageId | None = self._connection.execute("SELECT min(id) FROM future").get
        return first

    def insert(self, rows: Iterable[Value]) -> None:
        """Let new messages be stored with the write batch.

        :param rows: what stands in the columns of ``messages`` from ``queue`` on, one message after another.
        """
        self._rows += rows

    def random(self, size: int) -> bytes:
        """So many random bytes."""
        return self._bits(8 * size).to_bytes(size, "big")

    def expect(self, id: MessageId, incarnation: int, partition: int) -> None:
        """Let a message be shown when its time comes."""
        self._awaited += (id, incarnation, partition)

    def kept(self, incarnation: int, once: Once) -> Kept | None:
        """What is remembered under a key."""
        place = incarnation, once.key
        if place not in self._kept:
            row = self._connection.execute(KEYS[1], place).get
            self._kept[place] = None if row is None else Kept(*row[2:])
        kept = self._kept[place]
        return kept if kept is not None and kept.expires > self.clock else None

    def keep(self, incarnation: int, key: bytes, kept: Kept) -> None:
        """Let an answer be remembered with the write batch."""
        self._kept[incarnation, key] = kept
        self._keys += (incarnation, key, kept.digest, kept.answer, kept.note, kept.expires)

    def application_of(self, incarnation: int) -> str | None:
        """Return the application of a queue; ``None`` if the queue was deleted."""
        known = self._applications.get(incarnation)
        if known is None:
            known = self._connection.execute("SELECT application FROM queues WHERE queue = ?", (incarnation,)).get
            if known is not None:
                self._know(incarnation, known)
        return known

    def _know(self, incarnation: int, application: str) -> None:
        if len(self._applications) >= KNOWN:
            # To drop the first of them each time would cost more than to find all again: a dict looks for its first
            # entry past all that were removed.
            self._applications.clear()
        self._applications[incarnation] = application

    def require(self, queue: Queue) -> None:
        """Refuse a queue that was deleted."""
        number = queue.incarnation
        if number not in self._applications:
            if self._connection.execute(LIVING[1], (number,)).get is None:
                raise NoSuchQueue(f'The queue "{queue.name}" was deleted.')
            self._know(number, queue.application)

    def bury(self, incarnation: int) -> None:
        """Know no longer that a queue lives, and what it holds."""
        self._applications.pop(incarnation, None)
        self._held.pop(incarnation, None)
        self.groups.bury(incarnation)

    def check_room(self, queue: Queue, messages: int, size: int, terms: WriteTerms) -> None:
        """Refuse what would go over a limit of the terms; see :func:`queuey.storage.refusals.check_room`."""
        if not terms.limited:
            return
        application, held = NOTHING, NOTHING
        if terms.max_bytes is not None or terms.max_messages is not None:
            counted = 0 if terms.max_messages is None else self._messages_of(queue.application)
            application = Held(counted, self.usage(queue.application)[1])
        if terms.max_queue_bytes is not None or terms.max_queue_messages is not None:
            held = self._held_by(queue.incarnation)
        check_room(terms, application, held, Held(messages, size))

    def _messages_of(self, application: str) -> int:
        """How many messages an application has; they are counted once, and then what comes and goes."""
        more = self._spent.get(application, _NOTHING_SPENT)[1]
        if application not in self._messages:
            self.settle()
            self._messages[application] = self._connection.execute(_COUNT_ALL, (application,)).get - more
        return self._messages[application] + more

    def _held_by(self, incarnation: int) -> Held:
        """What a living queue holds; the database is asked once, and then what comes and goes is counted."""
        if incarnation not in self._held:
            if len(self._held) >= KNOWN:
                self._held.clear()
            self._held[incarnation] = self._connection.execute(_TALLY_OF, (incarnation,)).get
        (messages, size), more = self._held[incarnation], self._tallies.get(incarnation, (0, 0))
        return Held(messages + more[0], size + more[1])

    def usage(self, application: str) -> tuple[int, int]:
        """How many queues an application has, and how many bytes they hold, as of this moment."""
        if application not in self._usage:
            row = self._connection.execute("SELECT queues, bytes FROM usage WHERE application = ?", (application,)).get
            self._usage[application] = row or (0, 0)
        (queues, size), more = self._usage[application], self._spent.get(application, _NOTHING_SPENT)
        return queues + more[0], size + more[2]

    def tally(self, application: str, incarnation: int, messages: int, size: int) -> None:
        """Count messages of a living queue, or with negative numbers count them no longer."""
        if incarnation in self.groups.arrivals:
            self.groups.arrivals[incarnation] = self.last
        held, spent = self._tallies.get(incarnation, (0, 0)), self._spent.get(application, _NOTHING_SPENT)
        self._tallies[incarnation] = held[0] + messages, held[1] + size
        self._spent[application] = spent[0], spent[1] + messages, spent[2] + size

    def spend(self, application: str, queues: int, messages: int, size: int) -> None:
        """Count queues of an application, and messages in them with their bytes."""
        before = self._spent.get(application, _NOTHING_SPENT)
        self._spent[application] = before[0] + queues, before[1] + messages, before[2] + size

    # Between write batches

    def rest(self) -> None:
        """Copy the write-ahead log into the database if it is long, after the callers of the batch were answered.

        SQLite itself would do it inside a commit, before the batch is answered.
        """
        self._log_pages += self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, True)[0]
        if self._log_pages < CHECKPOINT_PAGES:
            return
        try:
            self._log_pages = self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
            if self._log_pages >= 4 * CHECKPOINT_PAGES:
                # Readers that are always there keep the log from starting over: it is worth a short wait for them.
                self._connection.set_busy_timeout(PATIENCE)
                self._log_pages = self._checkpoint(apsw.SQLITE_CHECKPOINT_RESTART)
            self._stuck = False
        except apsw.BusyError:
            pass
        except apsw.Error as error:
            if not self._stuck:
                self._log.warn("checkpoint-failed", "a checkpoint failed, and is tried again: {error}", error=error)
            self._stuck = True
        finally:
            self._connection.set_busy_timeout(BUSY)

    def _checkpoint(self, mode: int) -> int:
        """Copy the log; how many of its pages the next checkpoint will find again, as far as they are known."""
        pages, copied = self._connection.wal_checkpoint("main", mode)
        return 0 if copied == pages else pages

    def close(self) -> None:
        """Checkpoint the whole write-ahead log, so that one file holds all data, and close it; called after the last
        job."""
        try:
            self._connection.set_busy_timeout(PATIENCE)
            self._connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            self._log.warn("last-checkpoint-failed", "the next start makes up for it: {error}", error=error)
        self._connection.close(True)


def _used(spent: tuple[int, int, int]) -> tuple[int, int]:
    """What of it is kept for an application: queues, and bytes."""
    queues, _, size = spent
    return queues, size
