"""Moves: messages on their way to a dead-letter queue, and back from there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from queuey.core.groups.rows import in_parallel
from queuey.core.waiting import Waits
from queuey.deferreds import deferred, shield
from queuey.errors import BodyTooLarge, KeyInUse, NoSuchQueue, NotPromised, QueueyError, StorageFull, Unavailable
from queuey.interfaces import IPolicies, IStore
from queuey.model.group_settings import Group
from queuey.model.groups.commands import Finish, Mark
from queuey.model.groups.entries import In, Out, Target
from queuey.model.groups.terms import Result, Terms
from queuey.model.letters import Letter, copy_for, copy_key, dead_letter, is_only_for_another, letter_key
from queuey.model.message import Address, Content, Message, NewMessage
from queuey.model.once import Once
from queuey.model.policy import Ack
from queuey.model.queue import Consistency, Queue
from queuey.model.timeid import MessageId


def is_for_others(message: Message, gid: bytes) -> bool:
    """Whether a message is a copy that another group is given, and not this one."""
    return is_only_for_another(message.content, gid)


class Moves:
    """Carries out moves that are marked in states; all of it may be done twice, by several processes at once.

    :param waits: those who wait; they are told of what is written.
    """

    def __init__(self, store: IStore, policies: IPolicies, waits: Waits) -> None:
        self._store = store
        self._policies = policies
        self._waits = waits

    @deferred
    async def carry_out(self, queue: Queue, group: Group, partition: int) -> None:
        """Finish all moves that are marked in a partition as it is now.

        :return: fails as the first of those did that could not be finished, once the others are: with
            ``Unavailable``, also if another process is at it.
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
        """The write to the other queue."""
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
        except (NoSuchQueue, NotPromised, BodyTooLarge, StorageFull):
            return Result.MISSING  # it cannot be written there now: the message is left alone for a while
        return Result.DONE

    async def _in(self, queue: Queue, group: Group, address: Address, move: In) -> Result:
        source = await self.target(queue.application, move.source)
        place = Address(move.partition, move.letter)
        letter = None if source is None else await self.find_one(source, place)
        if source is None or letter is None:
            return Result.DONE  # whoever has removed it has left the message to be given
        if await self.find_one(queue, address) is None:
            await self.copy(queue, group, address.partition, source, letter)
            await self.remove(source, (place,))
            return Result.GONE
        await self.remove(source, (place,))
        return Result.DONE

    # What moves and whoever marks them do with messages

    async def target(self, application: str, target: Target) -> Queue | None:
        """A queue in the life that is meant; ``None`` where that has ended."""
        (found,) = await self._store.describe(application, (target.name,))
        return found if found is not None and found.incarnation == target.incarnation else None

    async def find_one(self, queue: Queue, address: Address) -> Message | None:
        """The message at an address, if there is one."""
        return (await self.find(queue, (address,))).get(address)

    async def find(self, queue: Queue, addresses: Iterable[Address]) -> Mapping[Address, Message]:
        """The messages that are at some addresses; all together they are to fit into memory.

        A majority is asked also where the queue is weak: what is not found is taken for gone.
        """
        rest: Sequence[Address] | None = tuple(addresses)
        found: dict[Address, Message] = {}
        while rest:
            slice = await self._store.lookup(queue, rest, Ack.MAJORITY)
            found.update((Address(message.partition, message.id), message) for message in slice.messages)
            rest = slice.rest
        return found

    async def copy(self, queue: Queue, group: Group, partition: int, source: Queue, letter: Message) -> None:
        """Append a copy of a dead letter for one group, in place of the message that is no more.

        :param partition: of the message.
        :param source: the queue that has the dead letter.
        """
        weak = queue.settings.consistency is Consistency.WEAK
        key = copy_key(group.gid, source.incarnation, Address(letter.partition, letter.id))
        await self._append(queue, partition, copy_for(letter.content, group.gid), None if weak else key)

    async def _append(self, queue: Queue, partition: int, content: Content, key: bytes | None) -> None:
        """Append a message that lives as long as others of its queue.

        :param key: under which that is done once; ``None`` where the queue does not promise such a thing.
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
        self._waits.wake(queue.incarnation, (new,))

    async def remove(self, queue: Queue, addresses: Sequence[Address]) -> None:
        """Delete messages, of a queue that may be no more."""
        policy = await self._policies.policy_for(queue.application)
        ack = policy.write_terms(queue.settings.consistency).ack
        try:
            await shield(self._store.remove(queue, addresses, ack))
        except NoSuchQueue:
            return
