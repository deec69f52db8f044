"""The contract of ``IStore.close_queue``: a queue that takes no messages any more."""

from __future__ import annotations

from queuey.errors import KeyReused, NoSuchQueue, PreconditionFailed, QueueClosed
from queuey.model.messages.message import ANYWAY, Address, Condition, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Merge
from queuey.model.timeid import SECOND, Ticks, ticks_of
from tests.contracts.reading import TERMS, MessagesCase, bodies, foreign_id, new, once, walk
from tests.contracts.subject import after_restart, contract

SETTLED = 60.0
"""Seconds after which readers see everything."""


class ClosingContract(MessagesCase):
    """What every store promises of a closed queue."""

    async def close(self, queue: Queue, *messages: NewMessage, key: Once | None = None) -> Appended:
        return await self.store.close_queue(queue, messages, TERMS, key)

    async def now(self, queue: Queue) -> Queue:
        (found,) = await self.store.describe(queue.application, (queue.name,))
        assert found is not None
        return found

    async def shown_now(self, queue: Queue) -> list[bytes]:
        parts = await walk(self.store, queue, Merge((1, 2, 3)))
        return bodies([message for part in parts for message in part])

    async def is_over(self, queue: Queue) -> bool:
        """Whether a reader of everything learns that nothing more comes."""
        piece = await self.store.read_merged(queue, Merge((1, 2, 3), limit=1000), TERMS.ack)
        return piece.over and (await self.now(queue)).is_read_to_its_end(piece.stable)

    @contract
    async def test_last_messages(self) -> None:
        """They are stored, and every way to store others is refused from then on; changes and removals are not."""
        queue = await self.make_queue()
        ids = await self.put(queue, b"a")
        self.assertFalse(await self.is_over(queue))
        appended = await self.close(queue, new(b"b"), new(b"c", 2))
        self.assertEqual([address.partition for address in appended.addresses], [1, 2])
        closed = await self.now(queue)
        self.assertIsNotNone(closed.closed)
        self.assertNotEqual(closed.version, queue.version)
        for stale in (queue, closed):
            await self.fails(QueueClosed, self.store.append(stale, [new(b"x")], TERMS))
            await self.fails(QueueClosed, self.store.append(stale, [new(b"x"), new(b"y", 2)], TERMS))
            await self.fails(QueueClosed, self.append_once(stale, [new(b"x")], once(b"x")))
            await self.fails(QueueClosed, self.replace(stale, foreign_id(0.1), b"x"))
            await self.fails(QueueClosed, self.store.close_queue(stale, (new(b"x"),), TERMS, None))
            message = Message(1, foreign_id(0.2), new(b"x").content, Ticks(ticks_of(ids[0]) + 3600 * SECOND))
            await self.fails(QueueClosed, self.store.restore(stale, [message], TERMS))
        await self.replace(queue, ids[0], b"A")
        self.assertFalse(await self.put_at(queue, Address(1, ids[0]), b"AA", ANYWAY))
        await self.fails(PreconditionFailed, self.put_at(queue, Address(1, ids[0]), b"z", Condition(absent=True)))
        await self.subject.advance(SETTLED)
        self.assertEqual(await self.shown_now(queue), [b"AA", b"b", b"c"])
        self.assertTrue(await self.is_over(queue))
        self.assertEqual(await self.store.remove(queue, [Address(1, ids[0])], TERMS.ack), 1)

    @contract
    async def test_nothing_more(self) -> None:
        """A queue can be closed without a message, as often as one likes; its settings can still be changed."""
        queue = await self.make_queue()
        self.assertEqual(await self.close(queue), Appended((), "", False))
        closed = await self.now(queue)
        await self.close(closed)
        self.assertEqual(await self.now(queue), closed)
        await self.subject.advance(SETTLED)
        self.assertTrue(await self.is_over(queue))
        changed = await self.store.update(closed, QueueSettings(partitions=4))
        self.assertEqual((changed.closed, changed.settings.partitions), (closed.closed, 4))
        self.assertEqual((await self.now(queue)).closed, closed.closed)
        await self.fails(QueueClosed, self.store.append(changed, [new(b"x")], TERMS))

    @contract
    async def test_delayed_messages(self) -> None:
        """What is not due yet comes; only then does a reader learn that it has all."""
        queue = await self.make_queue()
        await self.store.append(queue, [new(b"late", delay=500)], TERMS)
        await self.close(queue, new(b"a"))
        await self.subject.advance(SETTLED)
        self.assertEqual((await self.shown_now(queue), await self.is_over(queue)), ([b"a"], False))
        await self.subject.advance(500)
        self.assertEqual((await self.shown_now(queue), await self.is_over(queue)), ([b"a", b"late"], True))

    @contract
    async def test_a_repeat(self) -> None:
        """The same request under the same key stores nothing, and gets the same answer."""
        queue = await self.make_queue()
        first = await self.close(queue, new(b"a"), key=once())
        again = await self.close(queue, new(b"a"), key=once())
        self.assertEqual(again, Appended(first.addresses, "note", True))
        await self.fails(KeyReused, self.store.close_queue(queue, (new(b"b"),), TERMS, once(digest=b"e")))
        await self.fails(QueueClosed, self.store.close_queue(queue, (new(b"b"),), TERMS, once(b"other")))
        await self.subject.advance(SETTLED)
        self.assertEqual(await self.shown_now(queue), [b"a"])

    @contract
    async def test_an_earlier_key(self) -> None:
        """A repeat of what was stored before the queue was closed is answered as ever."""
        queue = await self.make_queue()
        first = await self.append_once(queue, [new(b"a")], once())
        await self.close(queue)
        self.assertEqual(await self.append_once(queue, [new(b"a")], once()), Appended(first.addresses, "note", True))

    @contract
    async def test_other_queues(self) -> None:
        """Only one queue is closed: not others, and not the next one of its name."""
        queue, other = await self.make_queue(), await self.make_queue("other")
        await self.close(queue)
        await self.put(other, b"a")
        self.assertTrue(await self.store.forget(queue))
        await self.fails(NoSuchQueue, self.store.close_queue(queue, (), TERMS, None))
        again = await self.make_queue()
        self.assertIsNone(again.closed)
        await self.put(again, b"b")
        await self.subject.advance(SETTLED)
        self.assertEqual((await self.shown_now(other), await self.shown_now(again)), ([b"a"], [b"b"]))

    @after_restart
    async def test_restart(self) -> None:
        """A closed queue is closed for good."""
        queue = await self.make_queue()
        await self.close(queue, new(b"a"))
        closed = await self.now(queue)
        await self.subject.reopen()
        self.assertEqual(await self.now(queue), closed)
        await self.fails(QueueClosed, self.store.append(queue, [new(b"x")], TERMS))
