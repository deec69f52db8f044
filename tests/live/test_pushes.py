"""Pushes of a whole daemon on SQLite to a real endpoint: through failures, kill -9, and with two workers."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

from tests import runs_in
from tests.live.clients import ask, make_queue
from tests.live.running import Daemon, children
from tests.live.test_daemon import LiveTestCase, wait_until

QUEUE = "/v2/queuey/queues/q"
JSON = {"Content-Type": "application/json"}
BATCH = {"Content-Type": "application/vnd.queuey.messages+json"}


class Receiver:
    """An endpoint in a thread: takes pushes, and fails as often as the test says.

    :ivar taken: how often each message was answered with a 2xx, and when last.
    :ivar bodies: of the messages that were taken, in their order.
    :ivar false: requests whose signature is wrong.
    """

    def __init__(self, port: int = 0) -> None:
        self.taken: Counter[str] = Counter()
        self.last: dict[str, float] = {}
        self.bodies: list[str] = []
        self.false = 0
        self.secrets: dict[str, str] = {}
        self.failing = 0.0
        self._lock = threading.Lock()
        self.open(port)

    def open(self, port: int) -> None:
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int | None:
        """Answer a request; ``None`` cuts the connection."""
        with self._lock:
            try:
                Webhook(self.secrets[path]).verify(body, headers)
            except Exception:
                self.false += 1
                return 401
            if random.random() < self.failing:
                return random.choice((None, 500, 429))
            id = f"{path} {headers['webhook-id']}"
            self.taken[id] += 1
            self.last[id] = time.monotonic()
            self.bodies.append(json.loads(body)["text"])
            return 200


class PushLiveCase(LiveTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.receiver = Receiver()
        self.addCleanup(lambda: self.receiver.close())
        self.add_settings(
            f"[application:queuey]\npush = true\npush_hosts = 127.0.0.1\n"
            f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {self.receiver.port}\n"
        )

    def make_push(self, name: str = "p", **settings: Any) -> None:
        url = f"http://127.0.0.1:{self.receiver.port}/{name}"
        body = json.dumps({"url": url, "timeout": 1, **settings}).encode()
        status, push = ask(self.port, "PUT", f"{QUEUE}/pushes/{name}", body, **JSON)
        self.assertEqual(status, 201, push)
        self.receiver.secrets[f"/{name}"] = push["secrets"][0]["secret"]

    def post(self, texts: list[str], key: str | None = None) -> None:
        messages = [{"body": json.dumps({"text": text})} | ({} if key is None else {"key": key}) for text in texts]
        body = json.dumps({"messages": messages}).encode()
        status, answer = ask(self.port, "POST", f"{QUEUE}/messages", body, **BATCH)
        self.assertEqual(status, 201, answer)

    def all_taken(self, count: int, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while len(self.receiver.taken) < count:
            self.assertLess(time.monotonic(), until, f"{len(self.receiver.taken)} of {count}")
            time.sleep(0.1)


class OneDaemonTests(PushLiveCase):
    @runs_in("test")
    def test_sent_and_verified(self) -> None:
        """What is posted comes at the endpoint, verified by its library, once each; also after a restart."""
        daemon = self.serve()
        make_queue(self.port, "q")
        self.make_push()
        self.post([f"{number}" for number in range(200)])
        self.all_taken(200)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        daemon = self.serve()
        self.post(["after"])
        self.all_taken(201)
        self.assertEqual((set(self.receiver.taken.values()), self.receiver.false), ({1}, 0))
        status, told = ask(self.port, "GET", f"{QUEUE}/pushes/p/attempts")
        self.assertEqual((status, len(told["attempts"])), (200, 100))
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertNotIn("Traceback", daemon.output())

    @runs_in("test-long")
    def test_through_kills(self) -> None:
        """10,000 messages to an endpoint that fails at random, through kills of daemon and endpoint: each is taken, and
        twice only if the daemon was killed before it had stored the ack."""
        daemon: Daemon = self.serve()
        make_queue(self.port, "q")
        self.make_push(parallel=16)
        self.receiver.failing = 0.1
        kills: list[float] = []
        for part in range(10):
            self.post([f"{part * 1000 + number}" for number in range(1000)])
            self.all_taken(part * 1000 + 300, 300)
            if part % 2:
                os.kill(daemon.pid, signal.SIGKILL)
                kills.append(time.monotonic())
                daemon.wait()
                daemon = self.serve()
            else:
                port = self.receiver.port
                self.receiver.close()
                time.sleep(0.5)
                self.receiver.open(port)
        self.receiver.failing = 0
        self.all_taken(10_000, 600)
        self.assertEqual(self.receiver.false, 0)
        twice = [id for id, times in self.receiver.taken.items() if times > 1]
        self.assertLess(len(twice), 16 * len(kills) + 1)
        lag = ask(self.port, "GET", f"{QUEUE}/groups/p")[1]["lag"][0]
        wait_until(lambda: ask(self.port, "GET", f"{QUEUE}/groups/p")[1]["lag"][0]["behind"]["count"] == 0, str(lag))

    @runs_in("test-long")
    def test_order_by_key(self) -> None:
        """Messages of one key come in their order, through failures."""
        self.serve()
        make_queue(self.port, "q")
        self.make_push(order="key", parallel=8)
        self.receiver.failing = 0.05
        for key in "abcd":
            self.post([f"{key}{number:02}" for number in range(20)], key)
        self.all_taken(80, 300)
        for key in "abcd":
            found = [text for text in self.receiver.bodies if text[0] == key]
            self.assertEqual(found, sorted(found))


class TwoWorkersTests(PushLiveCase):
    @runs_in("test-long")
    def test_shared(self) -> None:
        """Two workers share the pushes; if one is killed, the other one takes its share over."""
        self.replace_settings("workers = 1", "workers = 2")
        daemon = self.serve()
        make_queue(self.port, "q")
        names = [f"p{number}" for number in range(8)]
        for name in names:
            self.make_push(name)
        self.post(["a", "b"])
        self.all_taken(16, 60)
        os.kill(children(daemon.pid)[0], signal.SIGKILL)
        self.post(["c"])
        self.all_taken(24, 90)
        self.assertEqual((set(self.receiver.taken.values()), self.receiver.false), ({1}, 0))
