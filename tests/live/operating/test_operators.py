"""The operators' port of a real daemon through real sockets: by the command, by hand, and by hostile clients."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.applications.application import digest_of
from queuey.storage.sqlite.upkeep.backup import Archive
from tests import runs_in
from tests.live.operating.rotating import call, rotate, with_secret
from tests.live.running import LIMIT, Daemon, answers, free_port

TWISTD = Path(sys.executable).parent / "twistd"
QUEUEY = Path(sys.executable).parent / "queuey"
TOKEN = "a-token-that-only-operators-have"
SETTINGS = """\
[server]
http = tcp:{port}:interface=127.0.0.1
ops =
    unix:ops.sock
    tcp:{ops}:interface=127.0.0.1
ops_backups = backups
{more}
[storage]
path = data
[logging]
file = queuey.log
format = json
"""


class OperatorsCase(SynchronousTestCase):
    """A daemon whose settings name no application."""

    more = ""

    def setUp(self) -> None:
        # The path of a socket is short.
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-ops-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port, self.ops = free_port(), free_port()
        self.settings = self.folder / "queuey.ini"
        self.settings.write_text(SETTINGS.format(port=self.port, ops=self.ops, more=self.more))
        self.daemon = Daemon(TWISTD, ["--config", str(self.settings)], self.folder, {})
        self.addCleanup(self.daemon.kill)
        self.daemon.wait_until_it_serves(self.port)
        self.to = f"unix:{self.folder}/ops.sock"

    def stop(self) -> None:
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0, self.daemon.output())
        log = (self.folder / "queuey.log").read_text()
        self.assertNotIn("Traceback", log + self.daemon.output())

    def audited(self) -> list[dict[str, Any]]:
        lines = (self.folder / "queuey.log").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line.get("event") == "audit"]

    def say(self, text: str) -> None:
        sys.stdout.write(f"{self.id().rpartition('.')[2]}: {text}\n")


class RotationTests(OperatorsCase):
    """Everything at run time, while 64 clients post."""

    def test_no_request_fails_and_nothing_secret_is_written(self) -> None:
        keys = rotate(self.to, [self.port], 64, 0.0, self.say)
        self.stop()
        user = pwd.getpwuid(os.getuid()).pw_name
        lines = self.audited()
        self.assertEqual(
            [line["method"] for line in lines],
            ["applications.set", "keys.add", "keys.add", "policies.set", "limits.set", "keys.revoke"],
        )
        for line in lines:
            self.assertRegex(line["who"], rf"^user {user} [0-9a-f]{{32}}$")
            self.assertEqual(line["outcome"], "done")
        self.assertEqual(with_secret(self.folder, keys), [])
        digests = [digest_of(key).hex() for key in keys]
        self.assertEqual([name for name in with_secret(self.folder, digests) if not name.startswith("data/")], [])


class CommandTests(OperatorsCase):
    """The command, as it is typed."""

    def typed(self, *words: str, status: int = 0) -> str:
        command = [str(QUEUEY), "ops", "--config", str(self.settings), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == 0 else done.stderr

    def top(self) -> list[list[str]]:
        """What ``queuey top`` shows of the daemon."""
        columns = "application,queue,messages,behind"
        command = [str(QUEUEY), "top", "--ops", self.to, "--sort", "stored", "--columns", columns]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]

    @runs_in("test")
    def test_a_day(self) -> None:
        self.assertIn("store  ", self.typed("status"))
        self.typed("applications.set", "name=shop", "create_queues=on-write", "max_queues=5")
        added = json.loads(self.typed("keys.add", "application=shop", "--json"))
        self.assertRegex(self.typed("applications.list"), r"(?m)^shop  store +1 ")
        self.assertEqual(
            self.typed("limits.set", "application=shop", "max_queues=many", status=1),
            "max_queues is not a whole number; allowed: 1 to 1000000000; null for the default (invalid-parameters)\n",
        )
        self.assertNotIn(added["key"], self.typed("keys.list", "application=shop"))
        self.assertIn("There is no method 'no.such'", self.typed("no.such", status=1))
        self.assertIn("groups.seek\n", self.typed("system.listMethods"))
        self.assertEqual(self.top(), [])
        self.assertIn("digest (string, may be left out)", self.typed("system.methodHelp", "method=keys.add"))

        self.assertEqual(self.typed("drain"), "drained\n")
        self.assertFalse(answers(f"http://127.0.0.1:{self.port}/__heartbeat__"))
        self.assertEqual(self.typed("undrain"), "no longer drained\n")
        self.assertTrue(answers(f"http://127.0.0.1:{self.port}/__heartbeat__"))

        headers = {"Authorization": f"Application {added['key']}", "Content-Type": "text/plain"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        connection.request("POST", "/v2/shop/queues/q/messages", b"kept", headers)
        self.assertEqual(connection.getresponse().status, 201)
        connection.close()
        self.assertEqual(self.top(), [["shop", "q", "1", "-"]])
        self.assertIn("ops_peek", self.typed("messages.peek", "application=shop", "queue=q", status=1))
        self.assertIn("integrity  ok", self.typed("store.check"))
        self.assertIn("messages  1", self.typed("store.backup", "name=first"))
        self.assertIn("is there already", self.typed("store.backup", "name=first", status=1))
        archive = Archive(self.folder / "backups" / "first")
        self.addCleanup(archive.close)
        self.assertIsNotNone(archive.queue("shop", "q"))
        self.assertEqual(with_secret(self.folder, [added["key"]]), [])
        self.stop()
        self.assertIn("does not answer", self.typed("status", status=1))

    def test_applications_outlive_the_daemon(self) -> None:
        self.typed("applications.set", "name=shop", "ttl=77")
        key = call(self.to, "keys.add", application="shop")["key"]
        self.stop()
        self.daemon = Daemon(TWISTD, ["--config", str(self.settings)], self.folder, {})
        self.addCleanup(self.daemon.kill)
        self.daemon.wait_until_it_serves(self.port)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        connection.request("GET", "/v2/shop", headers={"Authorization": f"Application {key}"})
        answer = connection.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())["ttl"]), (200, 77))
        connection.close()
        self.stop()

    def test_a_socket_is_for_its_user(self) -> None:
        self.assertEqual((self.folder / "ops.sock").stat().st_mode & 0o777, 0o600)


class HostileTests(OperatorsCase):
    """What is sent by those who mean no good, over TCP; afterwards the daemon is as it was."""

    more = f"ops_token = sha256:{digest_of(TOKEN).hex()}"

    def request(self, body: bytes, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ops, timeout=LIMIT)
        fields = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        try:
            connection.request("POST", "/rpc", body, {**fields, **{n.replace("_", "-"): v for n, v in headers.items()}})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """The first line that is answered to bytes."""
        with socket.create_connection(("127.0.0.1", self.ops), timeout=LIMIT) as connection:
            connection.sendall(data)
            found = b""
            while b"\r\n" not in found:
                piece = connection.recv(65536)
                self.assertTrue(piece, f"{data!r} is not answered")
                found += piece
            return found.partition(b"\r\n")[0]

    def test_all_of_it(self) -> None:
        for body, code in (
            (b"", -32700),
            (b"\xff\xfe", -32700),
            (b"[" * 1_000_000, -32700),
            (b'{"jsonrpc":"2.0","method":"status"', -32700),
            (b"[]", -32600),
            (json.dumps([{"jsonrpc": "2.0", "method": "status", "id": 1}] * 5000).encode(), -32600),
            (b'{"jsonrpc":"2.0","method":"status","params":7,"id":1}', -32600),
            (b'{"jsonrpc":"2.0","method":"eval","id":1}', -32601),
            (b'{"jsonrpc":"2.0","method":"applications.get","params":{"name":{"$gt":""}},"id":1}', -32602),
        ):
            status, answer = self.request(body)
            self.assertEqual((status, answer["error"]["code"]), (200, code), body[:80])
        good = b'{"jsonrpc":"2.0","method":"log.level","id":1}'
        self.assertEqual(self.request(b"[" + b",".join([good] * 100) + b"]")[0], 200)
        self.assertEqual(self.request(good[:-8] + b"}"), (204, None))
        for headers, expected in (
            ({"Host": "rebound.example"}, 403),
            ({"Origin": "https://rebound.example"}, 403),
            ({"Content_Type": "text/plain"}, 415),
            ({"Authorization": "Bearer guess"}, 401),
            ({"Authorization": f"Basic {TOKEN}"}, 401),
        ):
            self.assertEqual(self.request(good, **headers)[0], expected, headers)
        self.assertEqual(self.request(b" " * ((1 << 20) + 1))[0], 413)
        for data, first in (
            (b"\x16\x03\x01\x00\xa5\x01\r\n\r\n", b" 400 "),
            (b"GET /rpc?callback=x HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 401 "),
            (b"GET http://localhost/rpc HTTP/1.1\r\nHost: rebound.example\r\n\r\n", b" 403 "),
            (f"GET /rpc?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), b" 401 "),
            (f"GET /rpc?key={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), b" 401 "),
            (f"GET /rpc?{TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), b" 401 "),
            (b"POST /rpc HTTP/1.1\r\n\r\n", b" 400 "),
        ):
            self.assertIn(first, self.raw(data))
        self.assertEqual(self.request(good)[1]["result"], "info")
        self.stop()
        self.assertEqual(with_secret(self.folder, [TOKEN]), [])
