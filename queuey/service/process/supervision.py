"""Messages to the service manager, by the protocol of sd_notify(3) and sd_watchdog_enabled(3).

It is one datagram with a line ``NAME=value`` for each thing, to the socket that the environment names; a name that
begins with ``@`` is abstract. Without such a name no message is sent.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from queuey.logs import EventLog

LONGEST: Final = 10.0
"""Maximum pause in seconds between two beats."""

EXTENSION: Final = 3 * LONGEST
"""Seconds for which the manager is asked to wait longer, with each beat of a daemon that stops."""

MAX_UNSENT: Final = 20
"""Datagrams that wait for a manager that is busy; of more, the oldest are of no use any more."""

_log = EventLog(Logger(namespace="queuey.service"))


def _always() -> bool:
    return True


class Supervisor:
    """The service manager, if there is one.

    Messages are sent from the reactor, so none is sent if the reactor hangs. Whether the store answers is not part of
    the watchdog: a restart mends neither a disk nor a cluster, and ends what waits for them; ``/ready`` reports it.

    :param environment: has the name of the socket.
    :param pid: of this process.
    :param alive: whether the daemon may go on; if not, the watchdog is not fed, so that the daemon is restarted.
    """

    def __init__(
        self, clock: IReactorTime, environment: Mapping[str, str], pid: int, alive: Callable[[], bool] = _always
    ) -> None:
        self._clock = clock
        self._alive = alive
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = f"\0{self._address[1:]}"
        watchdog = _watchdog(environment, pid) if self._address else None
        self._watchdog = watchdog is not None
        # Half of the time, as the manual advises: a beat may be late.
        self._pause = LONGEST if watchdog is None else min(LONGEST, watchdog / 2)
        self._call: IDelayedCall | None = None
        self._stopping = False
        self._complained = False
        self._unsent: deque[bytes] = deque(maxlen=MAX_UNSENT)

    def ready(self, status: str) -> None:
        """The daemon serves."""
        self._tell("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """Report the state of the daemon to the service manager, in one line."""
        self._tell(f"STATUS={status}")

    def reloading(self) -> None:
        """Report that the settings are being read again; :meth:`ready` ends that."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """It comes to its end, which may take long; every beat asks for more time as long as the reactor turns."""
        self._stopping = True
        self._tell("STOPPING=1", f"STATUS={status}")
        self._rest()
        self.beat()

    def beat(self) -> None:
        """Show that the reactor turns, now and from now on."""
        lines = ["WATCHDOG=1"] if self._watchdog and self._alive() else []
        if self._stopping:
            lines.append(f"EXTEND_TIMEOUT_USEC={round(EXTENSION * 1e6)}")
        if lines:
            self._tell(*lines)
        elif self._unsent:
            self._send()
        self._call = self._clock.callLater(self._pause, self.beat)

    def end(self) -> None:
        """Stop sending beats."""
        self._rest()

    def _rest(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _tell(self, *lines: str) -> None:
        if self._address:
            text = "\n".join(line.replace("\n", " ") for line in lines)
            self._unsent.append(text.encode("utf-8", "replace"))
            self._send()

    def _send(self) -> None:
        """Send what was not sent yet; a manager that is busy has no room for it, and gets it with the next beat."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
                while self._unsent:
                    channel.sendto(self._unsent[0], self._address)
                    self._unsent.popleft()
        except BlockingIOError:
            return
        except OSError as error:
            self._unsent.clear()
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            _log.warn("manager-deaf", "the service manager cannot be reached: {error}", error=error.strerror)


def _watchdog(environment: Mapping[str, str], pid: int) -> float | None:
    """The interval, in seconds, in which the manager expects a beat; ``None`` if it expects none, or one of another
    process."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() and int(text) else None


def own_supervisor(clock: IReactorTime, alive: Callable[[], bool]) -> Supervisor:
    """The manager of this process."""
    return Supervisor(clock, os.environ, os.getpid(), alive)
