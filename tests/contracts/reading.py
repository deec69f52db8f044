"""The steps that the suites over messages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from queuey.interfaces import IMessageStore
from queuey.model.message import Address, Content, Message, NewMessage
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, from_seconds, make
from queuey.model.window import SLICE_BYTES, SLICE_ROWS, Slice, Window
from tests.contracts.subject import START, Contract

TERMS = WriteTerms(Ack.MAJORITY)
TTL = 3600
LIMIT_OF_SLICES = 1000


def new(body: bytes, partition: int = 1, ttl: int = TTL) -> NewMessage:
    return NewMessage(partition, Content(body), ttl)


def bodies(messages: Sequence[Message]) -> list[bytes]:
    return [message.content.body for message in messages]


def foreign_id(seconds: float, node: int = 7) -> MessageId:
    """An id as a client may make it, of a time in seconds after the suites' start."""
    return make(from_seconds(START + seconds), 5, node)


def check_size(piece: Slice[Any]) -> None:
    """Hold a slice against its bounds."""
    assert len(piece.messages) <= SLICE_ROWS, len(piece.messages)
    sizes = [len(body) for body in bodies(piece.messages)]
    assert sum(sizes[:-1]) < SLICE_BYTES, "a slice ends with the message that brings it to its size"


async def read(store: IMessageStore, queue: Queue, window: Window) -> list[Message]:
    """Everything of a window, slice by slice."""
    found: list[Message] = []
    for _ in range(LIMIT_OF_SLICES):
        piece = await store.scan(queue, window, Ack.MAJORITY)
        check_size(piece)
        found += piece.messages
        if piece.rest is None:
            return found
        window = piece.rest
    raise AssertionError("a scan came to no end")


async def look_up(store: IMessageStore, queue: Queue, addresses: Sequence[Address]) -> list[Message]:
    """Everything of a look-up, slice by slice."""
    found: list[Message] = []
    for _ in range(LIMIT_OF_SLICES):
        piece = await store.lookup(queue, addresses, Ack.MAJORITY)
        check_size(piece)
        found += piece.messages
        if piece.rest is None:
            return found
        addresses = piece.rest
    raise AssertionError("a look-up came to no end")


class MessagesCase(Contract):
    """What the suites over messages ask again and again."""

    async def make_queue(self, name: str = "queue", application: str = "app", partitions: int = 3) -> Queue:
        queue, made = await self.store.create(application, name, QueueSettings(partitions=partitions), None)
        self.assertTrue(made)
        return queue

    async def put(self, queue: Queue, *texts: bytes, partition: int = 1, ttl: int = TTL) -> list[MessageId]:
        """Append in one batch."""
        messages = [new(text, partition, ttl) for text in texts]
        return list(await self.store.append(queue, messages, TERMS))

    def replace(self, queue: Queue, id: MessageId, body: bytes, ttl: int = TTL, partition: int = 1) -> Deferred[None]:
        return self.store.replace(queue, [Address(partition, id)], Content(body), ttl, TERMS)

    async def shown(
        self,
        queue: Queue,
        *partitions: int,
        lower: MessageId = LOWEST,
        upper: MessageId = HIGHEST,
        descending: bool = False,
        limit: int = 5000,
    ) -> list[bytes]:
        """The bodies that a scan shows."""
        window = Window(partitions or (1,), lower, upper, descending, limit)
        return bodies(await read(self.store, queue, window))

    async def found(self, queue: Queue, *ids: MessageId, partition: int = 1) -> list[bytes]:
        """The bodies that a look-up finds."""
        return bodies(await look_up(self.store, queue, [Address(partition, id) for id in ids]))

    async def counted(self, queue: Queue) -> int:
        return await self.store.count(queue, Ack.MAJORITY)

    async def everywhere(self, queue: Queue, id: MessageId) -> tuple[int, int, int]:
        """How often one message is seen: in a scan, by look-up, in the count."""
        return len(await self.shown(queue)), len(await self.found(queue, id)), await self.counted(queue)
