"""The names of the groups of each queue, which are one value in the store; changes that wait for it are made as one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

import attrs
from twisted.python.failure import Failure

from queuey.core.contention import Gathered, Retries
from queuey.core.groups.rows import GroupRows, contended, in_parallel
from queuey.deferreds import deferred
from queuey.errors import QueueyError, StorageFull, Unavailable
from queuey.model.group_rows import MAX_GROUPS
from queuey.model.group_settings import Group
from queuey.model.queue import Queue

_NONE: Final = frozenset[str]()


@attrs.frozen
class _Listing:
    """A name that is to stand in the index of a queue.

    :ivar most: names that may stand there then.
    :ivar anew: whether to store the index in any case.
    """

    queue: Queue
    name: str
    most: int
    anew: bool


@attrs.frozen
class _Removal:
    """The name of a group that is to go from the index."""

    group: Group


Change = _Listing | _Removal
Result = Group | None | Failure
"""What came of a change: of a removal, the row of the group, if there is one; of a listing, ``None``; or its error."""


class GroupNames:
    """The names of the groups of all queues: each queue has an index of them.

    A group has a name in the index before it has a row, and as long as it has one: the index may name groups that are
    no more, or not yet, and lacks none. Every Deferred may fail with ``Unavailable``.

    :param met: learns of a group that is being deleted, and still takes up room in the index of its queue.
    """

    def __init__(self, rows: GroupRows, retries: Retries, met: Callable[[Queue, Group], None]) -> None:
        self._rows = rows
        self._met = met
        self._changes: Gathered[int, Change, Group | None] = Gathered(retries, self._attempt, contended)

    @deferred
    async def enlist(self, queue: Queue, name: str, limit: int | None = None, *, anew: bool = False) -> None:
        """Take a name into the index.

        :param limit: names that may stand there, if they are fewer than ``MAX_GROUPS``.
        :param anew: whether to store the index in any case, so that a process which is about to take the name out,
            since there was no such group when it looked, has to look again.
        :return: fails with ``StorageFull`` if the queue has as many groups as it may have. Whatever it fails with,
            ``applied`` is ``"no"``: a name without a row is no group.
        """
        most = MAX_GROUPS if limit is None else min(limit, MAX_GROUPS)
        try:
            await self._changes.make(queue.incarnation, _Listing(queue, name, most, anew))
        except Unavailable as error:
            raise Unavailable(error.text, retry_after=error.retry_after) from None

    @deferred
    async def remove(self, group: Group, partitions: int) -> None:
        """Remove all of a group that is being deleted; what is gone already is passed over.

        Its name goes before its row does: as long as the row is there, no group of that name can be made.
        """
        await self._rows.remove_states(group, partitions)
        row = await self._changes.make(group.queue, _Removal(group))
        if row is not None:
            await self._rows.remove_row(row)

    async def _attempt(self, incarnation: int, changes: Sequence[Change]) -> Sequence[Result] | None:
        """Make changes of one index: removals first, since a name that goes may come again."""
        index = await self._rows.index(incarnation)
        names = index.names
        results: dict[int, Result] = dict.fromkeys(range(len(changes)))
        removals = [(at, one.group) for at, one in enumerate(changes) if isinstance(one, _Removal)]
        # The rows are read after the index: a group of the same name that comes now changes the index in between.
        rows = await in_parallel([group for _, group in removals], self._row)
        for (at, group), row in zip(removals, rows, strict=True):
            results[at] = Failure(row) if isinstance(row, QueueyError) else row
            if isinstance(row, Group):
                names -= {group.name}
        store = names != index.names
        added = _NONE
        living: frozenset[str] | None = None
        for at, one in enumerate(changes):
            if not isinstance(one, _Listing) or (one.name in names and not one.anew):
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
        """The row of a group, if it is of this very group; or why it cannot be read, which fails only this removal."""
        try:
            row = await self._rows.read(group.queue, group.name)
        except QueueyError as error:
            return error
        return row if row is not None and row.gid == group.gid else None

    async def _living(self, queue: Queue, names: Collection[str]) -> frozenset[str]:
        """Those names of an index that have a row."""
        found = await in_parallel(sorted(names), lambda name: self._rows.read(queue.incarnation, name))
        for group in found:
            if group is not None and group.ended:
                self._met(queue, group)
        return frozenset(group.name for group in found if group is not None)


def _full(most: int) -> StorageFull:
    return StorageFull(f"A queue may have {most} groups, and this one has them.", limit="max_groups")
