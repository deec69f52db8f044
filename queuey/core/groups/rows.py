"""The stored rows of groups and the index of a queue's groups: read, compare-and-set and remove them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredList

from queuey.deferreds import deferred
from queuey.errors import QueueyError, Unavailable
from queuey.interfaces import IGroupStore, IStateStore, Outcome
from queuey.model.groups.entries import TOKEN
from queuey.model.groups.rows import (
    UnreadableGroup,
    decode_group,
    decode_names,
    encode_group,
    encode_names,
    group_key,
    groups_key,
)
from queuey.model.groups.settings import Group
from queuey.model.pushes.places import report_key
from queuey.model.queues.queue import Queue
from queuey.model.queues.sqs_queue import sqs_key

AT_ONCE: Final = 16
"""Number of rows and states that are read or removed at the same time."""

_ATTEMPTS: Final = 20
"""Maximum number of attempts of a change whose outcome is unknown or that other processes forestall."""

T = TypeVar("T")
A = TypeVar("A")


@attrs.frozen
class Index:
    """The names of a queue's groups as they are stored.

    :ivar version: ``None`` if no index is stored.
    """

    incarnation: int
    names: frozenset[str]
    version: str | None


@attrs.frozen
class GroupRows:
    """The rows of groups and the index of their names in the store; ``GroupNames`` changes the index.

    Every Deferred may fail with ``Unavailable``.

    :ivar new_bytes: returns that number of random bytes.
    :ivar groups: the states of groups, which are removed with them.
    """

    states: IStateStore
    new_bytes: Callable[[int], bytes]
    groups: IGroupStore

    @deferred
    async def read(self, incarnation: int, name: str) -> Group | None:
        """Read the row of a group, including one that is being deleted."""
        found = await self.states.read(group_key(incarnation, name))
        if found is None:
            return None
        try:
            return decode_group(found.value, incarnation, found.version)
        except UnreadableGroup as problem:
            raise Unavailable(str(problem)) from None

    @deferred
    async def write(self, group: Group) -> Group | None:
        """Write the row of a group by compare-and-set; its version is that of the current row, or empty if there is no
        row.

        :return: fires with the group and its new version; ``None`` if another process changed the row first.
        """
        key = group_key(group.queue, group.name)
        version = await self._swap(key, group.version or None, encode_group(group))
        return None if version is None else attrs.evolve(group, version=version)

    @deferred
    async def names(self, incarnation: int) -> frozenset[str]:
        """Return the names in the index."""
        return (await self.index(incarnation)).names

    async def store_index(self, index: Index, names: Iterable[str]) -> bool:
        """Replace the names of an index by compare-and-set; return ``False`` if it has changed since it was read."""
        value = encode_names(names) if names else None
        if value is None and index.version is None:
            return True
        return await self._swap(groups_key(index.incarnation), index.version, value) is not None

    async def remove_row(self, group: Group) -> None:
        """Remove the row of a group, if it has not changed since it was read."""
        await self._swap(group_key(group.queue, group.name), group.version, None)

    @deferred
    async def remove_all(self, queue: Queue) -> None:
        """Remove all groups of a deleted queue; it may be repeated if another process was interrupted."""
        for name in sorted(await self.names(queue.incarnation)):
            group = await self.ended(queue.incarnation, name)
            if group is not None:
                await self.remove_states(group, queue.settings.partitions)
                await self._clear(group_key(queue.incarnation, name))
        await self._clear(groups_key(queue.incarnation))
        await self._clear(sqs_key(queue.incarnation))

    async def ended(self, incarnation: int, name: str) -> Group | None:
        """Mark a group as ended, so that no new states of it are stored; return its row, or ``None`` if there is no
        such group."""
        for _ in range(_ATTEMPTS):
            group = await self.read(incarnation, name)
            if group is None or group.ended:
                return group
            await self.write(attrs.evolve(group, ended=True))
        raise contended()

    async def remove_states(self, group: Group, partitions: int) -> None:
        """Remove the states of a group in all partitions."""
        await self.groups.end(group.queue, group.gid, partitions)
        if group.settings.push is not None:
            await self._clear(report_key(group.queue, group.gid))

    @deferred
    async def _clear(self, key: str) -> None:
        """Remove a value, even if it changes meanwhile."""
        for _ in range(_ATTEMPTS):
            found = await self.states.read(key)
            if found is None or await self._swap(key, found.version, None) is not None:
                return
        raise contended()

    async def index(self, incarnation: int) -> Index:
        """Read the index of a queue."""
        found = await self.states.read(groups_key(incarnation))
        if found is None:
            return Index(incarnation, frozenset(), None)
        try:
            return Index(incarnation, decode_names(found.value), found.version)
        except UnreadableGroup as problem:
            raise Unavailable(str(problem)) from None

    async def _swap(self, key: str, version: str | None, value: bytes | None) -> str | None:
        """Replace a value by compare-and-set; return its new version, or ``None`` if the version was not the expected
        one.

        If the store cannot report the outcome, the value is read again: its version is either the new one or the old
        one.

        :raise Unavailable: ``applied`` is ``"unknown"`` if the outcome of an attempt cannot be found out.
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
    """Return the error of a change that may have been stored."""
    return Unavailable("It is not known whether the group was changed.", applied="unknown")


def contended() -> Unavailable:
    """Return the error of a change that other processes forestalled too often."""
    return Unavailable("The group is being changed by other requests at the same time.")


async def in_parallel(these: Sequence[A], work: Callable[[A], Deferred[T]], at_once: int = AT_ONCE) -> list[T]:
    """Run ``work`` for each item, for at most ``at_once`` of them at the same time.

    :return: the results, in the same order.
    :raise BaseException: the first error, after the items of its batch are finished.
    """
    done: list[T] = []
    for start in range(0, len(these), at_once):
        begun: list[Deferred[Any]] = [work(one) for one in these[start : start + at_once]]
        for succeeded, result in await DeferredList(begun, consumeErrors=True):
            if not succeeded:
                result.raiseException()
            done.append(result)
    return done
