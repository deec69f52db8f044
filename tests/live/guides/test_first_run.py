"""A daemon without a file of settings, as one who tries Queuey starts it: its port, its data, and its operators."""

from __future__ import annotations

import http.client
import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

from tests import runs_in
from tests.live.clients import HEADERS, TIMEOUT, ask
from tests.live.daemon.test_daemon import TWISTD, LiveTestCase, end, wait_until
from tests.live.running import LIMIT, Daemon

QUEUEY = Path(sys.executable).parent / "queuey"


class FirstRunTests(LiveTestCase):
    """``twistd queuey`` with options in place of settings."""

    def begin(self, *options: str) -> Daemon:
        http = ("--http", f"tcp:{self.port}:interface=127.0.0.1")
        daemon = Daemon(TWISTD, [*http, *options], self.folder, {})
        self.addCleanup(daemon.kill)
        daemon.wait_until_it_serves(self.port)
        return daemon

    def ops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [QUEUEY, "ops", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=LIMIT
        )

    @runs_in("test")
    def test_operators(self) -> None:
        """``queuey ops`` finds the daemon without an option, also after one that was killed."""
        self.begin().kill()
        daemon = self.begin()
        socket = self.folder / "queuey-data" / "queuey-ops.sock"
        self.assertEqual(stat.S_IMODE(socket.stat().st_mode), 0o600)
        for option in ((), ("--data", "queuey-data"), ("--to", f"unix:{socket}")):
            done = self.ops(*option, "--json", "status")
            self.assertEqual(json.loads(done.stdout)["pid"], daemon.pid, done.stderr)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertFalse(socket.exists())
        self.assertEqual(self.ops("status").returncode, 1)

    @runs_in("test")
    def test_options(self) -> None:
        """The data and the operators' port are where the options say; the log has no line of Twisted."""
        daemon = self.begin("--data", "elsewhere", "--ops", "unix:o.sock")
        self.assertTrue((self.folder / "elsewhere" / "queuey.sqlite").exists())
        self.assertFalse((self.folder / "queuey-data").exists())
        self.assertEqual(self.ops("--to", "unix:o.sock", "status").returncode, 0)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertIn("Ctrl-C stops the daemon.", daemon.output())
        for word in ("log_legacy", "twisted.", "Site starting"):
            self.assertNotIn(word, daemon.output())

    def test_no_operators(self) -> None:
        daemon = self.begin("--ops", "off")
        self.assertFalse((self.folder / "queuey-data" / "queuey-ops.sock").exists())
        self.assertIn("operators    none", daemon.output())

    def test_a_socket_that_cannot_be(self) -> None:
        """A daemon serves without the socket that no setting asks for."""
        (self.folder / "queuey-data" / "queuey-ops.sock").mkdir(parents=True)
        self.assertIn(" warn no-operators ", self.begin().output())

    @runs_in("test")
    def test_pages_of_this_machine(self) -> None:
        """A page under development may use it, whatever its port is; no other page may."""
        self.begin()
        for origin, allowed in (("http://localhost:3000", True), ("http://localhost.example.com:3000", False)):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
            self.addCleanup(connection.close)
            connection.request("GET", "/v2/queuey/queues", headers={**HEADERS, "Origin": origin})
            answer = connection.getresponse()
            answer.read()
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], origin if allowed else None)

    def test_background(self) -> None:
        """It says how it is stopped, and that stops it."""
        http = f"tcp:{self.port}:interface=127.0.0.1"
        started = subprocess.run(
            [TWISTD, "queuey", "--http", http], cwd=self.folder, capture_output=True, text=True, timeout=LIMIT
        )
        self.addCleanup(end, int((self.folder / "twistd.pid").read_text()))
        self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200)
        (line,) = [one for one in started.stderr.splitlines() if one.startswith("This stops the daemon: ")]
        stopped = subprocess.run(["sh", "-c", line.partition(": ")[2]], timeout=LIMIT)
        self.assertEqual(stopped.returncode, 0)
        wait_until(lambda: not (self.folder / "twistd.pid").exists(), "it did not stop")

    def test_two_workers(self) -> None:
        """The daemon has the operators' port, and its workers the others."""
        self.replace_settings("workers = ", "workers = 2\n#")
        daemon = Daemon(TWISTD, ["--config", str(self.settings), "--data", "other"], self.folder, {})
        self.addCleanup(daemon.kill)
        daemon.wait_until_it_serves(self.port)
        done = self.ops("--data", "other", "--json", "status")
        self.assertEqual(json.loads(done.stdout)["pid"], daemon.pid, done.stderr)
        self.assertEqual(ask(self.port, "GET", "/v2/queuey/queues")[0], 200)
