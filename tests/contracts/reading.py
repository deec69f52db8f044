"""The steps that the suites over messages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from queuey.interfaces import IMessageStore
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import ANYWAY, Address, Condition, Content, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import SLICE_BYTES, SLICE_ROWS, Merge, MergeSlice, Position, Slice, Window
from queuey.model.timeid import HIGHEST, LOWEST, SECOND, MessageId, Ticks, from_seconds, make
from tests.contracts.subject import START, Contract

TERMS = WriteTerms(Ack.MAJORITY)
TTL = 3600
LIMIT_OF_SLICES = 1000


def new(body: bytes, partition: int = 1, ttl: int = TTL, delay: float = 0) -> NewMessage:
    return NewMessage(partition, Content(body), ttl, Ticks(int(delay * SECOND)))


def once(key: bytes = b"k", digest: bytes = b"d", note: str = "note", lifetime: int = 86_400) -> Once:
    return Once(key.rjust(32), digest.rjust(32), note, lifetime)


def place(message: Message) -> Position:
    return Position(message.id, message.partition)


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
        piece = await store.read_range(queue, window, Ack.MAJORITY)
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


def check_merged(merge: Merge, piece: MergeSlice) -> None:
    """Hold a part of a merged range against what it was asked for."""
    places = [place(message) for message in piece.messages]
    assert places == sorted(set(places), reverse=merge.descending), places
    assert all(merge.lower < each < merge.upper for each in places)
    assert all(each.partition in merge.partitions for each in places)
    assert len(places) <= merge.limit
    sizes = [len(body) for body in bodies(piece.messages)]
    assert sum(sizes) <= min(merge.max_bytes, SLICE_BYTES) or len(sizes) == 1, sizes
    assert not sizes or merge.owed or sizes[0] <= merge.max_bytes
    if merge.descending:
        assert merge.lower <= piece.position <= max(merge.lower, min([merge.upper, *places]))
    else:
        assert max([merge.lower, *places]) <= piece.position
        assert piece.position <= max(merge.lower, Position(piece.stable))


def rest_of(merge: Merge, piece: MergeSlice) -> Merge:
    """What is left of a merged range after its first part."""
    if merge.descending:
        return evolve(merge, upper=piece.position)
    return evolve(merge, lower=piece.position)


async def walk(store: IMessageStore, queue: Queue, merge: Merge) -> list[list[Message]]:
    """All parts of a merged range that are not empty; the limits are those of each."""
    found: list[list[Message]] = []
    for _ in range(LIMIT_OF_SLICES):
        piece = await store.read_merged(queue, merge, Ack.MAJORITY)
        check_merged(merge, piece)
        if piece.messages:
            found.append(list(piece.messages))
        if piece.over:
            return found
        merge = rest_of(merge, piece)
    raise AssertionError("a merge came to no end")


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

    def put_at(
        self, queue: Queue, address: Address, body: bytes, condition: Condition = ANYWAY, ttl: int = TTL
    ) -> Deferred[bool]:
        return self.store.put(queue, address, Content(body), ttl, condition, TERMS)

    def append_once(self, queue: Queue, messages: Sequence[NewMessage], asked: Once) -> Deferred[Appended]:
        return self.store.append_once(queue, messages, TERMS, asked)

    async def merged(self, queue: Queue, merge: Merge) -> list[bytes]:
        """The bodies that a merged range shows."""
        return [body for page in await walk(self.store, queue, merge) for body in bodies(page)]

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
