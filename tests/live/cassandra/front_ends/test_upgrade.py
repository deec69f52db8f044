"""An upgrade on Cassandra: the next front end serves on the same socket before the one before it leaves."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from pathlib import Path

from tests.live.cassandra.fronts import FLIGHT, SKEW, FrontTestCase
from tests.live.cassandra.shared import cql_node
from tests.live.clients import TIMEOUT, make_queue, read_all
from tests.live.daemon.managing import Managed
from tests.live.daemon.test_daemon import wait_until
from tests.live.operating.upgrading import balance, progress, under_load
from tests.live.running import free_port

CLIENTS = 8
SETTINGS = """\
[server]
http = systemd:domain=INET:name=queuey
ops = tcp:{ops}:interface=127.0.0.1
drain_pause = 1
[application_keys]
queuey = f25bfb8fe200475c8a0532a9cbe7651e
[storage]
backend = cassandra
host = {host}:{port}
database = {keyspace}
frontends = many
"""


class UpgradeTests(FrontTestCase):
    """Two front ends on one socket, which the manager holds."""

    def setUp(self) -> None:
        super().setUp()
        self.host, self.cql_port = cql_node()
        self.held = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.addCleanup(self.held.close)
        self.port: int = self.held.getsockname()[1]

    def start(self, name: str) -> tuple[Managed, int]:
        """Start a front end, and wait until it is ready; with its port for operators."""
        settings, ops = self.folder / f"{name}.ini", free_port()
        settings.write_text(SETTINGS.format(ops=ops, host=self.host, port=self.cql_port, keyspace=self.keyspace))
        daemon = Managed(settings, {"queuey": self.held}, {"PYTHONPATH": str(Path(__file__).parents[4])})
        self.addCleanup(daemon.kill)
        wait_until(lambda: self.ready(ops) or daemon.process.poll() is not None, f"{name} is not ready")
        self.assertIsNone(daemon.process.poll(), daemon.output())
        return daemon, ops

    @staticmethod
    def ready(ops: int) -> bool:
        """Whether a front end says that it is; one that is not there is not."""
        connection = http.client.HTTPConnection("127.0.0.1", ops, timeout=TIMEOUT)
        try:
            connection.request("GET", "/ready")
            answer = connection.getresponse()
            return bool(json.loads(answer.read())["ready"])
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def test_no_request_fails(self) -> None:
        """One front end after the other is replaced under load, and each request is answered as it should be."""
        old, ops = self.start("front0")
        make_queue(self.port, "q")
        with under_load(self.port, "/v1/queuey/q", CLIENTS) as clients:
            for number in (1, 2):
                progress(clients, wait_until)
                new, next_ops = self.start(f"front{number}")
                told = sum(client.told for client in clients)
                old.signal(signal.SIGTERM)
                wait_until(lambda: sum(client.told for client in clients) > told, "no client is told that this ends")  # noqa: B023
                self.assertFalse(self.ready(ops))
                self.assertEqual(old.wait(), 0, old.output())
                progress(clients, wait_until)
                self.assertEqual(self.accepted(new), True, "the next one gets its share")
                old, ops = new, next_ops
        counted = balance(clients)
        self.say(", ".join(f"{name} {number}" for name, number in counted.items()))
        self.say(f"the longest request took {max(client.longest for client in clients):.2f} s")
        self.assertEqual([failure for client in clients for failure in client.failed], [])
        self.assertEqual(counted, {"sent": counted["sent"], "answered 201": counted["sent"], "failed": 0})
        self.check_stored(sorted(body for client in clients for body in client.stored))
        old.signal(signal.SIGTERM)
        self.assertEqual(old.wait(), 0, old.output())
        for name in ("front0", "front1", "front2"):
            self.assertNotIn("Traceback", (self.folder / f"output-{name}").read_text())

    @staticmethod
    def accepted(daemon: Managed) -> bool:
        """Whether a front end has stored something."""
        return " access 201 POST /v1/queuey/q " in daemon.output()

    def check_stored(self, bodies: list[str]) -> None:
        """Everything that was acknowledged is there once, when all of it shows."""

        def found() -> list[str]:
            return sorted(message["body"] for message in read_all(self.port, "q"))

        wait_until(lambda: len(found()) >= len(bodies), f"not all shows after {FLIGHT['strong'] + SKEW} s")
        self.assertEqual(found(), bodies)
