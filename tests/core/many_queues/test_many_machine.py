"""Random readers of many queues on each store, and in two processes."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.many.watching import ManyWatch
from queuey.interfaces import IStore
from queuey.model.applications.policy import Policy
from queuey.storage.memory import MemoryStore
from queuey.storage.shared import Hub
from tests.contracts.subject import Wall
from tests.core.many_queues.many_machine import TTL, Machine, World
from tests.core.many_queues.many_support import Process
from tests.storage.cassandra.store.store_support import StoreSubject
from tests.storage.quick import quick_directory
from tests.storage.shared.sharing import LOG, Instant, Worker
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, MemorySubject, SQLiteSubject, random_bits, versions

POLICY = Policy("app", 1000, ttl=TTL)


class Alone:
    """One process with a store of its own."""

    def __init__(self, subject: MemorySubject | SQLiteSubject | StoreSubject) -> None:
        self.subject = subject

    @property
    def stores(self) -> list[IStore]:
        return [self.subject.store]

    def process(self, number: int) -> Process:
        return Process(self.subject.store, self.subject.clock, self.subject.wall, POLICY)

    def advance(self, seconds: float) -> Deferred[None]:
        return self.subject.advance(seconds)


class Two:
    """Two workers, and the owner of a store in memory."""

    def __init__(self) -> None:
        self.clock, self.wall = Instant(), Wall()
        owned = MemoryStore(self.clock, self.wall, 1 << 30, NODE, CLOCK_SEQUENCE, versions(), random_bits())
        hub = Hub(owned, self.clock, LOG)
        self.workers = [Worker(hub, owned, self.clock, self.wall) for _ in range(2)]
        hub.store.subscribe(lambda incarnation: None)
        owned.open()
        self.stores: list[IStore] = [worker.store for worker in self.workers]

    def process(self, number: int) -> Process:
        return Process(self.stores[number], self.clock, self.wall, POLICY)

    def advance(self, seconds: float) -> Deferred[None]:
        self.wall.seconds += seconds
        self.clock.advance(seconds)
        return succeed(None)


class MachineTests(SynchronousTestCase):
    """What each reader was shown, after many steps."""

    def run_machine(self, world: World, seed: int, steps: int = 150) -> None:
        self.successResultOf(Deferred.fromCoroutine(Machine(world, Random(seed)).run(steps)))

    def test_memory(self) -> None:
        for seed in range(25):
            self.run_machine(Alone(MemorySubject()), seed)

    def test_sqlite(self) -> None:
        for seed in range(12):
            self.run_machine(Alone(SQLiteSubject(quick_directory(self), Inline)), seed)

    def test_cassandra(self) -> None:
        for seed in range(6):
            self.run_machine(Alone(StoreSubject()), seed, 80)

    def test_two_workers(self) -> None:
        for seed in range(25):
            self.run_machine(Two(), seed)

    def assert_caught(self) -> None:
        """Some seed finds the defect."""
        with self.assertRaises(AssertionError):
            for seed in range(10):
                self.run_machine(Alone(MemorySubject()), seed)

    def test_a_reader_that_does_not_ask_what_was_changed(self) -> None:
        self.patch(ManyWatch, "_apply", lambda watch, changes: None)
        self.assert_caught()

    def test_a_choice_that_does_not_grow(self) -> None:
        self.patch(ManyWatch, "_compare", lambda watch, changed, stable: None)
        self.assert_caught()
