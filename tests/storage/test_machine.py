"""The state machine drives each store."""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from tests.contracts import machine
from tests.storage.quick import quick_directory
from tests.storage.subjects import CachedHeldSubject, HeldSubject, MemorySubject


class MachineTests(SynchronousTestCase):
    def test_memory(self) -> None:
        machine.run(MemorySubject, examples=150)

    def test_sqlite(self) -> None:
        directory = quick_directory(self)
        numbers = count()
        machine.run(lambda: HeldSubject(directory / str(next(numbers))), examples=100)

    def test_cached_sqlite(self) -> None:
        directory = quick_directory(self)
        numbers = count()
        machine.run(lambda: CachedHeldSubject(directory / str(next(numbers))), examples=50)
