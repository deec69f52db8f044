"""Stores that are reached through a socket: here one in memory, through which everything goes at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import deferred
from queuey.interfaces import IStore
from queuey.logs import EventLog
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Window
from queuey.model.timeid import MessageId
from queuey.storage.caching import CachedStore
from queuey.storage.memory import MemoryStore
from queuey.storage.shared import Hub, SharedStore
from queuey.storage.shared.frames import Frames
from queuey.storage.shared.hub import OwnerEnd
from queuey.storage.shared.link import Link
from tests.contracts.subject import Wall
from tests.storage.subjects import (
    CLOCK_SEQUENCE,
    NODE,
    HeldSubject,
    MemorySubject,
    random_bits,
    versions,
)

LOG = EventLog(Logger(namespace="queuey.storage"))


def _nothing(*call: object) -> None:
    pass


class Instant(Clock):
    """A clock that calls at once what should be called in the next turn."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        if delay:
            return super().callLater(delay, callable, *args, **kw)
        callable(*args, **kw)
        # It can be cancelled as others can, and the clock, which sorts all calls for each new one, has none more.
        return DelayedCall(self.seconds(), _nothing, (), {}, _nothing, _nothing, self.seconds)


class Pipe:
    """One direction of a connection.

    :ivar held: whether what is written waits until ``let_through``.
    """

    def __init__(self, end: Frames) -> None:
        self._end = end
        self.held = False
        self._delivering = False
        self._waiting: list[bytes] = []
        self.other: Pipe
        self.closed = False

    @property
    def unsent(self) -> int:
        return sum(map(len, self._waiting))

    def write(self, data: Any) -> None:
        if self.closed:
            return
        self._waiting.append(bytes(data))
        if not self.held:
            self._deliver()

    def let_through(self) -> None:
        """Deliver what waits, as a reactor does when a socket takes something."""
        self.held = False
        while self._waiting and not self.held and not self._delivering:
            self._deliver()
            self.other._end.drained()

    def _deliver(self) -> None:
        if self._delivering:
            return
        self._delivering = True
        while self._waiting and not self.held:
            self._end.dataReceived(self._waiting.pop(0))
        self._delivering = False

    def loseConnection(self) -> None:
        self.abortConnection()

    def abortConnection(self) -> None:
        if self.closed:
            return
        self.closed = self.other.closed = True
        for pipe in (self, self.other):
            pipe._end.connectionLost(Failure(ConnectionDone()))


class Worker:
    """A process that reaches a store through its owner.

    :ivar raw: the store, without a cache.
    :ivar store: the same, with a cache of some queues.
    :ivar ended: whether it learned that the owner is gone.
    :ivar stuck: how often the owner gave it up.
    """

    def __init__(self, hub: Hub, owned: IStore, clock: IReactorTime, told: Callable[[], float]) -> None:
        self.ended = False
        self.stuck = 0
        self.arrived: list[int] = []
        self.link = Link(clock, self._end)
        self.end: OwnerEnd = hub.join(self._is_stuck)
        self.calls, self.answers = Pipe(self.end), Pipe(self.link)
        self.calls.other, self.answers.other = self.answers, self.calls
        self.end.makeConnection(self.answers)
        self.link.makeConnection(self.calls)
        self.raw = SharedStore(self.link, owned.capabilities)
        self.store = CachedStore(self.raw, 3, self.link.lease.holds)
        self.link.keeps = self.store
        self.pause = self.store.subscribe(self.arrived.append)
        self.store.open()

    def _end(self) -> None:
        self.ended = True

    def _is_stuck(self) -> None:
        self.stuck += 1


class SharedMemorySubject(MemorySubject):
    """A memory store that is reached through its owner, which may forget it as any other."""

    def __init__(self, max_bytes: int = 1 << 40) -> None:
        super().__init__(max_bytes)
        self.owned = self.store
        self.instant = Instant()
        self.hub = Hub(self.owned, self.instant, LOG)
        self.hub.store.subscribe(lambda incarnation: None)
        self.worker = Worker(self.hub, self.owned, self.instant, self.told)
        self.store = self.worker.store
        self.arrived, self.pause = self.worker.arrived, self.worker.pause

    def close(self) -> Deferred[None]:
        return self.store.close().addCallback(lambda _: self.owned.close())


class SharedHeldSubject(HeldSubject):
    """A SQLite store that is reached through its owner."""

    def _make(self) -> IStore:
        self.owned = super()._make()
        instant = Instant()
        hub = Hub(CachedStore(self.owned, 3), instant, LOG)
        return Worker(hub, self.owned, instant, self.told).store

    @deferred
    async def reopen(self) -> None:
        await self.owned.close()
        await super().reopen()

    def close(self) -> Deferred[None]:
        return self.store.close().addCallback(lambda _: self.owned.close())


class Delayed(MemoryStore):
    """A store that changes no settings before a Deferred fires, if there is one."""

    before_update: Deferred[None] | None = None

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        if self.before_update is None:
            return super().update(queue, settings)
        return self.before_update.addCallback(lambda _: super(Delayed, self).update(queue, settings))


class SeveralCase(SynchronousTestCase):
    """Two processes and the owner of a store in memory."""

    def setUp(self) -> None:
        self.clock = Instant()
        self.told = Wall()
        self.owned = Delayed(self.clock, self.told, 1 << 30, NODE, CLOCK_SEQUENCE, versions(), random_bits())
        self.hub = Hub(self.owned, self.clock, LOG)
        self.hub.store.subscribe(lambda incarnation: None)
        self.owned.open()
        self.addCleanup(self.owned.close)
        self.one, self.two = self.worker(), self.worker()
        self.queue, _ = self.successResultOf(self.one.store.create("app", "q", QueueSettings(), None))

    def worker(self) -> Worker:
        return Worker(self.hub, self.owned, self.clock, self.told)

    def described(self, worker: Worker) -> Queue | None:
        (queue,) = self.successResultOf(worker.store.describe("app", ["q"]))
        return queue

    def page(self, worker: Worker, queue: Queue | None = None) -> list[bytes]:
        """The bodies of a page of two, which is kept where it is full."""
        answer = worker.store.read_range(queue or self.queue, Window((1,), limit=2), Ack.MAJORITY)
        return [message.content.body for message in self.successResultOf(answer).messages]

    def fill(self) -> tuple[MessageId, ...]:
        messages = [NewMessage(1, Content(body), 60) for body in (b"a", b"b")]
        return self.successResultOf(self.one.store.append(self.queue, messages, WriteTerms(Ack.MAJORITY)))
