"""Live reads of a real daemon: through its restarts, its end, and the end of what let them in."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from typing import Final

from tests import runs_in, tried
from tests.http.wire_support import encode_request
from tests.live.clients import HEADERS, KEY, TIMEOUT, Poster, ask, make_queue
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.operating.copies import BIN
from tests.live.reading.live_reader import LINES, SSE, LiveReader
from tests.live.running import LIMIT, Daemon, free_port, write_settings
from tests.live.workers.test_workers import WorkersCase

ROUNDS: Final = tried(2, 20)
"""How often a daemon is ended while messages come."""

STREAMS: Final = tried(300, 5000)
"""Live reads when a daemon is to stop."""

STOP_TIMEOUT: Final = 20
"""Seconds in which a daemon that is to stop has to end, in the settings of these tests."""

SHOWN: Final = 30.0
"""Seconds within which a message is shown to all readers, on a machine that does much else."""

EVENTS: Final = "/v2/queuey/queues/q/events"
MERGE: Final = {"Content-Type": "application/merge-patch+json"}


def readers_of(port: int) -> list[LiveReader]:
    """Readers of the queue ``q`` in both formats; one of them in turns of three messages."""
    return [
        LiveReader(port, "q", LINES).start(),
        LiveReader(port, "q", SSE).start(),
        LiveReader(port, "q", SSE, "start=oldest&limit=3").start(),
    ]


class RestartTests(LiveTestCase):
    """A daemon that ends in the middle of live reads, and comes again."""

    def setUp(self) -> None:
        super().setUp()
        self.replace_settings("[server]\n", f"[server]\nstop_timeout = {STOP_TIMEOUT}\n")

    def judge(self, readers: list[LiveReader], posters: list[Poster]) -> None:
        """Every reader has seen all that was acknowledged, once, in one order, and got no event about a gap."""
        acknowledged = {body for poster in posters for body, _ in poster.acknowledged}
        unknown = {body for poster in posters for body in poster.unknown}
        for reader in readers:
            reader.wait_for(acknowledged, SHOWN)
        time.sleep(0.5)
        for reader in readers:
            self.assertEqual(len(reader.seen), len(set(reader.seen)), "a message came twice")
            self.assertLessEqual(set(reader.seen), acknowledged | unknown)
            self.assertEqual((reader.gaps, reader.problems), ([], []))
            self.assertEqual(reader.seen, readers[0].seen)
        cuts, whole = sum(reader.cut for reader in readers), sum(reader.whole for reader in readers)
        sys.stdout.write(f"{len(acknowledged)} messages to {len(readers)} readers; {cuts} answers cut, {whole} ended\n")

    @runs_in("test")
    def test_restarts(self) -> None:
        """Killed, or stopped, again and again: a reader that comes back by its place misses nothing."""
        daemon = self.serve()
        make_queue(self.port, "q")
        readers, posters = readers_of(self.port), []
        for number in range(ROUNDS):
            some = [Poster(self.port, "q", f"{number}-{name}").start() for name in "ab"]
            time.sleep(0.5)
            daemon.signal(signal.SIGKILL if number % 2 == 0 else signal.SIGTERM)
            posters += [poster.finish() for poster in some]
            self.assertTrue(all(len(poster.acknowledged) for poster in some))
            daemon = self.serve()
        posters.append(last := Poster(self.port, "q", "last").start())
        time.sleep(0.3)
        last.finish()
        self.judge(readers, posters)
        for reader in readers:
            self.assertGreaterEqual(reader.cut + reader.whole, ROUNDS)
            reader.stopped.set()
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        for reader in readers:
            reader.finish()

    @runs_in("test")
    def test_stop_with_many(self) -> None:
        """A daemon that is to stop ends all live reads whole, and says when to come back; it need not cut any. When it
        is back, they all come back to their places, and miss nothing."""
        daemon = self.serve()
        make_queue(self.port, "q")
        connections = [self.connected() for _ in range(STREAMS)]
        received = [begun(connection) for connection in connections]
        began = time.monotonic()
        daemon.send(signal.SIGTERM)
        for number, connection in enumerate(connections):
            while data := connection.recv(65536):
                received[number] += data
        self.assertEqual(daemon.wait(), 0)
        seconds = time.monotonic() - began
        self.assertLess(seconds, STOP_TIMEOUT)
        self.assertNotRegex(daemon.output(), " cut |Traceback")
        retries = []
        for data in received:
            found = re.search(rb"retry: ([0-9]+)\n\n\r\n0\r\n\r\n\Z", data)
            assert found is not None, data[-300:]
            retries.append(int(found[1]))
        self.assertGreaterEqual(min(retries), 500)
        self.assertLessEqual(max(retries), 15_000)
        self.assertGreater(max(retries) - min(retries), 5000)
        daemon = self.serve()
        status, answer = ask(self.port, "POST", "/v2/queuey/queues/q/messages", b"meanwhile")
        self.assertEqual(status, 201, answer)
        back = [self.connected(place_of(data)) for data in received]
        for connection in back:
            self.assertEqual(begun(connection).count(b'"body":"meanwhile"'), 1)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        sys.stdout.write(f"{STREAMS} live reads and the daemon ended within {seconds:.2f} s\n")

    def connected(self, place: str | None = None) -> socket.socket:
        """Begin a live read."""
        connection = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        self.addCleanup(connection.close)
        fields = HEADERS if place is None else {**HEADERS, "Last-Event-ID": place}
        connection.sendall(encode_request("GET", EVENTS, fields))
        return connection

    def test_revoked_key(self) -> None:
        """A key that is taken out of the settings ends its live reads; those of another key go on."""
        self.add_settings("    another-key-of-the-application\n")
        daemon = self.serve()
        make_queue(self.port, "q")
        other = LiveReader(
            self.port, "q", headers={"Authorization": "Application another-key-of-the-application"}
        ).start()
        connection = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        self.addCleanup(connection.close)
        connection.sendall(encode_request("GET", EVENTS, HEADERS))
        received = begun(connection)
        self.replace_settings(f"queuey = {KEY}\n", "queuey =\n")
        daemon.send(signal.SIGHUP)
        wait_until(lambda: " reloaded " in daemon.output(), "the settings were not read again")
        began = time.monotonic()
        while not received.endswith(b"0\r\n\r\n"):
            data = connection.recv(65536)
            self.assertTrue(data, received)
            received += data
        seconds = time.monotonic() - began
        self.assertIn(b"event: problem\n", received)
        self.assertIn(b'"code":"unauthorized"', received)
        # Two seconds on a machine that does nothing else.
        self.assertLess(seconds, 10)
        sys.stdout.write(f"a live read ended {seconds:.2f} s after its key was revoked\n")
        status, _ = ask(self.port, "POST", "/v1/queuey/q", b"x", Authorization=other.headers["Authorization"])
        self.assertEqual(status, 201)
        other.wait_for({"x"}, SHOWN)
        self.assertEqual((other.cut, other.whole), (0, 0))
        other.stopped.set()
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        other.finish()


def place_of(received: bytes) -> str:
    """Return the last place that a live read has sent."""
    places: list[bytes] = re.findall(rb"^id: (\S+)$", received, re.MULTILINE)
    return places[-1].decode("ascii")


def begun(connection: socket.socket) -> bytes:
    """What comes of a live read until it waits at the end of the queue."""
    received = b""
    while b"event: caught-up" not in received:
        data = connection.recv(65536)
        assert data, received
        received += data
    return received


class ClosedTests(LiveTestCase):
    """A closed queue is closed wherever it goes."""

    def close(self) -> LiveReader:
        """Serve a queue, close it with its last message, and give a reader that got the event of the end."""
        self.daemon = self.serve()
        make_queue(self.port, "q")
        reader = LiveReader(self.port, "q").start()
        self.assertEqual(ask(self.port, "POST", "/v2/queuey/queues/q/messages", b"first")[0], 201)
        status, answer = ask(self.port, "POST", "/v2/queuey/queues/q/messages?close=true", b"last")
        self.assertEqual(status, 201, answer)
        wait_until(lambda: reader.closed, "the reader was not told of the end")
        self.assertEqual(reader.finish().seen, ["first", "last"])
        return reader

    def is_closed(self, port: int, reader: LiveReader) -> None:
        """It takes nothing, has everything, and says that it is at its end; the reader is sent away for good."""
        self.assertIs(ask(port, "GET", "/v2/queuey/queues/q")[1]["closed"], True)
        status, problem = ask(port, "POST", "/v2/queuey/queues/q/messages", b"x")
        self.assertEqual((status, problem["code"]), (409, "queue-closed"))
        status, page = ask(port, "GET", "/v2/queuey/queues/q/messages")
        self.assertEqual([message["body"] for message in page["messages"]], ["first", "last"])
        self.assertIs(page["closed"], True)
        late = LiveReader(port, "q", SSE).start()
        wait_until(lambda: late.closed, "a late reader was not told of the end")
        self.assertEqual(late.finish().seen, ["first", "last"])
        again = LiveReader(port, "q", SSE, place=reader.place).start()
        wait_until(lambda: again.closed, "a reader that has everything was not sent away")
        self.assertEqual((again.finish().seen, again.whole, again.statuses), ([], 0, []))

    def serve_from(self, name: str) -> int:
        """A daemon beside the first one, on the data of a folder; its port."""
        port = free_port()
        settings = self.folder / name / "queuey.ini"
        if not settings.exists():
            settings = write_settings(self.folder / name, port)
        daemon = Daemon(BIN / "twistd", ["--config", str(settings)], self.folder / name, {})
        self.addCleanup(daemon.kill)
        daemon.wait_until_it_serves(port)
        return port

    def run_command(self, *arguments: object) -> None:
        command = [str(BIN / "queuey"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_closed_everywhere(self) -> None:
        """After a restart, in a backup, and in a copy."""
        reader = self.close()
        self.daemon.kill()
        self.daemon = self.serve()
        self.is_closed(self.port, reader)
        (self.folder / "restored").mkdir()
        self.run_command("backup", "--config", self.settings, self.folder / "restored" / "data")
        (self.folder / "copied").mkdir()
        port = free_port()
        target = write_settings(self.folder / "copied", port)
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)
        self.run_command("copy", "--finish", self.settings, target)
        copied = Daemon(BIN / "twistd", ["--config", str(target)], target.parent, {})
        self.addCleanup(copied.kill)
        copied.wait_until_it_serves(port)
        self.is_closed(port, reader)
        self.is_closed(self.serve_from("restored"), reader)


class WorkersTests(WorkersCase):
    """Several processes serve one queue."""

    def test_workers(self) -> None:
        """Readers at all workers see all messages, once, in one order, also if a worker is killed."""
        make_queue(self.port, "q", partitions=2)
        readers = [LiveReader(self.port, "q", LINES if number % 2 else SSE).start() for number in range(8)]
        posters = [Poster(self.port, "q", f"p{number}").start() for number in range(6)]
        time.sleep(1)
        subprocess.run(["kill", "-KILL", str(self.pids()[0])], check=True)
        time.sleep(1)
        posters = [poster.finish() for poster in posters]
        acknowledged = {body for poster in posters for body, _ in poster.acknowledged}
        for reader in readers:
            reader.wait_for(acknowledged, SHOWN)
        time.sleep(0.5)
        for reader in readers:
            self.assertEqual(len(reader.seen), len(set(reader.seen)), "a message came twice")
            self.assertEqual(reader.seen, readers[0].seen)
            self.assertEqual((reader.gaps, reader.problems), ([], []))
        status, queue = ask(self.port, "PATCH", "/v2/queuey/queues/q", json.dumps({"closed": True}).encode(), **MERGE)
        self.assertEqual((status, queue["closed"]), (200, True))
        wait_until(lambda: all(reader.closed for reader in readers), "not all readers were told of the end")
        for reader in readers:
            reader.finish()
        for _ in range(8):
            self.assertEqual(ask(self.port, "POST", "/v2/queuey/queues/q/messages", b"x")[0], 409)
        sys.stdout.write(
            f"{len(acknowledged)} messages to {len(readers)} readers; "
            f"{sum(reader.cut for reader in readers)} answers cut\n"
        )
