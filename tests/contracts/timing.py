"""The contract of IMessageStore: what the clock does to messages, and the limits on their bytes."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from queuey.errors import StorageFull
from queuey.model.message import MAX_TTL, Address, Content, NewMessage
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue
from queuey.model.timeid import ticks_of
from queuey.model.window import Window
from tests.contracts.reading import TERMS, TTL, MessagesCase, bodies, foreign_id, new, read
from tests.contracts.subject import START, after_restart, contract


class ExpiryContract(MessagesCase):
    """Messages end at their very second."""

    @contract
    async def test_at_its_very_second(self) -> None:
        queue = await self.make_queue()
        (id,) = await self.put(queue, b"a", ttl=10)
        for passed, seen in ((0, 1), (9, 1), (9.75, 1), (10, 0), (11, 0)):
            self.subject.wall.seconds = START + passed
            self.assertEqual(await self.everywhere(queue, id), (seen, seen, seen), passed)
        await self.subject.advance(5)
        self.assertEqual(await self.everywhere(queue, id), (0, 0, 0))

    @contract
    async def test_the_longest_life(self) -> None:
        queue = await self.make_queue()
        (id,) = await self.put(queue, b"a", ttl=MAX_TTL)
        self.subject.wall.seconds = START + MAX_TTL - 1
        self.assertEqual(await self.everywhere(queue, id), (1, 1, 1))
        await self.subject.advance(1)
        self.assertEqual(await self.everywhere(queue, id), (0, 0, 0))

    @contract
    async def test_what_has_ended_uses_up_no_limit(self) -> None:
        queue = await self.make_queue()
        for number in range(1200):
            await self.put(queue, b"%d" % number, ttl=10 if number % 400 else 20)
        self.subject.wall.seconds = START + 15
        self.assertEqual(await self.shown(queue, limit=2), [b"0", b"400"])
        self.assertEqual(await self.shown(queue, limit=3, descending=True), [b"800", b"400", b"0"])
        self.assertEqual(await self.counted(queue), 3)

    @contract
    async def test_after_the_sweep(self) -> None:
        queue, other = await self.make_queue(), await self.make_queue("other")
        await self.put(queue, *[b"x"] * 1300, ttl=10)
        ids = await self.put(queue, b"a", b"b", ttl=30)
        await self.put(other, *[b"x"] * 3, ttl=10)
        await self.put(other, *[b"y"] * 2, ttl=20)
        for passed, counts in ((10, [2, 2]), (10, [2, 0]), (10, [0, 0])):
            await self.subject.advance(passed)
            self.assertEqual([await self.counted(queue), await self.counted(other)], counts)
        self.assertEqual(await self.found(queue, *ids), [])

    @contract
    async def test_replacing_renews_the_life(self) -> None:
        queue = await self.make_queue()
        a, b = await self.put(queue, b"a", b"b", ttl=10)
        self.subject.wall.seconds = START + 9
        await self.replace(queue, a, b"A", ttl=10)
        await self.replace(queue, b, b"B", ttl=1)
        await self.subject.advance(1)
        self.assertEqual(await self.shown(queue), [b"A"])
        await self.subject.advance(8.75)
        self.assertEqual(await self.everywhere(queue, a), (1, 1, 1))
        await self.subject.advance(0.25)
        self.assertEqual(await self.everywhere(queue, a), (0, 0, 0))

    @contract
    async def test_what_has_ended_can_be_put_again(self) -> None:
        queue = await self.make_queue()
        a, b = await self.put(queue, b"a", b"b", ttl=10)
        self.subject.wall.seconds = START + 10
        await self.replace(queue, a, b"A", ttl=10)
        self.assertEqual(await self.everywhere(queue, a), (1, 1, 1))
        await self.subject.advance(5)
        await self.replace(queue, b, b"B", ttl=10)
        self.assertEqual(await self.shown(queue), [b"A", b"B"])
        self.assertEqual(await self.counted(queue), 2)

    @contract
    async def test_removing_what_has_ended_counts_nothing(self) -> None:
        queue = await self.make_queue()
        (a,) = await self.put(queue, b"a", ttl=10)
        self.subject.wall.seconds = START + 10
        self.assertEqual(await self.store.remove(queue, [Address(1, a)], Ack.ONE), 0)
        self.assertEqual(await self.counted(queue), 0)

    @after_restart
    async def test_over_a_restart(self) -> None:
        queue = await self.make_queue()
        (a,) = await self.put(queue, b"a", ttl=10)
        await self.put(queue, b"b", ttl=20)
        self.subject.wall.seconds = START + 10
        await self.subject.reopen()
        self.assertEqual(await self.everywhere(queue, a), (1, 0, 1))
        await self.subject.advance(5)
        self.assertEqual(await self.everywhere(queue, a), (1, 0, 1))


class FutureContract(MessagesCase):
    """Scans stop at the stable time; a message of the future shows when its time comes."""

    @contract
    async def test_hidden_until_it_is_due_then_shown_without_any_write(self) -> None:
        queue = await self.make_queue()
        id = foreign_id(10)
        await self.replace(queue, id, b"a")
        self.assertEqual(await self.everywhere(queue, id), (0, 1, 1))
        self.assertEqual(await self.shown(queue, descending=True), [])
        await self.subject.advance(9)
        self.assertEqual(await self.everywhere(queue, id), (0, 1, 1))
        await self.subject.advance(1)
        self.assertEqual(await self.everywhere(queue, id), (1, 1, 1))
        (later,) = await self.put(queue, b"b")
        self.assertGreater(later, id)

    @contract
    async def test_several_each_at_its_time(self) -> None:
        queue, other = await self.make_queue(), await self.make_queue("other")
        for due in (20, 5, 10, 5000):
            await self.replace(queue, foreign_id(due), b"%d" % due)
        await self.replace(other, foreign_id(5, 8), b"other")
        for passed, texts in ((5, [b"5"]), (5, [b"5", b"10"]), (9, [b"5", b"10"]), (1, [b"5", b"10", b"20"])):
            await self.subject.advance(passed)
            self.assertEqual(await self.shown(queue), texts)
            self.assertEqual(await self.shown(other), [b"other"])
        self.assertEqual(await self.counted(queue), 4)

    @contract
    async def test_appends_do_not_show_what_is_not_due(self) -> None:
        queue = await self.make_queue()
        await self.replace(queue, foreign_id(10), b"future")
        (id,) = await self.put(queue, b"now")
        self.assertLess(id, foreign_id(1))
        await self.subject.advance(3)
        await self.put(queue, b"then")
        self.assertEqual(await self.shown(queue), [b"now", b"then"])
        await self.subject.advance(7)
        self.assertEqual(await self.shown(queue), [b"now", b"then", b"future"])

    @contract
    async def test_removed_or_ended_before_it_is_due(self) -> None:
        queue = await self.make_queue()
        removed, ended, purged = foreign_id(10), foreign_id(11), foreign_id(9)
        await self.replace(queue, removed, b"removed")
        await self.replace(queue, ended, b"ended", ttl=5)
        await self.replace(queue, purged, b"purged")
        self.assertEqual(await self.store.remove(queue, [Address(1, removed)], Ack.ONE), 1)
        await self.store.purge(queue, removed, Ack.ONE)
        await self.subject.advance(7)
        self.assertEqual(await self.counted(queue), 0)
        await self.subject.advance(10)
        self.assertEqual(await self.shown(queue), [])

    @contract
    async def test_replaced_before_it_is_due(self) -> None:
        queue = await self.make_queue()
        id = foreign_id(10)
        await self.replace(queue, id, b"a", ttl=5)
        await self.replace(queue, id, b"b", ttl=50)
        self.assertEqual(await self.everywhere(queue, id), (0, 1, 1))
        await self.subject.advance(10)
        self.assertEqual(await self.shown(queue), [b"b"])

    @contract
    async def test_of_a_queue_that_is_gone_or_made_anew(self) -> None:
        queue = await self.make_queue()
        await self.replace(queue, foreign_id(10), b"a")
        await self.store.forget(queue)
        anew = await self.make_queue()
        await self.subject.advance(10)
        self.assertEqual(await self.shown(queue) + await self.shown(anew), [])

    @after_restart
    async def test_due_after_a_restart(self) -> None:
        queue = await self.make_queue()
        await self.replace(queue, foreign_id(10), b"a")
        await self.replace(queue, foreign_id(20), b"b")
        await self.subject.reopen()
        self.assertEqual(await self.shown(queue), [])
        await self.subject.advance(10)
        self.assertEqual(await self.shown(queue), [b"a"])
        self.subject.wall.seconds = START + 20
        await self.subject.reopen()
        await self.subject.advance(0.5)
        self.assertEqual(await self.shown(queue), [b"a", b"b"])

    @contract
    async def test_a_clock_far_ahead_and_back(self) -> None:
        queue = await self.make_queue()
        await self.replace(queue, foreign_id(1000), b"future")
        self.subject.wall.seconds = START + 500
        (ahead,) = await self.put(queue, b"a", ttl=MAX_TTL)
        self.subject.wall.seconds = START
        (back,) = await self.put(queue, b"b", ttl=MAX_TTL)
        self.assertEqual(ticks_of(back), ticks_of(ahead) + 1)
        await self.replace(queue, foreign_id(400), b"behind")
        await self.replace(queue, foreign_id(501), b"not yet")
        self.assertEqual(await self.shown(queue), [b"behind", b"a", b"b"])
        await self.subject.advance(501)
        self.assertEqual(await self.shown(queue), [b"behind", b"a", b"b", b"not yet"])

    @contract
    async def test_a_reader_at_the_stable_time_misses_nothing(self) -> None:
        queue = await self.make_queue()
        for due in range(1, 8):
            await self.replace(queue, foreign_id(due), b"future %d" % due)
        seen: list[bytes] = []
        lower = foreign_id(-1)
        for number in range(10):
            await self.put(queue, b"%d" % number)
            messages = await read(self.store, queue, Window((1,), lower))
            seen += bodies(messages)[seen != [] :]
            lower = messages[-1].id
            await self.subject.advance(1)
        self.assertEqual(len(seen), 17)
        self.assertEqual(len(set(seen)), 17)


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
