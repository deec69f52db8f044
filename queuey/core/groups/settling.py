"""Settlements: what becomes of the messages that were claimed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs
from twisted.internet.defer import Deferred, DeferredList

from queuey.core.groups.claiming import Claims, home_of
from queuey.core.groups.values import Settling
from queuey.deferreds import deferred
from queuey.errors import QueueyError, Unavailable
from queuey.model import group as rules
from queuey.model.group import Action, Outcome, Settlement, Terms
from queuey.model.group_settings import Group
from queuey.model.group_state import MARKED, GroupState
from queuey.model.queue import Queue
from queuey.model.receipts import Receipts
from queuey.model.timeid import SECOND, MessageId, Ticks

_PASSES: Final = 32
"""How often moves are finished for one request, so that there is room for more of them."""


_MARGIN: Final = Ticks(10 * SECOND)
"""How much longer than a lease that is about to be extended the pointer to its claim lives."""


@attrs.frozen
class Settlements:
    """Settlements of all groups.

    :ivar now: the wall clock.
    """

    claims: Claims
    now: Callable[[], Ticks]

    @deferred
    async def settle(self, queue: Queue, group: Group, settlings: Sequence[Settling]) -> tuple[Outcome, ...]:
        """Settle messages, in all their partitions at once.

        :return: fires with what became of each, in their order. Fails as a change of a state does; ``applied`` of the
            error is about all of them.
        """
        receipts = Receipts(group.secret)
        outcomes = [Outcome.INVALID] * len(settlings)
        parts: dict[int, dict[int, Settlement]] = {}
        for place, one in enumerate(settlings):
            receipt = receipts.parse(one.receipt, queue.incarnation)
            if receipt is not None:
                settlement = Settlement(one.action, receipt, _span(one, group), one.reason)
                parts.setdefault(receipt.partition, {})[place] = settlement
        if not parts:
            return tuple(outcomes)
        terms = await self.claims.directory.terms(queue, group)
        jobs = [_Part(self, queue, group, number, terms, part).settle() for number, part in parts.items()]
        for settled in await _all(jobs):
            for place, outcome in settled.items():
                outcomes[place] = outcome
        return tuple(outcomes)


@attrs.frozen
class _Done:
    """What came of settlements of one partition.

    :ivar state: as it was right after them.
    :ivar keys: of claims the pointers to which have to live longer first, and until when; nothing was settled then.
    """

    state: GroupState
    outcomes: Sequence[Outcome]
    keys: Mapping[bytes, Ticks]


@attrs.define(eq=False)
class _Part:
    """The settlements of one partition.

    :ivar left: what is not settled yet, by the places in the request.
    :ivar pointers: until when those to claims under a key live, as far as they had to be told.
    """

    _settlements: Settlements
    _queue: Queue
    _group: Group
    _number: int
    _terms: Terms
    _left: dict[int, Settlement]
    _outcomes: dict[int, Outcome] = attrs.field(factory=dict, init=False)
    _pointers: dict[bytes, Ticks] = attrs.field(factory=dict, init=False)

    @deferred
    async def settle(self) -> Mapping[int, Outcome]:
        """Settle all of them; those that are moves are carried out.

        :return: fires with the outcomes by the places in the request.
        """
        claims, applied = self._settlements.claims, "no"
        cell = claims.cell(self._queue, self._group, self._number)
        try:
            for _ in range(_PASSES):
                done = await cell.change(self._step)
                if done.keys:
                    await self._prolong(done.keys)
                    continue
                applied = "yes"
                claims.lines.changed(self._group, self._number, done.state)
                marks = self._sort_out(done)
                if marks or self._left:
                    await claims.finish_moves(self._queue, self._group, self._number, cell)
                    self._look_after(marks, await cell.read())
                if not self._left:
                    break
            else:
                raise Unavailable("Too many messages are on their way to dead-letter queues.")
        except QueueyError as error:
            raise error if applied == "no" else _partly(error) from None
        finally:
            claims.lines.tell(self._group, self._number)
        return self._outcomes

    def _step(self, state: GroupState) -> tuple[GroupState, _Done]:
        settled = rules.settle(state, self._left.values(), self._terms, self._settlements.now())
        short = {
            key: until
            for key, until in settled.keys.items()
            if self._pointers.get(key, 0) < until and home_of(key, self._queue) != self._number
        }
        if short:
            return state, _Done(state, (), short)
        return settled.state, _Done(settled.state, settled.outcomes, {})

    def _sort_out(self, done: _Done) -> Mapping[int, tuple[MessageId, int]]:
        """Note what is settled; the ids of messages that are being moved, and the numbers of their marks."""
        marks: dict[int, tuple[MessageId, int]] = {}
        later: dict[int, Settlement] = {}
        for (place, one), outcome in zip(self._left.items(), done.outcomes, strict=True):
            if outcome is Outcome.MOVING:
                marks[place] = one.receipt.id, done.state.open[one.receipt.id].number
            elif outcome is Outcome.LATER:
                later[place] = one
            else:
                self._outcomes[place] = outcome
        self._left = later
        return marks

    def _look_after(self, marks: Mapping[int, tuple[MessageId, int]], state: GroupState) -> None:
        """Note what became of moves."""
        for place, (id, number) in marks.items():
            entry = state.open.get(id)
            if entry is not None and entry.kind == MARKED and entry.number == number:
                raise Unavailable("The dead-letter queue could not be written to; that will be tried again.")
            back = entry is not None and entry.setbacks
            self._outcomes[place] = Outcome.RETRYING if back else Outcome.DEAD_LETTERED

    async def _prolong(self, keys: Mapping[bytes, Ticks]) -> None:
        """Let the pointers to claims live as long as those will; a little longer, since the extension takes time."""
        now = self._settlements.now
        for key, lease in keys.items():
            until = Ticks(lease + _MARGIN)

            def step(state: GroupState, key: bytes = key, until: Ticks = until) -> tuple[GroupState, None]:
                return rules.point(state, key, self._number, until, now()).state, None

            home = home_of(key, self._queue)
            await self._settlements.claims.cell(self._queue, self._group, home).change(step)
            self._pointers[key] = until


def _span(one: Settling, group: Group) -> Ticks:
    seconds = one.span
    if seconds is None:
        seconds = group.settings.lease if one.action is Action.EXTEND else 0
    return Ticks(round(seconds * SECOND))


def _partly(error: QueueyError) -> Unavailable:
    """The error of what was done in part."""
    return Unavailable(error.text, applied="unknown" if error.applied == "unknown" else "partly")


async def _all(jobs: Sequence[Deferred[Mapping[int, Outcome]]]) -> Sequence[Mapping[int, Outcome]]:
    """The results of all jobs, each of which goes on though another one fails."""
    if len(jobs) == 1:
        return [await jobs[0]]
    settled: list[Mapping[int, Outcome]] = []
    errors: list[BaseException] = []
    for fine, result in await DeferredList(jobs, consumeErrors=True):
        if fine:
            settled.append(result)
        else:
            errors.append(result.value)  # type: ignore[attr-defined]
    if errors:
        raise _worst(errors, bool(settled))
    return settled


def _worst(errors: Sequence[BaseException], some: bool) -> BaseException:
    """One error for several.

    :param some: whether others went well.
    """
    known = [error for error in errors if isinstance(error, QueueyError)]
    if len(known) < len(errors):
        return next(error for error in errors if not isinstance(error, QueueyError))
    worst = next((error for error in known if error.applied != "no"), known[0])
    return _partly(worst) if some else worst
