"""Readers of many queues beside several workers: each message comes once, whichever worker stored it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from queuey_client import Client
from tests import tried
from tests.live.clients import KEY, Poster, make_queue
from tests.live.daemon.test_daemon import wait_until
from tests.live.reading.live_reader import LINES, SSE, LiveReader
from tests.live.reading.test_live_reads import SHOWN
from tests.live.workers.test_workers import WORKERS, WorkersCase

WRITERS: Final = 4
EACH: Final = 60
QUEUES: Final = 12
READERS: Final = 3

ROUNDS: Final = tried(2, 10)
"""How often the daemon is ended while messages come."""


class ManyTests(WorkersCase):
    """Writers create queues and post, through connections of their own, while readers follow all of them."""

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", "queuey", key=KEY)

    def write(self, number: int) -> None:
        with self.client() as client:
            for at in range(EACH):
                queue = client.queue(f"room-{(at * 7 + number) % QUEUES}")
                if at < QUEUES:
                    queue.ensure()
                queue.post(f"{number}-{at}")

    def follow(self, ready: threading.Event) -> list[str]:
        with self.client() as client:
            place = client.read_many(prefix="room-").next
            ready.set()
            found = client.follow(prefix="room-", start=place, idle=10)
            return [next(found).text for _ in range(WRITERS * EACH)]

    def test_each_message_comes_once(self) -> None:
        expected = sorted(f"{number}-{at}" for number in range(WRITERS) for at in range(EACH))
        events = [threading.Event() for _ in range(READERS)]
        with ThreadPoolExecutor(READERS + WRITERS) as pool:
            readers = [pool.submit(self.follow, event) for event in events]
            for event in events:
                self.assertTrue(event.wait(30))
            for writer in [pool.submit(self.write, number) for number in range(WRITERS)]:
                writer.result(60)
            logs = [reader.result(60) for reader in readers]
        for log in logs:
            self.assertEqual(sorted(log), expected)
            self.assertEqual(log, logs[0])  # and in one order


class LiveTests(WorkersCase):
    """Live reads of all queues with a prefix, at several workers."""

    def post(self, name: str) -> list[Poster]:
        """Post to several queues for a while; one of them was just created."""
        make_queue(self.port, f"room-{name}")
        queues = ("room-0", "room-1", f"room-{name}")
        posters = [Poster(self.port, queue, f"{name}-{queue}").start() for queue in queues]
        time.sleep(0.5)
        return posters

    def test_workers(self) -> None:
        """Each message of each queue comes once to each reader, and in one order, whichever worker stored it; also if a
        worker is killed, and if the daemon ends and comes again."""
        for name in ("room-0", "room-1"):
            make_queue(self.port, name, partitions=2)
        formats = [LINES, SSE] * WORKERS
        queries = ["prefix=room-&start=oldest", "prefix=room-&prefix=x&start=oldest&limit=3"]
        readers = [LiveReader(self.port, "", kind, queries[at % 2]).start() for at, kind in enumerate(formats)]
        posters = self.post("a")
        subprocess.run(["kill", "-KILL", str(self.pids()[0])], check=True)
        time.sleep(1)
        posters = [poster.finish() for poster in posters]
        for number in range(ROUNDS):
            some = self.post(f"b{number}")
            self.daemon.signal(signal.SIGTERM if number % 2 else signal.SIGKILL)
            posters += [poster.finish() for poster in some]
            self.daemon = self.serve()
            self.wait_for_workers(WORKERS)
        posters += [poster.finish() for poster in self.post("last")]
        acknowledged = {body for poster in posters for body, _ in poster.acknowledged}
        unknown = {body for poster in posters for body in poster.unknown}
        for reader in readers:
            reader.wait_for(acknowledged, SHOWN)
        time.sleep(0.5)
        for reader in readers:
            self.assertEqual(len(reader.seen), len(set(reader.seen)), "a message came twice")
            self.assertLessEqual(set(reader.seen), acknowledged | unknown)
            self.assertEqual((reader.gaps, reader.problems, reader.statuses), ([], [], []))
            self.assertEqual(reader.seen, readers[0].seen)
        with Client(f"http://127.0.0.1:{self.port}", "queuey", key=KEY) as client:
            client.queue("room-1").remove()
        deleted = ("room-1", "deleted")
        wait_until(lambda: all(deleted in reader.changes for reader in readers), "a deletion was not told to all")
        for reader in readers:
            self.assertIn(("room-last", "made"), reader.changes)
            reader.stopped.set()
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)
        for reader in readers:
            reader.finish()
        cuts, whole = sum(reader.cut for reader in readers), sum(reader.whole for reader in readers)
        sys.stdout.write(f"{len(acknowledged)} messages to {len(readers)} readers; {cuts} answers cut, {whole} ended\n")
