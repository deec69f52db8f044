"""The command ``queuey`` on a terminal, and what it imports."""

from __future__ import annotations

import re
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from queuey_client.cli.program import LAZY
from tests import runs_in
from tests.live.command.commanding import CTRL_C, LIMIT, CommandTestCase

run_in = "test"

QUESTION = r"\[y/N\]"


class TerminalTests(CommandTestCase):
    """What is different on a terminal."""

    def test_tables(self) -> None:
        """The rows of a pipe, as a table with a head."""
        self.client.queue("orders").ensure(ttl=3600)
        status, shown = self.terminal("queuey queues ls", NO_COLOR="1")
        self.assertEqual(status, 0)
        self.assertNotIn("\x1b", shown)
        head, row = (line.split() for line in shown.splitlines())
        self.assertEqual(head, ["name", "type", "partitions", "guarantee", "ttl"])
        self.assertEqual(row, self.shell("queuey queues ls").stdout.split())
        self.assertIn("\x1b[1m", self.terminal("queuey queues ls", NO_COLOR="")[1])

    @runs_in("test-long")
    def test_messages(self) -> None:
        """A long body is cut to the line, and no character of it controls the terminal."""
        self.client.queue("q").ensure()
        self.client.queue("q").post("\x1b[2J" + "x" * 500)
        _, shown = self.terminal("queuey read q", NO_COLOR="1")
        self.assertNotIn("\x1b", shown)
        (line,) = shown.splitlines()
        self.assertEqual(len(line), 120)
        self.assertTrue(line.endswith("…"))

    def test_questions(self) -> None:
        self.client.queue("q").ensure()
        status, shown = self.terminal("queuey queues rm q", (QUESTION, "n\n"))
        self.assertEqual(status, 1)
        self.assertIn("nothing was changed", shown)
        self.assertEqual(self.terminal("queuey queues rm q", (QUESTION, CTRL_C))[0], 130)
        self.assertEqual([each.name for each in self.client.queues()], ["q"])
        self.assertEqual(self.terminal("queuey queues rm q", (QUESTION, "y\n"))[0], 0)
        self.assertEqual(list(self.client.queues()), [])

    def test_progress(self) -> None:
        """Work that takes longer than a second shows how far it is."""
        self.client.queue("q").ensure()
        status, shown = self.terminal("queuey post q 'n {n}' --count 20 --rate 10 --progress")
        self.assertEqual(status, 0)
        self.assertRegex(shown, r"post to q.*\d+/20")
        self.assertNotIn("/20", self.terminal("queuey post q x --count 2 --progress")[1])

    def test_interrupted_progress(self) -> None:
        """Ctrl-C ends the bar too, and the cursor is shown again."""
        self.client.queue("q").ensure()
        status, shown = self.terminal("queuey post q 'n {n}' --count 500 --rate 10", (r"\d+/500", CTRL_C))
        self.assertEqual(status, 130)
        self.assertGreater(shown.rindex("\x1b[?25h"), shown.rindex("\x1b[?25l"))

    def test_top(self) -> None:
        """It is drawn again and again; a key changes the order."""
        for number, name in enumerate(("a", "b"), 1):
            self.client.queue(name).ensure()
            self.client.queue(name).post_all(["x"] * number)
        head = "change_per_s.*in_flight"
        status, shown = self.terminal(
            "queuey top -i 0.5 --sort name", (f"{head}.*{head}", "m"), (f"{head}.*{head}.*{head}", CTRL_C), NO_COLOR="1"
        )
        self.assertEqual(status, 130)
        order = "".join(re.findall(r"(?m)^(?:\x1b\[[0-9;]*\w)*([ab]) +\d", shown))
        self.assertIn("abab", order)
        self.assertTrue(order.endswith("baba"), order)

    @runs_in("test-long")
    def test_qr_code(self) -> None:
        status, shown = self.terminal("queuey signed-url q read 10m --qr")
        self.assertEqual(status, 0)
        self.assertIn(f"{self.url}/v2/queuey/queues/q/messages?signed_by=", shown)
        self.assertGreater(shown.count("█"), 100)

    def test_graph(self) -> None:
        self.client.queue("q").ensure()
        self.client.queue("q").post_all(["x"] * 7)
        _, shown = self.terminal("queuey tail q --graph --since 1m --count 7")
        self.assertRegex(shown, r"\d\d:\d\d:\d\d +7 messages +#+")


class EarlySignalTests(SynchronousTestCase):
    """A signal that comes before the command itself has begun."""

    def test_interrupted(self) -> None:
        """It is said in a word, as later on; no traceback is shown."""
        program = (
            "import os, signal, sys\nfrom queuey_client.cli import program\n"
            "def root():\n    os.kill(os.getpid(), signal.SIGINT)\n"
            "program.root = root\nsys.exit(program.main(['queues', 'ls']))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (130, "", "queuey: interrupted\n"))


class ImportTests(SynchronousTestCase):
    """What a command imports, which bounds how soon it begins."""

    def imported(self, *arguments: str) -> set[str]:
        program = (
            "import sys\nfrom queuey_client.cli import run\nsys.argv = ['queuey', *sys.argv[1:]]\n"
            "status = run()\nprint('\\n'.join(['modules', *sys.modules]))"
        )
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
        return set(done.stdout.partition("modules\n")[2].split())

    def check(self, modules: set[str], *commands: str) -> None:
        self.assertIn("queuey_client.cli.program", modules)
        tops = {name.partition(".")[0] for name in modules}
        self.assertEqual(tops & {"rich", "twisted", "queuey", "aiohttp", "treq", "asyncio", "keyring"}, set())
        own = {f"queuey_client.cli.{place.partition(':')[0]}" for place, _ in LAZY.values()}
        self.assertEqual(modules & own, {f"queuey_client.cli.{name}" for name in commands})

    def test_help(self) -> None:
        self.check(self.imported("--help"))

    def test_post(self) -> None:
        arguments = ("--no-retry", "-u", "http://127.0.0.1:1", "-a", "x", "post", "q", "x")
        self.check(self.imported(*arguments), "commands.post", "completing")
