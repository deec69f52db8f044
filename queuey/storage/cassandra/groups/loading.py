"""Reading the state of a group: its snapshot, and the events since; or how it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs
from twisted.internet.defer import Deferred

from queuey.errors import NoSuchGroup, Unavailable
from queuey.model.groups import events
from queuey.model.groups.entries import GENERATION, UnreadableState
from queuey.model.groups.events import Event, Sought
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.snapshot import index_of
from queuey.model.timeid import LOWEST, MessageId
from queuey.storage.cassandra.groups.old_states import OldState, OldStates
from queuey.storage.cassandra.groups.snapshots import Restoring
from queuey.storage.cassandra.groups.tables import ENDED, EventRow, GroupTables, Head, Seen, contended

_ATTEMPTS: Final = 5
"""Maximum number of reads of a state if its snapshot is replaced in between."""


_PAUSED: Final = 1 << 17
"""Bytes of events after which the reactor may do something else."""


@attrs.frozen
class Source:
    """The source of a state.

    :ivar key: of the state.
    :ivar stands: fires with the id from which the group reads; fails if the group does not exist or was deleted.
    """

    key: str
    stands: Callable[[], Deferred[MessageId]]


@attrs.define(eq=False)
class Held:
    """A state that is cached.

    :ivar head: as it is stored; ``None``: there is no state yet.
    :ivar first: the events that come before all others in the first row.
    :ivar old: the value of an earlier version that it is made of.
    :ivar weight: bytes of the events since the snapshot.
    """

    index: GroupIndex
    head: Head | None
    first: Sequence[Event] = ()
    old: OldState | None = None
    weight: int = 0

    @property
    def version(self) -> int | None:
        """The number of the row that was appended last."""
        return None if self.head is None else self.head.version

    def follow(self, found: Seen) -> bool:
        """Apply the rows that others have appended, unless rows are missing in between; return whether it did.

        :raise NoSuchGroup: the state was removed.
        :raise Unavailable: the events are damaged.
        """
        head = found.head
        if head is None or self.head is None:
            return False
        check_not_ended(head)
        rows = [row for row in found.rows if row.number > self.head.version]
        if [row.number for row in rows] != list(range(self.head.version + 1, head.version + 1)):
            return False
        if head.base != self.head.base:
            self.weight = 0
        self.head = head
        for row in rows:
            self.fold(row)
        return True

    def fold(self, row: EventRow) -> None:
        """Apply the events of one row."""
        try:
            for event in events.decode(row.events):
                self.index.apply(event)
        except ValueError as problem:
            raise Unavailable(str(problem)) from None
        self.index.stored()
        self.weight += len(row.events)


def check_not_ended(head: Head) -> None:
    """Refuse a state that was removed.

    :raise NoSuchGroup: saying so.
    """
    if head.version == ENDED:
        raise NoSuchGroup("The queue has no group of that name.")


class Loader:
    """Reads states.

    :param new_bytes: returns that number of random bytes.
    :param pause: lets the reactor do something else.
    """

    def __init__(
        self,
        tables: GroupTables,
        old: OldStates,
        new_bytes: Callable[[int], bytes],
        pause: Callable[[], Deferred[None]],
    ) -> None:
        self._tables = tables
        self._old = old
        self._new_bytes = new_bytes
        self._pause = pause

    async def load(self, source: Source) -> Held:
        """A state as it is stored; if there is none, one that is not stored yet.

        :raise NoSuchGroup: it was deleted.
        :raise Unavailable: it cannot be read.
        """
        for _ in range(_ATTEMPTS):
            head = (await self._tables.newest(source.key)).head
            if head is None:
                return await self._begin(source)
            check_not_ended(head)
            try:
                held = await self._read(source.key, head)
            except UnreadableState as problem:
                raise Unavailable(str(problem)) from None
            if held is not None:
                return held
        raise contended()

    async def _begin(self, source: Source) -> Held:
        old = await self._old.read(source.key)
        if old is not None:
            return Held(index_of(old.state), None, old=old)
        place, generation = await source.stands(), self._new_bytes(GENERATION)
        return Held(GroupIndex(generation, place), None, [Sought(generation, place, ())])

    async def _read(self, key: str, head: Head) -> Held | None:
        """A state; ``None`` if its snapshot or some of its rows were removed meanwhile."""
        index: GroupIndex | None = GroupIndex(bytes(GENERATION), LOWEST)
        if head.snapshot:
            index = await self._snapshot(head.snapshot)
        if index is None:
            return None
        held, number, paused = Held(index, head), head.base + 1, 0
        while number <= head.version:
            rows = await self._tables.rows(key, number, head.version)
            for row in rows:
                if row.number != number:
                    return None
                held.fold(row)
                number += 1
                if held.weight > paused + _PAUSED:
                    paused = held.weight
                    await self._pause()
            if not rows:
                return None
        return held

    async def _snapshot(self, id: bytes) -> GroupIndex | None:
        restoring, number = Restoring(), 0
        while restoring.missing != 0:
            chunks = await self._tables.chunks(id, number)
            for chunk in chunks:
                restoring.add(chunk)
                number += 1
                if number > 1 and restoring.missing:
                    await self._pause()
            if not chunks:
                return None
        return restoring.index

    async def since(self, key: str, version: int) -> Seen:
        """The head, and all rows from a version on that are still there."""
        found = await self._tables.since(key, version)
        if found.head is None:  # the rows were removed
            return await self._tables.newest(key)
        if not found.rows or found.rows[0].number <= version:
            return found
        rows: list[EventRow] = []
        number, end = version, found.rows[0].number
        while number < end:
            some = await self._tables.rows(key, number, end - 1)
            if not some:
                break
            rows += some
            number = some[-1].number + 1
        return attrs.evolve(found, rows=(*rows, *found.rows))

    async def begins_so(self, key: str, held: Held) -> bool:
        """Whether a state that is not stored yet would begin in the same way now."""
        if (await self._tables.newest(key)).head is not None:
            return False
        old = await self._old.read(key)
        return (None if old is None else old.version) == (None if held.old is None else held.old.version)
