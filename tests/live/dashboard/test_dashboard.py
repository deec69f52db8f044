"""The listener of the dashboard of a real daemon: tokens of ``queuey ops``, calls, streams and the audit."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
from typing import Any

from tests.live.operating.test_operators import QUEUEY, OperatorsCase
from tests.live.running import LIMIT, free_port

run_in = "test"

CALL = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}


class DashboardTests(OperatorsCase):
    """A daemon with a dashboard, and clients that send what browsers send."""

    def setUp(self) -> None:
        self.board = free_port()
        self.more = f"dashboard = tcp:{self.board}:interface=127.0.0.1"
        super().setUp()

    def token(self, *params: str) -> str:
        """Ask for a token as an operator does, and take it out of the URL."""
        done = subprocess.run(
            [QUEUEY, "ops", "--to", self.to, "--json", "dashboard.token", *params],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        )
        url = json.loads(done.stdout)["url"]
        match = re.fullmatch(rf"http://127\.0\.0\.1:{self.board}/#token=([A-Za-z0-9_-]{{43}})", url)
        assert match is not None, url
        return match[1]

    def ask(self, method: str, path: str, body: Any = None, **fields: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.board, timeout=LIMIT)
        self.addCleanup(connection.close)
        connection.request(method, path, None if body is None else json.dumps(body), fields)
        response = connection.getresponse()
        return response.status, response.read()

    def call(self, token: str, method: str, **params: Any) -> Any:
        origin = f"http://127.0.0.1:{self.board}"
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        fields = {**CALL, "Origin": origin, "Authorization": f"Bearer {token}"}
        status, answer = self.ask("POST", "/rpc", body, **fields)
        self.assertEqual(status, 200, answer)
        return json.loads(answer)

    def test_from_a_token_to_the_audit(self) -> None:
        status, page = self.ask("GET", "/")
        self.assertEqual((status, page[:15]), (200, b"<!doctype html>"))
        everything = self.token("name=ann")
        watching = self.token("name=screen", 'rights=["watch"]')
        self.assertEqual(self.call(watching, "dashboard.whoami")["result"]["rights"], ["watch"])
        refused = self.call(watching, "applications.set", name="mine")
        self.assertEqual(refused["error"]["data"]["code"], "forbidden")
        self.call(everything, "applications.set", name="mine")
        key = self.call(everything, "keys.add", application="mine")["result"]["key"]
        self.assertIn(b"event: numbers", self.first_event(everything))
        program = {**CALL, "Authorization": f"Bearer {everything}"}
        del program["Sec-Fetch-Site"]
        self.assertEqual(self.ask("POST", "/rpc", {}, **program)[0], 403)
        self.stop()
        audited = [(line["who"].split()[:2], line["method"], line["outcome"]) for line in self.audited()]
        self.assertEqual(
            audited[2:],
            [
                (["token", "screen"], "applications.set", "forbidden, applied: no"),
                (["token", "ann"], "applications.set", "done"),
                (["token", "ann"], "keys.add", "done"),
            ],
        )
        log = (self.folder / "queuey.log").read_text()
        for secret in (everything, watching, key):
            self.assertNotIn(secret, log)

    def first_event(self, token: str) -> bytes:
        """Begin a stream, read its first event, and leave it open until the daemon stops."""
        connection = socket.create_connection(("127.0.0.1", self.board), LIMIT)
        self.addCleanup(connection.close)
        head = f"GET /live?calls=[%7B%22method%22:%22status%22%7D] HTTP/1.1\r\nHost: 127.0.0.1:{self.board}\r\n"
        head += f"Sec-Fetch-Site: same-origin\r\nAuthorization: Bearer {token}\r\n\r\n"
        connection.sendall(head.encode())
        found = b""
        while b"\n\n" not in found:
            piece = connection.recv(65536)
            if not piece:
                break
            found += piece
        return found

    def test_a_stop_does_not_wait_for_streams(self) -> None:
        self.first_event(self.token())
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0, self.daemon.output())

    def test_a_port_that_is_taken(self) -> None:
        """The daemon says so, and does not serve."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            done = subprocess.run(
                [QUEUEY, "check", "--dashboard", f"tcp:{port}:interface=127.0.0.1", str(self.settings)],
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
        self.assertEqual(done.returncode, 3)
        self.assertIn(f"dashboard: cannot listen on tcp:{port}", done.stdout + done.stderr)
