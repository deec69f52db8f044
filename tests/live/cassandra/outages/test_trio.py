"""Three nodes and two front ends under load, while one after another is killed, stopped and restarted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from tests.live.cassandra.fronts import LONG, Front, FrontTestCase
from tests.live.cassandra.histories import Outcome
from tests.live.cassandra.load import Queue, wait_until, working
from tests.live.cassandra.nodes import Cluster, running

STRONG = Queue("strong", 2)
VERY_STRONG = Queue("very-strong", 1, "very_strong")
WEAK = Queue("weak", 1, "weak")
QUEUES = (STRONG, VERY_STRONG)

NOTICED = 8.0
"""Seconds after which front ends go without a node that is silent: its heartbeat takes 4."""

GOES_ON = 15.0
"""Seconds from then on within which each of a few clients has had an answer that is no time-out."""


class TrioTests(FrontTestCase):
    """``frontends = many``, replication 3."""

    def test_faults(self) -> None:
        """Whatever happens to one at a time: no acknowledged message is lost, none is shown twice or passed over, and
        the others go on; with one node left, strong queues are refused and weak ones go on."""
        with running(3, self.folder / "cluster") as cluster:
            first, second = (self.front(name, cluster.hosts, cluster.port, **self.settings) for name in "ab")
            for front in (first, second):
                front.start()
            for front in (first, second):
                front.wait_until_it_serves(300)
            self.make(first, *QUEUES, WEAK)
            clients = [client for front in (first, second) for client in self.posters(front, QUEUES, 3)]
            clients += [client for front in (first, second) for client in self.readers(front, QUEUES)]
            random = Random(4)
            with working(clients):
                time.sleep(3)
                for _ in range(3 if LONG else 1):
                    self.kill_node(cluster, random.randrange(3))
                    self.pause_node(cluster, random.randrange(3))
                    if LONG:
                        self.restart_all(cluster)
                    self.kill_front(second)
                time.sleep(3)
            self.check([first, second], QUEUES, sole=False)
            self.levels(cluster, first)

    settings = {"frontends": "many", "replication": "3"}  # noqa: RUF012

    @contextmanager
    def fault(self, text: str, survivors: int = 2) -> Iterator[None]:
        """Something happens; say how those fared whom it did not hit."""
        before = {front.process for front in self.fronts}
        began = time.monotonic()
        yield
        ended = time.monotonic()
        for front in self.fronts[:survivors]:
            if front.process in before:
                self.say(f"{text}, {ended - began:.0f} s: {self.latencies(front.process, began, ended)}")

    def wait_until_going_on(self) -> None:
        """Both front ends acknowledge something to both queues from now on, within some seconds.

        Batches over several partitions wait for longer: until the nodes themselves have found out.
        """
        since = time.monotonic()
        wanted = {(front.process, queue.name) for front in self.fronts for queue in QUEUES}

        def found() -> bool:
            posts = self.history.of_outcome(Outcome.OK)
            return {(post.process, post.queue) for post in posts if post.invoked > since} == wanted

        wait_until(found, GOES_ON, lambda: "\n".join(front.news() for front in self.fronts))

    def kill_node(self, cluster: Cluster, index: int) -> None:
        with self.fault(f"kill -9 of node {index}"):
            cluster.node(index).kill()
            self.miss(28)
            cluster.restart(index)

    def pause_node(self, cluster: Cluster, index: int) -> None:
        with self.fault(f"SIGSTOP of node {index}"):
            cluster.node(index).pause()
            self.miss(20)
            cluster.node(index).resume()
            time.sleep(5 if LONG else 1)

    def miss(self, seconds: float) -> None:
        """Go on without a node, in a long run for so many seconds."""
        until = time.monotonic() + (seconds if LONG else 0)
        time.sleep(NOTICED)
        self.wait_until_going_on()
        time.sleep(max(0, until - time.monotonic()))

    def restart_all(self, cluster: Cluster) -> None:
        with self.fault("all nodes started anew, one by one"):
            for index in range(3):
                cluster.restart(index)

    def kill_front(self, front: Front) -> None:
        with self.fault("kill -9 of a front end", survivors=1):
            front.kill()
            time.sleep(5 if LONG else 2)
            front.start()
            front.wait_until_it_serves(300)

    def levels(self, cluster: Cluster, front: Front) -> None:
        """With two of three nodes down, for longer than what front ends keep in the cluster may be relied on."""
        self.assertEqual(front.ask("POST", WEAK.path, b"x")[0], 201)
        for index in (1, 2):
            cluster.node(index).kill()

        def status(queue: Queue) -> int:
            return front.ask("POST", queue.path, b"x")[0]

        wait_until(lambda: status(STRONG) == 503, 20, front.news)
        began = time.monotonic()
        statuses, took = [], []
        while time.monotonic() < began + (45 if LONG else 8):
            sent = time.monotonic()
            weak = status(WEAK)
            shown = front.ask("GET", f"{WEAK.path}?limit=1000")
            took.append(time.monotonic() - sent)
            statuses.append((weak, status(STRONG), status(VERY_STRONG)))
            self.assertEqual((shown[0], len(shown[1]["messages"])), (200, len(statuses) + 1))
        times = ", ".join(f"{one:.1f} s" for one in took)
        self.say(f"two of three nodes down, for {time.monotonic() - began:.0f} s: weak POST and GET in {times}")
        self.assertEqual(set(statuses), {(201, 503, 503)})
        self.assertEqual(front.heartbeat(), 503)
        for index in (1, 2):
            cluster.restart(index)
        front.wait_until_it_serves(30)
        self.assertEqual([status(queue) for queue in (WEAK, *QUEUES)], [201] * 3)
