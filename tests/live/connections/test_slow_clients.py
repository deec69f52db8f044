"""Clients that are slow, stop, ask for too much or are too many, and what the daemon and its other clients notice."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
from twisted.trial.unittest import SkipTest

from tests.http.responses import Response, parse_responses
from tests.http.wire_support import encode_request
from tests.live.clients import HEADERS, TIMEOUT, ask, make_queue
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.running import LIMIT, WORKERS, Daemon, children

LONG = bool(os.environ.get("QUEUEY_LONG"))
MIB = 1 << 20

IDLE = 15_000 if LONG else 5_000
"""Connections that do nothing, as far as the limit of open files lets them be."""

READERS = 50
READ_SECONDS = 60.0 if LONG else 4.0
"""How long they read before they are measured, and again afterwards."""

READ_SPEED = 64 * 1024
"""Bytes that a slow reader takes in a second."""

PATIENCE = 15.0
"""Seconds that no request of another client may take, on a machine that does much else."""


def memory(pid: int) -> int:
    """Bytes of a process that are resident."""
    return status(pid, "VmRSS")


def peak(pid: int) -> int:
    """The most that was resident since :func:`forget_peak`."""
    return status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Begin again with the peak."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def status(pid: int, name: str) -> int:
    """A size from the status of a process, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def open_files(pid: int) -> int:
    """How many files and sockets a daemon has, and its workers."""
    return sum(len(os.listdir(f"/proc/{each}/fd")) for each in (pid, *children(pid)))


def say(text: str) -> None:
    """Print a figure beside the results."""
    sys.stdout.write(f"    [{text}]\n")


@attrs.define
class Neighbour:
    """Another client, that posts and reads all the while.

    :ivar longest: seconds of the request that took the longest.
    :ivar wrong: whatever was not answered as it should be.
    """

    port: int
    requests: int = 0
    longest: float = 0.0
    wrong: list[str] = attrs.Factory(list)
    _stopped: threading.Event = attrs.Factory(threading.Event)

    @contextlib.contextmanager
    def beside(self) -> Iterator[Neighbour]:
        """Ask on and on until the block ends, and fail where it was not served well."""
        make_queue(self.port, "neighbour")
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            thread.join(TIMEOUT + 5)
        assert not thread.is_alive()
        assert not self.wrong, self.wrong
        assert self.requests > 10, self.requests
        assert self.longest < PATIENCE, self.longest
        say(f"beside it: {self.requests} requests, the longest {self.longest * 1000:.0f} ms")

    def _run(self) -> None:
        while not self._stopped.wait(0.02):
            for method, path, body, expected in (
                ("POST", "/v1/queuey/neighbour", b"x", 201),
                ("GET", "/v1/queuey/neighbour?limit=10", None, 200),
            ):
                began = time.monotonic()
                try:
                    found, _ = ask(self.port, method, path, body)
                except (OSError, ValueError) as error:
                    self.wrong.append(repr(error))
                    return
                self.requests += 1
                self.longest = max(self.longest, time.monotonic() - began)
                if found != expected:
                    self.wrong.append(f"{method}: {found}")


@attrs.define
class Drip:
    """A client that sends a byte a second after what it sends at once.

    :ivar received: the bytes of the answer.
    :ivar seconds: from its first byte to the end of the connection.
    """

    connection: socket.socket
    rest: Iterator[bytes]
    began: float = attrs.Factory(time.monotonic)
    received: bytes = b""
    seconds: float | None = None

    def tick(self) -> None:
        """Send a byte, and look for an answer."""
        if self.seconds is not None:
            return
        with contextlib.suppress(BlockingIOError, OSError):
            self.connection.send(next(self.rest))
        self.listen()

    def listen(self) -> None:
        """Look for an answer, and the end."""
        try:
            while data := self.connection.recv(65536):
                self.received += data
        except BlockingIOError:
            return
        except OSError:
            pass
        self.seconds = time.monotonic() - self.began


def endlessly(data: bytes, then: bytes) -> Iterator[bytes]:
    """Bytes of some data one by one, and of something else for ever."""
    for at in range(len(data)):
        yield data[at : at + 1]
    while True:
        for at in range(len(then)):
            yield then[at : at + 1]


class SlowTestCase(LiveTestCase):
    """A daemon with a few settings of the server, and the clients' ends of connections."""

    def setUp(self) -> None:
        super().setUp()
        if not Path("/proc/self/clear_refs").exists():
            raise SkipTest("memory is read from /proc, which is not here")
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def serve_with(self, **settings: object) -> Daemon:
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        self.replace_settings("[server]\n", f"[server]\n{lines}")
        return self.serve()

    def connect(self, receive: int | None = None, send: int | None = None) -> socket.socket:
        """A connection.

        :param receive: bytes that the kernel may keep for it which it has not read.
        :param send: bytes that the kernel may keep of it which the daemon has not read.
        """
        connection = self.stack.enter_context(socket.socket())
        if receive is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        if send is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send)
        connection.settimeout(TIMEOUT)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        return encode_request(method, path, HEADERS, body)

    def no_errors(self, daemon: Daemon) -> None:
        self.assertNotIn("Traceback", daemon.output())
        self.assertEqual(200, ask(self.port, "GET", "/__heartbeat__")[0])


class DripTests(SlowTestCase):
    """A byte a second, which keeps any timer alive that begins again at each byte."""

    def test_byte_a_second(self) -> None:
        """Heads, bodies and chunks at that pace are 408 when the time for the whole is over."""
        daemon = self.serve_with(header_timeout=2, request_timeout=3)
        make_queue(self.port, "q")
        post = b"POST /v1/queuey/q HTTP/1.1\r\nHost: a\r\nAuthorization: %b\r\n" % HEADERS["Authorization"].encode()
        kinds: dict[str, tuple[float, bytes, bytes, bytes]] = {
            "a request line": (2, b"", post, b"x"),
            "a header": (2, post, b"X-A: ", b"x"),
            "headers": (2, post, b"", b"A: b\r\n"),
            "a body": (3, post + b"Content-Length: 1000\r\n\r\n", b"", b"x"),
            "chunks": (3, post + b"Transfer-Encoding: chunked\r\n\r\n", b"", b"1\r\nx\r\n"),
            "a chunk": (3, post + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n", b"", b"x"),
            "trailers": (3, post + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"", b"A: b\r\n"),
        }
        with Neighbour(self.port).beside():
            drips = []
            for name, (limit, begin, data, then) in kinds.items():
                for _ in range(20 if LONG else 4):
                    connection = self.connect()
                    connection.sendall(begin)
                    connection.setblocking(False)
                    drips.append((name, limit, Drip(connection, endlessly(data, then))))
            self.drip([drip for _, _, drip in drips])
        for name, limit, drip in drips:
            (response,) = parse_responses(drip.received, closed=True)
            self.assertEqual((408, ["RequestTimeout"]), (response.status, list(response.error)), name)
            assert drip.seconds is not None
            self.assertGreater(drip.seconds, limit - 0.2, name)
            self.assertLess(drip.seconds, limit + PATIENCE, name)
        self.no_errors(daemon)

    def drip(self, drips: list[Drip]) -> None:
        """Send a byte a second on each until all are closed, or the time is over."""
        for _ in range(int(LIMIT)):
            for drip in drips:
                drip.tick()
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                time.sleep(0.05)
                for drip in drips:
                    if drip.seconds is None:
                        drip.listen()
            if all(drip.seconds is not None for drip in drips):
                return
        self.fail(f"{sum(drip.seconds is None for drip in drips)} clients are still there after {LIMIT:.0f} s")


class ManyTests(SlowTestCase):
    """More connections than requests."""

    def test_idle(self) -> None:
        """Thousands that do nothing cost little, and other clients do not notice them; half of them have had an
        answer."""
        if WORKERS > 1:
            raise SkipTest("what is measured is one process")
        wanted = self.allow_files(IDLE)
        daemon = self.serve_with(header_timeout=300, idle_timeout=300, max_connections=IDLE + 100)
        ask(self.port, "GET", "/v1/queuey")
        before = memory(daemon.pid)
        with Neighbour(self.port).beside():
            held = [self.hold(number) for number in range(wanted)]
            after = memory(daemon.pid)
            self.assertGreaterEqual(open_files(daemon.pid), wanted)
            time.sleep(30 if LONG else 2)
        each = (after - before) / wanted
        say(f"{wanted} idle connections: {before / MIB:.1f} to {after / MIB:.1f} MiB, {each / 1024:.1f} KiB each")
        self.assertLess(each, 16 * 1024)
        for connection in held[:: wanted // 50]:
            connection.sendall(self.request("GET", "/__heartbeat__"))
            self.assertIn(b" 200 OK\r\n", connection.recv(65536))
        self.stack.close()
        wait_until(lambda: open_files(daemon.pid) < 100, "connections that were closed are still held")
        self.no_errors(daemon)

    def hold(self, number: int) -> socket.socket:
        """Open a connection; every other one asks for something, so that they are let in as fast as they come."""
        connection = self.connect()
        if number % 2:
            connection.sendall(self.request("GET", "/__heartbeat__"))
            self.assertIn(b" 200 OK\r\n", connection.recv(65536))
        return connection

    def allow_files(self, wanted: int) -> int:
        """Let this process and its daemon open as many files, or fewer if they may not.

        :return: how many connections there may be.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = wanted + 500
        if soft < needed:
            limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            if limit < needed:
                say(f"only {limit} files may be open here: {limit - 500} connections instead of {wanted}")
                return limit - 500
        return wanted

    def test_too_many(self) -> None:
        """Those above max_connections get an error, those inside are served, and one that leaves makes room."""
        if WORKERS > 1:
            raise SkipTest("each worker has a limit of its own, and who accepts the next connection is not known")
        daemon = self.serve_with(max_connections=20)
        wait_until(lambda: self.refusal() is None, "the connections of the beginning are still there")
        held = [self.connect() for _ in range(20)]
        for connection in held:
            connection.sendall(self.request("GET", "/v1/queuey"))
            self.assertIn(b" 200 OK\r\n", connection.recv(65536))
        for _ in range(10):
            refused = self.refusal()
            assert refused is not None
            self.assertEqual((503, ["Overloaded"]), (refused.status, list(refused.error)))
            self.assertIsNotNone(refused.header("Retry-After"))
        held[0].sendall(self.request("GET", "/v1/queuey"))
        self.assertIn(b" 200 OK\r\n", held[0].recv(65536))
        held[1].close()
        wait_until(lambda: self.refusal() is None, "no room, though one has left")
        self.no_errors(daemon)

    def refusal(self) -> Response | None:
        """What a new connection is refused with; it sends a request at once."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as connection:
            connection.sendall(encode_request("GET", "/v1/queuey", {**HEADERS, "Connection": "close"}))
            received = b""
            while data := connection.recv(65536):
                received += data
        (response,) = parse_responses(received, closed=True)
        return None if response.status == 200 else response
