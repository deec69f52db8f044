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
from itertools import pairwise
from typing import Any

from standardwebhooks.webhooks import Webhook

from tests import runs_in
from tests.live.clients import ask, make_queue
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.running import Daemon, children

QUEUE = "/v2/queuey/queues/q"
JSON = {"Content-Type": "application/json"}
STORED = 5.0
"""Seconds within which a 2xx is stored, also on a busy machine."""

UNDER_WAY = 1.0
"""Seconds for which the endpoint may still take requests of a process that was killed."""

BATCH = {"Content-Type": "application/vnd.queuey.messages+json"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: senders are killed while their requests are under way."""


class Receiver:
    """An endpoint in a thread: takes pushes, and fails as often as the test says.

    :ivar taken: how often each message was answered with a 2xx, and ``times`` when.
    :ivar bodies: of the messages that were taken, in their order; ``ordered`` those of the push of that name.
    :ivar false: requests whose signature is wrong.
    :ivar slow: seconds that each request takes.
    :ivar most: the most requests of each push at the same time.
    """

    def __init__(self, port: int = 0) -> None:
        self.taken: Counter[str] = Counter()
        self.times: dict[str, list[float]] = {}
        self.bodies: list[str] = []
        self.ordered: list[str] = []
        self.false = 0
        self.secrets: dict[str, str] = {}
        self.failing = 0.0
        self.slow = 0.0
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.open(port)

    def open(self, port: int) -> None:
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.begin(self.path)
                status = receiver.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def begin(self, path: str) -> None:
        """Count the requests that are under way, and take some time for each."""
        with self._lock:
            self.under_way[path] += 1
            self.most[path] = max(self.most[path], self.under_way[path])
        time.sleep(self.slow)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int | None:
        """Answer a request; ``None`` cuts the connection."""
        with self._lock:
            self.under_way[path] -= 1
            try:
                Webhook(self.secrets[path]).verify(body, headers)
            except Exception:
                self.false += 1
                return 401
            if random.random() < self.failing:
                return random.choice((None, 500, 429))
            id = f"{path} {headers['webhook-id']}"
            self.taken[id] += 1
            self.times.setdefault(id, []).append(time.monotonic())
            self.bodies.append(json.loads(body)["text"])
            if path == "/ordered":
                self.ordered.append(self.bodies[-1])
            return 200


def repeated(receiver: Receiver, kills: list[float]) -> list[str]:
    """Return the messages that were sent again although a 2xx for them was stored.

    A 2xx is stored as soon as it comes. So only what was taken just before a process was killed may be sent again.

    :param kills: when processes that send were killed.
    """

    found = []
    for id, times in receiver.times.items():
        for when in times[:-1]:
            before = [kill - when for kill in kills]
            if not any(-UNDER_WAY <= seconds <= STORED for seconds in before):
                found.append(f"{id}: {', '.join(f'{seconds:.1f}' for seconds in before)} s before the kills")
    return found


def quickest(times: list[float], number: int) -> float:
    """Return the shortest time in which so many messages were taken."""
    ordered = sorted(times)
    return min(last - first for first, last in zip(ordered, ordered[number - 1 :], strict=False))


def out_of_order(texts: list[str]) -> list[str]:
    """Return those texts of one key that came after a later one; a text may come again right after itself."""
    return [after for before, after in pairwise(texts) if after < before]


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
        self.assertEqual((repeated(self.receiver, kills), self.receiver.false), ([], 0))
        lag = ask(self.port, "GET", f"{QUEUE}/groups/p")[1]["lag"][0]
        wait_until(lambda: ask(self.port, "GET", f"{QUEUE}/groups/p")[1]["lag"][0]["behind"]["count"] == 0, str(lag))

    @runs_in("test-long")
    def test_order_by_key(self) -> None:
        """Messages of one key come in their order, through failures and a kill of the daemon."""
        daemon: Daemon = self.serve()
        make_queue(self.port, "q")
        self.make_push(order="key", parallel=8)
        self.receiver.failing = 0.05
        for key in "abcd":
            self.post([f"{key}{number:02}" for number in range(20)], key)
        self.all_taken(30, 300)
        os.kill(daemon.pid, signal.SIGKILL)
        kills = [time.monotonic()]
        daemon.wait()
        self.serve()
        self.all_taken(80, 300)
        self.assertEqual((repeated(self.receiver, kills), self.receiver.false), ([], 0))
        for key in "abcd":
            self.assertEqual(out_of_order([text for text in self.receiver.bodies if text[0] == key]), [])


class TwoWorkersTests(PushLiveCase):
    @runs_in("test-long")
    def test_flow(self) -> None:
        """parallel and rate hold for both workers together."""
        self.replace_settings("workers = 1", "workers = 2")
        self.serve()
        make_queue(self.port, "q")
        self.receiver.slow = 0.1
        self.make_push("few", parallel=2)
        self.make_push("slowly", rate=20)
        self.post([f"{number}" for number in range(60)])
        self.all_taken(120)
        self.assertEqual(self.receiver.most["/few"], 2)
        times = [time for id, (time,) in self.receiver.times.items() if id.startswith("/slowly ")]
        # A second's worth may come at once, and 40 more take two seconds.
        self.assertGreater(quickest(times, 60), 1.5)

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

    @runs_in("test-long")
    def test_through_kills(self) -> None:
        """3,000 messages to an endpoint that fails at random, through kills of workers: each is taken, and in the order
        of its key."""
        self.replace_settings("workers = 1", "workers = 2")
        daemon = self.serve()
        make_queue(self.port, "q")
        self.make_push("any", parallel=16)
        self.make_push("ordered", order="key", parallel=16)
        self.receiver.failing = 0.02
        kills: list[float] = []
        for part in range(3):
            self.post([f"x{part * 700 + number:04}" for number in range(700)])
            for key in "abcdef":
                self.post([f"{key}{part * 50 + number:04}" for number in range(50)], key)
            self.all_taken(part * 2000 + 600, 300)
            os.kill(random.choice(children(daemon.pid)), signal.SIGKILL)
            kills.append(time.monotonic())
        self.receiver.failing = 0
        self.all_taken(6000, 600)
        self.assertEqual((repeated(self.receiver, kills), self.receiver.false), ([], 0))
        for key in "abcdef":
            self.assertEqual(out_of_order([text for text in self.receiver.ordered if text[0] == key]), [])
