"""Whether load balancers should leave this front end out, and since when."""

from __future__ import annotations

from collections.abc import Callable


class Draining:
    """Begun and ended by operators; begun for good by a daemon that is about to stop.

    :param seconds: the time in seconds, by a monotonic clock.
    :ivar asked: whether an operator has asked for it.
    :ivar stopping: whether the daemon is about to stop.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
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
        self.asked = on
        self._changed()

    def stop(self) -> None:
        """Begin it for good."""
        self.stopping = True
        self._changed()

    def _changed(self) -> None:
        if not self.on:
            self._since = None
        elif self._since is None:
            self._since = self._seconds()
