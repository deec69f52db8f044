"""Whether load balancers should leave this front end out, and since when."""

from __future__ import annotations

from collections.abc import Callable


def _nothing() -> None:
    """Ignore the call."""


class Draining:
    """The drain: operators begin and end it; a daemon that is about to stop begins it permanently.

    :param seconds: the time in seconds, by a monotonic clock.
    :param begun: is called when an operator begins it.
    :ivar asked: whether an operator has asked for it.
    :ivar stopping: whether the daemon is about to stop.
    """

    def __init__(self, seconds: Callable[[], float], begun: Callable[[], object] = _nothing) -> None:
        self._seconds = seconds
        self._begun = begun
        self._since: float | None = None
        self.asked = False
        self.stopping = False

    @property
    def on(self) -> bool:
        """Whether it is so."""
        return self.asked or self.stopping

    @property
    def lasted(self) -> float:
        """For how many seconds it has been so."""
        return 0.0 if self._since is None else self._seconds() - self._since

    def ask(self, on: bool) -> None:
        """Begin or end it for an operator."""
        begins = on and not self.asked
        self.asked = on
        self._changed()
        if begins:
            self._begun()

    def stop(self) -> None:
        """Begin it permanently, because the daemon stops."""
        self.stopping = True
        self._changed()

    def _changed(self) -> None:
        if not self.on:
            self._since = None
        elif self._since is None:
            self._since = self._seconds()
