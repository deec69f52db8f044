"""Clients that others' generators make of ``openapi.json``: they post, read, claim and settle with a daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SkipTest

from tests.http.described import FILE
from tests.live.clients import KEY
from tests.live.daemon.test_daemon import LiveTestCase

run_in = "test"

HERE: Final = Path(__file__).parent / "generated"
LIMIT: Final = 240.0
MAX_FILES: Final = 180
"""Files of a generated package: with a problem of its own in each answer there were 700."""

PYTHON: Final = """
queue python 1
bytes 1
json 1
text 2
put 204
one b'\\xfe'
read application/octet-stream /g==
read application/json {'pears': 3}
read text/plain;charset=utf-8 two apples
read application/json [1]
more False 0
group 60
settled ['acked', 'acked', 'acked', 'acked']
lag [0]
counts 4
listed ['python']
problem no-such-queue 404
"""

TYPESCRIPT: Final = """
queue typescript 1
application/octet-stream 1
text/plain 1
json 1
batch 2
read application/octet-stream "AP8="
read text/plain "two apples"
read application/json {"pears":3}
read application/json [1]
read application/octet-stream "\\u0000\\u0001\\u0002"
more false 0
group 60
settled acked acked acked acked acked
problem no-such-queue 404
"""


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """Run a program to its end, and return what it prints.

    :raise AssertionError: if it fails.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    if done.returncode:
        raise AssertionError(f"{command} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


class GeneratedTests(LiveTestCase):
    """One program for each generator."""

    def test_python(self) -> None:
        """openapi-python-client makes functions of all operations, and its models fit the answers."""
        package = self.folder / "generated" / "queuey_v2"
        package.parent.mkdir()
        generator = Path(sys.executable).with_name("openapi-python-client")
        options: list[str | Path] = ["--config", HERE / "python.yaml", "--path", FILE, "--output-path", package]
        told = run(generator, "generate", "--meta", "none", *options, folder=self.folder)
        self.assertNotIn("WARNING", told)
        self.assertLess(len(list(package.rglob("*.py"))), MAX_FILES)
        self.serve()
        url = f"http://127.0.0.1:{self.port}"
        told = run(sys.executable, HERE / "program.py", url, KEY, folder=self.folder, PYTHONPATH=str(package.parent))
        self.assertEqual(told, PYTHON.lstrip())

    def test_typescript(self) -> None:
        """openapi-typescript makes types of them, by which the compiler takes a program."""
        node = shutil.which("node")
        if node is None or shutil.which("npm") is None:
            raise SkipTest("there is no Node.js here, or no npm, which the generator of TypeScript needs")
        modules = HERE / "node_modules"
        if not (modules / ".bin" / "tsc").exists():
            raise AssertionError("this machine has npm, and the generator is not there: make generators")
        folder = self.folder / "generated"
        folder.mkdir()
        for name in ("package.json", "tsconfig.json", "program.ts"):
            shutil.copy(HERE / name, folder / name)
        (folder / "node_modules").symlink_to(modules)
        run(modules / ".bin" / "openapi-typescript", FILE, "-o", "api.d.ts", folder=folder)
        run(modules / ".bin" / "tsc", "-p", ".", folder=folder)
        self.serve()
        told = run(node, "program.js", f"http://127.0.0.1:{self.port}", KEY, folder=folder)
        self.assertEqual(told, TYPESCRIPT.lstrip())
