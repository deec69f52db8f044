"""The metrics of a real daemon: every counted thing, compared with the requests that were made over real sockets."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from tests.live.running import LIMIT, Daemon, free_port

TWISTD = Path(sys.executable).parent / "twistd"
KEY, TOKEN = "the-key-of-shop-and-nobody-else", "a-token-that-only-operators-have"
SETTINGS = """\
[server]
http = tcp:{port}:interface=127.0.0.1
ops = tcp:{ops}:interface=127.0.0.1
ops_token = {token}
[storage]
path = data
[metrics]
statsd = 127.0.0.1:{statsd}
statsd_every = 1
[application:shop]
create_queues = on-write
max_queue_messages = 40
[application_keys]
shop = {key}
"""
MESSAGES = "/v2/shop/queues/q/messages"
ROUTE = "/v2/<application>/queues/<queue>/messages"
LINES = {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}

NONE: Mapping[str, str] = {}

Labels = tuple[str, ...]


def part_of(chunk: bytes) -> bytes:
    """A chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(chunk), chunk)


class MetricsTests(SynchronousTestCase):
    """One daemon, of which everything is counted here as well."""

    run_in = "test"

    maxDiff = None

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port, self.ops = free_port(), free_port()
        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.receiver.close)
        self.receiver.bind(("127.0.0.1", 0))
        self.told: Counter[str] = Counter()
        listening = Thread(target=self.listen)
        listening.start()
        self.addCleanup(listening.join)
        self.addCleanup(self.receiver.sendto, b"", self.receiver.getsockname())
        settings = self.folder / "queuey.ini"
        statsd = self.receiver.getsockname()[1]
        settings.write_text(SETTINGS.format(port=self.port, ops=self.ops, statsd=statsd, key=KEY, token=TOKEN))
        self.daemon = Daemon(TWISTD, ["--config", str(settings)], self.folder, {})
        self.addCleanup(self.daemon.kill)
        self.asked: Counter[Labels] = Counter()
        self.bytes_in = self.bytes_out = 0
        self.daemon.wait_until_it_serves(self.port)
        # What waited for the daemon to serve is not ours to count.
        self.waited = self.counted("queuey_http_requests_total")[("GET", "/__heartbeat__", "200")]
        self.before = [self.counted(f"queuey_http_{way}_bytes_total")[()] for way in ("received", "sent")]

    # How it is asked, and what it says

    def scrape(self, token: str = TOKEN) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ops, timeout=LIMIT)
        try:
            connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def counted(self, name: str) -> dict[Labels, float]:
        """What the lines of a metric say, by the values of their labels in the order of the labels' names."""
        status, text = self.scrape()
        self.assertEqual(status, 200, text)
        return {
            tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    def becomes(self, name: str, wanted: Callable[[dict[Labels, float]], bool]) -> None:
        """Wait until a metric says something."""
        deadline = time.monotonic() + LIMIT
        while not wanted(found := self.counted(name)):
            self.assertLess(time.monotonic(), deadline, f"{name} stays {found}")
            time.sleep(0.02)

    def connect(self, head: str, fields: Mapping[str, str] = NONE, body: bytes = b"") -> socket.socket:
        """Begin a request."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)
        self.addCleanup(connection.close)
        lines = [f"{head} HTTP/1.1", "Host: localhost", f"Authorization: Application {KEY}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        self.send(connection, "\r\n".join([*lines, "", ""]).encode() + body)
        return connection

    def send(self, connection: socket.socket, data: bytes) -> None:
        connection.sendall(data)
        self.bytes_in += len(data)

    def rest(self, connection: socket.socket) -> bytes:
        """All that still comes on a connection."""
        data = b""
        while piece := connection.recv(1 << 16):
            data += piece
        connection.close()
        self.bytes_out += len(data)
        return data

    def ask(self, method: str, path: str, route: str, status: int, body: bytes | None = None, **fields: str) -> bytes:
        """Ask, on a connection of its own, and note what has to be counted of it.

        :return: the body of the answer.
        """
        length = {} if body is None else {"Content-Length": str(len(body))}
        connection = self.connect(f"{method} {path}", {"Connection": "close", **length, **fields}, body or b"")
        answer = self.rest(connection)
        self.assertEqual(answer.split(b" ", 2)[1], str(status).encode(), answer)
        self.asked[(method, route, str(status))] += 1
        return answer.partition(b"\r\n\r\n")[2]

    # The test

    def test_everything_is_counted_and_nothing_else(self) -> None:
        self.post_and_read()
        self.send_streams()
        self.hang_up()
        self.be_refused()
        self.compare()
        self.compare_statsd()
        self.find_no_secret()
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0, self.daemon.output())

    def post_and_read(self) -> None:
        """Six messages, 16 bytes of bodies; read ten times over."""
        batch = {"Content-Type": "application/vnd.queuey.messages+json"}
        for body in (b"1", b"22"):
            posted = self.ask("POST", MESSAGES, ROUTE, 201, body)
        self.message_id = json.loads(posted)["messages"][0]["id"]
        self.ask("POST", MESSAGES, ROUTE, 201, b'{"messages": [{"body": "333"}, {"body": "4444"}]}', **batch)
        self.ask("POST", "/v1/shop/q", "/v1/<application>/<queue>", 201, b"55555")
        for _ in range(3):
            self.ask("POST", MESSAGES, ROUTE, 201, b"6", **{"Idempotency-Key": '"six"'})
        self.ask("GET", MESSAGES, ROUTE, 200)
        self.ask("HEAD", MESSAGES, ROUTE, 200)
        self.ask("GET", f"{MESSAGES}/{self.message_id}", f"{ROUTE}/<id>", 200)
        self.ask("GET", "/v1/shop/q?limit=2", "/v1/<application>/<queue>", 200)
        claims = f"{MESSAGES.removesuffix('/messages')}/groups/g/claims"
        route = "/v2/<application>/queues/<queue>/groups/<group>/claims"
        self.ask("POST", claims, route, 200, b'{"limit": 1}', **{"Content-Type": "application/json"})

    def send_streams(self) -> None:
        """Five messages of a byte each in a stream, two lines that are none, and one that is cut off."""
        stream = self.connect(f"POST {MESSAGES}", {"Connection": "close", **LINES})
        for line in (
            b'{"body": "a"}\n',
            b'{"body": 7}\n',
            b'{"body": "b"}\n{"body": "c"}\n',
            b'{"body": "d"}\n',
            b"{}\n",
        ):
            self.send(stream, part_of(line))
        self.send(stream, part_of(b""))
        answer = self.rest(stream)
        self.assertIn(b'{"done":true,"stored":4,"failed":2}', answer)
        self.asked[("POST", ROUTE, "200")] += 1
        cut = self.connect(f"POST {MESSAGES}", LINES)
        self.send(cut, part_of(b'{"body": "e"}\n'))
        told = b""
        while b'"id"' not in told:
            told += cut.recv(1 << 16)
        self.bytes_out += len(told)
        cut.close()
        self.asked[("POST", ROUTE, "200")] += 1

    def hang_up(self) -> None:
        """Three that do not wait for their answers."""
        waiting = self.connect(f"GET {MESSAGES}?wait=20&after={self.newest()}")
        self.becomes("queuey_waiting_reads", lambda found: found == {(): 1})
        claim = b'{"wait": 20}'
        kind = {"Content-Type": "application/json", "Content-Length": str(len(claim))}
        self.ask("DELETE", f"{MESSAGES}?before=now", ROUTE, 204)
        claiming = self.connect("POST /v2/shop/queues/q/groups/h/claims", kind, claim)
        self.becomes("queuey_waiting_claims", lambda found: found == {(): 1})
        half = self.connect(f"POST {MESSAGES}", {"Content-Length": "10"}, b"half")
        self.becomes("queuey_http_requests_in_progress", lambda found: found == {(): 3})
        self.assertEqual(self.counted("queuey_http_connections"), {(): 3})
        for connection in (waiting, claiming, half):
            connection.close()
        self.asked[("GET", ROUTE, "499")] += 1
        self.asked[("POST", "/v2/<application>/queues/<queue>/groups/<group>/claims", "499")] += 1
        self.asked[("POST", ROUTE, "499")] += 1

    def newest(self) -> str:
        """A place at the end of the log; the page that tells it has all 11 messages."""
        page = json.loads(self.ask("GET", MESSAGES, ROUTE, 200))
        self.assertEqual(len(page["messages"]), 11)
        return str(page["next"])

    def be_refused(self) -> None:
        """Whatever is wrong."""
        for path in ("/v2/nobody/queues/q", "/v2/nobody-else/queues/q"):
            self.ask("GET", path, "/v2/<application>/queues/<queue>", 404)
        self.ask("GET", f"{MESSAGES}?limit=x", ROUTE, 400)
        self.ask("BREW", MESSAGES, "-", 405)
        self.asked[("other", "-", "405")] = self.asked.pop(("BREW", "-", "405"))
        self.ask("GET", "/made-up", "-", 404)
        many = json.dumps({"messages": [{"body": "x"}] * 41}).encode()
        self.ask("POST", MESSAGES, ROUTE, 507, many, **{"Content-Type": "application/vnd.queuey.messages+json"})
        broken = self.connect("GET /x y z")
        self.assertIn(b" 400 ", self.rest(broken))
        self.asked[("-", "-", "400")] += 1

    def compare(self) -> None:
        """What the daemon says is what was done."""
        self.becomes("queuey_http_connections", lambda found: found == {(): 0})
        self.asked[("GET", "/__heartbeat__", "200")] += int(self.waited)
        self.assertEqual(self.counted("queuey_http_requests_total"), dict(self.asked))
        durations = self.counted("queuey_http_request_duration_seconds_count")
        by_route: Counter[Labels] = Counter()
        for (_, route, _), number in self.asked.items():
            by_route[(route,)] += number
        self.assertEqual(durations, dict(by_route))
        received, sent = self.before
        self.assertEqual(self.counted("queuey_http_received_bytes_total"), {(): received + self.bytes_in})
        self.assertEqual(self.counted("queuey_http_sent_bytes_total"), {(): sent + self.bytes_out})
        self.assertEqual(self.counted("queuey_messages_received_total"), {("shop",): 11})
        self.assertEqual(self.counted("queuey_message_received_bytes_total"), {("shop",): 16 + 5})
        self.assertEqual(self.counted("queuey_messages_sent_total"), {("shop",): 6 + 1 + 2 + 1 + 11})
        self.assertEqual(self.counted("queuey_message_sent_bytes_total"), {("shop",): 16 + 2 + 3 + 1 + 21})
        self.assertEqual(
            self.counted("queuey_refused_total"),
            {
                ("-", "no-such-application"): 2,
                ("-", "method-not-allowed"): 1,
                ("-", "nothing-here"): 1,
                ("-", "malformed-request"): 1,
                ("shop", "invalid-parameters"): 1,
                ("shop", "invalid-body"): 2,
                ("shop", "storage-full"): 1,
            },
        )
        self.assertEqual(self.counted("queuey_incidents_total"), {(): 0})
        self.assertGreater(self.counted("process_open_fds")[()], 5)

    def listen(self) -> None:
        """Add up what comes to a statsd server, until nothing does."""
        while datagram := self.receiver.recv(1 << 16):
            for line in datagram.decode().split("\n"):
                name, _, value = line.removesuffix("|c").partition(":")
                if line.endswith("|c"):
                    self.told[name] += float(value)  # type: ignore[assignment]

    def compare_statsd(self) -> None:
        """What came to a statsd server adds up to the same."""
        wanted = {
            "queuey.messages_received.shop": 11,
            "queuey.message_sent_bytes.shop": 43,
            "queuey.http_requests.v2_application_queues_queue_messages.POST.507": 1,
            "queuey.refused.shop.invalid-body": 2,
        }
        deadline = time.monotonic() + LIMIT
        while any(self.told[name] < number for name, number in wanted.items()):
            self.assertLess(time.monotonic(), deadline, self.told)
            time.sleep(0.02)
        self.assertEqual({name: self.told[name] for name in wanted}, wanted)

    def find_no_secret(self) -> None:
        """Neither credentials, nor what messages say, nor where they are, are in the metrics; and they are not for
        everybody."""
        self.assertEqual(
            [self.scrape(token)[0] for token in (TOKEN, "another-token-that-is-not-it", "")], [200, 401, 401]
        )
        _, text = self.scrape()
        for secret in (KEY, TOKEN, "nobody", "made-up", "BREW", "55555", self.message_id, "queues/q", '"q"', "six"):
            self.assertNotIn(secret, text)
