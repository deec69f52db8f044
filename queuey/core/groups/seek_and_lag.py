"""Seek and lag: operations that concern a group in all its partitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from queuey.core.groups.dead_letters import DeadLetters, is_for_others
from queuey.core.groups.directory import GroupDirectory
from queuey.core.groups.rows import contended, in_parallel
from queuey.core.groups.values import PartitionLag
from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import IPolicies, IStore
from queuey.model.applications.policy import Policy
from queuey.model.groups.commands import Seek
from queuey.model.groups.entries import GENERATION
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Terms
from queuey.model.queues.queue import Queue
from queuey.model.reading.start import Start
from queuey.model.reading.window import Merge, Position
from queuey.model.timeid import LOWEST, MessageId, Ticks, lower_bound

COUNTED: Final = 10_000
"""Maximum number of undelivered messages that are counted in all partitions together; beyond it the count is a lower
bound."""

_MOST: Final = 1000
"""Maximum number of undelivered messages that are counted in one partition."""

_BYTES: Final = 1 << 22
"""Maximum size of the bodies that are read to count, of all partitions together."""

_FEWEST_BYTES: Final = 1 << 16
"""Minimum number of bytes that may be read in each partition of a queue with many partitions."""

_SLICES: Final = 16
"""Maximum number of slices that are read in each partition to count; slices are empty if many messages have expired."""

_AT_ONCE: Final = 4
"""Number of partitions that are read at the same time."""

_ATTEMPTS: Final = 10
"""Number of attempts of a seek; between them pending moves are carried out, since other processes may mark more."""


@attrs.frozen
class SeekAndLag:
    """Seeks groups and measures their lag.

    :ivar new_bytes: returns that number of random bytes.
    """

    store: IStore
    policies: IPolicies
    directory: GroupDirectory
    moves: DeadLetters
    new_bytes: Callable[[int], bytes]

    @deferred
    async def seek(
        self,
        queue: Queue,
        group: Group,
        to: Start | Ticks | Mapping[int, MessageId],
        partitions: tuple[int, ...] | None,
    ) -> None:
        """Move the group's position, in one partition after another; earlier receipts become invalid.

        A partition that is at that position already, and has delivered no message since, is not changed.

        :param to: a position for all partitions, or an id or bound for each.
        :param partitions: ``None`` means all partitions of the queue.
        :return: fails with ``NoSuchGroup`` or ``Unavailable``; then some partitions may have moved, as its ``applied``
            says, and the call may be repeated.
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
    async def lag(self, queue: Queue, group: Group, counted: int | None = None) -> tuple[PartitionLag, ...]:
        """Return the position and lag of a group in each partition.

        :param counted: how many undelivered messages to count at most, in all partitions together, if not ``COUNTED``;
            the bytes that are read for that are limited in the same proportion.
        :return: fails with ``NoSuchGroup`` or ``Unavailable``.
        """
        every = range(1, queue.settings.partitions + 1)
        counted = COUNTED if counted is None else counted
        most, max_bytes = max(1, counted // len(every)), _BYTES * counted // COUNTED // len(every)
        limits = min(_MOST, most), max(_FEWEST_BYTES * counted // COUNTED, max_bytes)
        found = await in_parallel(every, lambda partition: self._lag(queue, group, partition, *limits), _AT_ONCE)
        return tuple(found)

    @deferred
    async def _lag(self, queue: Queue, group: Group, partition: int, limit: int, max_bytes: int) -> PartitionLag:
        lag = (await self.store.groups.look(queue, group, partition)).lag
        merge = Merge((partition,), Position(lag.reach), limit=limit, max_bytes=max_bytes)
        beyond, exact, first = await self._beyond(queue, group, merge)
        return PartitionLag(
            partition,
            lag.settled_through,
            lag.in_flight,
            lag.waiting,
            lag.set_aside,
            lag.behind(beyond),
            exact,
            lag.oldest or first,
        )

    async def _beyond(self, queue: Queue, group: Group, merge: Merge) -> tuple[int, bool, MessageId | None]:
        """Count the messages in a range, up to its limits; return the count, whether it is complete, and the first
        message's id."""
        policy = await self.policies.policy_for(queue.application)
        ack = policy.read_ack(queue.settings.consistency)
        count, first = 0, None
        for _ in range(_SLICES):
            slice = await self.store.read_merged(queue, merge, ack)
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
