"""The commands of groups, each as events that are appended to the states of partitions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from queuey.deferreds import deferred
from queuey.errors import NoSuchGroup, QueueyError, Unavailable
from queuey.interfaces import IGroupStore, IMessageStore, IStateStore
from queuey.model.groups import claims, moves, places, settlements
from queuey.model.groups.claims import home_of
from queuey.model.groups.commands import (
    After,
    Answer,
    Command,
    Finish,
    GiveBack,
    Ran,
    Reopen,
    ReopenAnswer,
    Seek,
    Settle,
    SettleAnswer,
    Take,
    TakeBack,
    View,
)
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.rows import UnreadableGroup, decode_group, group_key, state_key
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Action, Redrive, Settlement, Taken, Terms
from queuey.model.groups.terms import Outcome as Settled
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Merge, Position
from queuey.model.timeid import SECOND, MessageId, Ticks
from queuey.storage.cassandra.groups.cell_cache import Cells
from queuey.storage.cassandra.groups.cells import Cell, Shop, remove_state
from queuey.storage.cassandra.groups.claiming import Claims
from queuey.storage.cassandra.groups.loading import Loader, Source
from queuey.storage.cassandra.groups.looking import READ
from queuey.storage.cassandra.groups.old_states import OldStates
from queuey.storage.cassandra.groups.partition_claims import after_of
from queuey.storage.cassandra.groups.tables import GroupTables, contended
from queuey.storage.group_commands import view

_MARGIN: Final = Ticks(10 * SECOND)
"""How much longer the pointer to a claim is stored than a lease that is about to be extended."""

_AT_ONCE: Final = 16
"""States that are removed at the same time."""

_PASSES: Final = 8
"""Maximum number of times that pointers are extended for one settlement."""


@implementer(IGroupStore)
class CassandraGroups:
    """The groups of a keyspace.

    :param store: the messages; ``states`` has the rows of groups, and the states that an earlier version kept.
    :param alone: the number of the period for which only this process changes states; ``None`` if others may, too.
    :param now: the wall clock.
    :param new_bytes: returns that number of random bytes.
    :param pause: lets the reactor do something else.
    """

    def __init__(
        self,
        store: IMessageStore,
        states: IStateStore,
        tables: GroupTables,
        alone: Callable[[], int | None],
        now: Callable[[], Ticks],
        new_bytes: Callable[[int], bytes],
        pause: Callable[[], Deferred[None]],
    ) -> None:
        self._store = store
        self._states = states
        self._now = now
        old = OldStates(states, new_bytes)
        loader = Loader(tables, old, new_bytes, pause)
        self._shop = Shop(tables, old, loader, alone, new_bytes, pause, now)
        self._cells = Cells(self._shop)
        self._claims = Claims(store, self._cell, now)

    @deferred
    async def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Ran:
        """See IGroupStore. Commands run one after another, except that a settlement and a claim share one transaction
        if they use the same partition first."""
        after, answers = dict[int, After](), list[Answer]()
        try:
            for command, take in _steps(commands):
                if isinstance(command, Settle) and take is not None:
                    answers += await self._settle_and_take(queue, group, terms, command, take, after)
                else:
                    answers.append(await _RUN[type(command)](self, queue, group, terms, command, after))
        except QueueyError as error:
            raise (error.after("partly") if answers else error) from None
        return Ran(tuple(answers), after)

    def follow_writes(self) -> bool:
        """See IGroupStore; a message may be claimed once it is below the stable time."""
        return False

    @deferred
    async def look(self, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> View:
        """See IGroupStore."""
        reach = await self._cell(queue, group, partition).change(lambda index: index.reach)
        no_messages = Merge((partition,), Position(reach), limit=1, max_bytes=0)
        purged = (await self._store.read_merged(queue, no_messages, READ)).purged
        return await self._cell(queue, group, partition).change(lambda index: view(index, self._now(), purged, ids))

    @deferred
    async def end(self, incarnation: int, gid: bytes, partitions: int) -> None:
        """See IGroupStore."""
        keys = [state_key(incarnation, gid, number) for number in range(1, partitions + 1)]
        for start in range(0, len(keys), _AT_ONCE):
            await _all([self._clear(key) for key in keys[start : start + _AT_ONCE]])

    @deferred
    async def _clear(self, key: str) -> None:
        self._cells.forget(key)
        await self._shop.old.remove(key)
        await remove_state(self._shop.tables, key, self._now())

    # Sources of states

    def _cell(self, queue: Queue, group: Group, partition: int) -> Cell:
        key = state_key(queue.incarnation, group.gid, partition)
        return self._cells.at(Source(key, lambda: self._stands(queue, group)))

    @deferred
    async def _stands(self, queue: Queue, group: Group) -> MessageId:
        """Return the id from which the group reads; fails with ``NoSuchGroup`` if it was deleted."""
        row = await self._states.read(group_key(queue.incarnation, group.name))
        try:
            found = None if row is None else decode_group(row.value, queue.incarnation, row.version)
        except UnreadableGroup as problem:
            raise Unavailable(str(problem)) from None
        if found is None or found.ended or found.gid != group.gid:
            raise NoSuchGroup("The queue has no group of that name.")
        return found.place

    # Commands

    async def _take(self, queue: Queue, group: Group, terms: Terms, asked: Take, after: dict[int, After]) -> Answer:
        took = await self._claims.take(queue, group, terms, asked)
        after.update(took.after)
        return took.answer

    async def _settle(self, queue: Queue, group: Group, terms: Terms, asked: Settle, after: dict[int, After]) -> Answer:
        parts: dict[int, dict[int, Settlement]] = {}
        for place, one in enumerate(asked.settlements):
            if 1 <= one.receipt.partition <= queue.settings.partitions:
                parts.setdefault(one.receipt.partition, {})[place] = one
        outcomes, marked = [Settled.INVALID] * len(asked.settlements), dict[int, int]()
        jobs = [self._settle_in(queue, group, number, terms, part) for number, part in parts.items()]
        for number, (found, marks, then) in zip(parts, await _all(jobs), strict=True):
            for place, outcome in found.items():
                outcomes[place] = outcome
            marked.update(marks)
            after[number] = then
        return SettleAnswer(tuple(outcomes), marked)

    async def _settle_and_take(
        self, queue: Queue, group: Group, terms: Terms, settle: Settle, take: Take, after: dict[int, After]
    ) -> tuple[Answer, Answer]:
        part = dict(enumerate(settle.settlements))
        took = await self._claims.take(
            queue, group, terms, take, lambda index: _settle(index, part, terms, self._now())
        )
        after.update(took.after)
        outcomes, marked = took.first
        return SettleAnswer(tuple(outcomes.values()), marked), took.answer

    @deferred
    async def _settle_in(
        self, queue: Queue, group: Group, number: int, terms: Terms, part: Mapping[int, Settlement]
    ) -> tuple[Mapping[int, Settled], Mapping[int, int], After]:
        """Settle messages of one partition, after extending the pointers to their claims beyond the new leases."""
        pointers: dict[bytes, Ticks] = {}

        def step(index: GroupIndex) -> Mapping[bytes, Ticks] | tuple[Mapping[int, Settled], Mapping[int, int], After]:
            now = self._now()
            short = {
                key: until
                for key, until in settlements.lengthened(index, part.values(), now).items()
                if pointers.get(key, 0) < until and home_of(key, queue.settings.partitions) != number
            }
            if short:
                return short
            return *_settle(index, part, terms, now), after_of(index, now)

        for _ in range(_PASSES):
            settled = await self._cell(queue, group, number).change(step)
            if isinstance(settled, tuple):
                return settled
            for key, lease in settled.items():
                pointers[key] = Ticks(lease + _MARGIN)
                await self._prolong(queue, group, key, number, pointers[key])
        raise contended()

    async def _prolong(self, queue: Queue, group: Group, key: bytes, number: int, until: Ticks) -> None:
        """Extend the time for which the pointer to a claim is stored."""

        def step(index: GroupIndex) -> None:
            claims.point(index, key, number, until, self._now())

        await self._cell(queue, group, home_of(key, queue.settings.partitions)).change(step)

    async def _give_back(
        self, queue: Queue, group: Group, terms: Terms, asked: GiveBack, after: dict[int, After]
    ) -> Answer:
        for number, taken in asked.taken:

            def step(index: GroupIndex, taken: Sequence[Taken] = taken) -> After:
                now = self._now()
                claims.give_back(index, taken, now)
                return after_of(index, now)

            after[number] = await self._cell(queue, group, number).change(step)
        return None

    async def _finish(self, queue: Queue, group: Group, terms: Terms, asked: Finish, after: dict[int, After]) -> Answer:
        def step(index: GroupIndex) -> After:
            now = self._now()
            for id, number, result in asked.ended:
                moves.finish(index, id, number, result, now)
            return after_of(index, now)

        after[asked.partition] = await self._cell(queue, group, asked.partition).change(step)
        return None

    async def _seek(self, queue: Queue, group: Group, terms: Terms, asked: Seek, after: dict[int, After]) -> Answer:
        def step(index: GroupIndex) -> bool:
            return places.is_there(index, asked.reach) or places.seek(index, asked.reach, asked.generation)

        return await self._cell(queue, group, asked.partition).change(step)

    async def _take_back(
        self, queue: Queue, group: Group, terms: Terms, asked: TakeBack, after: dict[int, After]
    ) -> Answer:
        def step(index: GroupIndex) -> tuple[Redrive, ...] | None:
            if index.last != asked.seen:
                return None
            most, now = terms.max_in_flight, self._now()
            return tuple([moves.redrive(index, one, most, now) for one in asked.letters])

        return await self._cell(queue, group, asked.partition).change(step)

    async def _reopen(self, queue: Queue, group: Group, terms: Terms, asked: Reopen, after: dict[int, After]) -> Answer:
        def step(index: GroupIndex) -> ReopenAnswer:
            places.drop(index, asked.gone)
            opened = moves.reopen(index, asked.there, terms.max_in_flight, self._now(), asked.key_hashes())
            return ReopenAnswer(len(opened), any(id in index.aside for id in asked.there))

        return await self._cell(queue, group, asked.partition).change(step)


_RUN: Final[Mapping[type, Callable[..., Any]]] = {
    Settle: CassandraGroups._settle,
    Take: CassandraGroups._take,
    GiveBack: CassandraGroups._give_back,
    Finish: CassandraGroups._finish,
    Seek: CassandraGroups._seek,
    TakeBack: CassandraGroups._take_back,
    Reopen: CassandraGroups._reopen,
}


def _steps(commands: Sequence[Command]) -> Iterator[tuple[Command, Take | None]]:
    """Commands in their order, and a settlement together with the claim after it if one transaction can store both."""
    left = deque(commands)
    while left:
        command, after = left.popleft(), left[0] if left else None
        if isinstance(command, Settle) and isinstance(after, Take) and _go_together(command, after):
            left.popleft()
            yield command, after
        else:
            yield command, None


def _go_together(settle: Settle, take: Take) -> bool:
    """Whether all of a settlement is in the partition that the claim after it begins with, and it needs no pointer."""
    first = take.partitions[0]
    some = [one.receipt.partition == first and one.action is not Action.EXTEND for one in settle.settlements]
    return take.key is None and all(some)


def _settle(
    index: GroupIndex, part: Mapping[int, Settlement], terms: Terms, now: Ticks
) -> tuple[Mapping[int, Settled], Mapping[int, int]]:
    """Settle some messages; their outcomes, and the numbers of the marks of those that are to be moved."""
    found = dict(zip(part, settlements.settle(index, part.values(), terms, now).outcomes, strict=True))
    marked = {place: index.open[part[place].receipt.id].number for place in part if found[place] is Settled.MOVING}
    return found, marked


async def _all(jobs: Sequence[Deferred[Any]]) -> list[Any]:
    """Return the results of all jobs; each runs to its end, even if another one fails."""
    if len(jobs) == 1:
        return [await jobs[0]]
    settled: list[Any] = []
    errors: list[BaseException] = []
    for fine, result in await DeferredList(jobs, consumeErrors=True):
        if fine:
            settled.append(result)
        else:
            errors.append(result.value)
    if errors:
        raise _worst(errors, bool(settled))
    return settled


def _worst(errors: Sequence[BaseException], some: bool) -> BaseException:
    """Return the error that a caller gets if several jobs failed.

    :param some: whether at least one job succeeded.
    """
    known = [error for error in errors if isinstance(error, QueueyError)]
    if len(known) < len(errors):
        return next(error for error in errors if not isinstance(error, QueueyError))
    worst = next((error for error in known if error.applied != "no"), known[0])
    if not some:
        return worst
    return Unavailable(worst.text, applied="unknown" if worst.applied == "unknown" else "partly")
