"""The programs of the pages about the v2 API, in Python and in JavaScript, run as they stand against a live daemon."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from typing import Final

from twisted.trial.unittest import SkipTest

from tests.live.browser.driver import find_chromium, serving, visit, why_not
from tests.live.daemon.test_daemon import LiveTestCase
from tests.manual import whole

LIMIT: Final = 120.0

IN_A_PAGE: Final = """\
<!DOCTYPE html>
<meta charset="utf-8">
<script type="module">
const printed = [];
console.log = (...values) => printed.push(values.map(String).join(" "));
async function run() {
%s
}
try {
  await run();
} catch (error) {
  printed.push(String(error));
}
await fetch("/result", {method: "POST", body: JSON.stringify(printed)});
</script>
"""
"""A page that runs a program, and posts what it printed."""


def program(text: str, language: str) -> str:
    """All blocks of one language in a text, which go on from each other."""
    found = re.findall(rf"(?m)^\.\. code-block:: {language}\n((?:\n|   .*\n)+)", text)
    return "\n".join(textwrap.dedent(block) for block in found)


def promised(source: str) -> list[str]:
    """What a program says that it prints."""
    return re.findall(r"(?m)^ *(?:#|//) prints: (.*)$", source)


class ProgramsTests(LiveTestCase):
    """What is shown works, and prints what is said."""

    def setUp(self) -> None:
        super().setUp()
        self.text = whole("api-v2")

    def source(self, language: str) -> str:
        """The program of a language, for the daemon of this test."""
        source = program(self.text, language).replace("5000", str(self.port))
        self.assertGreater(len(promised(source)), 3)
        return source

    def check(self, source: str, *command: str) -> None:
        """Run a program."""
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual((done.stdout.splitlines(), done.returncode), (promised(source), 0), done.stderr)

    def test_python(self) -> None:
        """With the standard library alone."""
        source = self.source("python")
        self.serve()
        self.check(source, sys.executable, "-I", "-S", "-c", source)

    def test_javascript(self) -> None:
        """In Node.js, or where there is none, in a page of another origin."""
        source, node = self.source("javascript"), shutil.which("node")
        if node is None:
            self.check_in_browser(source)
            return
        self.serve()
        self.check(source, node, "--input-type=module", "--eval", source)

    def check_in_browser(self, source: str) -> None:
        """Run a program as the script of a page."""
        chromium = find_chromium()
        if chromium is None:
            raise SkipTest(f"there is no Node.js, and {why_not() or 'Chromium is not installed: make browser'}")
        folder = self.folder / "browser"
        folder.mkdir()
        with serving(IN_A_PAGE % source) as page:
            self.add_settings(f"[application:queuey]\ncors_origins = {page.origin}\n")
            self.serve()
            self.assertEqual(visit(chromium, page, "", folder), promised(source))
