"""Front ends on one node: one that serves and others that wait, or many that serve side by side."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from random import Random

from tests.live.cassandra.fronts import FLIGHT, LONG, SETTLE, Front, FrontTestCase
from tests.live.cassandra.load import Queue, wait_until, working
from tests.live.cassandra.nodes import running
from tests.live.cassandra.shared import cql_node
from tests.live.scraping import Metrics, scrape, until

PATIENCE = 12.0
"""Seconds that a front end waits for one that holds the lease and is silent."""

ROUND = 2.5
"""Seconds that it takes to look at the lease again and to take it, on a slow machine."""

POSTS = 20
OPERATIONS = "queuey_store_operations_total"
DURATIONS = "queuey_store_operation_duration_seconds_count"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
QUEUES = (Queue("q"), Queue("spread", 3))


def written(metrics: Metrics) -> float:
    """How many writes were sent to the cluster."""
    return metrics.get(("queuey_cassandra_request_duration_seconds_count", "write"), 0)


def changes(metrics: Metrics) -> dict[str, float]:
    """How often the lease was taken, lost and released."""
    return {name[1]: value for name, value in metrics.items() if name[0] == "queuey_lease_changes_total"}


class OneCase(FrontTestCase):
    """``frontends = one`` on one node."""

    def setUp(self) -> None:
        super().setUp()
        host, self.cql_port = cql_node()
        self.hosts = [host]

    def one(self, name: str) -> Front:
        return self.front(name, self.hosts, self.cql_port)

    def waiting(self, name: str) -> Front:
        """One that waits for another, and says so."""
        front = self.one(name).start()
        line = front.wait_for_line("lease-waits", 30)
        self.assertIn("holds the lease of the cluster", line)
        status, document, headers = front.ask("GET", "/__heartbeat__")
        self.assertEqual(status, 503)
        self.assertIn("Retry-After", headers)
        self.assertIn("holds the lease", document["error_msg"]["storage"])
        self.assertEqual(front.ask("POST", "/v1/queuey/q", b"x")[0], 503)
        return front


class OneTests(OneCase):
    """The front end that holds the lease serves."""

    def test_the_next_one(self) -> None:
        """A second one waits, takes over when the first is stopped, and a third when that one is killed."""
        first = self.one("a").serve()
        self.make(first, *QUEUES)
        second = self.waiting("b")
        with working([*self.posters(first, QUEUES, 3), *self.readers(first, QUEUES)]):
            time.sleep(2)
        with working([*self.posters(second, QUEUES, 1), *self.readers(second, QUEUES)]):
            first.stop()
            took = second.wait_until_it_serves(ROUND + 2)
            time.sleep(2)
        self.say(f"served {took:.1f} s after the one before had stopped")
        third = self.waiting("c")
        with working(self.posters(second, QUEUES, 2)):
            time.sleep(1)
            second.kill()
        took = third.wait_until_it_serves(PATIENCE + 2 * ROUND)
        self.say(f"served {took:.1f} s after the one before was killed")
        self.assertGreater(took, PATIENCE - ROUND)
        with working([*self.posters(third, QUEUES, 2), *self.readers(third, QUEUES)]):
            time.sleep(1)
        self.check([third], QUEUES, sole=True)

    def test_readable_when_acknowledged(self) -> None:
        """A front end that has written to a queue alone finds that at once, while others write to other queues."""
        front = self.one("a").serve()
        own = Queue("own", 3)
        self.make(front, *QUEUES, own)
        with working([*self.posters(front, QUEUES, 3), *self.readers(front, QUEUES)]):
            for number in range(40):
                status, document, _ = front.ask("POST", own.path, f"own {number}".encode())
                self.assertEqual(status, 201)
                key, partition = (document["messages"][0][word] for word in ("key", "partition"))
                _, document, _ = front.ask("GET", f"{own.path}?since={key}&partitions={partition}&limit=1")
                self.assertEqual([one["message_id"] for one in document["messages"]], [key])
            wait_until(lambda: sum(1 for _ in self.history.acknowledged()) > 50, 60, lambda: "The others wrote little.")
        self.check([front], QUEUES, sole=True)

    def test_what_is_counted(self) -> None:
        """The store's calls, the connections and the lease, as they are, of one that serves and one that waits."""
        first = self.one("a").serve()
        self.make(first, *QUEUES)
        second = self.waiting("b")
        before = scrape(first.ops)
        for number in range(POSTS):
            self.assertEqual(first.ask("POST", "/v1/queuey/q", b"%d" % number)[0], 201)
        found = until(first.ops, lambda metrics: metrics["queuey_cassandra_requests_in_flight",] == 0)
        for name, more in ((OPERATIONS, ("append", "ok")), (DURATIONS, ("append",))):
            self.assertEqual(found[(name, *more)] - before.get((name, *more), 0), POSTS)
        self.assertGreaterEqual(written(found) - written(before), POSTS)
        self.assertGreaterEqual(found["queuey_cassandra_connections", self.hosts[0]], 1)
        self.assertEqual([name for name in found if name[0] == "queuey_cassandra_errors_total"], [])
        for name, expected in (
            ("queuey_cassandra_requests_waiting", 0),
            ("queuey_cassandra_retries_total", 0),
            ("queuey_late_writes_total", 0),
            ("queuey_lease_held", 1),
            ("queuey_store_up", 1),
        ):
            self.assertEqual((name, found[name,]), (name, expected))
        self.assertLess(found["queuey_stable_time_age_seconds",], FLIGHT["very_strong"])
        self.assertEqual(changes(found), {"taken": 1})
        waits = scrape(second.ops)
        self.assertEqual((waits["queuey_lease_held",], waits["queuey_store_up",], changes(waits)), (0, 0, {}))
        self.assertNotIn(("queuey_stable_time_age_seconds",), waits)
        first.stop()
        found = until(second.ops, lambda metrics: metrics["queuey_store_up",] == 1)
        self.assertEqual((found["queuey_lease_held",], changes(found)), (1, {"taken": 1}))

    def test_modes_do_not_mix(self) -> None:
        """Neither serves while one of the other mode does; each says so, and serves once that one has stopped."""
        one = self.one("one").serve()
        many = self.front("many", self.hosts, self.cql_port, frontends="many").start()
        self.assertIn("frontends", many.wait_for_line("modes-mixed", 30))
        status, document, _ = many.ask("GET", "/__heartbeat__")
        self.assertEqual(status, 503)
        self.assertIn("frontends", document["error_msg"]["storage"])
        self.assertEqual(one.heartbeat(), 200)
        one.stop()
        many.wait_until_it_serves(PATIENCE + 2 * ROUND)
        again = one.start()
        self.assertIn("frontends = many", again.wait_for_line("modes-mixed", 30))
        self.assertEqual((again.heartbeat(), many.heartbeat()), (503, 200))
        many.stop()
        again.wait_until_it_serves(30 + 2 * ROUND)


class ManyCase(FrontTestCase):
    """``frontends = many`` on one node."""

    def setUp(self) -> None:
        super().setUp()
        host, self.cql_port = cql_node()
        self.hosts = [host]

    def many(self, name: str) -> Front:
        return self.front(name, self.hosts, self.cql_port, frontends="many")

    def two(self) -> tuple[Front, Front]:
        """Two that serve, and the queues."""
        first, second = self.many("a").start(), self.many("b").start()
        for front in (first, second):
            front.wait_until_it_serves(300)
        self.make(first, *QUEUES)
        return first, second


class ManyTests(ManyCase):
    """Two that serve side by side."""

    def test_paused(self) -> None:
        """One is stopped for 15 s in the middle of writes: no reader of either passes anything over."""
        first, second = self.two()
        clients = [*self.posters(first, QUEUES, 4, 0.0), *self.posters(second, QUEUES, 2)]
        clients += [*self.readers(first, QUEUES), *self.readers(second, QUEUES)]
        with working(clients):
            for _ in range(4 if LONG else 1):
                time.sleep(3)
                first.pause()
                time.sleep(15)
                first.resume()
                first.wait_until_it_serves(20)
            time.sleep(2)
        self.check([first, second], QUEUES, sole=False)

    def test_base_of_time(self) -> None:
        """A message shows on both after the time to settle, not before it can be relied on, and never later."""
        first, second = self.two()
        status, document, _ = first.ask("POST", "/v1/queuey/q", b"x")
        written = time.monotonic()
        self.assertEqual(status, 201)
        key = document["messages"][0]["key"]
        for front in (second, first):
            self.assertEqual(front.ask("GET", f"/v1/queuey/q/{key}")[1]["messages"][0]["body"], "x")

        def shows(front: Front) -> bool:
            return bool(front.ask("GET", "/v1/queuey/q")[1]["messages"])

        self.clocks(second)
        self.assertFalse(shows(second))
        wait_until(lambda: shows(second), SETTLE + 2, second.news)
        took = time.monotonic() - written
        self.assertGreater(took, SETTLE - 1)
        self.say(f"shown by the other front end {took:.2f} s after it was acknowledged")

    def clocks(self, front: Front) -> None:
        """What the metrics say about clocks: they are all that of this machine."""
        found = scrape(front.ops)
        self.assertLess(abs(found["queuey_clock_offset_seconds",]), 0.25)
        self.assertLess(abs(found["queuey_clock_peer_offset_seconds", f"node {self.hosts[0]}"]), 0.25)
        self.assertEqual(found["queuey_stable_time_age_seconds",], SETTLE)
        self.assertNotIn(("queuey_lease_held",), found)

    def test_clock_is_off(self) -> None:
        """One whose clock is 3 s ahead or behind says so and whose it is, and serves nothing; others go on."""
        good = self.many("good").serve()
        self.make(good, *QUEUES)
        for seconds in (3, -3):
            offset = self.folder / f"offset{seconds}"
            offset.write_text(str(seconds))
            program = str(Path(__file__).parents[2] / "failures" / "set_clock.py")
            twistd = [sys.executable, program, str(offset)]
            bad = self.front(f"bad{seconds}", self.hosts, self.cql_port, twistd, frontends="many").start()
            line = bad.wait_for_line("clock-off", 30)
            self.assertIn("this front end", line)
            status, document, headers = bad.ask("POST", "/v1/queuey/q", b"x")
            self.assertEqual(status, 503)
            self.assertIn("clock", document["error_msg"]["storage"])
            self.assertIn("Retry-After", headers)
            time.sleep(6 if LONG else 2)
            self.assertEqual((bad.heartbeat(), good.heartbeat()), (503, 200))
            bad.stop()

    def test_delete_and_make_anew(self) -> None:
        """A queue is deleted at one and made again at the other, again and again: what was acknowledged last stays."""
        first, second = self.two()
        random = Random(7)
        name = "again"
        kept: list[str] = []
        for number in range(20 if LONG else 2):
            one, other = random.sample([first, second], 2)
            self.make(one, Queue(name))
            kept = []
            for turn in range(4):
                front = random.choice([one, other])
                status, document, _ = front.ask("POST", f"/v1/queuey/{name}", f"{number}.{turn}".encode())
                self.assertEqual((status, front.name), (201, front.name), document)
                kept.append(f"{number}.{turn}")
            if number % 2:
                status, document, _ = other.ask("DELETE", f"/v1/queuey/{name}")
                self.assertEqual(status, 200, document)
                kept = []
                # Neither shows or takes anything of the one that has ended, whatever it remembers.
                for front in (first, second):
                    self.assertEqual(front.ask("GET", f"/v1/queuey/{name}")[0], 404)
                    self.assertEqual(front.ask("POST", f"/v1/queuey/{name}", b"late")[0], 404)
            else:
                time.sleep(2 * SETTLE)
                for front in (first, second):
                    _, document, _ = front.ask("GET", f"/v1/queuey/{name}?limit=1000")
                    shown = [one["body"] for one in document["messages"]]
                    self.assertEqual([body for body in kept if body not in shown], [])
                other.ask("DELETE", f"/v1/queuey/{name}")


class NodeTests(FrontTestCase):
    """A node of Cassandra that stands still."""

    def test_paused(self) -> None:
        """The only node is stopped for 5 s in the middle of writes: 503 meanwhile, and nothing is passed over."""
        with running(1, self.folder / "cluster") as cluster:
            fronts = [self.front(name, cluster.hosts, cluster.port, frontends="many") for name in "ab"]
            for front in fronts:
                front.start()
            for front in fronts:
                front.wait_until_it_serves(300)
            self.make(fronts[0], *QUEUES)
            clients = [client for front in fronts for client in self.posters(front, QUEUES, 3)]
            clients += [client for front in fronts for client in self.readers(front, QUEUES)]
            with working(clients):
                for _ in range(4 if LONG else 1):
                    time.sleep(3)
                    cluster.node(0).pause()
                    time.sleep(5)
                    cluster.node(0).resume()
                    for front in fronts:
                        front.wait_until_it_serves(30)
                time.sleep(3)
            self.assertGreater(self.history.statuses[fronts[0].process, 503], 0)
            self.check(fronts, QUEUES, sole=False)


if LONG:

    class LongOneTests(OneCase):
        """What takes long, with one that serves."""

        def test_paused(self) -> None:
            """One that is stopped for longer than its lease promises nothing that was under way, and waits then."""
            first = self.one("a").serve()
            self.make(first, *QUEUES)
            second = self.waiting("b")
            with working(
                [
                    *self.posters(first, QUEUES, 3),
                    *self.posters(second, QUEUES, 1, pause=0.05),
                    *self.readers(second, QUEUES),
                ]
            ):
                time.sleep(1)
                first.pause()
                second.wait_until_it_serves(PATIENCE + 2 * ROUND)
                time.sleep(1)
                first.resume()
                line = first.wait_for_line("lease-lost", 10)
                self.assertIn("not renewed", line)
                first.wait_for_line("lease-waits", 10)
                time.sleep(1)
            self.assertEqual(first.heartbeat(), 503)
            self.check([second], QUEUES, sole=True)

    class LongManyTests(ManyCase):
        """What takes long, with many that serve."""

        def test_delete_under_load(self) -> None:
            """A queue is deleted at one and created again at the other while both work: each incarnation has
            everything that was acknowledged in it."""
            first, second = self.two()
            last = Queue("last")
            self.make(first, last)
            with working([*self.posters(second, QUEUES, 1), *self.readers(first, QUEUES)]):
                for number in range(5):
                    self.assertEqual(second.ask("DELETE", "/v1/queuey/last")[0], 200)
                    made = self.created(first, "last")
                    bodies = []
                    for turn in range(20):
                        front = (first, second)[turn % 2]
                        status, document, _ = front.ask("POST", "/v1/queuey/last", f"{number}-{turn}".encode())
                        if status == 201:
                            bodies.append(f"{number}-{turn}")
                    self.assertGreater(len(bodies), 10, made)
                    time.sleep(SETTLE + 1)
                    for front in (first, second):
                        _, document, _ = front.ask("GET", "/v1/queuey/last?limit=1000")
                        self.assertEqual(sorted(one["body"] for one in document["messages"]), sorted(bodies))
            self.check([first, second], QUEUES, sole=False)

        def created(self, front: Front, name: str) -> float:
            """Make a queue, which may have to wait for its name; how many seconds that took."""

            def made() -> bool:
                status, document, _ = front.ask("POST", "/v1/queuey", f"queue_name={name}".encode(), **FORM)
                self.assertIn(status, (201, 503), document)
                return status == 201

            return wait_until(made, 10, front.news)
