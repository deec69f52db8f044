"""The memory of a daemon whose clients hang up in the middle of requests; bench.hangups does the same at length."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable

from twisted.trial.unittest import SkipTest

from tests.http.responses import parse_responses
from tests.http.wire_support import encode_request
from tests.live.clients import HEADERS, TIMEOUT, ask
from tests.live.connections.test_slow_clients import MIB, SlowTestCase, forget_peak, memory, peak, say
from tests.live.running import WORKERS, Daemon, children

SIZE = 900_000
MESSAGES = 10
PAGE = "/v2/queuey/queues/large/messages?limit=1000&max_bytes=16777216"

MOST = 40 * MIB
"""What each process may grow by: with a cycle left by each hang-up it would be 100 MiB and more."""


class HangUpTests(SlowTestCase):
    """Clients that hang up, one after another."""

    def with_messages(self) -> Daemon:
        """Start a daemon with a public queue, of which each process has sent a page."""
        daemon = self.serve_with(max_body=1_000_000)
        public = b"queue_name=large&type=public"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        self.assertEqual(ask(self.port, "POST", "/v1/queuey", public, **form)[0], 201)
        for _ in range(MESSAGES):
            self.assertEqual(ask(self.port, "POST", "/v1/queuey/large", b"x" * SIZE)[0], 201)
        self.assertEqual(ask(self.port, "PUT", "/v2/queuey/queues/large/groups/g", b"{}", **JSON)[0], 201)
        return daemon

    def attack(self, daemon: Daemon, once: Callable[[], None], times: int) -> None:
        """Let it be done again and again; the memory stays as it was after the first times."""
        for _ in range(20):
            once()
        pids = [daemon.pid, *children(daemon.pid)]
        before = [memory(pid) for pid in pids]
        for pid in pids:
            forget_peak(pid)
        for _ in range(times):
            once()
        grown = [peak(pid) - at for pid, at in zip(pids, before, strict=True)]
        say(f"{times} times: {[round(each / MIB) for each in grown]} MiB more at the most")
        self.assertLess(max(grown), MOST)
        self.stack.close()
        self.no_errors(daemon)

    def part_of_a_body(self, fields: dict[str, str]) -> None:
        """Send most of a body, and hang up once the other side knows of the end."""
        head = encode_request("POST", "/v1/queuey/large", {**fields, "Content-Length": "1000000"})
        connection = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        # One who is refused may find the connection closed.
        with connection, contextlib.suppress(OSError):
            connection.sendall(head + b"x" * 990_000)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(MIB):
                """It is refused before its end, if it is."""

    def test_bodies(self) -> None:
        daemon = self.with_messages()
        self.attack(daemon, lambda: self.part_of_a_body(HEADERS), 200)

    def test_strangers_bodies(self) -> None:
        daemon = self.with_messages()
        self.attack(daemon, lambda: self.part_of_a_body({}), 400)

    def test_readers(self) -> None:
        """They hang up within a page of many slices."""
        daemon = self.with_messages()

        def once() -> None:
            with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
                connection.sendall(encode_request("GET", PAGE))
                self.assertTrue(connection.recv(10))

        self.attack(daemon, once, 60)

    def test_claims(self) -> None:
        """They hang up within the answer to a claim, or while they wait for it."""
        daemon = self.with_messages()
        asked = json.dumps({"limit": 10, "max_bytes": 16 << 20, "lease": 1, "wait": 5}).encode()
        path = "/v2/queuey/queues/large/groups/g/claims"

        def once() -> None:
            with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
                connection.sendall(encode_request("POST", path, {**HEADERS, **JSON}, asked))
                connection.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    connection.recv(10)

        self.attack(daemon, once, 60)

    def test_strangers_hold_nothing(self) -> None:
        """A client without credentials is answered when its head is there, and holds a connection no longer."""
        daemon = self.with_messages()
        head = encode_request("POST", "/v1/queuey/large", {"Content-Length": "1000000"})
        strangers = [self.connect() for _ in range(20)]
        began = time.monotonic()
        for stranger in strangers:
            stranger.sendall(head + b"x" * 100)
        for stranger in strangers:
            received = b""
            while data := stranger.recv(65536):
                received += data
            (response,) = parse_responses(received, ["POST"], closed=True)
            self.assertEqual((response.status, response.closes), (403, True))
        # The default of header_timeout is 10 s, that of request_timeout 60.
        self.assertLess(time.monotonic() - began, 10)
        self.stack.close()
        self.no_errors(daemon)


JSON = {"Content-Type": "application/json"}


class TwoWorkersTests(HangUpTests):
    """The same of a daemon with two workers."""

    def setUp(self) -> None:
        if WORKERS > 1:
            raise SkipTest("all daemons have workers")
        super().setUp()
        self.replace_settings("workers = 1", "workers = 2")
