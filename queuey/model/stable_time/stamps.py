"""Ids of messages on a cluster, and the writes in flight that carry them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from queuey.model.timeid import (
    RANDOM_BITS,
    MessageId,
    Ticks,
    make,
    make_random,
    ticks_of,
)
from queuey.model.values import frozen

LONG_CLASS: Final = 1 << 40
"""The multicast bit of an id: set if the message is in the long table, and in no other id of ours."""

_LOW_BITS: Final = 8
"""The place in an id at which the bytes of clock sequence and node begin."""

_NONE: Final = Ticks(0)


@frozen
class Place:
    """One partition of one incarnation of a queue."""

    incarnation: int
    partition: int


@frozen
class StampRequest:
    """A message that needs an id.

    :ivar place: the partition in which it will be stored.
    :ivar long: whether it is in the long table.
    :ivar delay: how much later than now its position in the log is.
    """

    place: Place
    long: bool = False
    delay: Ticks = _NONE


@attrs.frozen
class Flight:
    """Ids that were made for one write, until its outcome is known.

    Each message has a stamp: the time of an id that no other message ever has. The stamp is its id, unless the message
    is delayed. The lateness of a write is measured from its stamps, and readers wait for stamps, because a delayed
    message may be due before it is stored.

    :ivar ids: in the order in which they were requested.
    :ivar stamps: the stamp of each, strictly ascending.
    :ivar limit: seconds that the write may take from now; the store gives it no more time than that.
    :ivar weak: whether it goes to weak queues, whose readers get no guarantee.
    """

    number: int
    ids: tuple[MessageId, ...]
    stamps: tuple[Ticks, ...]
    limit: float
    weak: bool = False


class Stamps:
    """Makes the ids of one process: they rise strictly, and never fall behind a clock that was set back.

    :param bits: returns an integer of that number of random bits.
    :ivar last: the time of the last id, or a later one that ids must be above.
    """

    def __init__(self, bits: Callable[[int], int]) -> None:
        self._bits = bits
        self.last = Ticks(0)
        self._draw()

    def _draw(self) -> None:
        self._sequence = self._bits(14)
        self._node = self._bits(48) & ~LONG_CLASS

    def make(self, now: Ticks, long: bool) -> MessageId:
        """The next id; ``long`` marks that its message is kept in the long table."""
        self.last = Ticks(max(self.last, now) + 1)
        return make(self.last, self._sequence, _marked(self._node, long))

    def delayed(self, id: MessageId, delay: Ticks, long: bool) -> MessageId:
        """An id of a later time, given the one of now that is used up for it.

        All of its other bits are random: at that time this or another process makes ids of its own. It does not raise
        those that follow.
        """
        return make_random(Ticks(ticks_of(id) + delay), _marked(self._bits(RANDOM_BITS) & ~LONG_CLASS, long))

    def reach(self, ticks: Ticks) -> None:
        """From now on, make ids above this time."""
        self.last = max(self.last, ticks)

    def put(self, id: MessageId, now: Ticks) -> None:
        """Avoid an id that a client uses.

        If it is one that we would make some time later, we take another node and clock sequence: there may be more such
        ids than could be remembered.
        """
        ticks = ticks_of(id)
        if ticks <= max(self.last, now):
            self.reach(ticks)
        elif id[_LOW_BITS:] in self._tails():
            self._draw()

    def _tails(self) -> tuple[bytes, bytes]:
        """Return the last bytes of our ids, for each class."""
        short, long = (make(Ticks(0), self._sequence, self._node | kind) for kind in (0, LONG_CLASS))
        return short[_LOW_BITS:], long[_LOW_BITS:]


def _marked(bits: int, long: bool) -> int:
    """The last bits of an id, with the mark of its class."""
    return bits | LONG_CLASS if long else bits


class Flights:
    """The writes whose outcome is not known yet, each for as long as it may take."""

    def __init__(self) -> None:
        self._number = 0
        self._flights: dict[int, tuple[float, frozenset[Place]]] = {}
        self._places: dict[Place, dict[int, MessageId]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def begin(self, places: Sequence[Place], stamped: Sequence[MessageId], boot: float, limit: float) -> int:
        """A write begins, for which ids were stamped that are above all before; the number by which it is ended."""
        self._sweep(boot)
        self._number += 1
        self._flights[self._number] = boot + limit, frozenset(places)
        for place, id in zip(places, stamped, strict=True):
            self._places.setdefault(place, {}).setdefault(self._number, id)
        return self._number

    def end(self, number: int, boot: float) -> bool:
        """A write is over; whether it was in time."""
        deadline = self._drop(number)
        return deadline is not None and boot < deadline

    def least(self, place: Place, boot: float) -> MessageId | None:
        """The least id that was stamped for a write in flight in a partition."""
        waiting = self._places.get(place)
        while waiting:
            number, id = next(iter(waiting.items()))
            if boot < self._flights[number][0]:
                return id
            self._drop(number)
        return None

    def oldest(self, boot: float) -> MessageId | None:
        """The least id that was stamped for any write in flight."""
        for number, (deadline, places) in self._flights.items():
            if boot < deadline and places:
                return min(self._places[place][number] for place in places)
        return None

    def forget(self) -> None:
        """Note that all of these writes came too late."""
        self._flights.clear()
        self._places.clear()

    def _sweep(self, boot: float) -> None:
        """Drop the oldest ones if they were not ended in time; the others are dropped when they are the oldest."""
        while self._flights:
            number, (deadline, _) = next(iter(self._flights.items()))
            if boot < deadline:
                return
            self._drop(number)

    def _drop(self, number: int) -> float | None:
        deadline, places = self._flights.pop(number, (None, frozenset[Place]()))
        for place in places:
            waiting = self._places[place]
            del waiting[number]
            if not waiting:
                del self._places[place]
        return deadline
