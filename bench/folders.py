"""Filling a folder of data before it is served: straight through the store, many operations a transaction."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from queuey.interfaces import IStore
from queuey.model.message import Content, NewMessage
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import QueueSettings
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore
from queuey.storage.sqlite.piles import Job, Pile

TERMS: Final = WriteTerms(Ack.ONE)
TTL: Final = 86_400
AT_ONCE: Final = 500
"""Operations that are gathered before they are worked at."""


class Held:
    """Piles are taken when the program says so, so that everything that has gathered is one transaction."""

    def __init__(self) -> None:
        self._woken: deque[Pile[Any]] = deque()

    def start(self, pile: Pile[Any]) -> None:
        """See Runner."""

    def woken(self, pile: Pile[Any]) -> None:
        """See Runner."""
        self._woken.append(pile)

    def answer(self, function: Callable[[Sequence[Job[Any]]], None], jobs: Sequence[Job[Any]]) -> None:
        """See Runner."""
        function(jobs)

    def take_all(self) -> None:
        """Work until nothing waits."""
        while self._woken:
            self._woken.popleft().take()


class Filling:
    """A store that is being filled; it needs the memory of some hundred operations, whatever their number."""

    def __init__(self, store: IStore, held: Held) -> None:
        self._store = store
        self._held = held
        self._failures: list[Failure] = []

    def queues(self, names: Iterable[str], body: bytes) -> None:
        """Make queues of the application ``bench`` with one message each."""
        message = NewMessage(1, Content(body, "text/plain"), TTL)

        def put(made: tuple[Any, bool]) -> Deferred[Any]:
            return self._store.append(made[0], (message,), TERMS)

        for some in _portions(names, AT_ONCE):
            for name in some:
                answer = self._store.create("bench", name, QueueSettings(), None)
                answer.addCallback(put).addErrback(self._failures.append)
            self._work()

    def messages(self, name: str, count: int, body: bytes) -> None:
        """Make a queue of the application ``bench`` with that many messages."""
        made: list[Any] = []
        self._store.create("bench", name, QueueSettings(), None).addCallbacks(made.append, self._failures.append)
        self._work()
        queue, _ = made[0]
        message = NewMessage(1, Content(body, "text/plain"), TTL)
        for some in _portions(range(count), AT_ONCE):
            self._store.append(queue, (message,) * len(some), TERMS).addErrback(self._failures.append)
            self._work()

    def _work(self) -> None:
        self._held.take_all()
        if self._failures:
            self._failures[0].raiseException()


def _portions(items: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    rest = iter(items)
    while some := tuple(itertools.islice(rest, size)):
        yield some


@contextmanager
def filling(folder: Path) -> Iterator[Filling]:
    """Fill the data that :func:`bench.servers.queuey_command` serves from a folder; nobody may serve it meanwhile."""
    held = Held()
    settings = SQLiteSettings(relaxed=True, cache_bytes=64 << 20)
    new_version = lambda: uuid.uuid4().hex  # noqa: E731
    node, clock_sequence = random.getrandbits(48), random.getrandbits(14)
    store = SQLiteStore(folder / "data", settings, Clock(), time.time, held, node, clock_sequence, new_version)
    store.open()
    try:
        yield Filling(store, held)
    finally:
        ends: list[Any] = []
        store.close().addBoth(ends.append)
        held.take_all()
        assert ends == [None], ends
