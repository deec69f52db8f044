"""How the checks run their parts: no process outlives them, and every end is reported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.checks import Interrupted, Processes, members

run_in = "test"


class ProcessesTests(SynchronousTestCase):
    """Commands in process groups of their own."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.output = self.folder / "output"

    def run_shell(self, script: str, limit: float = 60, processes: Processes | None = None) -> str:
        """Run a script of the shell; its first line is its process group."""
        command = ["sh", "-c", f"echo $$; {script}"]
        return (processes or Processes()).run(command, self.output, dict(os.environ), limit)

    def left(self) -> list[str]:
        """What still runs of the script's group."""
        return list(members(int(self.output.read_text(encoding="ascii").split()[0])))

    def test_ends_well(self) -> None:
        """No problem, and its output is kept."""
        self.assertEqual(self.run_shell("echo done >&2"), "")
        self.assertEqual(self.output.read_text(encoding="ascii").split()[1:], ["done"])

    def test_fails(self) -> None:
        """The exit status is the problem."""
        self.assertEqual(self.run_shell("exit 3"), "exit status 3")

    def test_is_ended_after_its_time(self) -> None:
        """With what it started."""
        self.assertEqual(self.run_shell("sleep 600 & sleep 600", limit=0.5), "not done after 0 s")
        self.assertEqual(self.left(), [])

    def test_leaves_something_running(self) -> None:
        """Which is found and ended."""
        self.assertEqual(self.run_shell("sleep 600 &"), "left processes running: sleep")
        self.assertEqual(self.left(), [])

    def test_nothing_starts_once_all_is_ended(self) -> None:
        """Parts that were to come are given up."""
        processes = Processes()
        processes.end()
        self.assertRaises(Interrupted, self.run_shell, "true", processes=processes)

    def test_interrupted_run(self) -> None:
        """SIGTERM ends a whole run of the checks in time, with status 130 and without counts."""
        environment = {**os.environ, "TMPDIR": str(self.folder)}
        command = [sys.executable, "-m", "tests.checks", "mypy"]
        with self.output.open("wb") as stream:
            root = Path(__file__).parents[3]
            child = subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=stream)
        self.addCleanup(child.kill)
        deadline = time.monotonic() + 30
        while not list(self.folder.glob("queuey-checks-*/mypy/output")) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.terminate()
        self.assertEqual(child.wait(60), 130)
        self.assertEqual(self.output.read_text(encoding="ascii"), "interrupted\n")
        self.assertEqual(list(self.folder.glob("queuey-checks-*")), [])
