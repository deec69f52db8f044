"""Workers that claim from several groups beside several processes: each message is worked on, by one of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Client, Delivery
from tests import tried
from tests.live.clients import KEY, Poster, make_queue
from tests.live.groups.fair_claims import Shift, starved
from tests.live.workers.test_workers import WorkersCase

CLAIMERS: Final = 6
QUEUES: Final = ("high", "low")
GROUPS: Final = [(queue, "w") for queue in QUEUES]
LEASE: Final = 5
QUIET: Final = 3 * LEASE
"""Seconds without a message after which a claimer ends: longer than a lease that a killed process has left."""


FILLED: Final = tried(200, 4000)
"""Messages of each queue of a fair shift."""

KILLS: Final = tried(2, 20)


class ManyClaimsTests(WorkersCase):
    """Claims under keys, as the Python client makes them, while a process is killed."""

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", "queuey", key=KEY)

    def work(self, number: int, done: list[str], served: Counter[str]) -> None:
        """Claim until nothing has come for a while; every other worker acknowledges by its next claim."""
        with self.client() as client:
            groups = {queue: client.queue(queue).group("w") for queue in QUEUES}
            last, claimed = time.monotonic(), list[Delivery]()
            while time.monotonic() - last < QUIET:
                order = ("strict", "fair")[number % 2]
                by_claim = claimed if number % 4 < 2 else ()
                claimed = list(client.claim_many(GROUPS, 5, order=order, lease=LEASE, wait=2, ack=by_claim))
                for delivery in claimed:
                    if number % 4 >= 2:
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
        with self.client() as client:
            lags = [client.queue(queue).group("w").info().document["lag"] for queue in QUEUES]
        self.assertEqual({one["behind"]["count"] for lag in lags for one in lag}, {0})
        twice = sum(number > 1 for number in found.values())
        # An acknowledgement whose answer was lost may be of a message that another worker was given meanwhile.
        self.assertLessEqual(twice, 5 * CLAIMERS)
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)
        sys.stdout.write(f"{len(found)} messages, {twice} of them twice; {dict(served)}\n")


class FairTests(WorkersCase):
    """Claims that are fair, of queues that are never empty, while processes and the whole daemon are killed."""

    def test_no_queue_is_starved(self) -> None:
        """Nothing is lost, nothing is given twice within a lease or acked twice, and each queue has its turns."""
        shift = Shift([f"http://127.0.0.1:{self.port}"], ("a", "b", "c"), FILLED, LEASE)
        shift.fill()
        shift.begin(CLAIMERS)
        for number in range(KILLS):
            shift.wait_for((number + 1) * FILLED // (KILLS + 2), 120)
            if number % 2:
                self.daemon.signal(signal.SIGKILL)
                self.daemon = self.serve()
            else:
                subprocess.run(["kill", "-KILL", str(self.pids()[0])], check=True)
        shift.finish(600)
        self.assertEqual(shift.problems(), [])
        self.assertGreater(len(shift.loaded), FILLED // 2)
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)
        sys.stdout.write(f"{len(shift.claims)} claims, {dict(Counter(shift.loaded))} of them while all had messages\n")

    def test_strict_claims_starve(self) -> None:
        """The check of the other test finds what a server would do that is not fair."""
        shift = Shift([f"http://127.0.0.1:{self.port}"], ("a", "b"), 200, 60, order="strict")
        shift.fill()
        shift.begin(1)
        shift.wait_for(80, 120)
        self.assertEqual(starved([queue for queue, _ in shift.claims[:80]], ("a", "b")), ["b"])
        shift.stop()
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)


class StarvedTests(SynchronousTestCase):
    """What is found of an order."""

    def test_orders(self) -> None:
        self.assertEqual(starved(["a", "b"] * 100, ("a", "b"), 3), [])
        self.assertEqual(starved(["a"] * 3 + ["b"] + ["a"] * 3, ("a", "b"), 3), [])
        self.assertEqual(starved(["b"] + ["a"] * 4 + ["b"], ("a", "b"), 3), ["b"])
        self.assertEqual(starved(["a"] * 4, ("a", "b", "c"), 3), ["b", "c"])
