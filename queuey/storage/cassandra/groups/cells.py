"""Caches the states of groups. Changes of a state are batched, and appended as one row of events."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from queuey.errors import NoSuchGroup, QueueyError, Unavailable
from queuey.model.groups import events
from queuey.model.groups.entries import GENERATION, TOKEN
from queuey.model.groups.events import Closed, Event, Leased, Passed, SetAside
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.snapshot import index_of
from queuey.model.timeid import Ticks
from queuey.storage.cassandra.groups.append import Append, Step
from queuey.storage.cassandra.groups.loading import Held, Loader, Source, check_not_ended
from queuey.storage.cassandra.groups.old_states import OldStates
from queuey.storage.cassandra.groups.rewriting import Rewriter, snapshots_of
from queuey.storage.cassandra.groups.snapshots import Snapshot
from queuey.storage.cassandra.groups.tables import ENDED, NONE, GroupTables, Head, Seen, contended, unknown
from queuey.storage.cassandra.messages.writes import microseconds

_GATHERED: Final = 256
"""Steps whose events are appended as one row."""

_ROW: Final = 1 << 17
"""Bytes of events after which no further step is taken into a row."""

_ATTEMPTS: Final = 20
"""Maximum number of decisions if other processes append in between."""

T = TypeVar("T")

Change = Callable[[GroupIndex], T]
"""A change of a state: it applies events to the index, and returns a result. It is called again each time that another
front end has changed the state in between, so it must have no other effect."""


@attrs.frozen
class Shop:
    """The common parts of all cells.

    :ivar alone: the number of the period for which only this process changes states, as far as that is known; ``None``
        if others may do so too. What was cached in another period may be old.
    :ivar new_bytes: returns that number of random bytes.
    :ivar pause: lets the reactor do something else.
    :ivar now: the wall clock.
    """

    tables: GroupTables
    old: OldStates
    loader: Loader
    alone: Callable[[], int | None]
    new_bytes: Callable[[int], bytes]
    pause: Callable[[], Deferred[None]]
    now: Callable[[], Ticks]


class Cell:
    """One cached state.

    :ivar seen: the last time at which this was known to be the stored state; set by the callers that check it.
    :ivar stamp: a new number after each change of the cached index.
    """

    seen = Ticks(0)

    def __init__(self, shop: Shop, source: Source) -> None:
        self._shop = shop
        self._source = source
        self._rewriter = Rewriter(shop.tables, source.key, shop.new_bytes, shop.pause)
        self._held: Held | None = None
        self._period: int | None = None
        self._steps: list[tuple[Change[Any], Deferred[Any]]] = []
        self._running = False
        self._decided = 0
        self._deciding = False
        self.stamp = 0

    @property
    def running(self) -> bool:
        """Whether it is being changed: what is cached may have events that are not stored yet."""
        return self._running

    @property
    def size(self) -> int:
        """Messages in flight that are cached."""
        return 0 if self._held is None else len(self._held.index.open)

    async def read(self) -> GroupIndex:
        """The state as it is cached; it may be old, or may have events that are on their way.

        :return: fails as ``Source.stands`` does, or with ``Unavailable``.
        """
        held = self._held
        if held is None:
            held = await self._load()
            if self._held is None and not self._running:
                self._held = held
        return held.index

    async def _load(self) -> Held:
        period = self._shop.alone()
        held = await self._shop.loader.load(self._source)
        self._period = period
        self.stamp += 1
        return held

    def is_of(self, since: int, until: int) -> bool:
        """Whether what is cached is known to have been what is stored between two times, in ticks.

        :param until: now; what is later was seen before the clock was set back.
        """
        return self._is_alone() or since < self.seen <= until

    def mark(self, index: GroupIndex) -> object:
        """Another value after each change of the state that is cached."""
        return self.stamp, len(index.events) if self._deciding else 0

    def forget(self) -> None:
        """Read the state before it is used again."""
        if not self._running:
            self._held = None

    def change(self, step: Change[T]) -> Deferred[T]:
        """Do something to the state; it goes on though the caller cancels it.

        :return: fires with the result of the step, once its events are stored. Fails as ``Source.stands`` does, or with
            ``Unavailable``, whose ``applied`` is true.
        """
        waiting: Deferred[T] = Deferred()
        self._steps.append((step, waiting))
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._run())
        return waiting

    # One row after another

    async def _run(self) -> None:
        try:
            while self._steps:
                steps = self._steps[:_GATHERED]
                results: list[Any]
                try:
                    results = await self._carry_out([step for step, _ in steps])
                except Exception as error:
                    results = [Failure()] * (self._decided or len(steps))
                    self._undo(error)
                del self._steps[: len(results)]
                for (_, waiting), result in zip(steps, results, strict=False):
                    if not waiting.called:
                        waiting.callback(result)
        finally:
            self._running = False

    def _undo(self, error: Exception) -> None:
        """Take back what was not stored, or may not have been: in that case what is stored is followed before the state
        is used again. It is read again as a whole only if that is not enough, as others may wait for a million messages
        to be read."""
        held, self._period = self._held, None
        self.stamp += 1
        if held is None or held.head is None or not isinstance(error, Unavailable):
            self._held = None
        else:
            held.index.undo()

    async def _carry_out(self, steps: Sequence[Change[Any]]) -> list[Any]:
        """Do some steps, at least one; their results."""
        sure = self._is_alone()
        self._decided = 0
        for _ in range(_ATTEMPTS):
            held = self._held
            if held is None:
                held = await self._load()
                self._held = held
                sure = held.head is not None
            results = self._decide(held.index, steps)
            if held.index.events:
                if await self._append(held):
                    return results
            elif sure or await self._is_newest(held):
                return results
            sure = True
        raise contended()

    def _decide(self, index: GroupIndex, steps: Sequence[Change[Any]]) -> list[Any]:
        results: list[Any] = []
        weight = counted = 0
        self._deciding = True
        try:
            for step in steps:
                results.append(step(index))
                weight += sum(map(_weight, index.events[counted:]))
                counted = len(index.events)
                if weight > _ROW:
                    break
        finally:
            self._deciding = False
        self.stamp += bool(counted)
        self._decided = len(results)
        return results

    async def _append(self, held: Held) -> bool:
        """Store the events of the index; if others have appended something meanwhile, undo them, and follow."""
        index, before = held.index, held.head
        head: Head | None
        if before is not None:
            head = self._rewriter.next_head(held)
        else:
            snapshot = await self._convert(held)
            if snapshot is None:
                self._held = None
                self.stamp += 1
                return False
            head = Head(1, 0, snapshot, NONE)
        data = events.encode([*held.first, *index.events])
        found = await self._try(held, data, head)
        if found is not None:
            self._overtaken(held, found)
            return False
        held.head = head if head is not None or before is None else attrs.evolve(before, version=before.version + 1)
        held.weight += len(data)
        first, held.first = held.first, ()
        index.stored()
        if before is None:
            await self._made(held, first)
        elif head is not None:
            self._rewriter.appended(before, held)
        return True

    async def _try(self, held: Held, data: bytes, head: Head | None) -> Seen | None:
        """Append a row; see ``append``. ``None``: it was appended, else what is stored instead."""
        key, tables = self._source.key, self._shop.tables
        attempt, found = Append(held.version, self._shop.new_bytes(TOKEN)), Seen(None)
        problem: Unavailable = contended()
        while True:
            try:
                if attempt.step is Step.APPEND:
                    attempt = attempt.answered(await tables.append(key, attempt.seen, attempt.token, data, head))
                else:
                    found = await self._since(attempt.seen)
                    attempt = attempt.read(found)
            except Unavailable as error:
                problem = error
                lost = attempt.step is Step.APPEND and error.applied != "no"
                attempt = attempt.answered(None) if lost else attempt.failed()
            if attempt.step is Step.APPENDED:
                return None
            if attempt.step in (Step.OVERTAKEN, Step.ENDED):
                return found
            if attempt.step is Step.UNKNOWN:
                raise unknown()
            if attempt.step is Step.FAILED:
                raise Unavailable(problem.text, applied="no", retry_after=problem.retry_after)

    def _since(self, version: int | None) -> Deferred[Seen]:
        return Deferred.fromCoroutine(self._shop.loader.since(self._source.key, version or 1))

    def _overtaken(self, held: Held, found: Seen) -> None:
        """Take the events back, and apply what others have appended; the state is read again if that is not enough."""
        held.index.undo()
        self.stamp += 1
        self._follow(held, found)

    def _follow(self, held: Held, found: Seen) -> None:
        """Apply what others have appended; the state is read again if that is not enough, or cannot be done."""
        self._held = None
        if found.head is not None:
            check_not_ended(found.head)
        if held.follow(found):
            self._held = held

    async def _is_newest(self, held: Held) -> bool:
        """Whether what is cached is what is stored; if not, it is afterwards, or is read again."""
        period = self._shop.alone()
        if held.version is None:
            if await self._shop.loader.begins_so(self._source.key, held):
                self._period = period
                return True
            self._held = None
        else:
            found = await self._since(held.version)
            if found.head is not None and found.head.version == held.version:
                self._period = period
                return True
            self._follow(held, found)
        self.stamp += 1
        return False

    # The first row

    async def _convert(self, held: Held) -> bytes | None:
        """Write a snapshot of a state that an earlier version stored. Return its id, ``NONE`` if there is no such
        state, or ``None`` if it was changed meanwhile. All front ends write the same snapshot, under the same id."""
        old = held.old
        if old is None:
            return NONE
        if not old.fenced and not await self._shop.old.fence(self._source.key, old):
            return None
        snapshot = Snapshot(index_of(old.state))
        id = hashlib.blake2b(self._source.key.encode(), digest_size=TOKEN).digest()
        for number in range(snapshot.chunks):
            await self._shop.tables.put_chunk(id, number, snapshot.chunk(number))
        return id

    async def _made(self, held: Held, first: Sequence[Event]) -> None:
        """Empty the old value of a state that has rows now; take a new state back if its group was deleted.

        :param first: the events that came before all others.
        """
        old, held.old = held.old, None
        if old is not None:
            with suppress(Unavailable):  # it counts no more, and is removed with the group
                await self._shop.old.retire(self._source.key)
            return
        try:
            await self._source.stands()
        except QueueyError as error:
            self._held = None
            try:
                if isinstance(error, NoSuchGroup):
                    await remove_state(self._shop.tables, self._source.key, self._shop.now())
                elif not await self._begin_again(held, first):
                    raise unknown() from None
            except QueueyError:
                raise unknown() from None
            raise error from None

    async def _begin_again(self, held: Held, first: Sequence[Event]) -> bool:
        """Undo the first row by one after it: no version may ever come twice, since others may have seen it."""
        if held.index.moves:
            return False
        again = [msgspec.structs.replace(one, generation=self._shop.new_bytes(GENERATION)) for one in first]
        token = self._shop.new_bytes(TOKEN)
        return await self._shop.tables.append(self._source.key, held.version, token, events.encode(again))

    def _is_alone(self) -> bool:
        """Return whether this front end was alone since it read the state, so that no other can have changed it."""
        period = self._shop.alone()
        return period is not None and period == self._period


async def remove_state(tables: GroupTables, key: str, now: Ticks) -> None:
    """Remove all rows of a state, and keep it from beginning again."""
    for _ in range(_ATTEMPTS):
        head = (await tables.newest(key)).head
        if head is None:
            return
        if head.version != ENDED:
            try:
                await tables.end(key, head)
            except Unavailable as error:
                if error.applied == "no":
                    raise
            continue
        await tables.clear(key, microseconds(now))
        for id in snapshots_of(head):
            await tables.drop_snapshot(id)
        return
    raise contended()


def _weight(event: Event) -> int:
    """About how many bytes an event takes."""
    if isinstance(event, Leased | Closed | SetAside | Passed):
        return 32 + 24 * len(event.ids)
    return 128
