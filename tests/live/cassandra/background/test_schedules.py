"""Schedules of three front ends on one node: each minute has one message, whatever is killed or stands still."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.live.alerts.scrapes import scrape
from tests.live.cassandra.fronts import Front, FrontTestCase
from tests.live.cassandra.nodes import CQL, Cluster, needs
from tests.live.clients import make_queue
from tests.live.failures.faults import JSON

QUEUE = "/v2/queuey/queues/q"
SCHEDULES = 20
MINUTES = 5
STILL = 14.0
"""Seconds for which something stands still: less than after which a time counts as missed."""


class ScheduleTests(FrontTestCase):
    def setUp(self) -> None:
        super().setUp()
        needs(CQL)
        folder = Path(tempfile.mkdtemp(prefix="queuey-cassandra-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.cluster = Cluster.start(1, folder)
        self.addCleanup(self.cluster.end)
        hosts, port = self.cluster.hosts, self.cluster.port
        self.fronts = [self.front(name, hosts, port, frontends="many") for name in "abc"]
        for front in self.fronts:
            front.start()
        for front in self.fronts:
            front.wait_until_it_serves(300)

    def make_schedule(self, front: Front, name: str, queue: str = QUEUE) -> None:
        body: Any = f'{{"cron": "* * * * *", "message": {{"body": "{name}"}}}}'.encode()
        status, made, _ = front.ask("PUT", f"{queue}/schedules/{name}", body, **JSON)
        self.assertEqual(status, 201, made)

    def posted(self, front: Front, queue: str = QUEUE) -> Counter[tuple[str, int]]:
        """How often each schedule has posted in each minute."""
        found: Counter[tuple[str, int]] = Counter()
        after = ""
        while True:
            status, page, _ = front.ask("GET", f"{queue}/messages?limit=1000{after}")
            self.assertEqual(status, 200, page)
            for message in page["messages"]:
                at = datetime.fromisoformat(message["timestamp"]).timestamp()
                found[message["body"], int(at // 60)] += 1
            if not page["messages"]:
                return found
            after = f"&after={page['next']}"

    @staticmethod
    def until(second: float) -> None:
        """Wait for this second of a minute."""
        time.sleep((second - time.time() % 60) % 60)

    def test_each_minute_once(self) -> None:
        """Through a front end that is killed and one that stands still, a database that stands still, and a queue that
        is deleted and made again."""
        first, second, third = self.fronts
        make_queue(first.port, "q")
        make_queue(first.port, "gone")
        self.until(20)
        began = int(time.time() // 60)
        for number in range(SCHEDULES):
            self.make_schedule(self.fronts[number % 3], f"s{number}")
        self.make_schedule(second, "orphan", "/v2/queuey/queues/gone")
        self.assertEqual(third.ask("DELETE", "/v2/queuey/queues/gone")[0], 204)
        make_queue(third.port, "gone")
        self.until(59.7)
        time.sleep(0.5)
        first.kill()  # while it posts the messages of the first minute, or is about to
        self.until(50)
        second.pause()
        time.sleep(STILL)
        second.resume()
        first.serve()
        self.until(52)
        self.cluster.node(0).pause()
        time.sleep(STILL)
        self.cluster.node(0).resume()
        self.until(59.9)
        third.kill()
        self.until(30)
        third.serve()
        while time.time() // 60 < began + MINUTES:
            time.sleep(1)
        self.until(25)
        wanted = {(f"s{n}", began + m): 1 for n in range(SCHEDULES) for m in range(1, MINUTES + 1)}
        for front in self.fronts:
            self.assertEqual(self.posted(front), wanted)
            # A schedule of a queue that is gone is not listed any more, and has posted nothing into the new one.
            self.assertEqual(self.posted(front, "/v2/queuey/queues/gone"), {})
            self.assertEqual(scrape(front.ops).total("queuey_schedules"), SCHEDULES)
        posts = sum(scrape(front.ops).total("queuey_schedule_posts_total") for front in (first, second))
        self.assertGreater(posts, 0)
        for name, queue in (("s0", QUEUE), ("s19", QUEUE)):
            found = third.ask("GET", f"{queue}/schedules/{name}")[1]
            self.assertEqual((found["state"], found["last_error"]), ("active", None))
        self.assertEqual([line for front in self.fronts for line in self.defects(front)], [])
