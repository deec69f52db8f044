"""Workers that are busy, or stopped: changes do not wait for them, and they serve nothing that was changed."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
import time

from tests.live.clients import TIMEOUT, ask, make_queue
from tests.live.daemon.test_daemon import wait_until
from tests.live.workers.test_workers import CONNECTIONS, WORKERS, WorkersCase, over, runs

MESSAGES = "/v2/queuey/queues/q/messages"
CHANGES = 20


class BusyTests(WorkersCase):
    def setUp(self) -> None:
        super().setUp()
        make_queue(self.port, "q")
        self.opened = self.connections()
        self.ids = [self.post(b"%d" % number) for number in range(CHANGES)]
        self.victim = self.pids()[0]
        # A worker that stands still when a test fails would keep the daemon from ending.
        self.addCleanup(self.go_on)

    def post(self, body: bytes) -> str:
        status, answer = over(self.opened[0], "POST", MESSAGES, body)
        self.assertEqual(status, 201)
        id: str = answer["messages"][0]["id"]
        return id

    def go_on(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.victim, signal.SIGCONT)

    def is_stopped(self) -> bool:
        """Whether the worker stands still, and was not ended."""
        with open(f"/proc/{self.victim}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"

    def first(self, connection: http.client.HTTPConnection) -> str:
        """The id of the first message, on a page that may come from a cache."""
        status, page = over(connection, "GET", f"{MESSAGES}?limit=1")
        self.assertEqual(status, 200)
        id: str = page["messages"][0]["id"]
        return id

    def test_one_that_stands_still(self) -> None:
        """Changes are answered meanwhile, and when it goes on it answers as the others do."""
        self.assertEqual({self.first(connection) for connection in self.opened}, {self.ids[0]})
        os.kill(self.victim, signal.SIGSTOP)
        wait_until(self.is_stopped, "it goes on")
        for id in self.ids[:-1]:
            # Connections that are new are taken by others.
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
            self.assertEqual(over(connection, "DELETE", f"{MESSAGES}/{id}")[0], 204)
            connection.close()
        self.assertTrue(self.is_stopped())
        self.go_on()
        self.assertEqual({self.first(connection) for connection in self.opened}, {self.ids[-1]})
        self.assertNotIn(" worker-stuck ", self.daemon.output())
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)

    def test_one_that_is_busy(self) -> None:
        """No reader sees what was deleted, and the worker is not ended, though it answers only now and then."""
        ends = threading.Event()

        def keep_busy() -> None:
            while not ends.is_set():
                os.kill(self.victim, signal.SIGSTOP)
                time.sleep(0.3)
                os.kill(self.victim, signal.SIGCONT)
                time.sleep(0.02)

        busy = threading.Thread(target=keep_busy)
        busy.start()
        try:
            for number, id in enumerate(self.ids[:-1]):
                some = [self.opened[(number * 5 + more) % CONNECTIONS] for more in range(6)]
                self.assertEqual({self.first(connection) for connection in some}, {id})
                self.assertEqual(over(some[number % 6], "DELETE", f"{MESSAGES}/{id}")[0], 204)
                self.assertEqual({self.first(connection) for connection in some}, {self.ids[number + 1]})
        finally:
            ends.set()
            busy.join()
        self.assertNotIn(" worker-stuck ", self.daemon.output())
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)

    def test_one_that_stands_still_for_long(self) -> None:
        """It is ended, and another one takes its place."""
        for connection in self.opened:
            over(connection, "GET", "/v2/queuey/queues/q")
        os.kill(self.victim, signal.SIGSTOP)
        wait_until(self.is_stopped, "it goes on")
        kind = {"Content-Type": "application/merge-patch+json"}
        self.assertEqual(ask(self.port, "PATCH", "/v2/queuey/queues/q", b'{"ttl":77}', **kind)[0], 200)
        wait_until(lambda: not runs(self.victim), "it was not ended")
        self.wait_for_workers(WORKERS + 1)
        self.assertIn(" worker-stuck ", self.daemon.output())
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)
