"""Runs batches of writes: one batch is one transaction, and its rows and sums are written at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw
from twisted.logger import Logger

from queuey.errors import QueueyError
from queuey.logs import EventLog
from queuey.model.messages.once import Once
from queuey.model.queues.queue import Queue
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
from queuey.storage.change_log import ChangeLog
from queuey.storage.sqlite.database.checkpoints import Checkpoints
from queuey.storage.sqlite.database.counts import Commits
from queuey.storage.sqlite.database.files import translated
from queuey.storage.sqlite.group_commit import Job
from queuey.storage.sqlite.writing.group_states import GroupStates
from queuey.storage.sqlite.writing.kept_answers import KeptAnswers
from queuey.storage.sqlite.writing.pending_rows import NO_GROUP_ROWS, NOTHING_SPENT, PendingRows
from queuey.storage.sqlite.writing.queue_cache import QueueCache


class Writer:
    """Runs batches of writes; only the writing thread uses it.

    An operation makes all checks before it writes, so one that raises a ``QueueyError`` has changed no data. Any other
    exception rolls the batch back, and each operation is then run again in a transaction of its own. Most batches need
    only what the writer has cached, and are written by one statement at their end; see
    :mod:`queuey.storage.sqlite.writing.pending_rows`. The others begin a transaction when the first of their operations
    uses the database.

    :param now: the wall clock, in seconds since 1970.
    :param node: 48 bits that the ids of this process carry, and ``clock_sequence`` 14 more.
    :param new_version: makes a text that was never used before.
    :param bits: returns an integer of that number of random bits.
    :param commits: counts each commit that changes something.
    :param change_log: gets the queues that each batch changes, before it is committed.
    :ivar changed: the queues that this batch changes.
    :ivar pending: the rows and sums of the batch that are not in the database yet.
    :ivar queues: which queues exist, and what they hold.
    :ivar answers: the stored answers to Idempotency-Keys.
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
        change_log: ChangeLog,
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
        self._change_log = change_log
        self.changed: dict[int, None] = {}
        self._together = 0
        self._changes = connection.total_changes()
        self._stored_last = self.last
        self.pending = PendingRows(connection, self._begun)
        self.queues = QueueCache(connection, self.pending)
        self.answers = KeptAnswers(connection, self.pending)
        self.groups = GroupStates(self, connection)
        self.checkpoints = Checkpoints(connection)

    # Transactions

    @property
    def stored_last(self) -> Ticks:
        """The stable time of the last commit."""
        return self._stored_last

    @property
    def connection(self) -> apsw.Connection:
        """The database, for operations: in a write batch, whose transaction begins when it is first asked for."""
        return self._begun() if self._awaits_begin else self._connection

    def _begun(self) -> apsw.Connection:
        """Return the database after beginning the transaction, if it has not begun."""
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
        """Look up together what jobs would each look up: which queues exist, and which Idempotency-Keys are used."""
        queues: dict[int, str] = {}
        keys: dict[tuple[int, bytes], None] = {}
        for job in jobs:
            arguments: tuple[Any, ...] = (*job.arguments, None, None)
            queue, once = arguments[0], arguments[1]
            if type(queue) is Queue:
                if queue.incarnation not in self.queues.applications:
                    queues[queue.incarnation] = queue.application
                if type(once) is Once:
                    keys[queue.incarnation, once.key] = None
        if queues:
            self.queues.load(queues)
        if keys:
            self.answers.load(keys)

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
        groups = self.groups.changes() if self.groups.used else NO_GROUP_ROWS
        self.queues.add_tallies()
        spent = self.pending.spent
        if self.changed:
            self._change_log.add(self.changed)
            self.changed = {}
        began = self._commits.seconds()
        try:
            self.pending.write(last, groups)
        except apsw.BusyError as error:
            if self._awaits_begin:
                self._refused = error
            raise
        if not self._awaits_begin:
            began = self._commits.seconds()
            self._connection.execute("COMMIT")
        self._awaits_begin = False
        self.groups.stored()
        changes, self._changes = self._changes, self._connection.total_changes()
        if changes != self._changes:
            self._commits.committed(self._together, began)
        self._stored_last = self.last
        self._change_log.commit()
        self.answers.clear()
        self.queues.add_spent(spent)

    def _roll_back(self) -> None:
        self._awaits_begin = False
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            self._log.error("rollback-failed", "a transaction could not be rolled back: {error}", error=error)
        self.last = self._stored_last
        self.pending.clear()
        self.queues.roll_back()
        self.answers.clear()
        self.groups.undo()

    # What operations are made of

    def new_id(self) -> MessageId:
        """Make the next id."""
        last = self.last
        self.last = last = Ticks((last if last > self.clock else self.clock) + 1)
        return make(last, self._clock_sequence, self._node)

    def new_ids(self, count: int) -> list[MessageId]:
        """Make the next ids, in ascending order."""
        if count == 1:
            return [self.new_id()]
        last = self.last
        first = Ticks((last if last > self.clock else self.clock) + 1)
        self.last = Ticks(first + count - 1)
        return make_run(first, count, self._clock_sequence, self._node)

    def fresh(self) -> Ticks:
        """Return the time of the next id."""
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
        """Return the bound below which readers see messages."""
        return upper_bound(self.last)

    def first_awaited(self) -> MessageId | None:
        """Return the lowest id of the messages that are hidden until they fall due."""
        first: MessageId | None = self._connection.execute("SELECT min(id) FROM future").get
        return first

    def random(self, size: int) -> bytes:
        """Return random bytes."""
        return self._bits(8 * size).to_bytes(size, "big")

    def bury(self, incarnation: int) -> None:
        """Forget a queue that is being deleted."""
        self.queues.forget(incarnation)
        self.groups.bury(incarnation)

    def tally(self, application: str, incarnation: int, messages: int, size: int) -> None:
        """Add messages of a queue to the pending sums, or subtract them with negative numbers."""
        if incarnation in self.groups.arrivals:
            self.groups.arrivals[incarnation] = self.last
        self.changed[incarnation] = None
        tallies, spent = self.pending.tallies, self.pending.spent
        held, before = tallies.get(incarnation, (0, 0)), spent.get(application, NOTHING_SPENT)
        tallies[incarnation] = held[0] + messages, held[1] + size
        spent[application] = before[0], before[1] + messages, before[2] + size

    def spend(self, application: str, queues: int, messages: int, size: int) -> None:
        """Add queues of an application, with their messages and bytes, to the pending sums."""
        before = self.pending.spent.get(application, NOTHING_SPENT)
        self.pending.spent[application] = before[0] + queues, before[1] + messages, before[2] + size

    def close(self) -> None:
        """Close the database; called after the last job."""
        self.checkpoints.run_last()
        self._connection.close(True)
