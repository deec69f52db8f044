"""What is done to, and asked of, a group in all its partitions: to go to another place, and to tell where it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from queuey.core.groups.directory import GroupDirectory
from queuey.core.groups.moves import Moves, is_for_others
from queuey.core.groups.rows import contended, in_parallel
from queuey.core.groups.values import PartitionLag
from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import IPolicies, IStore
from queuey.model.group_settings import Group, Start
from queuey.model.groups.commands import Seek
from queuey.model.groups.entries import GENERATION
from queuey.model.groups.terms import Terms
from queuey.model.policy import Policy
from queuey.model.queue import Queue
from queuey.model.timeid import LOWEST, MessageId, Ticks, lower_bound
from queuey.model.window import Merge, Position

COUNTED: Final = 10_000
"""Messages that were never given and are counted, of all partitions together; where there are more, it is said so."""

_MOST: Final = 1000
"""The same of one partition."""

_BYTES: Final = 1 << 22
"""Bytes of bodies that are read for that, of all partitions together."""

_FEWEST_BYTES: Final = 1 << 16
"""Bytes that are read in each partition at the least, where there are many."""

_SLICES: Final = 16
"""Slices that are read for that in each partition, at the most: where much has expired, they are empty."""

_AT_ONCE: Final = 4
"""Partitions that are looked at, or moved, at the same time."""

_ATTEMPTS: Final = 10
"""How often moves are finished before a group goes elsewhere, where others mark more of them meanwhile."""


@attrs.frozen
class Whole:
    """Moves groups to other places, and tells where they are.

    :ivar new_bytes: makes so many random bytes.
    """

    store: IStore
    policies: IPolicies
    directory: GroupDirectory
    moves: Moves
    new_bytes: Callable[[int], bytes]

    @deferred
    async def seek(
        self,
        queue: Queue,
        group: Group,
        to: Start | Ticks | Mapping[int, MessageId],
        partitions: tuple[int, ...] | None,
    ) -> None:
        """Go on from another place, in one partition after another; no receipt of before holds any more.

        What is asked of a partition that is there already, and where nothing was given since, changes nothing.

        :param to: for all partitions, or the first id or bound of each.
        :param partitions: ``None`` is all of the queue.
        :return: fails with ``NoSuchGroup`` or ``Unavailable``; then some partitions may be there, as its ``applied``
            says, and it can be asked for again.
        """
        policy = await self.policies.policy_for(queue.application)
        every = tuple(range(1, queue.settings.partitions + 1))
        bounds = await self._bounds(queue, to, every if partitions is None else partitions, policy)
        moved = False
        for partition, bound in bounds.items():
            try:
                await self._seek(queue, group, partition, bound)
            except Unavailable as error:
                if moved and error.applied == "no":
                    error.applied = "partly"
                raise
            moved = True

    async def _bounds(
        self,
        queue: Queue,
        to: Start | Ticks | Mapping[int, MessageId],
        partitions: tuple[int, ...],
        policy: Policy,
    ) -> Mapping[int, MessageId]:
        if isinstance(to, Mapping):
            return {partition: to[partition] for partition in partitions}
        if to is Start.OLDEST:
            bound = LOWEST
        elif to is Start.NEWEST:
            bound = await self.directory.newest(queue, policy)
        else:
            bound = lower_bound(to)
        return dict.fromkeys(partitions, bound)

    async def _seek(self, queue: Queue, group: Group, partition: int, bound: MessageId) -> None:
        seek = Seek(partition, bound, self.new_bytes(GENERATION))
        for _ in range(_ATTEMPTS):
            (done,) = (await self.store.groups.run(queue, group, Terms(), (seek,))).answers
            if done:
                return
            await self.moves.carry_out(queue, group, partition)
        raise contended()

    @deferred
    async def lag(self, queue: Queue, group: Group) -> tuple[PartitionLag, ...]:
        """Where a group is in each partition.

        :return: fails with ``NoSuchGroup`` or ``Unavailable``.
        """
        every = range(1, queue.settings.partitions + 1)
        limits = min(_MOST, COUNTED // len(every)), max(_FEWEST_BYTES, _BYTES // len(every))
        found = await in_parallel(every, lambda partition: self._lag(queue, group, partition, *limits), _AT_ONCE)
        return tuple(found)

    @deferred
    async def _lag(self, queue: Queue, group: Group, partition: int, limit: int, max_bytes: int) -> PartitionLag:
        told = (await self.store.groups.look(queue, group, partition)).lag
        merge = Merge((partition,), Position(told.reach), limit=limit, max_bytes=max_bytes)
        beyond, exact, first = await self._beyond(queue, group, merge)
        return PartitionLag(
            partition,
            told.settled_through,
            told.in_flight,
            told.waiting,
            told.set_aside,
            told.behind(beyond),
            exact,
            told.oldest or first,
        )

    async def _beyond(self, queue: Queue, group: Group, merge: Merge) -> tuple[int, bool, MessageId | None]:
        """How many messages there are in a range, up to its limits; whether that is all; and the first of them."""
        policy = await self.policies.policy_for(queue.application)
        ack = policy.read_ack(queue.settings.consistency)
        count, first = 0, None
        for _ in range(_SLICES):
            slice = await self.store.merge(queue, merge, ack)
            for message in slice.messages:
                if not is_for_others(message, group.gid):
                    count += 1
                    first = first or message.id
            size = sum(len(message.content.body) for message in slice.messages)
            limit, max_bytes = merge.limit - len(slice.messages), merge.max_bytes - size
            if slice.over or limit <= 0 or max_bytes <= 0 or slice.position == merge.lower:
                return count, slice.over, first
            merge = attrs.evolve(merge, lower=slice.position, limit=limit, max_bytes=max_bytes)
        return count, False, first
