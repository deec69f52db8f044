"""The view of a queue that one operation on its messages reads or changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from queuey.errors import InvalidRequest, NoSuchQueue
from queuey.model.applications.policy import Ack
from queuey.model.queues.queue import Consistency, Queue
from queuey.model.stable_time.stamps import Place
from queuey.model.timeid import LOWEST, MessageId
from queuey.storage.cassandra.cluster.levels import Levels
from queuey.storage.cassandra.messages.buckets import PARTITIONS
from queuey.storage.cassandra.messages.reads import View
from queuey.storage.cassandra.messages.stored import Visibility
from queuey.storage.cassandra.queues.rows import Incarnation
from queuey.storage.cassandra.times.port import Times
from queuey.storage.refusals import queue_closed


class IncarnationSource(Protocol):
    """The part of the registry of queues that messages use."""

    def current(self, queue: Queue) -> Deferred[Incarnation | None]:
        """Look up the incarnation of a queue; fires with ``None`` if it has ended. Fails with ``Unavailable``."""

    def set_purged(self, queue: Queue, bounds: Mapping[int, bytes], at: int) -> Deferred[bool]:
        """Purge the messages of each partition that are below a bound and were written until ``at``.

        :param at: microseconds since 1970.
        :return: fires with whether the queue still exists, once every front end uses the new bounds.
        """


class Views:
    """Makes the views of queues."""

    def __init__(self, registry: IncarnationSource, times: Times, levels: Levels) -> None:
        self.registry = registry
        self._times = times
        self._levels = levels

    async def incarnation(self, queue: Queue) -> Incarnation:
        """Return the incarnation of a queue; raise ``NoSuchQueue`` if it was deleted."""
        incarnation = await self.registry.current(queue)
        if incarnation is None:
            raise ended(queue)
        return incarnation

    async def open_incarnation(self, queue: Queue) -> Incarnation:
        """Return the incarnation of a queue for new messages; raise ``NoSuchQueue``, or ``QueueClosed``."""
        incarnation = await self.incarnation(queue)
        if incarnation.queue.closed is not None:
            raise queue_closed(queue)
        return incarnation

    async def view(self, queue: Queue, ack: Ack) -> View | None:
        """Return the incarnation to read; ``None`` if it has ended."""
        incarnation = await self.registry.current(queue)
        return None if incarnation is None else self._view_of(incarnation, ack)

    async def changing(self, queue: Queue, ack: Ack) -> View:
        """Return the incarnation to change; call it when the change has its turn."""
        return self._view_of(await self.incarnation(queue), ack)

    def _view_of(self, incarnation: Incarnation, ack: Ack) -> View:
        return View(incarnation, self._levels.read(ack), Visibility(self._times.now(), incarnation.purged))

    def stable(self, queue: Queue, partition: int) -> MessageId:
        """Return the bound below which readers of a partition see messages."""
        consistency = queue.settings.consistency
        return self._times.stable(
            place_of(queue, partition),
            slow=consistency is Consistency.VERY_STRONG,
            weak=consistency is Consistency.WEAK,
        )


def partitions_of(queue: Queue, incarnation: Incarnation) -> Sequence[int]:
    """Return the partitions of a queue: those that the caller knows, and those that it has now."""
    return range(1, max(queue.settings.partitions, incarnation.queue.settings.partitions) + 1)


def place_of(queue: Queue, partition: int) -> Place:
    """Return a partition of a queue, as the stable time names it."""
    return Place(queue.incarnation, partition)


def purged_of(incarnation: Incarnation, partitions: Collection[int]) -> MessageId:
    """Return the bound up to which one of the partitions was purged, or that of all if none has one of its own."""
    bounds = {number: bound for number, (bound, _) in incarnation.purged.items()}
    asked = [bounds[number] for number in partitions if number in bounds]
    return MessageId(max(asked or bounds.values(), default=LOWEST))


def ended(queue: Queue) -> NoSuchQueue:
    """Return the error for a queue that was deleted."""
    return NoSuchQueue(f'The queue "{queue.name}" was deleted.')


def check_partition(partition: int) -> None:
    """Refuse a partition that no queue can have."""
    if partition not in PARTITIONS:
        raise InvalidRequest({"partition": f"There can be no partition {partition}."})
