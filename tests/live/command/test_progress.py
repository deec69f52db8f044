"""The progress bars of long work, on a terminal.

Short work shows no bar. So what is in the way of each command here makes it last: a slow reader of its output, a rate,
a server that answers late, or a stop in the middle.
"""

from __future__ import annotations

import json
import shlex
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from queuey_client import Group
from tests import runs_in
from tests.live.clients import KEY
from tests.live.command.commanding import BIN, CommandTestCase
from tests.live.running import LIMIT, Daemon, free_port, write_settings

run_in = "test"

STOPPED = "{command} & until ls {sign} >/dev/null 2>&1; do :; done; kill -STOP $!; sleep 1.2; kill -CONT $!; wait $!"
"""Stops a command for longer than a second, once there is a file that shows that it works."""


def slow(port: int, seconds: float) -> ThreadingHTTPServer:
    """Return a proxy of a daemon that answers each request some seconds later; ``serve_forever`` is running."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            fields = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            url = f"http://127.0.0.1:{port}{self.path}"
            time.sleep(seconds)
            asked = urllib.request.Request(url, body or None, fields, method=self.command)
            with urllib.request.urlopen(asked, timeout=LIMIT) as answer:
                data = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = forward

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


class MessageTests(CommandTestCase):
    """Commands for messages."""

    def dead_letters(self, count: int) -> Group:
        """Make a group whose dead-letter queue has some messages."""
        self.client.queue("dead").ensure()
        queue = self.client.queue("q")
        queue.ensure()
        queue.post_all(["x"] * count)
        group = queue.group("g")
        group.ensure(dead_letter="dead", start="oldest")
        group.reject(*group.claim(count, wait=5))
        return group

    def slow_url(self, seconds: float) -> str:
        """The URL of the daemon behind a slow proxy, which ends with the test."""
        server = slow(self.port, seconds)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_address[1]}"

    def test_read(self) -> None:
        """Into a pipe that nobody empties for a while. If messages are printed on the terminal, they are what moves."""
        queue = self.client.queue("q")
        queue.ensure()
        for _ in range(4):
            queue.post_all(["x" * 1000] * 500)
        reads = "queuey read q --raw -n 2000"
        status, shown = self.terminal(f"bash -c '{reads} | {{ read -n 1 first; sleep 1.2; wc -c; }}'")
        self.assertEqual(status, 0)
        self.assertRegex(shown, r"read q.*\d+/2000")
        self.assertIn("2001999", shown)
        url = self.slow_url(1.1)
        for more in ("", " --progress"):
            status, shown = self.terminal(reads + more, QUEUEY_URL=url)
            self.assertEqual((status, shown.count("x")), (0, 2_000_000))
            self.assertNotIn("/2000", shown)

    def test_redrive(self) -> None:
        """Chosen messages at a rate, with the number of all if a limit says it; and all by calls of the group."""
        self.dead_letters(30)
        status, shown = self.terminal("queuey redrive q g --all --rate 10 -n 25")
        self.assertEqual(status, 0)
        self.assertRegex(shown, r"redrive q.*(10|20)/25")
        self.assertRegex(shown, r"moved +25\r\n")
        status, shown = self.terminal("queuey redrive q g --all", QUEUEY_URL=self.slow_url(1.1))
        self.assertEqual(status, 0)
        self.assertRegex(shown, r"redrive q.*5/")
        self.assertRegex(shown, r"moved +5\r\n")


class DaemonCommandTests(CommandTestCase):
    """Commands of the machine of a daemon, on its data."""

    def setUp(self) -> None:
        super().setUp()
        port = free_port()
        self.settings = write_settings(self.folder, port)
        self.daemon = Daemon(BIN / "twistd", ["--config", str(self.settings)], self.folder, {})
        self.addCleanup(self.daemon.kill)
        self.daemon.wait_until_it_serves(port)
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def fill(self, batches: int) -> int:
        """Post messages of 1,000 bytes. :return: how many."""
        lines = b"".join(json.dumps({"body": "x" * 1000}).encode() + b"\n" for _ in range(batches * 500))
        (self.folder / "lines").write_bytes(lines)
        self.shell("queuey post large --ndjson --create --quiet - <lines >/dev/null", QUEUEY_URL=self.url)
        return batches * 500

    def stopped(self, command: str, sign: Path | str) -> str:
        """Run a command on a terminal, stopped in the middle. :return: what it shows."""
        status, shown = self.terminal(f"bash -c {shlex.quote(STOPPED.format(command=command, sign=sign))}")
        self.assertEqual(status, 0, shown)
        return shown

    def test_restore_queue(self) -> None:
        count = self.fill(4)
        self.shell(f"queuey backup --config {self.settings} backup")
        (self.folder / "key").write_text(KEY)
        server = slow(self.port, 0.4)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        to = f"--to http://127.0.0.1:{server.server_address[1]} --key-file key"
        status, shown = self.terminal(f"queuey restore-queue backup queuey large --as again {to}")
        self.assertEqual(status, 0, shown)
        self.assertRegex(shown, rf"restore again, messages.*\d+/{count}")
        self.assertIn(f"{count} messages were put, 0 were there", shown)

    @runs_in("test-long")
    def test_backup(self) -> None:
        self.fill(80)
        shown = self.stopped(f"queuey backup --config {self.settings} backup", ".backup.partial-*/*.sqlite*")
        self.assertRegex(shown, r"backup, KiB.*\d+/\d+")
        self.assertIn("40000 messages in 1 queue", shown)

    @runs_in("test-long")
    def test_copy(self) -> None:
        count = self.fill(80)
        (self.folder / "to").mkdir()
        target = write_settings(self.folder / "to", free_port())
        shown = self.stopped(f"queuey copy {self.settings} {target}", self.folder / "to" / "data" / "*.sqlite")
        self.assertRegex(shown, rf"pass 1, messages.*\d+/{count}")
