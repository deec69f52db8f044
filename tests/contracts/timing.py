"""The contract of IMessageStore: what the clock does to messages, and the limits on their bytes."""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred

from queuey.errors import NoSuchQueue, StorageFull
from queuey.model.message import MAX_DELAY, MAX_TTL, Address, Content, NewMessage
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue
from queuey.model.timeid import HIGHEST, SECOND, MessageId, Ticks, from_seconds, make, ticks_of
from queuey.model.window import Merge, Window
from tests.contracts.reading import TERMS, TTL, MessagesCase, bodies, foreign_id, look_up, new, read
from tests.contracts.subject import START, WatchedSubject, after_restart, contract


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
        removed, ended, kept = foreign_id(10), foreign_id(11), foreign_id(9)
        await self.replace(queue, removed, b"removed")
        await self.replace(queue, ended, b"ended", ttl=5)
        await self.replace(queue, kept, b"not purged")
        self.assertEqual(await self.store.remove(queue, [Address(1, removed)], Ack.ONE), 1)
        await self.store.purge(queue, removed, Ack.ONE)
        await self.subject.advance(7)
        self.assertEqual(await self.counted(queue), 1)
        await self.subject.advance(10)
        self.assertEqual(await self.shown(queue), [b"not purged"])

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


class DelayContract(MessagesCase):
    """A message that is delayed has its place where its time is, and nobody else's place changes by it."""

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


class ArrivalContract(MessagesCase):
    """A store that tells what falls due tells it in time, and of the right queues; one that does not says so."""

    subject: WatchedSubject

    async def arrived(self, seconds: float) -> set[int]:
        """Of which queues the store tells while so much time passes."""
        del self.subject.arrived[:]
        await self.subject.advance(seconds)
        return set(self.subject.arrived)

    @contract
    async def test_what_falls_due(self) -> None:
        if self.subject.pause is not None:
            self.assertGreater(self.subject.pause, 0)
            return
        one, two = await self.make_queue("one"), await self.make_queue("two")
        await self.make_queue("three")
        for queue, delay in ((one, 10), (two, 10.1), (two, 20)):
            await self.store.append(queue, [new(b"x", delay=delay)], TERMS)
        await self.replace(one, foreign_id(30), b"x")
        for passed, told in (
            (9.75, set()),
            (0.375, {one.incarnation, two.incarnation}),
            (9.5, set()),
            (0.5, {two.incarnation}),
            (9.5, set()),
            (0.5, {one.incarnation}),
            (9, set()),
        ):
            self.assertEqual(await self.arrived(passed), told)

    @contract
    async def test_what_is_put_for_now(self) -> None:
        if self.subject.pause is not None:
            return
        queue = await self.make_queue()
        (last,) = await self.put(queue, b"a")
        await self.put_at(queue, Address(1, make(Ticks(ticks_of(last) + SECOND // 4), 5, 7)), b"b")
        self.assertEqual(await self.arrived(0.2), set())
        self.assertEqual(await self.arrived(0.1), {queue.incarnation})

    @contract
    async def test_what_later_ids_have_passed(self) -> None:
        """The clock was ahead for a while: what is below the last id shows, and that is told."""
        if self.subject.pause is not None:
            return
        queue, other = await self.make_queue(), await self.make_queue("other")
        await self.store.append(queue, [new(b"x", delay=10)], TERMS)
        self.subject.wall.seconds = START + 20
        await self.put(other, b"y")
        self.subject.wall.seconds = START
        self.assertEqual(await self.shown(queue), [b"x"])
        self.assertEqual(await self.arrived(1.5), {queue.incarnation})
        self.assertEqual(await self.arrived(20), set())

    @contract
    async def test_many_at_once(self) -> None:
        if self.subject.pause is not None:
            return
        queues = [await self.make_queue(f"{number}") for number in range(8)]
        for queue in queues:
            await self.store.append(queue, [new(b"x", delay=1)] * 200, TERMS)
        self.assertEqual(await self.arrived(1.5), {queue.incarnation for queue in queues})

    @after_restart
    async def test_over_a_restart(self) -> None:
        if self.subject.pause is not None:
            return
        queue = await self.make_queue()
        await self.store.append(queue, [new(b"x", delay=5)], TERMS)
        await self.subject.reopen()
        self.assertEqual(await self.arrived(6), {queue.incarnation})


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
