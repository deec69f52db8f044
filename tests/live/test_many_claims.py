"""Workers that claim from several groups beside several processes: each message is worked on, by one of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from queuey_client import Client
from tests.live.clients import KEY, Poster, make_queue
from tests.live.test_workers import WorkersCase

CLAIMERS: Final = 6
QUEUES: Final = ("high", "low")
GROUPS: Final = [(queue, "w") for queue in QUEUES]
LEASE: Final = 5
QUIET: Final = 3 * LEASE
"""Seconds without a message after which a claimer ends: longer than a lease that a killed process has left."""


class ManyClaimsTests(WorkersCase):
    """Claims under keys, as the Python client makes them, while a process is killed."""

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", "queuey", key=KEY)

    def work(self, number: int, done: list[str], served: Counter[str]) -> None:
        """Claim and acknowledge until nothing has come for a while."""
        with self.client() as client:
            groups = {queue: client.queue(queue).group("w") for queue in QUEUES}
            last = time.monotonic()
            while time.monotonic() - last < QUIET:
                order = ("strict", "fair")[number % 2]
                claimed = client.claim_many(GROUPS, 5, order=order, lease=LEASE, wait=2)
                for delivery in claimed:
                    groups[delivery.queue].ack(delivery)
                    done.append(delivery.text)
                    served[delivery.queue] += 1
                    last = time.monotonic()

    def test_a_worker_is_killed(self) -> None:
        """All that was stored is worked on, and hardly anything twice."""
        for queue in QUEUES:
            make_queue(self.port, queue, partitions=2)
        done, served = [list[str]() for _ in range(CLAIMERS)], Counter[str]()
        with ThreadPoolExecutor(CLAIMERS) as pool:
            working = [pool.submit(self.work, number, done[number], served) for number in range(CLAIMERS)]
            posters = [Poster(self.port, queue, f"{queue}-{number}").start() for queue in QUEUES for number in range(2)]
            time.sleep(1)
            subprocess.run(["kill", "-KILL", str(self.pids()[0])], check=True)
            time.sleep(1)
            posters = [poster.finish() for poster in posters]
            for one in working:
                one.result(120)
        acknowledged = {body for poster in posters for body, _ in poster.acknowledged}
        unknown = {body for poster in posters for body in poster.unknown}
        found = Counter(text for texts in done for text in texts)
        self.assertLessEqual(acknowledged, set(found))
        self.assertLessEqual(set(found), acknowledged | unknown)
        self.assertEqual(set(served), set(QUEUES))
        twice = sum(number > 1 for number in found.values())
        # An acknowledgement whose answer was lost may be of a message that another worker was given meanwhile.
        self.assertLessEqual(twice, 5 * CLAIMERS)
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)
        sys.stdout.write(f"{len(found)} messages, {twice} of them twice; {dict(served)}\n")
