"""The contract of IMessageStore: single messages put under ids of their clients, on conditions."""

from __future__ import annotations

from queuey.errors import IdOutOfRange, NoSuchQueue, PreconditionFailed, StorageFull, Unavailable
from queuey.interfaces import AHEAD
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import ANYWAY, Address, Condition, Content, Message, tag_of
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Merge
from queuey.model.timeid import MessageId, Ticks, from_seconds, make, ticks_of, to_rfc3339
from tests.contracts.reading import TERMS, TTL, MessagesCase, foreign_id, look_up, new
from tests.contracts.subject import START, after_restart, contract

NEW = Condition(absent=True)
OLD = Condition(present=True)
SLACK = 1000
"""Ticks that a fresh id may be from what a test takes it to be."""


def near(id: MessageId, ticks: int) -> MessageId:
    """A client's id of so many ticks after another."""
    return make(Ticks(ticks_of(id) + ticks), 5, 7)


class PutContract(MessagesCase):
    """What ``put`` promises."""

    async def message(self, queue: Queue, address: Address) -> Message:
        (message,) = await look_up(self.store, queue, [address])
        return message

    async def refused(
        self, queue: Queue, address: Address, condition: Condition, error: type[Exception] = PreconditionFailed
    ) -> str:
        """It is refused, and nothing has changed."""
        before = await look_up(self.store, queue, [address]), await self.counted(queue)
        failure = await self.fails(error, self.put_at(queue, address, b"refused", condition))
        self.assertEqual(getattr(failure, "applied", None), "no")
        self.assertEqual((await look_up(self.store, queue, [address]), await self.counted(queue)), before)
        return str(failure)

    @contract
    async def test_a_new_message_of_now(self) -> None:
        queue = await self.make_queue()
        (last,) = await self.put(queue, b"a")
        address, content = Address(2, near(last, SLACK)), Content(b"new", "text/plain", b"{}")
        self.assertIs(await self.store.put(queue, address, content, 60, ANYWAY, TERMS), True)
        expected = Message(2, address.id, content, from_seconds(START + 60))
        self.assertEqual(await self.message(queue, address), expected)
        self.assertEqual(await self.counted(queue), 2)
        await self.subject.advance(1)
        self.assertEqual(await self.merged(queue, Merge((1, 2, 3))), [b"a", b"new"])
        (later,) = await self.put(queue, b"b")
        self.assertGreater(later, address.id)

    @contract
    async def test_a_message_that_is_there(self) -> None:
        queue = await self.make_queue()
        a, _ = await self.put(queue, b"a", b"b")
        await self.subject.advance(5)
        content = Content(b"A", "image/png", b"h")
        self.assertIs(await self.store.put(queue, Address(1, a), content, 60, ANYWAY, TERMS), False)
        self.assertEqual(await self.message(queue, Address(1, a)), Message(1, a, content, from_seconds(START + 65)))
        self.assertEqual((await self.shown(queue), await self.counted(queue)), ([b"A", b"b"], 2))

    @contract
    async def test_ids_of_which_none_is_made(self) -> None:
        queue = await self.make_queue()
        (last,) = await self.put(queue, b"a")
        for ticks in (-(1 << 50), -SLACK, AHEAD + SLACK, 1 << 50):
            address = Address(1, near(last, ticks))
            text = await self.refused(queue, address, ANYWAY, IdOutOfRange)
            self.assertIn(to_rfc3339(ticks_of(address.id)), text)
            self.assertEqual(text.count("Z"), 3)
        for ticks in (SLACK, AHEAD - SLACK):
            self.assertTrue(await self.put_at(queue, Address(1, near(last, ticks)), b"x"))

    @contract
    async def test_an_id_of_the_past_or_the_future_that_is_there(self) -> None:
        queue = await self.make_queue()
        for id in (foreign_id(-1000), foreign_id(1000)):
            await self.replace(queue, id, b"x")
            self.assertFalse(await self.put_at(queue, Address(1, id), b"y"))
            await self.refused(queue, Address(2, id), ANYWAY, IdOutOfRange)
        self.assertEqual(await self.shown(queue), [b"y"])
        await self.subject.advance(1001)
        self.assertEqual(await self.shown(queue), [b"y", b"y"])

    @contract
    async def test_only_if_there_is_none(self) -> None:
        queue = await self.make_queue()
        (last,) = await self.put(queue, b"a")
        self.assertIn("already", await self.refused(queue, Address(1, last), NEW))
        address = Address(1, near(last, SLACK))
        self.assertTrue(await self.put_at(queue, address, b"b", NEW))
        self.assertIn("already", await self.refused(queue, address, NEW))

    @contract
    async def test_only_if_there_is_one(self) -> None:
        queue = await self.make_queue()
        (last,) = await self.put(queue, b"a")
        self.assertFalse(await self.put_at(queue, Address(1, last), b"b", OLD))
        for id in (near(last, SLACK), foreign_id(-1000)):
            self.assertIn("no such message", await self.refused(queue, Address(1, id), OLD))
        await self.store.remove(queue, [Address(1, last)], Ack.MAJORITY)
        await self.refused(queue, Address(1, last), OLD)

    @contract
    async def test_only_if_it_is_the_one_that_was_seen(self) -> None:
        queue = await self.make_queue()
        address = Address(1, (await self.put(queue, b"a"))[0])
        seen = tag_of(await self.message(queue, address))
        tags = Condition(tags=frozenset({"x", seen}))
        self.assertFalse(await self.put_at(queue, address, b"b", tags))
        self.assertIn("changed in between", await self.refused(queue, address, tags))
        await self.refused(queue, address, Condition(tags=frozenset()))
        now = Condition(present=True, tags=frozenset({tag_of(await self.message(queue, address))}))
        self.assertFalse(await self.put_at(queue, address, b"c", now))
        await self.refused(queue, Address(1, near(address.id, SLACK)), now)
        self.assertEqual(await self.shown(queue), [b"c"])

    @contract
    async def test_only_if_it_is_another_one(self) -> None:
        queue = await self.make_queue()
        address = Address(1, (await self.put(queue, b"a"))[0])
        seen = tag_of(await self.message(queue, address))
        text = await self.refused(queue, address, Condition(others=frozenset({"x", seen})))
        self.assertIn("an ETag that If-None-Match names", text)
        self.assertFalse(await self.put_at(queue, address, b"b", Condition(others=frozenset({"x"}))))
        self.assertFalse(await self.put_at(queue, address, b"c", Condition(others=frozenset({seen}))))
        self.assertTrue(
            await self.put_at(queue, Address(2, near(address.id, SLACK)), b"d", Condition(others=frozenset({seen})))
        )
        self.assertEqual(await self.shown(queue), [b"c"])

    @contract
    async def test_the_same_content_again_is_another_write(self) -> None:
        queue = await self.make_queue()
        address = Address(1, (await self.put(queue, b"a"))[0])
        seen = tag_of(await self.message(queue, address))
        await self.subject.advance(1)
        await self.put_at(queue, address, b"a")
        await self.refused(queue, address, Condition(tags=frozenset({seen})))

    @contract
    async def test_what_has_ended_is_not_there(self) -> None:
        queue = await self.make_queue()
        a, b = await self.put(queue, b"a", b"b", ttl=10)
        self.subject.wall.seconds += 10
        await self.refused(queue, Address(1, a), OLD)
        await self.refused(queue, Address(1, a), ANYWAY, IdOutOfRange)
        await self.subject.advance(5)
        await self.refused(queue, Address(1, b), ANYWAY, IdOutOfRange)

    @contract
    async def test_one_that_is_delayed_stays_so(self) -> None:
        queue = await self.make_queue()
        (id,) = await self.store.append(queue, [new(b"a", delay=10)], TERMS)
        self.assertFalse(await self.put_at(queue, Address(1, id), b"A", OLD))
        self.assertEqual(await self.everywhere(queue, id), (0, 1, 1))
        await self.subject.advance(11)
        self.assertEqual(await self.shown(queue), [b"A"])

    @after_restart
    async def test_over_a_restart(self) -> None:
        queue = await self.make_queue()
        (last,) = await self.put(queue, b"a")
        await self.put_at(queue, Address(1, near(last, SLACK)), b"b", NEW)
        await self.put_at(queue, Address(1, last), b"A", OLD)
        await self.subject.reopen()
        await self.subject.advance(1)
        self.assertEqual(await self.shown(queue), [b"A", b"b"])

    @contract
    async def test_of_a_queue_that_is_gone_and_after_the_end(self) -> None:
        queue = await self.make_queue()
        (last,) = await self.put(queue, b"a")
        await self.store.forget(queue)
        for id in (last, near(last, SLACK)):
            await self.fails(NoSuchQueue, self.put_at(queue, Address(1, id), b"x"))
        await self.store.close()
        await self.fails(Unavailable, self.put_at(queue, Address(1, last), b"x"))


class ExactPutContract(MessagesCase):
    """What only stores promise that one process has to itself: to the tick, to the byte, and one after another."""

    @contract
    async def test_ids_to_the_tick(self) -> None:
        queue = await self.make_queue()
        for ahead in (5, 0, -5):
            self.subject.wall.seconds = START + ahead
            (last,) = await self.put(queue, b"a")
            newest = max(ticks_of(last), from_seconds(START + ahead)) - ticks_of(last)
            for partition, ticks in ((1, 1), (2, AHEAD)):
                self.assertTrue(await self.put_at(queue, Address(partition, near(last, newest + ticks)), b"x"))
            for ticks in (0, AHEAD + 1):
                address = Address(3, near(last, newest + ticks))
                failure = await self.fails(IdOutOfRange, self.put_at(queue, address, b"x"))
                for bound in (0, AHEAD):
                    self.assertIn(to_rfc3339(Ticks(ticks_of(last) + newest + bound)), str(failure))

    @contract
    async def test_of_many_at_once_one_makes_it(self) -> None:
        queue = await self.make_queue()
        (last,) = await self.put(queue, b"a")
        address = Address(1, near(last, SLACK))
        answers = [self.put_at(queue, address, b"%d" % number, NEW) for number in range(10)]
        self.assertTrue(await answers[0])
        for answer in answers[1:]:
            await self.fails(PreconditionFailed, answer)
        self.assertEqual(await self.found(queue, address.id), [b"0"])

    @contract
    async def test_after_an_append_in_the_same_moment(self) -> None:
        queue = await self.make_queue()
        (last,) = await self.put(queue, b"a")
        appended = self.store.append(queue, [new(b"b")] * 3, TERMS)
        early = self.put_at(queue, Address(2, near(last, 2)), b"x")
        ((*_, newest),) = [await appended]
        await self.fails(IdOutOfRange, early)
        self.assertFalse(await self.put_at(queue, Address(1, newest), b"B", OLD))
        self.assertEqual(await self.shown(queue), [b"a", b"b", b"b", b"B"])

    @contract
    async def test_what_does_not_fit(self) -> None:
        queue = await self.make_queue()
        (last,) = await self.put(queue, b"x" * 10)
        (ended,) = await self.put(queue, b"x" * 10, ttl=1)

        async def put(address: Address, size: int, limit: int) -> bool:
            terms = WriteTerms(Ack.MAJORITY, limit)
            return await self.store.put(queue, address, Content(b"y" * size), TTL, ANYWAY, terms)

        for address, size, limit in ((Address(1, last), 21, 30), (Address(1, near(ended, SLACK)), 11, 30)):
            try:
                await put(address, size, limit)
            except StorageFull as error:
                self.assertIn("30 bytes", str(error))
            else:
                self.fail("it was not refused")
        self.assertFalse(await put(Address(1, last), 20, 30))
        self.assertTrue(await put(Address(1, near(ended, SLACK)), 5, 35))
        await self.subject.advance(2)
        self.assertTrue(await put(Address(1, near(ended, 2 * SLACK + 20_000_000)), 5, 30))
