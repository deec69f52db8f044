"""What suites do with a group of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import attrs

from queuey.interfaces import IGroupStore, Outcome
from queuey.model.groups.commands import Command, Ran, Settle, SettleAnswer, Share, Take, TakeAnswer, View
from queuey.model.groups.entries import TOKEN, Target
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.rows import encode_group, group_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Action, Settlement, Taken, Terms
from queuey.model.groups.terms import Outcome as Settled
from queuey.model.messages.dead_letter_headers import with_key
from queuey.model.messages.message import Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, from_seconds
from tests.contracts.reading import TERMS
from tests.contracts.subject import Contract

T = TypeVar("T")

PLAIN = Terms()
LEASE = Ticks(30 * SECOND)
KEY = b"k" * TOKEN
DEAD = Target("dead", 77)
Given = list[tuple[Taken, Receipt, bytes]]


class GroupSteps(Contract):
    """A queue and a group of it, or several."""

    _versions = 0
    queue: Queue
    group: Group

    @property
    def groups(self) -> IGroupStore:
        return self.store.groups

    async def begin(self, partitions: int = 1, place: MessageId = LOWEST) -> None:
        """Have a queue and a group."""
        self.queue, _ = await self.store.create("app", "q", QueueSettings(partitions=partitions), None)
        self.group = await self.make("g", b"g" * 16, place)

    async def make(self, name: str, gid: bytes, place: MessageId = LOWEST) -> Group:
        group = Group(self.queue.incarnation, name, gid, b"s" * 32, GroupSettings(), place, Ticks(0), "")
        return await self.write(group)

    async def write(self, group: Group) -> Group:
        """Store the row of a group."""
        self._versions += 1
        fresh, key = f"version {self._versions}", group_key(group.queue, group.name)
        done = await self.store.states.replace(key, group.version or None, encode_group(group), fresh)
        self.assertIs(done, Outcome.APPLIED)
        return attrs.evolve(group, version=fresh)

    async def post(self, *bodies: bytes, partition: int = 1, **more: Any) -> list[MessageId]:
        """Messages that show."""
        headers, ttl, delay = more.get("headers"), more.get("ttl", 3600), Ticks(more.get("delay", 0) * SECOND)
        contents = [with_key(Content(body, "text/plain", headers), more.get("key")) for body in bodies]
        new = [NewMessage(partition, content, ttl, delay) for content in contents]
        ids = await self.store.append(self.queue, new, TERMS)
        await self.subject.advance(0.1)
        return list(ids)

    async def ran(self, *commands: Command, terms: Terms = PLAIN, group: Group | None = None) -> Ran:
        return await self.groups.run(self.queue, group or self.group, terms, commands)

    async def one(self, kind: type[T], command: Command, terms: Terms = PLAIN, group: Group | None = None) -> T:
        """The answer to one command."""
        (answer,) = (await self.ran(command, terms=terms, group=group)).answers
        self.assertIsInstance(answer, kind)
        return cast(T, answer)

    def taking(self, limit: int = 10, partitions: tuple[int, ...] = (1,), **more: Any) -> Take:
        max_bytes, known = more.get("max_bytes", 1 << 20), more.get("known", False)
        return Take(partitions, limit, more.get("lease", LEASE), max_bytes, more.get("key"), known)

    async def take(
        self, limit: int = 10, partitions: tuple[int, ...] = (1,), terms: Terms = PLAIN, **more: Any
    ) -> TakeAnswer:
        command = self.taking(limit, partitions, **more)
        return await self.one(TakeAnswer, command, terms, more.get("group"))

    def given(self, answer: TakeAnswer) -> Given:
        """What was taken, its receipts and its bodies."""
        return [one for share in answer.shares for one in self.of_share(share)]

    def of_share(self, share: Share) -> Given:
        found = []
        for one, message in zip(share.taken, share.messages, strict=True):
            assert message is not None
            self.assertEqual((message.partition, message.id), (share.partition, one.id))
            receipt = Receipt(self.queue.incarnation, share.generation, share.partition, one.id, one.number)
            found.append((one, receipt, message.content.body))
        return found

    async def bodies(self, limit: int = 10, partitions: tuple[int, ...] = (1,), **more: Any) -> list[bytes]:
        return [body for _, _, body in self.given(await self.take(limit, partitions, **more))]

    async def receipts(self, limit: int = 10, partitions: tuple[int, ...] = (1,), **more: Any) -> list[Receipt]:
        return [receipt for _, receipt, _ in self.given(await self.take(limit, partitions, **more))]

    async def settle(
        self, action: Action, receipts: Sequence[Receipt], terms: Terms = PLAIN, span: int = 0, live: bool = False
    ) -> tuple[Settled, ...]:
        settle = Settle(tuple([Settlement(action, one, Ticks(span * SECOND), "why", live) for one in receipts]))
        return (await self.one(SettleAnswer, settle, terms)).outcomes

    async def look(self, partition: int = 1, ids: Sequence[MessageId] = ()) -> View:
        return await self.groups.look(self.queue, self.group, partition, ids)

    def now(self) -> Ticks:
        return from_seconds(self.subject.wall.seconds)
