"""A process that appends as fast as it can and prints the id of each message that was acknowledged, until it is killed.

Run as ``python -m tests.live.failures.appender DIRECTORY``; the first line tells that the store is open.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
import uuid
from pathlib import Path
from threading import Thread
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.task import react

from queuey.deferreds import deferred
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Content, NewMessage
from queuey.model.queues.queue import QueueSettings
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore, Threads

reactor: Any = _reactor
CLIENTS = 16
TERMS = WriteTerms(Ack.MAJORITY)


def start_thread(work: Any) -> None:
    Thread(target=work, daemon=True).start()


def make_store(directory: Path) -> SQLiteStore:
    """A store with real threads, the real clock and the real disk."""
    return SQLiteStore(
        directory,
        SQLiteSettings(),
        reactor,
        time.time,
        Threads(start_thread, reactor.callFromThread, reactor.callLater),
        node=os.getpid(),
        clock_sequence=0,
        new_version=lambda: uuid.uuid4().hex,
        bits=secrets.randbits,
    )


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


@deferred
async def append_for_ever(store: SQLiteStore, client: int) -> None:
    queue, _ = await store.create("app", f"queue {client % 3}", QueueSettings(partitions=2), None)
    number = 0
    while True:
        number += 1
        messages = [NewMessage(1 + number % 2, Content(b"x" * (number % 3000)), 3600)] * (1 + number % 3)
        for id in await store.append(queue, messages, TERMS):
            say(f"{queue.name}:{1 + number % 2}:{id.hex()}")


@deferred
async def main(_: object, directory: str) -> None:
    store = make_store(Path(directory))
    store.open()
    say("open")
    clients = [append_for_ever(store, client) for client in range(CLIENTS)]
    await clients[0]


if __name__ == "__main__":
    react(main, sys.argv[1:])
