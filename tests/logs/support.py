"""What the tests of the log share."""

from __future__ import annotations

from twisted.logger import ILogObserver
from zope.interface import implementer

from queuey.logs.styles import Event


@implementer(ILogObserver)
class Events:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.all.append(event)
