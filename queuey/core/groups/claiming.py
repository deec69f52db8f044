"""Claims: messages are leased to a worker, and released again if the worker cannot receive the answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from queuey.core.activity import ACKED, QueueCounts
from queuey.core.groups.dead_letters import DeadLetters
from queuey.core.groups.directory import GroupDirectory
from queuey.core.groups.values import Claiming, Delivered, Delivery
from queuey.core.groups.wait_queue import May, WaitQueues
from queuey.deferreds import KeyedLock, shield
from queuey.errors import KeyReused, QueueyError
from queuey.interfaces import IGroupStore
from queuey.model.groups.commands import Command, GiveBack, Ran, Settle, SettleAnswer, Take, TakeAnswer
from queuey.model.groups.receipts import Receipts
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Outcome, Terms, applied_by
from queuey.model.queues.queue import Queue
from queuey.model.timeid import SECOND, Ticks


class Claims:
    """Executes the claims of all groups.

    :param wait_queues: the wait queues of claims; they are informed when the next messages fall due.
    :param activity: counts acknowledged messages.
    """

    def __init__(
        self,
        groups: IGroupStore,
        directory: GroupDirectory,
        moves: DeadLetters,
        wait_queues: WaitQueues,
        activity: QueueCounts,
    ) -> None:
        self._activity = activity
        self.groups = groups
        self.directory = directory
        self.wait_queues = wait_queues
        self._moves = moves
        self._moving: set[tuple[bytes, int]] = set()
        self._turns = KeyedLock()
        self._begun = count()

    def settled(self, queue: Queue, outcomes: Sequence[Outcome]) -> None:
        """Count the messages that were acknowledged, by the outcomes that the store has returned."""
        number = outcomes.count(Outcome.ACKED)
        if number:
            self._activity.count((queue.application, queue.name), ACKED, number)

    async def take(
        self,
        queue: Queue,
        group: Group,
        claiming: Claiming,
        partitions: tuple[int, ...],
        may: May | None = None,
        first: Settle | None = None,
    ) -> Delivered:
        """Claim messages of some partitions, once. If the claim is cancelled, the messages that it took are released,
        unless it has a key.

        :param may: checks the caller's access after messages were taken; if it raises, they are released.
        :param first: settlements that are stored together with the claim.
        :return: the claimed messages, possibly none, with ``settled`` if ``first`` was given. Fails as
            ``IGroupStore.run`` does, and with ``KeyReused``.
        """
        terms = self.directory.cached_terms(queue, group) or await self.directory.terms(queue, group)
        lease = group.settings.lease if claiming.lease is None else claiming.lease
        if len(partitions) > 1:
            partitions = self._in_turn(partitions)
        take = Take(partitions, claiming.limit, Ticks(lease * SECOND), claiming.max_bytes, claiming.key, claiming.known)
        ran = await self._run(queue, group, terms, (take,) if first is None else (first, take))
        settled: SettleAnswer | None = None if first is None else ran.answers[0]  # type: ignore[assignment]
        got: TakeAnswer = ran.answers[-1]  # type: ignore[assignment]
        after = ran.after
        if not got.shares and not got.again:
            moving = [number for number in partitions if number in after and after[number].moving]
            unkeyed = got.full and claiming.key_optional
            if unkeyed:
                take = msgspec.structs.replace(take, key=None)
            if unkeyed or (moving and await self._moved(queue, group, moving)):
                try:
                    again = await self._run(queue, group, terms, (take,))
                except QueueyError as error:
                    raise _after(settled, error) from None
                got = again.answers[-1]  # type: ignore[assignment]
                after = {**after, **again.after}
        else:
            for number in after:
                if after[number].moving:
                    self._begin_moves(queue, group, number)
        if got.reused:
            raise _after(settled, KeyReused("The Idempotency-Key was used for another claim with a lease in force."))
        self.wait_queues.changed(group, after)
        if may is not None and got.shares:
            try:
                await may()
            except BaseException:
                self._give_back(queue, group, take, got)
                raise
        return Delivered(_deliveries(queue, group, lease, got), got.blocked, (), settled)

    def _in_turn(self, partitions: tuple[int, ...]) -> tuple[int, ...]:
        """Return the partitions, rotated by one more place at each call, so that claims do not all prefer the first
        one."""
        first = next(self._begun) % len(partitions)
        return (*partitions[first:], *partitions[:first])

    def _run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """Run commands that end with a claim; if the caller cancels, release what the claim takes."""
        answer: Deferred[Ran] = Deferred()

        def ran(result: Ran) -> None:
            if not answer.called:
                answer.callback(result)
                return
            take, got = commands[-1], result.answers[-1]
            assert isinstance(take, Take)
            assert isinstance(got, TakeAnswer)
            self._give_back(queue, group, take, got)

        def on_error(failure: Failure) -> None:
            if not answer.called:
                answer.errback(failure)

        self.groups.run(queue, group, terms, commands).addCallbacks(ran, on_error)
        return answer

    def _give_back(self, queue: Queue, group: Group, take: Take, got: TakeAnswer) -> None:
        """Release the messages of a claim whose answer cannot be delivered. With a key, the retried request returns
        them instead."""
        taken = tuple([(share.partition, share.taken) for share in got.shares if share.taken[0].number])
        if take.key is not None or not taken:
            return

        def done(ran: Ran) -> None:
            self.wait_queues.tell(group, frozenset(ran.after))

        self.groups.run(queue, group, Terms(), (GiveBack(taken),)).addCallback(done).addErrback(_passed_over)

    # Moves

    def finish_moves(self, queue: Queue, group: Group, partition: int) -> Deferred[None]:
        """Carry out the moves that are marked in a partition; calls for the same partition run one after another.

        :return: fires when all of them are done. Fails with ``Unavailable``.
        """

        def done(result: Failure | None) -> Failure | None:
            self.wait_queues.tell(group, {partition})
            return result

        carry_out = self._moves.carry_out
        turn = self._turns.take((group.gid, partition), lambda: shield(carry_out(queue, group, partition)))
        return turn.addBoth(done)

    async def _moved(self, queue: Queue, group: Group, partitions: Sequence[int]) -> bool:
        """Carry out the moves that are marked in some partitions; return whether it succeeded for at least one
        partition."""
        done = False
        for partition in partitions:
            try:
                await self.finish_moves(queue, group, partition)
            except QueueyError:
                continue
            done = True
        return done

    def _begin_moves(self, queue: Queue, group: Group, number: int) -> None:
        """Start the marked moves of a partition in the background, unless that is already running."""
        place = (group.gid, number)
        if place not in self._moving:
            self._moving.add(place)
            moving = self.finish_moves(queue, group, number).addErrback(_passed_over)
            moving.addBoth(self._moves_over, place)

    def _moves_over(self, _: object, place: tuple[bytes, int]) -> None:
        self._moving.discard(place)


def _after(settled: SettleAnswer | None, error: QueueyError) -> QueueyError:
    """Return the error of a claim that fails after its settlements were stored."""
    return error if settled is None else error.after(applied_by(settled.outcomes))


def _passed_over(failure: Failure) -> None:
    """Ignore an error: a lease ends by itself, and the next claim starts the moves again."""
    failure.trap(QueueyError)


def _deliveries(queue: Queue, group: Group, lease: int, got: TakeAnswer) -> tuple[Delivery, ...]:
    """Convert what the store returned for a claim to deliveries, oldest first.

    :param lease: in seconds.
    """
    receipts, found = Receipts(group.secret), list[Delivery]()
    for share in got.shares:
        leases = [(one.id, one.number) for one in share.taken]
        texts = receipts.texts(queue.incarnation, share.generation, share.partition, leases)
        for one, message, text in zip(share.taken, share.messages, texts, strict=True):
            if message is None:
                continue
            if one.number:
                found.append(Delivery(message, text, one.deliveries, lease, one.until))
            else:
                found.append(Delivery(message, None, one.deliveries, 0, None))
    if len(got.shares) > 1:
        found.sort(key=lambda delivery: (delivery.message.id, delivery.message.partition))
    return tuple(found)
