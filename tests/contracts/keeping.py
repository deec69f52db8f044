"""The contract of IImportTarget: a store takes in what another one holds, as it is, and tells what it holds itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs
from attrs import evolve
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from queuey.errors import QueueClosed
from queuey.interfaces import IImportTarget, Outcome
from queuey.model.applications.policy import Ack
from queuey.model.exports import MARK_KEY, ExportPage, GroupPlace, Head, KeptAnswer, Reach, StoredQueue
from queuey.model.groups.entries import LEASED, MARKED, Claim, Entry, Out, Target
from queuey.model.groups.rows import place_of
from queuey.model.groups.snapshot import GroupState
from queuey.model.messages.message import Address, Content, Message
from queuey.model.queues.queue import Consistency, Guarantee, Queue, QueueSettings, QueueType
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, from_seconds, lower_bound, successor, ticks_of
from tests.contracts.reading import TERMS, MessagesCase, foreign_id, look_up, new, once
from tests.contracts.subject import START, contract

T = TypeVar("T")

CHOSEN = QueueSettings(QueueType.PUBLIC, 3, Consistency.STRONG, ("app:other",), Guarantee.EXACTLY_ONCE, 77)
LIFE = 4711


class ImportTargetContract(MessagesCase):
    """What every store promises that others are copied to. Its clock need not stand at that of the suites."""

    application = "app"
    life = LIFE

    def apart(self, number: int) -> None:
        """Use an application, lives and keys that no other test of the same store has."""
        self.application, self.life = f"app-{number}", number * LIFE

    def queue(self, name: str = "kept", life: int = 0, version: str = "a", settings: QueueSettings = CHOSEN) -> Queue:
        """A queue as another store may have it.

        :param life: how many lives after the first of this test.
        """
        created = from_seconds(self.subject.wall.seconds - 60)
        return Queue(self.application, name, settings, self.life + life, version, created)

    @property
    def target(self) -> IImportTarget:
        """The store under test, in this role."""
        raise NotImplementedError

    def at(self, seconds: float) -> MessageId:
        """An id of a time in seconds from now."""
        return foreign_id(self.subject.wall.seconds - START + seconds)

    def message(self, id: MessageId, body: bytes = b"body", partition: int = 1, lives: float = 3600) -> Message:
        """A message that ends in so many seconds, and a part of one."""
        expires = Ticks(from_seconds(self.subject.wall.seconds) + int(lives * SECOND) + 7)
        return Message(partition, id, Content(body, "text/x-test", b"\0head"), expires)

    async def all(self, pages: Callable[[str | None, int], Deferred[ExportPage[T]]], limit: int) -> list[T]:
        """Everything, in pages of so many."""
        found: list[T] = []
        page = await pages(None, limit)
        while True:
            self.assertLessEqual(len(page.items), limit)
            found += page.items
            if page.rest is None:
                return found
            page = await pages(page.rest, limit)

    async def kept(self, kept: Queue, *messages: Message) -> None:
        await self.target.keep_queue(StoredQueue(kept))
        await self.target.keep(kept, messages)

    async def there(self, kept: Queue, *messages: Message) -> list[Message]:
        return await look_up(self.store, kept, [Address(one.partition, one.id) for one in messages])

    def test_it_provides_the_interface(self) -> None:
        verifyObject(IImportTarget, self.target)

    @contract
    async def test_a_queue_has_the_life_that_it_had(self) -> None:
        standing = StoredQueue(self.queue(), self.at(-3))
        self.assertTrue(await self.target.keep_queue(standing))
        self.assertFalse(await self.target.keep_queue(standing))
        self.assertEqual(await self.store.describe(self.application, ["kept"]), (standing.queue,))
        self.assertEqual(await self.target.find(self.application, "kept"), standing)
        self.assertIsNone(await self.target.find(self.application, "other"))
        changed = StoredQueue(self.queue(version="b", settings=QueueSettings(partitions=4)), self.at(-2))
        self.assertFalse(await self.target.keep_queue(changed))
        self.assertEqual(await self.target.find(self.application, "kept"), changed)

    @contract
    async def test_a_closed_queue_is_closed(self) -> None:
        """It takes in what was stored there before the end, in any order, and refuses all else when it is served."""
        message, last = self.message(self.at(-5)), self.message(self.at(-3), partition=2)
        closed = evolve(self.queue(), closed=ticks_of(last.id))
        for each in (closed, evolve(closed, name="closed later", incarnation=closed.incarnation + 7)):
            if each is not closed:
                self.assertTrue(await self.target.keep_queue(StoredQueue(evolve(each, closed=None, version="open"))))
            self.assertEqual(await self.target.keep_queue(StoredQueue(each)), each is closed)
            self.assertFalse(await self.target.keep_queue(StoredQueue(each)))
            self.assertEqual(await self.target.find(self.application, each.name), StoredQueue(each))
            self.assertEqual(await self.store.describe(self.application, [each.name]), (each,))
            await self.target.keep(each, [last])
            await self.target.keep(each, [message])
            self.assertEqual(await self.there(each, message, last), [message, last])
            await self.fails(QueueClosed, self.store.append(each, [new(b"x")], TERMS))
        listed = [
            one.queue for one in await self.all(self.target.queues, 1) if one.queue.application == self.application
        ]
        self.assertEqual([queue.closed for queue in listed], [closed.closed] * 2)

    @contract
    async def test_another_life_ends_the_one_before(self) -> None:
        message = self.message(self.at(-5))
        await self.kept(self.queue(), message)
        self.assertTrue(await self.target.keep_queue(StoredQueue(self.queue(life=1))))
        self.assertEqual(await self.there(self.queue(), message), [])
        self.assertEqual((await self.target.heads(self.queue(), 1, LOWEST, 10)).heads, ())
        self.assertEqual(await self.there(self.queue(life=1), message), [])
        self.assertTrue(await self.target.end_queue(self.queue(life=1)))
        self.assertIsNone(await self.target.find(self.application, "kept"))

    @contract
    async def test_messages_are_as_they_were(self) -> None:
        """Of any time, delayed ones too, with contents of any kind; and what has expired is not taken in."""
        old, due, later = self.message(self.at(-86_400)), self.message(self.at(-1), b"", 2), self.message(self.at(300))
        bare = Message(3, self.at(-2), Content(b"\0" * 3000), later.expires)
        ended = self.message(self.at(-3), lives=-1)
        await self.kept(self.queue(), old, due, later, bare, ended)
        self.assertEqual(await self.there(self.queue(), old, due, later, bare, ended), [old, due, later, bare])
        self.assertEqual(await self.store.count(self.queue(), Ack.MAJORITY), 4)

    @contract
    async def test_it_may_be_repeated_and_takes_the_place_of_what_is_there(self) -> None:
        first = self.message(self.at(-5), b"first")
        second = evolve(first, content=Content(b"second, which is longer"), expires=Ticks(first.expires + 1))
        await self.kept(self.queue(), first)
        await self.kept(self.queue(), second)
        await self.kept(self.queue(), second)
        self.assertEqual(await self.there(self.queue(), first), [second])
        self.assertEqual(await self.target.remove(self.queue(), [Address(1, first.id)]), 1)
        self.assertEqual(await self.there(self.queue(), first), [])
        await self.kept(self.queue(), first)
        self.assertEqual(await self.there(self.queue(), first), [first])
        self.assertEqual(await self.store.count(self.queue(), Ack.MAJORITY), 1)

    @contract
    async def test_heads_are_told_in_pages(self) -> None:
        messages = [self.message(self.at(seconds)) for seconds in (-90_000, -20, -10, -5, 400, 900_000)]
        await self.kept(self.queue(), *messages, self.message(self.at(-7), partition=2))
        for limit in (1, 2, 3, 6, 100):
            found: list[Head] = []
            start: MessageId | None = LOWEST
            while start is not None:
                heads = await self.target.heads(self.queue(), 1, start, limit)
                bound = heads.rest
                self.assertTrue(all(head.id >= start and (bound is None or head.id < bound) for head in heads.heads))
                found += heads.heads
                start = bound
            self.assertEqual(found, [Head(one.id, one.expires) for one in messages])
        rest = await self.target.heads(self.queue(), 1, successor(messages[3].id), 100)
        self.assertEqual([head.id for head in rest.heads], [one.id for one in messages[4:]])
        found_ones = await self.target.lookup(self.queue(), [Address(1, one.id) for one in messages])
        self.assertEqual(found_ones.messages, tuple(messages))

    @contract
    async def test_a_write_that_was_answered_is_answered_so_again(self) -> None:
        await self.target.keep_queue(StoredQueue(self.queue()))
        message, asked = self.message(self.at(-5)), once(note="another")
        answer = KeptAnswer(
            self.life, asked.key, asked.digest, (Address(1, message.id),), "note", self.message(LOWEST).expires
        )
        await self.target.keep(self.queue(), [message])
        self.assertEqual([await self.target.keep_answers([answer]) for _ in range(2)], [1, 0])
        self.assertEqual(await self.target.keep_answers([evolve(answer, key=b"ended", expires=Ticks(1))]), 0)
        again = await self.store.append_once(self.queue(), [new(b"x")], TERMS, asked)
        self.assertEqual((again.addresses, again.note, again.duplicate), (answer.addresses, "note", True))
        self.assertEqual(await self.store.count(self.queue(), Ack.MAJORITY), 1)
        (told,) = [one for one in await self.all(self.target.answers, 10) if one.incarnation == self.life]
        self.assertEqual(evolve(told, expires=answer.expires), answer)
        self.assertLess(abs(told.expires - answer.expires), 70 * SECOND)

    @contract
    async def test_all_queues_are_told(self) -> None:
        names = [f"queue-{number}" for number in range(7)]
        lives = [self.queue(name, number) for number, name in enumerate(names)]
        for each in lives:
            await self.target.keep_queue(StoredQueue(each))
        await self.target.end_queue(lives.pop(3))
        for limit in (1, 2, 100):
            found = await self.all_queues(limit)
            self.assertEqual(sorted(each.name for each in found), [each.name for each in lives])
            self.assertEqual(sorted(found, key=lambda each: each.name), lives)

    async def all_queues(self, limit: int) -> list[Queue]:
        """Those of the application of this suite; a page may have a few more than it was asked for."""
        found: list[Queue] = []
        rest: str | None = None
        while True:
            page = await self.target.queues(rest, limit)
            found += [standing.queue for standing in page.items if standing.queue.application == self.application]
            if page.rest is None:
                return found
            rest = page.rest

    @contract
    async def test_all_states_are_told(self) -> None:
        states = self.target.states
        keys = {f"{self.life} key {number}": f"version {number}" for number in range(7)}
        for key, version in keys.items():
            self.assertIs(await states.replace(key, None, b"value", version), Outcome.APPLIED)
        self.assertIs(
            await states.replace(f"{self.life} key 3", keys.pop(f"{self.life} key 3"), None, "removed"), Outcome.APPLIED
        )
        self.assertIs(await states.replace(MARK_KEY, None, b"value", "mark"), Outcome.APPLIED)
        for limit in (1, 2, 100):
            found = await self.all(self.target.state_keys, limit)
            mine = [item for item in found if item[0].startswith(f"{self.life} ")]
            self.assertEqual((dict(mine), len(mine)), (keys, len(keys)))
            self.assertNotIn(MARK_KEY, dict(found))
        state = await self.target.state(f"{self.life} key 1")
        assert state is not None
        self.assertEqual((state.value, state.version), (b"value", "version 1"))

    @contract
    async def test_states_of_groups(self) -> None:
        """They are kept as they were, take the place of others, and can be removed."""
        queue = self.queue()
        await self.target.keep_queue(StoredQueue(queue))
        place = GroupPlace(queue.incarnation, b"g" * 16, 1)
        id = MessageId(b"\x1e" * 16)
        entry = Entry(4, Ticks(1 << 57), 2, LEASED, 0, 77)
        claims = {b"k" * 16: Claim(4, 1, Ticks(1 << 57))}
        state = GroupState(b"12345678", id, 5, {id: entry}, (1, 3), (id,), 1, claims)
        moving = attrs.evolve(
            state, open={id: replace(entry, kind=MARKED)}, moves={id: Out(Target("d", 5), "why")}, claims={}, last=9
        )
        self.assertIsNone(await self.target.group_state(place))
        for kept in (state, moving, state):
            await self.target.keep_group_state(place, kept)
            self.assertEqual(await self.target.group_state(place), kept)
        listed = await self.all(self.target.group_states, 1)
        keys = await self.all(self.target.state_keys, 10)
        self.assertTrue(place in listed or place in [place_of(key) for key, _ in keys])
        await self.target.keep_group_state(place, None)
        await self.target.keep_group_state(place, None)
        self.assertIsNone(await self.target.group_state(place))
        self.assertEqual(await self.all(self.target.group_states, 1), [])

    @contract
    async def test_ids_go_on_from_where_they_were(self) -> None:
        await self.target.keep_queue(StoredQueue(self.queue()))
        ahead = Ticks(from_seconds(self.subject.wall.seconds) + SECOND // 2)
        await self.target.keep_reach(Reach(ahead, self.life + 10))
        (id,) = await self.store.append(self.queue(), [new(b"x")], TERMS)
        self.assertGreater(id, lower_bound(ahead))
        self.assertGreaterEqual((await self.target.reach()).stable, ticks_of(id))
        self.assertTrue(await self.target.seal())
        made, _ = await self.store.create(self.application, "new", CHOSEN, None)
        self.assertNotIn(made.incarnation, range(self.life, self.life + 11))
