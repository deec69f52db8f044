"""The SQLite store with real threads, the real reactor, a real disk, and processes that are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from threading import Thread
from typing import Any

import apsw
from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from queuey.errors import Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content
from queuey.model.queues.queue import QueueSettings
from queuey.model.reading.window import Window
from queuey.model.timeid import LOWEST, MessageId, from_seconds, make, successor
from queuey.storage.sqlite import SQLiteStore, Threads
from queuey.storage.sqlite.database import files
from tests.again import again
from tests.contracts import lives, messages, queues, replacing, sizes, states, timing
from tests.contracts.reading import TERMS, look_up, new, read
from tests.contracts.subject import Contract
from tests.live.failures.appender import make_store, start_thread
from tests.live.failures.faults import TALLIES
from tests.storage.subjects import SQLiteSubject

run_in = "test"

reactor: Any = _reactor
ROOT = Path(__file__).parents[3]
LIMIT = 60


class LiveCase(TestCase, Contract):
    """The contract suites, as they run in a daemon; only the clocks are set."""

    timeout = LIMIT

    def make_subject(self) -> SQLiteSubject:
        return SQLiteSubject(
            Path(self.mktemp()), lambda: Threads(start_thread, reactor.callFromThread, reactor.callLater), relaxed=False
        )

    def drive(self, steps: Coroutine[Deferred[Any], Any, None]) -> object:
        return Deferred.fromCoroutine(steps)


class ThreadTests(TestCase):
    """Two threads and the reactor, which do not block each other."""

    timeout = LIMIT

    def setUp(self) -> None:
        self.store = make_store(Path(self.mktemp()))
        self.store.open()
        self.addCleanup(self.store.close)

    def sleep(self, seconds: float) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        reactor.callLater(seconds, waiting.callback, None)
        return waiting

    async def test_a_message_of_the_future_shows_when_it_is_due(self) -> None:
        queue, _ = await self.store.create("app", "queue", QueueSettings(), None)
        due = time.time() + 0.3
        id = make(from_seconds(due), 1, 1)
        await self.store.replace(queue, [Address(1, id)], Content(b"x"), 60, TERMS)
        self.assertEqual(await read(self.store, queue, Window((1,))), [])
        await self.sleep(due - time.time() + 0.2)
        self.assertEqual([message.id for message in await read(self.store, queue, Window((1,)))], [id])

    async def test_a_reader_beside_many_writers_sees_each_message_once_in_order(self) -> None:
        queue, _ = await self.store.create("app", "queue", QueueSettings(), None)
        acknowledged: list[MessageId] = []
        seen: list[MessageId] = []

        async def write(client: int) -> None:
            for number in range(100):
                acknowledged.extend(await self.store.append(queue, [new(b"%d" % client)] * (1 + number % 3), TERMS))

        writers = [Deferred.fromCoroutine(write(client)) for client in range(16)]
        while not all(writer.called for writer in writers) or len(seen) < len(acknowledged):
            lower = successor(seen[-1]) if seen else LOWEST
            seen += [message.id for message in await read(self.store, queue, Window((1,), lower, limit=5000))]
        await gatherResults(writers)
        self.assertEqual(seen, sorted(set(acknowledged)))
        self.assertEqual(len(seen), len(acknowledged))

    async def test_threads_end_with_the_store(self) -> None:
        threads: list[Thread] = []

        def start(work: Any) -> None:
            threads.append(Thread(target=work, daemon=True))
            threads[-1].start()

        subject = SQLiteSubject(Path(self.mktemp()), lambda: Threads(start, reactor.callFromThread, reactor.callLater))
        await subject.close()
        for thread in threads:
            thread.join(LIMIT)
        self.assertEqual([thread.is_alive() for thread in threads], [False, False])


class Appender:
    """A process that appends until it is killed; its output goes to a file."""

    def __init__(self, directory: Path, output: Path) -> None:
        self._output = output
        with output.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-b", "-m", "tests.live.failures.appender", str(directory)], cwd=ROOT, stdout=stream
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def lines(self) -> list[str]:
        """The whole lines that it has printed."""
        return self._output.read_text().rpartition("\n")[0].splitlines()

    def wait_for(self, number: int) -> None:
        """Wait until it has printed so many lines."""
        end = time.monotonic() + LIMIT
        while len(self.lines()) < number:
            assert self._process.poll() is None, f"the appender ended with {self._process.returncode}"
            assert time.monotonic() < end, f"{len(self.lines())} lines only"
            time.sleep(0.02)

    def kill(self) -> list[str]:
        """End it with no chance to do anything more; what it had acknowledged."""
        self._process.kill()
        self._process.wait(LIMIT)
        return self.lines()[1:]


class ProcessTests(TestCase):
    """Two processes on one directory, and processes that are killed."""

    timeout = 3 * LIMIT

    def start(self, directory: Path, name: str = "output") -> Appender:
        appender = Appender(directory, Path(self.mktemp() + name).absolute())
        self.addCleanup(appender.kill)
        return appender

    async def test_the_second_process_is_told_who_is_there(self) -> None:
        directory = Path(self.mktemp()).absolute()
        appender = self.start(directory)
        appender.wait_for(1)
        store = make_store(directory)
        text = str(self.assertRaises(Unavailable, store.open))
        self.assertIn(f"in use by process {appender.pid}.", text)
        self.assertNotIn("\n", text)
        appender.kill()
        store = make_store(directory)
        store.open()
        await store.close()

    async def test_a_killed_process_loses_nothing_that_it_acknowledged(self) -> None:
        directory = Path(self.mktemp()).absolute()
        acknowledged: list[str] = []
        for turn in range(3):
            appender = self.start(directory, f"{turn}")
            appender.wait_for(500 * (turn + 1))
            acknowledged += appender.kill()
            self.check_file(directory)
        store = make_store(directory)
        store.open()
        try:
            await self.check_all_there(store, acknowledged)
        finally:
            await store.close()

    async def check_all_there(self, store: SQLiteStore, acknowledged: list[str]) -> None:
        self.assertGreater(len(acknowledged), 2000)
        self.assertEqual(len(set(acknowledged)), len(acknowledged))
        ids: dict[str, list[Address]] = {}
        for line in acknowledged:
            name, partition, id = line.split(":")
            ids.setdefault(name, []).append(Address(int(partition), MessageId(bytes.fromhex(id))))
        for name, addresses in ids.items():
            (queue,) = await store.describe("app", [name])
            assert queue is not None
            self.assertEqual(len(await look_up(store, queue, addresses)), len(addresses))
            found = await read(store, queue, Window((1, 2), limit=1 << 30))
            shown = {Address(message.partition, message.id) for message in found}
            self.assertLessEqual(set(addresses), shown)
            self.assertEqual(await store.count(queue, Ack.ONE), len(shown))

    def check_file(self, directory: Path) -> None:
        """Whatever a killed process leaves is a whole database whose sums are right."""
        connection = apsw.Connection(str(directory / files.DATABASE))
        self.assertEqual(connection.pragma("integrity_check"), "ok")
        found: list[tuple[Any, ...]] = connection.execute(
            "SELECT queue, count(*), sum(size) FROM messages GROUP BY queue"
        ).fetchall()
        self.assertEqual(
            connection.execute(TALLIES).fetchall(),
            found,
        )
        total = sum(size for _, _, size in found)
        self.assertEqual(connection.execute("SELECT queues, bytes FROM usage").fetchall(), [(3, total)])
        connection.close()


again(
    __name__,
    {"": LiveCase},
    (
        messages.AppendContract,
        messages.ScanContract,
        replacing.ReplaceContract,
        lives.LifeContract,
        timing.ExpiryContract,
        timing.FutureContract,
        sizes.BytesContract,
        queues.QueuesContract,
        states.StatesContract,
    ),
)
