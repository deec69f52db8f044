"""The daemon as a process: signals, failures at its start, endpoints, and what survives its end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests import LONG, runs_in
from tests.config.test_legacy import FIRST
from tests.live.clients import HEADERS, Poster, ask, make_queue, read_all
from tests.live.running import LIMIT, WORKERS, Daemon, free_port, write_settings

TWISTD = Path(sys.executable).parent / "twistd"


def wait_until(what: Callable[[], bool], why: str) -> None:
    """Return once something is so; it is looked at again and again for a while."""
    deadline = time.monotonic() + LIMIT
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError(why)
        time.sleep(0.02)


class LiveTestCase(SynchronousTestCase):
    """A folder of its own, and daemons that end with the test."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = free_port()
        self.settings = write_settings(self.folder, self.port)

    def add_settings(self, text: str) -> None:
        with self.settings.open("a") as file:
            file.write(text)

    def replace_settings(self, old: str, new: str) -> None:
        text = self.settings.read_text()
        self.assertIn(old, text)
        self.settings.write_text(text.replace(old, new))

    def begin(self) -> Daemon:
        """Start a daemon without waiting for it."""
        daemon = Daemon(TWISTD, ["--config", str(self.settings)], self.folder, {})
        self.addCleanup(daemon.kill)
        return daemon

    def serve(self) -> Daemon:
        daemon = self.begin()
        daemon.wait_until_it_serves(self.port)
        return daemon

    def refused_start(self) -> list[str]:
        """The lines, other than those of the log, of a daemon that must end with status 1."""
        daemon = self.begin()
        self.assertEqual(daemon.wait(), 1, daemon.output())
        self.assertNotIn("Traceback", daemon.output())
        return [line for line in daemon.output().splitlines() if not re.match(r"\d{4}-\d\d-\d\dT", line)]


class StartTests(LiveTestCase):
    """What keeps a daemon from starting is said in one line each, with status 1 and no traceback."""

    @runs_in("test")
    def test_settings(self) -> None:
        """Every mistake in the settings has its line."""
        self.add_settings("[application:queuey]\nguarentee = at-least-once\nttl = 0\n")
        lines = self.refused_start()
        self.assertEqual(len(lines), 2, lines)
        self.assertIn("[application:queuey] guarentee", lines[0])
        self.assertIn("guarantee", lines[0])
        self.assertIn("[application:queuey] ttl", lines[1])
        self.assertFalse((self.folder / "data").exists())

    def test_no_settings(self) -> None:
        """A file that is not there."""
        self.settings.unlink()
        (line,) = self.refused_start()
        self.assertIn(str(self.settings), line)

    def test_port_taken(self) -> None:
        """Somebody else listens there."""
        with socket.create_server(("127.0.0.1", self.port)):
            (line,) = self.refused_start()
        said = f"queuey: cannot listen on tcp:{self.port}:interface=127.0.0.1: Address already in use; "
        self.assertEqual(line, said + "choose another address in [server], or with --http or --ops")

    def test_second_daemon(self) -> None:
        """The data is another daemon's, whose pid is named; that one goes on."""
        first = self.serve()
        self.settings.write_text(self.settings.read_text().replace(str(self.port), str(free_port())))
        (line,) = self.refused_start()
        self.assertIn(str(first.pid), line)
        self.assertIn(str(self.folder / "data"), line)
        self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200)

    def test_folder_is_a_file(self) -> None:
        """The place for the data is something else."""
        (self.folder / "data").write_text("x")
        (line,) = self.refused_start()
        self.assertIn(str(self.folder / "data"), line)

    def test_guarantee(self) -> None:
        """One that the settings cannot keep is refused, with the reason."""
        self.add_settings("[application:queuey]\nguarantee = exactly-once\nconsistency = weak\n")
        (line,) = self.refused_start()
        self.assertIn("[application:queuey] guarantee: exactly-once cannot be kept with consistency = weak", line)

    def test_settings_of_another_store(self) -> None:
        """What is left of one backend is refused with the other."""
        self.replace_settings("backend = sqlite", "backend = cassandra")
        lines = self.refused_start()
        self.assertEqual(len(lines), 1 if WORKERS == 1 else 2, lines)
        self.assertIn("cassandra", lines[0])


class DaemonizedTests(LiveTestCase):
    """twistd without --nodaemon."""

    def twistd(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [str(TWISTD), *options, "--pidfile", "twistd.pid", "queuey", "--config", str(self.settings)]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=LIMIT)

    @runs_in("test")
    def test_start_and_stop(self) -> None:
        """It returns once it serves, leaves its pid, logs where it should, and ends by SIGTERM."""
        self.add_settings("[logging]\nfile = queuey.log\n")
        started = self.twistd()
        self.assertEqual((started.returncode, started.stdout, started.stderr), (0, "", ""))
        pid = int((self.folder / "twistd.pid").read_text())
        self.addCleanup(end, pid)
        self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not (self.folder / "twistd.pid").exists(), "it did not stop")
        log = (self.folder / "queuey.log").read_text()
        for word in (" started ", " access ", " stopping ", " stopped "):
            self.assertIn(word, log)
        self.assertFalse((self.folder / "twistd.log").exists())

    def test_without_a_log_file(self) -> None:
        """There is no standard error: its log is the file that twistd would write, in our own words."""
        self.assertEqual(self.twistd().returncode, 0)
        pid = int((self.folder / "twistd.pid").read_text())
        self.addCleanup(end, pid)
        wait_until(lambda: " info started " in (self.folder / "twistd.log").read_text(), "nothing was logged")

    def test_twistds_own_log(self) -> None:
        """If twistd has an option that says where to log, it logs there, in its own words."""
        if WORKERS > 1:
            raise SkipTest("several workers write the log of the settings")
        self.assertEqual(self.twistd("--logfile", "elsewhere.log").returncode, 0)
        pid = int((self.folder / "twistd.pid").read_text())
        self.addCleanup(end, pid)
        wait_until(lambda: "queuey" in (self.folder / "elsewhere.log").read_text(), "nothing was logged")
        self.assertFalse((self.folder / "twistd.log").exists())

    def test_refused(self) -> None:
        """One line of ours and nothing else, status 1; the daemon has ended, and no pid file is left."""
        for spoil, said in (
            (self._take_port, str(self.port)),
            (self._break_settings, "max_bodi"),
            (self._take_folder, "cannot be made: File exists"),
            (self._break_database, "it is no database"),
        ):
            for options in ((), ("--logfile", "twistds.log")) if WORKERS == 1 else ((),):
                undo = spoil()
                refused = self.twistd(*options)
                undo()
                self.assertEqual((refused.returncode, refused.stdout), (1, ""), refused.stderr)
                self.assertRegex(refused.stderr, rf"\A.*{re.escape(said)}.*\n\Z")
                self.assertFalse((self.folder / "twistd.pid").exists())

    def test_twistds_folders(self) -> None:
        """A folder that an option of twistd names is looked for before the daemon goes into the background."""
        for options in (("--rundir", "no"), ("--chroot", "no"), ("--logfile", "no/log")):
            refused = self.twistd(*options)
            self.assertEqual((refused.returncode, refused.stdout), (1, ""))
            self.assertRegex(refused.stderr, rf"\Atwistd {options[0]}: .*no.* is not a folder\n\Z")

    def _take_port(self) -> Callable[[], None]:
        return socket.create_server(("127.0.0.1", self.port)).close

    def _break_settings(self) -> Callable[[], None]:
        before = self.settings.read_text()
        self.replace_settings("[server]", "[server]\nmax_bodi = 1")
        return lambda: self._restore(before)

    def _restore(self, text: str) -> None:
        self.settings.write_text(text)

    def _take_folder(self) -> Callable[[], None]:
        (self.folder / "data").write_text("x")
        return (self.folder / "data").unlink

    def _break_database(self) -> Callable[[], None]:
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        (self.folder / "data").mkdir()
        (self.folder / "data" / "queuey.sqlite").write_bytes(os.urandom(20_000))
        return lambda: shutil.rmtree(self.folder / "data")


def end(pid: int) -> None:
    """End a process, if it is there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


class StopTests(LiveTestCase):
    """How a daemon ends, and what is left."""

    def check(self, posters: list[Poster]) -> None:
        """Everything acknowledged is there, in order, and nothing that was never sent."""
        messages = read_all(self.port, "q")
        ids = [message["message_id"] for message in messages]
        stored = {message["body"]: message["message_id"] for message in messages}
        self.assertEqual(len(set(ids)), len(ids))
        sent = set()
        for poster in posters:
            for body, key in poster.acknowledged:
                self.assertEqual(stored.get(body), key, f"{body} was acknowledged")
            keys = [key for _, key in poster.acknowledged]
            order = [ids.index(key) for key in keys[:: max(1, len(keys) // 50)]]
            self.assertEqual(order, sorted(order))
            sent |= {body for body, _ in poster.acknowledged} | set(poster.unknown)
        self.assertEqual({body for body in stored if body not in sent}, set())

    def load(self, round: int) -> list[Poster]:
        return [Poster(self.port, "q", f"r{round}p{number}").start() for number in range(6)]

    @runs_in("test")
    def test_terminate_under_load(self) -> None:
        """SIGTERM: what is under way is finished, no request is left without an answer, and the status is 0."""
        for number in (signal.SIGTERM, signal.SIGINT) if LONG else (signal.SIGTERM,):
            daemon = self.serve()
            make_queue(self.port, "q")
            posters = self.load(number)
            time.sleep(0.7)
            self.assertEqual(daemon.signal(number), 0)
            for poster in posters:
                poster.finish()
                self.assertGreater(len(poster.acknowledged), 0)
                self.assertEqual((poster.refused, poster.unknown), ([], []))
            self.serve_and_check(posters)

    def serve_and_check(self, posters: list[Poster]) -> None:
        daemon = self.serve()
        self.check_now(posters)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)

    def check_now(self, posters: list[Poster]) -> None:
        before = getattr(self, "posters", [])
        self.posters = [*before, *posters]
        self.check(self.posters)

    def test_kill_under_load(self) -> None:
        """kill -9, three times over one folder: nothing acknowledged is lost."""
        for round in range(3):
            daemon = self.serve()
            make_queue(self.port, "q")
            posters = self.load(round)
            time.sleep(0.7)
            self.assertEqual(daemon.signal(signal.SIGKILL), -signal.SIGKILL)
            for poster in posters:
                self.assertGreater(len(poster.finish().acknowledged), 0)
            daemon = self.serve()
            self.check_now(posters)
            self.assertEqual(daemon.signal(signal.SIGTERM), 0)

    def test_waiting_readers(self) -> None:
        """A read that waits is answered when the daemon is to stop, long before stop_timeout would cut it off."""
        self.replace_settings("[server]", "[server]\nstop_timeout = 5")
        daemon = self.serve()
        make_queue(self.port, "q")
        fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "x", **HEADERS}.items())
        head = f"GET /v2/queuey/queues/q/messages?wait=20 HTTP/1.1\r\n{fields}\r\n"
        with socket.create_connection(("127.0.0.1", self.port), LIMIT) as waiting:
            waiting.sendall(head.encode("ascii"))
            time.sleep(0.5)
            self.assertEqual(daemon.signal(signal.SIGTERM), 0)
            answer = b"".join(iter(lambda: waiting.recv(65536), b""))
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
        self.assertIn(b'{"messages":[],"next":', answer)
        self.assertNotIn(" cut ", daemon.output())

    def test_stop_timeout(self) -> None:
        """A request that does not end is cut off after stop_timeout, and the status is 0 all the same."""
        self.replace_settings("[server]", "[server]\nstop_timeout = 1")
        daemon = self.serve()
        make_queue(self.port, "q")
        shown = HEADERS["Authorization"]
        head = f"POST /v1/queuey/q HTTP/1.1\r\nHost: x\r\nAuthorization: {shown}\r\nContent-Length: 10\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), LIMIT) as slow:
            slow.sendall(head.encode() + b"half")
            time.sleep(0.2)
            began = time.monotonic()
            self.assertEqual(daemon.signal(signal.SIGTERM), 0)
            self.assertGreater(time.monotonic() - began, 0.9)
            self.assertRaises(ConnectionResetError, slow.recv, 1000)
        self.assertIn(" cut ", daemon.output())


class FirstVersionTests(LiveTestCase):
    """The first version's settings."""

    def test_memory_backends(self) -> None:
        """Its ini file starts the daemon, and says what takes the place of each section that is passed over."""
        first = FIRST.replace("0.0.0.0", "127.0.0.1").replace("port = 5001", f"port = {self.port}")
        self.settings.write_text(first)
        daemon = self.serve()
        make_queue(self.port, "q")
        self.assertEqual(ask(self.port, "POST", "/v1/queuey/q", b"x")[0], 201)
        for section in ("global", "metlog", "filter:catcherror", "pipeline:main", "app:pyramidapp", "loggers"):
            self.assertIn(f"[{section}]", daemon.output())
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
