"""Moves of messages to a dead-letter queue and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from queuey.core.activity import STORED, QueueCounts
from queuey.core.groups.rows import in_parallel
from queuey.core.groups.values import WhyLeft
from queuey.core.waiting import Waits
from queuey.deferreds import deferred, shield
from queuey.errors import (
    BodyTooLarge,
    KeyInUse,
    NoSuchQueue,
    NotPromised,
    QueueClosed,
    QueueyError,
    StorageFull,
    Unavailable,
)
from queuey.interfaces import IPolicies, IStore
from queuey.model.applications.policy import Ack
from queuey.model.groups.commands import Finish, Mark
from queuey.model.groups.entries import In, Out, Target
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Result, Terms
from queuey.model.messages.dead_letter_headers import (
    Letter,
    copy_for,
    copy_key,
    dead_letter,
    is_only_for_another,
    letter_key,
)
from queuey.model.messages.message import Address, Content, Message, NewMessage
from queuey.model.messages.once import Once
from queuey.model.queues.queue import Consistency, Queue
from queuey.model.timeid import MessageId

_REFUSED: Final = (BodyTooLarge, NotPromised, QueueClosed, StorageFull)
"""The errors of an append that concern one message: it stays where it is, and the work goes on with the others."""

_WHY: Final[Mapping[type[QueueyError], WhyLeft]] = {
    BodyTooLarge: WhyLeft.TOO_LARGE,
    NotPromised: WhyLeft.NOT_PROMISED,
    QueueClosed: WhyLeft.QUEUE_CLOSED,
    StorageFull: WhyLeft.STORAGE_FULL,
}


def is_for_others(message: Message, gid: bytes) -> bool:
    """Return whether a message is a copy for another group only, so that this group skips it."""
    return is_only_for_another(message.content, gid)


class DeadLetters:
    """Carries out the moves that are marked in states. Every step is idempotent: several processes may do it at the
    same time.

    :param waits: wakes the readers that wait for the queue when a message is appended.
    :param activity: counts the messages that are appended.
    """

    def __init__(self, store: IStore, policies: IPolicies, waits: Waits, activity: QueueCounts) -> None:
        self._activity = activity
        self._store = store
        self._policies = policies
        self._waits = waits

    @deferred
    async def carry_out(self, queue: Queue, group: Group, partition: int) -> None:
        """Carry out all moves that are marked in a partition.

        :return: fails, after all moves were attempted, with the first error: ``Unavailable``, also if another process
            is carrying out the same move.
        """
        marked = (await self._store.groups.look(queue, group, partition)).marks
        if not marked:
            return
        ended: dict[MessageId, tuple[MessageId, int, Result]] = {}
        problems: list[QueueyError] = []

        @deferred
        async def carry(one: Mark) -> None:
            try:
                ended[one.id] = one.id, one.number, await self._write(queue, group, partition, one)
            except QueueyError as problem:
                problems.append(problem)

        await in_parallel(marked, carry)
        if ended:
            finish = Finish(partition, tuple(ended.values()))
            await self._store.groups.run(queue, group, Terms(), (finish,))
        if problems:
            raise problems[0]

    async def _write(self, queue: Queue, group: Group, partition: int, one: Mark) -> Result:
        """Carry out one move: append to the other queue, or remove from it."""
        address = Address(partition, one.id)
        if isinstance(one.move, Out):
            return await self._out(queue, group, address, one, one.move)
        return await self._in(queue, group, address, one.move)

    async def _out(self, queue: Queue, group: Group, address: Address, one: Mark, move: Out) -> Result:
        original = await self.find_one(queue, address)
        if original is None:
            return Result.GONE
        to = await self.target(queue.application, move.target)
        if to is None:
            return Result.MISSING
        letter = Letter(queue.name, address, group.name, group.gid, one.deliveries, move.reason)
        key = letter_key(group.gid, address, one.number)
        place = (address.partition - 1) % to.settings.partitions + 1
        try:
            await self._append(to, place, dead_letter(original.content, letter), key)
        except (NoSuchQueue, *_REFUSED):
            return Result.MISSING  # it cannot be written now: the message stays in the group and is retried later
        return Result.DONE

    async def _in(self, queue: Queue, group: Group, address: Address, move: In) -> Result:
        source = await self.target(queue.application, move.source)
        place = Address(move.partition, move.letter)
        letter = None if source is None else await self.find_one(source, place)
        if source is None or letter is None:
            return Result.DONE  # the process that removed it made the message deliverable
        if await self.find_one(queue, address) is None:
            if await self.copy(queue, group, address.partition, source, letter) is not None:
                return Result.GONE  # the dead letter stays where it is
            await self.remove(source, (place,))
            return Result.GONE
        await self.remove(source, (place,))
        return Result.DONE

    # Helpers of moves and of redrives

    async def target(self, application: str, target: Target) -> Queue | None:
        """Return the queue with that name and incarnation, or ``None`` if it was deleted."""
        (found,) = await self._store.describe(application, (target.name,))
        return found if found is not None and found.incarnation == target.incarnation else None

    async def find_one(self, queue: Queue, address: Address) -> Message | None:
        """Return the message at an address, or ``None``."""
        return (await self.find(queue, (address,))).get(address)

    async def find(self, queue: Queue, addresses: Iterable[Address]) -> Mapping[Address, Message]:
        """Return the messages at some addresses; the caller limits their number so that all fit into memory.

        It reads from a majority even if the queue's consistency is weak, because a message that is not found counts as
        deleted.
        """
        rest: Sequence[Address] | None = tuple(addresses)
        found: dict[Address, Message] = {}
        while rest:
            slice = await self._store.lookup(queue, rest, Ack.MAJORITY)
            found.update((Address(message.partition, message.id), message) for message in slice.messages)
            rest = slice.rest
        return found

    async def copy(self, queue: Queue, group: Group, partition: int, source: Queue, letter: Message) -> WhyLeft | None:
        """Append a copy of a dead letter that only this group receives, because the original message no longer exists.

        :param partition: the partition of the original message.
        :param source: the dead-letter queue.
        :return: why no copy can be stored; ``None`` if it was stored.
        """
        weak = queue.settings.consistency is Consistency.WEAK
        key = copy_key(group.gid, source.incarnation, Address(letter.partition, letter.id))
        try:
            await self._append(queue, partition, copy_for(letter.content, group.gid), None if weak else key)
        except _REFUSED as error:
            return _WHY[type(error)]
        return None

    async def _append(self, queue: Queue, partition: int, content: Content, key: bytes | None) -> None:
        """Append a message with the default lifetime of its queue.

        :param key: makes the append idempotent; ``None`` if the queue cannot guarantee that.
        """
        policy = await self._policies.policy_for(queue.application)
        terms, ttl = policy.write_terms(queue.settings.consistency), queue.settings.ttl or policy.ttl
        new = NewMessage(partition, content, ttl)
        if key is None:
            await shield(self._store.append(queue, (new,), terms))
        else:
            once = Once(key, key, "", max(ttl, policy.idempotency_ttl))
            try:
                await shield(self._store.append_once(queue, (new,), terms, once))
            except KeyInUse as error:
                text = "Another process is moving the same message."
                raise Unavailable(text, retry_after=error.retry_after) from None
        self._activity.count((queue.application, queue.name), STORED, 1)
        self._waits.wake(queue.incarnation, (new,))

    async def remove(self, queue: Queue, addresses: Sequence[Address]) -> None:
        """Delete messages; ignore that the queue was deleted."""
        policy = await self._policies.policy_for(queue.application)
        ack = policy.write_terms(queue.settings.consistency).ack
        try:
            await shield(self._store.remove(queue, addresses, ack))
        except NoSuchQueue:
            return
