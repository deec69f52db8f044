"""Producers that retry, through proxies that cut, before front ends and nodes that are killed.

``QUEUEY_LONG=1`` goes on for much longer, and also kills the only front end of ``frontends = one``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

from tests.histories.checkers import problems
from tests.histories.clients import Log, new_seed, working
from tests.histories.producers import producers
from tests.histories.proxy import Cut, Proxy
from tests.histories.readers import read_all, readers
from tests.histories.record import Record
from tests.live.cassandra.fronts import LEEWAY, LONG, SETTLE, Front, FrontTestCase
from tests.live.cassandra.nodes import Cluster, running
from tests.live.cassandra.shared import cql_node
from tests.live.clients import make_queue

LASTS = 300.0 if LONG else 15.0
"""Seconds for which producers begin new things."""

DUE = 2.0 + SETTLE + LEEWAY
"""Seconds after which no delay is left, and everything shows."""

LOG = Log("q", 3)


class ProducersCase(FrontTestCase):
    """Two front ends, each with a proxy before it, and clients who go to either."""

    def setUp(self) -> None:
        super().setUp()
        self.seed = new_seed()
        self.say(f"QUEUEY_SEED={self.seed}")
        self.random = Random(self.seed)
        self.record = Record()
        self.wrong: list[str] = []

    def begin(self, hosts: Sequence[str], port: int, names: str = "ab", **storage: str) -> list[Front]:
        """Some front ends that serve, two by default, and the queue."""
        storage = {"frontends": "many", **storage}
        fronts = [self.front(name, hosts, port, (), **storage).start() for name in names]
        for front in fronts:
            front.wait_until_it_serves(300)
        make_queue(fronts[0].port, LOG.name, partitions=LOG.partitions, consistency="strong")
        return fronts

    @contextmanager
    def at_work(self, fronts: Sequence[Front]) -> Iterator[float]:
        """Let producers and readers work meanwhile, and check it all then.

        :return: how long: until when by the monotonic clock.
        """
        proxies = [Proxy(front.name, front.port, Random(f"{front.name} of {self.seed}")) for front in fronts]
        for proxy in proxies:
            self.addCleanup(proxy.close)
        with working(readers(proxies, LOG, self.record, self.seed)):
            with working(producers(6, proxies, LOG, self.record, self.seed, 0.02)):
                yield time.monotonic() + LASTS
            for proxy in proxies:
                proxy.calm()
            time.sleep(DUE)
        self.check_all(fronts)
        for proxy in proxies:
            self.say(f"connections cut at {proxy.process}: {proxy.summary()}")
        self.assertEqual([cut for cut in Cut if not any(proxy.cuts[cut] for proxy in proxies)], [])

    def check_all(self, fronts: Sequence[Front]) -> None:
        """What producers and readers know fits together, and every front end shows the same."""
        found = read_all(fronts[0], LOG)
        self.say(self.record.summary())
        wrong = problems(self.record, found)
        self.assertEqual(wrong, [], "\n".join(wrong))
        for other in fronts[1:]:
            self.assertEqual(read_all(other, LOG), found)
        self.assertGreater(self.record.saved(), 5)
        self.assertEqual(self.wrong + [line for front in fronts for line in self.defects(front)], [])


class FrontEndTests(ProducersCase):
    """One of two front ends on one node is killed, again and again."""

    def test_kills(self) -> None:
        """No key has two ids, no cursor passes a message over or comes upon it twice, and no second body is taken."""
        host, port = cql_node()
        fronts = self.begin([host], port)
        kills = 0
        with self.at_work(fronts) as until:
            while time.monotonic() < until:
                time.sleep(self.random.uniform(1, 4))
                front = self.random.choice(fronts)
                self.wrong += self.defects(front)
                front.kill()
                kills += 1
                time.sleep(self.random.uniform(0, 1))
                front.start()
                front.wait_until_it_serves(300)
        self.say(f"{kills} kills of a front end")


if LONG:

    class SoleTests(ProducersCase):
        """The only front end is killed, and started again: it waits for the lease that it left."""

        def test_kills(self) -> None:
            """The same."""
            host, port = cql_node()
            (front,) = fronts = self.begin([host], port, "a", frontends="one")
            with self.at_work(fronts) as until:
                while time.monotonic() < until:
                    time.sleep(self.random.uniform(3, 8))
                    self.wrong += self.defects(front)
                    front.kill()
                    front.start()
                    front.wait_until_it_serves(300)


class NodeTests(ProducersCase):
    """One of three nodes is killed, again and again."""

    def test_kills(self) -> None:
        """The same."""
        kills = 0
        with running(3, self.folder / "cluster") as cluster:
            fronts = self.begin(cluster.hosts, cluster.port, replication="3")
            with self.at_work(fronts) as until:
                while time.monotonic() < until:
                    time.sleep(3)
                    self.kill(cluster, self.random.randrange(3))
                    kills += 1
        self.say(f"{kills} kills of a node")

    def kill(self, cluster: Cluster, index: int) -> None:
        cluster.node(index).kill()
        time.sleep(self.random.uniform(2, 8))
        cluster.restart(index)
