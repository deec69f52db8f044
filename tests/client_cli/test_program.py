"""What all commands have in common: help, statuses, words, and commands that join."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint

import click

from queuey_client.cli import joining
from queuey_client.cli.failures import MAX_TEXT
from queuey_client.cli.program import LAZY, SECTIONS, root
from queuey_client.core.steps import NoAnswer
from queuey_client.version import __version__
from tests.client.support import LOST, REFUSED, answer, problem
from tests.client_cli.support import CommandTestCase
from tests.manual import DOCS, commands


def all_commands() -> list[tuple[str, click.Command]]:
    """Every command of this package, by its whole name."""
    found: list[tuple[str, click.Command]] = []
    top = root()
    for name in LAZY:
        one = top.get_command(click.Context(top), name)
        assert one is not None
        found.append((name, one))
        if isinstance(one, click.Group):
            found += [(f"{name} {each}", inner) for each, inner in one.commands.items()]
    return found


class HelpTests(CommandTestCase):
    def test_lists_all(self) -> None:
        printed = self.succeed("--help")
        names = [line.split()[0] for line in printed.splitlines() if line.startswith("  ") and line.strip()]
        for name in (*LAZY, *(name for name, there, _ in joining.daemon_commands() if there)):
            self.assertIn(name, names)
        self.assertIn("Exit status: 0 done, 1 refused", printed)

    def test_sections_have_every_command(self) -> None:
        self.assertEqual(sorted(name for names in SECTIONS.values() for name in names), sorted(LAZY))

    def test_every_command(self) -> None:
        """Each has help, with both options, and options of every command that are not listed."""
        for name, each in all_commands():
            for option in ("-h", "--help"):
                printed = self.succeed(*name.split(), option)
                self.assertIn("Usage: queuey " + name.split()[0], printed)
            self.assertTrue(each.help, name)
            if not isinstance(each, click.Group):
                options = {option for param in each.params for option in param.opts}
                self.assertLessEqual({"--context", "--url", "--quiet", "--json"}, options, name)
                self.assertNotIn("--no-retry", printed)

    def test_examples_are_on_the_page(self) -> None:
        """A live test runs the commands of the page, and so the examples of the help."""
        page = {re.sub(r"\\\n *", "", each) for each in commands((DOCS / "cli.rst").read_text(encoding="utf-8"))}
        examples = [
            line for _, one in all_commands() for line in (one.epilog or "").replace("\\\n    ", "").splitlines()
        ]
        self.assertGreater(len(examples), 30)
        self.assertEqual([each for each in examples if each not in page], [])

    def test_without_arguments(self) -> None:
        self.assertIn("Usage: queuey", self.fail_with(2))
        self.assertIn("Usage: queuey queues", self.fail_with(2, "queues"))

    def test_version(self) -> None:
        self.assertEqual(self.succeed("--version"), f"queuey {__version__}\n")

    def test_unknown(self) -> None:
        self.assertIn("No such command 'fly'", self.fail_with(2, "fly"))
        self.assertIn("No such option", self.fail_with(2, "read", "q", "--fly"))


class StatusTests(CommandTestCase):
    def status(self, *replies: object) -> int:
        result = self.run_command("--no-retry", "post", "q", "x", replies=replies)  # type: ignore[arg-type]
        self.assertTrue(result.stderr.startswith("queuey: "), result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        return result.exit_code

    def test_statuses(self) -> None:
        for status, reply in (
            (1, problem("invalid", 400, errors=[{"parameter": "ttl", "detail": "is too long"}])),
            (1, problem("unauthorized", 401)),
            (1, problem("forbidden", 403)),
            (3, problem("no-such-queue", 404)),
            (1, problem("conflict", 409)),
            (4, problem("rate", 429, retryable=True)),
            (4, problem("draining", 503, retryable=True)),
            (5, problem("timeout", 503, retryable=True, applied="unknown")),
            (4, REFUSED),
            (5, LOST),
            (1, NoAnswer("no trust", sent=False, final=True)),
            (1, answer({"x": 1})),
            (5, answer(None, 502)),
        ):
            self.assertEqual(self.status(reply), status, reply)

    def test_errors_are_named(self) -> None:
        reply = problem("invalid", 400, errors=[{"parameter": "ttl", "detail": "is too long"}] * 50)
        words = self.run_command("post", "q", "x", replies=(reply,)).stderr.splitlines()
        self.assertEqual(words[:2], ["queuey: said invalid (invalid)", "queuey: ttl: is too long"])
        self.assertEqual(len(words), 21)

    def test_a_single_mistake_is_printed_once(self) -> None:
        """The detail of a problem with one mistake says all of it."""
        mistake = {"pointer": "/ttl", "detail": "is too long"}
        reply = problem("invalid-body", 400, errors=[mistake], detail="/ttl: is too long")
        words = self.run_command("post", "q", "x", replies=(reply,)).stderr
        self.assertEqual(words, "queuey: /ttl: is too long (invalid-body)\n")

    def test_words_are_bounded_and_plain(self) -> None:
        reply = problem("invalid", 400, errors=[{"parameter": "x", "detail": "\x1b[31m" + "y" * 5000}])
        words = self.run_command("post", "q", "x", replies=(reply,)).stderr
        self.assertNotIn("\x1b", words)
        self.assertLess(len(words), MAX_TEXT + 200)

    def test_what_to_do(self) -> None:
        for reply, words in (
            (problem("unauthorized", 401), "--key-file, QUEUEY_KEY or a context"),
            (problem("no-such-group", 404), "queuey groups set QUEUE NAME"),
            (problem("no-such-schedule", 404), "queuey schedules set QUEUE NAME cron=CRON message=MESSAGE"),
            (REFUSED, "is the daemon running? Name the server with --url"),
            (LOST, "the server may have done it"),
        ):
            self.assertIn(words, self.run_command("--no-retry", "post", "q", "x", replies=(reply,)).stderr)

    def test_trying_again_is_said(self) -> None:
        replies = (problem("draining", 503, retryable=True), answer({"queues": [], "next": None}))
        result = self.run_command("queues", "ls", replies=replies)
        self.assertEqual((result.exit_code, result.stdout), (0, ""))
        self.assertIn("trying again, for up to 60 s (--no-retry turns this off)", result.stderr)
        self.assertEqual(self.run_command("-q", "queues", "ls", replies=replies).stderr, "")

    def test_names_that_are_none(self) -> None:
        self.assertIn("'..' is no name", self.fail_with(2, "read", ".."))


class JoiningTests(CommandTestCase):
    """The daemon's commands."""

    def test_missing(self) -> None:
        self.patch(joining, "joined", dict)
        self.assertIn("pip install queuey", self.fail_with(2, "backup", "x"))
        self.assertIn("pip install", self.succeed("--help"))

    def test_others(self) -> None:
        point = EntryPoint("shout", "tests.client_cli.test_program:shout", joining.GROUP)
        self.patch(joining, "joined", lambda: {"shout": point})
        self.assertEqual(self.run_command("shout", "-a", "--", "b").exit_code, 3)
        self.assertIn("shout", self.succeed("--help"))


def shout(argv: list[str], stdout: object, stderr: object) -> int:
    """A command of another package."""
    return len(argv) - 1
