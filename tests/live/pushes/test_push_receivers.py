"""The receivers of the page about pushes, in Python, Node.js and PHP: they take what is signed with their secret, and
nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from unittest import SkipTest

from tests.live.client.test_javascript import needed_node
from tests.live.clients import ask, make_queue
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.failures.faults import JSON
from tests.live.running import free_port
from tests.manual import DOCS

run_in = "test"

RECEIVERS: Final = Path(__file__).parent / "receivers"
QUEUE: Final = "/v2/queuey/queues/q"

# The work of the receivers: they print what they book.
IN_PYTHON: Final = """
import json

def book(order, once):
    print(json.dumps([order, once], ensure_ascii=False, separators=(",", ":")), flush=True)
"""
IN_JAVASCRIPT: Final = "const book = async (order, id) => console.log(JSON.stringify([order, id]));\n"
IN_PHP: Final = """
function book($order, $id) {
    file_put_contents('php://stderr', json_encode([$order, $id], JSON_UNESCAPED_UNICODE) . PHP_EOL);
}
"""

PLATFORM: Final = """
import { createServer as createPlatform } from "node:http";
import { buffer as all } from "node:stream/consumers";
createPlatform(async (req, res) => {
  const body = await all(req);
  const answer = await POST(new Request("http://localhost/", { method: "POST", headers: req.headers, body }));
  res.writeHead(answer.status).end();
}).listen(8080);
"""
"""Calls a serverless function for each request."""


def programs(language: str) -> list[str]:
    """Return the programs in a language on the page."""
    found = re.findall(
        rf"(?m)^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", (DOCS / "push.rst").read_text("utf-8")
    )
    return [textwrap.dedent(program) for program in found]


class ReceiverCase(LiveTestCase):
    """A daemon that pushes to two ports."""

    def setUp(self) -> None:
        super().setUp()
        self.ports = [free_port(), free_port()]
        self.add_settings(
            "[application:queuey]\npush = true\npush_hosts = 127.0.0.1\n"
            f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {' '.join(map(str, self.ports))}\n"
        )
        self.serve()
        make_queue(self.port, "q")

    def made(self, name: str, port: int) -> str:
        """Make a push. :return: its secret."""
        body = json.dumps({"url": f"http://127.0.0.1:{port}/orders"}).encode()
        status, push = ask(self.port, "PUT", f"{QUEUE}/pushes/{name}", body, **JSON)
        self.assertEqual(status, 201, push)
        return str(push["secrets"][0]["secret"])

    def answer_to_test(self, name: str) -> int | None:
        """The status that a test message gets."""
        status, told = ask(self.port, "POST", f"{QUEUE}/pushes/{name}/test")
        self.assertEqual(status, 200, told)
        found: int | None = told["status"]
        return found

    def command(self, program: str, port: int) -> Sequence[str | Path]:
        """Write a receiver into a file, and return the command that runs it at a port."""
        raise NotImplementedError

    def receive(self, program: str, port: int, secret: str) -> Path:
        """Run a receiver. :return: the file that it prints to."""
        output = self.folder / f"booked-{port}"
        environment = {"PATH": os.environ["PATH"], "WEBHOOK_SECRET": secret}
        command = self.command(program, port)
        with output.open("wb") as to:
            running = subprocess.Popen(command, stdout=to, stderr=to, env=environment, cwd=self.folder)

        def end() -> None:
            running.kill()
            running.wait()

        self.addCleanup(end)
        return output

    def check(self, program: str) -> None:
        """A receiver takes what is signed with its secret, and books it once; one with another secret takes nothing."""
        right, wrong = self.ports
        booked = self.receive(program, right, self.made("right", right))
        self.receive(program, wrong, self.made("unused", right))
        self.made("wrong", wrong)
        wait_until(lambda: self.answer_to_test("right") == 204, booked.read_text())
        wait_until(lambda: self.answer_to_test("wrong") == 401, "it does not refuse a false signature")
        posted = ask(self.port, "POST", f"{QUEUE}/messages", '{"pears": "süß"}'.encode(), **JSON)[1]
        id = posted["messages"][0]["id"]
        wait_until(lambda: f'[{{"pears":"süß"}},"{id}"]' in booked.read_text(), "the order is not booked")


class NodeTests(ReceiverCase):
    def setUp(self) -> None:
        self.node = needed_node()
        library = RECEIVERS / "node_modules"
        if not library.exists():
            raise AssertionError("the library of Standard Webhooks is not there: make receivers")
        super().setUp()
        (self.folder / "node_modules").symlink_to(library)

    def command(self, program: str, port: int) -> Sequence[str | Path]:
        file = self.folder / f"receiver-{port}.mjs"
        file.write_text(program.replace("8080", str(port)) + IN_JAVASCRIPT)
        return self.node, file

    def test_server(self) -> None:
        server, _ = programs("javascript")
        self.check(server)

    def test_serverless(self) -> None:
        _, function = programs("javascript")
        self.check(function + PLATFORM)


class FlaskTests(ReceiverCase):
    def command(self, program: str, port: int) -> Sequence[str | Path]:
        file = self.folder / f"receiver_{port}.py"
        file.write_text(program + IN_PYTHON)
        return sys.executable, "-m", "flask", "--app", file, "run", "--port", str(port)

    def test_server(self) -> None:
        (server,) = programs("python")
        self.check(server)


class PHPTests(ReceiverCase):
    def setUp(self) -> None:
        php, library = shutil.which("php"), RECEIVERS / "vendor"
        if php is None:
            raise SkipTest("there is no PHP here, which runs the receiver in PHP")
        if not (library / "autoload.php").exists():
            raise SkipTest(
                "the library of Standard Webhooks for PHP is not there: make receivers installs it, if it can"
            )
        self.php = php
        super().setUp()
        (self.folder / "vendor").symlink_to(library)

    def command(self, program: str, port: int) -> Sequence[str | Path]:
        file = self.folder / f"receiver-{port}.php"
        file.write_text(program + IN_PHP)
        return self.php, "-S", f"127.0.0.1:{port}", file

    def test_server(self) -> None:
        (server,) = programs("php")
        self.check(server)
