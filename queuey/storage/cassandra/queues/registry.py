"""The registry of queues: it creates, changes and deletes them by lightweight transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from queuey.deferreds import KeyedLock, deferred, shield
from queuey.errors import Conflict, NoSuchQueue, Unavailable
from queuey.interfaces import IQueueStore
from queuey.model.exports import StoredQueue
from queuey.model.queues.queue import CLOSING, Queue, QueueSettings
from queuey.model.timeid import LOWEST, Ticks
from queuey.storage.cassandra.cluster.port import ICQLSession, Level, Statement, TransactionResult
from queuey.storage.cassandra.queues.counts import QueueCounts
from queuey.storage.cassandra.queues.listing import Listing
from queuey.storage.cassandra.queues.lookup import QueueLookup
from queuey.storage.cassandra.queues.rows import (
    BUCKET_SECONDS,
    Incarnation,
    Name,
    Purged,
    Statements,
    Stored,
    incarnation_key,
    key_of,
    standing,
    values_of,
)
from queuey.storage.cassandra.times.port import Times
from queuey.storage.refusals import too_many_queues

__all__ = ["Incarnation", "Registry"]

T = TypeVar("T")

_ATTEMPTS: Final = 8
"""Maximum number of attempts at a change if other front ends change the queue too; changes of this process take turns.
"""

_MARK: Final = 60
"""Seconds after which the mark of an ended incarnation expires if it could not be deleted."""

_MORE: Final = 1.01
"""By how much a wait is longer than others remember: two clocks do not go alike."""


@implementer(IQueueStore)
class Registry:
    """The queues of all applications, with a cache.

    With one front end no other process changes them, and they are cached as long as there is room. With many, each
    front end caches them for :meth:`Times.registry_age` seconds, and a front end that changes a queue waits for that
    long before it answers: no front end then uses the old settings, writes to an incarnation that has ended, or reads
    purged messages. Weak queues, however, go on without a majority, as this front end knew them last.

    ``max_queues`` is exact with one front end. With many, each knows the number of queues as it was within that time,
    so an application may exceed the limit by as many queues as other front ends create at the same moment.

    :param keyspace: that of the tables.
    :param clock: the clock of the waits.
    :param new_version: makes a text that was never used before.
    :param new_incarnation: makes 16 bytes that were never used before.
    """

    def __init__(
        self,
        session: ICQLSession,
        times: Times,
        keyspace: str,
        clock: IReactorTime,
        new_version: Callable[[], str],
        new_incarnation: Callable[[], bytes],
    ) -> None:
        self._session = session
        self._times = times
        self._clock = clock
        self._new_version = new_version
        self._new_incarnation = new_incarnation
        self._say = Statements.of(keyspace)
        self._listing = Listing(session, self._say)
        self._lookup = QueueLookup(session, times, self._say)
        self._counts = QueueCounts(session, times, self._say, self._lookup)
        self._turns = KeyedLock()

    # Reading

    def current(self, queue: Queue) -> Deferred[Incarnation | None]:
        """Look up the incarnation of a queue; see ``QueueLookup.current``."""
        return self._lookup.current(queue)

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """See IQueueStore; one name is answered from the cache if that is young enough."""
        return self._lookup.describe(application, names)

    def cached(self, application: str, name: str) -> Queue | None:
        """See IQueueStore."""
        return self._lookup.cached(application, name)

    @deferred
    async def names(self, application: str, start: str, limit: int, prefix: str) -> tuple[str, ...]:
        """See IQueueStore."""
        return await self._listing.page(application, start, limit, prefix)

    # Changing

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """See IQueueStore; if the last incarnation has just ended, it waits until all front ends know that."""
        queue = self._lookup.cached(application, name)
        if queue is not None:
            return succeed((queue, False))
        return self._change((application, name), lambda: self._make_in_turn((application, name), settings, max_queues))

    def _make_in_turn(self, name: Name, settings: QueueSettings, most: int | None) -> Deferred[tuple[Queue, bool]]:
        if most is None:
            return self._make(name, settings, None)
        return self._turns.take(name[0], lambda: self._make(name, settings, most))

    @deferred
    async def _make(self, name: Name, settings: QueueSettings, most: int | None) -> tuple[Queue, bool]:
        found = await self._lookup.read(name, Level.QUORUM) if most is not None else None
        for _ in range(_ATTEMPTS):
            if found is not None and found.incarnation is not None:
                return found.incarnation.queue, False
            if found is not None:
                await self._wait()
            if most is not None and await self._counts.count(name[0]) >= most:
                raise too_many_queues(most)
            queue, found = await self._try_to_make(name, settings, found)
            if queue is not None:
                self._counts.add(name[0], 1)
                return queue, True
        raise _contended()

    async def _try_to_make(
        self, name: Name, settings: QueueSettings, mark: Stored | None
    ) -> tuple[Queue | None, Stored | None]:
        """Create a queue if there is none, or only a mark; otherwise return what is there."""
        key, version, now = self._new_incarnation(), self._new_version(), self._times.now()
        values: tuple[Any, ...] = (key, now, version, *values_of(settings), BUCKET_SECONDS, *key_of(*name))
        statement = self._say.create
        if mark is not None:
            statement, values = self._say.replace, (*values, mark.version)
        verdict, found = await self._transact(name, statement, values)
        queue = Queue(*name, settings, int.from_bytes(key, "big"), version, now)
        if verdict is not None and verdict.applied:
            return queue, None
        if verdict is not None:
            found = await self._lookup.read(name, Level.SERIAL)
        if standing(found, key):
            return queue, None
        return None, found

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """See IQueueStore; with many front ends it fires once no other remembers the old settings."""
        return self._change((queue.application, queue.name), lambda: self._update(queue, settings))

    @deferred
    async def _update(self, queue: Queue, settings: QueueSettings) -> Queue:
        name, key = (queue.application, queue.name), incarnation_key(queue)
        version = self._new_version()
        values = (*values_of(settings), version, *key_of(*name), key, queue.version)
        for _ in range(_ATTEMPTS):
            verdict, found = await self._transact(name, self._say.update, values)
            if verdict is not None and not verdict.applied:
                found = await self._lookup.read(name, Level.SERIAL)
            if (verdict is not None and verdict.applied) or (found is not None and found.version == version):
                await self._wait()
                return Queue(*name, settings, queue.incarnation, version, queue.created, queue.closed)
            if found is None or not standing(found, key):
                raise NoSuchQueue(f'The queue "{queue.name}" was deleted.')
            if found.version != queue.version:
                raise Conflict(f'The queue "{queue.name}" was changed meanwhile.')
        raise _contended()

    def forget(self, queue: Queue) -> Deferred[bool]:
        """See IQueueStore; with many front ends it fires once none of them writes to that incarnation any more.

        If the outcome is unknown, and the name was created again before it could be read, the queue is reported to have
        existed.
        """
        return self._change((queue.application, queue.name), lambda: self._forget(queue))

    @deferred
    async def _forget(self, queue: Queue) -> bool:
        name, key = (queue.application, queue.name), incarnation_key(queue)
        mark = self._new_version()
        values = (self._mark_seconds(), mark, self._times.now(), *key_of(*name), key)
        for _ in range(_ATTEMPTS):
            verdict, found = await self._transact(name, self._say.end, values)
            if verdict is not None and not verdict.applied:
                # Refused, and yet ours: an attempt before it came through, or another node completed it.
                found = await self._lookup.read(name, Level.SERIAL)
                if found is None or found.version != mark:
                    return False
            if not standing(found, key):
                self._counts.add(name[0], -1)
                await self._wait()
                await self._sweep(name, mark)
                return True
        raise _contended()

    def _mark_seconds(self) -> int:
        return max(_MARK, int(4 * (self._times.registry_age() or 0)))

    async def _sweep(self, name: Name, mark: str) -> None:
        """Delete a mark, which becomes one tombstone. If that fails it expires, and becomes several."""
        try:
            await self._session.transact(self._say.sweep, (*key_of(*name), mark))
        except Unavailable:
            return

    @deferred
    async def find(self, application: str, name: str) -> Incarnation | None:
        """Read the incarnation of a name from a majority of the nodes. Fails with ``Unavailable``."""
        found = await self._lookup.read((application, name), Level.QUORUM)
        return None if found is None else found.incarnation

    def keep(self, standing: StoredQueue) -> Deferred[bool]:
        """Store a queue as it is in the source; see ``IImportTarget.keep_queue``."""
        queue = standing.queue
        return self._change((queue.application, queue.name), lambda: self._keep(standing))

    @deferred
    async def _keep(self, standing: StoredQueue) -> bool:
        queue, made = standing.queue, False
        name, key = (queue.application, queue.name), incarnation_key(queue)
        for _ in range(_ATTEMPTS):
            found = await self._lookup.read(name, Level.SERIAL)
            if found is not None and found.incarnation is not None and found.incarnation.key != key:
                await self._forget(found.incarnation.queue)
            elif found is None or found.incarnation is None:
                made = True
                await self._keep_new(queue, found)
            elif found.incarnation.queue.closed != queue.closed and queue.closed is not None:
                await self._try_to_close(name, key, found.incarnation.queue.closed, queue.closed, queue.version)
            elif found.version != queue.version:
                values = (*values_of(queue.settings), queue.version, *key_of(*name), key, found.version)
                await self._transact(name, self._say.update, values)
            elif standing.purged > max((bound for bound, _ in found.incarnation.purged.values()), default=LOWEST):
                # Purged there, and so not here: what is kept shows, whenever that is written.
                bounds = dict.fromkeys(range(1, queue.settings.partitions + 1), standing.purged)
                await self._set_purged(queue, bounds, 0)
            else:
                return made
        raise _contended()

    async def _keep_new(self, queue: Queue, mark: Stored | None) -> None:
        key, name = incarnation_key(queue), (queue.application, queue.name)
        values: tuple[Any, ...] = (key, queue.created, queue.version, *values_of(queue.settings), BUCKET_SECONDS)
        statement, values = self._say.create, (*values, *key_of(*name))
        if mark is not None:
            statement, values = self._say.replace, (*values, mark.version)
        await self._transact(name, statement, values)

    def close(self, queue: Queue, last: Ticks) -> Deferred[Queue]:
        """Close a queue, unless it is closed for good.

        :param last: the time of its last message; ``CLOSING`` if that is not known yet.
        :return: fires with the queue, once no front end remembers an open one. Fails with ``NoSuchQueue``.
        """
        return self._change((queue.application, queue.name), lambda: self._close(queue, last))

    @deferred
    async def _close(self, queue: Queue, last: Ticks) -> Queue:
        name, key = (queue.application, queue.name), incarnation_key(queue)
        for _ in range(_ATTEMPTS):
            found = standing(await self._lookup.read(name, Level.SERIAL), key)
            if found is None:
                raise NoSuchQueue(f'The queue "{queue.name}" was deleted.')
            if found.queue.closed not in (None, CLOSING) or found.queue.closed == last:
                await self._wait()
                return found.queue
            await self._try_to_close(name, key, found.queue.closed, last, self._new_version())
        raise _contended()

    async def _try_to_close(self, name: Name, key: bytes, old: Ticks | None, last: Ticks, version: str) -> None:
        """Change the mark of a closed queue if it is the old one; the next read shows what came of it."""
        values: tuple[Any, ...] = (last, version, *key_of(*name), key)
        if old is None:
            await self._transact(name, self._say.close_first, values)
        else:
            await self._transact(name, self._say.close, (*values, old))

    def set_purged(self, queue: Queue, bounds: Mapping[int, bytes], at: int) -> Deferred[bool]:
        """Purge the messages below a bound, by partition; a bound that is there already and higher stays.

        :param at: the write time, in microseconds, until which messages are purged.
        :return: fires with whether the queue is still there, once no front end remembers the old bounds. Fails with
            ``Unavailable``.
        """
        return self._change((queue.application, queue.name), lambda: self._set_purged(queue, bounds, at))

    @deferred
    async def _set_purged(self, queue: Queue, bounds: Mapping[int, bytes], at: int) -> bool:
        name, key = (queue.application, queue.name), incarnation_key(queue)
        for _ in range(_ATTEMPTS):
            incarnation = standing(await self._lookup.read(name, Level.SERIAL), key)
            if incarnation is None:
                return False
            old, new = incarnation.purged, merged(incarnation.purged, bounds, at)
            if new == old or await self._try_to_purge(name, key, old, new):
                await self._wait()
                return True
        raise _contended()

    async def _try_to_purge(self, name: Name, key: bytes, old: Purged, new: Purged) -> bool:
        """Return whether new bounds were stored; if the outcome is unknown, the next read shows it."""
        values: tuple[Any, ...] = (dict(new), *key_of(*name), key)
        statement, values = (self._say.purge, (*values, dict(old))) if old else (self._say.purge_first, values)
        try:
            return (await self._session.transact(statement, values)).applied
        except Unavailable as error:
            if error.applied != "unknown":
                raise
            self._lookup.doubt(name)
            return False

    def _change(self, name: Name, work: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Change a name when it is its turn. Cancelling does not stop a change that has begun."""

        def begin() -> Deferred[T]:
            self._lookup.invalidate(name)
            return work().addBoth(on_done)

        def on_done(result: T) -> T:
            self._lookup.invalidate(name)
            return result

        return shield(self._turns.take(name, begin))

    async def _transact(
        self, name: Name, statement: Statement, values: Sequence[Any]
    ) -> tuple[TransactionResult | None, Stored | None]:
        """Execute a lightweight transaction; if its outcome is unknown, read what is stored instead.

        Fails with ``Unavailable`` and ``applied="unknown"`` if that cannot be read either.
        """
        try:
            return await self._session.transact(statement, values), None
        except Unavailable as error:
            if error.applied != "unknown":
                raise
        self._lookup.doubt(name)
        try:
            return None, await self._lookup.read(name, Level.SERIAL)
        except Unavailable as error:
            self._counts.forget(name[0])
            raise Unavailable(error.text, applied="unknown", retry_after=error.retry_after) from None

    def _wait(self) -> Deferred[None]:
        """Wait until no front end remembers what was before."""
        age = self._times.registry_age()
        return succeed(None) if age is None else deferLater(self._clock, age * _MORE)


def merged(old: Purged, bounds: Mapping[int, bytes], at: int) -> Purged:
    """The bounds after a purge: the higher one of each partition, with its write time."""
    new = dict(old)
    for partition, bound in bounds.items():
        there, until = old.get(partition, (b"", 0))
        if bound >= there:
            new[partition] = (bound, max(at, until))
    return new


def _contended() -> Unavailable:
    return Unavailable("The queue is being changed by other requests at the same time.")
