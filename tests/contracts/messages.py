"""The contract of IMessageStore: appending, reading, replacing, removing, counting."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from queuey.interfaces import IMessageStore, IStore
from queuey.model.applications.policy import Ack
from queuey.model.messages.batch import Drafts, NewMessages
from queuey.model.messages.message import MAX_TTL, Address, Content, Message, NewMessage
from queuey.model.reading.window import Window
from queuey.model.timeid import SECOND, MessageId, from_seconds, successor, ticks_of
from tests.contracts.reading import TERMS, MessagesCase, bodies, foreign_id, look_up, new, read
from tests.contracts.subject import START, after_restart, contract

HUGE = 10**30


class AppendContract(MessagesCase):
    """What ``append`` promises."""

    def test_it_provides_the_interface(self) -> None:
        verifyObject(IStore, self.store)
        verifyObject(IMessageStore, self.store)

    @contract
    async def test_one(self) -> None:
        queue = await self.make_queue()
        content = Content(b"hello", "text/plain; charset=\u00fc", b"a: b")
        (id,) = await self.store.append(queue, [NewMessage(2, content, 60)], TERMS)
        self.assertEqual(abs(ticks_of(id) - from_seconds(START)), 1)
        expected = Message(2, id, content, from_seconds(START + 60))
        self.assertEqual(await read(self.store, queue, Window((2,))), [expected])
        self.assertEqual(await look_up(self.store, queue, [Address(2, id)]), [expected])

    @contract
    async def test_none(self) -> None:
        queue = await self.make_queue()
        self.assertEqual(await self.put(queue), [])
        self.assertEqual(await self.counted(queue), 0)

    @contract
    async def test_many_keep_their_order(self) -> None:
        queue = await self.make_queue()
        texts = [b"%d" % number for number in range(300)]
        first = await self.put(queue, *texts[:200])
        second = await self.put(queue, *texts[200:])
        ids = first + second
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(await self.shown(queue), texts)

    @contract
    async def test_a_batch_over_partitions_and_times_to_live(self) -> None:
        queue = await self.make_queue()
        messages = [new(b"a", 2, 10), new(b"b", 1, 20), new(b"c", 2, MAX_TTL)]
        ids = await self.store.append(queue, messages, TERMS)
        self.assertEqual(list(ids), sorted(ids))
        found = await read(self.store, queue, Window((1, 2)))
        self.assertEqual([(m.content.body, m.partition, m.id) for m in found], [
            (b"b", 1, ids[1]),
            (b"a", 2, ids[0]),
            (b"c", 2, ids[2]),
        ])  # fmt: skip
        start = from_seconds(START)
        self.assertEqual([(m.expires - start) // SECOND for m in found], [20, 10, MAX_TTL])

    @contract
    async def test_a_message_lives_from_the_clock_on_that_stored_it(self) -> None:
        """Its own time is a little later: at least a tick, and one more for each message of a batch before it."""
        queue = await self.make_queue()
        alike = NewMessages(Drafts([b"c", b"d", b"e"], 30), [1, 1, 1])
        stored = from_seconds(START)
        for messages in ([new(b"a", 1, 10)], [new(b"a", 1, 10), new(b"b", 1, 20)], alike):
            ids = await self.store.append(queue, messages, TERMS)
            for message in await look_up(self.store, queue, [Address(1, id) for id in ids]):
                born = message.expires - messages[ids.index(message.id)].ttl * SECOND
                self.assertLess(born, ticks_of(message.id), message)
                self.assertLess(abs(born - stored), SECOND, message)

    @contract
    async def test_bodies_of_every_kind(self) -> None:
        queue = await self.make_queue()
        texts = [b"\0", b"a\0b\0", bytes(range(256)), b"x" * (1 << 20), "\U0001f600".encode(), b"", b"\xff\xfe"]
        ids = await self.put(queue, *texts)
        self.assertEqual(await self.shown(queue), texts)
        self.assertEqual(await self.found(queue, *ids), texts)

    @contract
    async def test_ids_rise_over_queues_and_applications(self) -> None:
        ids: list[MessageId] = []
        for number in range(6):
            queue = await self.make_queue(f"q{number}", f"app{number % 2}")
            ids += await self.put(queue, b"a", b"b", partition=1 + number % 3)
        self.assertEqual(ids, sorted(set(ids)))

    @contract
    async def test_ids_rise_though_the_clock_is_set_back(self) -> None:
        queue = await self.make_queue()
        ids = await self.put(queue, b"a", b"b")
        for back in (1, 3600, START):
            self.subject.wall.seconds = START - back
            ids += await self.put(queue, b"c", b"d", ttl=MAX_TTL)
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(len(await self.shown(queue)), 8)

    @after_restart
    async def test_ids_rise_over_restarts_deletions_and_a_clock_set_back(self) -> None:
        queue = await self.make_queue()
        ids = await self.put(queue, b"a", b"b", b"c")
        await self.store.remove(queue, [Address(1, id) for id in ids[1:]], Ack.MAJORITY)
        self.subject.wall.seconds = START - 10
        await self.subject.reopen()
        ids += await self.put(queue, b"d")
        await self.store.forget(queue)
        await self.subject.advance(2)
        await self.subject.reopen()
        ids += await self.put(await self.make_queue("other"), b"e")
        self.assertEqual(ids, sorted(set(ids)))

    @after_restart
    async def test_messages_outlive_a_restart(self) -> None:
        queue = await self.make_queue()
        ids = await self.put(queue, b"a", b"b")
        await self.put(queue, b"c", partition=2)
        await self.subject.reopen()
        self.assertEqual(await self.shown(queue, 1, 2), [b"a", b"b", b"c"])
        self.assertEqual(await self.found(queue, *ids), [b"a", b"b"])
        self.assertEqual(await self.counted(queue), 3)


class ScanContract(MessagesCase):
    """What ``scan`` and ``lookup`` promise."""

    @contract
    async def test_bounds_exactly_at_an_id(self) -> None:
        queue = await self.make_queue()
        a, b, c = await self.put(queue, b"a", b"b", b"c")
        for descending in (False, True):
            for lower, upper, expected in (
                (b, c, [b"b"]),
                (a, c, [b"a", b"b"]),
                (b, successor(c), [b"b", b"c"]),
                (successor(a), successor(b), [b"b"]),
                (successor(c), successor(successor(c)), []),
                (b, b, []),
                (c, a, []),
            ):
                wanted = expected[::-1] if descending else expected
                got = await self.shown(queue, lower=lower, upper=upper, descending=descending)
                self.assertEqual(got, wanted, (lower, upper, descending))

    @contract
    async def test_nothing_there(self) -> None:
        queue = await self.make_queue()
        self.assertEqual(await self.shown(queue, 1, 2, 3), [])
        await self.put(queue, b"a", partition=2)
        self.assertEqual(await self.shown(queue, 1, 3), [])

    @contract
    async def test_partitions_in_the_order_asked_each_with_the_limit(self) -> None:
        queue = await self.make_queue()
        for number in range(4):
            for partition in (1, 2, 3):
                await self.put(queue, b"%d-%d" % (partition, number), partition=partition)
        self.assertEqual(await self.shown(queue, 3, 1, 2, limit=2), [b"3-0", b"3-1", b"1-0", b"1-1", b"2-0", b"2-1"])
        self.assertEqual(await self.shown(queue, 1, 3, limit=2, descending=True), [b"1-3", b"1-2", b"3-3", b"3-2"])

    @contract
    async def test_a_partition_that_is_not_there(self) -> None:
        queue = await self.make_queue()
        (id,) = await self.put(queue, b"a")
        self.assertEqual(await self.shown(queue, 99, 0, -1, HUGE, -HUGE, 1), [b"a"])
        addresses = [Address(partition, id) for partition in (HUGE, 1, -HUGE, 0, 2)]
        self.assertEqual(bodies(await look_up(self.store, queue, addresses)), [b"a"])
        self.assertEqual(await self.store.remove(queue, [Address(HUGE, id)], Ack.MAJORITY), 0)

    @contract
    async def test_slices_of_many_rows(self) -> None:
        queue = await self.make_queue()
        texts = [b"%d" % number for number in range(2500)]
        await self.put(queue, *texts)
        await self.put(queue, *texts[:700], partition=2)
        self.assertEqual(await self.shown(queue, 1, 2, limit=2400), texts[:2400] + texts[:700])
        self.assertEqual(await self.shown(queue, 2, 1, limit=1100, descending=True), texts[699::-1] + texts[:1399:-1])

    @contract
    async def test_slices_of_large_bodies(self) -> None:
        queue = await self.make_queue()
        texts = [letter * 600_000 for letter in (b"a", b"b", b"c", b"d", b"e")]
        ids = await self.put(queue, *texts)
        piece = await self.store.read_range(queue, Window((1,)), Ack.ONE)
        self.assertEqual(bodies(piece.messages), texts[:2])
        self.assertEqual(await self.shown(queue), texts)
        self.assertEqual(await self.shown(queue, descending=True), texts[::-1])
        self.assertEqual(await self.shown(queue, limit=3), texts[:3])
        self.assertEqual(await self.found(queue, *ids, ids[0]), [*texts, texts[0]])

    @contract
    async def test_a_slice_goes_over_several_partitions(self) -> None:
        queue = await self.make_queue(partitions=200)
        await self.store.append(queue, [new(b"%d" % number, number) for number in range(1, 201)], TERMS)
        piece = await self.store.read_range(queue, Window(tuple(range(1, 201))), Ack.ONE)
        self.assertEqual(bodies(piece.messages), [b"%d" % number for number in range(1, 201)])

    @contract
    async def test_a_reader_who_goes_on_after_the_last_id_misses_nothing(self) -> None:
        queue = await self.make_queue()
        seen: list[bytes] = []
        last = MessageId(bytes(16))
        for number in range(30):
            await self.put(queue, b"%d" % number)
            if number % 3 == 0:
                found = await read(self.store, queue, Window((1,), successor(last)))
                seen += bodies(found)
                last = found[-1].id
            self.subject.wall.seconds += (-5, 1, 3)[number % 3]
        seen += await self.shown(queue, lower=successor(last))
        self.assertEqual(seen, [b"%d" % number for number in range(30)])

    @contract
    async def test_lookup_in_the_order_asked_twice_given_twice(self) -> None:
        queue = await self.make_queue()
        a, b = await self.put(queue, b"a", b"b")
        (c,) = await self.put(queue, b"c", partition=2)
        asked = [Address(2, c), Address(1, b), Address(1, foreign_id(1)), Address(2, a), Address(1, a), Address(1, b)]
        self.assertEqual(bodies(await look_up(self.store, queue, asked)), [b"c", b"b", b"a", b"b"])
        self.assertEqual(await look_up(self.store, queue, []), [])

    @contract
    async def test_lookup_of_many(self) -> None:
        queue = await self.make_queue()
        texts = [b"%d" % number for number in range(2300)]
        ids = await self.put(queue, *texts)
        self.assertEqual(await self.found(queue, *ids[::-1]), texts[::-1])

    @contract
    async def test_other_queues_do_not_show(self) -> None:
        one, other = await self.make_queue("one"), await self.make_queue("other")
        foreign = await self.make_queue("one", "app2")
        (id,) = await self.put(one, b"a")
        for queue in (other, foreign):
            self.assertEqual(await self.everywhere(queue, id), (0, 0, 0))

    @contract
    async def test_cancelled_reads_harm_nothing(self) -> None:
        queue = await self.make_queue()
        (id,) = await self.put(queue, b"a")
        for _ in range(5):
            for answer in (
                self.store.read_range(queue, Window((1,)), Ack.ONE),
                self.store.lookup(queue, [Address(1, id)], Ack.ONE),
                self.store.count(queue, Ack.ONE),
                self.store.names("app", "", 10, ""),
                self.store.describe("app", ["queue"]),
                self.store.states.read("key"),
            ):
                await self.cancel(answer)
        self.assertEqual(await self.everywhere(queue, id), (1, 1, 1))

    async def cancel(self, answer: Deferred[Any]) -> None:
        """Cancel a read; where it was quicker, its answer stands."""
        early = answer.called
        answer.cancel()
        if early:
            await answer
        else:
            await self.fails(CancelledError, answer)
