"""A store of messages on tables in memory, with the queues of the memory store, and clocks that a test sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.interfaces import Capabilities, IStore
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address, Condition, Content, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.depth import Depth
from queuey.model.reading.many import Changes, ManyRange, ManySlice
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice
from queuey.model.stable_time.stamps import Flight, Place, StampRequest, Stamps
from queuey.model.telemetry.counts import Metric
from queuey.model.timeid import MessageId, Ticks, from_seconds, ticks_of, upper_bound
from queuey.storage.cassandra.messages.store import Messages
from queuey.storage.cassandra.messages.writes import WriteLimits
from queuey.storage.cassandra.queues.rows import Incarnation
from queuey.storage.memory import MemoryStore
from tests.contracts.subject import Wall
from tests.storage.cassandra.messages.message_tables import MessageTables
from tests.storage.subjects import CLOCK_SEQUENCE, random_bits, versions

NODE = 0x0223456789AB
LIMIT = 2.0


class SimpleTimes:
    """Ids by a clock that a test sets, and a stable time that is the least id in flight, or the next one."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.stamps = Stamps(random_bits())
        self._flights: dict[int, list[MessageId]] = {}
        self._number = 0
        self.refusal: Exception | None = None
        self.tenure = 0
        self.age: float | None = None
        self.late: Exception | None = None

    def now(self) -> Ticks:
        return from_seconds(self._now())

    def begin(self, wanted: Sequence[StampRequest], slow: bool, weak: bool = False) -> Flight:
        if self.refusal is not None:
            raise self.refusal
        self._number += 1
        stamped = [self.stamps.make(self.now(), one.long) for one in wanted]
        self._flights[self._number] = stamped
        ids = [
            self.stamps.delayed(id, one.delay, one.long) if one.delay else id
            for one, id in zip(wanted, stamped, strict=True)
        ]
        return Flight(self._number, tuple(ids), tuple(map(ticks_of, stamped)), LIMIT)

    def landed(self, flight: Flight) -> None:
        del self._flights[flight.number]
        if self.late is not None:
            raise self.late

    def lost(self, flight: Flight, late: bool = False) -> None:
        del self._flights[flight.number]

    def put(self, id: MessageId) -> None:
        self.stamps.put(id, self.now())

    def stable(self, place: Place, slow: bool = False, weak: bool = False) -> MessageId:
        self.stamps.reach(self.now())
        flying = [id for stamped in self._flights.values() for id in stamped]
        return min([*flying, upper_bound(self.stamps.last)])

    def registry_age(self) -> float | None:
        return self.age

    @property
    def reason(self) -> str | None:
        return None

    def health_problems(self) -> Mapping[str, str]:
        return {} if self.reason is None else {"clock": self.reason}

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
    async def current(self, queue: Queue) -> Incarnation | None:
        (found,) = await self._queues.describe(queue.application, [queue.name])
        if found is None or found.incarnation != queue.incarnation:
            return None
        key = self._salt + queue.incarnation.to_bytes(8, "big")
        return Incarnation(found, key, self._bucket_seconds, dict(self._purged.get(queue.incarnation, {})))

    @deferred
    async def set_purged(self, queue: Queue, bounds: Mapping[int, bytes], at: int) -> bool:
        if await self.current(queue) is None:
            return False
        purged = self._purged.setdefault(queue.incarnation, {})
        for partition, bound in bounds.items():
            if bound >= purged.get(partition, (b"", 0))[0]:
                purged[partition] = (bound, at)
        return True


LIMITS = WriteLimits(batch_bytes=4 << 20, mutation_bytes=4 << 20, far_expiry=False, count=100_000, skew=0.5)


@implementer(IStore)
class MessageStore:
    """Messages on tables, with all else in memory."""

    metrics: Sequence[Metric] = ()

    def __init__(self, messages: Messages, queues: MemoryStore, not_once: str) -> None:
        self.messages = messages
        self.capabilities = Capabilities("Nothing is promised here.", False, not_once)
        self._queues = queues
        self._open = True
        self.states = queues.states
        self.groups = queues.groups

    def open(self) -> None:
        """It is."""

    def opened(self) -> Deferred[None]:
        return succeed(None)

    def subscribe(self, arrived: Callable[[int], None]) -> float | None:
        return 1.0

    def cached(self, application: str, name: str) -> Queue | None:
        return self._queues.cached(application, name)

    def health_problems(self) -> Mapping[str, str]:
        return {}

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

    def read_many(self, queues: Sequence[Queue], asked: ManyRange, acks: Sequence[Ack]) -> Deferred[ManySlice]:
        return self._ask(lambda: self.messages.read_many(queues, asked, acks))

    def changes(self, mark: int | None) -> Deferred[Changes]:
        return self._ask(lambda: self.messages.changes(mark))

    def append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        return self._ask(lambda: self.messages.append_once(queue, messages, terms, once))

    def close_queue(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once | None
    ) -> Deferred[Appended]:
        return fail(NotImplementedError("the whole store closes queues"))

    def read_merged(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        return self._ask(lambda: self.messages.read_merged(queue, merge, ack))

    def read_range(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        return self._ask(lambda: self.messages.read_range(queue, window, ack))

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        return self._ask(lambda: self.messages.lookup(queue, addresses, ack))

    def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        return self._ask(lambda: self.messages.restore(queue, messages, terms))

    def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        return self._ask(lambda: self.messages.replace(queue, addresses, content, ttl, terms))

    def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        return self._ask(lambda: self.messages.put(queue, address, content, ttl, condition, terms))

    def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        return self._ask(lambda: self.messages.remove(queue, addresses, ack))

    def purge(self, queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        return self._ask(lambda: self.messages.purge(queue, before, ack))

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        return self._ask(lambda: self.messages.count(queue, ack))

    def delayed(self, queue: Queue, limit: int, ack: Ack) -> Deferred[tuple[Address, ...]]:
        return self._ask(lambda: self.messages.delayed(queue, limit, ack))

    def measure(self, queue: Queue, ack: Ack) -> Deferred[Depth]:
        return self._ask(lambda: self.messages.measure(queue, ack))

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
    forgets_in_time = False
    stamps_all = True

    def __init__(
        self,
        make_session: Callable[[Wall], Any] = MessageTables,
        keyspace: str = "ks",
        bucket_seconds: int = 3600,
        limits: WriteLimits = LIMITS,
        multi_dc: bool = False,
        salt: bytes = bytes(8),
        not_once: str = "",
    ) -> None:
        self.wall = Wall()
        self.clock = Clock()
        self.session = make_session(self.wall)
        self.times = SimpleTimes(self.wall)
        self.limits = limits
        queues = MemoryStore(self.clock, self.wall, 1 << 40, NODE, CLOCK_SEQUENCE, versions(), random_bits())
        queues.open()
        registry = MemoryRegistry(queues, bucket_seconds, salt)
        self.messages = Messages(
            self.session, self.times, registry, lambda: self.limits, multi_dc, keyspace, self.clock, 77, not_once
        )
        self.store: IStore = MessageStore(self.messages, queues, not_once)

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
