"""What the store keeps of the groups of a queue: read, changed by compare-and-set, and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredList

from queuey.deferreds import deferred
from queuey.errors import QueueyError, Unavailable
from queuey.interfaces import IGroupStore, IStateStore, Outcome
from queuey.model.group_rows import (
    UnreadableGroup,
    decode_group,
    decode_names,
    encode_group,
    encode_names,
    group_key,
    groups_key,
)
from queuey.model.group_settings import Group
from queuey.model.groups.entries import TOKEN
from queuey.model.queue import Queue

AT_ONCE: Final = 16
"""Rows and states that are read or removed at the same time."""

_ATTEMPTS: Final = 20
"""How often a change is tried whose outcome is not known, or which others were before."""

T = TypeVar("T")
A = TypeVar("A")


@attrs.frozen
class Index:
    """The names of a queue's groups as they are stored.

    :ivar version: ``None``: nothing is stored.
    """

    incarnation: int
    names: frozenset[str]
    version: str | None


@attrs.frozen
class GroupRows:
    """The rows of groups, and the index of their names, as the store has them; ``GroupNames`` changes the index.

    Every Deferred may fail with ``Unavailable``.

    :ivar new_bytes: makes so many random bytes.
    :ivar groups: the states of groups, which are removed with them.
    """

    states: IStateStore
    new_bytes: Callable[[int], bytes]
    groups: IGroupStore

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
        return (await self.index(incarnation)).names

    async def store_index(self, index: Index, names: Iterable[str]) -> bool:
        """Store other names in place of those of an index; whether it was as it was read."""
        value = encode_names(names) if names else None
        if value is None and index.version is None:
            return True
        return await self._swap(groups_key(index.incarnation), index.version, value) is not None

    async def remove_row(self, group: Group) -> None:
        """Remove the row of a group, if it is as it was read."""
        await self._swap(group_key(group.queue, group.name), group.version, None)

    @deferred
    async def remove_all(self, queue: Queue) -> None:
        """Remove all groups of a queue that was deleted; it can be begun anew where somebody has not finished it."""
        for name in sorted(await self.names(queue.incarnation)):
            group = await self.ended(queue.incarnation, name)
            if group is not None:
                await self.remove_states(group, queue.settings.partitions)
                await self._clear(group_key(queue.incarnation, name))
        await self._clear(groups_key(queue.incarnation))

    async def ended(self, incarnation: int, name: str) -> Group | None:
        """End a group, so that no states of it are made any more; its row, or ``None`` if there is no such group."""
        for _ in range(_ATTEMPTS):
            group = await self.read(incarnation, name)
            if group is None or group.ended:
                return group
            await self.write(attrs.evolve(group, ended=True))
        raise contended()

    async def remove_states(self, group: Group, partitions: int) -> None:
        """Remove the states of a group in all partitions."""
        await self.groups.end(group.queue, group.gid, partitions)

    @deferred
    async def _clear(self, key: str) -> None:
        """Remove a value, whatever it has become meanwhile."""
        for _ in range(_ATTEMPTS):
            found = await self.states.read(key)
            if found is None or await self._swap(key, found.version, None) is not None:
                return
        raise contended()

    async def index(self, incarnation: int) -> Index:
        """The index of a queue."""
        found = await self.states.read(groups_key(incarnation))
        if found is None:
            return Index(incarnation, frozenset(), None)
        try:
            return Index(incarnation, decode_names(found.value), found.version)
        except UnreadableGroup as problem:
            raise Unavailable(str(problem)) from None

    async def _swap(self, key: str, version: str | None, value: bytes | None) -> str | None:
        """Replace a value; its new version, or ``None`` if the value was another one by then.

        If the store does not know the outcome, the version that is there tells it: the new one, or the one from before.

        :raise Unavailable: ``applied`` is ``"unknown"`` once there was an attempt whose outcome cannot be found out.
        """
        fresh = self.new_bytes(TOKEN).hex()
        unsure = False
        for _ in range(_ATTEMPTS):
            try:
                outcome = await self.states.replace(key, version, value, fresh)
                if outcome is Outcome.APPLIED:
                    return fresh
                if outcome is Outcome.REFUSED and not unsure:
                    return None
                unsure = True
                found = await self.states.read(key)
            except QueueyError as error:
                raise unknown() if unsure else error from None
            there = None if found is None else found.version
            if there == (fresh if value is not None else None):
                return fresh
            if there != version:
                return None
        raise unknown()


def unknown() -> Unavailable:
    """The error of a change that may have been stored."""
    return Unavailable("Nobody knows whether the group was changed.", applied="unknown")


def contended() -> Unavailable:
    """What a change ends with that others came in between too often."""
    return Unavailable("The group is being changed by others at the same time.")


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
