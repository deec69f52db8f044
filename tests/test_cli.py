"""The ``queuey`` command, without a process."""

from __future__ import annotations

import hashlib
import re
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from queuey import __version__
from queuey.cli import main
from queuey.config import DEVELOPMENT_KEY, load


def run(*argv: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    stdout, stderr = StringIO(), StringIO()
    return main(argv, stdout, stderr), stdout.getvalue(), stderr.getvalue()


class CheckTests(SynchronousTestCase):
    def file(self, text: str) -> Path:
        path = Path(self.mktemp())
        path.write_text(text)
        return path

    def test_right(self) -> None:
        path = self.file(f"[application_keys]\nqueuey = {DEVELOPMENT_KEY}\n")
        status, out, err = run("check", str(path))
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out.splitlines(), load(path).describe())
        self.assertNotIn(DEVELOPMENT_KEY, out)

    def test_warnings(self) -> None:
        path = self.file("")
        status, out, err = run("check", str(path))
        self.assertEqual(status, 0)
        self.assertEqual(
            err, f"warning: {path}: [application_keys]: names no application, so that nobody can use the daemon\n"
        )
        self.assertTrue(out)

    def test_wrong(self) -> None:
        path = self.file("[server]\nmax_body = x\n[foo]\n")
        status, out, err = run("check", str(path))
        self.assertEqual((status, out), (1, ""))
        lines = err.splitlines()
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertTrue(line.startswith(f"{path}: ["), line)

    def test_missing(self) -> None:
        self.assertEqual(
            run("check", "nowhere.ini"), (1, "", "nowhere.ini: cannot be read: No such file or directory\n")
        )


class KeysTests(SynchronousTestCase):
    def test_new(self) -> None:
        status, out, err = run("keys", "new", "app")
        self.assertEqual((status, err), (0, ""))
        key, line = out.splitlines()
        self.assertRegex(key, r"\A[A-Za-z0-9_-]{43}\Z")
        self.assertEqual(line, f"app = sha256:{hashlib.sha256(key.encode()).hexdigest()}")

    def test_the_line_lets_the_key_in(self) -> None:
        _, out, _ = run("keys", "new", "app")
        key, line = out.splitlines()
        path = Path(self.mktemp())
        path.write_text(f"[application_keys]\n{line}\n")
        (application,) = load(path).applications
        self.assertEqual(application.digests, {hashlib.sha256(key.encode()).digest()})

    def test_without_a_name(self) -> None:
        self.assertRegex(run("keys", "new")[1], r"\A\S+\nNAME = sha256:[0-9a-f]{64}\n\Z")

    def test_each_is_another(self) -> None:
        self.assertNotEqual(run("keys", "new")[1], run("keys", "new")[1])

    def test_a_name_that_is_none(self) -> None:
        status, out, err = run("keys", "new", "a/b")
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, r"\ANAME: an application's name is [^\n]+\n\Z")


class UsageTests(SynchronousTestCase):
    def test_version(self) -> None:
        self.assertEqual(run("--version"), (0, f"queuey {__version__}\n", ""))

    def test_help(self) -> None:
        status, out, err = run("--help")
        self.assertEqual((status, err), (0, ""))
        for word in ("check", "keys", "--version", "twistd queuey"):
            self.assertIn(word, out)

    def test_wrong_arguments(self) -> None:
        for argv in ((), ("what",), ("check",), ("keys",), ("check", "a", "b"), ("--vers",)):
            status, out, err = run(*argv)
            self.assertEqual((status, out), (2, ""), argv)
            self.assertTrue(re.match(r"usage: queuey", err), argv)
