"""What the pages about the guarantees show, run as it stands: commands, workers in three languages, and consumers.

A consumer whose effects happen once is killed before each of its lines, and started again.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.live.api.test_api_guide import program, promised
from tests.live.clients import ask
from tests.live.daemon.test_daemon import LiveTestCase
from tests.live.guides.test_readme import MARK, script
from tests.manual import commands

DOCS: Final = Path(__file__).parents[3] / "docs"
LIMIT: Final = 120.0

AT_ONCE: Final = 16
"""Consumers that are killed at the same time: they wait more than they work."""

KILLED: Final = -signal.SIGKILL

CONSUMER: Final = "consumer.py"

RUNNER: Final = f"""\
import os, signal, sys
until, source, began = int(sys.argv[1]), sys.argv[2], False
def trace(frame, event, argument):
    global began, until
    if frame.f_code.co_filename != {CONSUMER!r}:
        return None
    if frame.f_code.co_name in ("ask", "with_key"):
        began = True
        return None
    if event == "line" and began:
        until -= 1
        if until == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return trace
sys.settrace(trace)
exec(compile(source, {CONSUMER!r}, "exec"), {{"__name__": "__main__"}})
"""
"""Runs a program, and kills itself before so many of its lines are run, counted from the first request on; the lines
of a request are one step with it."""

PSQL: Final = ("psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d", "postgres")


def text(page: str) -> str:
    """What stands on a page."""
    return (DOCS / f"{page}.rst").read_text(encoding="utf-8")


class CommandsTests(LiveTestCase):
    """What is typed into a shell there; each command succeeds, and curl is answered that it did."""

    run_in = "test"

    def check(self, page: str, at_least: int) -> None:
        """Run the commands of a page."""
        typed = commands(text(page))
        self.assertGreaterEqual(len([one for one in typed if "curl " in one]), at_least)
        self.serve()
        (self.folder / ".curlrc").write_text("fail\n", encoding="ascii")
        done = subprocess.run(
            ["bash", "-s"],
            input=script(typed, self.port),
            cwd=self.folder,
            env={**os.environ, "CURL_HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        self.assertEqual(done.stderr, "")
        answers = re.split(rf"\n{MARK}(\d+)\n", done.stdout)
        for command, answer, status in zip(typed, answers[::2], answers[1::2], strict=False):
            self.assertEqual(status, "0", f"{command}\n{answer}")
        self.assertEqual(len(answers) // 2, len(typed))
        self.answers = dict(zip(typed, answers[::2], strict=False))

    def test_at_most_once(self) -> None:
        """A message is given without a receipt, and the next claim gets nothing."""
        self.check("at-most-once", 5)
        first, second = (json.loads(a) for typed, a in self.answers.items() if typed.endswith("/claims"))
        self.assertEqual([one["body"] for one in first["messages"]], ["53.8,9.1"])
        self.assertNotIn("receipt", first["messages"][0])
        self.assertEqual(second["messages"], [])

    def test_at_least_once(self) -> None:
        """A lease is extended, and acked."""
        self.check("at-least-once", 6)
        told = [json.loads(a) for typed, a in self.answers.items() if typed.endswith("/settlements")]
        self.assertEqual([one["outcomes"][0]["outcome"] for one in told], ["extended", "acked"])

    def test_exactly_once(self) -> None:
        """What is repeated has no second effect; both acks are the same command, and the last answer is kept."""
        self.check("exactly-once", 8)
        (told,) = (json.loads(a) for typed, a in self.answers.items() if typed.endswith("/settlements"))
        self.assertEqual(told["outcomes"][0]["outcome"], "already-acked")


class SettingsTests(LiveTestCase):
    """What is written into the settings there is what a group has that asks for nothing."""

    def check(self, guarantee: str) -> None:
        """Serve with the settings of a page."""
        shown = program(text(guarantee), "ini")
        self.assertIn("[application:shop]", shown)
        self.add_settings(shown.replace("shop", "queuey"))
        self.serve()
        self.assertEqual(ask(self.port, "PUT", "/v2/queuey/queues/q")[0], 201)
        status, group = ask(self.port, "PUT", "/v2/queuey/queues/q/groups/g")
        self.assertEqual((status, group["guarantee"]), (201, guarantee))
        ask(self.port, "POST", "/v2/queuey/queues/q/messages", b"x")
        (message,) = ask(self.port, "POST", "/v2/queuey/queues/q/groups/g/claims")[1]["messages"]
        self.assertEqual("receipt" in message, guarantee != "at-most-once")

    def test_at_most_once(self) -> None:
        self.check("at-most-once")

    def test_at_least_once(self) -> None:
        self.check("at-least-once")

    def test_exactly_once(self) -> None:
        self.check("exactly-once")


class WorkersTests(LiveTestCase):
    """The programs print what is said."""

    def check(self, page: str, language: str, *command: str) -> None:
        """Run the program of a page in one language, which is the last argument of a command."""
        source = program(text(page), language).replace("5000", str(self.port))
        self.assertNotEqual(promised(source), [])
        self.serve()
        done = subprocess.run([*command, source], cwd=self.folder, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual((done.stdout.splitlines(), done.returncode), (promised(source), 0), done.stderr)

    def test_at_most_once(self) -> None:
        """What a worker had that died is lost, and nothing comes twice."""
        self.check("at-most-once", "python", sys.executable, "-I", "-S", "-c")

    def test_python(self) -> None:
        """It acks, retries and rejects."""
        self.check("at-least-once", "python", sys.executable, "-I", "-S", "-c")

    def test_javascript(self) -> None:
        """Two of them extend their leases, so that nothing is worked on twice."""
        self.check("at-least-once", "javascript", needed("node"), "--input-type=module", "--eval")

    def test_shell(self) -> None:
        """With curl and jq."""
        needed("jq")
        self.check("at-least-once", "sh", "sh", "-c")

    def test_consumer(self) -> None:
        """The one with SQLite, when nothing happens to it."""
        self.check("exactly-once", "python", sys.executable, "-I", "-S", "-c")


def needed(name: str) -> str:
    """The path of a program.

    :raise SkipTest: where there is none.
    """
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"there is no {name} here")
    return found


@attrs.frozen
class Consumer:
    """The consumer with SQLite, with a folder and a group of its own.

    :ivar source: the program.
    """

    source: str
    folder: Path
    port: int
    group: str

    def run(self, until: int) -> subprocess.CompletedProcess[str]:
        """Run it to its end, or until so many of its lines were run; 0 is no such line."""
        command = [sys.executable, "-I", "-S", "-c", RUNNER, str(until), self.source]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=LIMIT)

    def run_to_the_end(self) -> str:
        """Run it again until the group has nothing left.

        :return: the balance that it printed.
        """
        deadline = time.monotonic() + LIMIT
        while True:
            done = self.run(0)
            if done.returncode:
                raise AssertionError(done.stderr)
            if not self.behind():
                return done.stdout.strip()
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.group} is still behind after {LIMIT:.0f} s")

    def behind(self) -> int:
        """How many messages its group has not settled."""
        status, told = ask(self.port, "GET", f"/v2/queuey/queues/payments/groups/{self.group}")
        assert status == 200, told
        return sum(one["behind"]["count"] for one in told["lag"])


class KilledConsumerTests(LiveTestCase):
    """kill -9 before each line of the consumer that is run, and another start."""

    def consumer(self, source: str, number: int) -> Consumer:
        """One that starts with nothing, and whose lease is short, so that the next one need not wait long."""
        group = f"ledger-{number}"
        folder = self.folder / group
        folder.mkdir()
        for old, new in (("/groups/ledger", f"/groups/{group}"), ('"lease": 30', '"lease": 1'), ("wait=3", "wait=1")):
            self.assertIn(old, source)
            source = source.replace(old, new)
        return Consumer(source, folder, self.port, group)

    def balances(self, source: str) -> Iterator[str]:
        """What each consumer came to that was killed before another line, and started again."""
        whole = self.consumer(source, 0)
        self.assertEqual(whole.run(0).stdout, "42\n")
        lines = range(1, 1000)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for portion in (lines[first : first + AT_ONCE] for first in range(0, len(lines), AT_ONCE)):
                found = list(pool.map(lambda line: self.balance(source, line), portion))
                yield from (balance for balance in found if balance is not None)
                if None in found:
                    return
        raise AssertionError("the program has no end")

    def balance(self, source: str, line: int) -> str | None:
        """The same of one; ``None`` where it came to its end before so many lines."""
        consumer = self.consumer(source, line)
        killed = consumer.run(line)
        self.assertIn(killed.returncode, (0, KILLED), killed.stderr)
        return consumer.run_to_the_end() if killed.returncode else None

    def test_each_line(self) -> None:
        """The balance is right, wherever it was killed."""
        self.serve()
        found = list(self.balances(self.source()))
        self.assertGreater(len(found), 40)
        self.assertEqual(found, ["42"] * len(found))

    def test_without_the_id(self) -> None:
        """Somewhere it is wrong, if the id is not looked at: the test before this one can fail."""
        source = self.source()
        look = "if handled.rowcount == 1:"
        self.assertEqual(source.count(look), 1)
        self.serve()
        found = self.balances(source.replace(look, "if handled is not None:"))
        self.assertTrue(any(balance != "42" for balance in found))

    def source(self) -> str:
        """The program, for the daemon of this test."""
        return program(text("exactly-once"), "python").replace("5000", str(self.port))


def postgresql(name: str) -> str:
    """The path of one of its programs; Debian has those of the server in a folder of their own.

    :raise SkipTest: where there is none.
    """
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))
    if found is None:
        raise SkipTest(f"there is no PostgreSQL here: {name} is not installed")
    return found


@contextmanager
def cluster() -> Iterator[dict[str, str]]:
    """A PostgreSQL of its own until the block ends, without a port; what ``psql`` needs in its environment."""
    programs = [postgresql(name) for name in ("initdb", "postgres", "psql")]
    user = unprivileged()
    with tempfile.TemporaryDirectory(prefix="queuey-test-") as name:
        if user is not None:
            shutil.chown(name, user)
        data = f"{name}/data"
        options = ["-A", "trust", "-U", "queuey", "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run([programs[0], *options, "-D", data], check=True, capture_output=True, user=user, timeout=LIMIT)
        command = [programs[1], "-D", data, "-k", name, "-h", "", "-F"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user)
        try:
            environment = {**os.environ, "PGHOST": name, "PGUSER": "queuey"}
            wait_for(environment)
            yield environment
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(LIMIT)


def unprivileged() -> str | None:
    """The user that the server runs as, since it refuses to run as root; ``None`` is the user of this process."""
    if os.geteuid() != 0:
        return None
    names = {one.pw_name for one in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in names:
            return name
    raise SkipTest("PostgreSQL does not run as root, and there is nobody else here")


def wait_for(environment: dict[str, str]) -> None:
    """Return once the server answers."""
    deadline = time.monotonic() + LIMIT
    while subprocess.run([*PSQL, "-c", "SELECT 1"], env=environment, capture_output=True, timeout=LIMIT).returncode:
        if time.monotonic() > deadline:
            raise AssertionError("PostgreSQL does not answer")
        time.sleep(0.1)


class PostgreSQLTests(SynchronousTestCase):
    """The SQL of the page, in a PostgreSQL."""

    def test_once(self) -> None:
        """A message that is handled twice, by two at once, or after one that was killed, has its effect once."""
        page = text("exactly-once")
        tables, once = re.findall(r"(?m)^\.\. code-block:: sql\n((?:\n|   .*\n)+)", page)
        before_commit, commit, _ = once.partition("   COMMIT;")
        self.assertNotEqual(commit, "")
        with cluster() as environment:
            self.environment = environment
            self.assertEqual(self.sql(tables + "INSERT INTO accounts VALUES ('rent', 0), ('heating', 0);"), "")
            for _ in range(2):
                self.sql(once, message="a", account="rent", amount="17")
            self.killed(before_commit, message="b", account="rent", amount="4")
            with ThreadPoolExecutor(8) as pool:
                again = [pool.submit(self.sql, once, message="b", account="rent", amount="4") for _ in range(8)]
                self.assertEqual([one.result() for one in again], [""] * 8)
            self.sql(once, message="c", account="heating", amount="21")
            self.assertEqual(self.sql("SELECT name, balance FROM accounts ORDER BY name;"), "heating|21\nrent|21\n")
            self.assertEqual(self.sql("SELECT message FROM handled ORDER BY message;"), "a\nb\nc\n")

    def command(self, variables: dict[str, str]) -> list[str]:
        """The command that takes SQL as its input."""
        return [*PSQL, *(part for name, value in variables.items() for part in ("-v", f"{name}={value}"))]

    def sql(self, statements: str, **variables: str) -> str:
        """Have statements carried out; what they answer."""
        done = subprocess.run(
            self.command(variables),
            input=statements,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def killed(self, statements: str, **variables: str) -> None:
        """Have statements carried out by a client that is killed then, in the midst of its transaction."""
        marked = statements + "\\echo here\n"
        with subprocess.Popen(
            self.command(variables), env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(marked)
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), "here\n")
            self.assertEqual(self.sql("SELECT balance FROM accounts WHERE name = 'rent';"), "17\n")
            client.kill()
