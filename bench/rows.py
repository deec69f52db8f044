"""The embedded store by itself: messages a second that it takes from callers that append batch after batch.

It runs in a process of its own, as a daemon does, on the disk that the daemon has, and each batch waits for that disk:

    python -m bench.rows FOLDER CALLERS SECONDS BATCH SIZE

Every caller appends its next batch, of BATCH messages of SIZE bytes, as soon as the one before is stored. It prints how
many messages a second that were.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from bench.servers import ROOT
from queuey.config import SQLiteStorage
from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.storage import make_store

CACHE: Final = 16 << 20
TERMS: Final = WriteTerms(Ack.ONE)
DAY: Final = 86_400


def rate(folder: Path, callers: int, seconds: float, batch: int, size: int) -> float:
    """Messages a second, in a store that is made for it."""
    with TemporaryDirectory(dir=folder) as made:
        arguments = [made, str(callers), str(seconds), str(batch), str(size)]
        command = [sys.executable, "-m", "bench.rows", *arguments]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=seconds + 60)
    return float(done.stdout)


async def _append(store: IStore, queue: Queue, messages: tuple[NewMessage, ...], until: float) -> int:
    """One caller, until the time is over; how many messages it stored."""
    stored = 0
    while time.perf_counter() < until:
        stored += len(await store.append(queue, messages, TERMS))
    return stored


async def _measure(store: IStore, callers: int, seconds: float, messages: tuple[NewMessage, ...]) -> float:
    queue, _ = await store.create("bench", "q", QueueSettings(), None)
    began = time.perf_counter()
    calls = [Deferred.fromCoroutine(_append(store, queue, messages, began + seconds)) for _ in range(callers)]
    stored = sum(await gatherResults(calls))
    return stored / (time.perf_counter() - began)


async def _run(reactor: Any, folder: str, callers: str, seconds: str, batch: str, size: str) -> None:
    store = make_store(SQLiteStorage(Path(folder), "full", CACHE), reactor, time.time, False)
    store.open()
    try:
        messages = (NewMessage(1, Content(b"x" * int(size)), DAY),) * int(batch)
        print(await _measure(store, int(callers), float(seconds), messages))
    finally:
        await store.close()


def main(reactor: Any, *arguments: str) -> Deferred[None]:
    """Open the store, measure, print, and close it."""
    return Deferred.fromCoroutine(_run(reactor, *arguments))


if __name__ == "__main__":
    react(main, sys.argv[1:])
