"""Clients that are slow, stop, ask for too much or are too many, and what the daemon and its other clients notice."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
from twisted.trial.unittest import SkipTest

from tests.http.wire_support import Response, encode_request, parse_responses
from tests.live.clients import HEADERS, TIMEOUT, ask, make_queue
from tests.live.running import LIMIT, WORKERS, Daemon, children
from tests.live.test_daemon import LiveTestCase, wait_until

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
    """Begin anew with the peak."""
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

    :ivar received: what it was told.
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
    """A byte a second, which keeps any timer alive that begins anew at each byte."""

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
        """Thousands that do nothing cost little, and nobody notices them; half of them have had an answer."""
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
        """Those above max_connections are told so, those inside are served, and one that leaves makes room."""
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


class ReaderTests(SlowTestCase):
    """Answers that are larger than what anyone takes."""

    PARTITIONS = 200
    SIZE = MIB // 2

    def fill(self) -> bytes:
        """Make a queue of 100 MiB, and give the request for all of it."""
        make_queue(self.port, "large", partitions=self.PARTITIONS)
        body = b"x" * self.SIZE
        for partition in range(1, self.PARTITIONS + 1):
            found, _ = ask(self.port, "POST", "/v1/queuey/large", body, **{"X-Partition": str(partition)})
            self.assertEqual(201, found)
        partitions = ",".join(map(str, range(1, self.PARTITIONS + 1)))
        return self.request("GET", f"/v1/queuey/large?limit=1000&partitions={partitions}")

    def test_slow_readers(self) -> None:
        """Fifty that take 64 KiB a second of maximal pages need the memory of what they are about to take.

        That is a slice each, which has a MiB of messages, and at the beginning, when all are read for at once, another.
        A daemon with workers has each of these once more, as what it sends to a worker.
        """
        allowed = READERS * (3 if WORKERS == 1 else 6) * MIB
        daemon = self.serve_with(idle_timeout=30)
        text = self.fill()
        self.read_whole(text)
        before = memory(daemon.pid)
        forget_peak(daemon.pid)
        with Neighbour(self.port).beside():
            readers = [self.connect(receive=64 * 1024) for _ in range(READERS)]
            for reader in readers:
                reader.sendall(text)
            # Twice, since on a busy machine the first slices of all may take longer than the first time.
            early = self.take_slowly(readers)
            early = [a + b for a, b in zip(early, self.take_slowly(readers), strict=True)]
            most = peak(daemon.pid)
            forget_peak(daemon.pid)
            taken = self.take_slowly(readers)
            later = peak(daemon.pid)
        say(
            f"{READERS} slow readers: {before / MIB:.0f} MiB before, {most / MIB:.0f} MiB at the most, "
            f"later {later / MIB:.0f} MiB; they took {(sum(early) + sum(taken)) / MIB:.0f} MiB"
        )
        self.assertGreater(min(taken), 0)
        self.assertLess(max(early) + max(taken), self.PARTITIONS * self.SIZE)
        self.assertLess(most - before, allowed)
        self.assertLess(later - before, allowed)
        self.assertLess(later - most, 15 * MIB)
        self.stack.close()
        self.no_errors(daemon)

    def read_whole(self, text: bytes) -> None:
        """Read the answer as fast as it comes; it is whole."""
        connection = self.connect()
        connection.sendall(text)
        size, end = 0, b""
        while not end.endswith(b"0\r\n\r\n"):
            data = connection.recv(MIB)
            self.assertTrue(data, "the answer broke off")
            size += len(data)
            end = (end + data)[-5:]
        self.assertGreater(size, self.PARTITIONS * self.SIZE)
        connection.close()

    def take_slowly(self, readers: list[socket.socket]) -> list[int]:
        """Take a little on each connection for a while; how many bytes each has got."""
        taken = [0] * len(readers)
        deadline = time.monotonic() + READ_SECONDS
        for reader in readers:
            reader.setblocking(False)
        while time.monotonic() < deadline:
            time.sleep(0.25)
            for number, reader in enumerate(readers):
                with contextlib.suppress(BlockingIOError):
                    data = reader.recv(READ_SPEED // 4)
                    self.assertTrue(data, "a slow reader was given up")
                    taken[number] += len(data)
        return taken

    def test_stopped_readers(self) -> None:
        """Who takes nothing any more is cut after idle_timeout, and what was kept for it is free again."""
        daemon = self.serve_with(idle_timeout=2)
        text = self.fill()
        wait_until(lambda: self.settled(daemon), "connections of the beginning are still there")
        files = open_files(daemon.pid)
        with Neighbour(self.port).beside():
            began = time.monotonic()
            readers = [self.connect(receive=64 * 1024) for _ in range(20)]
            for reader in readers:
                reader.sendall(text)
                self.assertTrue(reader.recv(1000))
            wait_until(lambda: open_files(daemon.pid) <= files, "readers that stopped are still held")
            seconds = time.monotonic() - began
        self.assertGreater(seconds, 1.8)
        self.assertLess(seconds, 2 + 2 * PATIENCE)
        for reader in readers:
            self.assertLess(self.drain(reader), self.PARTITIONS * self.SIZE)
        self.no_errors(daemon)

    def settled(self, daemon: Daemon) -> bool:
        """Whether the number of open files stays as it is for a moment."""
        files = open_files(daemon.pid)
        time.sleep(0.3)
        return files == open_files(daemon.pid)

    def drain(self, connection: socket.socket) -> int:
        """How many bytes are still to be had."""
        size = 0
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(MIB):
                size += len(data)
        return size

    def test_pipelined(self) -> None:
        """Thousands of requests whose answers nobody reads wait outside; once they are read, each has its answer."""
        daemon = self.serve_with(idle_timeout=60)
        make_queue(self.port, "q")
        document = json.dumps({"messages": [{"body": "x" * 1000}] * 20}).encode()
        ask(self.port, "POST", "/v1/queuey/q", document, **{"Content-Type": "application/json"})
        ask(self.port, "GET", "/v1/queuey/q?limit=100")
        text = self.request("GET", "/v1/queuey/q?limit=100")
        before = memory(daemon.pid)
        forget_peak(daemon.pid)
        with Neighbour(self.port).beside():
            clients = [self.connect(receive=64 * 1024, send=128 * 1024) for _ in range(3)]
            sent = [self.send_all_that_fits(client, text * 20_000) for client in clients]
            most = peak(daemon.pid)
            complete = [size // len(text) for size in sent]
            answers = [self.count_answers(client, number) for client, number in zip(clients, complete, strict=True)]
        say(f"{sum(complete)} requests pipelined: {before / MIB:.0f} MiB before, {most / MIB:.0f} MiB at the most")
        self.assertGreater(min(complete), 500)
        self.assertLess(max(complete), 20_000)
        self.assertEqual(complete, answers)
        self.assertLess(most - before, 20 * MIB)
        self.no_errors(daemon)

    def send_all_that_fits(self, connection: socket.socket, data: bytes) -> int:
        """Send until nothing more is taken for a second; how much that was."""
        connection.setblocking(False)
        sent = 0
        while sent < len(data) and select.select([], [connection], [], 1.0)[1]:
            sent += connection.send(data[sent : sent + 65536])
        return sent

    def count_answers(self, connection: socket.socket, wanted: int) -> int:
        """Read until there were as many answers, or nothing has come for a while."""
        connection.settimeout(TIMEOUT)
        found, rest = 0, b""
        while found < wanted:
            data = rest + connection.recv(MIB)
            self.assertGreater(len(data), len(rest), "the answers broke off")
            found += data.count(b"HTTP/1.1 200 OK\r\n")
            rest = data[-16:]
        return found
