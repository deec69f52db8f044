"""Many queues on Cassandra: live reads and claims at two front ends."""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from queuey_client import Client, Delivery
from tests import tried
from tests.live.cassandra.front_ends.test_frontends import ManyCase
from tests.live.cassandra.fronts import SETTLE
from tests.live.clients import KEY, Poster, make_queue
from tests.live.groups.fair_claims import Shift
from tests.live.reading.live_reader import LINES, SSE, LiveReader

SHOWN: Final = 60.0
"""Seconds within which everything is shown to all readers, on a machine that does much else."""

FILLED: Final = tried(100, 2000)
"""Messages of each queue of a fair shift."""

KILLS: Final = tried(1, 10)

QUIET: Final = 10
"""Seconds without a message after which a worker ends."""


class LiveTests(ManyCase):
    """Each message comes once to each reader, and in one order, whichever front end stored it."""

    def test_two_front_ends(self) -> None:
        fronts = self.two()
        for name in ("room-0", "room-1"):
            make_queue(fronts[0].port, name, partitions=2)
        query = "prefix=room-&start=oldest"
        readers = [LiveReader(front.port, "", kind, query).start() for front in fronts for kind in (LINES, SSE)]
        posters = [
            Poster(front.port, f"room-{number}", f"{front.name}{number}").start()
            for front in fronts
            for number in (0, 1)
        ]
        time.sleep(2)
        make_queue(fronts[1].port, "room-new")
        posters.append(Poster(fronts[0].port, "room-new", "new").start())
        time.sleep(2)
        acknowledged = {body for poster in posters for body, _ in poster.finish().acknowledged}
        began = time.monotonic()
        for reader in readers:
            reader.wait_for(acknowledged, SHOWN)
        seconds = time.monotonic() - began
        time.sleep(SETTLE)
        for reader in readers:
            self.assertEqual(len(reader.seen), len(set(reader.seen)), "a message came twice")
            self.assertEqual((reader.gaps, reader.problems, reader.statuses), ([], [], []))
            self.assertEqual(reader.seen, readers[0].seen)
            self.assertIn(("room-new", "made"), reader.changes)
            reader.stopped.set()
        for front in fronts:
            front.stop()
        for reader in readers:
            reader.finish()
        sys.stdout.write(f"{len(acknowledged)} messages to {len(readers)} readers, the last {seconds:.1f} s later\n")


class ClaimsTests(ManyCase):
    """Workers at both front ends claim of two groups under keys; all that was stored is worked on."""

    def work(self, port: int, done: list[str]) -> None:
        """Claim and acknowledge until nothing has come for a while."""
        with Client(f"http://127.0.0.1:{port}", "queuey", key=KEY) as client:
            groups = [(queue, "w") for queue in ("high", "low")]
            last, claimed = time.monotonic(), list[Delivery]()
            while time.monotonic() - last < QUIET:
                claimed = list(client.claim_many(groups, 20, lease=60, wait=2, ack=claimed))
                for delivery in claimed:
                    done.append(delivery.text)
                    last = time.monotonic()

    def test_two_front_ends(self) -> None:
        fronts = self.two()
        for name in ("high", "low"):
            make_queue(fronts[0].port, name, partitions=2)
        done = [list[str]() for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            working = [pool.submit(self.work, fronts[at % 2].port, done[at]) for at in range(4)]
            posters = [
                Poster(front.port, queue, f"{front.name}{queue}").start()
                for front in fronts
                for queue in ("high", "low")
            ]
            time.sleep(1)
            acknowledged = {body for poster in posters for body, _ in poster.finish().acknowledged}
            for one in working:
                one.result(120)
        found = Counter(text for texts in done for text in texts)
        self.assertLessEqual(acknowledged, set(found))
        self.assertEqual([text for text, number in found.items() if number > 1], [])
        sys.stdout.write(f"{len(found)} messages by {[len(texts) for texts in done]}\n")

    def test_no_queue_is_starved(self) -> None:
        """Front ends are killed while workers claim fairly: nothing is lost, nothing is given twice within a lease or
        acked twice, and each queue has its turns."""
        fronts = self.two()
        urls = [f"http://127.0.0.1:{front.port}" for front in fronts]
        shift = Shift(urls, ("a", "b", "c"), FILLED, 5, slack=1.0)
        shift.fill()
        shift.begin(4)
        for number in range(KILLS):
            shift.wait_for((number + 1) * FILLED // (KILLS + 2), 300)
            front = fronts[number % 2]
            front.kill()
            time.sleep(1)
            front.serve()
        shift.finish(900)
        self.assertEqual(shift.problems(), [])
        self.assertGreater(len(shift.loaded), FILLED // 2)
        for front in fronts:
            front.stop()
        sys.stdout.write(f"{len(shift.claims)} claims, {dict(Counter(shift.loaded))} of them while all had messages\n")
