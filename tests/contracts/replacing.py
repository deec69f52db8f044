"""The contract of replacing and removing messages."""

from __future__ import annotations

from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content, Message
from queuey.model.timeid import MessageId, from_seconds, successor, ticks_of
from tests.contracts.reading import TERMS, TTL, MessagesCase, foreign_id, look_up
from tests.contracts.subject import START, contract


class ReplaceContract(MessagesCase):
    """What ``replace``, ``remove``, ``purge`` and ``count`` promise."""

    @contract
    async def test_the_place_stays(self) -> None:
        queue = await self.make_queue()
        _, b, _ = await self.put(queue, b"a", b"b", b"c")
        await self.subject.advance(5)
        content = Content(b"B", "image/png", b"h")
        await self.store.replace(queue, [Address(1, b)], content, 60, TERMS)
        self.assertEqual(await self.shown(queue), [b"a", b"B", b"c"])
        found = await look_up(self.store, queue, [Address(1, b)])
        self.assertEqual(found, [Message(1, b, content, from_seconds(START + 65))])
        self.assertEqual(await self.counted(queue), 3)

    @contract
    async def test_it_creates_what_is_not_there(self) -> None:
        queue = await self.make_queue()
        await self.put(queue, b"b")
        old = foreign_id(-5)
        await self.replace(queue, old, b"a")
        self.assertEqual(await self.shown(queue), [b"a", b"b"])
        self.assertEqual(await self.found(queue, old), [b"a"])

    @contract
    async def test_several_at_once_and_one_twice(self) -> None:
        queue = await self.make_queue()
        a, b = await self.put(queue, b"a", b"b")
        c = foreign_id(-7)
        where = [Address(1, a), Address(2, c), Address(1, a), Address(1, c), Address(2, c)]
        await self.store.replace(queue, where, Content(b"x"), TTL, TERMS)
        self.assertEqual(await self.shown(queue, 1, 2), [b"x", b"x", b"b", b"x"])
        self.assertEqual(await self.found(queue, c, a, b), [b"x", b"x", b"b"])
        self.assertEqual(await self.counted(queue), 4)

    @contract
    async def test_ids_of_any_time(self) -> None:
        queue = await self.make_queue()
        first, last = (
            MessageId(bytes(6) + b"\x60\0\x80" + bytes(7)),
            MessageId(b"\xff" * 6 + b"\x6f\xff\xbf" + b"\xff" * 7),
        )
        await self.replace(queue, first, b"first")
        await self.replace(queue, last, b"last")
        (id,) = await self.put(queue, b"now")
        self.assertEqual(abs(ticks_of(id) - from_seconds(START)), 1)
        self.assertEqual(await self.shown(queue), [b"first", b"now"])
        self.assertEqual(await self.found(queue, last, first), [b"last", b"first"])
        self.assertEqual(await self.counted(queue), 3)
        self.assertEqual(await self.store.remove(queue, [Address(1, first), Address(1, last)], Ack.ONE), 2)

    @contract
    async def test_an_id_whose_time_has_come_is_before_all_that_follow(self) -> None:
        queue = await self.make_queue()
        await self.subject.advance(10)
        late = foreign_id(10)
        await self.replace(queue, late, b"a")
        self.assertEqual(await self.shown(queue), [b"a"])
        (id,) = await self.put(queue, b"b")
        self.assertGreater(id, late)
        self.assertEqual(await self.shown(queue), [b"a", b"b"])

    @contract
    async def test_the_same_id_in_several_queues_and_partitions(self) -> None:
        one, other = await self.make_queue("one"), await self.make_queue("other")
        id = foreign_id(-1)
        await self.replace(one, id, b"1")
        await self.replace(one, id, b"2", partition=2)
        await self.replace(other, id, b"3")
        self.assertEqual(await self.shown(one, 1, 2), [b"1", b"2"])
        self.assertEqual(await self.store.remove(one, [Address(1, id)], Ack.ONE), 1)
        self.assertEqual(await self.shown(one, 1, 2), [b"2"])
        self.assertEqual(await self.shown(other), [b"3"])

    @contract
    async def test_a_clients_id_in_the_way_of_the_stores_own(self) -> None:
        queue = await self.make_queue()
        (id,) = await self.put(queue, b"a")
        for ahead in range(1, 6):
            taken = MessageId((int.from_bytes(id, "big") + (ahead << 64)).to_bytes(16, "big"))
            await self.replace(queue, taken, b"x")
        ids = await self.put(queue, b"b", b"c")
        ids += await self.put(queue, b"d")
        self.assertEqual([id, *ids], sorted({id, *ids}))
        self.assertEqual(await self.counted(queue), 9)
        self.assertEqual(await self.found(queue, *ids), [b"b", b"c", b"d"])

    @contract
    async def test_remove(self) -> None:
        queue = await self.make_queue()
        a, b, c = await self.put(queue, b"a", b"b", b"c")
        where = [Address(1, b), Address(1, foreign_id(-1)), Address(2, a), Address(1, b), Address(1, c)]
        self.assertEqual(await self.store.remove(queue, where, Ack.MAJORITY), 2)
        self.assertEqual(await self.store.remove(queue, where, Ack.MAJORITY), 0)
        self.assertEqual(await self.shown(queue), [b"a"])
        self.assertEqual(await self.found(queue, a, b, c), [b"a"])
        self.assertEqual(await self.counted(queue), 1)

    @contract
    async def test_what_was_removed_can_be_put_again(self) -> None:
        queue = await self.make_queue()
        a, _ = await self.put(queue, b"a", b"b")
        await self.store.remove(queue, [Address(1, a)], Ack.MAJORITY)
        await self.replace(queue, a, b"A")
        self.assertEqual(await self.shown(queue), [b"A", b"b"])

    @contract
    async def test_purge_below_a_bound(self) -> None:
        queue, other = await self.make_queue(), await self.make_queue("other")
        for number in range(4):
            await self.put(queue, b"%d" % number, partition=1 + number % 2)
        (bound,) = await self.put(queue, b"bound")
        await self.put(queue, b"after", partition=2)
        future = foreign_id(1000)
        await self.replace(queue, future, b"future")
        await self.put(other, b"x")
        await self.store.purge(queue, bound, Ack.MAJORITY)
        self.assertEqual(await self.shown(queue, 1, 2), [b"bound", b"after"])
        self.assertEqual(await self.counted(queue), 3)
        await self.store.purge(queue, successor(future), Ack.MAJORITY)
        self.assertEqual(await self.counted(queue), 1)
        self.assertEqual(await self.found(queue, future), [b"future"])
        self.assertEqual(await self.shown(other), [b"x"])

    @contract
    async def test_purge_of_many(self) -> None:
        queue = await self.make_queue()
        await self.put(queue, *[b"x"] * 1700)
        ids = await self.put(queue, *[b"y"] * 1700, partition=3)
        await self.store.purge(queue, ids[1650], Ack.MAJORITY)
        self.assertEqual(await self.shown(queue, 1, 2, 3), [b"y"] * 50)
        self.assertEqual(await self.counted(queue), 50)
        await self.store.purge(queue, ids[1650], Ack.MAJORITY)
        self.assertEqual(await self.counted(queue), 50)

    @contract
    async def test_what_is_put_below_a_purge_shows(self) -> None:
        queue = await self.make_queue()
        (a,) = await self.put(queue, b"a")
        await self.store.purge(queue, successor(a), Ack.MAJORITY)
        await self.replace(queue, a, b"again")
        self.assertEqual(await self.everywhere(queue, a), (1, 1, 1))

    @contract
    async def test_count(self) -> None:
        queue, other = await self.make_queue(), await self.make_queue("other")
        self.assertEqual(await self.counted(queue), 0)
        (a, *_) = await self.put(queue, *[b"x"] * 25)
        await self.put(queue, b"y", partition=2)
        await self.put(other, b"z")
        await self.replace(queue, a, b"a")
        await self.replace(queue, foreign_id(-1), b"b")
        self.assertEqual(await self.counted(queue), 27)
        await self.store.remove(queue, [Address(1, a)], Ack.ONE)
        self.assertEqual([await self.counted(queue), await self.counted(other)], [26, 1])
