"""Waiting for an arrival, for one reader and up to a deadline."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed


class ArrivalWait:
    """The wait of one reader. An arrival while the reader does not wait counts at its next wait."""

    __slots__ = ("_arrived", "_expired", "_waiting")

    def __init__(self) -> None:
        self._arrived = False
        self._expired = False
        self._waiting: Deferred[bool] | None = None

    @property
    def _ends_at_once(self) -> bool:
        """Whether a wait that begins now is over at once."""
        return self._expired or self._arrived

    def _wait(self) -> Deferred[bool]:
        """Wait for an arrival; those since the last call count.

        :return: fires with ``True`` if there may be a message, and with ``False`` at the deadline. May be cancelled.
        """
        if self._ends_at_once:
            self._arrived = False
            return succeed(not self._expired)
        self._waiting = Deferred(self._cancelled)
        return self._waiting

    def tell(self) -> None:
        """Learn that something may have come."""
        if self._waiting is None:
            self._arrived = True
        else:
            self._fire(True)

    def expire(self) -> None:
        """Learn that the deadline has come."""
        self._expired = True
        self._fire(False)

    def _fire(self, come: bool) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(come)

    def _cancelled(self, waiting: Deferred[bool]) -> None:
        self._waiting = None
