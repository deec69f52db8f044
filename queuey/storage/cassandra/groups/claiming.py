"""Claims: from one partition to the next, until there is enough, or under a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Final

import attrs

from queuey.errors import QueueyError, StorageFull, Unavailable
from queuey.interfaces import IMessageStore
from queuey.model.groups.claims import home_of, look, point, pointed, repeated, reused
from queuey.model.groups.commands import After, Share, Take, TakeAnswer
from queuey.model.groups.entries import Claim
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Claimed, Look, Terms
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Merge, Position
from queuey.model.timeid import MessageId, Ticks, lower_bound, ticks_of
from queuey.storage.cassandra.groups.cells import Cell, Change
from queuey.storage.cassandra.groups.looking import READ
from queuey.storage.cassandra.groups.partition_claims import Asked, PartitionClaims
from queuey.storage.group_commands import IDLE

_FEW: Final = 4
"""Partitions that are claimed of one after another, without a look at all of them."""

_GLANCE: Final = 16
"""Messages that are looked at together, to see which partitions have something."""

_GLANCE_BYTES: Final = 1 << 16
_GLANCES: Final = 4
"""Such looks for one claim."""

_BEHIND: Final = 4
"""Places far behind the end of the log that are brought up after one look."""

_TRUSTED: Final = Ticks(5 * 10_000_000)
"""For how long a claim skips a partition because its cached state has no message to give, if others change it too."""


@attrs.frozen
class Took:
    """The result of a claim, the states of its partitions, and the result of the command before it."""

    answer: TakeAnswer
    after: Mapping[int, After]
    first: Any


class Claims:
    """Claims of all groups.

    :param cell: gives the state of a group in a partition.
    :param now: the wall clock.
    """

    def __init__(
        self, store: IMessageStore, cell: Callable[[Queue, Group, int], Cell], now: Callable[[], Ticks]
    ) -> None:
        self._store = store
        self.cell = cell
        self.now = now
        self._partitions: dict[tuple[bytes, int], PartitionClaims] = {}

    async def take(
        self, queue: Queue, group: Group, terms: Terms, asked: Take, first: Change[Any] | None = None
    ) -> Took:
        """Claim messages; see ``IGroupStore.run``.

        :param first: is done to the state of the first partition, and stored with what is claimed there. Not for claims
            under a key.
        """
        taking = _Taking(self, queue, group, terms, asked, first)
        try:
            if asked.key is not None:
                await taking.under_key(asked.key, asked.partitions)
            else:
                await taking.of(asked.partitions)
        except QueueyError as error:
            raise (error.after("partly") if taking.did_first else error) from None
        return taking.took()

    async def promising(self, queue: Queue, group: Group, terms: Terms, partitions: Sequence[int]) -> list[int]:
        """Return the partitions to claim from next, in their order; many of those without a message to give are left
        out.

        One look at many partitions is cheaper than one at each. If others change states too, a cached one is trusted
        for a short time.
        """
        if len(partitions) < _FEW:
            return list(partitions)
        now = self.now()
        reaches: dict[int, MessageId] = {}
        for number in partitions:
            cell = self.cell(queue, group, number)
            index = await cell.read()
            if not cell.is_of(now - _TRUSTED, now):
                continue
            quiet = not index.moves and index.over(terms, now) is None
            if quiet and look(index, 1, terms, now) == Look(room=1):
                reaches[number] = index.reach
        found = await self._glance(queue, reaches)
        return [number for number in partitions if number not in reaches or number in found]

    async def _glance(self, queue: Queue, reaches: Mapping[int, MessageId]) -> Set[int]:
        """Partitions in which there may be something at or above a bound of each, and some of those whose bounds are so
        far behind that they are to be set again; all, if it is not plain after a few looks."""
        if not reaches:
            return set()
        merge = Merge(tuple(sorted(reaches)), Position(min(reaches.values())), limit=_GLANCE, max_bytes=_GLANCE_BYTES)
        for _ in range(_GLANCES):
            slice = await self._store.read_merged(queue, merge, READ)
            found = {message.partition for message in slice.messages if message.id >= reaches[message.partition]}
            if slice.over or found:
                bound = lower_bound(Ticks(ticks_of(slice.stable) - IDLE))
                behind = [number for number, reach in reaches.items() if reach < bound]
                return found.union(sorted(behind, key=reaches.__getitem__)[:_BEHIND])
            merge = attrs.evolve(merge, lower=slice.position)
        return reaches.keys()

    def at(self, queue: Queue, group: Group, number: int, terms: Terms) -> PartitionClaims:
        """A partition, to claim there."""
        place = (group.gid, number)
        partition = self._partitions.get(place)
        if partition is None:
            cell = self.cell(queue, group, number)
            partition = PartitionClaims(
                self._store, cell, self.now, self._forget_partition, queue, group, number, terms
            )
            self._partitions[place] = partition
        partition.queue, partition.group, partition.terms = queue, group, terms
        return partition

    def _forget_partition(self, partition: PartitionClaims) -> None:
        self._partitions.pop((partition.group.gid, partition.number), None)


class _Taking:
    """One claim, which goes from one partition to the next.

    :ivar did_first: whether the change that comes first was stored.
    """

    def __init__(
        self, claims: Claims, queue: Queue, group: Group, terms: Terms, asked: Take, first: Change[Any] | None
    ) -> None:
        self.did_first = False
        self._first = first
        self._result: Any = None
        self._claims = claims
        self._queue = queue
        self._group = group
        self._terms = terms
        self._lease = asked.lease
        self._limit = asked.limit
        self._bytes = asked.max_bytes
        self._known = asked.known
        self._shares: list[Share] = []
        self._after: dict[int, After] = {}
        self._blocked = self._reused = self._again = self._full = False

    async def of(self, partitions: Iterable[int]) -> None:
        """Claim from one partition after another up to the limits.

        A partition that is unavailable is passed over. Its error is raised at the end if no message was claimed. It is
        raised at once if a change was to come first, and if messages of an at-most-once group may have been taken
        without an answer: the caller has to learn that they may be lost, which an answer with other messages would
        hide (A2 of the guarantees).
        """
        left = list(partitions)
        problem: QueueyError | None = None
        next = left[:1]
        while next and self._limit > 0 and self._bytes > 0:
            left.remove(next[0])
            try:
                await self._of_one(next.pop(0), self._lease)
                if not next:
                    next = await self._claims.promising(self._queue, self._group, self._terms, left)
            except (Unavailable, StorageFull) as error:
                if self._first is not None or (self._terms.at_most_once and error.applied != "no"):
                    raise
                if problem is None or problem.applied == "no":
                    problem = error
                next = next or list(left)
        if problem is not None and not self._shares:
            raise problem

    async def under_key(self, key: bytes, partitions: Sequence[int]) -> None:
        """Claim under a key, of one partition: the key has a home among all partitions, which points to the one where
        the claim is made, if that is another one."""
        home = home_of(key, self._queue.settings.partitions)
        if self._known:
            await self._repeat(key, home)
            return
        if home in partitions:
            claimed = await self._of_one(home, self._lease, key)
            if claimed.taken or claimed.again or claimed.reused:
                return
            elsewhere = claimed.elsewhere
        else:
            elsewhere = await self._cell(home).change(self._pointer(key))
            if self._reused:
                return
        if elsewhere is None:
            elsewhere = await self._first_with_something([number for number in partitions if number != home])
        if elsewhere is None:
            return
        to = elsewhere

        def step(index: GroupIndex) -> Claim | None:
            now = self._claims.now()
            return point(index, key, to, Ticks(now + self._lease), now)

        pointer = await self._cell(home).change(step)
        if pointer is None:
            self._blocked = self._full = True
        elif pointer.size:
            await self._of_one(home, self._lease, key)
        else:
            await self._of_one(pointer.first, self._lease, key, pointer.until)

    async def _repeat(self, key: bytes, home: int) -> None:
        """Give what an earlier claim with a key was given, if there was one."""
        elsewhere = await self._cell(home).change(self._pointer(key))
        if self._reused:
            return
        partition = home if elsewhere is None else elsewhere

        def step(index: GroupIndex) -> bool:
            return repeated(index, key, self._claims.now()) is not None

        if await self._cell(partition).change(step):
            await self._of_one(partition, self._lease, key)

    def _cell(self, number: int) -> Cell:
        return self._claims.cell(self._queue, self._group, number)

    def _pointer(self, key: bytes) -> Callable[[GroupIndex], int | None]:
        """Return the change that looks up in which other partition a claim under a key was made, if it was."""

        def step(index: GroupIndex) -> int | None:
            now = self._claims.now()
            self._reused = reused(index, key, now)
            return pointed(index, key, now)

        return step

    async def _first_with_something(self, partitions: Iterable[int]) -> int | None:
        for number in partitions:
            if await self._claims.at(self._queue, self._group, number, self._terms).has_something():
                return number
        return None

    async def _of_one(self, number: int, lease: Ticks, key: bytes | None = None, until: Ticks | None = None) -> Claimed:
        partition = self._claims.at(self._queue, self._group, number, self._terms)
        asked = Asked(self._limit, lease, self._bytes, not self._shares, until, key, self._first, self._known)
        got = await partition.take(asked)
        claimed, share = got.claimed, got.share
        if self._first is not None:
            self.did_first, self._first, self._result = True, None, got.first
        self._after[number] = got.after
        self._blocked = self._blocked or claimed.blocked
        self._reused = self._reused or claimed.reused
        self._again = self._again or claimed.again
        self._full = self._full or claimed.full
        if claimed.taken:
            self._shares.append(share)
            self._limit -= len(claimed.taken)
            self._bytes -= sum([len(message.content.body) for message in share.messages if message is not None])
        return claimed

    def took(self) -> Took:
        """Return the result of the claim."""
        blocked, full = self._blocked and not self._shares, self._full and not self._shares
        answer = TakeAnswer(tuple(self._shares), blocked, self._reused, self._again, full)
        return Took(answer, self._after, self._result)
