"""A heap of places by the time at which each falls due."""

from __future__ import annotations

import heapq
from typing import Any, Generic, TypeVar

from queuey.model.timeid import MessageId, Ticks

Place = tuple[int, int, MessageId]
"""The place of a message: the incarnation of its queue, its partition, its id."""

P = TypeVar("P", bound=tuple[Any, ...])


class DueHeap(Generic[P]):
    """Places by the time at which each falls due. Stale entries of the heap, of dropped or moved places, are removed
    lazily."""

    def __init__(self) -> None:
        self._when: dict[P, Ticks] = {}
        self._heap: list[tuple[Ticks, P]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, place: P, when: Ticks) -> None:
        """Set the time of a place, whether it had one or not."""
        self._when[place] = when
        heapq.heappush(self._heap, (when, place))
        self._tidy()

    def drop(self, place: P) -> None:
        """Forget a place, if it is there."""
        if self._when.pop(place, None) is not None:
            self._tidy()

    def first(self) -> Ticks | None:
        """When the next place falls due."""
        while self._heap:
            when, place = self._heap[0]
            if self._when.get(place) == when:
                return when
            heapq.heappop(self._heap)
        return None

    def due(self, now: Ticks) -> list[P]:
        """Take out the places whose time has come, the earliest first."""
        found: list[P] = []
        while self._heap and self._heap[0][0] <= now:
            when, place = heapq.heappop(self._heap)
            if self._when.get(place) == when:
                del self._when[place]
                found.append(place)
        return found

    def _tidy(self) -> None:
        """Rebuild the heap once most of its entries are stale, so its amortised cost is small."""
        if len(self._heap) > 2 * len(self._when) + 64:
            self._heap = [(when, place) for place, when in self._when.items()]
            heapq.heapify(self._heap)
