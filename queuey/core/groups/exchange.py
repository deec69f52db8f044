"""The exchange of consumer groups: all that can be asked of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from queuey.core.groups.claiming import Claims
from queuey.core.groups.directory import GroupChanges, GroupDirectory, Judge
from queuey.core.groups.lines import Lines, May
from queuey.core.groups.moves import Moves
from queuey.core.groups.redriving import Redrives
from queuey.core.groups.settling import settle, settle_and_take
from queuey.core.groups.values import Claiming, Delivered, PartitionLag, Redriven, Redriving, Settling
from queuey.core.groups.whole import Whole
from queuey.core.waiting import Waits
from queuey.deferreds import shield
from queuey.errors import NoSuchGroup
from queuey.interfaces import IPolicies, IStore
from queuey.model.group_settings import Group, Start
from queuey.model.groups.terms import Outcome
from queuey.model.queue import Queue
from queuey.model.timeid import MessageId, Ticks, from_seconds

T = TypeVar("T")
Claim = Coroutine[Deferred[Any], Any, Delivered]


@lru_cache
def every_partition(count: int) -> tuple[int, ...]:
    """All partitions of a queue that has so many."""
    return tuple(range(1, count + 1))


class GroupExchange:
    """The consumer groups of all queues.

    Every change is finished once it is begun, whether or not its client is still there. Every Deferred may fail with
    ``Unavailable``, ``NoSuchGroup`` and ``NoSuchQueue``, besides what is named.

    :param waits: those who wait; claims that wait are told by it of what is written.
    :param now: the wall clock, in seconds since 1970.
    :param new_bytes: makes so many bytes that nobody can guess.
    :ivar cached: ``GroupDirectory.cached``.
    """

    def __init__(
        self,
        store: IStore,
        policies: IPolicies,
        waits: Waits,
        now: Callable[[], float],
        new_bytes: Callable[[int], bytes],
    ) -> None:
        def ticks() -> Ticks:
            return from_seconds(now())

        self._directory = GroupDirectory(store, policies, waits.clock, ticks, new_bytes)
        self.cached = self._directory.cached
        self._policies = policies
        self._seats = waits.seats
        self._lines = Lines(waits, ticks, self._attempt)
        moves = Moves(store, policies, waits)
        self._claims = Claims(store.groups, self._directory, moves, self._lines)
        self._whole = Whole(store, policies, self._directory, moves, new_bytes)
        self._redrives = Redrives(store, policies, moves, self._directory.terms)

    def find(self, queue: Queue, name: str) -> Deferred[Group]:
        """The group of that name. Fails with ``NoSuchGroup``."""
        return self._directory.find(queue, name)

    def names(self, queue: Queue) -> Deferred[tuple[Group, ...]]:
        """All groups of a queue, by name."""
        return self._directory.names(queue)

    def put(self, queue: Queue, name: str, changes: GroupChanges, judge: Judge) -> Deferred[tuple[Group, bool]]:
        """Make a group, or change the one of that name to what is wanted.

        :param judge: is shown what is changed, or ``None``, just before; what it raises ends this.
        :return: fires with the group, and whether it was made here.
        """
        return self._directory.put(queue, name, changes, judge)

    def change(self, queue: Queue, group: Group, changes: GroupChanges, judge: Judge) -> Deferred[Group]:
        """Change a group's settings; see ``put``."""
        return self._directory.change(queue, group, changes, judge)

    async def delete(self, queue: Queue, group: Group, judge: Judge) -> None:
        """End a group; its receipts are void, and whoever waits in it is told that it is no more."""

        def deleted(_: None) -> None:
            self._lines.tell(group)

        await shield(self._directory.delete(queue, group, judge).addCallback(deleted))

    def claim(
        self,
        queue: Queue,
        group: Group,
        claiming: Claiming,
        may: May | None = None,
        settled: Callable[[Sequence[Outcome]], None] | None = None,
    ) -> Claim:
        """Take messages under a lease, or for good where they are given at most once.

        :param may: raises where a caller who has waited may have nothing any more; what was got is given back then.
        :param settled: called before a wait, with what became of the settlements of the claim.
        :return: a coroutine, since ten thousand may wait in it, that returns what was got, which may be nothing. If it
            is cancelled it takes nothing, or gives it back if that can be.
        """
        partitions = claiming.partitions or every_partition(queue.settings.partitions)
        if claiming.wait:
            return self._wait(queue, group, claiming, partitions, may, settled)
        return self._take(queue, group, claiming, partitions)

    async def _wait(
        self,
        queue: Queue,
        group: Group,
        claiming: Claiming,
        partitions: tuple[int, ...],
        may: May | None,
        settled: Callable[[Sequence[Outcome]], None] | None,
    ) -> Delivered:
        """Claim, and wait in line if there is nothing."""
        policy = await self._policies.policy_for(queue.application)
        with self._seats.take(policy, queue.name), self._lines.join(queue, group, partitions) as line:
            news, partitions = line.news, line.partitions  # one tuple for all in line
            delivered = line.nothing() if claiming.key is None and not claiming.settlings else None
            if delivered is None:
                delivered = await self._take(queue, group, claiming, partitions)
            if not delivered.deliveries:
                outcomes = delivered.outcomes
                if settled is not None:
                    settled(outcomes)
                delivered = await line.wait(claiming, news, delivered, may)
                delivered = Delivered(delivered.deliveries, delivered.blocked, outcomes) if outcomes else delivered
        return delivered

    def _take(self, queue: Queue, group: Group, claiming: Claiming, partitions: tuple[int, ...]) -> Claim:
        """Claim once; what the claim settles is stored with it."""
        if claiming.settlings:
            return settle_and_take(self._claims, queue, group, claiming, partitions)
        return self._claims.take(queue, group, claiming, partitions)

    async def _attempt(
        self, queue: Queue, group: Group, claiming: Claiming, partitions: tuple[int, ...], may: May | None
    ) -> Delivered:
        """Try a claim that has waited, of the group as it is by now. What is given at most once cannot be given back,
        so it is asked before too whether the caller may have anything."""
        if may is not None:
            await may()
        found = await self._directory.find(queue, group.name)
        if found.gid != group.gid:
            raise NoSuchGroup("The group was deleted.")
        return await self._claims.take(queue, found, claiming, partitions, may)

    def settle(self, queue: Queue, group: Group, settlings: Sequence[Settling]) -> Deferred[tuple[Outcome, ...]]:
        """Say what became of messages.

        :return: fires with the outcome of each, in their order.
        """
        return settle(self._claims, queue, group, settlings)

    async def seek(
        self,
        queue: Queue,
        group: Group,
        to: Start | Ticks | Mapping[int, MessageId],
        partitions: tuple[int, ...] | None,
    ) -> None:
        """Go on from another place; no receipt of before holds any more. See ``Whole.seek``."""
        await shield(self._whole.seek(queue, group, to, partitions).addBoth(self._told, group))

    async def redrive(self, queue: Queue, group: Group, redriving: Redriving) -> Redriven:
        """Let the group be given what it gave up. See ``Redrives.redrive``."""
        return await shield(self._redrives.redrive(queue, group, redriving).addBoth(self._told, group))

    def _told(self, result: T, group: Group) -> T:
        """Tell those who wait in a group that there may be something, whatever came of a change."""
        self._lines.tell(group)
        return result

    def lag(self, queue: Queue, group: Group) -> Deferred[tuple[PartitionLag, ...]]:
        """Where the group is in each partition."""
        return self._whole.lag(queue, group)
