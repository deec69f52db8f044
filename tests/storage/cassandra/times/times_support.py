"""What the tests of both kinds of front ends share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

WALL = 1_700_000_000.0
"""Where the clocks of these tests begin: seconds since 1970."""


class TimesCase(SynchronousTestCase):
    """A test that sees what is logged."""

    def setUp(self) -> None:
        self._events: list[Mapping[str, Any]] = []
        observer = cast(ILogObserver, self._events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def events(self, *words: str) -> list[str]:
        """The event words that were logged, of those that are asked for."""
        return [event["event"] for event in self._events if event.get("event") in words]

    def texts(self, word: str) -> list[str]:
        """What the lines with an event word say."""
        return [formatEvent(dict(event)) for event in self._events if event.get("event") == word]
