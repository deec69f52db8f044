"""The circuit of a push: after some failures in a row it lets one attempt through at a time, with growing pauses."""

from __future__ import annotations

from typing import Final

from queuey.model.pushes.outcomes import pause

FAILURES: Final = 10
"""Failures in a row that open the circuit."""

LONGEST: Final = 600.0
"""Maximum number of seconds between two attempts while it is open: an endpoint that is back is found soon."""


class Circuit:
    """Counts failures in a row. Times are seconds of one clock.

    :ivar failures: in a row.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._pauses = 0
        self._decided = 0.0
        self._not_before = 0.0

    @property
    def open(self) -> bool:
        """Whether only one attempt at a time is let through."""
        return self.failures >= FAILURES

    def allowed(self, parallel: int) -> int:
        """Return the maximum number of attempts at the same time."""
        return 1 if self.open else parallel

    def wait(self, now: float) -> float:
        """Return the seconds until the next attempt may begin; 0 if it may begin now."""
        return max(0.0, self._not_before - now) if self.open else 0.0

    def succeeded(self) -> None:
        """Note that the endpoint accepted a message, or refused one because of its content."""
        self.reset()

    def failed(self, began: float, now: float, random: float, retry_after: float = 0.0) -> None:
        """Note a failure.

        The pauses grow with each attempt that was let through for a test. Attempts that began before a pause do not
        make the next one longer: when an endpoint goes down, all requests that are under way fail at once.

        :param began: when the attempt began.
        :param random: from 0 to 1, spreads the attempts of many pushes.
        :param retry_after: seconds that the endpoint asks for.
        """
        self.failures += 1
        if not self.open:
            return
        wait = retry_after
        if not self._pauses or began > self._decided:
            self._pauses, self._decided = self._pauses + 1, now
            wait = max(wait, pause(self._pauses, random, LONGEST))
        self._not_before = max(self._not_before, now + wait)

    def reset(self) -> None:
        """Begin again, because an operator or a client has changed the push."""
        self.failures, self._pauses, self._not_before = 0, 0, 0.0
