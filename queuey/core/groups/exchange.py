"""The consumer groups' interface for HTTP and RPC: all operations on groups."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from queuey.core.activity import QueueCounts
from queuey.core.groups.claiming import Claims
from queuey.core.groups.dead_letters import DeadLetters
from queuey.core.groups.dead_list import DeadAsked, DeadList, DeadPage
from queuey.core.groups.directory import CACHED, CACHED_ALONE, GroupDirectory
from queuey.core.groups.group_changes import GroupChanges, Judge
from queuey.core.groups.many_claims import ManyClaims
from queuey.core.groups.redriving import Redrives
from queuey.core.groups.seek_and_lag import SeekAndLag
from queuey.core.groups.settling import settle, settle_and_take
from queuey.core.groups.values import Claiming, Delivered, PartitionLag, Redriven, Redriving, Settling
from queuey.core.groups.wait_queue import May, WaitQueues
from queuey.core.waiting import Waits
from queuey.deferreds import shield
from queuey.errors import NoSuchGroup
from queuey.interfaces import IPolicies, IStore
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Outcome
from queuey.model.queues.queue import Queue
from queuey.model.reading.start import Start
from queuey.model.timeid import MessageId, Ticks, from_seconds

T = TypeVar("T")
Claim = Coroutine[Deferred[Any], Any, Delivered]


@lru_cache
def every_partition(count: int) -> tuple[int, ...]:
    """Return the numbers of all partitions of a queue with ``count`` partitions."""
    return tuple(range(1, count + 1))


class GroupExchange:
    """The consumer groups of all queues.

    A change that was started is completed even if its client disconnects. Besides the errors that are named, every
    Deferred may fail with ``Unavailable``, ``NoSuchGroup`` and ``NoSuchQueue``.

    :param waits: wakes waiting claims when messages are written.
    :param now: the wall clock, in seconds since 1970.
    :param new_bytes: returns that number of random bytes, from a source that cannot be predicted.
    :param alone: whether no other process changes groups.
    :param activity: counts acknowledged messages, and those that are moved to other queues, if they are counted.
    :ivar cached: ``GroupDirectory.cached``.
    :ivar claims_of_many: claims of several groups.
    """

    def __init__(
        self,
        store: IStore,
        policies: IPolicies,
        waits: Waits,
        now: Callable[[], float],
        new_bytes: Callable[[int], bytes],
        alone: bool = False,
        activity: QueueCounts | None = None,
    ) -> None:
        def ticks() -> Ticks:
            return from_seconds(now())

        lifetime = CACHED_ALONE if alone else CACHED
        self._directory = GroupDirectory(store, policies, waits.clock, ticks, new_bytes, lifetime)
        self.cached = self._directory.cached
        self._policies = policies
        self._seats = waits.seats
        self._wait_queues = WaitQueues(waits, ticks, self._attempt)
        counts = QueueCounts() if activity is None else activity
        moves = DeadLetters(store, policies, waits, counts)
        self._claims = Claims(store.groups, self._directory, moves, self._wait_queues, counts)
        self.claims_of_many = ManyClaims(
            self._wait_queues, policies, self._claims.take, self.settle, lambda: Random(new_bytes(16))
        )
        self._whole = SeekAndLag(store, policies, self._directory, moves, new_bytes)
        self._dead_list = DeadList(store, policies, moves)
        self._redrives = Redrives(store, policies, moves, self._directory.terms)

    def find(self, queue: Queue, name: str) -> Deferred[Group]:
        """Return the group of that name. Fails with ``NoSuchGroup``."""
        return self._directory.find(queue, name)

    def read(self, queue: Queue, name: str) -> Deferred[Group]:
        """Return the group of that name as it is in the store now. Fails with ``NoSuchGroup``."""
        return self._directory.read(queue, name)

    def names(self, queue: Queue) -> Deferred[tuple[Group, ...]]:
        """Return all groups of a queue, sorted by name."""
        return self._directory.names(queue)

    def put(self, queue: Queue, name: str, changes: GroupChanges, judge: Judge) -> Deferred[tuple[Group, bool]]:
        """Create a group, or change the group of that name as wanted.

        :param judge: checks the precondition against the current group, or ``None``, just before the write; if it
            raises, no change is made.
        :return: fires with the group, and whether this call created it.
        """
        return self._directory.put(queue, name, changes, judge)

    def change(self, queue: Queue, group: Group, changes: GroupChanges, judge: Judge) -> Deferred[Group]:
        """Change the settings of a group. See ``GroupDirectory.change``."""
        return self._directory.change(queue, group, changes, judge)

    async def delete(self, queue: Queue, group: Group, judge: Judge) -> None:
        """Delete a group and wake its waiting claims, which then fail with ``NoSuchGroup``. Its receipts become
        invalid."""

        def deleted(_: None) -> None:
            self._wait_queues.tell(group)

        await shield(self._directory.delete(queue, group, judge).addCallback(deleted))

    def claim(
        self,
        queue: Queue,
        group: Group,
        claiming: Claiming,
        may: May | None = None,
        settled: Callable[[Sequence[Outcome]], None] | None = None,
    ) -> Claim:
        """Claim messages under a lease, or without one if the group's guarantee is at most once.

        :param may: checks the caller's access again after a wait; if it raises, the messages that were taken are
            released.
        :param settled: called before a wait with the outcomes of the claim's settlements.
        :return: a coroutine, because it needs less memory than a Deferred while ten thousand claims wait; it returns
            the claimed messages, possibly none. If it is cancelled, the messages that it took are released if possible.
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
        """Claim messages; if there are none, join the wait queue."""
        policy = await self._policies.policy_for(queue.application)
        seat = self._seats.take(policy, queue.name, claims=True)
        with seat, self._wait_queues.join(queue, group, partitions) as wait_queue:
            news, partitions = wait_queue.news, wait_queue.partitions  # all claims of the wait queue share one tuple
            delivered = wait_queue.nothing() if claiming.key is None and not claiming.settlings else None
            if delivered is None:
                delivered = await self._take(queue, group, claiming, partitions)
            if not delivered.deliveries:
                outcomes = delivered.outcomes
                if settled is not None:
                    settled(outcomes)
                delivered = await wait_queue.wait(claiming, news, delivered, may)
                delivered = Delivered(delivered.deliveries, delivered.blocked, outcomes) if outcomes else delivered
        return delivered

    def _take(self, queue: Queue, group: Group, claiming: Claiming, partitions: tuple[int, ...]) -> Claim:
        """Claim once, and store the settlements of the claim together with it."""
        if claiming.settlings:
            return settle_and_take(self._claims, queue, group, claiming, partitions)
        return self._claims.take(queue, group, claiming, partitions)

    async def _attempt(
        self, queue: Queue, group: Group, claiming: Claiming, partitions: tuple[int, ...], may: May | None
    ) -> Delivered:
        """Attempt a claim that has waited, with the current group.

        Messages that are delivered at most once cannot be released again, so the caller's access is checked before the
        claim too.
        """
        if may is not None:
            await may()
        found = self.cached(queue, group.name) or await self._directory.find(queue, group.name)
        if found.gid != group.gid:
            raise NoSuchGroup("The group was deleted.")
        return await self._claims.take(queue, found, claiming, partitions, may)

    def settle(self, queue: Queue, group: Group, settlings: Sequence[Settling]) -> Deferred[tuple[Outcome, ...]]:
        """Settle messages.

        :return: fires with the outcome of each settlement, in the same order.
        """
        return settle(self._claims, queue, group, settlings)

    async def seek(
        self,
        queue: Queue,
        group: Group,
        to: Start | Ticks | Mapping[int, MessageId],
        partitions: tuple[int, ...] | None,
    ) -> None:
        """Move the position of the group; earlier receipts become invalid. See ``SeekAndLag.seek``."""
        await shield(self._whole.seek(queue, group, to, partitions).addBoth(self._told, group))

    async def redrive(self, queue: Queue, group: Group, redriving: Redriving) -> Redriven:
        """Make messages that the group gave up deliverable again. See ``Redrives.redrive``."""
        return await shield(self._redrives.redrive(queue, group, redriving).addBoth(self._told, group))

    def dead(self, queue: Queue, group: Group, asked: DeadAsked) -> Deferred[DeadPage]:
        """List messages that the group gave up. See ``DeadList.list``."""
        return self._dead_list.list(queue, group, asked)

    def _told(self, result: T, group: Group) -> T:
        """Wake the waiting claims of a group after a change, even if it failed, and pass on the result."""
        self._wait_queues.tell(group)
        return result

    def lag(self, queue: Queue, group: Group, counted: int | None = None) -> Deferred[tuple[PartitionLag, ...]]:
        """Return the position and the lag of the group in each partition. See ``SeekAndLag.lag``."""
        return self._whole.lag(queue, group, counted)
