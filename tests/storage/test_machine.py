"""The state machine drives each store, those that others share, and the one on Cassandra with its queues or without."""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from tests.contracts import machine
from tests.storage.cassandra.messages.message_support import MessagesSubject
from tests.storage.cassandra.store.store_support import StoreSubject
from tests.storage.quick import quick_directory
from tests.storage.shared.sharing import SharedHeldSubject, SharedMemorySubject
from tests.storage.subjects import CachedHeldSubject, HeldSubject, MemorySubject


class MachineTests(SynchronousTestCase):
    def test_memory(self) -> None:
        machine.run(MemorySubject, examples=60)

    def test_sqlite(self) -> None:
        directory = quick_directory(self)
        numbers = count()
        machine.run(lambda: HeldSubject(directory / str(next(numbers))), examples=40)

    def test_cached_sqlite(self) -> None:
        directory = quick_directory(self)
        numbers = count()
        machine.run(lambda: CachedHeldSubject(directory / str(next(numbers))), examples=20)

    def test_shared_memory(self) -> None:
        machine.run(SharedMemorySubject, examples=20)

    def test_shared_sqlite(self) -> None:
        directory = quick_directory(self)
        numbers = count()
        machine.run(lambda: SharedHeldSubject(directory / str(next(numbers))), examples=12)

    def test_messages_on_cassandra(self) -> None:
        """On tables in memory, as is the next."""
        machine.run(MessagesSubject, examples=30)

    def test_cassandra(self) -> None:
        machine.run(StoreSubject, examples=20)
