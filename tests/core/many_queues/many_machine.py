"""A random machine over readers of many queues: each shows exactly what was stored, once, and tells each gap (R1)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred

from queuey.core.many.reading import ManyPage
from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.queues.choice import QueueChoice, choice_of
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.many import STORE_OLDEST, StorePosition
from queuey.model.timeid import HIGHEST, LOWEST, SECOND, MessageId, Ticks
from tests.core.many_queues.many_support import TERMS, Process

NAMES = ("room-1", "room-2", "room-3", "room-4", "hall", "attic")
CHOICES = (
    choice_of("app", (), ("room-",)),
    choice_of("app", ("hall", "room-1"), ()),
    choice_of("app", ("attic",), ("room-", "ha")),
)
TTL = 600


class World(Protocol):
    """Stores of the same data, one for each process, and their time."""

    @property
    def stores(self) -> Sequence[IStore]: ...

    def process(self, number: int) -> Process: ...

    def advance(self, seconds: float) -> Deferred[None]: ...


@attrs.frozen
class Posted:
    """A message that was acknowledged."""

    queue: Queue
    id: MessageId
    partition: int


@attrs.define
class Reader:
    """A reader, with all that it was shown.

    :ivar since: number of messages that were posted before it began.
    :ivar oldest: whether it began with the oldest message.
    """

    choice: QueueChoice
    since: int
    place: StorePosition | None
    oldest: bool = False
    resumed: bool = False
    seen: list[tuple[str, MessageId, int]] = attrs.Factory(list)
    gaps: list[tuple[str, MessageId]] = attrs.Factory(list)
    waiting: Deferred[ManyPage] | None = None

    def take(self, page: ManyPage) -> None:
        self.gaps += [(gap.queue, gap.first.id) for gap in page.gaps]
        for name, message in zip(page.queues, page.messages, strict=True):
            self.seen.append((name, message.id, message.partition))
        assert self.place is None or page.position >= self.place
        self.place, self.resumed = page.position, True


class Machine:
    """Posts, purges, deletions, expiry and reads, in random order.

    :param settles: whether messages show after a while only.
    """

    def __init__(self, world: World, random: Random, *, settles: bool = False) -> None:
        self.world = world
        self.random = random
        self.settles = settles
        self.queues: dict[str, Queue] = {}
        self.posted: list[Posted] = []
        self.ended: set[int] = set()
        self.readers: list[Reader] = []
        self.processes = [world.process(number) for number in range(len(world.stores))]

    async def run(self, steps: int) -> None:
        """Take some steps, and look at what each reader has."""
        actions: list[Callable[[], Coroutine[Deferred[Any], Any, None]]] = [
            *[self.post] * 8, *[self.read] * 6, self.begin, self.begin, self.wait, self.wait, self.hang_up,
            self.pass_time, self.make, self.purge, self.forget, self.change,
        ]  # fmt: skip
        for name in NAMES[:3]:
            await self.make_queue(name)
        for _ in range(steps):
            await self.random.choice(actions)()
        await self.finish()

    def store(self) -> IStore:
        return self.random.choice(self.processes).store

    async def make_queue(self, name: str) -> None:
        if name not in self.queues:
            partitions = self.random.randint(1, 3)
            settings = QueueSettings(partitions=partitions, ttl=TTL)
            self.queues[name], _ = await self.store().create("app", name, settings, None)

    async def make(self) -> None:
        await self.make_queue(self.random.choice(NAMES))

    async def change(self) -> None:
        queue = self.random.choice(list(self.queues.values()))
        settings = attrs.evolve(queue.settings, partitions=queue.settings.partitions + 1)
        self.queues[queue.name] = await self.store().update(queue, settings)

    async def post(self) -> None:
        queue, process = self.random.choice(list(self.queues.values())), self.random.choice(self.processes)
        new = []
        for _ in range(self.random.choice((1, 1, 1, 3))):
            partition = self.random.randint(1, queue.settings.partitions)
            delay = self.random.choice((0, 0, 0, 0, 2)) * SECOND
            new.append(NewMessage(partition, Content(b"x" * self.random.choice((1, 90))), TTL, Ticks(delay)))
        ids = await process.store.append(queue, new, TERMS)
        self.posted += [Posted(queue, id, one.partition) for id, one in zip(ids, new, strict=True)]
        if self.random.random() < 0.9:  # a wake-up is only a hint
            process.waits.wake(queue.incarnation, new, only_fresh=self.settles)

    async def purge(self) -> None:
        if self.random.random() < 0.4:
            await self.store().purge(self.random.choice(list(self.queues.values())), HIGHEST, Ack.MAJORITY)

    async def forget(self) -> None:
        if self.random.random() < 0.2 and len(self.queues) > 2:
            queue = self.queues.pop(self.random.choice(list(self.queues)))
            self.ended.add(queue.incarnation)
            await self.store().forget(queue)

    async def pass_time(self) -> None:
        # Ids are some ticks ahead of a clock that stands still, so no message expires at the very moment of its id.
        await self.world.advance(self.random.choice((0.5, 1, 3, TTL / 3)) + self.random.random() / 100)

    # Readers

    async def begin(self) -> None:
        if len(self.readers) < 8:
            place = self.random.choice((STORE_OLDEST, None))
            reader = Reader(self.random.choice(CHOICES), len(self.posted), place, oldest=place is not None)
            self.readers.append(reader)
            await self.ask(reader)

    async def ask(self, reader: Reader, **asked: Any) -> None:
        reader.take(await self.page(reader, **asked))

    def page(self, reader: Reader, **asked: Any) -> Deferred[ManyPage]:
        choice, process = reader.choice, self.random.choice(self.processes)
        limits: dict[str, Any] = {
            "limit": self.random.choice((1, 2, 5, 100)),
            "max_bytes": self.random.choice((50, 200, 1 << 20)),
        }
        return process.page(choice.names, choice.prefixes, reader.place, resumed=reader.resumed, **limits, **asked)

    async def read(self) -> None:
        free = [reader for reader in self.readers if reader.waiting is None]
        if free:
            await self.ask(self.random.choice(free))

    async def wait(self) -> None:
        free = [reader for reader in self.readers if reader.waiting is None]
        if free:
            reader = self.random.choice(free)
            waiting = self.page(reader, wait=float(self.random.choice((1, 5))))
            reader.waiting = waiting
            waiting.addCallbacks(self._came, self._hung_up, (reader,), {}, (reader,))

    def _came(self, page: ManyPage, reader: Reader) -> None:
        reader.waiting = None
        reader.take(page)

    def _hung_up(self, failure: Any, reader: Reader) -> None:
        reader.waiting = None
        failure.trap(CancelledError)

    async def hang_up(self) -> None:
        waiting = [reader.waiting for reader in self.readers if reader.waiting is not None]
        if waiting:
            self.random.choice(waiting).cancel()

    async def finish(self) -> None:
        """Let everything settle, let each reader read to the end, and compare."""
        for _ in range(4):
            await self.world.advance(3)
        for reader in self.readers:
            assert reader.waiting is None
            for _ in range(1000):
                page = await self.page(reader)
                reader.take(page)
                if not page.more and not page.messages:
                    break
            await self.check(reader)
        for process in self.processes:
            assert process.waits.waiting == 0
            assert not process.watch._waiters

    async def check(self, reader: Reader) -> None:
        seen = set(reader.seen)
        assert len(seen) == len(reader.seen), "a message was shown twice"
        every = {
            (one.queue.name, one.id, one.partition) for one in self.posted if reader.choice.has("app", one.queue.name)
        }
        assert seen <= every, "a message was shown that is not of the choice"
        for number, one in enumerate(self.posted):
            place = (one.queue.name, one.id, one.partition)
            if place not in every or place in seen or one.queue.incarnation in self.ended:
                continue
            if number < reader.since:
                # It may have been gone when the reader began; it was not to be shown to one that wants what comes.
                assert not reader.oldest or not await self.is_there(one), f"{place} is missing"
                continue
            first = max([bound for queue, bound in reader.gaps if queue == one.queue.name], default=LOWEST)
            assert one.id < first, f"{place} is missing, and was not told: {reader.gaps}"

    async def is_there(self, one: Posted) -> bool:
        """Whether a message is still stored."""
        found = await self.store().lookup(one.queue, [Address(one.partition, one.id)], Ack.MAJORITY)
        return bool(found.messages)
