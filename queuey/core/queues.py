"""The directory of queues: finding, making, changing, listing and ending them."""

from __future__ import annotations

from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, FirstError, gatherResults

from queuey.deferreds import Turns, deferred, shield
from queuey.errors import Conflict, InvalidUpdate, NoSuchQueue, Unavailable
from queuey.interfaces import IPolicies, IStore
from queuey.model.queue import Consistency, Queue, QueueSettings, QueueType

_ATTEMPTS: Final = 5
"""How often a change is tried anew when one of another process came in between; those of this one take turns."""


@attrs.frozen
class QueueChanges:
    """What an owner asks of a queue; ``None`` is "as it is", or the default for a new queue."""

    type: QueueType | None = None
    partitions: int | None = None
    consistency: Consistency | None = None
    principals: tuple[str, ...] | None = None

    def applied_to(self, settings: QueueSettings) -> QueueSettings:
        """The settings after the changes.

        :raise InvalidUpdate: where there would be fewer partitions, whose messages could not be reached.
        """
        if self.partitions is not None and self.partitions < settings.partitions:
            raise InvalidUpdate("Partitions can only be increased.")
        return self._over(settings)

    def initial(self, consistency: Consistency) -> QueueSettings:
        """The settings of a new queue in an application of that consistency."""
        return self._over(QueueSettings(consistency=consistency))

    def _over(self, settings: QueueSettings) -> QueueSettings:
        given: dict[str, Any] = {
            name: value for name, value in attrs.asdict(self, recurse=False).items() if value is not None
        }
        return attrs.evolve(settings, **given)


@attrs.frozen
class Listed:
    """One line of a listing; ``queue`` and ``count`` are there if they were asked for."""

    name: str
    queue: Queue | None = None
    count: int | None = None


@attrs.frozen
class Listing:
    """A page of queues, and the name at which the next page starts (``None`` after the last)."""

    queues: tuple[Listed, ...]
    next: str | None


@attrs.frozen
class QueueDirectory:
    """The queues of all applications.

    Every write is shielded: once begun it is finished, whether or not its client is still there. Every Deferred may
    fail with ``Unavailable``, besides what is named. Changes of one queue take turns, so that many at once do not keep
    each other from it.
    """

    store: IStore
    policies: IPolicies
    _turns: Turns = attrs.field(factory=Turns, init=False, repr=False)

    def find(self, application: str, name: str) -> Deferred[Queue]:
        """The queue of that name. Fails with ``NoSuchQueue``."""
        return self.store.describe(application, (name,)).addCallback(_only)

    def create(self, application: str, name: str, wanted: QueueChanges) -> Deferred[Queue]:
        """Make a queue, or change the one of that name to what is wanted; its messages stay.

        :return: fires with the queue. Fails with ``InvalidUpdate`` and ``StorageFull``.
        """
        return self._turns.take((application, name), lambda: self._create(application, name, wanted))

    @deferred
    async def _create(self, application: str, name: str, wanted: QueueChanges) -> Queue:
        policy = await self.policies.policy_for(application)
        settings = wanted.initial(policy.consistency)
        for _ in range(_ATTEMPTS):
            queue, made = await shield(self.store.create(application, name, settings, policy.max_queues))
            if made:
                return queue
            try:
                return await self._change_once(queue, wanted)
            except (Conflict, NoSuchQueue):
                continue
        raise _contended()

    def change(self, queue: Queue, wanted: QueueChanges) -> Deferred[Queue]:
        """Change a queue's settings.

        :return: fires with the queue as it is then. Fails with ``InvalidUpdate`` and ``NoSuchQueue``.
        """
        return self._turns.take((queue.application, queue.name), lambda: self._change(queue, wanted))

    @deferred
    async def _change(self, queue: Queue, wanted: QueueChanges) -> Queue:
        for _ in range(_ATTEMPTS):
            try:
                return await self._change_once(queue, wanted)
            except Conflict:
                queue = await self.find(queue.application, queue.name)
        raise _contended()

    async def _change_once(self, queue: Queue, wanted: QueueChanges) -> Queue:
        settings = wanted.applied_to(queue.settings)
        if settings == queue.settings:
            return queue
        return await shield(self.store.update(queue, settings))

    @deferred
    async def delete(self, queue: Queue) -> None:
        """End a queue with all its messages. Fails with ``NoSuchQueue`` where somebody else has done so."""
        if not await shield(self.store.forget(queue)):
            raise NoSuchQueue("Queue of that name was not found.")

    @deferred
    async def listing(self, application: str, start: str, limit: int, details: bool, counts: bool) -> Listing:
        """A page of the application's queues in the order of their names' code points.

        :param start: names at or after it.
        :param limit: how many at the most.
        :param details: whether to describe them too; a queue that is deleted meanwhile is left out.
        :param counts: whether to count their messages, which implies ``details``.
        """
        names = await self.store.names(application, start, limit, "")
        next = names[-1] + "\0" if len(names) == limit else None
        if not (details or counts):
            return Listing(tuple(Listed(name) for name in names), next)
        found = await self.store.describe(application, names)
        queues = [queue for queue in found if queue is not None]
        if not counts:
            return Listing(tuple(Listed(queue.name, queue) for queue in queues), next)
        totals = await self._counts(application, queues)
        return Listing(tuple(Listed(q.name, q, n) for q, n in zip(queues, totals, strict=True)), next)

    async def _counts(self, application: str, queues: list[Queue]) -> list[int]:
        policy = await self.policies.policy_for(application)
        asked = [self.store.count(q, policy.read_ack(q.settings.consistency)) for q in queues]
        try:
            return await gatherResults(asked, consumeErrors=True)
        except FirstError as first:
            first.subFailure.raiseException()


def _contended() -> Unavailable:
    return Unavailable("The queue is being changed by others at the same time.")


def _only(found: tuple[Queue | None, ...]) -> Queue:
    (queue,) = found
    if queue is None:
        raise NoSuchQueue("Queue of that name was not found.")
    return queue
