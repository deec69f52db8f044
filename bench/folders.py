"""Filling a folder of data before it is served: straight through the store, many operations a transaction.

Run as a program of its own, whose memory does not grow with the numbers:

    python -m bench.folders DATA queues COUNT SIZE          queues q0000000 and so on, in random order, a message each
    python -m bench.folders DATA messages NAME COUNT SIZE   a queue with that many messages

The messages have SIZE bytes, and live for a day; everything belongs to the application ``bench``.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from bench.servers import ROOT
from queuey.config import SQLiteStorage
from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Content, NewMessage
from queuey.model.queues.queue import QueueSettings
from queuey.storage import make_store

LIMIT: Final = 1800.0
"""Seconds that filling may take."""

CACHE: Final = 64 << 20
TERMS: Final = WriteTerms(Ack.ONE)
DAY: Final = 86_400

AT_ONCE: Final = 500
"""Operations that are gathered before they are waited for."""


def fill_with_queues(folder: Path, count: int, size: int) -> None:
    """Fill the folder that :func:`bench.servers.queuey_command` serves, before a server is started."""
    _fill(folder, "queues", str(count), str(size))


def fill_with_messages(folder: Path, name: str, count: int, size: int) -> None:
    """The same, with one queue."""
    _fill(folder, "messages", name, str(count), str(size))


def _fill(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "bench.folders", str(folder / "data"), *arguments]
    subprocess.run(command, cwd=ROOT, check=True, timeout=LIMIT)


def _message(size: int) -> NewMessage:
    return NewMessage(1, Content(b"x" * size, "text/plain"), DAY)


async def queues(store: IStore, count: int, size: int) -> None:
    """Make queues with one message each."""
    numbers = list(range(count))
    random.Random(count).shuffle(numbers)
    for some in _portions(numbers):
        made = [store.create("bench", f"q{number:07d}", QueueSettings(), None) for number in some]
        put = [store.append(queue, (_message(size),), TERMS) for queue, _ in await gatherResults(made)]
        await gatherResults(put)


async def messages(store: IStore, name: str, count: int, size: int) -> None:
    """Make a queue with messages."""
    queue, _ = await store.create("bench", name, QueueSettings(), None)
    for some in _portions(range(count)):
        await store.append(queue, (_message(size),) * len(some), TERMS)


def _portions(items: Sequence[int]) -> Iterator[Sequence[int]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def main(reactor: Any, data: str, what: str, *arguments: str) -> Deferred[None]:
    """Open the store, fill it, and close it."""
    store = make_store(SQLiteStorage(Path(data), "relaxed", CACHE), reactor, time.time, False)
    store.open()
    fill: Coroutine[Any, Any, None]
    if what == "queues":
        fill = queues(store, int(arguments[0]), int(arguments[1]))
    else:
        fill = messages(store, arguments[0], int(arguments[1]), int(arguments[2]))
    return Deferred.fromCoroutine(_closing(store, fill))


async def _closing(store: IStore, fill: Coroutine[Any, Any, None]) -> None:
    try:
        await fill
    finally:
        await store.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
