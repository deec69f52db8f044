"""Every alert about a cluster, and what its front ends share, is raised by its cause and not before it."""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from tests.live.alerts import promtool
from tests.live.alerts.scrapes import Scrape, scrape
from tests.live.alerts.support import AlertCase, wait_for
from tests.live.cassandra.fronts import Front, FrontTestCase
from tests.live.cassandra.load import wait_until
from tests.live.cassandra.nodes import Cluster, needs
from tests.live.cassandra.shared import new_keyspace
from tests.live.clients import HEADERS, TIMEOUT, make_queue
from tests.live.failures import set_clock

MESSAGES: Final = "/v2/queuey/queues/q/messages"
TEXT: Final = {"Content-Type": "text/plain"}


class ClusterAlertTests(FrontTestCase, AlertCase):
    """A node of its own, one front end that holds the lease of its keyspace, and one of many on another keyspace."""

    def setUp(self) -> None:
        super().setUp()
        needs()
        promtool.find()
        self.cluster = Cluster.start(1, self.folder / "cluster")
        self.addCleanup(self.cluster.end)
        self.clock = self.folder / "clock"
        self.set(0)

    def set(self, seconds: float) -> None:
        """Set the clock of the second front end; the file always has all of the figure."""
        self.clock.write_text(f"{seconds:10.3f}")

    def post(self, front: Front) -> int:
        """Post a message; the status."""
        return front.ask("POST", MESSAGES, b"x", **TEXT)[0]

    def calm(self, front: Front, port: int) -> list[Scrape]:
        """Two scrapes, with a little work between them."""
        first = scrape(port)
        for _ in range(5):
            self.assertEqual(self.post(front), 201)
        return [first, scrape(port)]

    @staticmethod
    def serve(front: Front) -> None:
        """Let a front end serve, on a machine that may do much else."""
        front.start()
        front.wait_until_it_serves(180)

    def begin(self, front: Front) -> tuple[int, list[Scrape]]:
        """Let a front end serve; its operators' port, and how it is before anything happens."""
        port = front.ops
        self.serve(front)
        make_queue(front.port, "q")
        wait_for(port, lambda now: now.total("queuey_cassandra_connections") > 0, "there is no connection")
        return port, self.calm(front, port)

    def test_what_happens_to_a_cluster(self) -> None:
        """Its only node is paused; clocks differ, writes come late, and messages are shown late."""
        hosts, port = self.cluster.hosts, self.cluster.port
        self.one(self.front("one", hosts, port, in_flight=4))
        self.keyspace = new_keyspace()
        twistd = [sys.executable, set_clock.__file__, str(self.clock)]
        many = {"frontends": "many", "write_timeout": 0.5, "clock_skew": 2}
        self.many(self.front("many", hosts, port, twistd, **many))

    def one(self, front: Front) -> None:
        """The node is away for so long that the lease is lost, while clients ask on."""
        ops, calm = self.begin(front)
        self.cluster.node(0).pause()
        with self.posts(front, 40):
            full = self.wait(ops, lambda now: now.total("queuey_cassandra_requests_waiting") > 10, "nothing waits")
            away = self.wait(ops, lambda now: now.total("queuey_cassandra_connections") == 0, "the node is not missed")
            failed = self.wait(ops, lambda now: now.total("queuey_cassandra_errors_total") > 10, "nothing fails")
            self.wait(ops, lambda now: now.total("queuey_lease_held") == 0, "the lease is not lost")
            self.cluster.node(0).resume()
            back = self.wait(ops, lambda now: now.total("queuey_lease_held") == 1, "the lease is not taken again")
        self.check_alert("QueueyCassandraSaturated", calm, [full])
        self.check_alert("QueueyCassandraNodeAway", calm, [away])
        self.check_alert("QueueyCassandraErrors", calm, [failed])
        self.check_alert("QueueyLeaseFlapping", calm, [back])

    @contextmanager
    def posts(self, front: Front, count: int) -> Iterator[None]:
        """Let so many posts be under way, whose answers are not waited for."""
        with ExitStack() as open_ones:
            for _ in range(count):
                connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=TIMEOUT)
                open_ones.callback(connection.close)
                connection.request("POST", MESSAGES, b"x", {**HEADERS, **TEXT})
            yield

    def late(self, front: Front) -> Scrape:
        """Let the node be away for longer than writes may take, until that meets one that has been begun."""
        for _ in range(20):
            with self.posts(front, 20):
                self.cluster.node(0).pause()
                time.sleep(1.5)
                self.cluster.node(0).resume()
            wait_until(lambda: self.post(front) == 201, TIMEOUT, lambda: "it does not go on")
            found = scrape(front.ops)
            if found.total("queuey_late_writes_total"):
                return found
        raise AssertionError("nothing is late")

    def many(self, front: Front) -> None:
        """What it writes takes longer than it may; and it is started with a wrong clock, and settings that withhold
        messages for long."""
        ops, calm = self.begin(front)
        near = self.wait(ops, lambda now: _is_off_by(now, 0, 0.05), "the clock is off from the beginning")
        late = self.late(front)
        self.check_alert("QueueyLateWrites", calm, [late])

        front.stop()
        self.set(0.5)
        settings = front.folder / "queuey.ini"
        settings.write_text(settings.read_text() + "base_delay = 60\n")
        self.serve(front)
        off = self.wait(ops, lambda now: _is_off_by(now, 0.5, 0.3), "nobody sees the clock")
        self.check_alert("QueueyClockOff", [near, near], [off])
        old = self.wait(ops, lambda now: now.total("queuey_stable_time_age_seconds") > 50, "messages show at once")
        self.check_alert("QueueyStableTimeOld", calm, [old])

    def wait(self, ops: int, condition: Callable[[Scrape], bool], why: str) -> Scrape:
        """Scrape until it is so."""
        return wait_for(ops, condition, why)


def _is_off_by(now: Scrape, seconds: float, leeway: float) -> bool:
    """Whether a front end finds its clock ahead of the others by so much; a busy machine blurs what it sees."""
    name = "queuey_clock_offset_seconds"
    return now.has(name) and abs(now.total(name) - seconds) < leeway
