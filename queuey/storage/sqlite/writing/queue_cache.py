"""Caches of the writing thread: which queues exist, and what queues and applications hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import apsw

from queuey.errors import NoSuchQueue
from queuey.model.applications.policy import WriteTerms
from queuey.model.queues.queue import Queue
from queuey.storage.refusals import NOTHING, Held, check_room, queue_closed
from queuey.storage.sqlite.chunks import SIZES, parts
from queuey.storage.sqlite.writing.pending_rows import NOTHING_SPENT, PendingRows

MAX_CACHED: Final = 16_384
"""Size of two caches: queues that are known to exist, and queues whose messages and bytes are known."""

LIVING: Final = {
    size: f"SELECT queue FROM tallies WHERE queue IN ({', '.join('?' * size)}) AND closed IS NULL" for size in SIZES
}
"""A queue that exists has a row in ``tallies``, which a write changes anyway, so this reads no further page."""

_CLOSED: Final = "SELECT coalesce(closed, -1) FROM tallies WHERE queue = ?"
_COUNT_ALL: Final = """
    SELECT coalesce(sum(messages), 0) FROM queues JOIN tallies USING (queue) WHERE application = ?
"""
_TALLY_OF: Final = "SELECT messages, bytes FROM tallies WHERE queue = ?"


class QueueCache:
    """Answers from memory which queues exist and how much they hold, including what is pending.

    :param pending: the sums that are not in the database yet.
    :ivar applications: the application of each queue that is known to exist and to be open.
    """

    def __init__(self, connection: apsw.Connection, pending: PendingRows) -> None:
        self._connection = connection
        self._pending = pending
        self.applications: dict[int, str] = {}
        self._held: dict[int, tuple[int, int]] = {}
        self._usage: dict[str, tuple[int, int]] = {}
        self._messages: dict[str, int] = {}

    def load(self, asked: Mapping[int, str]) -> None:
        """Look up which of some queues exist, by one statement for many."""
        numbers = list(asked)
        for size, start in parts(len(numbers)):
            for (number,) in self._connection.execute(LIVING[size], numbers[start : start + size]):
                self._add(number, asked[number])

    def require(self, queue: Queue) -> None:
        """Raise ``NoSuchQueue`` if a queue was deleted."""
        if queue.incarnation not in self.applications:
            self.is_open(queue)

    def require_open(self, queue: Queue) -> None:
        """Raise ``NoSuchQueue`` if a queue was deleted, and ``QueueClosed`` if it is closed."""
        if queue.incarnation not in self.applications and not self.is_open(queue):
            raise queue_closed(queue)

    def is_open(self, queue: Queue) -> bool:
        """Look a queue up; one that is closed is not cached.

        :raise NoSuchQueue: it was deleted.
        """
        number = queue.incarnation
        closed: int | None = self._connection.execute(_CLOSED, (number,)).get
        if closed is None:
            raise NoSuchQueue(f'The queue "{queue.name}" was deleted.')
        if closed < 0:
            self._add(number, queue.application)
        return closed < 0

    def application_of(self, incarnation: int) -> str | None:
        """Return the application of a queue; ``None`` if the queue was deleted."""
        known = self.applications.get(incarnation)
        if known is None:
            row = self._connection.execute("SELECT application, closed FROM queues WHERE queue = ?", (incarnation,)).get
            if row is not None:
                known, closed = row
                if closed is None:
                    self._add(incarnation, known)
        return known

    def _add(self, incarnation: int, application: str) -> None:
        if len(self.applications) >= MAX_CACHED:
            # To drop the first of them each time would cost more than to find all again: a dict looks for its first
            # entry past all that were removed.
            self.applications.clear()
        self.applications[incarnation] = application

    def forget(self, incarnation: int) -> None:
        """Forget a queue that is being deleted."""
        self.applications.pop(incarnation, None)
        self._held.pop(incarnation, None)

    def check_room(self, queue: Queue, messages: int, size: int, terms: WriteTerms) -> None:
        """Refuse a write that exceeds a limit of the terms; see :func:`queuey.storage.refusals.check_room`."""
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
        """Return how many messages an application has; they are counted once, and changes are added from then on."""
        more = self._pending.spent.get(application, NOTHING_SPENT)[1]
        if application not in self._messages:
            self.flush()
            self._messages[application] = self._connection.execute(_COUNT_ALL, (application,)).get - more
        return self._messages[application] + more

    def _held_by(self, incarnation: int) -> Held:
        """Return what a queue holds; it is read once, and changes are added from then on."""
        if incarnation not in self._held:
            if len(self._held) >= MAX_CACHED:
                self._held.clear()
            self._held[incarnation] = self._connection.execute(_TALLY_OF, (incarnation,)).get
        (messages, size), more = self._held[incarnation], self._pending.tallies.get(incarnation, (0, 0))
        return Held(messages + more[0], size + more[1])

    def usage(self, application: str) -> tuple[int, int]:
        """Return how many queues an application has, and how many bytes they hold, including what is pending."""
        if application not in self._usage:
            row = self._connection.execute("SELECT queues, bytes FROM usage WHERE application = ?", (application,)).get
            self._usage[application] = row or (0, 0)
        (queues, size), more = self._usage[application], self._pending.spent.get(application, NOTHING_SPENT)
        return queues + more[0], size + more[2]

    def flush(self) -> None:
        """Write pending rows and the sums of queues now, so that following statements find them in the database."""
        self.add_tallies()
        self._pending.flush()

    def add_tallies(self) -> None:
        """Add the pending sums of queues to the cache, because they are about to be written."""
        if self._held:
            for queue, (messages, size) in self._pending.tallies.items():
                held = self._held.get(queue)
                if held is not None:
                    self._held[queue] = held[0] + messages, held[1] + size

    def add_spent(self, spent: Mapping[str, tuple[int, int, int]]) -> None:
        """Add the sums of applications that were committed."""
        for application, (queues, messages, size) in spent.items():
            if application in self._messages:
                self._messages[application] += messages
            if application in self._usage:
                before = self._usage[application]
                self._usage[application] = before[0] + queues, before[1] + size

    def roll_back(self) -> None:
        """Forget what a transaction that was rolled back may have changed."""
        self.applications.clear()
        self._held = {}
