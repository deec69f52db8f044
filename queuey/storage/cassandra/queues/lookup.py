"""Lookup of queues by name, with a cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred, succeed

from queuey.deferreds import SingleFlight, deferred
from queuey.errors import Unavailable
from queuey.model.queues.queue import Queue
from queuey.model.timeid import Ticks
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.cluster.port import ICQLSession, Level
from queuey.storage.cassandra.queues.rows import (
    SHARDS,
    Incarnation,
    Memory,
    Name,
    Statements,
    Stored,
    first,
    key_of,
    shard,
    stored,
)
from queuey.storage.cassandra.times.port import Times

_MAX_CACHED: Final = 4096
"""Incarnations that are cached; they take some 4 MiB."""

_ATTEMPTS: Final = 8
"""Maximum number of reads if each takes longer than its result may be used."""

_MAX_NAMES: Final = 100
"""Names that one statement asks for."""


class QueueLookup:
    """Reads queues by name, and caches them as :class:`Registry` describes."""

    def __init__(self, session: ICQLSession, times: Times, statements: Statements) -> None:
        self._session = session
        self._times = times
        self._say = statements
        self._memory = Memory(_MAX_CACHED, times.now, times.registry_age, lambda: times.tenure)
        self._questions: dict[Name, SingleFlight[Incarnation | None]] = {}
        self._doubtful: set[Name] = set()
        self._cut_off: set[Name] = set()

    def current(self, queue: Queue) -> Deferred[Incarnation | None]:
        """Look up the incarnation of a queue; it is ``None`` if the name has another one or none.

        :return: may be cancelled. Fails with ``Unavailable``.
        """
        incarnation = self._memory.get((queue.application, queue.name))
        if incarnation is not None and incarnation.queue.incarnation == queue.incarnation:
            return succeed(incarnation)
        return self._ask_current(queue)

    @deferred
    async def _ask_current(self, queue: Queue) -> Incarnation | None:
        incarnation = await self._find((queue.application, queue.name))
        return incarnation if incarnation is not None and incarnation.queue.incarnation == queue.incarnation else None

    def _find(self, name: Name) -> Deferred[Incarnation | None]:
        """Read the incarnation of a name from the cluster, and cache it.

        Requests for the same name share one read. If the cluster did not answer the last time, a weak queue is used as
        it was known, and read all the same.
        """
        known = self._memory.weak(name) if name in self._cut_off else None
        question = self._questions.get(name)
        begun = question is None
        if question is None:
            question = self._questions[name] = SingleFlight()
        answer: Deferred[Incarnation | None] = question.join() if known is None else succeed(known)
        if begun:
            self._ask(name, question).addBoth(question.answered)
        return answer

    @deferred
    async def _ask(self, name: Name, question: SingleFlight[Incarnation | None]) -> Incarnation | None:
        try:
            for _ in range(_ATTEMPTS):
                since, incarnation = self._times.now(), await self._ask_once(name)
                if self._memory.fresh(since):
                    self._cut_off.discard(name)
                    return incarnation
            raise Unavailable("The cluster answers too slowly to tell which queues there are.")
        except Unavailable:
            self._cut_off.discard(name)
            known = self._memory.weak(name)
            if known is None:
                raise
            self._cut_off.add(name)
            return known
        finally:
            if self._questions.get(name) is question:
                del self._questions[name]

    async def _ask_once(self, name: Name) -> Incarnation | None:
        asking = self._memory.begin(name)
        incarnation = None
        try:
            # If the outcome of a change is unknown, a read at SERIAL completes or discards it.
            found = await self.read(name, Level.SERIAL if name in self._doubtful else Level.QUORUM)
            incarnation = found.incarnation if found else None
            if incarnation is None:
                self._memory.ended(name)
        finally:
            self._memory.end(asking, incarnation)
        return incarnation

    async def read(self, name: Name, level: Level) -> Stored | None:
        """Read what is stored under a name, without the cache. Fails with ``Unavailable``."""
        rows = await self._session.execute(self._say.read, key_of(*name), level)
        if level is Level.SERIAL:
            self._doubtful.discard(name)
        return first(name[0], rows)

    @deferred
    async def describe(self, application: str, names: Sequence[str]) -> tuple[Queue | None, ...]:
        """See IQueueStore; one name is answered from the cache if that is young enough."""
        if len(names) == 1:
            name = (application, names[0])
            incarnation = self._memory.get(name) or await self._find(name)
            return (incarnation.queue if incarnation else None,)
        found = await self._describe_many(application, set(names))
        return tuple(found.get(name) for name in names)

    def cached(self, application: str, name: str) -> Queue | None:
        """See IQueueStore."""
        incarnation = self._memory.get((application, name))
        return None if incarnation is None else incarnation.queue

    async def _describe_many(self, application: str, names: set[str]) -> Mapping[str, Queue]:
        """Read queues without caching them, because a page of names would push out queues that are used often."""
        shards: dict[int, list[str]] = {}
        for name in sorted(names):
            shards.setdefault(shard(name), []).append(name)
        questions = [
            (application, number, some[start : start + _MAX_NAMES])
            for number, some in shards.items()
            for start in range(0, len(some), _MAX_NAMES)
        ]
        asked = [partial(self._session.execute, self._say.read_many, values, Level.QUORUM) for values in questions]
        answers = await read_all(asked, at_once=SHARDS)
        incarnations = [stored(application, row) for rows in answers for row in rows]
        return {
            each.incarnation.queue.name: each.incarnation.queue for each in incarnations if each and each.incarnation
        }

    def invalidate(self, name: Name) -> None:
        """Drop what is cached of a name, and do not use reads of it that have begun."""
        self._memory.change(name)
        self._questions.pop(name, None)

    def doubt(self, name: Name) -> None:
        """Read a name at SERIAL the next time, because the outcome of a change of it is unknown."""
        self._doubtful.add(name)

    def fresh(self, since: Ticks) -> bool:
        """Return whether something that was read at a time may still be used."""
        return self._memory.fresh(since)
