"""The stores as the contract suites and the state machine take them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from queuey.deferreds import deferred
from queuey.interfaces import IStore
from queuey.storage.caching import CachedStore
from queuey.storage.memory import MemoryStore
from queuey.storage.sqlite import Runner, SQLiteSettings, SQLiteStore
from tests.contracts.subject import Wall
from tests.storage.sqlite.runners import Manual

NODE, CLOCK_SEQUENCE = 0x0123456789AB, 0x1234

"""Bytes of pages to keep, room for some ten of a few messages."""

TURNS = 12
"""Turns of upkeep that a suite's messages need at the most, with some to spare."""


def versions() -> Callable[[], str]:
    """Versions that never repeat, the same in each run."""
    numbers = count(1)
    return lambda: f"{next(numbers):032x}"


def random_bits() -> Callable[[int], int]:
    """Random bits, the same in each run."""
    return Random(7).getrandbits


class MemorySubject:
    """A memory store under test; a restart leaves nothing of it, so the suites do not restart it."""

    keeps = False
    counts_bytes = True
    clock_goes_back = True
    forgets_in_time = True
    stamps_all = False

    def __init__(self, max_bytes: int = 1 << 40) -> None:
        self.wall = Wall()
        self.told = self.wall
        self.clock = Clock()
        self.arrived: list[int] = []
        self.store: IStore = MemoryStore(
            self.clock, self.told, max_bytes, NODE, CLOCK_SEQUENCE, versions(), random_bits()
        )
        self.pause = self.store.subscribe(self.arrived.append)
        self.store.open()

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


class CachedMemorySubject(MemorySubject):
    """A memory store with a cache of some queues, few enough that they have to make room."""

    def __init__(self) -> None:
        super().__init__()
        self.store = CachedStore(self.store, 3)


class SQLiteSubject:
    """A SQLite store under test, in a directory of its own.

    It does not wait for the disk unless the test says so: nothing here loses power.
    """

    keeps = True
    counts_bytes = True
    clock_goes_back = True
    forgets_in_time = True
    stamps_all = False

    def __init__(self, directory: Path, runner: Callable[[], Runner], relaxed: bool = True) -> None:
        self.wall = Wall()
        self.told = self.wall
        self.clock = Clock()
        self.directory = directory
        self._runner = runner
        self._versions = versions()
        self._bits = random_bits()
        self._settings = SQLiteSettings(relaxed, cache_bytes=1 << 20)
        self.arrived: list[int] = []
        self.pause: float | None = None
        self.store: IStore = self._make()

    def _make(self) -> IStore:
        store = SQLiteStore(
            self.directory,
            self._settings,
            self.clock,
            self.told,
            self._runner(),
            NODE,
            CLOCK_SEQUENCE,
            self._versions,
            self._bits,
        )
        self.pause = store.subscribe(self.arrived.append)
        store.open()
        self.clock.advance(0)
        return store

    @deferred
    async def advance(self, seconds: float) -> None:
        self.wall.seconds += seconds
        self.clock.advance(seconds)
        for _ in range(TURNS):
            await self._wait_for_writes()
            self.clock.advance(0)

    async def _wait_for_writes(self) -> None:
        """Wait until everything that was put on the writing write batch is answered, the store's own turns included."""
        await self.store.states.replace("a key that nobody has", "a version that it never had", None, "")

    @deferred
    async def reopen(self) -> None:
        await self.store.close()
        self.store = self._make()
        await self._wait_for_writes()

    def close(self) -> Deferred[None]:
        return self.store.close()


class HeldSubject(SQLiteSubject):
    """A SQLite store whose writes the test may let wait, so that they become one write batch."""

    def __init__(self, directory: Path) -> None:
        self.runner = Manual()
        super().__init__(directory, lambda: self.runner)

    def hold(self) -> None:
        self.runner.held = True

    def release(self) -> None:
        self.runner.take()


class CachedHeldSubject(HeldSubject):
    """The same, with a cache of some queues."""

    def _make(self) -> IStore:
        return CachedStore(super()._make(), 3)
