"""The daemon as a process, and what may happen to it: kills, full and spoiled disks, clocks, clients that hang up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import apsw

from queuey.model.timeid import from_v1_hex
from queuey.storage.sqlite import files, schema
from tests.live.clients import HEADERS, ask, make_queue, read_all
from tests.live.disks import Disk, make_read_only
from tests.live.mixed import PATH, QUEUE, Worker, problems, workers
from tests.live.running import LIMIT, Daemon
from tests.live.test_daemon import LiveTestCase, wait_until

LONG = bool(os.environ.get("QUEUEY_LONG"))
ROOT = Path(__file__).parents[2]
LINE = b"Host: localhost\r\nAuthorization: " + HEADERS["Authorization"].encode() + b"\r\n"


class FaultTestCase(LiveTestCase):
    """Daemons and workers, and what they must agree about."""

    crew: list[Worker]

    def setUp(self) -> None:
        super().setUp()
        self.crew = []
        self.data = self.folder / "data"

    def begin(self) -> Daemon:
        """As always, with nothing in its output of the one before."""
        (self.folder / "output").unlink(missing_ok=True)
        return super().begin()

    def say(self, text: str) -> None:
        """Print a figure."""
        sys.stdout.write(f"{self.id().rpartition('.')[2]}: {text}\n")

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let the workers work meanwhile."""
        for worker in self.crew:
            worker.start(self.port)
        try:
            yield
        finally:
            for worker in self.crew:
                worker.finish()

    def check(self) -> None:
        """What the workers know is what the daemon has."""
        self.assertEqual(problems(self.port, self.crew)[:5], [])

    def check_file(self) -> None:
        """The database of a daemon that has ended is whole, and its sums are right."""
        connection = apsw.Connection(str(self.data / files.DATABASE))
        try:
            self.assertEqual(connection.pragma("integrity_check"), "ok")
            sums: list[Any] = connection.execute(
                "SELECT queue, count(*), sum(size) FROM messages WHERE queue IN (SELECT queue FROM queues) GROUP BY 1"
            ).fetchall()
            tallies = connection.execute("SELECT * FROM tallies WHERE messages > 0 ORDER BY queue").fetchall()
            self.assertEqual(tallies, sums)
        finally:
            connection.close()

    def stop(self, daemon: Daemon) -> None:
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertNotIn("Traceback", daemon.output())


class KillTests(FaultTestCase):
    """kill -9, again and again."""

    def test_kills_under_mixed_load(self) -> None:
        """Over one folder: nothing acknowledged is lost, what was deleted stays so, and no request is half there."""
        random = Random(os.urandom(8))
        self.crew = workers(5, random.randrange(1 << 30))
        rounds, longest = (60, 2.0) if LONG else (10, 0.5)
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
        self.assertEqual({status for worker in self.crew for status in worker.statuses}, {200, 201})


class FullDiskTests(FaultTestCase):
    """A disk that fills up, and has room again."""

    def set_up_disk(self, size: str, more: str = "") -> None:
        self.disk = Disk(self, self.folder / "disk", size)
        self.data = self.disk.path / "data"
        self.replace_settings(f"path = {self.folder / 'data'}", f"path = {self.data}")
        self.add_settings(more)

    def refusals(self) -> dict[int, int]:
        """How many requests of the workers were refused, by status."""
        found: dict[int, int] = {}
        for worker in self.crew:
            for status, number in worker.statuses.items():
                if status >= 500:
                    found[status] = found.get(status, 0) + number
        return found

    def work_until_full(self, daemon: Daemon) -> None:
        """Let the disk be full while the workers work; reading goes on."""
        with self.working():
            time.sleep(0.3)
            self.disk.fill()
            wait_until(lambda: sum(self.refusals().values()) > 100, "nothing is refused")
            self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200)
        self.check()
        refused, answer = ask(self.port, "POST", PATH, b"x" * 300_000)
        self.assertIn(refused, (503, 507), answer)
        self.assertIn("storage-full" if refused == 507 else "storage", answer["error_msg"])

    def room_again(self) -> None:
        """Service goes on by itself once there is room."""
        wait_until(lambda: ask(self.port, "POST", PATH, b"x" * 300_000)[0] == 201, "it does not go on")
        before = self.refusals()
        with self.working():
            time.sleep(0.5)
        self.assertEqual(self.refusals(), before)
        self.check()

    def check_log(self, text: str) -> None:
        """Every refusal stands there, with what became of the change: nothing."""
        refused = [line for line in text.splitlines() if " refused " in line]
        self.assertGreater(len(refused), 100)
        self.assertEqual([line for line in refused if "(applied: no)" not in line], [])

    def test_the_disk_fills_up_and_has_room_again(self) -> None:
        self.set_up_disk("160m")
        self.crew = workers(4, 1)
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        self.work_until_full(daemon)
        (self.disk.path / "ballast").unlink()
        self.room_again()
        self.stop(daemon)
        self.check_log(daemon.output())
        daemon = self.serve()
        self.check()
        self.stop(daemon)
        self.check_file()
        self.say(f"refused: {self.refusals()}, answered 2xx: {sum(worker.acknowledged for worker in self.crew)}")

    def test_it_is_killed_while_the_disk_is_full(self) -> None:
        """The next start either serves or says in one line why not; with room again all is there."""
        self.set_up_disk("160m")
        self.crew = workers(4, 2)
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        self.work_until_full(daemon)
        daemon.signal(signal.SIGKILL)
        daemon = self.begin()
        try:
            daemon.wait_until_it_serves(self.port)
        except AssertionError:
            self.assertIn("There is no room", daemon.output().splitlines()[-1])
        else:
            self.check()
            daemon.signal(signal.SIGKILL)
        (self.disk.path / "ballast").unlink()
        daemon = self.serve()
        self.check()
        self.room_again()
        self.stop(daemon)
        self.check_file()

    def test_the_log_cannot_be_copied_into_the_database(self) -> None:
        """With more in the write-ahead log than the disk has room for twice, and a larger disk later."""
        self.set_up_disk("44m")
        self.crew = workers(3, 3)
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        large = "x" * 1_000_000
        kept = []
        while (answer := ask(self.port, "POST", PATH, large.encode()))[0] == 201:
            kept.append(answer[1]["messages"][0]["key"])
        self.assertEqual(answer[0], 507)
        self.assertGreater(len(kept), 20)
        self.work_until_full(daemon)
        self.disk.change("size=200m")
        self.room_again()
        self.stop(daemon)
        daemon = self.serve()
        self.check()
        stored = {message["message_id"]: message["body"] for message in read_all(self.port, QUEUE)}
        self.assertEqual([id for id in kept if stored.get(id) != large], [])
        self.stop(daemon)
        self.check_file()

    def test_the_log_file_is_on_the_full_disk(self) -> None:
        """Lines are lost, and counted; requests are not."""
        self.set_up_disk("160m", f"[logging]\nfile = {self.folder / 'disk' / 'queuey.log'}\n")
        self.crew = workers(4, 4)
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        self.work_until_full(daemon)
        (self.disk.path / "ballast").unlink()
        self.room_again()
        self.stop(daemon)
        log = (self.disk.path / "queuey.log").read_text()
        self.assertIn(" log-lines-lost ", log)
        self.assertTrue(log.splitlines()[-1].partition(" ")[2].startswith("info "), log.splitlines()[-1])

    def test_a_start_without_any_room(self) -> None:
        self.set_up_disk("1m")
        self.disk.fill()
        (line,) = self.refused_start()
        self.assertIn(str(self.data), line)
        (self.disk.path / "ballast").unlink()
        self.stop(self.serve())


class SpoiledTests(FaultTestCase):
    """Folders and files that the daemon cannot or must not use: one clear line, and they stay as they are."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.data / files.DATABASE

    def make(self, number: int = 40) -> list[str]:
        """Let a daemon store messages of some size, and end; their bodies."""
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        bodies = [f"{place}-" + "x" * 3000 for place in range(number)]
        batch = json.dumps({"messages": [{"body": body} for body in bodies]}).encode()
        self.assertEqual(ask(self.port, "POST", PATH, batch, **{"Content-Type": "application/json"})[0], 201)
        self.stop(daemon)
        return bodies

    def refused(self, *words: str) -> None:
        """A start says one line with these words, and changes nothing."""
        before = self.file.read_bytes()
        (line,) = self.refused_start()
        for word in (str(self.data), *words):
            self.assertIn(word, line)
        self.assertEqual(self.file.read_bytes(), before)

    def test_a_foreign_file(self) -> None:
        self.data.mkdir()
        self.file.write_bytes(b"These are the notes of somebody else. " * 100)
        self.refused("it is no database")
        self.file.unlink()
        other = apsw.Connection(str(self.file))
        other.execute("CREATE TABLE notes (text)")
        other.close()
        self.refused("a database of another program")

    def test_a_newer_schema(self) -> None:
        self.make()
        newer = apsw.Connection(str(self.file))
        newer.pragma("user_version", schema.CURRENT + 1)
        newer.close()
        self.refused(f"version {schema.CURRENT + 1}", f"up to {schema.CURRENT}")

    def test_a_folder_that_can_only_be_read(self) -> None:
        bodies = self.make()
        if os.geteuid() == 0:
            disk = Disk(self, self.folder / "disk", "8m")
            shutil.copytree(self.data, disk.path / "data")
            disk.change("ro")
            self.replace_settings(str(self.data), str(disk.path / "data"))
            (line,) = self.refused_start()
            self.assertIn("Read-only file system", line)
            disk.change("rw")
            self.data = disk.path / "data"
        else:
            self.data.chmod(0o500)
            (self.data / files.LOCK).chmod(0o400)
            self.refused("Permission denied")
            self.data.chmod(0o700)
            (self.data / files.LOCK).chmod(0o600)
        daemon = self.serve()
        self.assertEqual([message["body"] for message in read_all(self.port, QUEUE)], bodies)
        self.stop(daemon)

    def test_a_file_that_can_only_be_read(self) -> None:
        """The folder can be written to, the database cannot."""
        self.make()
        make_read_only(self, self.file)
        self.refused("can only be read")

    def test_a_damaged_page(self) -> None:
        """A start is refused in one line, or what needs the page is answered 503 or cut off: no answer is wrong."""
        bodies = self.make()
        whole = self.file.read_bytes()
        pages = len(whole) // files.PAGE
        outcomes = {self.serve_damaged(page, bodies, whole) for page in (1, 2, pages // 3, pages - 1)}
        self.assertEqual(outcomes, {"refused at the start", "503", "200"})

    def serve_damaged(self, page: int, bodies: list[str], whole: bytes) -> str:
        """What a daemon does with such a page; the file is whole again afterwards."""
        with self.file.open("r+b") as file:
            file.seek((page - 1) * files.PAGE)
            file.write(Random(page).randbytes(files.PAGE))
        daemon = self.begin()
        try:
            daemon.wait_until_it_serves(self.port)
        except AssertionError:
            self.assertEqual(daemon.wait(), 1)
            self.assertRegex(daemon.output().splitlines()[-1], r"\Aqueuey: The database .* cannot be used: .*")
            return "refused at the start"
        else:
            return self.read_damaged(bodies)
        finally:
            daemon.kill()
            self.assertNotIn("Traceback", daemon.output())
            self.file.write_bytes(whole)

    def read_damaged(self, bodies: list[str]) -> str:
        status, answer = ask(self.port, "GET", f"{PATH}?limit=1000")
        if status == 200:
            self.assertEqual([message["body"] for message in answer["messages"]], bodies)
        else:
            self.assertEqual((status, list(answer["error_msg"])), (503, ["storage"]))
        return str(status)


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
