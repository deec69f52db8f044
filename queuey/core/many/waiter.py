"""A reader of many queues while it waits."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from queuey.model.reading.many import StorePosition


class ManyWaiter:
    """A reader of a choice while it waits.

    :ivar number: of its deadline.
    :ivar seen: the place up to which it has read.
    """

    __slots__ = ("_expired", "_told", "_waiting", "fresh", "number", "seen")

    def __init__(self, *, fresh: bool) -> None:
        self.fresh = fresh
        self.number = 0
        self.seen: StorePosition | None = None
        self._told = False
        self._expired = False
        self._waiting: Deferred[bool] | None = None

    def told(self, seen: StorePosition) -> Deferred[bool]:
        """Wait for an arrival; those since the last call count.

        :param seen: the place up to which the reader has read.
        :return: fires with ``True`` if there may be a message, and with ``False`` at the deadline. May be cancelled.
        """
        self.seen = seen
        if self._expired or self._told:
            self._told = False
            return succeed(not self._expired)
        self._waiting = Deferred(self._cancelled)
        return self._waiting

    def tell(self) -> None:
        """Learn that something may have come."""
        if self._waiting is None:
            self._told = True
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
