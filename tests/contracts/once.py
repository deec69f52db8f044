"""The contract of IMessageStore: a repeated write under one Idempotency-Key is stored once."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from queuey.errors import KeyInUse, KeyReused, NoSuchQueue, StorageFull, Unavailable
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address
from queuey.model.messages.once import Appended
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Merge
from queuey.model.timeid import HIGHEST
from tests.contracts.reading import TERMS, MessagesCase, bodies, look_up, new, once
from tests.contracts.subject import START, after_restart, contract

LONG_AFTER = 3600
"""Seconds by which a store may remember longer than it was asked to."""


class OnceContract(MessagesCase):
    """What ``append_once`` promises, by a store and to a queue that promise it."""

    async def stored(self, queue: Queue, appended: Appended) -> list[bytes]:
        return bodies(await look_up(self.store, queue, appended.addresses))

    @contract
    async def test_a_repeat_stores_nothing_and_is_told_the_same(self) -> None:
        queue = await self.make_queue()
        first = await self.append_once(queue, [new(b"a")], once(note="first"))
        self.assertEqual((len(first.addresses), first.note, first.duplicate), (1, "first", False))
        self.assertEqual(await self.stored(queue, first), [b"a"])
        for note in ("first", "second"):
            again = await self.append_once(queue, [new(b"a")], once(note=note))
            self.assertEqual(again, Appended(first.addresses, "first", True))
        self.assertEqual((await self.shown(queue), await self.counted(queue)), ([b"a"], 1))

    @contract
    async def test_another_request_under_the_same_key(self) -> None:
        queue = await self.make_queue()
        first = await self.append_once(queue, [new(b"a")], once())
        failure = await self.fails(KeyReused, self.append_once(queue, [new(b"b")], once(digest=b"e")))
        self.assertIn("needs a new key", str(failure))
        self.assertEqual(await self.shown(queue), [b"a"])
        self.assertEqual((await self.append_once(queue, [new(b"a")], once())).addresses, first.addresses)

    @contract
    async def test_other_keys_and_other_queues(self) -> None:
        queue, other = await self.make_queue(), await self.make_queue("other")
        made = [
            await self.append_once(queue, [new(b"a")], once(b"k")),
            await self.append_once(queue, [new(b"a")], once(b"l")),
            await self.append_once(other, [new(b"a")], once(b"k", b"e")),
        ]
        self.assertEqual([each.duplicate for each in made], [False] * 3)
        self.assertEqual(len({each.addresses[0].id for each in made}), 3)
        self.assertEqual([await self.counted(queue), await self.counted(other)], [2, 1])

    @contract
    async def test_a_batch_is_decided_as_one(self) -> None:
        queue = await self.make_queue()
        batch = [new(b"a", 2), new(b"b", 1, delay=5), new(b"c", 3, ttl=10), new(b"d", 2)]
        first = await self.append_once(queue, batch, once())
        again = await self.append_once(queue, batch, once())
        self.assertEqual(again, Appended(first.addresses, "note", True))
        self.assertEqual([address.partition for address in first.addresses], [2, 1, 3, 2])
        self.assertEqual(await self.stored(queue, first), [b"a", b"b", b"c", b"d"])
        self.assertEqual(await self.merged(queue, Merge((1, 2, 3))), [b"a", b"c", b"d"])
        await self.subject.advance(6)
        self.assertEqual(await self.merged(queue, Merge((1, 2, 3))), [b"a", b"c", b"d", b"b"])

    @contract
    async def test_a_large_batch(self) -> None:
        queue = await self.make_queue(partitions=200)
        batch = [new(b"%d" % number, 1 + number % 200) for number in range(1000)]
        first = await self.append_once(queue, batch, once())
        self.assertEqual(await self.append_once(queue, batch, once()), Appended(first.addresses, "note", True))
        self.assertEqual(await self.counted(queue), 1000)

    @contract
    async def test_many_at_once(self) -> None:
        queue = await self.make_queue()
        answers = [self.append_once(queue, [new(b"a")], once()) for _ in range(20)]
        made = await self.those_made(answers)
        self.assertEqual([each.duplicate for each in made].count(False), 1)
        self.assertEqual(len({each.addresses for each in made}), 1)
        self.assertEqual((await self.shown(queue), await self.counted(queue)), ([b"a"], 1))

    @contract
    async def test_many_at_once_with_all_kinds_of_keys(self) -> None:
        queue = await self.make_queue()
        answers = [self.append_once(queue, [new(b"%d" % (n % 7))], once(b"%d" % (n % 7))) for n in range(40)]
        plain = [self.store.append(queue, [new(b"plain")], TERMS) for _ in range(5)]
        for answer in plain:
            await answer
        made = await self.those_made(answers)
        self.assertEqual(len({each.addresses for each in made}), 7)
        self.assertEqual(sorted(await self.shown(queue)), sorted([b"%d" % n for n in range(7)] + [b"plain"] * 5))

    async def those_made(self, answers: list[Deferred[Appended]]) -> list[Appended]:
        """What came of calls of which some may have met another one under way."""
        made: list[Appended] = []
        for answer in answers:
            try:
                made.append(await answer)
            except KeyInUse as error:
                self.assertGreater(error.retry_after, 0)
        return made

    @contract
    async def test_neither_deletion_nor_the_end_of_its_messages_forgets_a_key(self) -> None:
        queue = await self.make_queue()
        removed = await self.append_once(queue, [new(b"a")], once(b"a"))
        purged = await self.append_once(queue, [new(b"b")], once(b"b"))
        ended = await self.append_once(queue, [new(b"c", ttl=2)], once(b"c"))
        await self.store.remove(queue, removed.addresses, Ack.MAJORITY)
        await self.subject.advance(5)
        await self.store.purge(queue, HIGHEST, Ack.MAJORITY)
        for key, first in ((b"a", removed), (b"b", purged), (b"c", ended)):
            again = await self.append_once(queue, [new(b"x")], once(key))
            self.assertEqual(again, Appended(first.addresses, "note", True))
        self.assertEqual(await self.counted(queue), 0)

    @contract
    async def test_a_queue_made_anew_has_no_keys(self) -> None:
        old = await self.make_queue()
        await self.append_once(old, [new(b"a")], once())
        await self.store.forget(old)
        for asked in (once(), once(b"l")):
            await self.fails(NoSuchQueue, self.append_once(old, [new(b"a")], asked))
        queue = await self.make_queue()
        made = await self.append_once(queue, [new(b"b")], once(digest=b"e"))
        self.assertFalse(made.duplicate)
        self.assertEqual(await self.shown(queue), [b"b"])

    @contract
    async def test_it_is_forgotten_in_time(self) -> None:
        queue = await self.make_queue()
        first = await self.append_once(queue, [new(b"a")], once(lifetime=7200))
        await self.subject.advance(7199)
        self.assertTrue((await self.append_once(queue, [new(b"a")], once(lifetime=9))).duplicate)
        await self.subject.advance(1 + LONG_AFTER)
        again = await self.append_once(queue, [new(b"b")], once(digest=b"e"))
        self.assertFalse(again.duplicate)
        self.assertNotEqual(again.addresses, first.addresses)
        self.assertEqual(await self.stored(queue, again), [b"b"])

    @after_restart
    async def test_over_a_restart(self) -> None:
        queue = await self.make_queue()
        first = await self.append_once(queue, [new(b"a", 3), new(b"b", 2)], once())
        await self.subject.reopen()
        again = await self.append_once(queue, [new(b"a", 3), new(b"b", 2)], once(note="other"))
        self.assertEqual(again, Appended(first.addresses, "note", True))
        await self.fails(KeyReused, self.append_once(queue, [new(b"a", 3)], once(digest=b"e")))
        self.assertEqual(await self.counted(queue), 2)

    @contract
    async def test_after_the_end(self) -> None:
        queue = await self.make_queue()
        await self.store.close()
        failure = await self.fails(Unavailable, self.append_once(queue, [new(b"a")], once()))
        self.assertEqual(getattr(failure, "applied", None), "no")


class ExactOnceContract(MessagesCase):
    """Promises only of stores that one process has to itself: to the second and to the byte, and no caller waits."""

    @contract
    async def test_no_call_meets_another_one_under_way(self) -> None:
        queue = await self.make_queue()
        answers = [self.append_once(queue, [new(b"a")], once()) for _ in range(20)]
        made = [await answer for answer in answers]
        self.assertEqual([each.duplicate for each in made], [False] + [True] * 19)

    @contract
    async def test_at_its_very_second(self) -> None:
        queue = await self.make_queue()
        await self.append_once(queue, [new(b"a")], once(lifetime=10))
        for passed, duplicate in ((9, True), (9.75, True), (10, False), (19.75, True), (20, False)):
            self.subject.wall.seconds = START + passed
            made = await self.append_once(queue, [new(b"a")], once(lifetime=10))
            self.assertEqual(made.duplicate, duplicate, passed)
        self.assertEqual(await self.counted(queue), 3)

    @contract
    async def test_what_did_not_fit_is_not_remembered(self) -> None:
        queue = await self.make_queue()
        full = WriteTerms(Ack.MAJORITY, 5)
        batch = [new(b"abc"), new(b"def")]
        await self.fails(StorageFull, self.store.append_once(queue, batch, full, once()))
        made = await self.append_once(queue, batch, once())
        self.assertFalse(made.duplicate)
        self.assertTrue((await self.store.append_once(queue, batch, full, once())).duplicate)

    @contract
    async def test_with_others_in_its_way(self) -> None:
        queue = await self.make_queue()
        made = await self.append_once(queue, [new(b"a")], once(b"a"))
        (first,) = made.addresses
        for ahead in range(1, 4):
            taken = type(first.id)((int.from_bytes(first.id, "big") + (ahead << 64)).to_bytes(16, "big"))
            await self.replace(queue, taken, b"taken")
        answers = [self.append_once(queue, [new(b"b")], once(b"%d" % (number // 2))) for number in range(8)]
        made_now = [await answer for answer in answers]
        addresses = {each.addresses for each in made_now}
        self.assertEqual((len(addresses), [each.duplicate for each in made_now]), (4, [False, True] * 4))
        found = await look_up(self.store, queue, [Address(1, each[0].id) for each in addresses])
        self.assertEqual(bodies(found), [b"b"] * 4)
