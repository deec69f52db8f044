"""The contract of delayed messages."""

from __future__ import annotations

import msgspec

from queuey.errors import NoSuchQueue
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import MAX_DELAY, MAX_TTL, Address
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Merge
from queuey.model.timeid import HIGHEST, SECOND, MessageId, Ticks, from_seconds, ticks_of
from tests.contracts.reading import TERMS, TTL, MessagesCase, foreign_id, look_up, new
from tests.contracts.subject import START, after_restart, contract


class DelayContract(MessagesCase):
    """A message that is delayed has its place where its time is, and no other message changes its place by it."""

    async def delayed(self, queue: Queue, body: bytes, delay: float, ttl: int = TTL, partition: int = 1) -> MessageId:
        (id,) = await self.store.append(queue, [new(body, partition, ttl, delay)], TERMS)
        return id

    def assert_due(self, id: MessageId, seconds: float) -> None:
        """It is of a time in seconds after the suites' start, as closely as ids are made."""
        self.assertLess(abs(ticks_of(id) - from_seconds(START + seconds)), SECOND // 1000)

    @contract
    async def test_by_id_at_once_and_in_the_log_when_it_is_due(self) -> None:
        queue = await self.make_queue()
        id = await self.delayed(queue, b"a", 10)
        self.assert_due(id, 10)
        for passed, shown in ((0, 0), (9.5, 0), (1, 1)):
            await self.subject.advance(passed)
            self.assertEqual(await self.everywhere(queue, id), (shown, 1, 1))
            self.assertEqual(await self.merged(queue, Merge((1,))), [b"a"] * shown)
        (later,) = await self.put(queue, b"b")
        self.assertGreater(later, id)

    @contract
    async def test_it_lives_from_when_it_is_due(self) -> None:
        queue = await self.make_queue()
        id = await self.delayed(queue, b"a", 10, ttl=5)
        (message,) = await look_up(self.store, queue, [Address(1, id)])
        self.assertEqual(message.expires, ticks_of(id) + 5 * SECOND)
        for passed, seen in ((14.75, (1, 1, 1)), (0.5, (0, 0, 0))):
            await self.subject.advance(passed)
            self.assertEqual(await self.everywhere(queue, id), seen)

    @contract
    async def test_the_longest_delay_and_life(self) -> None:
        queue = await self.make_queue()
        id = await self.delayed(queue, b"a", MAX_DELAY, ttl=MAX_TTL)
        self.subject.wall.seconds = START + MAX_DELAY + MAX_TTL - 2
        await self.subject.advance(1.5)
        self.assertEqual(await self.everywhere(queue, id), (1, 1, 1))
        await self.subject.advance(1)
        self.assertEqual(await self.everywhere(queue, id), (0, 0, 0))

    @contract
    async def test_the_shortest_delay(self) -> None:
        queue = await self.make_queue()
        (id,) = await self.store.append(queue, [msgspec.structs.replace(new(b"a"), delay=Ticks(1))], TERMS)
        await self.subject.advance(0.5)
        self.assertEqual(await self.everywhere(queue, id), (1, 1, 1))

    @contract
    async def test_ids_of_others_are_as_if_it_were_not_there(self) -> None:
        queue = await self.make_queue()
        (first,) = await self.put(queue, b"1")
        late = await self.delayed(queue, b"late", 3600)
        ids = await self.put(queue, b"2", b"3")
        self.assertEqual([first, *ids, late], sorted({first, *ids, late}))
        self.assert_due(ids[-1], 0)
        self.assertEqual(await self.shown(queue), [b"1", b"2", b"3"])
        self.subject.wall.seconds = START + 1
        (last,) = await self.put(queue, b"4")
        self.assert_due(last, 1)

    @contract
    async def test_nobody_foresees_its_id(self) -> None:
        queue = await self.make_queue()
        (plain,) = await self.put(queue, b"x")
        ids = [await self.delayed(queue, b"x", 10, partition=number) for number in (1, 2, 3)]
        self.assertEqual(len({id[8:] for id in (plain, *ids)}), 4)
        self.assertEqual({(id[6] >> 4, id[8] >> 6) for id in ids}, {(6, 2)})

    @contract
    async def test_a_batch(self) -> None:
        queue = await self.make_queue()
        batch = [new(b"%d" % n, 1 + n % 3, delay=(5, 0, 2, 5)[n % 4]) for n in range(40)]
        ids = await self.store.append(queue, batch, TERMS)
        self.assertEqual(len(set(ids)), 40)
        for n, id in enumerate(ids):
            self.assert_due(id, (5, 0, 2, 5)[n % 4])
        one_log = Merge((1, 2, 3))
        now = [b"%d" % n for n in range(40) if n % 4 == 1]
        self.assertEqual(await self.merged(queue, one_log), now)
        await self.subject.advance(3)
        soon = [b"%d" % n for n in range(40) if n % 4 == 2]
        self.assertEqual(await self.merged(queue, one_log), now + soon)
        await self.subject.advance(3)
        late = [b"%d" % n for n in range(40) if n % 4 in (0, 3)]
        self.assertEqual(await self.merged(queue, one_log), now + soon + late)

    @contract
    async def test_cancelled(self) -> None:
        queue = await self.make_queue()
        id = await self.delayed(queue, b"a", 10)
        await self.delayed(queue, b"b", 10)
        self.assertEqual(await self.store.remove(queue, [Address(1, id)], Ack.MAJORITY), 1)
        self.assertEqual(await self.everywhere(queue, id), (0, 0, 1))
        await self.subject.advance(11)
        self.assertEqual(await self.shown(queue), [b"b"])

    @contract
    async def test_those_that_are_not_due_are_found(self) -> None:
        queue = await self.make_queue()
        await self.put(queue, b"now")
        late = [await self.delayed(queue, b"late", seconds, partition=2) for seconds in (30, 20)]
        far = await self.delayed(queue, b"far", 40 * 24 * 3600 // 2)
        every = [Address(1, far), Address(2, late[1]), Address(2, late[0])]
        found = await self.store.delayed(queue, 10, Ack.MAJORITY)
        self.assertEqual(sorted(found, key=lambda one: (one.partition, one.id)), every)
        self.assertEqual(len(await self.store.delayed(queue, 2, Ack.MAJORITY)), 2)
        await self.subject.advance(25)
        self.assertEqual(set(await self.store.delayed(queue, 10, Ack.MAJORITY)), {Address(1, far), Address(2, late[0])})
        await self.store.remove(queue, [Address(1, far)], Ack.MAJORITY)
        self.assertEqual(await self.store.delayed(queue, 10, Ack.MAJORITY), (Address(2, late[0]),))
        await self.store.forget(queue)
        self.assertEqual(await self.store.delayed(queue, 10, Ack.MAJORITY), ())

    @contract
    async def test_a_purge_leaves_what_is_to_come(self) -> None:
        queue = await self.make_queue()
        await self.put(queue, b"now")
        await self.delayed(queue, b"delayed", 10)
        await self.replace(queue, foreign_id(20), b"put")
        await self.store.purge(queue, HIGHEST, Ack.MAJORITY)
        self.assertEqual((await self.shown(queue), await self.counted(queue)), ([], 2))
        await self.subject.advance(11)
        self.assertEqual(await self.shown(queue), [b"delayed"])
        await self.store.purge(queue, HIGHEST, Ack.MAJORITY)
        self.assertEqual((await self.shown(queue), await self.counted(queue)), ([], 1))

    @contract
    async def test_of_a_queue_that_is_gone_or_made_anew(self) -> None:
        queue = await self.make_queue()
        await self.delayed(queue, b"a", 10)
        await self.store.forget(queue)
        await self.fails(NoSuchQueue, self.store.append(queue, [new(b"b", delay=5)], TERMS))
        anew = await self.make_queue()
        await self.subject.advance(11)
        self.assertEqual(await self.shown(queue) + await self.shown(anew), [])

    @after_restart
    async def test_over_restarts(self) -> None:
        queue = await self.make_queue()
        ids = [await self.delayed(queue, b"%d" % delay, delay) for delay in (20, 10, 30)]
        await self.subject.reopen()
        self.assertEqual((await self.shown(queue), await self.counted(queue)), ([], 3))
        (now,) = await self.put(queue, b"now")
        self.assertLess(now, min(ids))
        await self.subject.advance(11)
        self.assertEqual(await self.shown(queue), [b"now", b"10"])
        self.subject.wall.seconds = START + 21
        await self.subject.reopen()
        await self.subject.advance(0.5)
        self.assertEqual(await self.shown(queue), [b"now", b"10", b"20"])

    @contract
    async def test_a_clock_that_is_set(self) -> None:
        queue = await self.make_queue()
        await self.delayed(queue, b"100", 100)
        self.subject.wall.seconds = START - 50
        back = await self.delayed(queue, b"back", 1)
        (now,) = await self.put(queue, b"now")
        self.assertLess(now, back)
        self.assertEqual(await self.shown(queue), [b"now"])
        self.subject.wall.seconds = START + 50
        await self.subject.advance(2)
        self.assertEqual(await self.shown(queue), [b"now", b"back"])
        await self.subject.advance(50)
        self.assertEqual(await self.shown(queue), [b"now", b"back", b"100"])
