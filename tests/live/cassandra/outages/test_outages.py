"""Clusters that are away, that come back, and that cannot be used; and requests that they cannot take."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from queuey.model.messages.message import MAX_TTL
from tests.live.cassandra.fronts import LONG, Front, FrontTestCase
from tests.live.cassandra.load import Queue, read_everything, wait_until, working
from tests.live.cassandra.nodes import Cluster, free_ports, running
from tests.live.cassandra.session.wire import Wire
from tests.live.cassandra.shared import cql_node
from tests.live.clients import make_queue

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
QUEUES = (Queue("q"), Queue("spread", 3))
MIB = 1 << 20
IN_2037 = 2_132_000_000.0
"""Seconds since 1970."""

NAMES = (
    "naïve", "Ωμέγα", "очередь", "תור", "صف", "कतार", "คิว", "队列", "キュー", "대기열", "🚀", "e\u0301", "é",
    "a b", "a%2Fb", "a?b#c", "ẞß", "İ", "\u202eright", "𝔮𝔲𝔢𝔲𝔢",
)  # fmt: skip
"""Names of every script, from left and from right, beyond the basic plane, composed and not."""


class OutageTests(FrontTestCase):
    """One node that dies under load, with all that it had acknowledged on its disk."""

    def assert_refused(self, front: Front, word: str = "") -> None:
        """Requests are answered 503, with the reason and when to ask again."""
        requests: list[tuple[str, str, bytes | None]] = [
            ("GET", "/__heartbeat__", None),
            ("POST", "/v1/queuey/q", b"x"),
            ("GET", "/v1/queuey/q", None),
        ]
        for method, path, body in requests:
            began = time.monotonic()
            status, document, headers = front.ask(method, path, body)
            self.assertEqual(status, 503, (method, path, document))
            self.assertIn(word, document["error_msg"]["storage"])
            self.assertGreaterEqual(int(headers["Retry-After"]), 1)
            self.assertLess(time.monotonic() - began, 12)

    def test_outages(self) -> None:
        """Started before its cluster, a front end waits; it rides through kills of the only node without a restart,
        and nothing that was acknowledged is lost."""
        with running(1, self.folder / "cluster") as cluster:
            node = cluster.node(0)
            node.stop()
            front = self.front("a", cluster.hosts, cluster.port).start()
            line = front.wait_for_line("store-waits", 30)
            self.assertIn(f"waiting for Cassandra at 127.0.0.1:{cluster.port}", line)
            self.assert_refused(front, f"waiting for Cassandra at 127.0.0.1:{cluster.port}")
            cluster.restart(0)
            took = front.wait_until_it_serves(20)
            self.say(f"served {took:.1f} s after the cluster did")
            self.make(front, *QUEUES)
            with working([*self.posters(front, QUEUES, 8, pause=0.0), *self.readers(front, QUEUES)]):
                for number in range(6 if LONG else 1):
                    time.sleep(3)
                    self.outage(cluster, front, number)
                time.sleep(1)
            self.assertIn("applied: ", front.lines("refused")[-1])
            self.check([front], QUEUES, sole=True)
            self.assertEqual(len(front.lines("started")), 1)
            front.stop()

    def outage(self, cluster: Cluster, front: Front, number: int) -> None:
        """Kill the node, and start it again."""
        node = cluster.node(0)
        node.kill()
        wait_until(lambda: front.heartbeat() == 503, 15, front.news)
        self.assert_refused(front)
        cluster.restart(0)
        took = front.wait_until_it_serves(30)
        self.say(f"outage {number}: served {took:.1f} s after the cluster did")

    def test_stop_without_a_cluster(self) -> None:
        """A daemon that waits for its cluster stops at once when asked to."""
        (port,) = free_ports(["127.0.0.1"], 1)
        front = self.front("a", ["127.0.0.1"], port).start()
        front.wait_for_line("store-waits", 30)
        began = time.monotonic()
        front.stop()
        self.assertLess(time.monotonic() - began, 5)


class WrongClusterTests(FrontTestCase):
    """Settings that do not fit the cluster: one line for the person who starts the daemon, and status 1."""

    def shared(self, name: str = "a", **storage: str) -> Front:
        host, self.cql_port = cql_node()
        return self.front(name, [host], self.cql_port, **storage)

    def test_nobody_there(self) -> None:
        """It may come yet."""
        (port,) = free_ports(["127.0.0.1"], 1)
        front = self.front("a", ["127.0.0.1"], port).start()
        line = front.wait_for_line("store-waits", 30)
        self.assertIn(f"waiting for Cassandra at 127.0.0.1:{port}: Cassandra does not answer: 127.0.0.1", line)
        self.assertEqual(front.heartbeat(), 503)

    def test_unknown_host(self) -> None:
        """A name that is not taken may be made known yet."""
        front = self.front("a", ["nobody.invalid"], 9042).start()
        self.assertIn("No host of this name is known", front.wait_for_line("store-waits", 30))

    def test_data_centre(self) -> None:
        """One that the cluster does not have."""
        (line,) = self.shared(local_dc="elsewhere").refused()
        where = f"Cassandra at 127.0.0.1:{self.cql_port}"
        expected = f"queuey: {where}: Cassandra has no data centre named 'elsewhere', but datacenter1."
        self.assertEqual(line, expected)

    def test_replication_centre(self) -> None:
        """One that the keyspace is to have copies in."""
        (line,) = self.shared(replication="elsewhere:3").refused()
        self.assertIn("elsewhere", line)

    def test_keyspace_of_another_program(self) -> None:
        """It is left alone."""
        host, port = cql_node()
        with Wire.connect(host, port) as wire:
            replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
            wire.query(f"CREATE KEYSPACE {self.keyspace} WITH replication = {replication}")
            wire.query(f"CREATE TABLE {self.keyspace}.queues (a int PRIMARY KEY)")
        (line,) = self.shared().refused()
        expected = f"queuey: The keyspace {self.keyspace} is not Queuey's: it has other tables; name another one as "
        self.assertEqual(line, f"{expected}[storage] database.")

    def test_passwords_and_promises(self) -> None:
        """A node that asks for passwords, and that does not sync what it acknowledges."""
        periodic = {"commitlog_sync": "periodic", "commitlog_sync_period": "10000ms"}
        # Without it every table of passwords would have to be waited for.
        jvm = ["-Dcassandra.superuser_setup_delay_ms=0"]
        with running(1, self.folder / "cluster", jvm=jvm, authenticator="PasswordAuthenticator", **periodic) as cluster:
            where = f"127.0.0.1:{cluster.port}"
            node = f"queuey: Cassandra at {where}: Cassandra at {where}"

            def front(name: str, **storage: str) -> Front:
                return self.front(name, cluster.hosts, cluster.port, **storage)

            known = {"username": "cassandra", "password": "cassandra"}
            self.assertEqual(front("none").refused(), [f"{node} asks for a username and a password, and none are set."])
            wrong = {**known, "password": "swordfish"}
            self.assertEqual(front("wrong", **wrong).refused(), [f"{node} refuses this username and password."])
            wait_until(lambda: "Created default superuser" in cluster.node(0).log(), 60, cluster.node(0).output)
            (line,) = front("periodic", **known).refused()
            self.assertIn("keeps one copy of each row, and Cassandra's commitlog_sync is periodic", line)
            self.assertTrue(line.startswith(f"queuey: The keyspace {self.keyspace} "), line)


class RequestTests(FrontTestCase):
    """What a cluster cannot take is refused before it is sent; what it can take is taken."""

    def serve(self, **storage: str) -> Front:
        host, port = cql_node()
        return self.front("a", [host], port, **storage).serve()

    def test_requests(self) -> None:
        """All of it at one front end, since each start takes time."""
        front = self.serve()
        self.make(front, *QUEUES)
        self.over_large(front)
        self.every_script(front)
        self.two_hundred_partitions(front)
        self.assertEqual(self.defects(front), [])

    def over_large(self, front: Front) -> None:
        """A message, a batch, and a PUT: 413, which names the limit; somewhat less is stored."""
        fits, over = "x" * (3 * MIB), "x" * (5 * MIB)
        status, document, _ = front.ask("POST", "/v1/queuey/q", over.encode(), **TEXT)
        self.assert_too_large(status, document, "commitlog_segment_size")
        status, document, _ = front.ask("POST", "/v1/queuey/q", fits.encode(), **TEXT)
        self.assertEqual(status, 201, document)
        key = document["messages"][0]["key"]
        _, document, _ = front.ask("GET", f"/v1/queuey/q/{key}")
        self.assertEqual(document["messages"][0]["body"], fits)
        status, document, _ = front.ask("PUT", f"/v1/queuey/q/{key}", over.encode(), **TEXT)
        self.assert_too_large(status, document, "commitlog_segment_size")
        pieces = [{"body": "y" * MIB, "partition": 1 + number % 3} for number in range(6)]
        status, document, _ = front.ask("POST", "/v1/queuey/spread", json.dumps({"messages": pieces}).encode(), **JSON)
        self.assert_too_large(status, document, "")
        status, document, _ = front.ask(
            "POST", "/v1/queuey/spread", json.dumps({"messages": pieces[:3]}).encode(), **JSON
        )
        self.assertEqual(status, 201, document)
        found = read_everything(front, QUEUES)
        self.assertEqual([len(one.body) // MIB for one in found], [3, 1, 1, 1])

    def assert_too_large(self, status: int, document: Any, word: str) -> None:
        self.assertEqual(status, 413, str(document)[:500])
        self.assertIn(word, document["error_msg"]["RequestTooLarge"])

    def every_script(self, front: Front) -> None:
        """Each name is a queue of its own, found by it, listed in order, and gone when it is deleted."""
        for name in NAMES:
            make_queue(front.port, name)
            path = f"/v1/queuey/{quote(name, safe='')}"
            self.assertEqual(front.ask("POST", path, name.encode(), **TEXT)[0], 201, name)
        for name in NAMES:
            _, document, _ = front.ask("GET", f"/v1/queuey/{quote(name, safe='')}")
            self.assertEqual([one["body"] for one in document["messages"]], [name])
        _, document, _ = front.ask("GET", "/v1/queuey")
        listed = [one["queue_name"] for one in document["queues"]]
        self.assertEqual(listed, sorted({*NAMES, *(queue.name for queue in QUEUES)}, key=str.encode))
        for name in NAMES:
            self.assertEqual(front.ask("DELETE", f"/v1/queuey/{quote(name, safe='')}")[0], 200)
        _, document, _ = front.ask("GET", "/v1/queuey")
        self.assertEqual([one["queue_name"] for one in document["queues"]], ["q", "spread"])

    def two_hundred_partitions(self, front: Front) -> None:
        """A batch over all of them is stored whole, and read in one request."""
        queue = Queue("wide", 200)
        self.make(front, queue)
        pieces = [{"body": str(number), "partition": number} for number in range(1, 201)]
        status, document, _ = front.ask("POST", queue.path, json.dumps({"messages": pieces}).encode(), **JSON)
        self.assertEqual(status, 201, document)
        wanted = ",".join(map(str, range(1, 201)))
        status, document, _ = front.ask("GET", f"{queue.path}?partitions={wanted}")
        self.assertEqual([one["body"] for one in document["messages"]], [str(number) for number in range(1, 201)])
        status, document, _ = front.ask("POST", "/v1/queuey", b"queue_name=wider&partitions=201", **JSON)
        self.assertEqual(status, 400)
        _, document, _ = front.ask("GET", "/v1/queuey?include_count=true&details=true")
        counts = {one["queue_name"]: one["count"] for one in document["queues"]}
        self.assertEqual(counts["wide"], 200)

    def test_into_2038(self) -> None:
        """A message that would live longer than cells of this cluster can is refused; a shorter one is stored."""
        host, port = cql_node()
        offset = self.folder / "offset"
        offset.write_text(str(IN_2037 - time.time()))
        program = str(Path(__file__).parents[2] / "failures" / "set_clock.py")
        front = self.front("a", [host], port, [sys.executable, program, str(offset)]).serve()
        self.make(front, *QUEUES)
        status, document, _ = front.ask("POST", "/v1/queuey/q", b"x", **TEXT, **{"X-TTL": str(MAX_TTL)})
        self.assertEqual((status, list(document["error_msg"])), (400, ["ttl"]), document)
        self.assertIn("2038", document["error_msg"]["ttl"])
        status, document, _ = front.ask("POST", "/v1/queuey/q", b"x", **TEXT, **{"X-TTL": "86400"})
        self.assertEqual(status, 201, document)
        self.assertEqual(front.daemon.signal(signal.SIGTERM), 0)
