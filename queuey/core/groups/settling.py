"""Settlement of claimed messages: acks, retries, rejections and extensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Final

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from queuey.core.groups.claiming import Claims
from queuey.core.groups.values import Claiming, Delivered, Settling
from queuey.deferreds import shield
from queuey.errors import QueueyError, Unavailable
from queuey.model.groups.commands import Ran, Settle, SettleAnswer
from queuey.model.groups.receipts import Receipts
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import NOW, Action, Outcome, Settlement, Terms
from queuey.model.queues.queue import Queue
from queuey.model.timeid import SECOND, Ticks

_PASSES: Final = 32
"""Number of passes for one request: a partition holds a limited number of marked moves, so they are carried out in
between."""


_IN_PART: Final = frozenset((Outcome.MOVING, Outcome.LATER))
"""Outcomes that are not final."""


@attrs.define(eq=False)
class Settlements:
    """The settlements of one request.

    :ivar outcomes: of all settlements, in the order of the request.
    :ivar left: the settlements that are still to be stored, by their index in the request.
    :ivar touched: the partitions of all settlements.
    :ivar moving: as ``left``, the settlements whose messages are being moved.
    """

    outcomes: list[Outcome]
    left: dict[int, Settlement]
    touched: Set[int]
    moving: dict[int, Settlement] = attrs.field(factory=dict)

    def command(self) -> Settle:
        """Return the store command for the settlements that are left."""
        return Settle(tuple(self.left.values()))

    def settled(self, answer: SettleAnswer) -> tuple[Outcome, ...]:
        """Return all outcomes, given the store's final answer to what is left."""
        if len(answer.outcomes) == len(self.outcomes):
            return answer.outcomes
        for place, outcome in zip(self.left, answer.outcomes, strict=True):
            self.outcomes[place] = outcome
        return tuple(self.outcomes)


def read(queue: Queue, group: Group, settlings: Sequence[Settling]) -> Settlements:
    """Parse the receipts of settlements; a receipt that does not belong to this group has the outcome ``INVALID``."""
    receipts = Receipts(group.secret).parse([one.receipt for one in settlings], queue.incarnation)
    outcomes = [Outcome.INVALID] * len(settlings)
    found: dict[int, Settlement] = {}
    touched, ack = set[int](), Action.ACK  # Python takes 0.1 µs to find a member of an enumeration
    for place, (one, receipt) in enumerate(zip(settlings, receipts, strict=True)):
        if receipt is not None:
            span = NOW if one.action is ack else _span(one, group)
            found[place] = Settlement(one.action, receipt, span, one.reason, one.live)
            touched.add(receipt.partition)
    return Settlements(outcomes, found, touched)


def settle(claims: Claims, queue: Queue, group: Group, settlings: Sequence[Settling]) -> Deferred[tuple[Outcome, ...]]:
    """Settle messages, in all their partitions at once. Cancelling the result does not stop the settlements.

    :return: fires with the outcome of each settlement, in the same order. Fails as ``IGroupStore.run`` does;
        ``applied`` of the error describes all of them.
    """
    asked = read(queue, group, settlings)
    if not asked.left:
        return succeed(tuple(asked.outcomes))
    terms = claims.directory.cached_terms(queue, group)
    if terms is None:
        return shield(Deferred.fromCoroutine(_settle_on_terms(claims, queue, group, asked)))
    return _settle(claims, queue, group, terms, asked)


async def _settle_on_terms(claims: Claims, queue: Queue, group: Group, asked: Settlements) -> tuple[Outcome, ...]:
    terms = await claims.directory.terms(queue, group)
    return await _settle(claims, queue, group, terms, asked)


def _settle(
    claims: Claims, queue: Queue, group: Group, terms: Terms, asked: Settlements
) -> Deferred[tuple[Outcome, ...]]:
    answer: Deferred[tuple[Outcome, ...]] = Deferred()

    def ran(result: Ran) -> None:
        try:
            got: SettleAnswer = result.answers[0]  # type: ignore[assignment]
            if _IN_PART.isdisjoint(got.outcomes):
                claims.settled(queue, got.outcomes)
                claims.wait_queues.changed(group, result.after, asked.touched, len(asked.outcomes))
                if not answer.called:
                    answer.callback(asked.settled(got))
            else:
                claims.wait_queues.changed(group, result.after)
                finishing = finished(claims, queue, group, terms, asked, got)
                Deferred.fromCoroutine(finishing).addBoth(on_done)
        except Exception:
            on_done(Failure())  # the caller waits without a limit of its own

    def on_done(result: tuple[Outcome, ...] | Failure) -> None:
        claims.wait_queues.tell(group, asked.touched, len(asked.outcomes))
        if not answer.called:
            answer.callback(result)

    claims.groups.run(queue, group, terms, (asked.command(),)).addCallbacks(ran, on_done)
    return answer


async def settle_and_take(
    claims: Claims, queue: Queue, group: Group, claiming: Claiming, partitions: tuple[int, ...]
) -> Delivered:
    """Settle messages and claim others in one call of the store.

    :return: the claimed messages, with the outcome of each settlement. Fails as ``Claims.take`` does; the settlements
        may be stored even then, as ``applied`` of the error says.
    """
    asked = read(queue, group, claiming.settlings or ())
    if not asked.left:
        delivered = await claims.take(queue, group, claiming, partitions)
        return Delivered(delivered.deliveries, delivered.blocked, tuple(asked.outcomes))
    try:
        delivered = await claims.take(queue, group, claiming, partitions, first=asked.command())
        answer = delivered.settled
        assert answer is not None
        if _IN_PART.isdisjoint(answer.outcomes):
            claims.settled(queue, answer.outcomes)
            outcomes = asked.settled(answer)
        else:
            terms = await claims.directory.terms(queue, group)
            outcomes = await finished(claims, queue, group, terms, asked, answer)
    finally:
        claims.wait_queues.tell(group, asked.touched, len(asked.outcomes))
    return Delivered(delivered.deliveries, delivered.blocked, outcomes)


async def finished(
    claims: Claims, queue: Queue, group: Group, terms: Terms, asked: Settlements, answer: SettleAnswer
) -> tuple[Outcome, ...]:
    """Carry out the moves that settlements marked, and store the settlements that had to wait for room."""
    try:
        for left in reversed(range(_PASSES)):
            claims.settled(queue, answer.outcomes)
            marks, later = _sort_out(asked, answer)
            for number in {*marks, *later}:
                await claims.finish_moves(queue, group, number)
                if number in marks:
                    await _look_after(claims, queue, group, number, marks[number], asked)
            if not asked.left:
                return tuple(asked.outcomes)
            if not left:
                break
            ran = await claims.groups.run(queue, group, terms, (asked.command(),))
            claims.wait_queues.changed(group, ran.after)
            (answer,) = ran.answers  # type: ignore[assignment]
        raise Unavailable("Too many messages are being moved to dead-letter queues.")
    except QueueyError as error:
        raise _partly(error) from None


def _sort_out(asked: Settlements, answer: SettleAnswer) -> tuple[Mapping[int, Mapping[int, int]], set[int]]:
    """Store the outcomes of the settlements that were stored.

    :return: by partition, the mark numbers by index in the request; and the partitions that had no room for more moves.
    """
    marks: dict[int, dict[int, int]] = {}
    later: dict[int, Settlement] = {}
    for at, (place, one) in enumerate(asked.left.items()):
        outcome = answer.outcomes[at]
        asked.outcomes[place] = outcome
        if outcome is Outcome.MOVING:
            marks.setdefault(one.receipt.partition, {})[place] = answer.marked[at]
        elif outcome is Outcome.LATER:
            later[place] = one
    asked_before, asked.left = asked.left, later
    asked.moving = {place: asked_before[place] for part in marks.values() for place in part}
    return marks, {one.receipt.partition for one in later.values()}


async def _look_after(
    claims: Claims, queue: Queue, group: Group, number: int, marks: Mapping[int, int], asked: Settlements
) -> None:
    """Store the outcomes of the settlements whose messages were moved."""
    ids = {place: asked.moving[place].receipt.id for place in marks}
    view = await claims.groups.look(queue, group, number, tuple(ids.values()))
    moving = {(mark.id, mark.number) for mark in view.marks}
    for place, mark in marks.items():
        if (ids[place], mark) in moving:
            raise Unavailable("The dead-letter queue could not be written to; the write will be retried.")
        entry = view.open.get(ids[place])
        back = entry is not None and entry.setbacks
        asked.outcomes[place] = Outcome.RETRYING if back else Outcome.DEAD_LETTERED


def _span(one: Settling, group: Group) -> Ticks:
    seconds = one.span
    if seconds is None:
        seconds = group.settings.lease if one.action is Action.EXTEND else 0
    return Ticks(round(seconds * SECOND))


def _partly(error: QueueyError) -> Unavailable:
    """Return the error for a request that was stored in part."""
    return Unavailable(error.text, applied="unknown" if error.applied == "unknown" else "partly")
