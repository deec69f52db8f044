"""Readers of many queues beside several workers: each message comes once, whichever worker stored it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from queuey_client import Client
from tests.live.clients import KEY
from tests.live.test_workers import WorkersCase

WRITERS: Final = 4
EACH: Final = 60
QUEUES: Final = 12
READERS: Final = 3


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
