"""A reader of many queues while it waits."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from queuey.core.arrival_wait import ArrivalWait
from queuey.model.reading.many import StorePosition


class ManyWaiter(ArrivalWait):
    """A reader of a choice while it waits.

    :ivar number: of its deadline.
    :ivar seen: the place up to which it has read.
    """

    __slots__ = ("fresh", "number", "seen")

    def __init__(self, *, fresh: bool) -> None:
        super().__init__()
        self.fresh = fresh
        self.number = 0
        self.seen: StorePosition | None = None

    def arrival(self, seen: StorePosition) -> Deferred[bool]:
        """Wait for an arrival; those since the last call count.

        :param seen: the place up to which the reader has read.
        :return: fires with ``True`` if there may be a message, and with ``False`` at the deadline. May be cancelled.
        """
        self.seen = seen
        return self._wait()
