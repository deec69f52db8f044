"""A service manager for tests: the notification socket and sockets that are handed down."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.live.running import LIMIT

TWISTD = Path(sys.executable).parent / "twistd"

#: What the manager tells itself, to know that it has noted all that came before.
_MARK = "TEST_MARK"

#: Starts what follows with its own pid in LISTEN_PID, as systemd does it between fork and exec.
_AS_LISTENER = 'LISTEN_PID=$$ exec "$@"'


class Manager:
    """Receives datagrams in a thread.

    :ivar told: each datagram as its lines, with the time of CLOCK_MONOTONIC at which it came.
    """

    def __init__(self, address: str) -> None:
        """:param address: as ``NOTIFY_SOCKET`` has it: a path, or a name that begins with ``@``."""
        self.address = address
        self.told: list[tuple[float, dict[str, str]]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self._socket.settimeout(0.1)
        self._ends = False
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def end(self) -> None:
        """Listen no more."""
        self._ends = True
        self._thread.join(LIMIT)
        self._socket.close()

    def _listen(self) -> None:
        while not self._ends:
            try:
                text = self._socket.recv(65536).decode()
            except TimeoutError:
                continue
            lines = dict(line.split("=", 1) for line in text.split("\n"))
            self.told.append((time.monotonic(), lines))

    def catch_up(self) -> None:
        """Return once everything that was sent before this call is noted."""
        before = len(self.values(_MARK))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.sendto(f"{_MARK}=1".encode(), self._socket.getsockname())
        deadline = time.monotonic() + LIMIT
        while len(self.values(_MARK)) == before:
            assert time.monotonic() < deadline, "the manager does not listen"
            time.sleep(0.01)

    def values(self, name: str) -> list[str]:
        """The values that came under a name, in order."""
        return [lines[name] for _, lines in list(self.told) if name in lines]

    def times(self, name: str) -> list[float]:
        """When a value came under a name."""
        return [moment for moment, lines in list(self.told) if name in lines]


class Managed:
    """One daemon as a service manager starts it."""

    def __init__(
        self,
        settings: Path,
        sockets: Mapping[str, socket.socket],
        environment: Mapping[str, str],
        program: Sequence[str] = (str(TWISTD),),
    ) -> None:
        """Start it.

        :param sockets: handed down from descriptor 3 on, under these names.
        """
        names, held = list(sockets), list(sockets.values())
        listening = {"LISTEN_FDS": str(len(held)), "LISTEN_FDNAMES": ":".join(names)} if held else {}
        command = [*program, "--nodaemon", "--pidfile=", "queuey", "--config", str(settings)]
        self.log = settings.parent / f"output-{settings.stem}"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                # Numbers of descriptors may be each other's: each goes to a high one first.
                ["bash", "-c", f"{_moved(held)}{_AS_LISTENER}" if held else 'exec "$@"', "sh", *command],
                cwd=settings.parent,
                env={**os.environ, **listening, **environment},
                pass_fds=[one.fileno() for one in held],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; its exit status."""
        return self.process.wait(LIMIT)

    def kill(self) -> None:
        """End it whatever it does; nothing where it has ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT)


def _moved(held: Sequence[socket.socket]) -> str:
    """Shell commands that put sockets on the descriptors from 3 on."""
    high = [f"exec {200 + number}<&{one.fileno()}; " for number, one in enumerate(held)]
    low = [f"exec {3 + number}<&{200 + number} {200 + number}<&-; " for number in range(len(held))]
    return "".join(high + low)
