"""The contract of IMessageStore: several partitions read as one log."""

from __future__ import annotations

from itertools import product
from random import Random

from attrs import evolve
from twisted.internet.defer import CancelledError

from queuey.errors import Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import NEWEST, OLDEST, SLICE_BYTES, SLICE_ROWS, Merge, MergeSlice, Position
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, successor
from tests.contracts.reading import TERMS, MessagesCase, bodies, check_merged, foreign_id, new, place, rest_of, walk
from tests.contracts.subject import after_restart, contract

ALL = Merge((1, 2, 3))
BACK = Merge((1, 2, 3), descending=True)


class MergeContract(MessagesCase):
    """What ``merge`` promises."""

    async def first(self, queue: Queue, merge: Merge) -> MergeSlice:
        piece = await self.store.read_merged(queue, merge, Ack.MAJORITY)
        check_merged(merge, piece)
        return piece

    async def fill(self, queue: Queue, number: int, size: int = 1) -> list[bytes]:
        """Messages one after another in partitions here and there; what they have in them."""
        texts = [b"%d" % count + b"." * size for count in range(number)]
        for count, text in enumerate(texts):
            await self.put(queue, text, partition=(1, 3, 2, 2, 3, 1, 1)[count % 7])
        return texts

    @contract
    async def test_partitions_are_one_log(self) -> None:
        queue = await self.make_queue()
        texts = await self.fill(queue, 20)
        self.assertEqual(await self.merged(queue, ALL), texts)
        self.assertEqual(await self.merged(queue, BACK), texts[::-1])
        self.assertEqual(await self.merged(queue, Merge((2,))), [texts[number] for number in (2, 3, 9, 10, 16, 17)])
        self.assertEqual(await self.merged(queue, Merge((3, 2))), await self.merged(queue, Merge((2, 3))))

    @contract
    async def test_over_many_partitions(self) -> None:
        queue = await self.make_queue(partitions=200)
        numbers = [number for number in range(200, 0, -1) for _ in range(2)]
        for start in range(0, 400, 100):
            await self.store.append(queue, [new(b"%d" % n, n) for n in numbers[start : start + 100]], TERMS)
        texts = [b"%d" % number for number in numbers]
        asked = Merge(tuple(range(1, 201)), limit=33)
        self.assertEqual(await self.merged(queue, asked), texts)
        self.assertEqual(await self.merged(queue, evolve(asked, descending=True)), texts[::-1])

    @contract
    async def test_every_bound(self) -> None:
        queue = await self.make_queue()
        early, late = foreign_id(-2), foreign_id(-1)
        addresses = [(early, 2), (early, 3), (early, 1), (late, 3), (late, 1)]
        for id, partition in addresses:
            await self.replace(queue, id, b"%d" % partition, partition=partition)
        await self.put(queue, b"last", partition=2)
        (page,) = await walk(self.store, queue, ALL)
        places = [place(message) for message in page]
        self.assertEqual([(each.id, each.partition) for each in places[:5]], sorted(addresses))
        between = [Position(early), Position(early, 200), Position(successor(early)), Position(late, 2)]
        bounds = [*places, *between, OLDEST, NEWEST]
        for lower, upper, descending in product(bounds, bounds, (False, True)):
            expected = [message for message in page if lower < place(message) < upper]
            asked = Merge((1, 2, 3), lower, upper, descending)
            found = [message for each in await walk(self.store, queue, asked) for message in each]
            self.assertEqual(found, expected[::-1] if descending else expected, (lower, upper))

    @contract
    async def test_limits(self) -> None:
        queue = await self.make_queue()
        texts = await self.fill(queue, 9)
        for asked, wanted in ((ALL, texts), (BACK, texts[::-1])):
            for limit in (1, 2, 3, 4, 9, 10, 5000):
                pages = await walk(self.store, queue, evolve(asked, limit=limit))
                expected = [wanted[start : start + limit] for start in range(0, 9, limit)]
                self.assertEqual([bodies(page) for page in pages], expected)
            self.assertFalse((await self.first(queue, evolve(asked, limit=8))).over)

    @contract
    async def test_bytes(self) -> None:
        queue = await self.make_queue()
        texts = await self.fill(queue, 7, size=9)
        for asked, wanted in ((ALL, texts), (BACK, texts[::-1])):
            for most, number in ((10, 1), (19, 1), (20, 2), (29, 2), (30, 3), (70, 7), (1 << 40, 7)):
                pages = await walk(self.store, queue, evolve(asked, max_bytes=most))
                expected = [wanted[start : start + number] for start in range(0, 7, number)]
                self.assertEqual([bodies(page) for page in pages], expected, most)

    @contract
    async def test_one_that_is_too_large_comes_alone_if_it_is_owed(self) -> None:
        queue = await self.make_queue()
        texts = [b"a", b"b" * 50, b"c", b"d" * 51, b"e" * 52, b""]
        for number, text in enumerate(texts):
            await self.put(queue, text, partition=1 + number % 3)
        for asked in (ALL, BACK):
            pages = await walk(self.store, queue, evolve(asked, max_bytes=10))
            wanted = texts if asked is ALL else texts[::-1]
            self.assertEqual([body for page in pages for body in bodies(page)], wanted)
            self.assertTrue(all(len(page) == 1 for page in pages if len(page[0].content.body) > 10))
        piece = await self.first(queue, evolve(ALL, max_bytes=10, owed=False))
        self.assertEqual((bodies(piece.messages), piece.over), ([b"a"], False))
        stuck = await self.first(queue, evolve(ALL, lower=piece.position, max_bytes=10, owed=False))
        self.assertEqual((stuck.messages, stuck.position, stuck.over), ((), piece.position, False))
        self.assertEqual(await self.merged(queue, evolve(ALL, lower=piece.position)), texts[1:])

    @contract
    async def test_large_bodies(self) -> None:
        queue = await self.make_queue()
        sizes = [600_000, 500_000, 400_000, SLICE_BYTES, SLICE_BYTES + 1, 1, 2 * SLICE_BYTES]
        texts = [b"%d" % number * size for number, size in enumerate(sizes)]
        for number, text in enumerate(texts):
            await self.put(queue, text, partition=1 + number % 3)
        for owed in (True, False):
            asked = Merge((1, 2, 3), max_bytes=16 << 20, owed=owed)
            self.assertEqual(await self.merged(queue, asked), texts)
            self.assertEqual(await self.merged(queue, evolve(asked, descending=True)), texts[::-1])

    @contract
    async def test_what_has_ended_is_passed_over(self) -> None:
        queue = await self.make_queue()
        for number in range(6):
            await self.put(queue, *[b"x"] * 400, partition=1 + number % 3, ttl=10)
            await self.put(queue, b"%d" % number, partition=3 - number % 3, ttl=20)
        self.subject.wall.seconds += 15
        expected = [b"%d" % number for number in range(6)]
        for limit in (1, 2, 6, 7, SLICE_ROWS):
            self.assertEqual(await self.merged(queue, evolve(ALL, limit=limit)), expected)
            self.assertEqual(await self.merged(queue, evolve(BACK, limit=limit)), expected[::-1])

    @contract
    async def test_nothing_there(self) -> None:
        queue = await self.make_queue()
        for asked in (ALL, BACK, Merge(()), Merge((200,))):
            piece = await self.first(queue, asked)
            self.assertEqual((piece.messages, piece.over, piece.purged), ((), True, LOWEST))
        await self.put(queue, b"a", partition=2)
        self.assertEqual(await self.merged(queue, Merge((1, 3, 200))), [])
        self.assertEqual(await self.merged(queue, Merge((1, 2, 200))), [b"a"])

    @contract
    async def test_of_a_queue_that_is_gone(self) -> None:
        queue = await self.make_queue()
        await self.fill(queue, 3)
        await self.store.purge(queue, foreign_id(1), Ack.MAJORITY)
        await self.store.forget(queue)
        await self.make_queue()
        for asked in (ALL, BACK):
            piece = await self.first(queue, asked)
            self.assertEqual((piece.messages, piece.over), ((), True))

    @contract
    async def test_the_end_is_where_to_go_on(self) -> None:
        queue = await self.make_queue()
        await self.fill(queue, 3)
        piece = await self.first(queue, ALL)
        self.assertTrue(piece.over)
        self.assertLessEqual(piece.position, Position(piece.stable))
        await self.put(queue, b"later", partition=1)
        piece = await self.first(queue, evolve(ALL, lower=piece.position))
        self.assertEqual(bodies(piece.messages), [b"later"])
        bounded = await self.first(queue, evolve(ALL, upper=Position(foreign_id(-1))))
        self.assertEqual((bounded.over, bounded.position), (True, Position(foreign_id(-1))))
        ahead = Position(foreign_id(1000), 7)
        self.assertEqual((await self.first(queue, evolve(ALL, lower=ahead))).position, ahead)
        down = await self.first(queue, evolve(BACK, lower=Position(foreign_id(-1), 2)))
        self.assertEqual((down.over, down.position), (True, Position(foreign_id(-1), 2)))

    @contract
    async def test_below_the_stable_time_all_is_there(self) -> None:
        queue = await self.make_queue()
        stable: list[MessageId] = []
        for number in range(6):
            (id,) = await self.put(queue, b"x", partition=1 + number % 3)
            piece = await self.first(queue, ALL)
            self.assertLess(id, piece.stable)
            self.assertEqual(len(piece.messages), number + 1)
            stable.append(piece.stable)
            self.subject.wall.seconds += 1
        self.assertEqual(stable, sorted(stable))

    @contract
    async def test_what_is_to_come_does_not_show(self) -> None:
        queue = await self.make_queue()
        await self.replace(queue, foreign_id(10), b"put", partition=2)
        await self.store.append(queue, [new(b"delayed", 3, delay=5), new(b"now")], TERMS)
        for asked in (ALL, BACK, evolve(ALL, fresh=True), evolve(BACK, fresh=True)):
            self.assertEqual(await self.merged(queue, asked), [b"now"])
        await self.subject.advance(6)
        self.assertEqual(await self.merged(queue, ALL), [b"now", b"delayed"])
        await self.subject.advance(6)
        self.assertEqual(await self.merged(queue, ALL), [b"now", b"delayed", b"put"])

    @contract
    async def test_a_reader_sees_each_once_whatever_happens_meanwhile(self) -> None:
        queue, random = await self.make_queue(), Random(5)
        seen: list[Message] = []
        written = 0
        asked = Merge((1, 2, 3), limit=3)
        for _ in range(60):
            for _ in range(random.randrange(5)):
                delay = random.choice((0, 0, 0, 0.5, 3))
                await self.store.append(queue, [new(b"%d" % written, random.randrange(1, 4), delay=delay)], TERMS)
                written += 1
            if random.random() < 0.1 and seen:
                await self.store.purge(queue, seen[len(seen) // 2].id, Ack.MAJORITY)
            piece = await self.first(queue, asked)
            seen += piece.messages
            asked = rest_of(asked, piece)
            await self.subject.advance(random.choice((0, 0, 0.25, 1)))
        await self.subject.advance(5)
        seen += [message for page in await walk(self.store, queue, asked) for message in page]
        self.assertEqual([place(message) for message in seen], sorted({place(message) for message in seen}))
        self.assertEqual(sorted(int(body) for body in bodies(seen)), list(range(written)))

    @contract
    async def test_it_tells_what_was_purged(self) -> None:
        queue, other = await self.make_queue(), await self.make_queue("other")
        first, second = await self.put(queue, b"a", b"b")
        self.assertEqual((await self.first(queue, ALL)).purged, LOWEST)
        await self.store.purge(queue, second, Ack.MAJORITY)
        await self.store.purge(queue, first, Ack.MAJORITY)
        piece = await self.first(queue, ALL)
        self.assertEqual((bodies(piece.messages), piece.purged), ([b"b"], second))
        self.assertEqual((await self.first(queue, BACK)).purged, second)
        self.assertEqual((await self.first(other, ALL)).purged, LOWEST)

    @contract
    async def test_who_has_read_all_lost_nothing_by_a_purge(self) -> None:
        queue = await self.make_queue()
        await self.fill(queue, 5)
        before = await self.first(queue, ALL)
        await self.store.purge(queue, HIGHEST, Ack.MAJORITY)
        after = await self.first(queue, evolve(ALL, lower=before.position))
        self.assertEqual((after.messages, after.over), ((), True))
        self.assertLessEqual(after.purged, after.stable)
        self.assertGreater(after.purged, place(before.messages[-1]).id)
        await self.put(queue, b"new")
        self.assertEqual(await self.merged(queue, evolve(ALL, lower=after.position)), [b"new"])

    @after_restart
    async def test_over_a_restart(self) -> None:
        queue = await self.make_queue()
        texts = await self.fill(queue, 8)
        piece = await self.first(queue, evolve(ALL, limit=5))
        bound = place(piece.messages[2]).id
        await self.store.purge(queue, bound, Ack.MAJORITY)
        await self.subject.reopen()
        self.assertEqual(await self.merged(queue, ALL), texts[2:])
        self.assertEqual(await self.merged(queue, rest_of(ALL, piece)), texts[5:])
        self.assertEqual((await self.first(queue, ALL)).purged, bound)

    @contract
    async def test_messages_are_whole(self) -> None:
        queue = await self.make_queue()
        ids = await self.put(queue, b"a", b"b", partition=2)
        (page,) = await walk(self.store, queue, ALL)
        found = await self.store.lookup(queue, [Address(2, id) for id in ids], Ack.MAJORITY)
        self.assertEqual(tuple(page), found.messages)

    @contract
    async def test_cancelled_or_after_the_end(self) -> None:
        queue = await self.make_queue()
        await self.put(queue, b"a")
        answer = self.store.read_merged(queue, ALL, Ack.MAJORITY)
        early = answer.called
        answer.cancel()
        if early:
            await answer
        else:
            await self.fails(CancelledError, answer)
        self.assertEqual(await self.merged(queue, ALL), [b"a"])
        await self.store.close()
        await self.fails(Unavailable, self.store.read_merged(queue, ALL, Ack.MAJORITY))
