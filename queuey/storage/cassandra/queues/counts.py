"""Numbers of queues of applications, for the limit ``max_queues``."""

from __future__ import annotations

from functools import partial

import attrs

from queuey.model.timeid import Ticks
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.cluster.port import ICQLSession, Level
from queuey.storage.cassandra.queues.lookup import QueueLookup
from queuey.storage.cassandra.queues.rows import SHARDS, Statements
from queuey.storage.cassandra.times.port import Times


@attrs.frozen
class _Count:
    """The number of queues of an application at a time, and the tenure of this front end at that time."""

    number: int
    since: Ticks
    tenure: int


class QueueCounts:
    """Counts the queues of applications, and caches the numbers."""

    def __init__(self, session: ICQLSession, times: Times, statements: Statements, lookup: QueueLookup) -> None:
        self._session = session
        self._times = times
        self._say = statements
        self._lookup = lookup
        self._counts: dict[str, _Count] = {}

    async def count(self, application: str) -> int:
        """Return how many queues an application has, or had at most as long ago as queues are cached."""
        known, now = self._counts.get(application), self._times.now()
        if known is not None and known.tenure == self._times.tenure and self._lookup.fresh(known.since):
            return known.number
        tenure = self._times.tenure
        questions = [
            partial(self._session.execute, self._say.count, (application, number), Level.QUORUM)
            for number in range(SHARDS)
        ]
        number: int = sum(all - ended for ((all, ended),) in await read_all(questions))
        self._counts[application] = _Count(number, now, tenure)
        return number

    def add(self, application: str, more: int) -> None:
        """Count queues that were created, or deleted with a negative number."""
        known = self._counts.get(application)
        if known is not None:
            self._counts[application] = attrs.evolve(known, number=known.number + more)

    def forget(self, application: str) -> None:
        """Count again the next time."""
        self._counts.pop(application, None)
