"""Claims of one partition of a group: those that wait for it are looked for together, and stored as one change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from queuey.errors import QueueyError
from queuey.interfaces import IMessageStore
from queuey.model.groups.claims import claim, repeated
from queuey.model.groups.commands import After, Share
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Claimed, Terms, Wanted
from queuey.model.messages.message import Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.cassandra.groups.cells import Cell, Change
from queuey.storage.cassandra.groups.looking import MAX_BYTES, MAX_MESSAGES, Looking, Seen

_ROUNDS: Final = 3
"""Maximum number of looks of a claim that got no message because the state changed in between."""

_PASSES: Final = 16
"""Maximum number of looks of a claim that found only messages that cannot be delivered now."""


@attrs.frozen
class Asked:
    """The parameters of one claim in one partition.

    :ivar until: its lease ends no later, since the pointer to the claim lives no longer.
    :ivar owed: whether the first message is given although it alone has more than ``max_bytes``.
    :ivar first: what is done to the state just before, and stored with the claim.
    :ivar known: whether to give only the messages of an earlier claim with the key, and no new ones.
    """

    limit: int
    lease: Ticks
    max_bytes: int
    owed: bool
    until: Ticks | None = None
    key: bytes | None = None
    first: Change[Any] | None = None
    known: bool = False


Decided = tuple[object, list[Any], list[Claimed], After, bytes]
"""The mark of the state before a change, the results of ``Asked.first``, what was claimed, and how the state is after
it, with its generation."""


@attrs.frozen
class Got:
    """The result of a claim in one partition.

    :ivar first: the result of ``Asked.first``.
    """

    claimed: Claimed
    share: Share
    after: After
    first: Any


class PartitionClaims:
    """Claims of one partition of a group; exists while there are any.

    :param now: the wall clock.
    :param on_done: is called when the last claim has ended.
    """

    def __init__(
        self,
        store: IMessageStore,
        cell: Cell,
        now: Callable[[], Ticks],
        on_done: Callable[[PartitionClaims], None],
        queue: Queue,
        group: Group,
        number: int,
        terms: Terms,
    ) -> None:
        self.queue = queue
        self.group = group
        self.number = number
        self.terms = terms
        self._cell = cell
        self._now = now
        self._on_done = on_done
        self._looking = Looking(store, queue, group, number)
        self._waiting: list[tuple[Asked, Deferred[Got]]] = []
        self._running = False

    def take(self, asked: Asked) -> Deferred[Got]:
        """Claim.

        :return: fails as ``Cell.change`` does, or with ``Unavailable``.
        """
        done: Deferred[Got] = Deferred()
        self._waiting.append((asked, done))
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._run())
        return done

    async def _run(self) -> None:
        try:
            while self._waiting:
                asked = self._next()
                results: Sequence[Got | BaseException]
                try:
                    results = await self._serve([one for one, _ in asked])
                except Exception as error:
                    results = [error] * len(asked)
                for (_, done), result in zip(asked, results, strict=True):
                    if isinstance(result, BaseException):
                        done.errback(result)
                    else:
                        done.callback(result)
        finally:
            self._running = False
            self._on_done(self)

    def _next(self) -> list[tuple[Asked, Deferred[Got]]]:
        """Return the waiting claims that are served together: as many as one look can serve."""
        asked: list[tuple[Asked, Deferred[Got]]] = []
        messages = size = 0
        for one, done in self._waiting:
            messages += one.limit
            size += one.max_bytes
            if asked and (messages > MAX_MESSAGES or size > MAX_BYTES):
                break
            asked.append((one, done))
        self._waiting = self._waiting[len(asked) :]
        return asked

    async def _serve(self, asked: Sequence[Asked]) -> Sequence[Got | BaseException]:
        rounds, passes = _ROUNDS, _PASSES
        firsts: list[Any] | None = None
        while True:
            try:
                seen, decided, now = await self._decide(asked, firsts)
            except QueueyError as error:
                if firsts is None:
                    raise
                return [error if one.first is None else error.after("partly") for one in asked]
            saw, firsts, claimed, after, generation = decided
            self._cell.seen = now
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
        got: list[Got | BaseException] = []
        for result, one in zip(firsts, claimed, strict=True):
            got.append(await self._got(one, seen, generation, after, result))
        return got

    async def _decide(self, asked: Sequence[Asked], firsts: list[Any] | None) -> tuple[Seen, Decided, Ticks]:
        """Look, and change the state by what was found; with the time after the look."""
        limit, size = sum([one.limit for one in asked]), sum([one.max_bytes for one in asked])
        first = [one.first for one in asked if one.first is not None] if firsts is None else []
        seen = await self._looking.look(self._cell, limit, size, self.terms, self._now(), first)
        now = self._now()
        return seen, await self._cell.change(self._step(asked, seen, firsts)), now

    def _step(self, asked: Sequence[Asked], seen: Seen, firsts: list[Any] | None) -> Callable[[GroupIndex], Decided]:
        def step(index: GroupIndex) -> Decided:
            saw, now = self._cell.mark(index), self._now()
            results, claimed = [] if firsts is None else firsts, []
            for one in asked:
                if firsts is None:
                    results.append(None if one.first is None else one.first(index))
                claimed.append(_claim(index, one, seen, self.terms, now))
            return saw, results, claimed, after_of(index, now), index.generation

        return step

    async def _got(
        self, claimed: Claimed, seen: Seen, generation: bytes, after: After, first: Any
    ) -> Got | BaseException:
        messages: Mapping[MessageId, Message] = seen.messages
        if claimed.again:
            try:
                messages, _, _ = await self._looking.find([one.id for one in claimed.taken])
            except QueueyError as error:
                return error
        found = tuple([messages.get(one.id) for one in claimed.taken])
        return Got(claimed, Share(self.number, generation, claimed.taken, found), after, first)

    async def has_something(self) -> bool:
        """Whether something can be claimed, as far as one can see."""
        seen = await self._looking.look(self._cell, 1, 1, self.terms, self._now())
        return bool(seen.found.present or seen.found.scanned)


def _claim(index: GroupIndex, asked: Asked, seen: Seen, terms: Terms, now: Ticks) -> Claimed:
    """Take as many messages as were asked for, and as fit."""
    lease = asked.lease
    # The lease may have ended since the caller looked, and there would be no reference to a new claim.
    if asked.known and (asked.key is None or repeated(index, asked.key, now) is None):
        return Claimed()
    if asked.until is not None:
        lease = Ticks(min(lease, asked.until - now))
        if lease <= 0:
            return Claimed()
    key = None if terms.at_most_once else asked.key
    return claim(index, Wanted(asked.limit, lease, key, asked.max_bytes, asked.owed), seen.found, terms, now)


def after_of(index: GroupIndex, now: Ticks) -> After:
    """Return when the state is due next, and whether it has moves, for the caller of a command."""
    return After(index.next_due(now), bool(index.moves))
