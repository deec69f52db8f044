"""What may happen to a daemon: kills, clocks that are set, clients that hang up, stops, sweeps that are cut short."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from random import Random

import apsw

from queuey.model.timeid import from_v1_hex
from queuey.storage.sqlite.database import files
from tests.live.clients import HEADERS, ask, make_queue, read_all
from tests.live.daemon.test_daemon import wait_until
from tests.live.failures.faults import JSON, LONG, FaultTestCase
from tests.live.failures.mixed import PATH, QUEUE, workers
from tests.live.running import LIMIT, WORKERS, Daemon

ROOT = Path(__file__).parents[3]
LINE = b"Host: localhost\r\nAuthorization: " + HEADERS["Authorization"].encode() + b"\r\n"


class KillTests(FaultTestCase):
    """kill -9, again and again."""

    run_in = "test"

    def test_kills_under_mixed_load(self) -> None:
        """Over one folder: nothing acknowledged is lost, what was deleted stays so, and no request is half there."""
        random = Random(os.urandom(8))
        self.crew = workers(5, random.randrange(1 << 30))
        rounds, longest = (60, 2.0) if LONG else (5, 0.5)
        for _ in range(rounds):
            daemon = self.serve()
            make_queue(self.port, QUEUE)
            self.check()
            with self.working():
                time.sleep(random.uniform(0.3, longest))
                self.assertEqual(daemon.signal(signal.SIGKILL), -signal.SIGKILL)
        daemon = self.serve()
        self.check()
        self.stop(daemon)
        self.check_file()
        done = {name: sum(worker.statuses.get(name, 0) for worker in self.crew) for name in (200, 201)}
        self.say(f"{rounds} kills, answers: {done}")
        self.assertGreater(sum(done.values()), 50 * rounds)
        # A worker whose daemon is killed says that it does not know.
        unsure = {503} if WORKERS > 1 else set()
        self.assertEqual({status for worker in self.crew for status in worker.statuses} - unsure, {200, 201})


class ClockTests(FaultTestCase):
    """The wall clock is set, back and forward, between two starts and during a run."""

    def setUp(self) -> None:
        super().setUp()
        self.offset = self.folder / "offset"
        self.offset.write_text("0")
        self.wrapper = self.folder / "twistd"
        program = Path(__file__).with_name("set_clock.py")
        self.wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "{self.offset}" "$@"\n')
        self.wrapper.chmod(0o755)

    def begin(self) -> Daemon:
        (self.folder / "output").unlink(missing_ok=True)
        environment = {"PYTHONPATH": str(ROOT)}
        daemon = Daemon(self.wrapper, ["--config", str(self.settings)], self.folder, environment)
        self.addCleanup(daemon.kill)
        return daemon

    def set(self, seconds: int) -> None:
        # In place: the daemon has the file open.
        with self.offset.open("r+") as file:
            file.write(f"{seconds:<20}")

    def post(self) -> bytes:
        status, answer = ask(self.port, "POST", PATH, b"x")
        self.assertEqual(status, 201)
        id = from_v1_hex(answer["messages"][0]["key"])
        assert id is not None
        return id

    def test_between_two_starts(self) -> None:
        self.crew = workers(2, 5)
        ids = []
        for seconds in (0, -3600, 3600, 0, -7200):
            self.set(seconds)
            daemon = self.serve()
            make_queue(self.port, QUEUE)
            self.check()
            ids.append(self.post())
            with self.working():
                time.sleep(0.2)
            self.check()
            self.stop(daemon)
        self.assertEqual(ids, sorted(set(ids)))

    def test_during_a_run(self) -> None:
        """Requests are answered all the while, and nothing that was on its way is refused."""
        self.crew = workers(3, 6)
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        ids = [self.post()]
        with self.working():
            for seconds in (-3600, 3600, 0, -3600, 0):
                time.sleep(0.2)
                self.set(seconds)
                ids.append(self.post())
                before = sum(worker.acknowledged for worker in self.crew)
                time.sleep(0.2)
                self.assertGreater(sum(worker.acknowledged for worker in self.crew), before)
        self.check()
        self.assertEqual(ids, sorted(set(ids)))
        self.stop(daemon)
        daemon = self.serve()
        self.check()
        self.stop(daemon)
        self.check_file()

    def test_time_limits(self) -> None:
        """They go by a clock that is never set: held when the wall clock goes back, not over at once when it goes
        on."""
        self.replace_settings("[server]", "[server]\nheader_timeout = 2")
        daemon = self.serve()
        for seconds in (-3600, 3600):
            with socket.create_connection(("127.0.0.1", self.port), LIMIT) as slow:
                began = time.monotonic()
                slow.sendall(b"GET /v1/queuey HTTP/1.1\r\n")
                time.sleep(0.2)
                self.set(seconds)
                self.assertTrue(slow.recv(1000).startswith(b"HTTP/1.1 408 "))
                self.assertGreater(time.monotonic() - began, 1.5)
        self.stop(daemon)


class HangUpTests(FaultTestCase):
    """Clients that go away in each phase of a POST: all of it is stored, or nothing."""

    batch = 5

    def request(self, label: str, chunked: bool) -> bytes:
        document = {"messages": [{"body": f"{label} {place}"} for place in range(self.batch)]}
        body = json.dumps(document).encode()
        head = f"POST {PATH} HTTP/1.1\r\n".encode() + LINE + b"Content-Type: application/json\r\n"
        if not chunked:
            return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        half = len(body) // 2
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]))
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"

    def hang_up(self, sent: bytes, reset: bool, wait: bool) -> None:
        """Send this and go away, politely or not, before or after the answer comes."""
        connection = socket.create_connection(("127.0.0.1", self.port), LIMIT)
        connection.sendall(sent)
        if wait:
            connection.recv(1, socket.MSG_PEEK)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def test_each_phase(self) -> None:
        random = Random(7)
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        whole: dict[str, bool] = {}
        for number in range(400 if LONG else 60):
            label = f"hang-up-{number}"
            request = self.request(label, chunked=bool(number & 1))
            cut = random.choice(
                (0, 1, request.index(b"\r\n\r\n") + 4, len(request) - 1, random.randrange(len(request)))
            )
            phase = number % 3
            self.hang_up(request[:cut] if phase == 0 else request, bool(number & 2), wait=phase == 2)
            whole[label] = phase != 0
        time.sleep(0.3)
        self.stop(daemon)
        daemon = self.serve()
        found = [message["body"] for message in read_all(self.port, QUEUE)]
        for label, complete in whole.items():
            present = [body for body in found if body.startswith(f"{label} ")]
            if present or (complete and label not in self.may_be_absent(whole)):
                self.assertTrue(complete, f"{label} was not sent whole, and yet: {present}")
                self.assertEqual(present, [f"{label} {place}" for place in range(self.batch)])
        self.stop(daemon)

    def may_be_absent(self, whole: dict[str, bool]) -> list[str]:
        """Those whose client did not wait for the first byte of the answer: the daemon may have heard nothing."""
        return [label for label in whole if int(label.rpartition("-")[2]) % 3 != 2]


class StopTests(FaultTestCase):
    """SIGTERM with requests in every phase."""

    def connect(self, sent: bytes = b"", small: bool = False) -> socket.socket:
        connection = socket.socket()
        self.addCleanup(connection.close)
        if small:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(LIMIT)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(sent)
        return connection

    def rest(self, connection: socket.socket) -> bytes:
        """All that comes until the end."""
        found = b""
        try:
            while piece := connection.recv(1 << 16):
                found += piece
        except ConnectionResetError:
            return found + b"(reset)"
        return found

    def post(self, body: bytes) -> bytes:
        return f"POST {PATH} HTTP/1.1\r\n".encode() + LINE + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)

    def test_requests_in_every_phase(self) -> None:
        """What can be finished is; what comes to no end is cut; nothing is half there."""
        self.replace_settings("[server]", "[server]\nstop_timeout = 3")
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        for _ in range(24):
            self.assertEqual(ask(self.port, "POST", PATH, b"y" * 500_000)[0], 201)
        read = f"GET {PATH}?limit=1000 HTTP/1.1\r\n".encode() + LINE + b"\r\n"
        idle = self.connect(f"GET {PATH}?limit=1 HTTP/1.1\r\n".encode() + LINE + b"\r\n")
        idle.recv(1, socket.MSG_PEEK)
        nothing = self.connect()
        half_head = self.connect(b"POST /v1/queuey/q HTTP/1.1\r\nHost: loc")
        finished = self.connect(self.post(b"finished later")[:-6])
        never = self.connect(self.post(b"never finished")[:-6])
        unread = self.connect(self.post(b"not read yet"))
        reader, stalled = self.connect(read), self.connect(read, small=True)
        pipelined = self.connect(self.post(b"first of two") + self.post(b"second of two"))
        time.sleep(0.3)
        os.kill(daemon.pid, signal.SIGTERM)
        wait_until(lambda: " stopping " in daemon.output(), "it does not stop")
        self.assertRaises(ConnectionRefusedError, self.connect)
        finished.sendall(b" later")
        answers = {name: self.rest(connection) for name, connection in
                   {"finished": finished, "unread": unread, "reader": reader, "idle": idle, "nothing": nothing,
                    "half": half_head, "never": never, "pipelined": pipelined}.items()}  # fmt: skip
        self.assertEqual(daemon.wait(), 0)
        self.assertNotIn("Traceback", daemon.output())
        for name in ("finished", "unread"):
            self.assertTrue(answers[name].startswith(b"HTTP/1.1 201 "), (name, answers[name]))
        self.assertTrue(answers["reader"].endswith((b"]}", b"0\r\n\r\n")), answers["reader"][-100:])
        self.assertIn(answers["nothing"], (b"", b"(reset)"))
        self.assertNotIn(b" 201 ", answers["half"] + answers["never"])
        self.assertIn(b"(reset)", self.rest(stalled))
        daemon = self.serve()
        stored = [message["body"] for message in read_all(self.port, QUEUE) if message["body"][0] != "y"]
        self.assertLessEqual({"finished later", "not read yet"}, set(stored))
        self.assertEqual(len(stored), len(set(stored)))
        self.assertLessEqual(set(stored), {"finished later", "not read yet", "first of two", "second of two"})
        self.assertEqual(answers["pipelined"].count(b" 201 "), sum("of two" in body for body in stored))
        self.stop(daemon)


class SweepTests(FaultTestCase):
    """Messages of deleted queues go away whatever their time to live, over kills too."""

    def rows(self, table: str) -> int:
        connection = apsw.Connection(str(self.data / files.DATABASE), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(10_000)  # a daemon that has just been killed is started again, and recovers
        try:
            return int(str(connection.execute(f"SELECT count(*) FROM {table}").get))
        finally:
            connection.close(True)

    def fill(self, queue: str, batches: int) -> None:
        make_queue(self.port, queue)
        batch = {"messages": [{"body": "x" * 50, "ttl": 1 << 25}] * 1000}
        for _ in range(2 * batches):
            posted = ask(self.port, "POST", f"/v1/queuey/{queue}", json.dumps(batch).encode(), **JSON)
            self.assertEqual(posted[0], 201)

    def test_a_sweep_goes_on_after_kills(self) -> None:
        """The queue is gone at once, its messages step by step, and those of others stay.

        Each kill comes as soon as something is swept, whether or not anybody accepts by then.
        """
        daemon = self.serve()
        self.fill("gone", 20)
        self.fill(QUEUE, 1)
        self.assertEqual(ask(self.port, "DELETE", "/v1/queuey/gone")[0], 200)
        left = [42_000]
        for _ in range(3):
            wait_until(lambda: self.rows("messages") < left[-1] - 500, "nothing is swept")
            self.assertEqual(daemon.signal(signal.SIGKILL), -signal.SIGKILL)
            left.append(self.rows("messages"))
            daemon = self.begin()
        daemon.wait_until_it_serves(self.port)
        self.assertEqual(ask(self.port, "GET", "/v1/queuey/gone")[0], 404)
        wait_until(lambda: self.rows("messages") == 2000, "it does not go on")
        wait_until(lambda: self.rows("dead") == 0, "the queue is still listed as dead")
        self.say(f"messages left after each kill: {left[1:]}")
        (queue,) = ask(self.port, "GET", "/v1/queuey?include_count=true")[1]["queues"]
        self.assertEqual((queue["queue_name"], queue["count"]), (QUEUE, 2000))
        self.stop(daemon)
        self.check_file()
