"""The contract of IMessageStore: messages that are put back under the ids that they had."""

from __future__ import annotations

from queuey.errors import NoSuchQueue
from queuey.model.messages.message import Address, Content, Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import SECOND, MessageId, Ticks, from_seconds
from tests.contracts.reading import TERMS, TTL, MessagesCase, foreign_id, look_up
from tests.contracts.subject import START, contract


def old(
    seconds: float, body: bytes = b"x", partition: int = 1, left: float = TTL, id: MessageId | None = None
) -> Message:
    """A message of some seconds after the start, which has so many seconds left then."""
    expires = Ticks(from_seconds(START) + int(left * SECOND))
    return Message(partition, id or foreign_id(seconds), Content(body, "a/b", b"{}"), expires)


class RestoreContract(MessagesCase):
    """What ``restore`` promises."""

    async def messages_at(self, queue: Queue, *messages: Message) -> list[Message]:
        return await look_up(self.store, queue, [Address(message.partition, message.id) for message in messages])

    @contract
    async def test_what_is_missing_is_stored(self) -> None:
        queue = await self.make_queue()
        messages = [old(-3, b"a"), old(-2, b"b", 2), old(-1, b"c", left=TTL / 2 + 0.5)]
        self.assertEqual(await self.store.restore(queue, messages, TERMS), 3)
        found = await self.messages_at(queue, *messages)
        self.assertEqual([each.content for each in found], [each.content for each in messages])
        for one, other in zip(found, messages, strict=True):
            self.assertTrue(0 <= one.expires - other.expires <= SECOND, (one, other))
        self.assertEqual(await self.counted(queue), 3)

    @contract
    async def test_what_is_there_is_left(self) -> None:
        queue = await self.make_queue()
        (a,) = await self.put(queue, b"a")
        there, missing = old(0, b"other", id=a), old(-1, b"b")
        for stored in (1, 0):
            self.assertEqual(await self.store.restore(queue, [there, missing, old(-1, b"c")], TERMS), stored)
        found = await self.messages_at(queue, there, missing)
        self.assertEqual(([each.content.body for each in found], await self.counted(queue)), ([b"a", b"b"], 2))

    @contract
    async def test_many(self) -> None:
        queue = await self.make_queue()
        messages = [old(-number - 1, b"%d" % number, 1 + number % 3) for number in range(150)]
        self.assertEqual(await self.store.restore(queue, messages[:70], TERMS), 70)
        self.assertEqual(await self.store.restore(queue, messages, TERMS), 80)
        found = await self.messages_at(queue, *messages)
        self.assertEqual([each.content.body for each in found], [each.content.body for each in messages])

    @contract
    async def test_what_has_expired(self) -> None:
        """It is not stored; what expires later under the same id takes the place of what has."""
        queue = await self.make_queue()
        short = old(-1, b"short", left=5)
        self.assertEqual(await self.store.restore(queue, [short], TERMS), 1)
        await self.subject.advance(7)
        self.assertEqual(await self.store.restore(queue, [short], TERMS), 0)
        longer = old(-1, b"longer")
        self.assertEqual(await self.store.restore(queue, [longer], TERMS), 1)
        self.assertEqual([each.content.body for each in await self.messages_at(queue, longer)], [b"longer"])
        self.assertEqual(await self.counted(queue), 1)

    @contract
    async def test_one_of_the_future(self) -> None:
        queue = await self.make_queue()
        self.assertEqual(await self.store.restore(queue, [old(20, b"later")], TERMS), 1)
        self.assertEqual(await self.shown(queue), [])
        await self.subject.advance(25)
        self.assertEqual(await self.shown(queue), [b"later"])

    @contract
    async def test_a_queue_that_is_gone(self) -> None:
        queue = await self.make_queue()
        await self.store.forget(queue)
        await self.fails(NoSuchQueue, self.store.restore(queue, [old(-1)], TERMS))
