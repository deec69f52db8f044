"""Claims: those that wait for the same partition of a group are looked for together, and stored as one change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Final

import attrs
from twisted.internet.defer import Deferred

from queuey.errors import QueueyError, StorageFull, Unavailable
from queuey.interfaces import IMessageStore
from queuey.model.group_settings import Group
from queuey.model.groups.claims import claim, home_of, look, point, pointed, reused
from queuey.model.groups.commands import After, Share, Take, TakeAnswer
from queuey.model.groups.entries import Claim
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.terms import Claimed, Look, Terms, Wanted
from queuey.model.message import Message
from queuey.model.queue import Queue
from queuey.model.timeid import MessageId, Ticks, lower_bound, ticks_of
from queuey.model.window import Merge, Position
from queuey.storage.cassandra.groups.cells import Cell
from queuey.storage.cassandra.groups.looking import MAX_BYTES, MAX_MESSAGES, READ, Looking, Seen
from queuey.storage.group_commands import IDLE

_ROUNDS: Final = 3
"""How often it is looked again if the state was changed meanwhile and nothing was got."""

_PASSES: Final = 16
"""How often it is looked again if only messages were found that cannot be given now."""

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
"""For how long a cached state is trusted to tell that there is nothing, if others change it too."""


@attrs.define(eq=False)
class _Asked:
    """What one claim asks of one partition.

    :ivar until: its lease ends no later, since the pointer to the claim lives no longer.
    :ivar owed: whether the first message is given although it alone has more than ``max_bytes``.
    """

    limit: int
    lease: Ticks
    until: Ticks | None
    max_bytes: int
    owed: bool
    key: bytes | None
    done: Deferred[_Got]


@attrs.frozen
class _Got:
    """What a claim got of one partition."""

    claimed: Claimed
    share: Share
    after: After


class _Partition:
    """One partition of a group while somebody claims there."""

    def __init__(self, claims: Claims, queue: Queue, group: Group, number: int, terms: Terms) -> None:
        self._claims = claims
        self.queue = queue
        self.group = group
        self.number = number
        self.terms = terms
        self.cell = claims.cell(queue, group, number)
        self._looking = Looking(claims.store, queue, group, number)
        self._waiting: list[_Asked] = []
        self._running = False

    def take(
        self, limit: int, lease: Ticks, until: Ticks | None, max_bytes: int, owed: bool, key: bytes | None
    ) -> Deferred[_Got]:
        """Claim.

        :return: fails as ``Cell.change`` does, or with ``Unavailable``.
        """
        asked = _Asked(limit, lease, until, max_bytes, owed, key, Deferred())
        self._waiting.append(asked)
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._run())
        return asked.done

    async def _run(self) -> None:
        try:
            while self._waiting:
                asked = self._next()
                results: Sequence[_Got | BaseException]
                try:
                    results = await self._serve(asked)
                except Exception as error:
                    results = [error] * len(asked)
                for one, result in zip(asked, results, strict=True):
                    if isinstance(result, BaseException):
                        one.done.errback(result)
                    else:
                        one.done.callback(result)
        finally:
            self._running = False
            self._claims.over(self)

    def _next(self) -> list[_Asked]:
        """Those that are served together: as many as one look can be enough for."""
        asked: list[_Asked] = []
        messages = size = 0
        for one in self._waiting:
            messages += one.limit
            size += one.max_bytes
            if asked and (messages > MAX_MESSAGES or size > MAX_BYTES):
                break
            asked.append(one)
        self._waiting = self._waiting[len(asked) :]
        return asked

    async def _serve(self, asked: Sequence[_Asked]) -> list[_Got | BaseException]:
        claims, rounds, passes = self._claims, _ROUNDS, _PASSES
        while True:
            limit, size = sum([one.limit for one in asked]), sum([one.max_bytes for one in asked])
            seen = await self._looking.look(self.cell, limit, size, self.terms, claims.now())
            now = claims.now()
            saw, claimed, after, generation = await self.cell.change(self._step(asked, seen))
            self.cell.seen = now
            some = any(one.taken or one.again or one.elsewhere or one.reused for one in claimed)
            more = seen.more or any(one.skipped for one in claimed)
            if some or (saw == seen.mark and not more):
                break
            rounds -= not more
            passes -= more
            if not rounds:
                break
            if not passes:  # there may be more, and those that wait for it are to look again at once
                after = attrs.evolve(after, due=now)
                break
        return [await self._got(got, seen, generation, after) for got in claimed]

    def _step(
        self, asked: Sequence[_Asked], seen: Seen
    ) -> Callable[[GroupIndex], tuple[object, list[Claimed], After, bytes]]:
        def step(index: GroupIndex) -> tuple[object, list[Claimed], After, bytes]:
            saw, now = self.cell.mark(index), self._claims.now()
            claimed = [_claim(index, one, seen, self.terms, now) for one in asked]
            return saw, claimed, after(index, now), index.generation

        return step

    async def _got(self, claimed: Claimed, seen: Seen, generation: bytes, after: After) -> _Got | BaseException:
        messages: Mapping[MessageId, Message] = seen.messages
        if claimed.again:
            try:
                messages, _, _ = await self._looking.find([one.id for one in claimed.taken])
            except QueueyError as error:
                return error
        found = tuple([messages.get(one.id) for one in claimed.taken])
        return _Got(claimed, Share(self.number, generation, claimed.taken, found), after)

    async def has_something(self) -> bool:
        """Whether something can be claimed, as far as one can see."""
        seen = await self._looking.look(self.cell, 1, 1, self.terms, self._claims.now())
        return bool(seen.found.present or seen.found.scanned)


def _claim(index: GroupIndex, asked: _Asked, seen: Seen, terms: Terms, now: Ticks) -> Claimed:
    """Take as many messages as were asked for, and as fit."""
    lease = asked.lease if asked.until is None else Ticks(min(asked.lease, asked.until - now))
    if lease <= 0:
        return Claimed()
    key = None if terms.at_most_once else asked.key
    return claim(index, Wanted(asked.limit, lease, key, asked.max_bytes, asked.owed), seen.found, terms, now)


def after(index: GroupIndex, now: Ticks) -> After:
    """What is to be known of a state after a command."""
    return After(index.next_due(now), bool(index.moves))


@attrs.frozen
class Took:
    """What a claim got, and how the partitions are in which it was."""

    answer: TakeAnswer
    after: Mapping[int, After]


class Claims:
    """Claims of all groups.

    :param cell: gives the state of a group in a partition.
    :param now: the wall clock.
    """

    def __init__(
        self, store: IMessageStore, cell: Callable[[Queue, Group, int], Cell], now: Callable[[], Ticks]
    ) -> None:
        self.store = store
        self.cell = cell
        self.now = now
        self._partitions: dict[tuple[bytes, int], _Partition] = {}

    async def take(self, queue: Queue, group: Group, terms: Terms, asked: Take) -> Took:
        """Claim messages; see ``IGroupStore.run``."""
        taking = _Taking(self, queue, group, terms, asked)
        if asked.key is not None:
            await taking.under_key(asked.key, asked.partitions)
        else:
            await taking.of(asked.partitions)
        return taking.took()

    async def promising(self, queue: Queue, group: Group, terms: Terms, partitions: Sequence[int]) -> list[int]:
        """Of some partitions those to claim of next, in their order; none if there is nothing in any of them.

        One look at many is cheaper than one at each. If others change states too, a cached one is trusted for a while.
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
            slice = await self.store.merge(queue, merge, READ)
            found = {message.partition for message in slice.messages if message.id >= reaches[message.partition]}
            if slice.over or found:
                bound = lower_bound(Ticks(ticks_of(slice.stable) - IDLE))
                behind = [number for number, reach in reaches.items() if reach < bound]
                return found.union(sorted(behind, key=reaches.__getitem__)[:_BEHIND])
            merge = attrs.evolve(merge, lower=slice.position)
        return reaches.keys()

    def at(self, queue: Queue, group: Group, number: int, terms: Terms) -> _Partition:
        """A partition, to claim there."""
        place = (group.gid, number)
        partition = self._partitions.get(place)
        if partition is None:
            self._partitions[place] = partition = _Partition(self, queue, group, number, terms)
        partition.queue, partition.group, partition.terms = queue, group, terms
        return partition

    def over(self, partition: _Partition) -> None:
        """Learn that nobody claims there any more."""
        self._partitions.pop((partition.group.gid, partition.number), None)


class _Taking:
    """One claim, from one partition to the next."""

    def __init__(self, claims: Claims, queue: Queue, group: Group, terms: Terms, asked: Take) -> None:
        self._claims = claims
        self._queue = queue
        self._group = group
        self._terms = terms
        self._lease = asked.lease
        self._limit = asked.limit
        self._bytes = asked.max_bytes
        self._shares: list[Share] = []
        self._after: dict[int, After] = {}
        self._blocked = self._reused = self._again = False

    async def of(self, partitions: Iterable[int]) -> None:
        """Claim of one partition after another, until it is enough; one that fails gives nothing."""
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
                if problem is None or problem.applied == "no":
                    problem = error
                next = next or list(left)
        if problem is not None and not self._shares:
            raise problem

    async def under_key(self, key: bytes, partitions: Sequence[int]) -> None:
        """Claim under a key, of one partition: the key has a home among all partitions, which points to the one where
        the claim is made, if that is another one."""
        home = home_of(key, self._queue.settings.partitions)
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
            self._blocked = True
        elif pointer.size:
            await self._of_one(home, self._lease, key)
        else:
            await self._of_one(pointer.first, self._lease, key, pointer.until)

    def _cell(self, number: int) -> Cell:
        return self._claims.cell(self._queue, self._group, number)

    def _pointer(self, key: bytes) -> Callable[[GroupIndex], int | None]:
        """Looks where a claim under a key was made, if it was made elsewhere."""

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
        got = await partition.take(self._limit, lease, until, self._bytes, not self._shares, key)
        claimed, share = got.claimed, got.share
        self._after[number] = got.after
        self._blocked = self._blocked or claimed.blocked
        self._reused = self._reused or claimed.reused
        self._again = self._again or claimed.again
        if claimed.taken:
            self._shares.append(share)
            self._limit -= len(claimed.taken)
            self._bytes -= sum([len(message.content.body) for message in share.messages if message is not None])
        return claimed

    def took(self) -> Took:
        """What was got."""
        blocked = self._blocked and not self._shares
        return Took(TakeAnswer(tuple(self._shares), blocked, self._reused, self._again), self._after)
