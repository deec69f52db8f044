"""Claims: what waits for the same partition of a group is looked for at once, and stored as one change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import count
from typing import Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from queuey.core.groups.cells import Cell, Cells, Step
from queuey.core.groups.directory import GroupDirectory
from queuey.core.groups.lines import Lines, May
from queuey.core.groups.moves import Moves, is_for_others
from queuey.core.groups.values import Claiming, Delivered, Delivery
from queuey.deferreds import Turns, shield
from queuey.errors import KeyReused, QueueyError, StorageFull, Unavailable
from queuey.interfaces import IStore
from queuey.model import group as rules
from queuey.model.group import Claimed, Found, Look, Taken, Terms, Wanted
from queuey.model.group_settings import Group
from queuey.model.group_state import KEY_SCOPE, MAX_OPEN, Claim, GroupState
from queuey.model.message import Address, Message
from queuey.model.policy import Ack
from queuey.model.queue import Queue
from queuey.model.receipts import Receipt, Receipts
from queuey.model.timeid import SECOND, MessageId, Ticks, lower_bound, ticks_of
from queuey.model.window import Merge, MergeSlice, Position

MOST_BYTES: Final = 1 << 24
"""Bytes of bodies that are read for one round of claims, at the most."""

READ: Final = Ack.MAJORITY
"""Whose word a claim's reads wait for, of weak queues too: what is not found is settled by that, and the state of the
group needs a majority anyway."""

_MOST_SLICES: Final = 64
"""Slices that are read for one round, at the most."""

_LAG: Final = Ticks(60 * SECOND)
"""How far a group may be behind a log in which there is nothing: to write that down each time is not worth it."""

_ROUNDS: Final = 3
"""How often it is looked anew where the state became another one meanwhile, and nothing was got."""


_FEW: Final = 4
"""Partitions that are claimed of one after another, without a look at all of them."""

_GLANCE: Final = 16
"""Messages that are looked at at once, to see which partitions have something, at the most; and so many bytes."""

_GLANCE_BYTES: Final = 1 << 16
_GLANCES: Final = 4
"""Such looks for one claim, at the most."""

_BEHIND: Final = 4
"""Places far behind the end of the log that are brought up after one look, at the most."""

_TRUSTED: Final = Ticks(5 * SECOND)
"""For how long what is at hand of a state is trusted to tell that there is nothing, where others change it too."""


@attrs.define(eq=False)
class _Asked:
    """What one claim asks of one partition.

    :ivar lease: how long it is; ``until``: no longer than up to then, as what points to the claim lives no longer.
    :ivar owed: whether the first message is given although it alone is larger than ``max_bytes``.
    :ivar gone: whether nobody waits for it any more.
    """

    limit: int
    lease: Ticks
    until: Ticks | None
    max_bytes: int
    owed: bool
    key: bytes | None
    done: Deferred[Share]
    gone: bool = False


@attrs.frozen
class Share:
    """What a claim got of one partition.

    :ivar generation: of the group in that partition.
    :ivar messages: of what was taken, in that order; ``None`` for one that is no more.
    """

    partition: int
    generation: bytes
    claimed: Claimed
    messages: tuple[Message | None, ...]


@attrs.frozen
class _Seen:
    """What was found in a partition.

    :ivar more: whether there was nothing but what cannot be claimed, and it goes on after that.
    """

    found: Found
    messages: Mapping[MessageId, Message]
    more: bool


class _Partition:
    """One partition of a group while somebody claims there."""

    def __init__(self, claims: Claims, queue: Queue, group: Group, number: int) -> None:
        self._claims = claims
        self.queue = queue
        self.group = group
        self.number = number
        self.cell = claims.cell(queue, group, number)
        self._waiting: list[_Asked] = []
        self._running = False

    def take(
        self, limit: int, lease: Ticks, until: Ticks | None, max_bytes: int, owed: bool, key: bytes | None
    ) -> Deferred[Share]:
        """Claim; whoever is cancelled takes nothing, or gives it back where that can be.

        :return: fails as ``Cell.change`` does, or with ``Unavailable``.
        """

        def cancelled(_: Deferred[Share]) -> None:
            asked.gone = True

        asked = _Asked(limit, lease, until, max_bytes, owed, key, Deferred(cancelled))
        self._waiting.append(asked)
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._run())
        return asked.done

    async def _run(self) -> None:
        try:
            while asked := self._next():
                results: Sequence[Share | BaseException]
                try:
                    results = await self._serve(asked)
                except Exception as error:
                    results = [error] * len(asked)
                for one, result in zip(asked, results, strict=True):
                    if one.gone:
                        continue
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
        messages = bytes = 0
        waiting = [one for one in self._waiting if not one.gone]
        for one in waiting:
            messages += one.limit
            bytes += one.max_bytes
            if asked and (messages > MAX_OPEN or bytes > MOST_BYTES):
                break
            asked.append(one)
        self._waiting = waiting[len(asked) :]
        return asked

    async def _serve(self, asked: Sequence[_Asked]) -> list[Share | BaseException]:
        claims, moved, rounds = self._claims, False, _ROUNDS
        while rounds:
            terms = await claims.directory.terms(self.queue, self.group)
            state = await self.cell.read()
            seen = await self._look(state, sum(one.limit for one in asked), sum(one.max_bytes for one in asked), terms)
            now = claims.now()
            saw, claimed, after = await self.cell.change(self._step(asked, seen, terms))
            self.cell.seen = now
            some = any(one is not None and (one.taken or one.again or one.elsewhere or one.reused) for one in claimed)
            if after.moves and (some or moved):
                claims.begin_moves(self.queue, self.group, self.number, self.cell)
            elif after.moves:
                moved = True
                if await claims.moved(self.queue, self.group, self.number, self.cell):
                    continue
            if some or (saw is state and not seen.more):
                break
            rounds -= not seen.more
        claims.lines.changed(self.group, self.number, after)
        generation = after.generation
        return [await self._share(one, got, seen, generation) for one, got in zip(asked, claimed, strict=True)]

    def _step(
        self, asked: Sequence[_Asked], seen: _Seen, terms: Terms
    ) -> Callable[[GroupState], tuple[GroupState, tuple[GroupState, list[Claimed | None], GroupState]]]:
        def step(state: GroupState) -> tuple[GroupState, tuple[GroupState, list[Claimed | None], GroupState]]:
            saw, now = state, self._claims.now()
            claimed: list[Claimed | None] = []
            for one in asked:
                if one.gone:
                    claimed.append(None)
                    continue
                got = _claim(state, one, seen, terms, now)
                state = got.state
                claimed.append(got)
            return state, (saw, claimed, state)

        return step

    async def _share(
        self, asked: _Asked, claimed: Claimed | None, seen: _Seen, generation: bytes
    ) -> Share | BaseException:
        if claimed is None:
            return CancelledError()
        if asked.gone:
            if asked.key is None:
                self._claims.give_back(self.queue, self.group, self.number, claimed.taken)
            return CancelledError()
        if claimed.reused:
            return _key_reused()
        messages = seen.messages
        if claimed.again:
            try:
                messages, _, _ = await self._find(tuple(one.id for one in claimed.taken), MOST_BYTES)
            except QueueyError as error:
                return error
        found = tuple([messages.get(one.id) for one in claimed.taken])
        return Share(self.number, generation, claimed, found)

    async def has_something(self) -> bool:
        """Whether something can be claimed, as far as one can see."""
        terms = await self._claims.directory.terms(self.queue, self.group)
        seen = await self._look(await self.cell.read(), 1, 1, terms)
        return bool(seen.found.present or seen.found.scanned)

    async def _look(self, state: GroupState, limit: int, max_bytes: int, terms: Terms) -> _Seen:
        """Look for what can be claimed; again, where only what is gone was found: that has made room."""
        now = self._claims.now()
        limit, max_bytes = min(limit, MAX_OPEN), min(max_bytes, MOST_BYTES)
        messages: dict[MessageId, Message] = {}
        gone: list[MessageId] = []
        size, most = 0, limit
        while True:
            asked = rules.look(rules.expire(rules.drop(state, gone), terms, now), most, terms, now)
            looked = asked.due or asked.blocking
            if not looked:
                break
            found, lost, found_size = await self._find(looked, max_bytes)
            gone += lost
            if asked.due:
                messages, size = found, found_size
            if messages or not lost:
                break
            most = min(2 * most, MAX_OPEN)
        present = tuple(messages)
        start = end = None
        scanned: list[MessageId] = []
        more = False
        if asked.room and (size < max_bytes or not present):
            start = state.reach
            end, scanned, over = await self._scan(start, min(asked.room, limit), max_bytes - size, messages)
            more = not (over or messages)
        return _Seen(Found(present, gone, scanned, start, end), messages, more)

    async def _find(
        self, ids: Sequence[MessageId], max_bytes: int
    ) -> tuple[dict[MessageId, Message], list[MessageId], int]:
        """The messages of ids in their order, up to so many bytes; the ids of those that are gone; their bytes."""
        store = self._claims.store
        rest: Sequence[Address] | None = [Address(self.number, id) for id in ids]
        found: dict[MessageId, Message] = {}
        gone: list[MessageId] = []
        size = 0
        while rest and size < max_bytes:
            slice = await store.lookup(self.queue, rest, READ)
            for message in slice.messages:
                found[message.id] = message
                size += len(message.content.body)
            looked = rest[: len(rest) - len(slice.rest or ())]
            gone += [address.id for address in looked if address.id not in found]
            rest = slice.rest
        return found, gone, size

    async def _scan(
        self, start: MessageId, room: int, max_bytes: int, messages: dict[MessageId, Message]
    ) -> tuple[MessageId, list[MessageId], bool]:
        """Read on; how far that was, the ids that can be claimed, whose messages are put with the others, and whether
        that is the end of the log."""
        store = self._claims.store
        scanned: list[MessageId] = []
        merge = Merge((self.number,), Position(start), limit=room, max_bytes=max_bytes, owed=not messages)
        for _ in range(_MOST_SLICES):
            slice: MergeSlice = await store.merge(self.queue, merge, READ)
            for message in slice.messages:
                max_bytes -= len(message.content.body)
                if not is_for_others(message, self.group.gid):
                    scanned.append(message.id)
                    messages[message.id] = message
            moved = slice.position != merge.lower
            merge = attrs.evolve(
                merge,
                lower=slice.position,
                limit=room - len(scanned),
                max_bytes=max(0, max_bytes),
                owed=not messages,
            )
            if slice.over or not moved or merge.limit <= 0 or (messages and max_bytes <= 0):
                break
        end, _ = merge.bounds(self.number)
        near = slice.over and not scanned and ticks_of(end) < ticks_of(start) + _LAG
        return start if near else end, scanned, slice.over


def _claim(state: GroupState, asked: _Asked, seen: _Seen, terms: Terms, now: Ticks) -> Claimed:
    """Take as many messages as were asked for, and as fit."""
    limit, lease = asked.limit, asked.lease
    if asked.until is not None:
        lease = Ticks(min(lease, asked.until - now))
        if lease <= 0:
            return Claimed(state, ())
    while True:
        wanted = Wanted(limit, lease, None if terms.at_most_once else asked.key)
        claimed = rules.claim(state, wanted, seen.found, terms, now)
        if claimed.again or not claimed.taken:
            return claimed
        fit = _fitting(claimed.taken, asked, seen.messages)
        if fit == len(claimed.taken):
            return claimed
        if not fit:
            return Claimed(state, ())
        limit = fit


def _fitting(taken: Sequence[Taken], asked: _Asked, messages: Mapping[MessageId, Message]) -> int:
    """How many messages fit."""
    size = 0
    for place, one in enumerate(taken):
        size += len(messages[one.id].content.body)
        if size > asked.max_bytes and (place or not asked.owed):
            return place
    return len(taken)


class Claims:
    """Claims of all groups.

    :param lines: are told of each state that was looked at, and of what can be claimed again.
    :param now: the wall clock.
    """

    def __init__(
        self,
        store: IStore,
        directory: GroupDirectory,
        cells: Cells,
        moves: Moves,
        lines: Lines,
        now: Callable[[], Ticks],
    ) -> None:
        self.store = store
        self.directory = directory
        self.lines = lines
        self.now = now
        self._cells = cells
        self._moves = moves
        self._partitions: dict[tuple[bytes, int], _Partition] = {}
        self._moving: set[tuple[bytes, int]] = set()
        self._turns = Turns()
        self._begun = count()

    async def take(
        self, queue: Queue, group: Group, claiming: Claiming, partitions: Sequence[int], may: May | None = None
    ) -> Delivered:
        """Claim messages of some partitions, once; whoever is cancelled takes nothing, or gives it back.

        :param may: raises where what was got is not to be given to whoever asks; it is given back then too.
        :return: what was got, which may be nothing. Fails as a change of a state does, if nothing was got.
        """
        taking = _Taking(self, queue, group, claiming)
        try:
            if claiming.key is not None:
                await taking.under_key(claiming.key, partitions)
            else:
                await taking.of(self.in_turn(partitions))
            if may is not None and taking.some:
                await may()
        except BaseException:
            taking.give_back()
            raise
        return taking.delivered()

    def in_turn(self, partitions: Sequence[int]) -> Sequence[int]:
        """Partitions, beginning with another one each time."""
        if len(partitions) == 1:
            return partitions
        first = next(self._begun) % len(partitions)
        return [*partitions[first:], *partitions[:first]]

    async def promising(self, queue: Queue, group: Group, partitions: Sequence[int]) -> list[int]:
        """Of some partitions those to claim of next, in their order; none where there is nothing in any of them.

        Where there are many, one look at all of them is cheaper than one at each. Where others change states too, what
        is at hand of them is trusted for a while.
        """
        if len(partitions) < _FEW:
            return list(partitions)
        terms, now = await self.directory.terms(queue, group), self.now()
        reaches: dict[int, MessageId] = {}
        for number in partitions:
            cell = self.cell(queue, group, number)
            state = await cell.read()
            if not cell.is_of(now - _TRUSTED, now):
                continue
            quiet = not state.moves and rules.expire(state, terms, now) is state
            if quiet and rules.look(state, 1, terms, now) == Look(room=1):
                reaches[number] = state.reach
        found = await self._glance(queue, reaches)
        return [number for number in partitions if number not in reaches or number in found]

    async def _glance(self, queue: Queue, reaches: Mapping[int, MessageId]) -> Set[int]:
        """Partitions in which there may be something at or above a bound of each, and some of those the bounds of which
        are so far behind that they are to be set anew; all, where it is not plain after a few looks."""
        if not reaches:
            return set()
        merge = Merge(tuple(sorted(reaches)), Position(min(reaches.values())), limit=_GLANCE, max_bytes=_GLANCE_BYTES)
        for _ in range(_GLANCES):
            slice = await self.store.merge(queue, merge, READ)
            found = {message.partition for message in slice.messages if message.id >= reaches[message.partition]}
            if slice.over or found:
                bound = lower_bound(Ticks(ticks_of(slice.stable) - _LAG))
                behind = [number for number, reach in reaches.items() if reach < bound]
                return found.union(sorted(behind, key=reaches.__getitem__)[:_BEHIND])
            merge = attrs.evolve(merge, lower=slice.position)
        return reaches.keys()

    def at(self, queue: Queue, group: Group, number: int) -> _Partition:
        """A partition, to claim there."""
        place = (group.gid, number)
        partition = self._partitions.get(place)
        if partition is None:
            self._partitions[place] = partition = _Partition(self, queue, group, number)
        partition.queue, partition.group = queue, group
        return partition

    def forget(self, queue: Queue, group: Group) -> None:
        """Learn that a group was deleted."""
        for number in range(1, queue.settings.partitions + 1):
            self.cell(queue, group, number).forget()

    def over(self, partition: _Partition) -> None:
        """Learn that nobody claims there any more."""
        self._partitions.pop((partition.group.gid, partition.number), None)

    def cell(self, queue: Queue, group: Group, partition: int) -> Cell:
        """The state of a group in a partition."""
        return self._cells.at(self.directory.source(queue, group, partition))

    def give_back(self, queue: Queue, group: Group, partition: int, taken: Sequence[Taken]) -> None:
        """Undo a claim whose answer nobody will see, if that can be."""
        if not any(one.number for one in taken):
            return

        def step(state: GroupState) -> tuple[GroupState, None]:
            return rules.give_back(state, taken, self.now()), None

        def done(_: None) -> None:
            self.lines.tell(group, partition)

        self.cell(queue, group, partition).change(step).addCallback(done).addErrback(_passed_over)

    def finish_moves(self, queue: Queue, group: Group, partition: int, cell: Cell) -> Deferred[None]:
        """Carry out the moves that are marked in a partition, when it is one's turn.

        :return: fires once none of them is left. Fails with ``Unavailable``.
        """

        def done(result: Failure | None) -> Failure | None:
            self.lines.tell(group, partition)
            return result

        carry_out = self._moves.carry_out
        turn = self._turns.take((group.gid, partition), lambda: shield(carry_out(queue, group, partition, cell)))
        return turn.addBoth(done)

    async def moved(self, queue: Queue, group: Group, partition: int, cell: Cell) -> bool:
        """Carry out the moves that are marked in a partition; whether that could be done."""
        try:
            await self.finish_moves(queue, group, partition, cell)
        except QueueyError:
            return False
        return True

    def begin_moves(self, queue: Queue, group: Group, partition: int, cell: Cell) -> None:
        """Have the moves carried out that are marked in a partition, unless somebody is about it."""
        place = (group.gid, partition)
        if place not in self._moving:
            self._moving.add(place)
            moving = self.finish_moves(queue, group, partition, cell).addErrback(_passed_over)
            moving.addBoth(lambda _: self._moving.discard(place))


def _passed_over(failure: Failure) -> None:
    """Leave it at that: leases end by themselves, and moves are left to whoever comes next."""
    failure.trap(QueueyError)


class _Taking:
    """One claim, from one partition to the next."""

    def __init__(self, claims: Claims, queue: Queue, group: Group, claiming: Claiming) -> None:
        self._claims = claims
        self._queue = queue
        self._group = group
        self._claiming = claiming
        self._lease = claiming.lease or group.settings.lease
        self._limit = claiming.limit
        self._bytes = claiming.max_bytes
        self._shares: list[Share] = []
        self._blocked = False

    async def of(self, partitions: Iterable[int]) -> None:
        """Claim of one partition after another, until it is enough; one that fails gives nothing."""
        left = list(partitions)
        problem: QueueyError | None = None
        next = left[:1]
        while next and self._limit > 0 and self._bytes > 0:
            left.remove(next[0])
            try:
                await self._of_one(next.pop(0), Ticks(self._lease * SECOND))
                if not next:
                    next = await self._claims.promising(self._queue, self._group, left)
            except (Unavailable, StorageFull) as error:
                if problem is None or problem.applied == "no":
                    problem = error
                next = next or list(left)
        if problem is not None and not self._shares:
            raise problem

    async def under_key(self, key: bytes, partitions: Sequence[int]) -> None:
        """Claim under a key, of one partition: the key has a home among all partitions, where it leaves a pointer to
        the one where it claims, if that is another one."""
        queue, group, lease = self._queue, self._group, Ticks(self._lease * SECOND)
        home = home_of(key, queue)
        if home in partitions:
            claimed = await self._of_one(home, lease, key)
            if claimed.taken or claimed.again:
                return
            elsewhere = claimed.elsewhere
        else:
            elsewhere = await self._claims.cell(queue, group, home).change(self._pointer(key))
        if elsewhere is None:
            others = [number for number in self._claims.in_turn(partitions) if number != home]
            elsewhere = await self._first_with_something(others)
        if elsewhere is None:
            return
        to = elsewhere

        def step(state: GroupState) -> tuple[GroupState, Claim | None]:
            now = self._claims.now()
            if rules.reused(state, key, now):
                raise _key_reused()
            pointed = rules.point(state, key, to, Ticks(now + lease), now)
            return pointed.state, pointed.claim

        claim = await self._claims.cell(queue, group, home).change(step)
        if claim is None:
            self._blocked = True
        elif claim.size:
            await self._of_one(home, lease, key)
        else:
            await self._of_one(claim.first, lease, key, claim.until)

    def _pointer(self, key: bytes) -> Step[int | None]:
        """Looks where a claim under a key was made, if it was made elsewhere."""

        def step(state: GroupState) -> tuple[GroupState, int | None]:
            now = self._claims.now()
            if rules.reused(state, key, now):
                raise _key_reused()
            return state, rules.pointed(state, key, now)

        return step

    async def _first_with_something(self, partitions: Iterable[int]) -> int | None:
        for number in partitions:
            if await self._claims.at(self._queue, self._group, number).has_something():
                return number
        return None

    async def _of_one(self, number: int, lease: Ticks, key: bytes | None = None, until: Ticks | None = None) -> Claimed:
        partition = self._claims.at(self._queue, self._group, number)
        share = await partition.take(self._limit, lease, until, self._bytes, not self._shares, key)
        claimed = share.claimed
        self._blocked = self._blocked or claimed.blocked
        if claimed.taken:
            self._shares.append(share)
            self._limit -= len(claimed.taken)
            self._bytes -= sum(len(message.content.body) for message in share.messages if message is not None)
        return claimed

    @property
    def some(self) -> bool:
        """Whether anything was got."""
        return bool(self._shares)

    def give_back(self) -> None:
        """Undo what was taken so far, since nobody will be told; but under a key it is given again."""
        if self._claiming.key is None:
            for share in self._shares:
                self._claims.give_back(self._queue, self._group, share.partition, share.claimed.taken)

    def delivered(self) -> Delivered:
        """What was got, oldest first."""
        receipts = Receipts(self._group.secret)
        deliveries = [
            self._delivery(receipts, share, one, message)
            for share in self._shares
            for one, message in zip(share.claimed.taken, share.messages, strict=True)
            if message is not None
        ]
        if len(self._shares) > 1:
            deliveries.sort(key=lambda delivery: (delivery.message.id, delivery.message.partition))
        return Delivered(tuple(deliveries), self._blocked and not deliveries)

    def _delivery(self, receipts: Receipts, share: Share, one: Taken, message: Message) -> Delivery:
        if not one.number:
            return Delivery(message, None, one.deliveries, 0, None)
        receipt = Receipt(self._queue.incarnation, share.generation, share.partition, one.id, one.number)
        return Delivery(message, receipts.text(receipt), one.deliveries, self._lease, one.until)


def _key_reused() -> KeyReused:
    return KeyReused("The Idempotency-Key was used for another claim, whose lease lives.")


def home_of(key: bytes, queue: Queue) -> int:
    """The partition that knows where a claim under a key was made: the same for as long as the queue has so many."""
    return int.from_bytes(key[:KEY_SCOPE], "big") % queue.settings.partitions + 1
