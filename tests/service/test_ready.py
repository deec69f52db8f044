"""When a daemon says that it serves: in its log, to the process that started it, and to the service manager."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from queuey.config import ServerSettings, SqsSettings
from queuey.service.daemon import QueueyService
from queuey.service.process.signals import Signals


class Told:
    """Stands for the process that started the daemon, and for the service manager; notes what they hear."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def leave(self) -> None:
        self.heard.append("leave")

    def ready(self, status: str) -> None:
        self.heard.append(f"ready: {status}")

    def status(self, status: str) -> None:
        self.heard.append(status)


class Stopping(Clock):
    """A clock that can be asked to stop, as a reactor can."""

    def stop(self) -> None:
        """Nothing runs here."""


class ReadyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Stopping()
        self.opened: Deferred[None] = Deferred()
        self.accepts: Deferred[None] = Deferred()
        self.told = Told()
        settings = SimpleNamespace(source="a file", applications=(), server=ServerSettings(), sqs=SqsSettings())
        self.assembly: Any = SimpleNamespace(
            store=SimpleNamespace(opened=lambda: self.opened, capabilities=SimpleNamespace(durable="It is durable.")),
            workers=SimpleNamespace(accepts=lambda: self.accepts),
            in_force=SimpleNamespace(settings=settings),
        )

    def begin(self) -> None:
        ports: Any = SimpleNamespace(addresses=lambda: ["127.0.0.1:5000"])
        told: Any = self.told
        self.service = QueueyService(self.clock, self.assembly, ports, ports, told, told, told, Signals())
        self.service._wait_for_store()

    def logged(self, after: Deferred[None]) -> list[str]:
        """The words that are logged once something has come."""
        with capturedLogs() as events:
            after.callback(None)
        return [event["event"] for event in events]

    def test_with_workers(self) -> None:
        """It serves once a worker accepts, and says so then, everywhere."""
        self.begin()
        self.assertEqual(self.logged(self.opened), ["durability"])
        self.assertEqual(self.told.heard, [])
        self.assertEqual(self.logged(self.accepts), ["started"])
        self.assertEqual(self.told.heard, ["leave", "ready: serves"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_without_workers(self) -> None:
        """It serves once the store has opened."""
        self.assembly.workers = None
        self.begin()
        self.assertEqual(self.logged(self.opened), ["durability", "started"])
        self.assertEqual(self.told.heard, ["leave", "ready: serves"])

    def test_workers_that_are_slow(self) -> None:
        """The manager hears of readiness no sooner for that; the process that started the daemon need not wait so
        long."""
        self.begin()
        self.opened.callback(None)
        self.clock.advance(10)
        self.assertEqual(self.told.heard, ["leave", "waits for its workers"])
        self.assertEqual(self.logged(self.accepts), ["started"])
        self.assertEqual(self.told.heard[2:], ["leave", "ready: serves"])

    def test_a_store_that_is_away(self) -> None:
        """It may be away for long, so the manager is not kept waiting; the log says later that the daemon serves."""
        self.begin()
        self.clock.advance(10)
        self.assertEqual(self.told.heard, ["leave", "ready: waits for its store"])
        self.assertEqual(self.logged(self.opened), ["durability"])
        self.assertEqual(self.logged(self.accepts), ["started"])
        self.assertEqual(self.told.heard[2:], ["leave", "ready: serves"])

    def test_one_that_is_stopped_before(self) -> None:
        """It never says that it serves."""
        self.begin()
        self.opened.callback(None)
        self.service._stop()
        self.assertEqual(self.logged(self.accepts), [])
        self.assertEqual(self.told.heard, ["leave"])
