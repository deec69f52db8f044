"""The directory of queues: finding, making, changing, listing and ending them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.python.failure import Failure

from queuey.core.contention import Retries
from queuey.core.groups.group_changes import check_group
from queuey.core.groups.rows import GroupRows, in_parallel
from queuey.deferreds import KeyedLock, deferred, shield
from queuey.errors import Conflict, InvalidUpdate, NoSuchQueue, NotPromised, QueueClosed, QueueyError, Unavailable
from queuey.interfaces import Capabilities, IPolicies, IStore
from queuey.model.applications.policy import Policy
from queuey.model.queues.queue import Consistency, Guarantee, Queue, QueueSettings, QueueType
from queuey.model.reading.depth import Depth
from queuey.model.timeid import Ticks

PLANNED: Final = 0
"""The incarnation of a queue that is not there yet: no store gives it to one that is."""

DESCRIBED_AT_ONCE: Final = 50
"""Queues of a page that are read from the store, and written, in one piece: each may have 100 KB of principals."""

MAX_PRINCIPALS_A_PAGE: Final = 1 << 20
"""Characters of principals after which a page of queues ends, so that no page takes long to write."""

Judge = Callable[[Queue | None], None]
"""Raises if a queue, or its absence, is not what the client expects."""


@attrs.frozen
class QueueChanges:
    """Changes of a queue's settings; ``None`` keeps a setting, or means the default for a new queue.

    :ivar closed: whether the queue is to be closed; ``MessageExchange.close`` does that. It is not a setting, and no
        change opens a queue again.
    :ivar reset: names of the settings that go to their defaults, unless they are given.
    """

    type: QueueType | None = None
    partitions: int | None = None
    consistency: Consistency | None = None
    principals: tuple[str, ...] | None = None
    guarantee: Guarantee | None = None
    ttl: int | None = None
    closed: bool | None = None
    reset: frozenset[str] = frozenset()

    def applied_to(self, settings: QueueSettings, defaults: QueueSettings) -> QueueSettings:
        """Return the settings after the changes.

        :raise InvalidUpdate: there would be fewer partitions, and messages in them could not be reached.
        """
        changed = self.over(attrs.evolve(settings, **{name: getattr(defaults, name) for name in self.reset}))
        if changed.partitions < settings.partitions:
            raise InvalidUpdate("Partitions can only be increased.")
        return changed

    def over(self, settings: QueueSettings) -> QueueSettings:
        """Return these settings with the given changes."""
        given: dict[str, Any] = {
            name: value
            for name, value in attrs.asdict(self, recurse=False).items()
            if value is not None and name not in ("closed", "reset")
        }
        return attrs.evolve(settings, **given)


def defaults(policy: Policy) -> QueueSettings:
    """Return the settings of a queue for which the client names none."""
    return QueueSettings(consistency=policy.consistency)


def resolved(settings: QueueSettings, policy: Policy) -> QueueSettings:
    """Settings with what the application has in place of what was not chosen."""
    return attrs.evolve(settings, guarantee=settings.guarantee or policy.guarantee, ttl=settings.ttl or policy.ttl)


def planned(policy: Policy, name: str) -> Queue:
    """A queue that is not there yet, as it would be made by a message to it; see :func:`standing`."""
    return Queue(policy.application, name, defaults(policy), PLANNED, "", Ticks(0))


@deferred
async def standing(store: IStore, queue: Queue, policy: Policy) -> Queue:
    """Create a queue that was only planned, unless another request has created it.

    :return: fires with the queue. Fails with ``StorageFull`` or ``Unavailable``.
    """
    found, _ = await shield(store.create(queue.application, queue.name, queue.settings, policy.max_queues))
    return found


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
class QueuePage:
    """A page of queues, and the name after which the next page begins (``None`` after the last)."""

    queues: tuple[Queue, ...]
    next: str | None


def _anyhow(queue: Queue | None) -> None:
    """Take a queue for what it is."""


@attrs.frozen
class QueueDirectory:
    """The queues of all applications.

    Every write is shielded: once begun it is finished, whether or not its client is still there. Every Deferred may
    fail with ``Unavailable``, besides what is named. Changes of one queue take turns, so that many at once do not keep
    each other from it.

    :ivar groups: what is kept of consumer groups, which ends with their queue.
    :ivar retries: retries changes that lost a race against another process.
    """

    store: IStore
    policies: IPolicies
    groups: GroupRows
    retries: Retries
    _turns: KeyedLock = attrs.field(factory=KeyedLock, init=False, repr=False)

    @deferred
    async def find(self, application: str, name: str) -> Queue:
        """The queue of that name. Fails with ``NoSuchQueue``."""
        return _only(await self.store.describe(application, (name,)))

    async def is_there(self, application: str, name: str, incarnation: int) -> bool:
        """Look in the store itself, past every cache, whether a queue of that name is still that incarnation."""
        found = await self.store.describe(application, (name, name))
        return any(queue is not None and queue.incarnation == incarnation for queue in found)

    @cached_property
    def cached(self) -> Callable[[str, str], Queue | None]:
        """Return what ``find`` would fire with, if that is cached; ``None`` otherwise."""
        return self.store.cached

    def create(
        self, application: str, name: str, wanted: QueueChanges, judge: Judge = _anyhow
    ) -> Deferred[tuple[Queue, bool]]:
        """Create a queue, or change the settings of the existing one; its messages stay.

        :param judge: is called with the queue before it is created or changed; an error that it raises prevents this.
        :return: fires with the queue, and whether it was made here. Fails with ``InvalidUpdate``, ``NotPromised`` and
            ``StorageFull``.
        """
        return self._turns.take((application, name), lambda: self._create(application, name, wanted, judge))

    @deferred
    async def _create(self, application: str, name: str, wanted: QueueChanges, judge: Judge) -> tuple[Queue, bool]:
        policy = await self.policies.policy_for(application)
        attempts = self.retries.begin(_contended)
        while True:
            (queue,) = await self.store.describe(application, (name,))
            judge(queue)
            try:
                if queue is not None:
                    return await self._change_once(queue, wanted, policy), False
                settings = wanted.over(defaults(policy))
                check_promise(settings, policy, self.store.capabilities)
                new, made = await shield(self.store.create(application, name, settings, policy.max_queues))
                if made:
                    return new, True
            except (Conflict, NoSuchQueue):
                pass  # another process was first
            await attempts.again()

    def change(self, queue: Queue, wanted: QueueChanges, judge: Judge = _anyhow) -> Deferred[Queue]:
        """Change a queue's settings.

        :param judge: is called with the queue just before the change; an error that it raises prevents it.
        :return: fires with the queue as it is then. Fails with ``InvalidUpdate``, ``NotPromised`` and ``NoSuchQueue``.
        """
        return self._turns.take((queue.application, queue.name), lambda: self._change(queue, wanted, judge))

    @deferred
    async def _change(self, queue: Queue, wanted: QueueChanges, judge: Judge) -> Queue:
        policy = await self.policies.policy_for(queue.application)
        attempts = self.retries.begin(_contended)
        while True:
            judge(queue)
            try:
                return await self._change_once(queue, wanted, policy)
            except Conflict:
                await attempts.again()
                queue = await self.find(queue.application, queue.name)

    async def _change_once(self, queue: Queue, wanted: QueueChanges, policy: Policy) -> Queue:
        if queue.closed is not None and wanted.closed is False:
            raise QueueClosed("A closed queue cannot be opened again.")
        settings = wanted.applied_to(queue.settings, defaults(policy))
        if resolved(settings, policy) == resolved(queue.settings, policy):
            return queue
        check_promise(settings, policy, self.store.capabilities)
        if settings.consistency is not queue.settings.consistency:
            await self._check_groups(queue, settings, policy)
        return await shield(self.store.update(queue, settings))

    async def _check_groups(self, queue: Queue, settings: QueueSettings, policy: Policy) -> None:
        """Refuse settings with which a group of the queue could not keep its guarantee."""
        capabilities = self.store.capabilities
        lasting = Consistency.VERY_STRONG if capabilities.apart else Consistency.STRONG
        if capabilities.no_groups or settings.consistency in (lasting, Consistency.VERY_STRONG):
            return
        names = sorted(await self.groups.names(queue.incarnation))
        for group in await in_parallel(names, lambda name: self.groups.read(queue.incarnation, name)):
            if group is not None and not group.ended:
                try:
                    check_group(group.settings, settings, policy, capabilities)
                except NotPromised as problem:
                    raise NotPromised(f'The group "{group.name}" does not allow this. {problem.text}') from None

    @deferred
    async def delete(self, queue: Queue) -> None:
        """Delete a queue with all its messages and groups. Fails with ``NoSuchQueue`` if it was deleted already."""
        if not await shield(self.store.forget(queue)):
            raise NoSuchQueue("Queue of that name was not found.")
        # Groups of the queue are unreachable by now, and there may be many: the answer does not wait for their removal.
        self.groups.remove_all(queue).addErrback(_left)

    def delete_if(self, queue: Queue, judge: Judge) -> Deferred[None]:
        """End a queue with all its messages and groups, unless its state is another one than its remover takes it for.

        :param judge: is called with the queue; an error that it raises prevents the deletion.
        :return: fails as ``delete`` does.
        """
        name = (queue.application, queue.name)
        return self._turns.take(name, lambda: shield(self._delete_if(queue, judge)))

    @deferred
    async def _delete_if(self, queue: Queue, judge: Judge) -> None:
        attempts = self.retries.begin(_contended)
        while True:
            judge(queue)
            try:
                # A deletion needs no version; a change of the settings does.
                return await self.delete(await self.store.update(queue, queue.settings))
            except Conflict:
                await attempts.again()
                queue = await self.find(queue.application, queue.name)

    @deferred
    async def depth(self, queue: Queue) -> Depth:
        """Find out what a queue holds."""
        (found,) = await self.depths([queue], await self.policies.policy_for(queue.application))
        return found

    @deferred
    async def page(self, application: str, prefix: str, after: str, limit: int) -> QueuePage:
        """A page of the application's queues, in the order of their names' code points.

        :param prefix: only those whose names begin so.
        :param after: names after it; empty for the first page.
        :param limit: how many at the most; one that is deleted meanwhile is left out. The page ends earlier, after a
            queue with which the principals of its queues have ``MAX_PRINCIPALS_A_PAGE`` characters together.
        """
        names = await self.store.names(application, after and after + "\0", limit + 1, prefix)
        queues: list[Queue] = []
        characters = 0
        for start in range(0, min(limit, len(names)), DESCRIBED_AT_ONCE):
            some = names[start : min(start + DESCRIBED_AT_ONCE, limit)]
            for place, queue in enumerate(await self.store.describe(application, some), start + 1):
                if queue is not None:
                    queues.append(queue)
                    characters += sum(map(len, queue.settings.principals))
                if characters >= MAX_PRINCIPALS_A_PAGE:
                    return QueuePage(tuple(queues), names[place - 1] if len(names) > place else None)
        return QueuePage(tuple(queues), names[limit - 1] if len(names) > limit else None)

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

    async def depths(self, queues: Sequence[Queue], policy: Policy) -> list[Depth]:
        """Find out what queues hold, a few of them at a time."""
        return await in_parallel(
            queues, lambda queue: self.store.measure(queue, policy.read_ack(queue.settings.consistency))
        )

    async def _counts(self, application: str, queues: list[Queue]) -> list[int]:
        policy = await self.policies.policy_for(application)
        asked = [self.store.count(q, policy.read_ack(q.settings.consistency)) for q in queues]
        try:
            return await gatherResults(asked, consumeErrors=True)
        except FirstError as first:
            first.subFailure.raiseException()


def check_promise(settings: QueueSettings, policy: Policy, capabilities: Capabilities) -> None:
    """Refuse settings that promise what cannot be kept.

    :raise NotPromised: saying why.
    """
    if resolved(settings, policy).guarantee is not Guarantee.EXACTLY_ONCE:
        return
    if capabilities.not_once:
        raise NotPromised(f"Exactly once cannot be guaranteed here. {capabilities.not_once}")
    if settings.consistency is Consistency.WEAK:
        raise NotPromised("Exactly once cannot be guaranteed for a queue whose consistency is weak.")


def _left(failure: Failure) -> None:
    """Ignore an error while the rest of a deleted queue is removed."""
    failure.trap(QueueyError)


def _contended() -> Unavailable:
    return Unavailable("The queue is being changed by other requests at the same time.")


def _only(found: tuple[Queue | None, ...]) -> Queue:
    (queue,) = found
    if queue is None:
        raise NoSuchQueue("Queue of that name was not found.")
    return queue
