"""The commands of the documentation, typed into a shell as they stand, against a live daemon."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.clients import KEY
from tests.live.running import Daemon, free_port, write_settings
from tests.manual import commands, whole

run_in = "test"

ROOT = Path(__file__).parents[3]
#: Commands that stand for themselves: all are tested elsewhere, those of an installation in a fresh Debian.
NOT_RUN = (
    "make ",
    "apt-get ",
    "python3 -m venv ",
    "/opt/queuey/bin/",
    ".venv/bin/",
    "./bin/cassandra/",
    "kill -2 $(cat cassandra.pid)",
)
#: What the page about pushes asks for.
PUSHES = f"""
[application:queuey]
push = true
push_hosts = hooks.example.com

[push]
secrets = {"7a9c" * 16}
"""
#: Printed after each command: its exit status, on a line that no answer of the daemon has.
MARK = "-- ended with "


def script(typed: list[str], port: int) -> str:
    """One shell that runs the commands in their order, and says after each how it ended."""
    lines = [f"{command.replace(':5000', f':{port}')}\nstatus=$?; echo; echo '{MARK}'$status" for command in typed]
    return "\n".join(lines) + "\n"


class DocumentedCommandsTests(SynchronousTestCase):
    """What is documented works."""

    def serve(self, folder: Path) -> int:
        """Start a daemon for one test.

        :return: its port.
        """
        port = free_port()
        twistd = Path(sys.executable).parent / "twistd"
        settings = write_settings(folder, port)
        with settings.open("a", encoding="ascii") as file:
            file.write(PUSHES)
        daemon = Daemon(twistd, ["--config", str(settings)], folder, {})
        self.addCleanup(daemon.kill)
        daemon.wait_until_it_serves(port)
        return port

    def environment(self, folder: Path, port: int) -> dict[str, str]:
        """Settings of curl, and of the command ``queuey``, whose server is on another port here."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"QUEUEY_URL": f"http://127.0.0.1:{port}", "QUEUEY_APPLICATION": "queuey", "QUEUEY_KEY": KEY}
        return {"CURL_HOME": str(folder), "HOME": str(folder), "PATH": path, **own}

    def check(self, text: str) -> None:
        """Run the commands of a text; each has to succeed, and curl to be answered that it did."""
        typed = [one for one in commands(text) if not one.startswith(NOT_RUN)]
        self.assertGreater(len([one for one in typed if one.startswith("curl ")]), 2)
        folder = Path(tempfile.mkdtemp(prefix="queuey-test-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        (folder / ".curlrc").write_text("fail\n", encoding="ascii")
        port = self.serve(folder)
        done = subprocess.run(
            ["bash", "-s"],
            input=script(typed, port),
            cwd=folder,
            env={**os.environ, **self.environment(folder, port)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(re.sub(r"queuey: \d+ (message was|messages were) stored\n", "", done.stderr), "")
        answers = re.split(rf"\n{MARK}(\d+)\n", done.stdout)
        for command, answer, status in zip(typed, answers[::2], answers[1::2], strict=False):
            self.assertEqual(status, "0", f"{command}\n{answer}")
        self.assertEqual(len(answers) // 2, len(typed))

    def test_readme(self) -> None:
        """The tour of two minutes."""
        self.check((ROOT / "README.rst").read_text(encoding="utf-8"))

    def test_quickstart(self) -> None:
        """The whole of a queue's life."""
        self.check((ROOT / "docs" / "quickstart.rst").read_text(encoding="utf-8"))

    def test_api_v1(self) -> None:
        """The reference of the v1 API."""
        self.check((ROOT / "docs" / "api-v1.rst").read_text(encoding="utf-8"))

    def test_api_v2(self) -> None:
        """The guide to the v2 API, whose pages go on from each other."""
        self.check(whole("api-v2"))

    def test_schedules(self) -> None:
        """The page about schedules, which goes on from the guide to the v2 API."""
        pages = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("api-v2/index.rst", "schedules.rst")]
        self.check("\n".join(pages))

    def test_landing_page(self) -> None:
        """The first page of the documentation."""
        self.check((ROOT / "docs" / "index.rst").read_text(encoding="utf-8"))
