"""Export from and import into a keyspace: reads work beside the front ends that serve it, writes only without them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import IImportTarget, IStateStore, Outcome, State
from queuey.model.applications.policy import Ack
from queuey.model.exports import MARK_KEY, ExportPage, GroupPlace, Heads, KeptAnswer, Reach, Size, StoredQueue
from queuey.model.groups.snapshot import GroupState
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Consistency, Queue
from queuey.model.reading.window import LookupSlice
from queuey.model.stable_time.stamps import Place
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, ticks_of
from queuey.storage.cassandra.cluster.port import ICQLSession, Kind, Level, Row, Statement
from queuey.storage.cassandra.groups import GroupTables
from queuey.storage.cassandra.groups.copies import GroupCopies, places
from queuey.storage.cassandra.groups.old_states import FENCE
from queuey.storage.cassandra.messages.ledger import Answer
from queuey.storage.cassandra.messages.store import Messages
from queuey.storage.cassandra.queues.registry import Registry
from queuey.storage.cassandra.queues.rows import COLUMNS, Incarnation, stored
from queuey.storage.cassandra.states import name_of
from queuey.storage.cassandra.store import CassandraStore
from queuey.storage.cassandra.times.port import Times

_FIRST: Final = -(1 << 63)
"""Below the token of every partition."""

_SHARDS: Final = 1000
"""Parts of the table of queues that are asked for at once."""

_APART: Final = 1.0
"""Seconds by which clocks of front ends may differ, or more."""

_AHEAD: Final = 60.0
"""Maximum time in seconds to wait for the clock."""

_INCARNATION_BYTES: Final = 16
"""Bytes in the key of an answer that say of which incarnation of a queue it is."""


@attrs.frozen
class Tables:
    """The walks through whole tables, in the order of their tokens, which is no order of anything else."""

    session: ICQLSession
    keyspace: str

    async def shards(self) -> list[tuple[str, int]]:
        """The parts that the table of queues is in."""
        found: list[tuple[str, int]] = []
        after = _FIRST
        text = (
            f"SELECT DISTINCT app, shard, token(app, shard) FROM {self.keyspace}.queues "
            "WHERE token(app, shard) > ? LIMIT ?"
        )
        while True:
            rows = await self._ask(text, after, _SHARDS)
            found += [(application, shard) for application, shard, _ in rows]
            if len(rows) < _SHARDS:
                return found
            after = rows[-1][2]

    async def queues(self, application: str, shard: int, after: str, limit: int) -> Sequence[Row]:
        """Rows of queues of a part, their names first, with the marks of ended ones."""
        text = f"SELECT {COLUMNS} FROM {self.keyspace}.queues WHERE app = ? AND shard = ? AND name > ? LIMIT ?"
        return await self._ask(text, application, shard, after, limit)

    async def states(self, after: int, limit: int) -> Sequence[Row]:
        """Key, version, write time of the value, token."""
        text = (
            f"SELECT key, version, WRITETIME(value), token(key) FROM {self.keyspace}.states "
            "WHERE token(key) > ? LIMIT ?"
        )
        return await self._ask(text, after, limit)

    async def group_states(self, after: int, limit: int) -> Sequence[Row]:
        """Key and version of states of groups, token."""
        text = (
            f"SELECT DISTINCT key, version, token(key) FROM {self.keyspace}.group_events WHERE token(key) > ? LIMIT ?"
        )
        return await self._ask(text, after, limit)

    async def answers(self, after: int, limit: int) -> Sequence[Row]:
        """Key, digest, whether it is done, answer, seconds that it lives, token."""
        text = (
            f"SELECT key, digest, done, answer, TTL(answer), token(key) FROM {self.keyspace}.dedupe "
            "WHERE token(key) > ? LIMIT ?"
        )
        return await self._ask(text, after, limit)

    def _ask(self, text: str, *values: Any) -> Deferred[Sequence[Row]]:
        return self.session.execute(Statement(text, Kind.READ), values, Level.QUORUM)


def standing(incarnation: Incarnation) -> StoredQueue:
    """A queue, with the highest of the bounds that its partitions were purged to."""
    return StoredQueue(
        incarnation.queue, MessageId(max((bound for bound, _ in incarnation.purged.values()), default=LOWEST))
    )


class Listing:
    """Pages of queues: part after part, and the names in each."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._shards: list[tuple[str, int]] = []

    async def page(self, rest: str | None, limit: int) -> ExportPage[StoredQueue]:
        """See ``IExportSource.queues``; the parts are those that there were when the first page was asked for."""
        if rest is None:
            self._shards = await self._tables.shards()
        number, after = (0, "") if rest is None else json.loads(rest)
        found: list[StoredQueue] = []
        while number < len(self._shards):
            application, shard = self._shards[number]
            rows = await self._tables.queues(application, shard, after, limit)
            some = [stored(application, row) for row in rows]
            found += [standing(one.incarnation) for one in some if one is not None and one.incarnation is not None]
            number, after = (number + 1, "") if len(rows) < limit else (number, rows[-1][0])
            if len(found) >= limit:
                return ExportPage(tuple(found), json.dumps([number, after]))
        return ExportPage(tuple(found), None)


@implementer(IImportTarget)
class CassandraImportTarget:
    """The store of a keyspace that this process alone has the lease of.

    :param sleep: waits some seconds.
    """

    def __init__(
        self,
        store: CassandraStore,
        tables: Tables,
        messages: Messages,
        registry: Registry,
        times: Times,
        sleep: Callable[[float], Deferred[None]],
    ) -> None:
        self._store = store
        self._tables = tables
        self._messages = messages
        self._registry = registry
        self._times = times
        self._sleep = sleep
        self._listing = Listing(tables)
        self.states: IStateStore = UnfencedStates(store.states)
        self._groups = GroupCopies(GroupTables(tables.session, tables.keyspace), store.states)

    def opened(self) -> Deferred[None]:
        """See IImportTarget."""
        return self._store.opened()

    def seal(self) -> Deferred[bool]:
        """See IExportSource; the lease of the keyspace is held."""
        return succeed(True)

    def size(self) -> Deferred[Size]:
        """See IExportSource; a cluster does not count by itself."""
        return succeed(Size(None, None))

    @deferred
    async def queues(self, rest: str | None, limit: int) -> ExportPage[StoredQueue]:
        """See IExportSource."""
        return await self._listing.page(rest, limit)

    @deferred
    async def find(self, application: str, name: str) -> StoredQueue | None:
        """See IExportSource."""
        incarnation = await self._registry.find(application, name)
        return None if incarnation is None else standing(incarnation)

    def heads(self, queue: Queue, partition: int, start: MessageId, limit: int) -> Deferred[Heads]:
        """See IExportSource."""
        return self._messages.copies.heads(queue, partition, start, limit)

    def lookup(self, queue: Queue, addresses: Sequence[Address]) -> Deferred[LookupSlice]:
        """See IExportSource."""
        return self._messages.lookup(queue, addresses, Ack.MAJORITY)

    @deferred
    async def answers(self, rest: str | None, limit: int) -> ExportPage[KeptAnswer]:
        """See IExportSource."""
        now = self._times.now()
        rows = await self._tables.answers(int(rest or _FIRST), limit)
        found = []
        for key, digest, done, answer, seconds, _ in rows:
            if done and seconds is not None:
                said = Answer.decoded(bytes(answer))
                incarnation, expires = int.from_bytes(key[:_INCARNATION_BYTES], "big"), Ticks(now + seconds * SECOND)
                addresses = tuple(placed.address for placed in said.placed)
                found.append(
                    KeptAnswer(
                        incarnation, bytes(key[_INCARNATION_BYTES:]), bytes(digest), addresses, said.note, expires
                    )
                )
        return ExportPage(tuple(found), str(rows[-1][-1]) if len(rows) == limit else None)

    @deferred
    async def state_keys(self, rest: str | None, limit: int) -> ExportPage[tuple[str, str]]:
        """See IExportSource; the remains of removed states have no value."""
        rows = await self._tables.states(int(rest or _FIRST), limit)
        found = tuple(
            (name_of(key), version)
            for key, version, written, _ in rows
            if written is not None and name_of(key) != MARK_KEY
        )
        return ExportPage(found, str(rows[-1][-1]) if len(rows) == limit else None)

    def state(self, key: str) -> Deferred[State | None]:
        """See IExportSource. A state of a group that is not converted yet is as the earlier version stored it; one that
        was converted is among ``group_states``."""
        return self.states.read(key)

    @deferred
    async def group_states(self, rest: str | None, limit: int) -> ExportPage[GroupPlace]:
        """See IExportSource."""
        rows = await self._tables.group_states(int(rest or _FIRST), limit)
        found = places([(key, version) for key, version, _ in rows])
        return ExportPage(found, str(rows[-1][-1]) if len(rows) == limit else None)

    def group_state(self, place: GroupPlace) -> Deferred[GroupState | None]:
        """See IExportSource."""
        return self._groups.read(place)

    def keep_group_state(self, place: GroupPlace, state: GroupState | None) -> Deferred[None]:
        """See IImportTarget."""
        return self._groups.keep(place, state, self._times.now())

    @deferred
    async def reach(self) -> Reach:
        """See IExportSource."""
        return Reach(ticks_of(self._times.stable(Place(0, 1))))

    def keep_queue(self, standing: StoredQueue) -> Deferred[bool]:
        """See IImportTarget."""
        return self._registry.keep(standing)

    def end_queue(self, queue: Queue) -> Deferred[bool]:
        """See IImportTarget."""
        return self._store.forget(queue)

    def keep(self, queue: Queue, messages: Sequence[Message]) -> Deferred[None]:
        """See IImportTarget."""
        return self._messages.copies.keep(queue, messages, _ack(queue))

    def remove(self, queue: Queue, addresses: Sequence[Address]) -> Deferred[int]:
        """See IImportTarget."""
        return self._store.remove(queue, addresses, _ack(queue))

    def keep_answers(self, answers: Sequence[KeptAnswer]) -> Deferred[int]:
        """See IImportTarget."""
        return self._messages.copies.keep_answers(answers)

    @deferred
    async def keep_reach(self, reach: Reach) -> None:
        """See IImportTarget; front ends go by their clocks, which have to have come as far."""
        ahead = (reach.stable - self._times.now()) / SECOND + _APART
        if ahead > _AHEAD:
            raise Unavailable(
                f"The source has given ids of times that come in {ahead:.0f} s only, for its clock was set back: "
                "wait until then, and finish."
            )
        await self._sleep(max(0.0, ahead))

    def close(self) -> Deferred[None]:
        """See IExportSource."""
        return self._store.close()


@implementer(IStateStore)
class UnfencedStates:
    """States without the fences that keep an earlier version from those of groups; see ``groups/old_states``."""

    def __init__(self, states: IStateStore) -> None:
        self._states = states

    @deferred
    async def read(self, key: str) -> State | None:
        """See IStateStore; what was converted is not there."""
        found = await self._states.read(key)
        return None if found is None or found.value == FENCE else State(found.value.removeprefix(FENCE), found.version)

    @deferred
    async def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
        """See IStateStore."""
        if version is None:
            found = await self._states.read(key)
            if found is not None and found.value == FENCE:
                version = found.version
        return await self._states.replace(key, version, value, fresh)


def _ack(queue: Queue) -> Ack:
    """Return the acknowledgements that a write of a copy waits for: at least those of a queue of strong consistency."""
    return Ack.EVERY_CENTRE if queue.settings.consistency is Consistency.VERY_STRONG else Ack.MAJORITY
