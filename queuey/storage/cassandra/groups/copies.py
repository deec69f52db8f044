"""Copies the states of groups of a keyspace: reads them while front ends serve, and writes them while none does."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from twisted.internet.defer import Deferred, fail, succeed

from queuey.deferreds import deferred
from queuey.errors import NoSuchGroup, Unavailable
from queuey.interfaces import IStateStore
from queuey.model.exports import GroupPlace
from queuey.model.groups import events
from queuey.model.groups.entries import TOKEN
from queuey.model.groups.rows import place_of, state_key
from queuey.model.groups.snapshot import GroupState, index_of, state_of
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.cassandra.groups.cells import remove_state
from queuey.storage.cassandra.groups.loading import Loader, Source
from queuey.storage.cassandra.groups.old_states import OldStates
from queuey.storage.cassandra.groups.rewriting import USELESS, snapshots_of
from queuey.storage.cassandra.groups.snapshots import Snapshot
from queuey.storage.cassandra.groups.tables import ENDED, NONE, GroupTables, Head, contended


class GroupCopies:
    """The states of a keyspace, to be copied."""

    def __init__(self, tables: GroupTables, states: IStateStore) -> None:
        self._tables = tables
        self._old = OldStates(states, secrets.token_bytes)
        self._loader = Loader(tables, self._old, secrets.token_bytes, lambda: succeed(None))

    @deferred
    async def read(self, place: GroupPlace) -> GroupState | None:
        """The state of a group in a partition, also one that an earlier version kept; ``None`` if there is none."""
        key = state_key(place.incarnation, place.gid, place.partition)
        try:
            return state_of((await self._loader.load(Source(key, _no_group))).index)
        except NoSuchGroup:
            return None

    @deferred
    async def keep(self, place: GroupPlace, state: GroupState | None, now: Ticks) -> None:
        """Have a state as it is said to be, or none; to be called by one process at a time for each place.

        A state that was removed cannot be written again on the same day. No copy needs that: the id of a group that
        ended never comes again.
        """
        key = state_key(place.incarnation, place.gid, place.partition)
        if state is None:
            await self._old.remove(key)
            await remove_state(self._tables, key, now)
            return
        head = (await self._tables.newest(key)).head
        if head is not None and head.version == ENDED:
            raise Unavailable("The state of this group was removed on the same day.")
        snapshot, id = Snapshot(index_of(state)), secrets.token_bytes(TOKEN)
        for number in range(snapshot.chunks):
            await self._tables.put_chunk(id, number, snapshot.chunk(number))
        version = 1 if head is None else head.version + 1
        useless = USELESS + head.snapshot if head is not None and head.snapshot else NONE
        seen = None if head is None else head.version
        token = secrets.token_bytes(TOKEN)
        # The row has no events: the snapshot is what there is after it.
        if not await self._tables.append(key, seen, token, events.encode([]), Head(version, version, id, useless)):
            raise contended()
        await self._old.remove(key)
        if head is not None:
            await self._tables.drop(key, head.version)
            for old in snapshots_of(head):
                await self._tables.drop_snapshot(old)


def _no_group() -> Deferred[MessageId]:
    return fail(NoSuchGroup("There is no state of this group."))


def places(keys: Iterable[tuple[str, int | None]]) -> tuple[GroupPlace, ...]:
    """The places of states, by their keys and versions; those that were removed are left out."""
    found = [place_of(key) for key, version in keys if version is not None and version != ENDED]
    return tuple([place for place in found if place is not None])
