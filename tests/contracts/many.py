"""The contract of IMessageStore: many queues read as one log, and which queues were changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from random import Random

from attrs import evolve
from twisted.internet.defer import CancelledError

from queuey.errors import Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue
from queuey.model.reading.many import ManyRange, ManySlice, StorePosition, after_id, number_of, position_of
from queuey.model.reading.window import SLICE_BYTES, SLICE_ROWS
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, successor
from tests.contracts.reading import LIMIT_OF_SLICES, TERMS, MessagesCase, foreign_id, new
from tests.contracts.subject import after_restart, contract

ALL = ManyRange()

Shown = tuple[str, bytes]
"""A message as a reader of many queues sees it: the name of its queue, and its body."""


def check(asked: ManyRange, queues: Sequence[Queue], piece: ManySlice) -> None:
    """Hold a slice against what was asked for."""
    assert len(piece.messages) == len(piece.queues)
    assert set(piece.queues) <= {queue.incarnation for queue in queues}
    places = [position_of(queue, message) for queue, message in zip(piece.queues, piece.messages, strict=True)]
    assert places == sorted(set(places)), places
    assert all(asked.lower < place and place.id < asked.upper for place in places)
    assert len(places) <= min(asked.limit, SLICE_ROWS)
    sizes = [len(message.content.body) for message in piece.messages]
    assert sum(sizes) <= min(asked.max_bytes, SLICE_BYTES) or len(sizes) == 1, sizes
    assert max([asked.lower, *places]) <= piece.position
    assert piece.position <= max(asked.lower, StorePosition(min(asked.upper, piece.stable)))


class ManyCase(MessagesCase):
    """What the suites over many queues share."""

    async def make_queues(self, *names: str, partitions: int = 3) -> list[Queue]:
        return [await self.make_queue(name, partitions=partitions) for name in names]

    async def first(self, queues: Sequence[Queue], asked: ManyRange) -> ManySlice:
        piece = await self.store.read_many(queues, asked, [Ack.MAJORITY] * len(queues))
        check(asked, queues, piece)
        return piece

    async def walk(self, queues: Sequence[Queue], asked: ManyRange = ALL) -> list[list[Shown]]:
        """All slices of a range that are not empty."""
        names = {queue.incarnation: queue.name for queue in queues}
        found = []
        for _ in range(LIMIT_OF_SLICES):
            piece = await self.first(queues, asked)
            if piece.messages:
                some = zip(piece.queues, piece.messages, strict=True)
                found.append([(names[queue], message.content.body) for queue, message in some])
            if piece.over:
                return found
            asked = evolve(asked, lower=piece.position)
        raise AssertionError("a read of many queues came to no end")

    async def shown_by(self, queues: Sequence[Queue], asked: ManyRange = ALL) -> list[Shown]:
        return [each for page in await self.walk(queues, asked) for each in page]

    async def fill(self, queues: Sequence[Queue], count: int, size: int = 0) -> list[Shown]:
        """Messages one after another, here and there; what readers of all queues see."""
        random, expected = Random(count), []
        for number in range(count):
            queue, text = random.choice(queues), b"%d" % number + b"." * size
            await self.put(queue, text, partition=random.randint(1, 3))
            expected.append((queue.name, text))
        return expected


class ManyContract(ManyCase):
    """What ``read_many`` promises."""

    @contract
    async def test_many_queues_are_one_log(self) -> None:
        queues = await self.make_queues("a", "b", "c", "d")
        expected = await self.fill(queues, 40)
        self.assertEqual(await self.shown_by(queues), expected)
        self.assertEqual(await self.shown_by(queues[::-1]), expected)
        self.assertEqual(await self.shown_by(queues[1:3]), [each for each in expected if each[0] in "bc"])
        self.assertEqual(await self.shown_by(queues[:1]), [each for each in expected if each[0] == "a"])

    @contract
    async def test_no_queue_and_no_message(self) -> None:
        piece = await self.first([], ALL)
        self.assertEqual((piece.messages, piece.over, piece.ended), ((), True, ()))
        queues = await self.make_queues("a", "b")
        piece = await self.first(queues, ALL)
        self.assertEqual((piece.messages, piece.over, piece.purged, piece.ended), ((), True, (), ()))

    @contract
    async def test_limits(self) -> None:
        queues = await self.make_queues("a", "b", "c")
        expected = await self.fill(queues, 12)
        for limit in (1, 2, 5, 11, 12, 13, 5000):
            pages = await self.walk(queues, evolve(ALL, limit=limit))
            self.assertEqual(pages, [expected[start : start + limit] for start in range(0, 12, limit)])

    @contract
    async def test_bytes(self) -> None:
        queues = await self.make_queues("a", "b", "c")
        expected = await self.fill(queues, 7, size=9)
        for most, number in ((5, 1), (10, 1), (20, 2), (29, 2), (30, 3), (1 << 40, 7)):
            pages = await self.walk(queues, evolve(ALL, max_bytes=most))
            self.assertEqual(pages, [expected[start : start + number] for start in range(0, 7, number)], most)

    @contract
    async def test_large_bodies(self) -> None:
        queues = await self.make_queues("a", "b", "c")
        sizes = [600_000, 500_000, 400_000, SLICE_BYTES, SLICE_BYTES + 1, 1, 2 * SLICE_BYTES]
        texts = [b"%d" % number * size for number, size in enumerate(sizes)]
        for number, text in enumerate(texts):
            await self.put(queues[number % 3], text)
        found = await self.shown_by(queues, evolve(ALL, max_bytes=16 << 20))
        self.assertEqual([body for _, body in found], texts)

    @contract
    async def test_every_place(self) -> None:
        queues = await self.make_queues("a", "b")
        expected = await self.fill(queues, 8)
        piece = await self.first(queues, ALL)
        places = [position_of(queue, one) for queue, one in zip(piece.queues, piece.messages, strict=True)]
        for number, place in enumerate(places):
            self.assertEqual(await self.shown_by(queues, evolve(ALL, lower=place)), expected[number + 1 :])
            self.assertEqual(await self.shown_by(queues, evolve(ALL, lower=after_id(place.id))), expected[number + 1 :])
            self.assertEqual(await self.shown_by(queues, evolve(ALL, upper=place.id)), expected[:number])
        self.assertEqual(await self.shown_by(queues, evolve(ALL, lower=StorePosition(HIGHEST))), [])

    @contract
    async def test_a_place_does_not_depend_on_the_choice(self) -> None:
        queues = await self.make_queues("a", "b", "c")
        expected = await self.fill(queues, 20)
        piece = await self.first(queues[:2], evolve(ALL, limit=4))
        last = position_of(piece.queues[-1], piece.messages[-1])
        (all_of_them,) = await self.walk(queues)
        seen = all_of_them.index(
            (queues[piece.queues[-1] == queues[1].incarnation].name, piece.messages[-1].content.body)
        )
        self.assertEqual(await self.shown_by(queues, evolve(ALL, lower=last)), expected[seen + 1 :])

    @contract
    async def test_ids_that_are_equal_in_several_queues_are_told_apart(self) -> None:
        queues = await self.make_queues("a", "b", "c", "d")
        alike = foreign_id(-2)
        for queue in queues:
            for partition in (3, 1):
                await self.replace(queue, alike, b"%d" % partition, partition=partition)
        await self.fill(queues, 3)
        ordered = sorted(queues, key=lambda queue: number_of(queue.incarnation))
        expected = [(queue.name, body) for queue in ordered for body in (b"1", b"3")]
        for limit in (1, 2, 3, 100):
            found = await self.shown_by(queues, evolve(ALL, limit=limit))
            self.assertEqual((found[:8], len(found)), (expected, 11), limit)
        self.assertEqual(len(await self.shown_by(queues, evolve(ALL, lower=after_id(alike)))), 3)
        self.assertEqual(len(await self.shown_by(queues, evolve(ALL, lower=StorePosition(successor(alike))))), 3)

    @contract
    async def test_more_queues_than_a_turn_looks_at(self) -> None:
        queues = [await self.make_queue(f"q{number}", partitions=2) for number in range(150)]
        expected = []
        for number in range(300):
            queue = queues[number * 7 % 150]
            text = b"%d" % number
            await self.put(queue, text, partition=1 + number % 2)
            expected.append((queue.name, text))
        self.assertEqual(await self.shown_by(queues), expected)
        self.assertEqual(await self.shown_by(queues, evolve(ALL, limit=7)), expected)
        self.assertEqual(await self.shown_by(queues, evolve(ALL, limit=1000)), expected)

    @contract
    async def test_what_has_expired_is_passed_over(self) -> None:
        queues = await self.make_queues("a", "b", "c")
        for number in range(6):
            await self.put(queues[number % 3], *[b"x"] * 400, ttl=10)
            await self.put(queues[number % 2], b"%d" % number, ttl=20)
        self.subject.wall.seconds += 15
        for limit in (1, 2, 6, 1000):
            found = await self.shown_by(queues, evolve(ALL, limit=limit))
            self.assertEqual([body for _, body in found], [b"%d" % number for number in range(6)])

    @contract
    async def test_purges_are_told_for_each_queue(self) -> None:
        queues = await self.make_queues("a", "b", "c")
        await self.fill(queues, 9)
        first = await self.first(queues, evolve(ALL, limit=2))
        await self.store.purge(queues[1], HIGHEST, Ack.MAJORITY)
        piece = await self.first(queues, evolve(ALL, lower=first.position))
        ((incarnation, bound),) = piece.purged
        self.assertEqual(incarnation, queues[1].incarnation)
        self.assertGreater(bound, first.position.id)
        self.assertNotIn(queues[1].incarnation, piece.queues)
        after = await self.first(queues, evolve(ALL, lower=StorePosition(bound)))
        self.assertEqual(after.purged, ())

    @contract
    async def test_queues_that_were_deleted(self) -> None:
        queues = await self.make_queues("a", "b")
        await self.fill(queues, 6)
        await self.store.forget(queues[0])
        again = await self.make_queue("a")
        await self.put(again, b"new")
        piece = await self.first([*queues, again], ALL)
        self.assertEqual(piece.ended, (queues[0].incarnation,))
        self.assertNotIn(queues[0].incarnation, piece.queues)
        self.assertEqual(piece.messages[-1].content.body, b"new")

    @contract
    async def test_partitions_that_were_added(self) -> None:
        queue = await self.make_queue("a", partitions=1)
        more = await self.store.update(queue, evolve(queue.settings, partitions=3))
        await self.put(more, b"there", partition=3)
        self.assertEqual(await self.shown_by([queue]), [("a", b"there")])

    @contract
    async def test_delayed_messages_come_in_their_time(self) -> None:
        queues = await self.make_queues("a", "b")
        await self.store.append(queues[0], [new(b"later", delay=10)], TERMS)
        await self.put(queues[1], b"now")
        piece = await self.first(queues, ALL)
        self.assertEqual([one.content.body for one in piece.messages], [b"now"])
        await self.subject.advance(11)
        await self.put(queues[1], b"last")
        found = await self.shown_by(queues, evolve(ALL, lower=piece.position))
        self.assertEqual(found, [("a", b"later"), ("b", b"last")])

    @contract
    async def test_readers_that_go_on_miss_nothing(self) -> None:
        queues = await self.make_queues("a", "b", "c")
        random, place, expected, found = Random(3), ALL.lower, [], []
        for number in range(60):
            queue, text = random.choice(queues), b"%d" % number
            await self.put(queue, text, partition=random.randint(1, 3))
            expected.append(text)
            if random.random() < 0.4:
                piece = await self.first(queues, evolve(ALL, lower=place, limit=random.randint(1, 4)))
                found += [one.content.body for one in piece.messages]
                place = piece.position
        found += [body for _, body in await self.shown_by(queues, evolve(ALL, lower=place))]
        self.assertEqual(found, expected)

    @contract
    async def test_it_may_be_cancelled(self) -> None:
        queues = await self.make_queues("a", "b")
        await self.fill(queues, 2)
        answer = self.store.read_many(queues, ALL, [Ack.MAJORITY] * 2)
        answer.cancel()
        with suppress(CancelledError):
            await answer
        self.assertEqual(len(await self.shown_by(queues)), 2)

    @after_restart
    async def test_after_a_restart(self) -> None:
        queues = await self.make_queues("a", "b")
        expected = await self.fill(queues, 8)
        piece = await self.first(queues, evolve(ALL, limit=3))
        await self.subject.reopen()
        self.assertEqual(await self.shown_by(queues, evolve(ALL, lower=piece.position)), expected[3:])

    @contract
    async def test_a_closed_store(self) -> None:
        queues = await self.make_queues("a")
        await self.store.close()
        for call in (lambda: self.store.read_many(queues, ALL, [Ack.MAJORITY]), lambda: self.store.changes(None)):
            try:
                await call()
            except Unavailable:
                continue
            self.fail("a closed store has answered")


class ChangesContract(ManyCase):
    """What ``changes`` promises; a store that does not know its changes says so."""

    async def since(self, mark: int | None) -> tuple[int, set[str] | None, set[int], MessageId]:
        """The next mark, the names of the changed queues, the incarnations that ended, and the stable bound."""
        names: set[str] = set()
        ended: set[int] = set()
        while True:
            changes = await self.store.changes(mark)
            mark = changes.mark
            if changes.queues is None:
                return mark, None, ended, changes.stable
            names |= {queue.name for queue in changes.queues}
            ended |= set(changes.ended)
            if changes.over:
                return mark, names, ended, changes.stable

    async def known(self) -> int | None:
        """A mark; ``None`` if the store does not know its changes."""
        mark, _, _, _ = await self.since(None)
        mark, names, _, _ = await self.since(mark)
        return None if names is None else mark

    @contract
    async def test_a_first_call_knows_nothing(self) -> None:
        await self.make_queue()
        _, names, _, _ = await self.since(None)
        self.assertIsNone(names)

    @contract
    async def test_each_kind_of_change(self) -> None:
        queues = await self.make_queues("a", "b", "c")
        ids = await self.put(queues[0], b"x", b"y")
        mark = await self.known()
        if mark is None:
            return

        async def changed(*names: str) -> None:
            nonlocal mark
            mark, found, _, _ = await self.since(mark)
            self.assertLessEqual(set(names), found or set())

        await self.put(queues[0], b"z")
        await changed("a")
        await self.store.remove(queues[0], [Address(1, ids[0])], Ack.MAJORITY)
        await self.put(queues[2], b"z")
        await changed("a", "c")
        await self.store.purge(queues[0], HIGHEST, Ack.MAJORITY)
        await changed("a")
        await self.replace(queues[1], foreign_id(-1), b"put")
        await changed("b")
        queues[1] = await self.store.update(queues[1], evolve(queues[1].settings, ttl=99))
        changes = await self.store.changes(mark)
        self.assertEqual([one.version for one in changes.queues or () if one.name == "b"], [queues[1].version])
        mark = changes.mark
        await self.store.close_queue(queues[1], (), TERMS, None)
        await changed("b")
        await self.make_queue("d", "other")
        await changed("d")
        await self.store.forget(queues[2])
        mark, names, ended, _ = await self.since(mark)
        self.assertIn(queues[2].incarnation, ended)
        self.assertNotIn("c", names or set())
        _, names, _, _ = await self.since(mark)
        self.assertEqual(names, set())

    @contract
    async def test_what_shows_is_told(self) -> None:
        """A reader that reads the changed queues alone misses no message, whatever the others write."""
        queues = await self.make_queues("a", "b", "c", "d")
        mark = await self.known()
        if mark is None:
            return
        random, place, expected, found = Random(5), ALL.lower, [], []
        by_name = {queue.name: queue for queue in queues}
        for number in range(80):
            text = b"%d" % number
            delay = random.choice((0, 0, 0, 0.5))
            await self.store.append(random.choice(queues), [new(text, delay=delay)], TERMS)
            expected.append(text)
            if random.random() < 0.3:
                await self.subject.advance(random.choice((0, 0.25)))
                mark, names, _, stable = await self.since(mark)
                some = [by_name[name] for name in sorted(names or ())]
                piece = await self.first(some, evolve(ALL, lower=place, upper=stable, limit=1000))
                self.assertTrue(piece.over)
                found += [one.content.body for one in piece.messages]
                place = max(place, StorePosition(stable))
        await self.subject.advance(1)
        found += [body for _, body in await self.shown_by(queues, evolve(ALL, lower=place))]
        self.assertEqual(sorted(found), sorted(expected))

    @contract
    async def test_a_mark_that_is_too_old(self) -> None:
        await self.make_queue("a")
        if await self.known() is None:
            return
        for mark in (1 << 40, 1 << 62):
            changes = await self.store.changes(mark)
            self.assertIsNone(changes.queues)
            self.assertGreaterEqual(changes.stable, LOWEST)
