"""The contract of reads that are limited by bytes."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from queuey.errors import StorageFull
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.queues.queue import Queue
from tests.contracts.reading import TERMS, TTL, MessagesCase, foreign_id, new
from tests.contracts.subject import after_restart, contract


class BytesContract(MessagesCase):
    """The limit of an application's bytes is exact."""

    def terms(self, limit: int) -> WriteTerms:
        return WriteTerms(Ack.MAJORITY, limit)

    async def refused(self, queue: Queue, limit: int, *messages: NewMessage) -> None:
        failure = await self.fails(StorageFull, self.store.append(queue, messages, self.terms(limit)))
        self.assertIn(f"{limit} bytes", str(failure))
        self.assertEqual(getattr(failure, "applied", None), "no")

    async def room(self, queue: Queue, limit: int) -> int:
        """How many bytes still fit, which leaves the store as it was."""
        left = -1
        for step in (64, 8, 1):
            while True:
                message = new(b"x" * (left + step))
                try:
                    (id,) = await self.store.append(queue, [message], self.terms(limit))
                except StorageFull:
                    break
                await self.store.remove(queue, [Address(1, id)], Ack.ONE)
                left += step
        return left

    @contract
    async def test_to_the_byte_and_all_or_nothing(self) -> None:
        queue = await self.make_queue()
        await self.store.append(queue, [new(b"12345")], self.terms(10))
        await self.refused(queue, 10, new(b"123456"))
        await self.refused(queue, 10, new(b"123"), new(b"456"))
        self.assertEqual(await self.shown(queue), [b"12345"])
        self.assertEqual(await self.counted(queue), 1)
        await self.store.append(queue, [new(b"67890")], self.terms(10))
        await self.refused(queue, 10, new(b"1"))
        self.assertEqual(await self.room(queue, 20), 10)

    @contract
    async def test_everything_that_comes_with_a_message_counts(self) -> None:
        queue = await self.make_queue()
        content = Content(b"123", "45", b"678")
        await self.store.append(queue, [NewMessage(1, content, TTL)], self.terms(8))
        self.assertEqual(await self.room(queue, 20), 12)

    @contract
    async def test_over_the_queues_of_one_application_only(self) -> None:
        one, two, other = await self.make_queue("1"), await self.make_queue("2"), await self.make_queue("1", "app2")
        await self.put(one, b"x" * 30)
        await self.put(two, b"x" * 30, partition=2)
        await self.put(other, b"x" * 70)
        self.assertEqual([await self.room(queue, 100) for queue in (one, two, other)], [40, 40, 30])

    @contract
    async def test_what_frees_room(self) -> None:
        queue, other = await self.make_queue(), await self.make_queue("other")
        a, _b = await self.put(queue, b"x" * 10, b"x" * 20)
        (c,) = await self.put(queue, b"x" * 30, partition=2)
        await self.put(queue, b"x" * 5, ttl=10)
        await self.put(other, b"x" * 35)
        self.assertEqual(await self.room(queue, 100), 0)
        await self.store.remove(queue, [Address(1, a)], Ack.ONE)
        self.assertEqual(await self.room(queue, 100), 10)
        await self.replace(queue, c, b"x", partition=2)
        self.assertEqual(await self.room(queue, 100), 39)
        await self.subject.advance(12)
        self.assertEqual(await self.room(queue, 100), 44)
        await self.store.forget(other)
        await self.subject.advance(2)
        self.assertEqual(await self.room(queue, 100), 79)
        await self.store.purge(queue, c, Ack.ONE)
        self.assertEqual(await self.room(queue, 100), 99)

    @contract
    async def test_replacing_counts_the_difference(self) -> None:
        queue = await self.make_queue()
        a, b = await self.put(queue, b"x" * 10, b"x" * 10)
        both = [Address(1, a), Address(1, b)]
        await self.store.replace(queue, both, Content(b"x" * 15), TTL, self.terms(30))
        failure = await self.fails(
            StorageFull, self.store.replace(queue, both, Content(b"x" * 16), TTL, self.terms(31))
        )
        self.assertIn("31 bytes", str(failure))
        await self.fails(StorageFull, self.replace_new(queue, self.terms(30)))
        self.assertEqual(await self.shown(queue), [b"x" * 15] * 2)
        await self.store.replace(queue, both, Content(b"x" * 14), TTL, self.terms(10))
        self.assertEqual(await self.room(queue, 30), 2)

    @contract
    async def test_replacing_one_twice_counts_once(self) -> None:
        queue = await self.make_queue()
        (a,) = await self.put(queue, b"x" * 10)
        twice = [Address(1, a), Address(1, a), Address(1, foreign_id(-1)), Address(1, foreign_id(-1))]
        await self.store.replace(queue, twice, Content(b"x" * 15), TTL, self.terms(30))
        self.assertEqual(await self.room(queue, 40), 10)

    def replace_new(self, queue: Queue, terms: WriteTerms) -> Deferred[None]:
        return self.store.replace(
            queue, [Address(1, foreign_id(-1)), Address(2, foreign_id(9))], Content(b"x"), TTL, terms
        )

    @contract
    async def test_many_at_once(self) -> None:
        queue = await self.make_queue()
        answers = [self.store.append(queue, [new(b"x" * 10)], self.terms(95)) for _ in range(20)]
        fitted = 0
        for answer in answers:
            try:
                await answer
                fitted += 1
            except StorageFull:
                pass
        self.assertEqual((fitted, await self.counted(queue)), (9, 9))

    @after_restart
    async def test_over_a_restart(self) -> None:
        queue = await self.make_queue()
        await self.put(queue, b"x" * 30)
        await self.subject.reopen()
        self.assertEqual(await self.room(queue, 100), 70)
        await self.store.append(queue, [new(b"y")], TERMS)
        self.assertEqual(await self.room(queue, 100), 69)
