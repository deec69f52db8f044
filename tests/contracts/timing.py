"""The contract of IMessageStore: what the clock does to messages, and the limits on their bytes."""

from __future__ import annotations

from queuey.model.applications.policy import Ack
from queuey.model.messages.message import MAX_TTL, Address
from queuey.model.reading.window import Window
from queuey.model.timeid import SECOND, Ticks, make, ticks_of
from tests.contracts.reading import TERMS, MessagesCase, bodies, foreign_id, new, read
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
        """The clock was ahead for a while: what is below the last id shows, and the store reports that."""
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
