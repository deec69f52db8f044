"""One daemon over one folder, and all that can happen to it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.trial.unittest import SkipTest

from tests.histories.groups.crew import ServerClock
from tests.histories.groups.history import Fault, GroupHistory
from tests.histories.proxy import Proxy
from tests.live.failures import set_clock
from tests.live.failures.disks import Disk
from tests.live.running import WORKERS, Daemon, children, free_port, write_settings

ROOT: Final = Path(__file__).parents[3]

JUMPS: Final = (3.0, -2.0, 1.0, 0.0)
"""Seconds to which the daemon's clock is set, off from the machine's: none of them is far from the one before."""

FARTHEST: Final = 5.0
"""Seconds by which it is set back at the most."""

SETTLES: Final = FARTHEST + 2.0
"""Seconds after which everything that was posted shows: what is due, by a clock that is set back."""

PAUSED: Final = (0.5, 2.5)
"""Seconds for which it is paused: longer than the leases of some groups."""

FULL: Final = (0.5, 1.5)
"""Seconds for which its disk is full."""

ROOM: Final = "96m"
"""How large its disk is."""


class OneDaemon:
    """A daemon on SQLite, whose clock and disk a test has in its hands.

    :ivar proxy: before it, for clients; it is the same while daemons come and go.
    :ivar why_no_disk: why its disk cannot be filled; empty where it can.
    """

    process = "daemon"

    def __init__(
        self,
        folder: Path,
        seed: int,
        history: GroupHistory,
        clock: ServerClock,
        ends: ExitStack,
        workers: int = WORKERS,
        more: str = "",
    ) -> None:
        """Start nothing yet.

        :param ends: ends all that was begun.
        :param more: more settings.
        :param workers: processes that serve for it; its clock is set only where there is one, since each has its own.
        """
        self._workers = workers
        self._more = more
        self.port = free_port()
        self.why_no_disk = ""
        self.proxy = Proxy("daemon", self.port, Random(f"proxy of {seed}"))
        ends.callback(self.proxy.close)
        self._folder = folder
        self._random = Random(f"faults of {seed}")
        self._history = history
        self._clock = clock
        self._runs = 0
        self._daemon: Daemon | None = None
        self._disk = self._make_disk(ends)
        self._offset = folder / "offset"
        self._offset.write_text("0")
        ends.callback(self._end)

    def _make_disk(self, ends: ExitStack) -> Disk | None:
        class Case:
            def addCleanup(self, function: Callable[..., Any], /, *arguments: Any) -> None:
                ends.callback(function, *arguments)

        try:
            return Disk(Case(), self._folder / "disk", ROOM)
        except SkipTest as reason:
            self.why_no_disk = str(reason)
            return None

    @property
    def data(self) -> Path:
        """Where its data is."""
        return (self._folder if self._disk is None else self._disk.path) / "data"

    def start(self) -> None:
        """Start it on a port of its own, and wait until it serves."""
        self.port = free_port()
        settings = write_settings(self._folder, self.port, self._workers)
        text = settings.read_text().replace(str(self._folder / "data"), str(self.data))
        settings.write_text(text + self._more)
        twistd = [sys.executable, set_clock.__file__, str(self._offset)]
        self._set_output_aside()
        self._daemon = Daemon(twistd, ["--config", str(settings)], self._folder, {"PYTHONPATH": str(ROOT)})
        self._daemon.wait_until_it_serves(self.port)
        self.proxy.point(self.port)

    @property
    def daemon(self) -> Daemon:
        """Its process."""
        assert self._daemon is not None
        return self._daemon

    def stop(self) -> None:
        """Ask it to end."""
        status = self.daemon.signal(signal.SIGTERM)
        assert status == 0, self.log()[-4000:]

    def _set_output_aside(self) -> None:
        """Keep what the daemon before this one wrote; workers that outlive a killed daemon go on writing there."""
        output = self._folder / "output"
        if output.exists():
            self._runs += 1
            output.rename(self._folder / f"output.{self._runs}")

    def log(self) -> str:
        """Return what the daemon and its workers wrote, in all runs so far."""
        files = [*(self._folder / f"output.{run + 1}" for run in range(self._runs)), self._folder / "output"]
        return "".join(
            f"--- run {run}\n{file.read_text(encoding='utf-8', errors='replace')}"
            for run, file in enumerate(files, 1)
            if file.exists()
        )

    def defects(self) -> Iterator[str]:
        """Lines of its log, in all its runs, that speak of defects of its own."""
        for line in self.log().splitlines():
            if any(word in line for word in (" critical ", "Traceback", "Unhandled error")):
                yield line

    def _end(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()

    # What can happen to it

    def break_something(self) -> None:
        """Any of it, and all is well again."""
        own = self.set_clock if self._workers == 1 else self.kill_worker
        self._random.choice((self.kill, self.kill, self.pause, own, self.fill))()

    def kill(self) -> None:
        """kill -9, and another one over the same folder."""
        with self._noted("kill -9"):
            self.daemon.kill()
            self.start()

    def kill_worker(self) -> None:
        """kill -9 of one of its workers, in whose place it starts another one."""
        with self._noted("kill -9 of a worker"):
            os.kill(self._random.choice(children(self.daemon.pid)), signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP, and SIGCONT after some time."""
        with self._noted("pause"):
            os.kill(self.daemon.pid, signal.SIGSTOP)
            time.sleep(self._random.uniform(*PAUSED))
            os.kill(self.daemon.pid, signal.SIGCONT)

    def set_clock(self, ahead: float | None = None) -> None:
        """Set its clock, forward or back."""
        ahead = self._random.choice(JUMPS) if ahead is None else ahead
        forward = ahead > self._clock.ahead
        with self._noted("clock set forward" if forward else "clock set back", sets_clock=True):
            if forward:
                self._clock.set(ahead)
            with self._offset.open("r+") as file:  # in place: the daemon has the file open
                file.write(f"{ahead:<20}")
            self._clock.set(ahead)

    def fill(self) -> None:
        """Fill its disk, and make room again after some time."""
        if self._disk is None:
            return
        with self._noted("full disk"):
            self._disk.fill()
            time.sleep(self._random.uniform(*FULL))
            (self._disk.path / "ballast").unlink()

    @contextmanager
    def _noted(self, kind: str, sets_clock: bool = False) -> Iterator[None]:
        at = time.monotonic()
        yield
        self._history.broken(Fault(kind, at, time.monotonic(), sets_clock))
