"""An upgrade of the embedded store, which one daemon has to itself: its clients wait, and no request is lost."""

from __future__ import annotations

import signal
import socket
import sys
import time

from tests.live.clients import make_queue, read_all
from tests.live.daemon.managing import Managed, Manager
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.operating.upgrading import balance, progress, under_load

CLIENTS = 8


class SQLiteTests(LiveTestCase):
    """One daemon after the other, on a socket that the manager holds."""

    run_in = "test"

    def test_no_request_is_lost(self) -> None:
        """Those that come in between wait for the next daemon; none is refused, cut, or stored twice."""
        self.replace_settings(f"tcp:{self.port}:interface=127.0.0.1", "systemd:domain=INET:name=queuey")
        self.manager = Manager(str(self.folder / "notify"))
        self.addCleanup(self.manager.end)
        with socket.create_server(("127.0.0.1", self.port), backlog=1024) as held:
            daemon = self.start(held)
            make_queue(self.port, "q")
            gaps = []
            with under_load(self.port, "/v1/queuey/q", CLIENTS) as clients:
                for _ in range(2):
                    progress(clients, wait_until)
                    began = time.monotonic()
                    daemon.signal(signal.SIGTERM)
                    self.assertEqual(daemon.wait(), 0, daemon.output())
                    daemon = self.start(held)
                    gaps.append(self.manager.times("READY")[-1] - began)
                    progress(clients, wait_until)
            counted = balance(clients)
            stored = [message["body"] for message in read_all(self.port, "q")]
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0, daemon.output())
        self.say(", ".join(f"{name} {number}" for name, number in counted.items()))
        self.say(f"from SIGTERM to the next daemon's word: {', '.join(f'{gap:.2f} s' for gap in gaps)}")
        self.say(f"the longest request took {max(client.longest for client in clients):.2f} s")
        self.assertEqual([failure for client in clients for failure in client.failed], [])
        self.assertEqual(counted, {"sent": counted["sent"], "answered 201": counted["sent"], "failed": 0})
        self.assertEqual(sorted(stored), sorted(body for client in clients for body in client.stored))

    def start(self, held: socket.socket) -> Managed:
        """Start a daemon, and wait for its word."""
        told = len(self.manager.values("READY"))
        environment = {"NOTIFY_SOCKET": self.manager.address}
        daemon = Managed(self.settings, {"queuey": held}, environment)
        self.addCleanup(daemon.kill)
        wait_until(
            lambda: len(self.manager.values("READY")) > told or daemon.process.poll() is not None, "it is not ready"
        )
        self.assertIsNone(daemon.process.poll(), daemon.output())
        return daemon

    def say(self, text: str) -> None:
        sys.stdout.write(f"{self.id().rpartition('.')[2]}: {text}\n")
