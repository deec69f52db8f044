"""The directory of groups: find, create, change, list and delete groups, and compute the terms of each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from queuey.core.contention import Retries
from queuey.core.groups.group_changes import GroupChanges, Judge, check_group, resolved, terms_of
from queuey.core.groups.names import GroupNames
from queuey.core.groups.rows import GroupRows, contended, in_parallel, unknown
from queuey.core.pages import Slices, end_of_log
from queuey.deferreds import KeyedLock, deferred, shield
from queuey.errors import InvalidRequest, NoSuchGroup, NoSuchQueue, NotPromised, QueueyError, StorageFull, Unavailable
from queuey.interfaces import IPolicies, IStore
from queuey.model.applications.policy import Policy
from queuey.model.groups.entries import Target
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Terms
from queuey.model.queues.queue import Consistency, Queue
from queuey.model.reading.start import Start
from queuey.model.timeid import LOWEST, MessageId, Ticks, lower_bound

CACHED: Final = 1.0
"""Seconds for which a group that was read is cached; changes made by this process replace the cached group at once."""

CACHED_ALONE: Final = 30.0
"""The same if no other process changes groups. If it is unknown whether a change was stored, it may show that late."""

MAX_CACHED: Final = 4096
"""Maximum number of cached groups."""

_GID: Final = 16
_SECRET: Final = 32


@attrs.define(eq=False)
class _Cached:
    """A cached group.

    :ivar since: when it was read, in seconds of the clock.
    :ivar terms: the result of ``cached_terms`` for ``queue`` and ``policy``, if computed. Queues and policies are
        replaced, never mutated, so the terms are valid as long as both are the same objects.
    """

    group: Group
    since: float
    queue: Queue | None = None
    policy: Policy | None = None
    terms: Terms | None = None


class GroupDirectory:
    """The groups of all queues.

    A change that was started is completed even if its client disconnects. Besides the errors that are named, every
    Deferred may fail with ``Unavailable``. Changes of the same group run one after another; changes of the index of a
    queue are batched.

    :param clock: measures the pauses between attempts and the age of cached groups.
    :param now: the wall clock.
    :param new_bytes: returns that number of random bytes, from a source that cannot be predicted.
    :param lifetime: seconds for which a group is cached.
    """

    def __init__(
        self,
        store: IStore,
        policies: IPolicies,
        clock: IReactorTime,
        now: Callable[[], Ticks],
        new_bytes: Callable[[int], bytes],
        lifetime: float = CACHED,
    ) -> None:
        self._lifetime = lifetime
        self._store = store
        self._policies = policies
        self._seconds = clock.seconds
        self._now = now
        self._new_bytes = new_bytes
        self._rows = GroupRows(store.states, new_bytes, store.groups)
        self._retries = Retries(clock, new_bytes)
        self._index = GroupNames(self._rows, self._retries, self._end)
        self._turns = KeyedLock()
        self._cached: OrderedDict[tuple[int, str], _Cached] = OrderedDict()
        self._ending: set[bytes] = set()
        self._changes = 0

    # Finding

    def cached(self, queue: Queue, name: str) -> Group | None:
        """Return the group of that name if it was read a short time ago."""
        found = self._cached.get((queue.incarnation, name))
        return found.group if found is not None and 0 <= self._seconds() - found.since < self._lifetime else None

    @deferred
    async def find(self, queue: Queue, name: str) -> Group:
        """Return the group of that name, from the cache or from the store. Fails with ``NoSuchGroup``."""
        return self.cached(queue, name) or await self._read(queue, name)

    @deferred
    async def read(self, queue: Queue, name: str) -> Group:
        """Return the group of that name from the store, also if another one is cached. Fails with ``NoSuchGroup``."""
        return await self._read(queue, name)

    async def _read(self, queue: Queue, name: str) -> Group:
        """Read the group of that name from the store and cache it."""
        now, changes = self._seconds(), self._changes
        found = await self._rows.read(queue.incarnation, name)
        if found is None or found.ended:
            self._drop(queue, name)
            if found is not None:
                self._end(queue, found)
            raise no_such_group()
        if changes == self._changes:
            self._keep(found, now)
        return found

    @deferred
    async def names(self, queue: Queue) -> tuple[Group, ...]:
        """Return all groups of a queue, sorted by name."""
        names = sorted(await self._rows.names(queue.incarnation))
        found = await in_parallel(names, lambda name: self._rows.read(queue.incarnation, name))
        for group in found:
            if group is not None and group.ended:
                self._end(queue, group)
        return tuple(group for group in found if group is not None and not group.ended)

    def _keep(self, group: Group, since: float) -> None:
        place = (group.queue, group.name)
        self._cached[place] = _Cached(group, since)
        self._cached.move_to_end(place)
        if len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)

    def _drop(self, queue: Queue, name: str) -> None:
        self._cached.pop((queue.incarnation, name), None)

    def _changed(self, group: Group) -> None:
        """Cache a group that this process changed; reads that started before the change do not replace it."""
        self._changes += 1
        self._keep(group, self._seconds())

    # Changing

    def put(self, queue: Queue, name: str, changes: GroupChanges, judge: Judge) -> Deferred[tuple[Group, bool]]:
        """Create a group, or change the group of that name as wanted; an existing group keeps its position.

        :param judge: checks the precondition against the current group, or ``None``, just before the write; if it
            raises, no change is made.
        :return: fires with the group, and whether this call created it. Fails with ``InvalidRequest``, ``NotPromised``,
            ``StorageFull`` and ``NoSuchQueue``.
        """
        return self._in_turn(queue, name, lambda: self._put(queue, name, changes, judge))

    @deferred
    async def _put(self, queue: Queue, name: str, changes: GroupChanges, judge: Judge) -> tuple[Group, bool]:
        policy = await self._policies.policy_for(queue.application)
        attempts = self._retries.begin(contended)
        while True:
            found = await self._rows.read(queue.incarnation, name)
            if found is not None and found.ended:
                await self._index.remove(found, queue.settings.partitions)
            else:
                judge(found)
                if found is None:
                    made = await self._make(queue, name, changes.applied_to(GroupSettings()), policy)
                    if made is not None:
                        return made, True
                else:
                    await self._index.enlist(queue, name)
                    changed = await self._change_once(queue, found, changes, policy)
                    if changed is not None:
                        return changed, False
            await attempts.again()

    async def _make(self, queue: Queue, name: str, settings: GroupSettings, policy: Policy) -> Group | None:
        """Create a group; return ``None`` if another process created it first."""
        await self._check(queue, settings, None, policy)
        place = await self._place(queue, settings.start, policy)
        gid, secret = self._new_bytes(_GID), self._new_bytes(_SECRET)
        group = Group(queue.incarnation, name, gid, secret, settings, place, self._now(), "")
        await self._index.enlist(queue, name, policy.max_groups)
        made = await self._rows.write(group)
        if made is not None:
            await self._confirm(queue, made)
            self._changed(made)
        return made

    async def _confirm(self, queue: Queue, made: Group) -> None:
        """Check that a new group is listed in the index and that its queue still exists; otherwise delete the group
        again."""
        try:
            try:
                await self._index.enlist(queue, made.name, rewrite=True)
                await self._check_life(queue)
            except (StorageFull, NoSuchQueue):
                if await self._rows.ended(queue.incarnation, made.name) is not None:
                    await self._index.remove(made, queue.settings.partitions)
                raise
        except Unavailable:
            raise unknown() from None

    async def _check_life(self, queue: Queue) -> None:
        """Raise ``NoSuchQueue`` if the queue was deleted meanwhile."""
        (found,) = await self._store.describe(queue.application, (queue.name,))
        if found is None or found.incarnation != queue.incarnation:
            raise NoSuchQueue(f'The queue "{queue.name}" was deleted.')

    def change(self, queue: Queue, group: Group, changes: GroupChanges, judge: Judge) -> Deferred[Group]:
        """Change the settings of a group.

        :param judge: checks the precondition against the current group just before the write; if it raises, no change
            is made.
        :return: fires with the changed group. Fails with ``NoSuchGroup``, ``InvalidRequest``, ``NotPromised``.
        """
        return self._in_turn(queue, group.name, lambda: self._change(queue, group, changes, judge))

    @deferred
    async def _change(self, queue: Queue, group: Group, changes: GroupChanges, judge: Judge) -> Group:
        policy = await self._policies.policy_for(queue.application)
        attempts = self._retries.begin(contended)
        while True:
            found = await self._stands(queue, group)
            judge(found)
            changed = await self._change_once(queue, found, changes, policy)
            if changed is not None:
                return changed
            await attempts.again()

    async def _change_once(self, queue: Queue, group: Group, changes: GroupChanges, policy: Policy) -> Group | None:
        """Write changed settings once; return ``None`` if another process changed the group in between."""
        settings = changes.applied_to(group.settings)
        changed: Group | None = group
        if resolved(settings, queue, policy) != resolved(group.settings, queue, policy):
            await self._check(queue, settings, group.settings, policy)
            changed = await self._rows.write(attrs.evolve(group, settings=settings))
        if changed is not None:
            self._changed(changed)
        return changed

    def delete(self, queue: Queue, group: Group, judge: Judge) -> Deferred[None]:
        """Delete a group; the messages of the queue stay.

        :param judge: checks the precondition against the current group just before the write; if it raises, no change
            is made.
        :return: fails with ``NoSuchGroup``.
        """
        return self._in_turn(queue, group.name, lambda: self._delete(queue, group, judge))

    @deferred
    async def _delete(self, queue: Queue, group: Group, judge: Judge) -> None:
        attempts = self._retries.begin(contended)
        while True:
            found = await self._stands(queue, group)
            judge(found)
            ended = await self._rows.write(attrs.evolve(found, ended=True))
            if ended is not None:
                break
            await attempts.again()
        self._changes += 1
        self._drop(queue, group.name)
        try:
            await self._index.remove(ended, queue.settings.partitions)
        except QueueyError:
            return  # the group is deleted; the next process that reads its row removes the rest

    def _end(self, queue: Queue, group: Group) -> None:
        """Complete a deletion that another process started; that process may have stopped before the end."""
        if group.gid in self._ending:
            return
        self._ending.add(group.gid)

        def on_done(result: object) -> None:
            self._ending.discard(group.gid)
            if isinstance(result, Failure):
                result.trap(QueueyError)  # the next read of the group tries again

        self._index.remove(group, queue.settings.partitions).addBoth(on_done)

    @deferred
    async def _stands(self, queue: Queue, group: Group) -> Group:
        """Read the current group; raise ``NoSuchGroup`` if it was deleted, even if it was created again since."""
        found = await self._read(queue, group.name)
        if found.gid != group.gid:
            raise no_such_group()
        return found

    def _in_turn(self, queue: Queue, name: str, work: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        def on_error(failure: Failure) -> Failure:
            self._changes += 1
            self._drop(queue, name)  # the change may be stored
            return failure

        return self._turns.take((queue.incarnation, name), lambda: shield(work().addErrback(on_error)))

    # Checks of settings

    async def _check(self, queue: Queue, settings: GroupSettings, before: GroupSettings | None, policy: Policy) -> None:
        """Refuse settings with guarantees that cannot be kept, or with a dead-letter queue that cannot be used.

        :param before: the settings before the change; a dead-letter queue that stays the same is not checked again.
        """
        check_group(settings, queue.settings, policy, self._store.capabilities)
        if settings.dead_letter is not None and (before is None or before.dead_letter != settings.dead_letter):
            await self._check_dead_letter(queue, settings.dead_letter)

    async def _check_dead_letter(self, queue: Queue, name: str) -> None:
        if name == queue.name:
            raise InvalidRequest({"dead_letter": "A group's dead letters cannot go to the queue that they come from."})
        (found,) = await self._store.describe(queue.application, (name,))
        if found is None:
            raise InvalidRequest({"dead_letter": "The application has no queue of that name for dead letters."})
        if self._store.capabilities.not_once:
            raise NotPromised(f"Duplicates of dead letters cannot be prevented. {self._store.capabilities.not_once}")
        if found.settings.consistency is Consistency.WEAK:
            raise NotPromised("A queue whose consistency is weak cannot prevent duplicates of dead letters.")

    async def _place(self, queue: Queue, start: Start | Ticks, policy: Policy) -> MessageId:
        """Return the id at which a new group starts."""
        if start is Start.OLDEST:
            return LOWEST
        if start is Start.NEWEST:
            return await self.newest(queue, policy)
        return lower_bound(start)

    async def newest(self, queue: Queue, policy: Policy) -> MessageId:
        """Return the end of the log; see ``end_of_log``."""
        return await end_of_log(Slices(self._store, queue, policy.read_ack(queue.settings.consistency)))

    # Terms

    def cached_terms(self, queue: Queue, group: Group) -> Terms | None:
        """Return what ``terms`` would return, or ``None`` if the store has to be read first."""
        policy = self._policies.cached(queue.application)
        found = self._cached.get((queue.incarnation, group.name))
        if found is not None and found.group is not group:
            found = None
        if found is not None and found.policy is policy and found.queue is queue:
            return found.terms
        if policy is None or group.settings.dead_letter is not None:
            return None
        terms = terms_of(queue, group, policy, None)
        if found is not None:
            found.queue, found.policy, found.terms = queue, policy, terms
        return terms

    async def terms(self, queue: Queue, group: Group) -> Terms:
        """Return the settings that the rules of groups need, with the dead-letter queue as it is now."""
        terms = self.cached_terms(queue, group)
        if terms is not None:
            return terms
        policy, target = await self._policies.policy_for(queue.application), None
        name = group.settings.dead_letter
        if name is not None:
            (found,) = await self._store.describe(queue.application, (name,))
            target = Target(name, 0 if found is None else found.incarnation)
        return terms_of(queue, group, policy, target)


def no_such_group() -> NoSuchGroup:
    """Return the error for a group that does not exist."""
    return NoSuchGroup("The queue has no group of that name.")
