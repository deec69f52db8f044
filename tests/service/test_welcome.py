"""What is printed when the built-in settings are served."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from queuey.config import development
from queuey.service.process.log_location import LogPlace, log_place, welcome


class WelcomeTests(SynchronousTestCase):
    def lines(
        self,
        place: LogPlace,
        address: str = "127.0.0.1:5000",
        dashboard: str | None = None,
        operators: Sequence[str] = ("unix socket /d/queuey-data/queuey-ops.sock",),
        python: str = "/v/bin/python",
    ) -> list[str]:
        return welcome(development(Path("/d")), [address], list(operators), dashboard, place, python)

    def test_foreground(self) -> None:
        """Where everything is, three commands of the second API, and how to stop."""
        lines = self.lines(log_place(None, {"nodaemon": True, "pidfile": ""}))
        self.assertIn("  operators    unix socket /d/queuey-data/queuey-ops.sock", lines)
        self.assertEqual([line.split()[0] for line in lines if "http://" in line], ["curl"] * 3)
        for line in lines:
            if "http://" in line:
                self.assertIn("http://127.0.0.1:5000/v2/queuey/queues/first", line)
        self.assertEqual(lines[-2:], ["Ctrl-C stops the daemon.", ""])

    def test_operators(self) -> None:
        """The command that asks this daemon for its state, wherever its data is and in whichever folder it is typed."""
        folder = Path(self.mktemp())
        folder.mkdir()
        place = log_place(None, {"nodaemon": True})
        (folder / "queuey").touch()
        installed, elsewhere = str(folder / "python"), "/no folder/python"
        lines = self.lines(place, python=installed)
        self.assertIn(f"  {folder}/queuey ops --to unix:/d/queuey-data/queuey-ops.sock status", lines)
        lines = self.lines(place, operators=["unix socket /a b/q.sock"], python=elsewhere)
        self.assertIn("  queuey ops --to 'unix:/a b/q.sock' status", lines)
        self.assertNotIn(" ops ", "".join(self.lines(place, operators=["127.0.0.1:5001"])))

    def test_dashboard(self) -> None:
        """The URL that signs in at the dashboard, if there is one."""
        place = log_place(None, {"nodaemon": True})
        url = "http://127.0.0.1:5002/#token=abc"
        self.assertIn(f"  dashboard    {url}", self.lines(place, dashboard=url))
        self.assertNotIn("dashboard", "".join(self.lines(place)))

    def test_background(self) -> None:
        """There is no terminal to type Ctrl-C in: the command that stops it."""
        place = log_place(None, {"pidfile": "a pid", "rundir": "/run dir"})
        self.assertIn("This stops the daemon: kill \"$(cat '/run dir/a pid')\"", self.lines(place))
        self.assertIn(f"This stops the daemon: kill {os.getpid()}", self.lines(log_place(None, {"pidfile": ""})))

    def test_a_socket(self) -> None:
        lines = self.lines(log_place(None, {"nodaemon": True}), "unix socket /a b/q.sock")
        commands = [line for line in lines if line.startswith("  curl")]
        self.assertEqual(len(commands), 3)
        for command in commands:
            self.assertIn("curl --unix-socket '/a b/q.sock' ", command)
            self.assertIn("http://localhost/v2/", command)
