"""Writes a new snapshot of a state once the events since the last one outweigh it, while commands go on.

====== ================================================= =====================================================
step   what is done                                      if the process dies after it
====== ================================================= =====================================================
1      An append that is due anyway sets ``pending`` to  Once the events weigh twice as much, a new snapshot
       the random id of the new snapshot.                replaces it, and what was written is removed.
2      The index as of that row is copied; its chunks    The same.
       are written under the id, in the background.
3      An append that is due anyway sets ``snapshot``,   The snapshot before it and its rows are left over;
       ``base`` (the number of the row of step 1), and   they are not read. The next snapshot's step 1 removes
       ``pending`` to the snapshot before it, marked     that snapshot, and its step 4 the rows.
       with ``USELESS``.
4      The snapshot before it and the rows up to the     The same.
       base before it are removed.
====== ================================================= =====================================================

No step costs a lightweight transaction of its own. Rows stay for the time of one more snapshot, so that a transaction
whose outcome is unknown finds its token. If another front end sets ``pending`` or ``snapshot`` meanwhile, the one that
is being written here is given up: every change of them comes with a new version, and so does step 3.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.errors import QueueyError
from queuey.logs import EventLog
from queuey.model.groups.entries import TOKEN
from queuey.model.groups.index import GroupIndex
from queuey.storage.cassandra.groups.loading import Held
from queuey.storage.cassandra.groups.snapshots import Snapshot
from queuey.storage.cassandra.groups.tables import NONE, GroupTables, Head

LEAST: Final = 1 << 17
"""Bytes of events for which no snapshot is written."""

USELESS: Final = b"-"
"""The prefix of the id of a snapshot that should be removed."""

_ENTRY: Final = 40
"""Bytes that an open message takes in a snapshot."""


def outweighs(held: Held, times: int = 1) -> bool:
    """Whether the events since the snapshot are more than a new one would be, or so many times as much."""
    return held.weight > times * max(LEAST, _ENTRY * len(held.index.open))


def snapshots_of(head: Head) -> tuple[bytes, ...]:
    """The ids of all snapshots that a state may have."""
    return tuple([id[-TOKEN:] for id in (head.snapshot, head.pending) if id != NONE])


class Rewriter:
    """Writes the snapshots of one state.

    :param new_bytes: returns that number of random bytes.
    :param pause: lets the reactor do something else.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(
        self,
        tables: GroupTables,
        key: str,
        new_bytes: Callable[[int], bytes],
        pause: Callable[[], Deferred[None]],
    ) -> None:
        self._tables = tables
        self._key = key
        self._new_bytes = new_bytes
        self._pause = pause
        self._id = NONE
        self._base = 0
        self._weight = 0
        self._writing = False
        self._written = False

    def next_head(self, held: Held) -> Head | None:
        """Return the head that the next append writes besides its own row, if any."""
        head = held.head
        assert head is not None
        if self._written:
            if head.pending == self._id:
                useless = USELESS + head.snapshot if head.snapshot else NONE
                return Head(head.version + 1, self._base, self._id, useless)
            self._written = False
            if head.snapshot != self._id:  # another front end took its place
                self._begin(self._drop(self._id))
            # Else an append has put it in force whose outcome was not known here. The next snapshot cleans up.
        if self._writing or not outweighs(held):
            return None
        others = len(head.pending) == TOKEN and head.pending != self._id
        if others and not outweighs(held, 2):
            return None
        self._id = self._new_bytes(TOKEN)
        return attrs.evolve(head, version=head.version + 1, pending=self._id)

    def appended(self, before: Head, held: Held) -> None:
        """Learn that an append was applied which has set what ``next_head`` said.

        :param before: what was set before.
        """
        head = held.head
        assert head is not None
        if head.pending == self._id:
            if before.pending != NONE:
                self._begin(self._drop(before.pending[-TOKEN:]))
            self._base = head.version
            self._begin(self._write(held, held.index))
        elif head.snapshot == self._id:
            self._written = False
            held.weight = max(0, held.weight - self._weight)
            self._begin(self._clean_up(before))

    async def _write(self, held: Held, index: GroupIndex) -> None:
        self._writing, self._weight = True, held.weight
        try:
            snapshot = Snapshot(index)
            for number in range(snapshot.chunks):
                await self._tables.put_chunk(self._id, number, snapshot.chunk(number))
                if number:
                    await self._pause()
            self._written = True
        finally:
            self._writing = False

    async def _drop(self, id: bytes) -> None:
        await self._tables.drop_snapshot(id)

    async def _clean_up(self, before: Head) -> None:
        if before.snapshot != NONE:
            await self._tables.drop_snapshot(before.snapshot)
        if before.base:
            await self._tables.drop(self._key, before.base)

    def _begin(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        """Do something in the background; if the cluster does not answer, it is done at another time or not at all."""
        Deferred.fromCoroutine(work).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(QueueyError):
            self._log.failure("snapshot-defect", "the snapshot of a group could not be written", failure)
