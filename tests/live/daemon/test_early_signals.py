"""Signals at each step of the start: the daemon ends with status 0, and what it has begun it ends in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from tests.live.daemon.test_daemon import LiveTestCase, end, wait_until
from tests.live.running import LIMIT, Daemon, write_settings

#: Runs twistd. The process gets a signal when it calls a function for the first time, or has called it.
STRUCK = """
import importlib, os, sys
from functools import reduce
module, names, when, number = os.environ["STRUCK"].split()
*path, name = names.split(".")
owner = reduce(getattr, path, importlib.import_module(module))
function = getattr(owner, name)
def strike():
    if not os.path.exists("struck"):
        open("struck", "w").close()
        os.kill(os.getpid(), int(number))
def called(*arguments, **named):
    if when == "before":
        strike()
    try:
        return function(*arguments, **named)
    finally:
        strike()
setattr(owner, name, called)
from twisted.scripts.twistd import run
run()
"""

_SERVICE = "queuey.service.daemon QueueyService"
_REACTOR = "twisted.internet.base ReactorBase"

FIRST = "queuey.service log_place before"
LAST = f"{_SERVICE}.privilegedStartService before"
"""In the background, the daemon is on its own by then; the command waits for it."""

TOLD = "queuey.service.process.supervision Supervisor.ready after"
"""Once the service manager has been told that the daemon serves."""

NOTHING_BEGUN = (FIRST, "queuey.service assemble after", LAST)
"""Steps, in their order, at which nothing has begun that is to be ended."""

BEGUN = (
    f"{_SERVICE}.privilegedStartService after",
    "queuey.storage.sqlite.store SQLiteStore.open before",
    "queuey.storage.sqlite.store SQLiteStore.open after",
    TOLD,
    f"{_REACTOR}.run before",
    f"{_REACTOR}._reallyStartRunning before",
    "twisted.internet._signals _WithSignalHandling.install before",
    "twisted.internet._signals _WithSignalHandling.install after",
    f"{_REACTOR}.mainLoop before",
)
"""Those that follow, up to the first turn of the reactor."""

OF_WORKERS = (
    "queuey.service.workers.workers Worker.start before",
    "queuey.service.workers.workers Workers.start after",
)
"""Steps that there are only with several workers."""

STARTS = 8
"""Starts of which each gets its signal a little later than the one before."""


class StruckCase(LiveTestCase):
    """Daemons that get a signal while they start."""

    def environment(self, step: str, number: int) -> dict[str, str]:
        """What lets a daemon have a signal at a step."""
        for name in ("output", "struck", "twistd.log"):
            (self.folder / name).unlink(missing_ok=True)
        return {"STRUCK": f"{step} {int(number)}"}

    def start(self, step: str, number: int, workers: int = 1) -> Daemon:
        """Start a daemon."""
        environment = self.environment(step, number)
        settings = write_settings(self.folder, self.port, workers)
        daemon = Daemon([sys.executable, "-c", STRUCK], ["--config", str(settings)], self.folder, environment)
        self.addCleanup(daemon.kill)
        return daemon

    def check(self, step: str, number: int, *, begun: bool, workers: int = 1) -> None:
        """A daemon ends as it should."""
        daemon = self.start(step, number, workers)
        status, output, where = daemon.wait(), daemon.output(), f"{step} with {workers} workers"
        self.assertTrue((self.folder / "struck").exists(), where)
        self.assertEqual(status, 0, f"{where}:\n{output}")
        self.assertNotIn("Traceback", output, where)
        self.assertEqual(" info stopped " in output, begun, f"{where}:\n{output}")


class ForegroundTests(StruckCase):
    """twistd --nodaemon, as service managers run it."""

    def test_nothing_begun(self) -> None:
        """It ends at once."""
        for step, number in ((FIRST, signal.SIGINT), *((step, signal.SIGTERM) for step in NOTHING_BEGUN)):
            self.check(step, number, begun=False)
        self.assertFalse((self.folder / "data").exists())

    def test_begun(self) -> None:
        """The start is finished, and all ended in order."""
        for step in BEGUN:
            self.check(step, signal.SIGTERM, begun=True)
        self.check(TOLD, signal.SIGINT, begun=True)

    def test_several_workers(self) -> None:
        """The same where other processes are started."""
        for step in OF_WORKERS:
            self.check(step, signal.SIGTERM, begun=True, workers=2)

    def test_other_signals(self) -> None:
        """SIGHUP and SIGUSR1 end nothing; what they ask for is done once the reactor runs."""
        for step in (FIRST, LAST):
            for number in (signal.SIGHUP, signal.SIGUSR1):
                daemon = self.start(step, number)
                daemon.wait_until_it_serves(self.port)
                if number == signal.SIGHUP:
                    wait_until(lambda log=daemon.output: " info reloaded " in log(), step)  # type: ignore[misc]
                self.assertEqual(daemon.signal(signal.SIGTERM), 0, daemon.output())

    def test_later_and_later(self) -> None:
        """Before twistd knows Queuey, SIGTERM ends the process, and nothing has begun."""
        began = time.monotonic()
        daemon = self.serve()
        took = time.monotonic() - began
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        for number in range(STARTS):
            (self.folder / "output").unlink()
            daemon = self.begin()
            time.sleep(took * number / STARTS)
            status, output = daemon.signal(signal.SIGTERM), daemon.output()
            if status == -signal.SIGTERM:
                self.assertEqual(output, "")
            else:
                self.assertEqual(status, 0, output)
                self.assertNotIn("Traceback", output)


class BackgroundTests(StruckCase):
    """twistd without --nodaemon."""

    def command(self, *program: str) -> list[str]:
        """Start a daemon in the background."""
        return [*program, "--pidfile", "twistd.pid", "queuey", "--config", str(self.settings)]

    def run_it(self, step: str, workers: int = 1) -> tuple[int, str]:
        """Let a daemon have SIGTERM; how the command ended, and what it printed."""
        environment = self.environment(step, signal.SIGTERM)
        write_settings(self.folder, self.port, workers)
        done = subprocess.run(
            self.command(sys.executable, "-c", STRUCK),
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * LIMIT,
        )
        self.assertTrue((self.folder / "struck").exists(), step)
        return done.returncode, done.stdout + done.stderr

    def test_nothing_begun(self) -> None:
        """The command ends, and there is no daemon."""
        self.assertEqual(self.run_it(FIRST), (0, ""))
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["queuey.ini", "struck"])

    def test_begun(self) -> None:
        """The start is finished, which the command waits for; then the daemon stops in order."""
        for step, workers in ((LAST, 1), (TOLD, 1), (OF_WORKERS[0], 2)):
            self.assertEqual(self.run_it(step, workers), (0, ""), step)
            wait_until(lambda: not (self.folder / "twistd.pid").exists(), "it did not stop")
            self.assertIn(" info stopped ", (self.folder / "twistd.log").read_text(), step)

    def test_the_command(self) -> None:
        """The process that only waits for the daemon is ended by a signal, as any other; the daemon goes on."""
        # The daemon waits in its start until the test says so.
        waits = "import os, time\nfrom queuey.storage.sqlite.store import SQLiteStore\nopened = SQLiteStore.open\n"
        waits += "def wait(self):\n    while not os.path.exists('go'):\n        time.sleep(0.02)\n    opened(self)\n"
        waits += "SQLiteStore.open = wait\nfrom twisted.scripts.twistd import run\nrun()\n"
        command = subprocess.Popen(self.command(sys.executable, "-c", waits), cwd=self.folder, stdin=subprocess.DEVNULL)
        pid = self.folder / "twistd.pid"
        wait_until(lambda: pid.exists() and pid.read_text() != "", "there is no daemon")
        self.addCleanup(end, int(pid.read_text()))
        command.send_signal(signal.SIGTERM)
        self.assertEqual(command.wait(LIMIT), -signal.SIGTERM)
        (self.folder / "go").touch()
        log = self.folder / "twistd.log"
        wait_until(lambda: log.exists() and " info started " in log.read_text(), "it does not serve")
