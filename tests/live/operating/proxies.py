"""What every reverse proxy in front of a daemon has to let through, and how it has to refuse the rest."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from twisted.trial.unittest import SkipTest

from queuey.http.v2.inputs.items import MAX_HEADERS
from queuey.http.v2.messages.appends import BATCH
from tests.checks import end_group
from tests.live.clients import HEADERS, TIMEOUT, ask
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.running import LIMIT, Daemon, free_port

#: Whom the proxy is called from; the daemon is called from 127.0.0.1, by the proxy.
CLIENT = "127.0.0.2"
MAX_BODY = 1 << 20
TEXT = {"Content-Type": "text/plain"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

PATHS = (
    "/__heartbeat__",
    "/v1/queuey",
    "/v1/queuey/",
    "/v1/queuey?limit=1&details=yes",
    "/v1/queuey/a%2Fb",
    "/v1/queuey/a%2fb",
    "/v1//queuey",
    "//v1/queuey",
    "/v1/queuey//q",
    "/v1/queuey/q/.",
    "/v1/queuey/q/..",
    "/v1/queuey/%2e%2e",
    "/v1/queuey/a%20b",
    "/v1/queuey/a+b",
    "/v1/queuey/a%25b",
    "/v1/queuey/100%2525",
    "/v1/queuey/a;b",
    "/v1/queuey/caf%C3%A9",
    "/v1/queuey/%E6%97%A5%E6%9C%AC%E8%AA%9E",
    "/v1/queuey/%ff",
    "/v1/queuey/~%7E",
    "/v1/queuey/q?since=%31",
    "/nowhere",
)


class Front(http.client.HTTPSConnection):
    """A connection of a client to the proxy."""

    def __init__(self, port: int) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        super().__init__("127.0.0.1", port, timeout=TIMEOUT, context=context, source_address=(CLIENT, 0))

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request; the status, and what the JSON says."""
        try:
            self.request(method, path, body, {**HEADERS, **headers})
            answer = self.getresponse()
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            # The answer came before the end of the body, the rest of which cannot be sent any more.
            answer = http.client.HTTPResponse(self.sock, method=method)
            answer.begin()
        if answer.getheader("Content-Type") != "application/json":
            raise AssertionError(f"{answer.status}: {answer.read()!r}")
        return answer.status, json.loads(answer.read())


def chunks(length: int) -> Iterator[bytes]:
    """A body whose length is not sent."""
    for _ in range(length // 1000):
        yield b"x" * 1000


def sockets(port: int) -> int:
    """How many connections to a port of this machine there are, closed ones included for a while."""
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(int(line.split()[1].partition(":")[2], 16) == port and line.split()[3] != "0A" for line in lines)


class ProxyTestCase(LiveTestCase):
    """The tests of one proxy, which a subclass starts."""

    program: str

    def setUp(self) -> None:
        super().setUp()
        self.found = shutil.which(self.program) or shutil.which(self.program, path="/usr/sbin:/usr/local/sbin")
        if self.found is None:
            raise SkipTest(f"there is no {self.program}")
        if shutil.which("openssl") is None:
            raise SkipTest("there is no openssl to make a certificate with")
        self.front = free_port()
        self.certificate, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        kind = (
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=queuey",
        )
        command = ["openssl", "req", "-x509", *kind, "-keyout", str(self.key), "-out", str(self.certificate)]
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)

    def command(self) -> list[str]:
        """Write the proxy's files; what starts it in the foreground."""
        raise NotImplementedError

    def serve_behind(self, forwarded: str = "127.0.0.1") -> Daemon:
        """Start a daemon that believes these, and the proxy in front of it."""
        self.replace_settings("[server]", f"[server]\nforwarded = {forwarded}")
        daemon = self.serve()
        command = self.command()
        with (self.folder / "proxy.output").open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self.addCleanup(end_group, process)
        wait_until(lambda: process.poll() is not None or self.answers(), "the proxy does not answer")
        self.assertIs(process.poll(), None, (self.folder / "proxy.output").read_text())
        return daemon

    def connect(self) -> Front:
        connection = Front(self.front)
        self.addCleanup(connection.close)
        return connection

    def answers(self) -> bool:
        """Whether a request gets through to the daemon now."""
        try:
            return self.connect().ask("GET", "/__heartbeat__")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def make_queue(self, connection: Front, name: str, **fields: object) -> None:
        form = urlencode({"queue_name": name, **fields})
        self.assertEqual(connection.ask("POST", "/v1/queuey", form, **FORM)[0], 201)

    # The tests

    def test_life_of_a_queue(self) -> None:
        """Create, post, read, overwrite and delete, with a name of any script and ids that are percent-encoded."""
        self.serve_behind()
        connection = self.connect()
        self.make_queue(connection, "日本 & café", partitions=2)
        queue = f"/v1/queuey/{quote('日本 & café')}"
        ids = []
        for partition in ("1", "2"):
            headers = {**TEXT, "X-Partition": partition, "X-TTL": "60"}
            status, answer = connection.ask("POST", queue, f"für {partition}".encode(), **headers)
            self.assertEqual(status, 201)
            ids.append(f"{partition}%3A{answer['messages'][0]['key']}")
        both = f"{queue}/{'%2C'.join(ids)}"
        found = connection.ask("GET", both)[1]["messages"]
        self.assertEqual([message["body"] for message in found], ["für 1", "für 2"])
        self.assertEqual(connection.ask("GET", f"{queue}/{ids[0]},{ids[1]}")[1]["messages"], found)
        self.assertEqual(connection.ask("PUT", f"{queue}/{ids[1]}", b"other", **TEXT)[0], 200)
        found = connection.ask("GET", f"{queue}?partitions=2%2C1")[1]["messages"]
        self.assertEqual([message["body"] for message in found], ["other", "für 1"])
        self.assertEqual(connection.ask("DELETE", both), (200, {"status": "ok"}))
        self.assertEqual(connection.ask("GET", both)[1]["messages"], [])
        self.assertEqual(connection.ask("DELETE", queue), (200, {"status": "ok"}))
        self.assertEqual(connection.ask("GET", queue)[0], 404)

    def test_paths(self) -> None:
        """Each goes on just as it came, so that it has the same answer with the proxy as without."""
        self.serve_behind()
        connection = self.connect()
        self.make_queue(connection, "a b")
        self.make_queue(connection, "100%25")
        self.make_queue(connection, "café")
        statuses = set()
        for path in PATHS:
            direct = ask(self.port, "GET", path)
            self.assertEqual(connection.ask("GET", path), direct, path)
            statuses.add(direct[0])
        self.assertEqual(statuses, {200, 400, 404})

    def test_body_limit(self) -> None:
        """What is as long as it may be is stored; one byte more is 413, with and without a length beforehand."""
        self.serve_behind()
        connection = self.connect()
        self.make_queue(connection, "q")
        self.assertEqual(connection.ask("POST", "/v1/queuey/q", b"x" * MAX_BODY, **TEXT)[0], 201)
        for body in (b"x" * (MAX_BODY + 1), chunks(MAX_BODY + 1000)):
            connection = self.connect()
            status, answer = connection.ask("POST", "/v1/queuey/q", body, **TEXT)
            self.assertEqual((status, list(answer["error_msg"])), (413, ["RequestTooLarge"]))
        self.assertEqual(len(self.connect().ask("GET", "/v1/queuey/q")[1]["messages"]), 1)

    def stream(self, connection: Front, **headers: str) -> http.client.HTTPResponse:
        """Begin a stream of messages, with its first line; the answer, which has begun."""
        connection.putrequest("POST", "/v2/queuey/queues/q/messages")
        for name, value in {**HEADERS, "Content-Type": "application/x-ndjson", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        return http.client.HTTPResponse(connection.sock, method="POST")

    def test_stream(self) -> None:
        """A stream may be far longer than any other body, and is answered while it still comes."""
        self.serve_behind()
        connection = self.connect()
        self.make_queue(connection, "q")
        line = json.dumps({"body": "x" * 49_000}).encode() + b"\n"
        chunk = b"%x\r\n%b\r\n" % (len(line), line)
        answer = self.stream(connection, **{"Transfer-Encoding": "chunked"})
        connection.send(chunk)
        answer.begin()
        self.assertEqual(json.loads(answer.readline())["partition"], 1)
        connection.send(chunk * 59 + b"0\r\n\r\n")
        self.assertEqual(json.loads(answer.read().splitlines()[-1]), {"done": True, "stored": 60, "failed": 0})

    def test_stream_of_known_length(self) -> None:
        """So may one whose length is sent beforehand, as of a file."""
        self.serve_behind()
        connection = self.connect()
        self.make_queue(connection, "q")
        line = json.dumps({"body": "x" * 49_000}).encode() + b"\n"
        answer = self.stream(connection, **{"Content-Length": str(60 * len(line))})
        connection.send(line * 60)
        answer.begin()
        self.assertEqual(json.loads(answer.read().splitlines()[-1]), {"done": True, "stored": 60, "failed": 0})

    def test_live_read(self) -> None:
        """Events come at once, each by itself, and the end of the answer comes whole when the daemon stops."""
        daemon = self.serve_behind()
        connection = self.connect()
        self.make_queue(connection, "q")
        follower = self.connect()
        follower.request("GET", "/v2/queuey/queues/q/events", None, HEADERS)
        answer = follower.getresponse()
        self.assertEqual((answer.status, answer.getheader("Content-Type")), (200, "text/event-stream"))
        read = iter(answer.readline, b"")
        while not next(read).startswith(b'data: {"stable_until"'):
            """The first block, and that the end was reached."""
        for number in range(3):
            self.assertEqual(connection.ask("POST", "/v1/queuey/q", f"m{number}", **TEXT)[0], 201)
            line = next(line for line in read if line.startswith(b"data: "))
            self.assertEqual(json.loads(line[6:])["body"], f"m{number}")
        daemon.send(signal.SIGTERM)
        rest = b"".join(read)
        self.assertRegex(rest, rb"(?m)^retry: [0-9]+$")
        self.assertEqual(daemon.wait(), 0)

    def clients(self, daemon: Daemon, path: str) -> list[str]:
        """The clients that the access lines of a path show."""
        pattern = rf" access 200 GET {re.escape(path)} client=(\S+) "
        wait_until(lambda: re.search(pattern, daemon.output()) is not None, "no access line")
        return re.findall(pattern, daemon.output())

    def test_client_behind_a_trusted_proxy(self) -> None:
        """The log has the client's address; what the client itself says of it counts for nothing."""
        daemon = self.serve_behind()
        self.connect().ask("GET", "/v1/queuey?limit=7")
        self.connect().ask("GET", "/v1/queuey?limit=8", **{"X-Forwarded-For": "192.0.2.1"})
        self.assertEqual(self.clients(daemon, "/v1/queuey?limit=7"), [CLIENT])
        self.assertEqual(self.clients(daemon, "/v1/queuey?limit=8"), [CLIENT])

    def test_client_behind_any_other(self) -> None:
        """A proxy that is not configured is the client."""
        daemon = self.serve_behind(forwarded="127.0.0.9")
        self.connect().ask("GET", "/v1/queuey?limit=7")
        self.assertEqual(self.clients(daemon, "/v1/queuey?limit=7"), ["127.0.0.1"])

    def test_long_answer(self) -> None:
        """It goes on as its client reads, gathers nowhere, and is whole."""
        daemon = self.serve_behind()
        connection = self.connect()
        self.make_queue(connection, "q")
        batch = json.dumps({"messages": [{"body": "x" * 49_000}] * 20})
        for _ in range(40):
            self.assertEqual(
                connection.ask("POST", "/v1/queuey/q", batch, **{"Content-Type": "application/json"})[0], 201
            )
        connection.request("GET", "/v1/queuey/q?limit=1000", headers=HEADERS)
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        begin = answer.read(1000)
        time.sleep(1)
        self.assertNotIn(" access 200 GET /v1/queuey/q?limit=1000 ", daemon.output())
        messages = json.loads(begin + answer.read())["messages"]
        self.assertEqual([len(message["body"]) for message in messages], [49_000] * 800)

    def test_long_fields(self) -> None:
        """A message with as many headers as it may have is answered with them, three bytes for each in the field."""
        self.serve_behind()
        connection = self.connect()
        self.make_queue(connection, "q")
        headers = {"of": '"' * ((MAX_HEADERS - len('{"of":""}')) // len('\\"'))}
        message = {"body": "{}", "content_type": "application/json", "headers": headers}
        batch, kind = json.dumps({"messages": [message]}), {"Content-Type": BATCH}
        status, answer = connection.ask("POST", "/v2/queuey/queues/q/messages", batch, **kind)
        self.assertEqual(status, 201)
        path = f"/v2/queuey/queues/q/messages/{answer['messages'][0]['id']}"
        self.assertEqual(connection.ask("GET", path), (200, {}))

    def test_connections_are_kept(self) -> None:
        """Many requests of several clients share a few connections to the daemon."""
        self.serve_behind()
        connections = [self.connect() for _ in range(3)]
        before = sockets(self.port)
        for _ in range(20):
            for connection in connections:
                self.assertEqual(connection.ask("GET", "/__heartbeat__")[0], 200)
        self.assertLess(sockets(self.port) - before, 10)

    def test_daemon_is_away(self) -> None:
        """Meanwhile the answer is 503, in JSON; then it goes on by itself."""
        daemon = self.serve_behind()
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        status, answer = self.connect().ask("GET", "/v1/queuey")
        self.assertEqual((status, answer["status"], list(answer["error_msg"])), (503, "error", ["Unavailable"]))
        self.serve()
        wait_until(self.answers, "it does not go on")
