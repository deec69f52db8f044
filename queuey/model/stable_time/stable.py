"""When a message may be shown: ids, writes in flight, and the stable time W of front ends that share a cluster.

These are the rules without I/O, so that a simulation can run them; every time is an argument. ``boot`` is always
CLOCK_BOOTTIME in seconds, which cannot be set and which counts the pauses of a machine; ``now`` is the time of our own
clock in ticks. A caller that stamps or asks for W reads ``boot`` first, or both at once: a pause between the two must
not make a write look quicker than it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from queuey.errors import Unavailable
from queuey.model.stable_time.lease import Beat, Lease, LeaseRow
from queuey.model.stable_time.stamps import Flight, Flights, Place, StampRequest, Stamps
from queuey.model.timeid import (
    SECOND,
    MessageId,
    Ticks,
    lower_bound,
    ticks_of,
    upper_bound,
)


@attrs.frozen
class Lateness:
    """Limits of a deployment, in seconds.

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
        """Return the seconds that a write may take."""
        return self.slow_write if slow else self.write

    def settle(self, slow: bool) -> float:
        """The age at which a message is visible for every reader, whichever front end wrote it."""
        return self.flight(slow) + self.skew


class FrontEnd:
    """Base class of both kinds of front ends.

    :param bits: returns an integer of that number of random bits.
    :ivar why: in one sentence, why this front end can neither stamp nor know W; ``None`` if it can.
    """

    def __init__(self, limits: Lateness, bits: Callable[[int], int]) -> None:
        self.why = "This front end has not started yet."
        self._limits = limits
        self._stamps = Stamps(bits)
        self._flights = Flights()
        self._shown: dict[float, Ticks] = {}

    def fit(self, boot: float, weak: bool = False) -> bool:
        """Whether it may stamp ids, promise writes, and publish W.

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
            raise Unavailable("This front end has no lease for the present time yet.")
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
            text = f"The store acknowledged the write, but this front end cannot guarantee it. {self.why}"
            raise Unavailable(text, applied="unknown")
        if not in_time:
            raise Unavailable("The store acknowledged the write too late to guarantee it.", applied="unknown")

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
        """Return the time this number of seconds ago. It never falls, even if our clock was set back meanwhile."""
        before = Ticks(ticks - round(seconds * SECOND))
        self._shown[seconds] = max(self._shown.get(seconds, before), before)
        return self._shown[seconds]


class SoleFrontEnd(FrontEnd):
    """The only front end that serves, by its lease: what was acknowledged shows at once.

    W is the least id that was stamped for writes in flight in the partition; without any, a time below all later ids.
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
        """Return the change to request in order to take the lease, given its row; our ids will be above its owner's."""
        if row is not None and not self.lease.is_ours(row):
            self._stamps.reach(row.ceiling)
        return self.lease.take(row, boot, self.greatest(now))

    def beat(self, boot: float, now: Ticks) -> Beat:
        """Return the change to request in order to keep the lease."""
        return self.lease.beat(boot, self.greatest(now))

    def applied(self, beat: Beat, boot: float) -> bool:
        """Note that a change of the lease was applied; return whether we hold it.

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
