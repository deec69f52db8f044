"""No page in an operator's browser reaches the operators' port, under any name of the host."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.live.browser.driver import HERE, LIMIT, browsing, needed_chromium, result, serving
from tests.live.operating.rotating import call
from tests.live.running import Daemon, free_port

TWISTD: Final = Path(sys.executable).parent / "twistd"
NAME: Final = "rebound.example.org"
SETTINGS: Final = """\
[server]
http = tcp:{port}:interface=127.0.0.1
ops =
    unix:ops.sock
    tcp:{ops}:interface=127.0.0.1
[storage]
backend = memory
[logging]
file = queuey.log
format = json
"""
REFUSED: Final = {"error": "TypeError"}
FAILED: Final = {"event": "error"}


class OpsBrowserTests(SynchronousTestCase):
    """Chromium opens a page by a name that leads to the operators' port a moment later."""

    settings = SETTINGS

    def setUp(self) -> None:
        self.chromium = needed_chromium()
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-page-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port, self.ops = free_port(), free_port()
        (self.folder / "queuey.ini").write_text(self.settings.format(port=self.port, ops=self.ops))

    def start(self) -> Daemon:
        daemon = Daemon(TWISTD, ["--config", str(self.folder / "queuey.ini")], self.folder, {})
        self.addCleanup(daemon.kill)
        daemon.wait_until_it_serves(self.port)
        return daemon

    def see(self) -> tuple[Daemon, dict[str, Any]]:
        """What the page saw, and the daemon that it tried."""
        browser = self.folder / "browser"
        browser.mkdir()
        rules = f"--host-resolver-rules=MAP {NAME} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
        with serving("") as told:
            url = f"http://{NAME}:{self.ops}/?tell={told.origin}&port={self.ops}"
            with serving((HERE / "attack.html").read_text(), self.ops):
                process = self.enterContext(browsing(self.chromium, url, browser, rules))
                self.assertEqual(result(process, told, browser), {"loaded": True})
            daemon = self.start()
            return daemon, result(process, told, browser)

    def test_no_page_gets_through(self) -> None:
        daemon, seen = self.see()
        for step in ("rebound", "rebound-get"):
            self.assertEqual(seen[step]["status"], 403)
            self.assertIn("This port is not for browsers", seen[step]["body"])
        for step in ("fetch", "fetch-by-name", "fetch-with-token", "fetch-plain"):
            self.assertEqual(seen[step], REFUSED, step)
        for step in ("fetch-opaque", "fetch-unnamed"):
            self.assertEqual(seen[step], {"status": 0, "body": ""}, step)
        for step in ("socket", "rebound-socket", "events", "image"):
            self.assertEqual(seen[step], FAILED, step)
        self.assertEqual(len(seen), 15, seen)
        # What the page asked for was good, but for who asked.
        body = b'{"jsonrpc":"2.0","method":"applications.set","params":{"name":"mine"},"id":1}'
        self.assertIn(b" 200 ", self.by_hand(body))
        listed = call(f"unix:{self.folder}/ops.sock", "applications.list")["applications"]
        self.assertEqual([one["name"] for one in listed], ["mine"])
        self.assertEqual(daemon.signal(signal.SIGTERM), 0, daemon.output())
        self.check_log()

    def by_hand(self, body: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.ops), LIMIT) as connection:
            head = f"POST /rpc HTTP/1.1\r\nHost: 127.0.0.1:{self.ops}\r\nConnection: close\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            with connection.makefile("rb") as answer:
                return answer.readline()

    def check_log(self) -> None:
        """Forms, fetches, preflights and sockets did come, and each was refused."""
        lines = [json.loads(line) for line in (self.folder / "queuey.log").read_text().splitlines()]
        asked = [(line["status"], line["method"]) for line in lines if line.get("path", "").startswith("/rpc")]
        self.assertEqual({status for status, _ in asked[:-1]} - {200}, {403})
        self.assertEqual([status for status, _ in asked if status == 200], [200, 200])
        for method, least in (("POST", 4), ("OPTIONS", 2), ("GET", 4)):
            self.assertGreaterEqual(asked.count((403, method)), least, asked)
        audited = [line["method"] for line in lines if line.get("event") == "audit"]
        self.assertEqual(audited, ["applications.set"])
