"""Consumer groups of the memory store: one index for each group and partition."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey.errors import NoSuchGroup, QueueyError, Unavailable
from queuey.interfaces import IGroupStore
from queuey.model.groups.commands import Command, Ran, View
from queuey.model.groups.entries import GENERATION
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.rows import UnreadableGroup, decode_group, group_key
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Terms
from queuey.model.messages.message import Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MessageId, Ticks, successor, upper_bound
from queuey.storage.group_commands import run, view
from queuey.storage.group_data import GroupData, Scan, may_be_given
from queuey.storage.memory.data import StoreData
from queuey.storage.memory.states import MemoryStates

STATE: Final = 1024
"""Bytes that the state of a group in a partition takes."""

ENTRY: Final = 400
"""Bytes that a message in flight takes besides; and so does a remembered ack, a fifth of it."""


@implementer(IGroupStore)
class MemoryGroups(GroupData):
    """The groups of a memory store.

    :param states: has the rows of the groups.
    :param bits: returns an integer of that number of random bits.
    """

    def __init__(self, data: StoreData, states: MemoryStates, bits: Callable[[int], int]) -> None:
        self._data = data
        self._rows = states
        self._bits = bits
        self._states: dict[int, dict[tuple[bytes, int], GroupIndex]] = {}
        self._costs: dict[GroupIndex, int] = {}
        self.clock = Ticks(0)

    def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """See IGroupStore."""
        return self._data.when_open(lambda: self._run(queue, group, terms, commands))

    def follow_writes(self) -> bool:
        """See IGroupStore; here an append is answered at once."""
        return False

    def look(self, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> Deferred[View]:
        """See IGroupStore."""
        return self._data.when_open(lambda: self._look(queue, group, partition, ids))

    def end(self, incarnation: int, gid: bytes, partitions: int) -> Deferred[None]:
        """See IGroupStore."""
        return self._data.when_open(lambda: self._end(incarnation, gid))

    def forget(self, queue: int) -> None:
        """Remove the groups of an incarnation of a queue."""
        for index in self._states.pop(queue, {}).values():
            self._data.space.used -= self._costs.pop(index, 0)

    def _run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Ran:
        self._data.queue(queue)
        self.clock = self._data.ticks()
        self._used: dict[GroupIndex, None] = {}
        try:
            ran = run(self, queue, group, terms, commands)
            self._reserve()
        except QueueyError:
            for index in self._used:
                index.undo()
            raise
        for index in self._used:
            index.stored()
        return ran

    def _reserve(self) -> None:
        """Count the space of the states that were used, or refuse it."""
        costs = {index: STATE + ENTRY * len(index.open) + 80 * len(index.acked) for index in self._used if index.events}
        more = sum([cost - self._costs.get(index, 0) for index, cost in costs.items()])
        if self._data.space.short(more):
            raise self._data.space.error()
        self._data.space.used += more
        self._costs.update(costs)

    def _look(self, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId]) -> View:
        data = self._data.queue(queue)
        self._used = {}
        return view(self.index(queue, group, partition), self._data.ticks(), data.purged, ids)

    def _end(self, queue: int, gid: bytes) -> None:
        states = self._states.get(queue, {})
        for place in [place for place in states if place[0] == gid]:
            self._data.space.used -= self._costs.pop(states.pop(place), 0)
        if not states:
            self._states.pop(queue, None)

    def index(self, queue: Queue, group: Group, partition: int) -> GroupIndex:
        """See GroupData."""
        states = self._states.get(queue.incarnation, {})
        index = states.get((group.gid, partition))
        if index is None:
            place = self._place(queue, group)
            index = GroupIndex(self._bits(8 * GENERATION).to_bytes(GENERATION, "big"), place)
            self._states.setdefault(queue.incarnation, states)[group.gid, partition] = index
        self._used[index] = None
        return index

    def _place(self, queue: Queue, group: Group) -> MessageId:
        """Return the id from which a group reads.

        :raise NoSuchGroup: it was deleted.
        """
        row = self._rows.find(group_key(queue.incarnation, group.name))
        try:
            found = None if row is None else decode_group(row.value, queue.incarnation, "")
        except UnreadableGroup as problem:
            raise Unavailable(str(problem)) from None
        if found is None or found.ended or found.gid != group.gid:
            raise NoSuchGroup("The queue has no group of that name.")
        return found.place

    def find(
        self, queue: Queue, partition: int, ids: Sequence[MessageId], max_bytes: int | None = None
    ) -> Mapping[MessageId, Message]:
        """See GroupData; the messages are in memory anyway, so it has all of them."""
        there = self._data.queue(queue).partitions.get(partition)
        if there is None:
            return {}
        found = {id: there.messages.get(id) for id in ids}
        return {id: one for id, one in found.items() if one is not None and one.expires > self.clock}

    def existing(self, queue: Queue, partition: int, ids: Sequence[MessageId]) -> Collection[MessageId]:
        """See GroupData."""
        return self.find(queue, partition, ids).keys()

    def scan(self, queue: Queue, index: GroupIndex, group: Group, partition: int, limit: int, max_bytes: int) -> Scan:
        """See GroupData."""
        stable, start = upper_bound(self._data.stable()), index.reach
        there = self._data.queue(queue).partitions.get(partition)
        found: list[Message] = []
        size = 0
        ids: Sequence[MessageId] = () if there is None else there.ids
        for place in range(bisect_left(ids, start), bisect_left(ids, stable)):
            assert there is not None
            message = there.messages[ids[place]]
            if message.expires > self.clock and may_be_given(message, group.gid):
                size += len(message.content.body)
                if len(found) == limit or (found and size > max_bytes):
                    return _scanned(found, successor(found[-1].id), False)
                found.append(message)
        return _scanned(found, max(start, stable), True)


def _scanned(found: Sequence[Message], end: MessageId, over: bool) -> Scan:
    return Scan(found, [message.id for message in found], end, over)
