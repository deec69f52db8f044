"""Clients that read slowly, or not at all."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time

from tests.live.clients import TIMEOUT, ask, make_queue
from tests.live.connections.test_slow_clients import (
    MIB,
    PATIENCE,
    READ_SECONDS,
    READ_SPEED,
    READERS,
    Neighbour,
    SlowTestCase,
    forget_peak,
    memory,
    open_files,
    peak,
    say,
)
from tests.live.daemon.test_daemon import wait_until
from tests.live.running import WORKERS, Daemon


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
        """Thousands of requests whose answers are not read wait outside; once they are read, each has its answer."""
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
