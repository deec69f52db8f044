"""Programs that use the Python client, with each of its faces, as processes.

``python -m tests.live.client.client_programs`` runs them. Each imports its own face alone, so that it begins soon.

``produce FACE URL QUEUE COUNT STREAMED`` posts so many messages one by one, several at a time, and then streams others.
``work FACE URL QUEUE GROUP DATABASE PAUSE`` works on messages until SIGTERM. Their effects happen once: the id of each
is kept in the transaction that counts it. Each event of the worker is a line of its output.
``follow FACE URL QUEUE LAST`` follows a queue from its oldest message on. Each body is a line of its output; it ends
after the body ``LAST``.
``read FACE URL QUEUE COUNT`` follows a queue until it has seen so many, and says how much memory that took.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import queuey_client
from queuey_client.core.values import Delivery
from tests.live.clients import KEY

AT_ONCE = 8
LEASE = 2.0


def say(*words: object) -> None:
    """A line of the output, at once."""
    print(*words, flush=True)  # noqa: T201


def bodies(face: str, kind: str, count: int) -> list[str]:
    """What is posted."""
    return [f"{face}-{kind}-{number}" for number in range(count)]


# Producers


def produce_sync(url: str, name: str, count: int, streamed: int) -> None:
    with queuey_client.Client(url, "queuey", key=KEY) as client:
        queue = client.queue(name)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(queue.post, bodies("sync", "post", count)))
        with queue.writer() as writer:
            for body in bodies("sync", "line", streamed):
                writer.post(body)
        assert (writer.stored, writer.failed) == (streamed, 0)


async def produce_aio(url: str, name: str, count: int, streamed: int) -> None:
    from queuey_client import aio

    async with aio.Client(url, "queuey", key=KEY, connections=AT_ONCE) as client:
        queue = client.queue(name)
        turns = asyncio.Semaphore(AT_ONCE)

        async def post(body: str) -> None:
            async with turns:
                await queue.post(body)

        await asyncio.gather(*[post(body) for body in bodies("aio", "post", count)])
        async with queue.writer() as writer:
            for body in bodies("aio", "line", streamed):
                await writer.post(body)
        assert (writer.stored, writer.failed) == (streamed, 0)


async def produce_tx(reactor: Any, url: str, name: str, count: int, streamed: int) -> None:
    from twisted.internet.defer import DeferredList, DeferredSemaphore

    from queuey_client import tx

    client = tx.Client(url, "queuey", key=KEY, reactor=reactor, connections=AT_ONCE)
    queue = client.queue(name)
    turns = DeferredSemaphore(AT_ONCE)
    posts = [turns.run(queue.post, body) for body in bodies("tx", "post", count)]
    await DeferredList(posts, fireOnOneErrback=True)
    async with queue.writer() as writer:
        for body in bodies("tx", "line", streamed):
            await writer.post(body)
    assert (writer.stored, writer.failed) == (streamed, 0)
    await client.close()


# Workers


class Effects:
    """What a worker does for a message: count it, once."""

    def __init__(self, path: str, pause: float) -> None:
        self._path = path
        self._local = threading.local()
        self.pause = pause

    def happen(self, delivery: Delivery) -> None:
        """One transaction. What another worker has done changes nothing."""
        if not hasattr(self._local, "database"):
            self._local.database = sqlite3.connect(self._path, timeout=30)
        with self._local.database as database:
            fresh = database.execute("INSERT OR IGNORE INTO handled VALUES (?)", (delivery.id,)).rowcount
            if fresh:
                database.execute("UPDATE effects SET count = count + 1")

    def tell(self, event: str, details: Mapping[str, Any]) -> None:
        """A line for each event."""
        delivery = details.get("delivery")
        say(event, delivery.text if delivery is not None else "")


def work_sync(url: str, name: str, group: str, effects: Effects) -> int:
    def handle(delivery: Delivery) -> None:
        time.sleep(effects.pause)
        effects.happen(delivery)

    with queuey_client.Client(url, "queuey", key=KEY) as client:
        worker = client.queue(name).group(group).worker(handle, threads=4, lease=LEASE, on_event=effects.tell)
        say("ready")
        return worker.run(grace=20)


async def work_aio(url: str, name: str, group: str, effects: Effects) -> int:
    from queuey_client import aio

    async def handle(delivery: Delivery) -> None:
        await asyncio.sleep(effects.pause)
        effects.happen(delivery)

    async with aio.Client(url, "queuey", key=KEY) as client:
        worker = client.queue(name).group(group).worker(handle, concurrency=4, lease=LEASE, on_event=effects.tell)
        say("ready")
        return await worker.run(grace=20)


async def work_tx(reactor: Any, url: str, name: str, group: str, effects: Effects) -> int:
    from twisted.internet.defer import Deferred

    from queuey_client import tx

    def handle(delivery: Delivery) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        reactor.callLater(effects.pause, done.callback, None)
        return done.addCallback(lambda _: effects.happen(delivery))

    client = tx.Client(url, "queuey", key=KEY, reactor=reactor)
    worker = client.queue(name).group(group).worker(handle, concurrency=4, lease=LEASE, on_event=effects.tell)
    say("ready")
    return await worker.run(grace=20)


# Readers


def resident() -> int:
    """KiB of memory that this process has."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Memory:
    """How much memory a reader takes after the first tenth of its messages, and at their end."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._seen = 0
        self._begun = 0

    def saw(self) -> bool:
        """Count a message. :return: whether it was the last."""
        self._seen += 1
        if self._seen == self._count // 10:
            self._begun = resident()
        if self._seen == self._count:
            say("seen", self._seen, "grew", resident() - self._begun)
        return self._seen == self._count


def read_sync(url: str, name: str, count: int) -> None:
    memory = Memory(count)
    with queuey_client.Client(url, "queuey", key=KEY) as client:
        for _ in client.queue(name).follow(start="oldest"):
            if memory.saw():
                return


async def read_async(queue: Any, count: int) -> None:
    memory = Memory(count)
    async for _ in queue.follow(start="oldest"):
        if memory.saw():
            return


def follow_sync(url: str, name: str, last: str) -> None:
    with queuey_client.Client(url, "queuey", key=KEY) as client:
        for message in client.queue(name).follow(start="oldest"):
            say(message.text)
            if message.text == last:
                return


async def follow_async(queue: Any, last: str) -> None:
    async for message in queue.follow(start="oldest"):
        say(message.text)
        if message.text == last:
            return


def on_reactor(program: Callable[[Any], Awaitable[int | None]]) -> int:
    """Run a coroutine on the reactor; SIGTERM stops that when the coroutine lets it."""
    from twisted.internet import reactor  # noqa: TID251
    from twisted.internet.defer import Deferred

    result: list[int] = []

    def ended(code: Any) -> None:
        if not isinstance(code, (int, type(None))):
            code.printTraceback(sys.stdout)
            code = 70
        result.append(code or 0)
        if reactor.running:
            # Not from within the reactor's own shutdown, which waits for this.
            reactor.callLater(0, stop)

    def stop() -> None:
        if not stopping:
            reactor.stop()

    stopping: list[bool] = []
    reactor.addSystemEventTrigger("before", "shutdown", stopping.append, True)
    reactor.callWhenRunning(
        lambda: Deferred.fromCoroutine(program(reactor)).addBoth(ended)  # type: ignore[arg-type]
    )
    reactor.run()
    return result[0] if result else 71


def main(what: str, face: str, url: str, name: str, *more: str) -> int:
    """Run a program."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
    if what == "produce":
        count, streamed = map(int, more)
        if face == "sync":
            produce_sync(url, name, count, streamed)
        elif face == "aio":
            asyncio.run(produce_aio(url, name, count, streamed))
        else:
            return on_reactor(lambda reactor: produce_tx(reactor, url, name, count, streamed))
        return 0
    if what == "work":
        group, database, pause = more
        effects = Effects(database, float(pause))
        if face == "sync":
            return work_sync(url, name, group, effects)
        if face == "aio":
            return asyncio.run(work_aio(url, name, group, effects))
        return on_reactor(lambda reactor: work_tx(reactor, url, name, group, effects))
    if what == "follow":
        (last,) = more
        if face == "sync":
            follow_sync(url, name, last)
            return 0
        return run_reader(face, url, name, lambda queue: follow_async(queue, last))
    count = int(more[0])
    if face == "sync":
        read_sync(url, name, count)
        return 0
    return run_reader(face, url, name, lambda queue: read_async(queue, count))


def run_reader(face: str, url: str, name: str, program: Callable[[Any], Awaitable[None]]) -> int:
    """Run a program that reads a queue by a face that has a loop."""
    if face == "aio":
        from queuey_client import aio

        async def read() -> None:
            async with aio.Client(url, "queuey", key=KEY) as client:
                await program(client.queue(name))

        asyncio.run(read())
        return 0

    from queuey_client import tx

    async def read_tx(reactor: Any) -> None:
        client = tx.Client(url, "queuey", key=KEY, reactor=reactor)
        await program(client.queue(name))
        await client.close()

    return on_reactor(read_tx)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
