"""Each program of ``examples/``, run against a daemon with the development settings."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from queuey.config import DEVELOPMENT_SETTINGS
from tests.live.browser.driver import browsing, needed_chromium
from tests.live.clients import KEY, ask
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.guides.test_worker_examples import PSQL, cluster, needed
from tests.live.running import LIMIT, free_port
from tests.parts import ROOT

run_in = "test"

EXAMPLES: Final = ROOT / "examples"

WATCH: Final = """\
<script type="module">
const lines = document.getElementById("lines");
const said = () => [...lines.children].map((line) => line.textContent).filter((text) => !text.startsWith("seen: "));
const { write } = await (await fetch("/urls")).json();
let told = 0;
new MutationObserver(() => {
  const seen = said();
  if (seen.length <= told) return;
  told = seen.length;
  const body = JSON.stringify({ who: "seen", said: JSON.stringify(seen) });
  fetch(write, { method: "POST", body, headers: { "Content-Type": "application/json" } });
}).observe(lines, { childList: true });
document.getElementById("text").value = "<b>good morning</b>";
document.getElementById("form").requestSubmit();
</script>
"""
"""Types a line into the chat, and posts what the page shows to the queue of the chat, since the page may call no other
server."""


class Program:
    """A program of an example, as a process whose output is a file."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._output = Path(tempfile.mkstemp(prefix="output-", dir=folder)[1])
        with self._output.open("wb") as stream:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        """What it has printed."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def lines(self) -> list[str]:
        """The whole lines of it."""
        return self.output().split("\n")[:-1]

    def until(self, text: str) -> None:
        """Return once it has printed this."""

        def printed() -> bool:
            if text in self.output():
                return True
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.output()}")
            return False

        wait_until(printed, f"{self.process.args!r} does not print {text!r}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to it and to what it started, and wait for its end."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        return self.process.wait(LIMIT)


class ExampleTestCase(LiveTestCase):
    """A daemon with the settings of ``make run``, on a port of its own, and programs of one example.

    :cvar example: the folder.
    """

    example = ""

    def setUp(self) -> None:
        super().setUp()
        self.page_port = free_port()
        server = f"[server]\nhttp = tcp:{self.port}:interface=127.0.0.1\n"
        self.settings.write_text(f"{server}\n{DEVELOPMENT_SETTINGS}", encoding="utf-8")
        self.daemon = self.serve()
        self.environment = {"QUEUEY_URL": f"http://127.0.0.1:{self.port}", "PORT": str(self.page_port)}

    def start(self, name: str, *arguments: str) -> Program:
        """Start a program of the example."""
        kinds = {".py": [sys.executable], ".sh": ["sh"], ".mjs": [needed("node")]}
        path = EXAMPLES / self.example / name
        command = [*kinds[path.suffix], str(path), *arguments]
        program = Program(command, self.folder, self.environment)
        self.addCleanup(program.end, signal.SIGKILL)
        return program

    def run_to_the_end(self, name: str, *arguments: str) -> list[str]:
        """Run a program that ends by itself.

        :return: the lines that it printed.
        """
        program = self.start(name, *arguments)
        self.assertEqual(program.process.wait(LIMIT), 0, program.output())
        return program.lines()

    def bodies(self, queue: str) -> list[Any]:
        """The messages of a queue, which are JSON."""
        status, page = ask(self.port, "GET", f"/v2/queuey/queues/{queue}/messages?limit=1000")
        self.assertEqual(status, 200, page)
        return [json.loads(message["body"]) for message in page["messages"]]


class WebWorkerTests(ExampleTestCase):
    """A web application and its worker."""

    example = "web-worker"

    def ask_page(self, path: str, body: bytes | None = None) -> tuple[int, str]:
        """One request to the web application."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}{path}", body, timeout=LIMIT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def test_job(self) -> None:
        """A job waits until there is a worker; then its result is there. What is no job is 404."""
        web = self.start("web.py")
        web.until("serving on")
        status, job = self.ask_page("/jobs", b"a rose is a rose")
        self.assertEqual(status, 202)
        self.assertEqual(self.ask_page(job.strip()), (202, "not done yet\n"))
        self.assertEqual([self.ask_page(path)[0] for path in ("/jobs/none", "/", "/jobs/")], [404] * 3)
        worker = self.start("worker.py")
        worker.until("done: ")
        wait_until(lambda: self.ask_page(job.strip())[0] == 200, "the web application does not see the result")
        self.assertEqual(self.ask_page(job.strip()), (200, "2 a\n2 rose\n1 is\n"))
        self.assertEqual(worker.end(), 0, worker.output())


class OutboxTests(ExampleTestCase):
    """A transaction of SQLite, and its messages."""

    example = "outbox"

    def relayed(self, count: int) -> list[str]:
        """Run the relay until it has sent so many messages, and kill it.

        :return: what it printed.
        """
        relay = self.start("relay.py")
        wait_until(lambda: len(relay.lines()) == count, "the relay does not send")
        relay.end(signal.SIGKILL)
        return relay.lines()

    def test_sent_twice(self) -> None:
        """Rows that are sent again, since the relay was killed before it deleted them, are stored once."""
        self.run_to_the_end("shop.py", "ann", "17")
        self.run_to_the_end("shop.py", "ben", "4")
        database = self.folder / "shop.sqlite"
        before = database.read_bytes()
        self.assertNotIn("again", "".join(self.relayed(2)))
        for each in self.folder.glob("shop.sqlite*"):
            each.unlink()
        database.write_bytes(before)
        self.assertEqual(["(again)" in line for line in self.relayed(2)], [True, True])
        orders = [(one["order"], one["customer"], one["amount"]) for one in self.bodies("orders")]
        self.assertEqual(orders, [(1, "ann", 17), (2, "ben", 4)])


class DelayTests(ExampleTestCase):
    """Runs that are due at a time."""

    example = "delay"

    def test_each_run_once(self) -> None:
        """Two workers share the runs of two schedulers: each is done once, and not before its time."""
        needed("curl")
        workers = [self.start("work.sh") for _ in range(2)]
        printed = self.run_to_the_end("schedule.sh", "backup", "2", "3")
        printed += self.run_to_the_end("schedule.sh", "backup", "2", "3")
        self.assertTrue(any("posted before" in line for line in printed), printed)
        runs = {int(found) for line in printed for found in re.findall(r"backup at (\d+)", line)}

        def done() -> list[str]:
            return [line for worker in workers for line in worker.lines()]

        wait_until(lambda: len(done()) >= len(runs), "the runs are not done")
        times = [tuple(map(int, re.findall(r"\d{6,}", line))) for line in done()]
        self.assertEqual(sorted(due for due, _ in times), sorted(runs))
        self.assertTrue(all(due <= at for due, at in times), times)


class DeadLettersTests(ExampleTestCase):
    """What cannot be worked on."""

    example = "dead-letters"

    def test_redrive(self) -> None:
        """It is rejected, looked at, taken back, and worked on by a worker that can."""
        self.assertEqual(len(self.run_to_the_end("post.py")), 3)
        worker = self.start("worker.py", "EUR")
        worker.until("booked: 21 EUR")
        wait_until(lambda: bool(self.bodies("failed-payments")), "there is no dead letter")
        self.assertEqual(worker.end(), 0, worker.output())
        self.assertEqual(worker.lines(), ["booked: 17 EUR", "booked: 21 EUR"])
        (letter,) = self.run_to_the_end("letters.py")
        self.assertIn('{"amount":4,"currency":"XTS"}', letter)
        self.assertIn("unknown currency XTS", letter)
        self.assertEqual(self.run_to_the_end("letters.py", "redrive"), ["taken back: 1"])
        self.assertEqual(self.run_to_the_end("letters.py"), [])
        worker = self.start("worker.py", "EUR", "XTS")
        worker.until("booked: 4 XTS")
        self.assertEqual(worker.end(), 0, worker.output())
        self.assertEqual(worker.lines(), ["booked: 4 XTS"])


class ChatTests(ExampleTestCase):
    """A page in Chromium, with a server in Node.js."""

    example = "chat"

    def served(self, path: str) -> str:
        """What the server of the page sends."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}{path}", timeout=LIMIT) as answer:
            text: str = answer.read().decode()
            return text

    def say(self, said: str) -> None:
        """Post a line as another page would."""
        body = json.dumps({"who": "ann", "said": said}).encode()
        answer = ask(self.port, "POST", "/v2/queuey/queues/chat/messages", body, **{"Content-Type": "application/json"})
        self.assertEqual(answer[0], 201, answer)

    def seen(self) -> list[str]:
        """The last lines of the page that say what it shows."""
        told = [one["said"] for one in self.bodies("chat") if one["who"] == "seen"]
        lines: list[str] = json.loads(told[-1]) if told else []
        return lines

    def serve_page(self) -> None:
        """Start the server of the page, with a page that tells what it shows."""
        copied = self.folder / self.example
        shutil.copytree(EXAMPLES / self.example, copied)
        page = copied / "index.html"
        page.write_text(page.read_text(encoding="utf-8") + WATCH, encoding="utf-8")
        modules = copied / "node_modules"
        shutil.rmtree(modules, ignore_errors=True)
        modules.mkdir()
        # As npm does it for a package that is a folder.
        (modules / "queuey-client").symlink_to(ROOT / "client" / "js")
        server = Program([needed("node"), str(copied / "server.mjs")], self.folder, self.environment)
        self.addCleanup(server.end, signal.SIGKILL)
        server.until("serving on")

    def test_two_talk(self) -> None:
        """The page posts and shows lines, as text; it goes on when the daemon was away, and never has the key."""
        chromium = needed_chromium()
        self.serve_page()
        self.assertNotIn(KEY, self.served("/") + self.served("/urls"))
        self.say("hello")
        folder = Path(tempfile.mkdtemp(prefix="queuey-browser-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        expected = ["ann: hello", "guest: <b>good morning</b>"]
        with browsing(chromium, f"http://127.0.0.1:{self.page_port}/", folder):
            wait_until(lambda: self.seen() == expected, "the page does not show both lines")
            self.daemon.kill()
            self.daemon = self.serve()
            self.say("still there?")
            expected.append("ann: still there?")
            wait_until(lambda: self.seen() == expected, "the page does not go on")


class ExactlyOnceTests(ExampleTestCase):
    """Bookings in PostgreSQL."""

    run_in = "test-long"
    example = "exactly-once"
    COUNT = 300

    def setUp(self) -> None:
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise SkipTest("psycopg is not installed here") from None
        self.environment_of_database = self.enterContext(cluster())
        super().setUp()
        self.environment |= {**self.environment_of_database, "PGDATABASE": "postgres"}

    def bookings(self) -> str:
        """The sum of all balances, and how many bookings made them."""
        statement = "SELECT coalesce(sum(balance), 0), coalesce(sum(bookings), 0) FROM accounts;"
        done = subprocess.run(
            [*PSQL, "-c", statement], env=self.environment_of_database, capture_output=True, text=True, timeout=LIMIT
        )
        self.assertEqual(done.stderr, "")
        return done.stdout.strip()

    def test_killed(self) -> None:
        """The consumer is killed four times in the middle, and each transfer is booked once."""
        for _ in range(2):
            self.run_to_the_end("post.py", str(self.COUNT))
        for killed_after in (1, 70, 140, 210):
            consumer = self.start("consumer.py")
            consumer.until(f"'amount': {killed_after}}}")
            consumer.end(signal.SIGKILL)
            self.assertNotIn(f"|{self.COUNT}", self.bookings())
        self.start("consumer.py")
        total = f"{sum(range(self.COUNT))}|{self.COUNT}"
        wait_until(lambda: int(self.bookings().partition("|")[2]) >= self.COUNT, "not all is booked")
        time.sleep(1)  # for a booking too many
        self.assertEqual(self.bookings(), total)


class AllTests(SynchronousTestCase):
    """No example is without a test."""

    def test_each_folder(self) -> None:
        """Each folder has a class of tests that runs all of its programs, and a README that names them."""
        folders = {each.name for each in EXAMPLES.iterdir() if each.is_dir() and not each.name.startswith((".", "_"))}
        tested = {each.example for each in ExampleTestCase.__subclasses__()}
        self.assertEqual(folders, tested)
        source = Path(__file__).read_text(encoding="utf-8")
        for folder in folders:
            readme = (EXAMPLES / folder / "README.rst").read_text(encoding="utf-8")
            for program in (EXAMPLES / folder).glob("*.[pms][yjh]*"):
                self.assertIn(f'"{program.name}"', source)
                self.assertIn(f"examples/{folder}/{program.name}", readme)
