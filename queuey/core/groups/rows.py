"""What the store keeps of the groups of a queue: read, changed by compare-and-set, and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredList

from queuey.deferreds import deferred
from queuey.errors import StorageFull, Unavailable
from queuey.interfaces import IStateStore, Outcome
from queuey.model.group_rows import (
    MAX_GROUPS,
    UnreadableGroup,
    decode_group,
    decode_names,
    encode_group,
    encode_names,
    group_key,
    groups_key,
    state_key,
)
from queuey.model.group_settings import Group
from queuey.model.group_state import TOKEN
from queuey.model.queue import Queue

AT_ONCE: Final = 16
"""Rows and states that are read or removed at the same time."""

_ATTEMPTS: Final = 20
"""How often a change is tried anew where another one came in between."""

T = TypeVar("T")
A = TypeVar("A")


@attrs.frozen
class GroupRows:
    """The rows of groups, the index of their names, and the removal of all that belongs to them.

    A group has a name in the index before it has a row, and as long as it has one: the index may name groups that are
    no more, or not yet, and lacks none. Every Deferred may fail with ``Unavailable``.

    :ivar new_bytes: makes so many random bytes.
    """

    states: IStateStore
    new_bytes: Callable[[int], bytes]

    @deferred
    async def read(self, incarnation: int, name: str) -> Group | None:
        """The row of a group, that of one that is being deleted too."""
        found = await self.states.read(group_key(incarnation, name))
        if found is None:
            return None
        try:
            return decode_group(found.value, incarnation, found.version)
        except UnreadableGroup as problem:
            raise Unavailable(str(problem)) from None

    @deferred
    async def write(self, group: Group) -> Group | None:
        """Set the row of a group, whose version is that of the row as it is now, or empty where there is none.

        :return: fires with the group and its new version; ``None`` where somebody else was first.
        """
        key = group_key(group.queue, group.name)
        version = await self._swap(key, group.version or None, encode_group(group))
        return None if version is None else attrs.evolve(group, version=version)

    @deferred
    async def names(self, incarnation: int) -> frozenset[str]:
        """The names in the index."""
        return (await self._index(incarnation))[0]

    @deferred
    async def enlist(self, incarnation: int, name: str, limit: int | None = None, *, anew: bool = False) -> None:
        """Take a name into the index.

        :param limit: names that may stand there, if they are fewer than ``MAX_GROUPS``.
        :param anew: whether to write it in any case, so that whoever is about to take the name out, since there was no
            such group when he looked, has to look again.
        :return: fails with ``StorageFull`` where the queue has as many groups as it may have.
        """
        most = MAX_GROUPS if limit is None else min(limit, MAX_GROUPS)
        for _ in range(_ATTEMPTS):
            names, version = await self._index(incarnation)
            if name in names and not anew:
                return
            if len(names | {name}) > most:
                names = await self._living(incarnation, names)
            if len(names | {name}) > most:
                raise StorageFull(f"A queue may have {most} groups, and this one has them.", limit="max_groups")
            if await self._swap(groups_key(incarnation), version, encode_names(names | {name})) is not None:
                return
        raise contended()

    async def _living(self, incarnation: int, names: Iterable[str]) -> frozenset[str]:
        """Those names of an index that have a row."""
        found = await in_parallel(sorted(names), lambda name: self.read(incarnation, name))
        return frozenset(group.name for group in found if group is not None)

    @deferred
    async def remove(self, group: Group, partitions: int) -> None:
        """Remove all of a group that is being deleted; what is not there any more is passed over.

        Its name goes before its row does: as long as there is the row nobody makes a group of that name.
        """
        await self._remove_states(group, partitions)
        for _ in range(_ATTEMPTS):
            names, version = await self._index(group.queue)
            row = await self.read(group.queue, group.name)
            if row is None or row.gid != group.gid:
                return
            listed = group.name in names
            if listed and await self._swap(groups_key(group.queue), version, _index_of(names, group.name)) is None:
                continue
            await self._swap(group_key(group.queue, group.name), row.version, None)
            return
        raise contended()

    @deferred
    async def remove_all(self, queue: Queue) -> None:
        """Remove all groups of a queue that was deleted; it can be begun anew where somebody has not finished it."""
        for name in sorted(await self.names(queue.incarnation)):
            group = await self._ended(queue.incarnation, name)
            if group is not None:
                await self._remove_states(group, queue.settings.partitions)
                await self._clear(group_key(queue.incarnation, name))
        await self._clear(groups_key(queue.incarnation))

    async def _ended(self, incarnation: int, name: str) -> Group | None:
        """A group that has been ended by now, so that no states of it are made any more; ``None`` where none is."""
        for _ in range(_ATTEMPTS):
            group = await self.read(incarnation, name)
            if group is None or group.ended:
                return group
            await self.write(attrs.evolve(group, ended=True))
        raise contended()

    async def _remove_states(self, group: Group, partitions: int) -> None:
        keys = [state_key(group.queue, group.gid, number) for number in range(1, partitions + 1)]
        await in_parallel(keys, self._clear)

    @deferred
    async def _clear(self, key: str) -> None:
        """Remove a value, whatever it has become meanwhile."""
        for _ in range(_ATTEMPTS):
            found = await self.states.read(key)
            if found is None or await self._swap(key, found.version, None) is not None:
                return
        raise contended()

    async def _index(self, incarnation: int) -> tuple[frozenset[str], str | None]:
        found = await self.states.read(groups_key(incarnation))
        if found is None:
            return frozenset(), None
        try:
            return decode_names(found.value), found.version
        except UnreadableGroup as problem:
            raise Unavailable(str(problem)) from None

    async def _swap(self, key: str, version: str | None, value: bytes | None) -> str | None:
        """Replace a value; its new version, or ``None`` where it was not what it was taken for.

        What nobody knows of is found out: by the value's version, which is then the new one, or the one from before.
        """
        fresh = self.new_bytes(TOKEN).hex()
        unsure = False
        for _ in range(_ATTEMPTS):
            outcome = await self.states.replace(key, version, value, fresh)
            if outcome is Outcome.APPLIED:
                return fresh
            if outcome is Outcome.REFUSED and not unsure:
                return None
            unsure = True
            found = await self.states.read(key)
            there = None if found is None else found.version
            if there == (fresh if value is not None else None):
                return fresh
            if there != version:
                return None
        raise Unavailable("Nobody knows whether the group was changed.", applied="unknown")


def contended() -> Unavailable:
    """What a change ends with that others came in between too often."""
    return Unavailable("The group is being changed by others at the same time.")


def _index_of(names: frozenset[str], without: str) -> bytes | None:
    left = names - {without}
    return encode_names(left) if left else None


async def in_parallel(these: Sequence[A], work: Callable[[A], Deferred[T]], at_once: int = AT_ONCE) -> list[T]:
    """Do something with each of these, with some of them at the same time.

    :return: what came of each, in their order.
    :raise BaseException: what the first of them failed with, once those that were begun are over.
    """
    done: list[T] = []
    for start in range(0, len(these), at_once):
        begun: list[Deferred[Any]] = [work(one) for one in these[start : start + at_once]]
        for succeeded, result in await DeferredList(begun, consumeErrors=True):
            if not succeeded:
                result.raiseException()
            done.append(result)
    return done
