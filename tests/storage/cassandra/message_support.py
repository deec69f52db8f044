"""A store of messages on tables in memory, with the queues of the memory store, and clocks that a test sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import IStore, Promises
from queuey.model.message import Address, Content, NewMessage
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.timeid import MessageId, Ticks, from_seconds, lower_bound, make, ticks_of
from queuey.model.window import LookupSlice, Window, WindowSlice
from queuey.storage.cassandra.messages import Messages
from queuey.storage.cassandra.rows import Life
from queuey.storage.cassandra.times import LONG_CLASS, Flight, Place
from queuey.storage.cassandra.writes import Limits
from queuey.storage.memory import MemoryStore
from tests.contracts.subject import Wall
from tests.storage.cassandra.message_tables import MessageTables
from tests.storage.subjects import CLOCK_SEQUENCE, versions

NODE = 0x0223456789AB
LIMIT = 2.0


class SimpleTimes:
    """Ids by a clock that a test sets, and a stable time that is the least id in flight, or the next one."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last = 0
        self._flights: dict[int, Flight] = {}
        self._number = 0
        self._taken: set[MessageId] = set()
        self.refusal: Exception | None = None
        self.tenure = 0
        self.age: float | None = None
        self.late: Exception | None = None

    def now(self) -> Ticks:
        return from_seconds(self._now())

    def begin(self, places: Sequence[tuple[Place, bool]], slow: bool, weak: bool = False) -> Flight:
        if self.refusal is not None:
            raise self.refusal
        self._number += 1
        flight = Flight(self._number, tuple(self._stamp(long) for _, long in places), LIMIT)
        self._flights[self._number] = flight
        return flight

    def _stamp(self, long: bool) -> MessageId:
        while True:
            self._last = max(self._last, self.now()) + 1
            id = make(Ticks(self._last), CLOCK_SEQUENCE, NODE | LONG_CLASS if long else NODE)
            if id not in self._taken:
                return id

    def landed(self, flight: Flight) -> None:
        del self._flights[flight.number]
        if self.late is not None:
            raise self.late

    def lost(self, flight: Flight) -> None:
        del self._flights[flight.number]

    def put(self, id: MessageId) -> None:
        self._taken.add(id)
        if ticks_of(id) <= self.now():
            self._last = max(self._last, ticks_of(id))

    def stable(self, place: Place, slow: bool = False, weak: bool = False) -> MessageId:
        self._last = max(self._last, self.now())
        flying = [id for flight in self._flights.values() for id in flight.ids]
        return min([*flying, lower_bound(Ticks(self._last + 1))])

    def registry_age(self) -> float | None:
        return self.age

    @property
    def reason(self) -> str | None:
        return None

    def start(self) -> Deferred[None]:
        return succeed(None)

    def stop(self) -> Deferred[None]:
        return succeed(None)


class MemoryRegistry:
    """The lives of queues of a memory store."""

    def __init__(self, queues: MemoryStore, bucket_seconds: int, salt: bytes) -> None:
        self._queues = queues
        self._salt = salt
        self._bucket_seconds = bucket_seconds
        self._purged: dict[int, dict[int, tuple[bytes, int]]] = {}

    @deferred
    async def current(self, queue: Queue) -> Life | None:
        (found,) = await self._queues.describe(queue.application, [queue.name])
        if found is None or found.incarnation != queue.incarnation:
            return None
        key = self._salt + queue.incarnation.to_bytes(8, "big")
        return Life(found, key, self._bucket_seconds, dict(self._purged.get(queue.incarnation, {})))

    @deferred
    async def set_purged(self, queue: Queue, bounds: Mapping[int, bytes], at: int) -> bool:
        if await self.current(queue) is None:
            return False
        purged = self._purged.setdefault(queue.incarnation, {})
        for partition, bound in bounds.items():
            if bound >= purged.get(partition, (b"", 0))[0]:
                purged[partition] = (bound, at)
        return True


LIMITS = Limits(batch_bytes=4 << 20, mutation_bytes=4 << 20, far_expiry=False, count=100_000, skew=0.5)


@implementer(IStore)
class MessageStore:
    """Messages on tables, with all else in memory."""

    promises = Promises("Nothing is promised here.", False)

    def __init__(self, messages: Messages, queues: MemoryStore) -> None:
        self.messages = messages
        self._queues = queues
        self._open = True
        self.states = queues.states

    def open(self) -> None:
        """It is."""

    def opened(self) -> Deferred[None]:
        return succeed(None)

    def close(self) -> Deferred[None]:
        self._open = False
        return self._queues.close()

    def ping(self) -> Deferred[None]:
        return self._queues.ping()

    def _ask(self, call: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        return call() if self._open else fail(Unavailable("The store is closed."))

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        return self._ask(lambda: self.messages.append(queue, messages, terms))

    def scan(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        return self._ask(lambda: self.messages.scan(queue, window, ack))

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        return self._ask(lambda: self.messages.lookup(queue, addresses, ack))

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        return self._ask(lambda: self.messages.replace(queue, addresses, content, ttl, terms))

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        return self._ask(lambda: self.messages.remove(queue, addresses, ack))

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        return self._ask(lambda: self.messages.purge(queue, before, ack))

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        return self._ask(lambda: self.messages.count(queue, ack))

    def create(
        self, application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        return self._queues.create(application, name, settings, max_queues)

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        return self._queues.update(queue, settings)

    def forget(self, queue: Queue) -> Deferred[bool]:
        return self._queues.forget(queue)

    def names(self, application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        return self._queues.names(application, start, limit, prefix)

    def describe(self, application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        return self._queues.describe(application, names)


class MessagesSubject:
    """A store under test."""

    keeps = False
    counts_bytes = False
    clock_goes_back = False

    def __init__(
        self,
        make_session: Callable[[Wall], Any] = MessageTables,
        keyspace: str = "ks",
        bucket_seconds: int = 3600,
        limits: Limits = LIMITS,
        multi_dc: bool = False,
        salt: bytes = bytes(8),
    ) -> None:
        self.wall = Wall()
        self.clock = Clock()
        self.session = make_session(self.wall)
        self.times = SimpleTimes(self.wall)
        self.limits = limits
        queues = MemoryStore(self.clock, self.wall, 1 << 40, NODE, CLOCK_SEQUENCE, versions())
        queues.open()
        registry = MemoryRegistry(queues, bucket_seconds, salt)
        self.messages = Messages(
            self.session, self.times, registry, lambda: self.limits, multi_dc, keyspace, self.clock, 77
        )
        self.store: IStore = MessageStore(self.messages, queues)

    def advance(self, seconds: float) -> Deferred[None]:
        self.wall.seconds += seconds
        self.clock.advance(seconds)
        return succeed(None)

    def reopen(self) -> Deferred[None]:
        raise NotImplementedError

    def hold(self) -> None:
        """Nothing waits here."""

    def release(self) -> None:
        """Nothing waits here."""

    def close(self) -> Deferred[None]:
        return self.store.close()
