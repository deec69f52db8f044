"""The contract of ``IMessageStore.measure``: how many messages and bytes a queue holds, and how old the oldest is."""

from __future__ import annotations

from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.queues.queue import Queue
from queuey.model.reading.depth import EMPTY, Depth
from queuey.model.timeid import SECOND, Ticks, successor, ticks_of
from tests.contracts.reading import TERMS, TTL, MessagesCase, foreign_id
from tests.contracts.subject import START, contract


class DepthContract(MessagesCase):
    """What ``measure`` promises."""

    async def depth(self, queue: Queue) -> Depth:
        return await self.store.measure(queue, Ack.MAJORITY)

    @contract
    async def test_an_empty_queue(self) -> None:
        queue = await self.make_queue()
        self.assertEqual(await self.depth(queue), EMPTY)

    @contract
    async def test_all_partitions(self) -> None:
        queue, other = await self.make_queue(), await self.make_queue("other")
        await self.put(other, b"elsewhere")
        (oldest,) = await self.put(queue, b"1", partition=3)
        await self.put(queue, b"22", b"333", partition=1)
        content = Content(b"4", "text/plain", b"{}")
        await self.store.append(queue, [NewMessage(2, content, TTL)], TERMS)
        expected = Depth(4, 6 + content.size, ticks_of(oldest), approximate=False)
        self.assertEqual(await self.depth(queue), expected)

    @contract
    async def test_what_is_removed_replaced_or_purged(self) -> None:
        queue = await self.make_queue()
        a, b, c = await self.put(queue, b"a", b"b", b"c")
        await self.store.remove(queue, [Address(1, a)], Ack.MAJORITY)
        await self.replace(queue, b, b"long")
        self.assertEqual(await self.depth(queue), Depth(2, 5, ticks_of(b), approximate=False))
        await self.store.purge(queue, successor(b), Ack.MAJORITY)
        self.assertEqual(await self.depth(queue), Depth(1, 1, ticks_of(c), approximate=False))
        await self.store.purge(queue, successor(c), Ack.MAJORITY)
        self.assertEqual(await self.depth(queue), EMPTY)

    @contract
    async def test_delayed_messages_count_and_are_not_the_oldest(self) -> None:
        queue = await self.make_queue()
        await self.store.append(queue, [NewMessage(1, Content(b"later"), TTL, Ticks(10 * SECOND))], TERMS)
        self.assertEqual(await self.depth(queue), Depth(1, 5, None, approximate=False))
        await self.subject.advance(12)
        found = await self.depth(queue)
        self.assertEqual((found.messages, found.bytes), (1, 5))
        self.assertIsNotNone(found.oldest)

    @contract
    async def test_expired_messages_do_not_count(self) -> None:
        queue = await self.make_queue()
        await self.put(queue, b"a" * 30, b"b" * 30, ttl=10)
        (kept,) = await self.put(queue, b"c" * 30, ttl=100)
        self.subject.wall.seconds = START + 10
        found = await self.depth(queue)
        self.assertEqual((found.messages, found.bytes, found.oldest), (1, 30, ticks_of(kept)))
        await self.subject.advance(5)
        self.assertEqual(await self.depth(queue), Depth(1, 30, ticks_of(kept), approximate=False))
        self.subject.wall.seconds = START + 100
        found = await self.depth(queue)
        self.assertEqual((found.messages, found.bytes, found.oldest), (0, 0, None))

    @contract
    async def test_many_of_one_size(self) -> None:
        queue = await self.make_queue()
        (oldest, *_) = await self.put(queue, *[b"x" * 10] * 300)
        await self.put(queue, *[b"y" * 10] * 300, partition=2)
        found = await self.depth(queue)
        self.assertEqual((found.messages, found.bytes, found.oldest), (600, 6000, ticks_of(oldest)))

    @contract
    async def test_a_queue_that_is_gone(self) -> None:
        queue = await self.make_queue()
        await self.put(queue, b"a")
        await self.replace(queue, foreign_id(-1), b"b")
        await self.store.forget(queue)
        self.assertEqual(await self.depth(queue), EMPTY)
        again = await self.make_queue()
        self.assertEqual(await self.depth(again), EMPTY)
