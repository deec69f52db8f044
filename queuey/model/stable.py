"""When a message may be shown: ids, writes in flight, and the stable time W of front ends that share a cluster.

These are the rules without I/O, so that a simulation can run them; every time is an argument. ``boot`` is always
CLOCK_BOOTTIME in seconds, which cannot be set and which counts the pauses of a machine; ``now`` is the time of our own
clock in ticks. A caller that stamps or asks for W reads ``boot`` first, or both at once: a pause between the two must
not make a write look quicker than it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from queuey.errors import Unavailable
from queuey.model.lease import Beat, Lease, LeaseRow
from queuey.model.timeid import (
    RANDOM_BITS,
    SECOND,
    MessageId,
    Ticks,
    lower_bound,
    make,
    make_random,
    ticks_of,
    upper_bound,
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


@attrs.frozen
class Lateness:
    """What a deployment allows for, in seconds.

    :ivar write: from the stamping of an id until its write is acknowledged; later it is not promised.
    :ivar slow_write: the same for writes that every data centre acknowledges.
    :ivar skew: how far apart two clocks may be.
    :ivar base: for which messages are withheld beyond that, because an operator wants it so.
    """

    write: float = 2.0
    slow_write: float = 5.0
    skew: float = 0.5
    base: float = 0.0

    def flight(self, slow: bool) -> float:
        """How long a write may take."""
        return self.slow_write if slow else self.write

    def settle(self, slow: bool) -> float:
        """The age at which a message is visible for every reader, whichever front end wrote it."""
        return self.flight(slow) + self.skew


class Stamps:
    """Makes the ids of one process: they rise strictly, and never fall behind a clock that was set back.

    :param bits: gives so many random bits.
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
        """How our ids end, in either class."""
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
        """All of them come too late."""
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


class FrontEnd:
    """What both kinds of front ends have in common.

    :param bits: makes so many random bits.
    :ivar why: in one sentence, why this front end can neither stamp nor know W; ``None`` if it can.
    """

    def __init__(self, limits: Lateness, bits: Callable[[int], int]) -> None:
        self.why = "This front end has not started yet."
        self._limits = limits
        self._stamps = Stamps(bits)
        self._flights = Flights()
        self._shown: dict[float, Ticks] = {}

    def fit(self, boot: float, weak: bool = False) -> bool:
        """Whether it may stamp ids, promise writes, and tell W.

        :param weak: for weak queues, which may go on for longer.
        """
        raise NotImplementedError

    def highest(self) -> int:
        """The greatest time that an id of ours may have."""
        raise NotImplementedError

    def rest(self) -> None:
        """Stop serving for now: no write in flight can be promised."""
        raise NotImplementedError

    def age(self, boot: float, now: Ticks) -> float | None:
        """Return the seconds from the furthest behind W of strong queues to now; ``None`` if it is not known."""
        raise NotImplementedError

    def greatest(self, now: Ticks) -> Ticks:
        """The greatest time that was used, or that of the clock."""
        return max(self._stamps.last, now)

    def begin(self, wanted: Sequence[StampRequest], slow: bool, boot: float, now: Ticks, weak: bool = False) -> Flight:
        """See Times."""
        self._need(boot, weak)
        if self.greatest(now) + len(wanted) > self.highest():
            raise Unavailable("The lease of this front end does not reach to the present yet.")
        stamped = [self._stamps.make(now, one.long) for one in wanted]
        limit = self._limits.flight(slow)
        number = self._flights.begin([one.place for one in wanted], stamped, boot, limit)
        ids = [self._placed(one, id) for one, id in zip(wanted, stamped, strict=True)]
        return Flight(number, tuple(ids), tuple(map(ticks_of, stamped)), limit, weak)

    def _placed(self, wanted: StampRequest, stamped: MessageId) -> MessageId:
        """The id of a message, given the one that was stamped for it."""
        return self._stamps.delayed(stamped, wanted.delay, wanted.long) if wanted.delay else stamped

    def landed(self, flight: Flight, boot: float) -> None:
        """See Times."""
        in_time = self._flights.end(flight.number, boot)
        if not self.fit(boot, flight.weak):
            raise Unavailable(f"The write was acknowledged, and cannot be promised. {self.why}", applied="unknown")
        if not in_time:
            raise Unavailable("The write was acknowledged too late to be promised.", applied="unknown")

    def lost(self, flight: Flight, boot: float) -> None:
        """See Times."""
        self._flights.end(flight.number, boot)

    def put(self, id: MessageId, now: Ticks) -> None:
        """See Times."""
        self._stamps.put(id, now)

    def _need(self, boot: float, weak: bool = False) -> None:
        if not self.fit(boot, weak):
            raise Unavailable(self.why)

    def _held(self, seconds: float, ticks: Ticks) -> Ticks:
        """A time so many seconds before; it does not fall, although our clock may be set while we do not serve."""
        before = Ticks(ticks - round(seconds * SECOND))
        self._shown[seconds] = max(self._shown.get(seconds, before), before)
        return self._shown[seconds]


class SoleFrontEnd(FrontEnd):
    """The only front end that serves, by its lease: what was acknowledged shows at once.

    W is the least id that was stamped for what is in flight in the partition, else a time that no later id will have.
    """

    def __init__(self, limits: Lateness, bits: Callable[[int], int], lease: Lease) -> None:
        super().__init__(limits, bits)
        self.lease = lease
        self._serving = False

    def fit(self, boot: float, weak: bool = False) -> bool:
        """Return whether the lease is held and serving is not suspended."""
        return self._serving and self.lease.holds(boot)

    def highest(self) -> int:
        """The ceiling that was last acknowledged: the next holder of the lease stamps above it."""
        return self.lease.ceiling

    def take(self, row: LeaseRow | None, boot: float, now: Ticks) -> Beat:
        """What to ask for in order to take the lease, given how it stands; our ids will be above those of its owner."""
        if row is not None and not self.lease.is_ours(row):
            self._stamps.reach(row.ceiling)
        return self.lease.take(row, boot, self.greatest(now))

    def beat(self, boot: float, now: Ticks) -> Beat:
        """What to ask for in order to keep the lease."""
        return self.lease.beat(boot, self.greatest(now))

    def applied(self, beat: Beat, boot: float) -> bool:
        """A change of the lease that we asked for stands; whether we hold it by that.

        :param boot: when that became known.
        """
        return self.lease.applied(beat, boot)

    def serve(self) -> None:
        """Begin: the lease is held, and no front end of another mode is there."""
        self._serving = True

    def step_down(self) -> None:
        """Note that the lease is lost: no write in flight can be promised."""
        self.rest()
        self.lease.step_down()

    def rest(self) -> None:
        """Stop serving for now, whether or not the lease is held; no promise can be made about writes in flight."""
        self._serving = False
        self._flights.forget()

    def release(self) -> Beat | None:
        """Stop serving; return the change that releases the lease, if it is held, so that other front ends need not
        wait for us."""
        beat = self.lease.release(self._stamps.last) if self.lease.held else None
        self.step_down()
        return beat

    def stable(self, place: Place, boot: float, now: Ticks) -> MessageId:
        """See Times."""
        self._need(boot)
        bound = self._flights.least(place, boot) or self._fresh(now)
        if self._limits.base:
            bound = min(bound, lower_bound(self._held(self._limits.base, now)))
        return bound

    def age(self, boot: float, now: Ticks) -> float | None:
        """See FrontEnd."""
        if not self.fit(boot):
            return None
        oldest = self._flights.oldest(boot)
        waited = 0.0 if oldest is None else (now - ticks_of(oldest)) / SECOND
        return max(waited, self._limits.base)

    def _fresh(self, now: Ticks) -> MessageId:
        """Return a bound that later ids are above, also those of the next holder of the lease."""
        last = Ticks(min(self.greatest(now), self.highest()))
        self._stamps.reach(last)
        return upper_bound(last)


class PeerFrontEnd(FrontEnd):
    """One of many front ends, which share only the time: a reader waits until no older message can appear.

    W is our clock minus the longest time of a write, and minus the greatest difference between two clocks.
    """

    def __init__(self, limits: Lateness, bits: Callable[[int], int]) -> None:
        super().__init__(limits, bits)
        self._until: float | None = None
        self._weak_until: float | None = None

    def fit(self, boot: float, weak: bool = False) -> bool:
        """Whether our clock was recently found to be right, and the other front ends know that we are here."""
        until = self._weak_until if weak else self._until
        return until is not None and boot < until

    def serve(self, until: float) -> None:
        """Our clock is right, others know that we are here, and that may be relied on until then."""
        self._until = self._weak_until = until

    def right(self, until: float) -> None:
        """Our clock is right: who has served goes on with weak queues, whether or not others know that we are here."""
        if self._weak_until is not None:
            self._weak_until = until

    def rest(self) -> None:
        """Note that our clock is wrong, or unknown: no write in flight can be promised."""
        self._until = self._weak_until = None
        self._flights.forget()

    def highest(self) -> int:
        """Return a bound that no id reaches, because only the clock limits the ids of this front end."""
        return self._stamps.last + (1 << 60)

    def stable(self, place: Place, boot: float, now: Ticks, slow: bool, weak: bool) -> MessageId:
        """See Times."""
        self._need(boot, weak)
        base = self._limits.base
        if weak:
            return upper_bound(self._held(base, self.greatest(now)))
        return lower_bound(self._held(self._limits.settle(slow) + base, now))

    def age(self, boot: float, now: Ticks) -> float | None:
        """See FrontEnd."""
        if not self.fit(boot):
            return None
        waits = self._limits.settle(False) + self._limits.base
        return min(waits, (now - self._shown.get(waits, Ticks(0))) / SECOND)
