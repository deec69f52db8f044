"""The index of group names: one value in the store for each queue. Changes that wait for the same index are written
together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

import attrs
from twisted.python.failure import Failure

from queuey.core.contention import Gathered, Retries
from queuey.core.groups.rows import GroupRows, contended, in_parallel
from queuey.deferreds import deferred
from queuey.errors import QueueyError, StorageFull, Unavailable
from queuey.model.groups.rows import MAX_GROUPS
from queuey.model.groups.settings import Group
from queuey.model.queues.queue import Queue

_NONE: Final = frozenset[str]()


@attrs.frozen
class _Listing:
    """A name to add to the index of a queue.

    :ivar most: maximum number of names in the index after the change.
    :ivar rewrite: whether to write the index even if it has the name already.
    """

    queue: Queue
    name: str
    most: int
    rewrite: bool


@attrs.frozen
class _Removal:
    """A group whose name will be removed from the index."""

    group: Group


Change = _Listing | _Removal
Result = Group | None | Failure
"""The result of a change: the row of the removed group, or ``None``, for a removal; ``None`` for a listing; or the
error."""


class GroupNames:
    """The indexes of group names of all queues.

    A name is added to the index before the group's row is written, and stays there until the group is marked as
    deleted: the index may name groups that do not exist yet, or no longer, but it never lacks a group. Every Deferred
    may fail with ``Unavailable``.

    :param met: called with a group that is being deleted and still occupies a place in the index of its queue.
    """

    def __init__(self, rows: GroupRows, retries: Retries, met: Callable[[Queue, Group], None]) -> None:
        self._rows = rows
        self._met = met
        self._changes: Gathered[int, Change, Group | None] = Gathered(retries, self._attempt, contended)

    @deferred
    async def enlist(self, queue: Queue, name: str, limit: int | None = None, *, rewrite: bool = False) -> None:
        """Add a name to the index.

        :param limit: maximum number of names, if lower than ``MAX_GROUPS``.
        :param rewrite: whether to write the index even if it has the name already. Then a process that is removing the
            name, because it found no such group, has to read again.
        :return: fails with ``StorageFull`` if the queue has its maximum number of groups. On every error ``applied`` is
            ``"no"``, because a name without a row is not a group.
        """
        most = MAX_GROUPS if limit is None else min(limit, MAX_GROUPS)
        try:
            await self._changes.make(queue.incarnation, _Listing(queue, name, most, rewrite))
        except Unavailable as error:
            raise Unavailable(error.text, retry_after=error.retry_after) from None

    @deferred
    async def remove(self, group: Group, partitions: int) -> None:
        """Remove the states, the name and the row of a group that is being deleted; parts that are gone already are
        skipped.

        The name is removed before the row, because no group of that name can be created while the row exists.
        """
        await self._rows.remove_states(group, partitions)
        row = await self._changes.make(group.queue, _Removal(group))
        if row is not None:
            await self._rows.remove_row(row)

    async def _attempt(self, incarnation: int, changes: Sequence[Change]) -> Sequence[Result] | None:
        """Apply changes to one index; removals go first, because a removed name may be added again."""
        index = await self._rows.index(incarnation)
        names = index.names
        results: dict[int, Result] = dict.fromkeys(range(len(changes)))
        removals = [(at, one.group) for at, one in enumerate(changes) if isinstance(one, _Removal)]
        # Read the rows after the index: if a group of the same name is created in between, the index changes, and the
        # write below fails.
        rows = await in_parallel([group for _, group in removals], self._row)
        for (at, group), row in zip(removals, rows, strict=True):
            results[at] = Failure(row) if isinstance(row, QueueyError) else row
            if isinstance(row, Group):
                names -= {group.name}
        store = names != index.names
        added = _NONE
        living: frozenset[str] | None = None
        for at, one in enumerate(changes):
            if not isinstance(one, _Listing) or (one.name in names and not one.rewrite):
                continue
            if len(names | {one.name}) > one.most:
                living = await self._living(one.queue, names - added) if living is None else living
                names = living | added
            if len(names | {one.name}) > one.most:
                results[at] = Failure(_full(one.most))
                continue
            names, added, store = names | {one.name}, added | {one.name}, True
        if store and not await self._rows.store_index(index, names):
            return None
        return list(results.values())

    @deferred
    async def _row(self, group: Group) -> Group | QueueyError | None:
        """Return the row of exactly this group, ``None`` if it is gone, or the error of the read, which fails only this
        removal."""
        try:
            row = await self._rows.read(group.queue, group.name)
        except QueueyError as error:
            return error
        return row if row is not None and row.gid == group.gid else None

    async def _living(self, queue: Queue, names: Collection[str]) -> frozenset[str]:
        """Return those names of an index that have a row."""
        found = await in_parallel(sorted(names), lambda name: self._rows.read(queue.incarnation, name))
        for group in found:
            if group is not None and group.ended:
                self._met(queue, group)
        return frozenset(group.name for group in found if group is not None)


def _full(most: int) -> StorageFull:
    text = f"The queue has {most} groups, which is the most that it may have. Delete a group first."
    return StorageFull(text, limit="max_groups")
