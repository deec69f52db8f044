"""Streams of messages on real sockets: long ones, clients that read late or never, and a daemon that stops."""

from __future__ import annotations

import json
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import attrs

from tests import runs_in
from tests.http.responses import parse_responses
from tests.http.wire_support import encode_request
from tests.live.clients import HEADERS, TIMEOUT, ask, make_queue
from tests.live.connections.test_slow_clients import (
    LONG,
    MIB,
    PATIENCE,
    Neighbour,
    SlowTestCase,
    forget_peak,
    memory,
    open_files,
    peak,
    say,
)
from tests.live.daemon.test_daemon import wait_until

LINES = 1_000_000 if LONG else 100_000
AT_ONCE = 500
"""Lines that a client sends at once."""

STALL = 3.0
"""Seconds after which a client that can send nothing more is taken to be held back."""

PATH = "/v2/queuey/queues/q/messages"
FIELDS = {**HEADERS, "Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
GOOD = json.dumps({"body": "x" * 100}).encode() + b"\n"
WRONG = json.dumps({"body": "x", "ttl": 0}).encode() + b"\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def good_chunks(lines: int) -> Iterator[bytes]:
    """A stream of good lines."""
    for _ in range(lines // AT_ONCE):
        yield chunk(GOOD * AT_ONCE)
    yield END


@attrs.define
class Lines:
    """The lines of an answer, counted while it comes, so that a test needs no memory for them either.

    :ivar stored: how many tell of a message that is stored.
    :ivar duplicates: how many of them were stored by an earlier stream.
    :ivar others: the lines that tell something else.
    """

    stored: int = 0
    duplicates: int = 0
    others: list[dict[str, Any]] = attrs.Factory(list)

    def read(self, connection: socket.socket) -> Lines:
        """Read to the end of the answer."""
        rest = end = b""
        while end != END:
            data = connection.recv(MIB)
            if not data:
                raise AssertionError(f"the answer broke off: {rest[-1000:]!r}")
            end = (end + data)[-len(END) :]
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.startswith(b'{"id":'):
                    self.stored += 1
                    self.duplicates += b'"duplicate":true' in line
                elif line.startswith(b"{"):
                    self.others.append(json.loads(line))
        return self


class StreamTests(SlowTestCase):
    """Streams into a daemon with a database."""

    def open(self, query: str = "", receive: int | None = None) -> socket.socket:
        make_queue(self.port, "q")
        connection = self.connect(receive=receive)
        connection.sendall(encode_request("POST", PATH + query, FIELDS))
        return connection

    def send(self, connection: socket.socket, chunks: Iterator[bytes]) -> None:
        for each in chunks:
            connection.sendall(each)

    def count(self) -> int:
        """How many messages the queue has."""
        _, answer = ask(self.port, "GET", "/v1/queuey?include_count=true")
        (queue,) = (queue for queue in answer["queues"] if queue["queue_name"] == "q")
        return int(queue["count"])

    def stream(self, lines: int) -> float:
        """Send good lines while the answer is read; the seconds that it took."""
        connection = self.open()
        connection.settimeout(60)
        began = time.monotonic()
        sender = threading.Thread(target=self.send, args=(connection, good_chunks(lines)))
        sender.start()
        try:
            told = Lines().read(connection)
        finally:
            sender.join(60)
        self.assertEqual((lines, [{"done": True, "stored": lines, "failed": 0}]), (told.stored, told.others))
        return time.monotonic() - began

    def test_long(self) -> None:
        """A stream needs the memory of a few batches, however long it is."""
        daemon = self.serve()
        self.stream(20 * AT_ONCE)
        before = memory(daemon.pid)
        forget_peak(daemon.pid)
        with Neighbour(self.port).beside():
            seconds = self.stream(LINES)
        most = peak(daemon.pid)
        say(
            f"{LINES} lines: {LINES / seconds:.0f} a second, {before / MIB:.0f} MiB before, "
            f"{most / MIB:.0f} MiB at the most"
        )
        self.assertEqual(20 * AT_ONCE + LINES, self.count())
        self.assertLess(most - before, 40 * MIB)
        self.no_errors(daemon)

    def test_all_sent_before_anything_is_read(self) -> None:
        """Who wants failures alone can send everything, and then read them; some, if there are very many."""
        daemon = self.serve_with(idle_timeout=5)
        before = memory(daemon.pid)
        for rounds in (10, LINES // 50):
            connection = self.open("?results=failures", receive=64 * 1024)
            for _ in range(rounds):
                connection.sendall(chunk(GOOD * 9 + WRONG))
            connection.sendall(END)
            *problems, last = Lines().read(connection).others
            untold = last.pop("untold", 0)
            self.assertEqual({"done": True, "stored": 9 * rounds, "failed": rounds}, last)
            self.assertEqual(rounds, len(problems) + untold)
            self.assertEqual([10 * place for place in range(1, 11)], [problem["line"] for problem in problems[:10]])
        say(f"{rounds} failures: {len(problems)} were told; {(memory(daemon.pid) - before) / MIB:.0f} MiB more")
        self.no_errors(daemon)

    def test_long_after_the_first_failures(self) -> None:
        """Who sends is not cut for not reading, however long that lasts."""
        daemon = self.serve_with(idle_timeout=1)
        connection = self.open("?results=failures", receive=64 * 1024)
        rounds = 60  # their problems have 9 MB, more than sockets buffer
        for _ in range(rounds):
            # A stream ends after 100 wrong lines in a row.
            connection.sendall(chunk((WRONG * 49 + GOOD) * 10))
        for _ in range(8):
            time.sleep(0.5)
            connection.sendall(chunk(GOOD))
        connection.sendall(END)
        last = Lines().read(connection).others[-1]
        last.pop("untold", None)
        self.assertEqual({"done": True, "stored": 10 * rounds + 8, "failed": 490 * rounds}, last)
        self.no_errors(daemon)

    def test_never_reads(self) -> None:
        """Who reads nothing is read from no more, is cut after idle_timeout, and costs little memory."""
        daemon = self.serve_with(idle_timeout=4)
        self.stream(20 * AT_ONCE)
        files = open_files(daemon.pid)
        before = memory(daemon.pid)
        forget_peak(daemon.pid)
        with Neighbour(self.port).beside():
            clients = [self.open(receive=64 * 1024) for _ in range(3)]
            sent = [self.send_until_it_stops(client) for client in clients]
            wait_until(lambda: open_files(daemon.pid) <= files, "clients that read nothing are still held")
        most = peak(daemon.pid)
        say(f"never read: {max(sent)} lines were taken; {(most - before) / MIB:.0f} MiB more at the most")
        self.assertLess(max(sent), 400_000)
        self.assertLess(most - before, 3 * 12 * MIB)
        self.no_errors(daemon)

    def send_until_it_stops(self, client: socket.socket) -> int:
        """Send good lines until nothing more is taken; how many were sent whole."""
        client.settimeout(STALL)
        sent = 0
        for each in good_chunks(1_000_000):
            try:
                client.sendall(each)
            except (TimeoutError, ConnectionError):
                return sent
            sent += AT_ONCE
        raise AssertionError("a client that reads nothing could send everything")

    @runs_in("test")
    def test_cut_and_sent_again(self) -> None:
        """A stream with keys that broke off is sent again whole: each of its messages is stored once."""
        daemon = self.serve()
        number = 20_000 if LONG else 2_000
        chunks = [chunk(b"".join(self.keyed(place + more) for more in range(20))) for place in range(0, number, 20)]
        for rounds in range(4):
            connection = self.open()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            for each in chunks[: len(chunks) * (rounds + 1) // 5]:
                connection.sendall(each)
            connection.recv(1000)
            connection.close()
        connection = self.open()
        sender = threading.Thread(target=self.send, args=(connection, iter([*chunks, END])))
        sender.start()
        told = Lines().read(connection)
        sender.join(TIMEOUT)
        self.assertEqual((number, [{"done": True, "stored": number, "failed": 0}]), (told.stored, told.others))
        self.assertEqual(number, self.count())
        say(f"{number} lines with keys: {told.duplicates} were stored by streams that broke off")
        self.assertGreater(told.duplicates, 0)
        self.assertLess(told.duplicates, number)
        self.no_errors(daemon)

    def keyed(self, number: int) -> bytes:
        return json.dumps({"body": f"message {number}", "idempotency_key": f"key {number}"}).encode() + b"\n"

    def test_stop(self) -> None:
        """A daemon that stops finishes what it has begun, says so, and does not wait for the end of a stream."""
        daemon = self.serve()
        connection = self.open()
        connection.sendall(chunk(GOOD + GOOD))
        received = b""
        while received.count(b'{"id":') < 2:
            received += connection.recv(MIB)
        began = time.monotonic()
        self.assertEqual(0, daemon.signal(signal.SIGTERM))
        self.assertLess(time.monotonic() - began, PATIENCE)
        while data := connection.recv(MIB):
            received += data
        (response,) = parse_responses(received, closed=True, only_json=False)
        *_, problem, last = (json.loads(line) for line in response.body.splitlines())
        self.assertEqual(("overloaded", {"done": False, "stored": 2, "failed": 0}), (problem["code"], last))
