"""A daemon as a process of its own: started on a free port of loopback, waited for, and stopped by its pid."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Seconds that a daemon may take to serve, and to stop.
LIMIT = 60.0

#: How many workers the daemons of these tests have; QUEUEY_WORKERS in the environment sets it for all of them.
WORKERS = int(os.environ.get("QUEUEY_WORKERS", "1"))

#: The settings of these tests: one application with the key of the built-in settings, on another port.
SETTINGS = """\
[server]
http = tcp:{port}:interface=127.0.0.1
workers = {workers}

[storage]
backend = sqlite
path = {data}

[application_keys]
queuey = f25bfb8fe200475c8a0532a9cbe7651e
"""


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def children(pid: int) -> list[int]:
    """The processes that one has started, as the kernel lists them."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def write_settings(folder: Path, port: int, workers: int = WORKERS) -> Path:
    """Write a file of settings for a daemon whose data is in the same folder."""
    target = folder / "queuey.ini"
    target.write_text(SETTINGS.format(port=port, data=folder / "data", workers=workers), encoding="utf-8")
    return target


def answers(url: str) -> bool:
    """Whether a GET of this is answered 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Daemon:
    """One running twistd."""

    def __init__(
        self, twistd: Path | Sequence[str], arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        """Start it.

        :param twistd: the program, or the command that runs it.
        """
        command = [str(twistd)] if isinstance(twistd, Path) else [*twistd]
        self._log = folder / "output"
        with self._log.open("ab") as stream:
            self._process = subprocess.Popen(
                # A shell that starts its children in the background has them ignore SIGINT, and they pass that on.
                ["env", "--default-signal=INT,QUIT", *command, "--nodaemon", "--pidfile=", "queuey", *arguments],
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def wait(self) -> int:
        """Wait for its end.

        :return: its exit status.
        """
        return self._process.wait(LIMIT)

    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_until_it_serves(self, port: int) -> None:
        """Return once the heartbeat is answered 200.

        :raise AssertionError: where it ends or the time is over before that, with what it printed.
        """
        deadline = time.monotonic() + LIMIT
        while not answers(f"http://127.0.0.1:{port}/__heartbeat__"):
            if self._process.poll() is not None:
                raise AssertionError(f"ended with status {self._process.returncode}:\n{self.output()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"does not serve after {LIMIT:.0f} s:\n{self.output()}")
            time.sleep(0.05)

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def signal(self, number: int) -> int:
        """Send it a signal that ends it, and wait for that.

        :return: its exit status.
        """
        self.send(number)
        return self._process.wait(LIMIT)

    def kill(self) -> None:
        """End it whatever it does; nothing where it has ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(LIMIT)
