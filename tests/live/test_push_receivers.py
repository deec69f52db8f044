"""The receivers of the page about pushes, in Node.js: they take what is signed with their secret, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Final

from tests.live.clients import ask, make_queue
from tests.live.faults import JSON
from tests.live.running import free_port
from tests.live.test_daemon import LiveTestCase, wait_until
from tests.live.test_javascript import needed_node
from tests.manual import DOCS

run_in = "test"

LIBRARY: Final = Path(__file__).parent / "receivers" / "node_modules"
QUEUE: Final = "/v2/queuey/queues/q"

BOOK: Final = "const book = async (order, id) => console.log(JSON.stringify([order, id]));\n"
"""The work of the receivers."""

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


def programs() -> list[str]:
    """Return the programs in JavaScript on the page."""
    found = re.findall(
        r"(?m)^\.\. code-block:: javascript\n\n((?:   .*\n|\n)+)", (DOCS / "push.rst").read_text("utf-8")
    )
    return [textwrap.dedent(program) for program in found]


class NodeTests(LiveTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = needed_node()
        if not LIBRARY.exists():
            raise AssertionError("the library of Standard Webhooks is not there: make receivers")
        (self.folder / "node_modules").symlink_to(LIBRARY)
        self.ports = [free_port(), free_port()]
        self.add_settings(
            "[application:queuey]\npush = true\npush_hosts = 127.0.0.1\n"
            f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {' '.join(map(str, self.ports))}\n"
        )
        self.serve()
        make_queue(self.port, "q")

    def made(self, name: str, port: int) -> str:
        """Make a push. :return: its secret."""
        body = json.dumps({"url": f"http://127.0.0.1:{port}/"}).encode()
        status, push = ask(self.port, "PUT", f"{QUEUE}/pushes/{name}", body, **JSON)
        self.assertEqual(status, 201, push)
        return str(push["secrets"][0]["secret"])

    def answer_to_test(self, name: str) -> int | None:
        """The status that a test message gets."""
        status, told = ask(self.port, "POST", f"{QUEUE}/pushes/{name}/test")
        self.assertEqual(status, 200, told)
        found: int | None = told["status"]
        return found

    def receive(self, program: str, port: int, secret: str) -> Path:
        """Run a receiver. :return: the file that it prints to."""
        file = self.folder / f"receiver-{port}.mjs"
        file.write_text(program.replace("8080", str(port)) + BOOK)
        output = self.folder / f"booked-{port}"
        environment = {"PATH": os.environ["PATH"], "WEBHOOK_SECRET": secret}
        with output.open("wb") as to:
            running = subprocess.Popen([self.node, file], stdout=to, stderr=to, env=environment, cwd=self.folder)

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
        booked.write_text("")
        posted = ask(self.port, "POST", f"{QUEUE}/messages", '{"pears": "süß"}'.encode(), **JSON)[1]
        id = posted["messages"][0]["id"]
        wait_until(lambda: f'[{{"pears":"süß"}},"{id}"]' in booked.read_text(), "the order is not booked")

    def test_server(self) -> None:
        server, _ = programs()
        self.check(server)

    def test_serverless(self) -> None:
        _, function = programs()
        self.check(function + PLATFORM)
