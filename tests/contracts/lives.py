"""The contract of queues that are deleted and created again under the same name."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, gatherResults

from queuey.errors import NoSuchQueue, NotPromised, Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Merge, Window
from tests.contracts.reading import TERMS, TTL, MessagesCase, foreign_id, new, once, read
from tests.contracts.subject import after_restart, contract


class LifeContract(MessagesCase):
    """What becomes of messages with the queue's life, and at the end of the store's."""

    @property
    def not_once(self) -> str:
        """Why the store promises no more than that."""
        return self.store.capabilities.not_once

    async def writes_fail(self, queue: Queue, error: type[Exception]) -> None:
        (where,) = (Address(1, foreign_id(-1)),)
        await self.fails(error, self.store.append(queue, [new(b"x")], TERMS))
        await self.fails(error, self.store.replace(queue, [where], Content(b"x"), TTL, TERMS))
        await self.fails(error, self.store.remove(queue, [where], Ack.ONE))
        await self.fails(error, self.store.purge(queue, where.id, Ack.ONE))

    @contract
    async def test_a_queue_that_is_gone(self) -> None:
        queue = await self.make_queue()
        (id,) = await self.put(queue, b"a")
        self.assertTrue(await self.store.forget(queue))
        for _ in range(2):
            await self.writes_fail(queue, NoSuchQueue)
            self.assertEqual(await self.everywhere(queue, id), (0, 0, 0))
            await self.subject.advance(5)

    @contract
    async def test_a_queue_made_anew_shows_nothing_of_the_old(self) -> None:
        old = await self.make_queue()
        (id,) = await self.put(old, b"a")
        await self.store.forget(old)
        queue = await self.make_queue()
        self.assertEqual(await self.everywhere(queue, id), (0, 0, 0))
        await self.writes_fail(old, NoSuchQueue)
        await self.put(queue, b"new")
        await self.subject.advance(5)
        self.assertEqual(await self.shown(queue), [b"new"])
        self.assertEqual(await self.everywhere(old, id), (0, 0, 0))

    @after_restart
    async def test_a_queue_made_anew_after_a_restart(self) -> None:
        old = await self.make_queue()
        (id,) = await self.put(old, *[b"a"])
        await self.store.forget(old)
        await self.subject.reopen()
        queue = await self.make_queue()
        self.assertNotEqual(queue.incarnation, old.incarnation)
        self.assertEqual(await self.everywhere(queue, id), (0, 0, 0))
        await self.writes_fail(old, NoSuchQueue)

    @contract
    async def test_an_older_value_of_the_queue_still_serves(self) -> None:
        old = await self.make_queue()
        await self.store.update(old, old.settings)
        (id,) = await self.put(old, b"a")
        self.assertEqual(await self.everywhere(old, id), (1, 1, 1))

    @contract
    async def test_many_at_once_of_which_some_fail(self) -> None:
        dead, living = await self.make_queue("dead"), await self.make_queue("living")
        await self.store.forget(dead)
        answers = [
            self.store.append(dead if number % 3 == 1 else living, [new(b"%d" % number)], TERMS) for number in range(30)
        ]
        failed = 0
        for answer in answers:
            try:
                await answer
            except NoSuchQueue:
                failed += 1
        self.assertEqual(failed, 10)
        kept = [b"%d" % number for number in range(30) if number % 3 != 1]
        self.assertEqual(await self.shown(living), kept)

    @contract
    async def test_a_cancelled_write_breaks_nothing(self) -> None:
        queue = await self.make_queue()
        answers = [self.store.append(queue, [new(b"x")], TERMS) for _ in range(20)]
        for answer in answers[::2]:
            answer.addErrback(lambda failure: failure.trap(CancelledError))
            answer.cancel()
        await gatherResults(answers)
        (id,) = await self.put(queue, b"y")
        messages = await read(self.store, queue, Window((1,)))
        self.assertEqual(messages[-1].id, id)
        self.assertEqual(await self.counted(queue), len(messages))
        self.assertGreaterEqual(len(messages), 11)

    @contract
    async def test_close_while_writes_wait(self) -> None:
        queue = await self.make_queue()
        answers = [self.store.append(queue, [new(b"%d" % number)], TERMS) for number in range(50)]
        answers += [self.store.append(queue, [new(b"big")] * 10, TERMS)]
        keyed = self.append_once(queue, [new(b"keyed", partition=2)], once()) if not self.not_once else None
        purge = self.store.purge(queue, foreign_id(-1), Ack.ONE)
        closed = self.store.close()
        late = self.store.append(queue, [new(b"late")], TERMS)
        await gatherResults(answers)
        await purge
        if keyed is not None:
            await keyed
        await closed
        await self.fails(Unavailable, late)
        if self.subject.keeps:
            await self.subject.reopen()
            self.assertEqual(await self.shown(queue), [b"%d" % number for number in range(50)] + [b"big"] * 10)

    @contract
    async def test_after_the_end_everything_is_unavailable(self) -> None:
        queue = await self.make_queue()
        await self.store.close()
        await self.writes_fail(queue, Unavailable)
        store = self.store
        for answer in (
            store.read_range(queue, Window((1,)), Ack.ONE),
            store.read_merged(queue, Merge((1,)), Ack.ONE),
            store.lookup(queue, [Address(1, foreign_id(0))], Ack.ONE),
            store.count(queue, Ack.ONE),
            store.create("app", "other", queue.settings, None),
            store.update(queue, queue.settings),
            store.forget(queue),
            store.names("app", "", 10, ""),
            store.describe("app", ["queue"]),
            store.states.read("key"),
            store.states.replace("key", None, b"value", "1"),
            store.ping(),
        ):
            failure = await self.fails(Unavailable, answer)
            self.assertEqual(getattr(failure, "applied", None), "no")
        await store.close()

    @contract
    async def test_ping(self) -> None:
        await self.store.ping()

    @contract
    async def test_what_it_promises_is_said(self) -> None:
        capabilities = self.store.capabilities
        self.assertIsInstance(capabilities.survives_power_loss, bool)
        self.assertTrue(capabilities.durable)
        if capabilities.not_once:
            queue = await self.make_queue()
            failure = await self.fails(NotPromised, self.append_once(queue, [new(b"x")], once()))
            self.assertIn(capabilities.not_once, str(failure))
            self.assertEqual(await self.counted(queue), 0)
        self.assertFalse(capabilities.survives_power_loss and not self.subject.keeps)
