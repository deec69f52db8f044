"""Signals before the reactor runs, and while it does."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.service.process.signals import TAKEN, Signals


class Reactor:
    """A reactor that runs what the test says."""

    sigTerm: Any = None
    sigInt: Any = None

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def callFromThread(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class SignalsTests(SynchronousTestCase):
    """Each signal, as the process gets it; the handlers of this process stay as they are."""

    def setUp(self) -> None:
        self.ended: list[int] = []
        self.done: list[signal.Signals] = []
        self.reactor = Reactor()
        self.signals = Signals(self.ended.append)

    def serve(self) -> None:
        self.signals.serve(self.reactor, {number: lambda number=number: self.done.append(number) for number in TAKEN})  # type: ignore[misc]

    def test_nothing_has_begun(self) -> None:
        """Two of them end the process; the others are done later."""
        for number in TAKEN:
            self.signals.caught(number)
        self.assertEqual(self.ended, [0, 0])
        self.serve()
        self.reactor.turn()
        self.assertEqual(self.done, [signal.SIGHUP, signal.SIGUSR1])

    def test_something_has_begun(self) -> None:
        """Each has its action, in the reactor, whichever code set the handlers: those of the reactor are the same."""
        self.serve()
        for handler, number in (
            (self.signals.caught, signal.SIGTERM),
            (self.reactor.sigTerm, signal.SIGTERM),
            (self.reactor.sigInt, signal.SIGINT),
            (self.signals.caught, signal.SIGHUP),
        ):
            handler(int(number), None)
        self.assertEqual((self.ended, self.done), ([], []))
        self.reactor.turn()
        self.assertEqual(self.done, [signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])

    def test_in_the_background(self) -> None:
        """A daemon that another process waits for is started first."""
        self.signals.in_background()
        self.signals.caught(signal.SIGTERM)
        self.serve()
        self.reactor.turn()
        self.assertEqual((self.ended, self.done), ([], [signal.SIGTERM]))
