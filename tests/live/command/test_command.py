"""The command ``queuey`` as users have it: in a shell, in pipes, and with signals."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import shlex
import signal
import sys
import threading
import time

from click.testing import CliRunner

from queuey_client import Draft
from queuey_client.cli.program import root
from queuey_client.cli.settings import Settings
from tests import runs_in
from tests.live.clients import KEY
from tests.live.command.commanding import LIMIT, CommandTestCase, endpoint
from tests.live.daemon.test_daemon import wait_until
from tests.manual import DOCS, commands

run_in = "test"

NOT_RUN = ("pip ", "export ")
NEEDS_SHELL = re.compile(r"[|&<>$~]|\./|-f |--dump|^[^q]")
"""What a shell does, and files of the folder that a command runs in."""

ENDLESS = {
    "tail -F access.log | queuey post log --lines": (130, -signal.SIGINT),
    "queuey tail orders": (130,),
    "queuey tail 'log-*' --raw": (130,),
    "queuey claim jobs workers -j 4 -- ./work.sh": (0,),
}
"""Commands that go on until Ctrl-C, and the exit statuses that they, or their shell, may have then."""


class PageTests(CommandTestCase):
    """Each command of the page of the command works, in its order."""

    def test_page(self) -> None:
        found = commands((DOCS / "cli.rst").read_text(encoding="utf-8"))
        typed = [each for each in found if not each.startswith(NOT_RUN)]
        self.assertLessEqual(set(ENDLESS), set(typed))
        (self.folder / ".config" / "queuey").mkdir(parents=True)
        (self.folder / ".config" / "queuey" / "shop.key").write_text(KEY)
        (self.folder / ".config" / "queuey" / "shop.key").chmod(0o600)
        for name in ("access.log", "invoice.pdf", "photo.jpg"):
            (self.folder / name).write_text("GET /\n")
        for name in ("work.sh", "deploy.sh"):
            (self.folder / name).write_text("#!/bin/sh\ncat >/dev/null\n")
            (self.folder / name).chmod(0o755)
        for command in typed:
            self.run_one(command)

    def jobs_are_settled(self) -> bool:
        """Tell whether the workers of the page have settled all jobs."""
        return not any(each.behind for each in self.client.queue("jobs").group("workers").info().lag)

    def run_one(self, command: str) -> None:
        """Run a command, with an id and a receipt in the place of their words."""
        text = command.replace("http://127.0.0.1:5000", self.url)
        text = text.replace("https://hooks.example.com", f"http://127.0.0.1:{endpoint()}")
        text = re.sub(r"queuey bench (\w+) .*", r"queuey bench \1 -c 1 -d 0.3", text)
        if re.search(r"\bID\b", text):
            text = text.replace("ID", self.client.queue("orders").post("an order").id)
        if re.search(r"\bRECEIPT\b", text):
            self.client.queue("jobs").post("a job")
            (delivery,) = self.client.queue("jobs").group("workers").claim(1, wait=5)
            text = text.replace("RECEIPT", str(delivery.receipt))
        if re.search(r"\bSECRET\b", text):
            secrets = self.client.queue("orders").push("crm").info().document["secrets"]
            text = text.replace("SECRET", secrets[-1]["id"])
        if command in ENDLESS:
            # A job that is cut off comes back after its lease, and a later command waits until the group has no more.
            worked = self.jobs_are_settled if command.startswith("queuey claim") else lambda: True
            self.assertIn(self.interrupted(text, worked), ENDLESS[command], text)
        elif NEEDS_SHELL.search(text):
            self.shell(text)
        else:
            # In this process, which saves the time of starting another one.
            settings = Settings(self.environment)
            result = CliRunner().invoke(root(), shlex.split(text)[1:], obj=settings)
            self.assertEqual(result.exit_code, 0, f"{text}\n{result.output}")


class ShellTests(CommandTestCase):
    """Examples, pipes and statuses."""

    def test_a_copy(self) -> None:
        """A queue is copied by a pipe: bodies, types, headers and keys, in their order."""
        source = self.client.queue("source")
        source.ensure(partitions=3)
        for draft in (
            Draft(b"\xff\x00\n", content_type="image/x"),
            Draft("text\twith\nlines", headers={"h": {"a": [1, None]}}, key="k1"),
            Draft({"pears": 3}),
            Draft(""),
        ):
            source.post(draft)
        self.client.queue("target").ensure()
        self.shell("set -o pipefail; queuey read source --ndjson | queuey post target --ndjson -")

        def all_of(name: str) -> list[object]:
            messages = self.client.queue(name).messages()
            return [
                (each.body, each.content_type, each.key, {k: v for k, v in each.headers.items() if k == "h"})
                for each in messages
            ]

        self.assertEqual(all_of("target"), all_of("source"))
        self.assertEqual(len(all_of("target")), 4)

    def test_repeated_input_is_stored_once(self) -> None:
        """What was interrupted is sent again with the key that was printed."""
        self.client.queue("q").ensure()
        self.shell("seq 1 10 | queuey post q --lines --idempotency-key mine")
        self.shell("seq 1 30 | queuey post q --lines --idempotency-key mine")
        bodies = [each.text for each in self.client.queue("q").messages()]
        self.assertEqual(bodies, [str(number) for number in range(1, 31)])

    def test_closed_pipes(self) -> None:
        """If standard output is closed, it ends, with a status and no words."""
        self.client.queue("q").ensure()
        self.client.queue("q").post_all(["x" * 200] * 1000)
        for command in ("read q", "read q --json", "read q --raw", "tail q -n 1000", "queues ls --ndjson; true"):
            done = self.shell(f"queuey {command} | head -n 1 >/dev/null; exit ${{PIPESTATUS[0]}}",
                              141 if "q" in command.split() else 0)  # fmt: skip
            self.assertEqual(done.stderr, "")

    def test_streams_that_are_closed(self) -> None:
        """Without standard input, output or error a command fails with a status if it needs them; no connection or
        file gets their numbers, so messages are never printed into one."""
        self.client.queue("q").ensure()
        self.client.queue("q").post("x")
        for command, status, words in (
            ("read q >&-", 1, "queuey: Bad file descriptor\n"),
            ("queues ls >&-", 1, "queuey: Bad file descriptor\n"),
            ("post q <&-", 1, "queuey: Bad file descriptor\n"),
            ("post q x <&- >/dev/null", 0, ""),
            ("read nowhere 2>&-", 3, ""),
            ("post q x <&- >&- 2>&-", 1, ""),
        ):
            self.assertEqual(self.shell(f"queuey {command}", status).stderr, words)

    @runs_in("test-long")
    def test_statuses(self) -> None:
        for status, command in (
            (3, "read nowhere"),
            (2, "read"),
            (1, "queues set q partitions=0"),
            (1, "--key-file <(echo wrong) queues ls"),
            (4, "--no-retry -u http://127.0.0.1:1 queues ls"),
            (4, "--timeout 0.5 -u http://127.0.0.1:1 queues ls"),
            (2, "-C nowhere queues ls"),
            (1, "check nowhere.ini"),
            (2, "check"),
        ):
            self.assertTrue(self.shell(f"queuey {command}", status).stderr)

    def test_niceness(self) -> None:
        """Long work beside the daemon has the lowest priority; what users wait for has not."""
        self.client.queue("q").ensure()
        self.client.queue("q").group("g").ensure()
        self.client.queue("q").post("x")
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        self.assertEqual(self.shell("queuey claim q g -n 1 -- nice").stdout, f"{nice}\n")
        program = (
            "import os, sys; from queuey.cli import command; command(sys.argv[1:], sys.stdout, sys.stderr); "
            "print(os.getpriority(os.PRIO_PROCESS, 0))"
        )
        for name, wanted in (("backup", 19), ("check", nice)):
            command = shlex.join([sys.executable, "-c", program, name, "--config", "nowhere.ini", "x"])
            self.assertEqual(self.shell(command).stdout.splitlines()[-1], str(wanted))

    def test_completion(self) -> None:
        self.client.queue("orders").ensure()
        self.client.queue("orders").group("billing").ensure()
        self.client.queue("orders").schedule("nightly").ensure(cron="30 2 * * *", message={"body": "go"})
        for words, wanted in (
            ("queuey read or", "orders"),
            ("queuey claim orders b", "billing"),
            ("queuey schedules show orders n", "nightly"),
            ("queuey gro", "groups"),
        ):
            done = self.shell(
                "queuey",
                _QUEUEY_COMPLETE="bash_complete",
                COMP_WORDS=words,
                COMP_CWORD=str(len(words.split()) - 1),
            )
            self.assertEqual(done.stdout, f"plain,{wanted}\n")
        done = self.shell("queuey", _QUEUEY_COMPLETE="bash_complete", COMP_WORDS="queuey read o", COMP_CWORD="2",
                          QUEUEY_URL="http://127.0.0.1:1")  # fmt: skip
        self.assertEqual((done.stdout.strip(), done.stderr), ("", ""))
        self.assertIn(
            "complete -o nosort -F", self.shell('eval "$(queuey completion bash)"; complete -p queuey').stdout
        )


class SignalTests(CommandTestCase):
    """What ends a command."""

    def test_tail(self) -> None:
        self.client.queue("q").ensure()
        self.client.queue("q").post("there")
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start("tail", "q", "--raw")
            assert process.stdout is not None
            self.assertTrue(process.stdout.readline())
            self.client.queue("q").post("new")
            wait_until(lambda out=process.stdout: "new" in out.readline(), "the new message is not printed")  # type: ignore[misc]
            process.send_signal(number)
            self.assertEqual(process.wait(LIMIT), 130)
            assert process.stderr is not None
            self.assertEqual(process.stderr.read(), "queuey: interrupted\n")

    def test_two_signals(self) -> None:
        """A second Ctrl-C while the first one is handled ends it in the same way, without a traceback."""
        self.client.queue("q").ensure()
        self.client.queue("q").post("there")
        for pause in (0, 0.001, 0.005):
            process = self.start("tail", "q", "--raw")
            assert process.stdout is not None
            assert process.stderr is not None
            self.assertTrue(process.stdout.readline())
            for _ in range(3):
                process.send_signal(signal.SIGINT)
                time.sleep(pause)
            self.assertEqual(process.wait(LIMIT), 130)
            self.assertNotIn("Traceback", process.stderr.read())

    def test_several_queues(self) -> None:
        """Also those that are made later."""
        self.client.queue("log-a").ensure()
        process = self.start("tail", "log-*", "--columns", "queue,body")
        assert process.stdout is not None
        out = process.stdout.fileno()
        deadline = time.monotonic() + LIMIT
        while not select.select([out], [], [], 0.3)[0] and time.monotonic() < deadline:
            self.client.queue("log-a").post("x")
        self.assertEqual(process.stdout.readline(), "log-a\tx\n")
        self.client.queue("log-b").ensure()
        self.client.queue("log-b").post("y")
        wait_until(lambda: process.stdout.readline() == "log-b\ty\n", "the new queue is not followed")  # type: ignore[union-attr]
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(LIMIT), 130)

    def test_several_queues_that_are_left(self) -> None:
        """Their thread ends at once, and with it the live read, and says nothing of the connection that was cut."""
        for name in "ab":
            self.client.queue(name).ensure()
            self.client.queue(name).post("x")
        arguments = ["tail", "a", "b", "-n", "1", "--count", "2", "--raw"]
        words = io.StringIO()
        with contextlib.redirect_stderr(words):
            result = CliRunner().invoke(root(), arguments, obj=Settings(self.environment))
            following = [each for each in threading.enumerate() if each.name.startswith("tail")]
            for each in following:
                each.join(10)
        self.assertEqual((result.exit_code, result.output), (0, "x\nx\n"))
        self.assertEqual(words.getvalue(), "")
        self.assertEqual([each for each in following if each.is_alive()], [])

    def test_post(self) -> None:
        """What was sent is stored, and how to send the rest is said."""
        self.client.queue("q").ensure()
        process = self.start("post", "q", "--lines")
        assert process.stdin is not None
        process.stdin.write("one\n")
        process.stdin.flush()
        wait_until(lambda: len(list(self.client.queue("q").messages())) == 1, "the line is not stored")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(LIMIT), 130)
        assert process.stderr is not None
        words = process.stderr.read()
        self.assertIn("1 message was stored", words)
        self.assertRegex(words, "nothing twice, repeat it with --idempotency-key [0-9a-f]{32}")

    def test_worker(self) -> None:
        """At SIGTERM the command that runs is finished, and its message acked."""
        queue = self.client.queue("q")
        queue.ensure()
        group = queue.group("g")
        group.ensure()
        queue.post("x")
        process = self.start("claim", "q", "g", "--", "sh", "-c", "echo begun; sleep 1; echo done")
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "begun\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.stdout.readline(), "done\n")
        self.assertEqual(process.wait(LIMIT), 0)
        self.assertEqual(group.info().lag[0].behind, 0)
