"""What a service manager is notified of, on a clock that the test sets."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from queuey.service.process.supervision import EXTENSION, LONGEST, Supervisor

PID = 4711


class SupervisorTests(SynchronousTestCase):
    """Datagrams, and when they are sent."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="queuey-notify-")
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "notify")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(self.path)
        self.manager.setblocking(False)
        self.clock = Clock()

    def make(self, **environment: str) -> Supervisor:
        return Supervisor(self.clock, {"NOTIFY_SOCKET": self.path, **environment}, PID)

    def told(self) -> list[str]:
        """What has come since the last time."""
        found = []
        while True:
            try:
                found.append(self.manager.recv(65536).decode())
            except BlockingIOError:
                return found

    def test_words(self) -> None:
        """The lines of sd_notify(3); a status is one of them, whatever is in it."""
        supervisor = self.make()
        supervisor.status("opens")
        supervisor.ready("serves\nREADY=0")
        self.assertEqual(self.told(), ["STATUS=opens", "READY=1\nSTATUS=serves READY=0"])
        supervisor.reloading()
        (reloading,) = self.told()
        self.assertRegex(reloading, r"^RELOADING=1\nMONOTONIC_USEC=\d+$")

    def test_watchdog(self) -> None:
        """Half of the time that is allowed, and never more than some seconds, from the timers of the reactor alone."""
        for allowed, pause in ((1.0, 0.5), (8.0, 4.0), (3600.0, LONGEST)):
            supervisor = self.make(WATCHDOG_USEC=str(int(allowed * 1e6)), WATCHDOG_PID=str(PID))
            supervisor.beat()
            self.assertEqual(self.told(), ["WATCHDOG=1"])
            self.clock.advance(pause - 0.01)
            self.assertEqual(self.told(), [])
            self.clock.advance(0.01)
            self.assertEqual(self.told(), ["WATCHDOG=1"])
            self.clock.pump([pause] * 3)
            self.assertEqual(len(self.told()), 3)
            supervisor.end()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_daemon_that_cannot_go_on(self) -> None:
        """The watchdog ends it, and the manager starts it again; other messages are sent as before."""
        alive = [True, False, True]
        environment = {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(PID)}
        supervisor = Supervisor(self.clock, environment, PID, lambda: alive.pop(0))
        supervisor.beat()
        self.assertEqual(self.told(), ["WATCHDOG=1"])
        self.clock.advance(0.5)
        supervisor.status("is broken")
        self.assertEqual(self.told(), ["STATUS=is broken"])
        self.clock.advance(0.5)
        self.assertEqual(self.told(), ["WATCHDOG=1"])
        supervisor.end()

    def test_no_watchdog(self) -> None:
        """Where none is asked for, or one of another process, or what is asked for makes no sense."""
        for environment in (
            {},
            {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(PID + 1)},
            {"WATCHDOG_USEC": "0"},
            {"WATCHDOG_USEC": "-1"},
            {"WATCHDOG_USEC": "soon"},
            {"WATCHDOG_USEC": ""},
        ):
            supervisor = self.make(**environment)
            supervisor.beat()
            self.clock.pump([LONGEST] * 3)
            self.assertEqual(self.told(), [], environment)
            supervisor.end()

    def test_stopping(self) -> None:
        """More time is asked for again and again, before what was asked for is over; the watchdog is still heard."""
        supervisor = self.make(WATCHDOG_USEC="60000000")
        supervisor.beat()
        self.clock.advance(LONGEST / 2)
        self.told()
        supervisor.stopping("ends")
        more = f"WATCHDOG=1\nEXTEND_TIMEOUT_USEC={int(EXTENSION * 1e6)}"
        self.assertEqual(self.told(), ["STOPPING=1\nSTATUS=ends", more])
        self.clock.pump([LONGEST] * 3)
        self.assertEqual(self.told(), [more] * 3)
        self.assertGreaterEqual(EXTENSION, 2 * LONGEST)
        supervisor.end()
        self.clock.pump([LONGEST] * 3)
        self.assertEqual(self.told(), [])

    def test_nobody(self) -> None:
        """Without a manager no message is sent, and no warning is logged."""
        supervisor = Supervisor(self.clock, {"WATCHDOG_USEC": "1000000"}, PID)
        self.assertEqual(self.complaints(supervisor), [])

    def test_deaf(self) -> None:
        """One that is gone is complained of once."""
        self.assertEqual(self.complaints(Supervisor(self.clock, {"NOTIFY_SOCKET": "/nowhere"}, PID)), ["manager-deaf"])

    def test_busy(self) -> None:
        """A manager that does not read delays nothing, and hears what it missed, in order, once it reads."""
        supervisor = self.make()
        supervisor.beat()
        sent = 0
        while len(supervisor._unsent) < 3:
            supervisor.status(str(sent))
            sent += 1
            self.assertLess(sent, 10_000)
        supervisor.ready("serves")
        self.assertEqual(len(self.told()), sent - 3)
        self.clock.advance(LONGEST)
        self.assertEqual(self.told(), [*(f"STATUS={sent - n}" for n in (3, 2, 1)), "READY=1\nSTATUS=serves"])
        supervisor.end()

    def complaints(self, supervisor: Supervisor, times: int = 3) -> list[str]:
        """Events of the log while the manager is sent a message again and again."""
        seen: list[LogEvent] = []

        @provider(ILogObserver)
        def see(event: LogEvent) -> None:
            seen.append(event)

        globalLogPublisher.addObserver(see)
        for _ in range(times):
            supervisor.ready("serves")
        supervisor.stopping("ends")
        supervisor.end()
        globalLogPublisher.removeObserver(see)
        return [event["event"] for event in seen if "event" in event]
