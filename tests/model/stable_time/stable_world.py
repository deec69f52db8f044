"""A world in which the rules of front ends run as they are: true time, a store, and processes that pause and die.

A run is right where no reader passed a message over (R1): no scan with a bound above a message that was answered as
stored may have been executed before that message could be seen. Each rule is left out in turn by
``tests.model.stable_time.test_stable_simulated``, which shows that it is needed.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from random import Random
from uuid import UUID

import attrs

from queuey.errors import Unavailable
from queuey.model.stable_time.clock import OtherClocks, SteadyClock
from queuey.model.stable_time.lease import Beat, Lease, LeaseRow, Terms
from queuey.model.stable_time.stable import FrontEnd, Lateness, PeerFrontEnd, SoleFrontEnd
from queuey.model.stable_time.stamps import Flight, Place, StampRequest
from queuey.model.timeid import SECOND, MessageId, Ticks, to_seconds

EPOCH = 1_700_000_000.0
QUICK, SLOW = Place(1, 1), Place(2, 1)
"""A partition of a strong queue, and one of a very strong one, whose writes may take longer."""


class World:
    """True time, what happens next, and what was written, answered and read.

    :ivar row: the lease.
    :ivar defects: what must never happen beside R1.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.visible: dict[tuple[Place, MessageId], float] = {}
        self.answered: list[tuple[Place, MessageId]] = []
        self.scans: list[tuple[Place, MessageId, float]] = []
        self.row: LeaseRow | None = None
        self.defects: list[str] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def later(self, delay: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, what))

    def run(self, seconds: float) -> None:
        while self._heap and self._heap[0][0] < seconds:
            self.now, _, what = heapq.heappop(self._heap)
            what()

    def latency(self, most: float) -> float:
        """What a message to the store takes: mostly little."""
        draw = self.random.random
        return 0.001 + 0.02 * draw() if draw() < 0.85 else most * draw()

    def passed_over(self) -> int:
        """How many messages a reader passed over."""
        passed = 0
        for place in (QUICK, SLOW):
            scans = [(when, bound) for where, bound, when in self.scans if where == place]
            times = [when for when, _ in scans]
            highest = list(accumulate((bound for _, bound in scans), max))
            for where, id in self.answered:
                if where == place:
                    before = bisect_left(times, self.visible[place, id])
                    passed += before > 0 and highest[before - 1] > id
        return passed


class Process:
    """One front end's process: it may be paused, and dies once and for all.

    :ivar mute_until: until then nothing is answered that it asks about the lease, and half of it is not heard.
    :ivar counts: whether its CLOCK_BOOTTIME counts pauses, as it does.
    """

    counts = True

    def __init__(self, world: World, number: int, ahead: float) -> None:
        self.world = world
        self.number = number
        self.dead = False
        self.wall_ahead = ahead
        self.mute_until = 0.0
        self._awake_at = 0.0
        self._paused = 0.0
        self._started = world.random.uniform(10, 1000)
        self._clock = SteadyClock(self.boot(), self.wall())
        self._last: dict[Place, MessageId] = {}

    # Clocks

    def wall(self) -> float:
        return EPOCH + self.world.now + self.wall_ahead

    def boot(self) -> float:
        return self._started + self.world.now - (0.0 if self.counts else self._paused)

    def ticks(self) -> Ticks:
        """Our own time; it goes on during pauses in any case, or readers would only be shown too little."""
        return self._clock.read(self._started + self.world.now)

    def follow(self, serving: bool) -> None:
        self._clock.follow(self._started + self.world.now, self.wall(), step=not serving)

    # Life

    def pause(self, seconds: float) -> None:
        self._awake_at = self.world.now + seconds
        self._paused += seconds

    def awake(self) -> bool:
        return self.world.now >= self._awake_at and not self.dead

    def when_awake(self, delay: float, what: Callable[[], None]) -> None:
        """The process does something some time from now, or as soon as it is awake."""

        def attempt() -> None:
            if self.dead:
                return
            wait = self._awake_at - self.world.now
            if wait > 0:
                # What waits for a process that wakes is done in any order, for a while.
                self.world.later(wait + self.world.random.uniform(0, 0.003), attempt)
            else:
                what()

        self.world.later(delay, attempt)

    # Clients

    @property
    def front(self) -> FrontEnd:
        raise NotImplementedError

    def bound(self, place: Place) -> MessageId:
        raise NotImplementedError

    def alone(self) -> bool:
        """Whether it serves, as the only front end that may."""
        return False

    def post(self, place: Place) -> None:
        """A client stores a message."""
        slow = place == SLOW
        try:
            flight = self.front.begin([StampRequest(place, delay=self._delay())], slow, self.boot(), self.ticks())
        except Unavailable:
            return
        if self.world.random.random() < 0.01:
            self.pause(self.world.random.choice((3, 15, 25)))
        latency = self.world.latency(7 if slow else 4)
        self.when_awake(self.world.random.uniform(0, 0.003), lambda: self._send(place, flight, latency))

    def _delay(self) -> Ticks:
        """Some messages are to wait, for less or for more than a write may take."""
        draw = self.world.random
        return Ticks(round(draw.uniform(0.01, 6) * SECOND) if draw.random() < 0.2 else 0)

    def _send(self, place: Place, flight: Flight, latency: float) -> None:
        message = place, flight.ids[0]

        def arrive() -> None:
            self.world.visible[message] = self.world.now

        self.world.later(latency, arrive)
        self.when_awake(latency + 0.001, lambda: self._answer(message, flight))

    def _answer(self, message: tuple[Place, MessageId], flight: Flight) -> None:
        if self.world.random.random() < 0.05:
            self.front.lost(flight, self.boot())
            return
        try:
            self.front.landed(flight, self.boot())
        except Unavailable:
            return
        self.world.answered.append(message)

    def read(self, place: Place) -> None:
        """A client reads, and the scan takes its time."""
        try:
            bound = self.bound(place)
        except Unavailable:
            return
        if bound < self._last.get(place, bound):
            self.world.defects.append("W fell")
        self._last[place] = bound
        self.when_awake(self.world.latency(3), lambda: self.world.scans.append((place, bound, self.world.now)))


class Peer(Process):
    """One of many front ends; it compares its clock with one node's, which is right."""

    rules: type[PeerFrontEnd] = PeerFrontEnd
    limits: type[Lateness] = Lateness
    compares = True

    def __init__(self, world: World, number: int, ahead: float) -> None:
        super().__init__(world, number, ahead)
        self._rules = self.rules(self.limits(), world.random.getrandbits)
        self._others = OtherClocks(Lateness().skew)
        self.when_awake(0, self._compare)

    @property
    def front(self) -> FrontEnd:
        return self._rules

    def bound(self, place: Place) -> MessageId:
        return self._rules.stable(place, self.boot(), self.ticks(), place == SLOW, False)

    def _compare(self) -> None:
        self.follow(self._rules.fit(self.boot()))
        asked, latency = self.boot(), self.world.random.uniform(0.0005, 0.004)
        shown = EPOCH + self.world.now + self.world.random.uniform(0, latency)
        self.when_awake(latency, lambda: self._judge(asked, shown))

    def _judge(self, asked: float, shown: float) -> None:
        boot = self.boot()
        self._others.saw("node", shown, asked, boot)
        if not self.compares or self._others.compare(boot, to_seconds(self.ticks()) - boot).right:
            self._rules.serve(boot + 20)
        else:
            self._rules.rest()
        self.when_awake(5, self._compare)


@attrs.define
class Asked:
    """A change of the lease that is under way, and whether its asker still waits for it."""

    beat: Beat
    waiting: bool = True


class Sole(Process):
    """A front end that serves by the lease, asking for it as the holder of the lease does."""

    rules: type[SoleFrontEnd] = SoleFrontEnd
    lease: type[Lease] = Lease
    limits: type[Lateness] = Lateness
    terms = Terms()

    def __init__(self, world: World, number: int, ahead: float) -> None:
        super().__init__(world, number, ahead)
        lease = self.lease(UUID(int=number), f"host{number}", self.terms)
        self._rules = self.rules(self.limits(), world.random.getrandbits, lease)
        self._look()

    @property
    def front(self) -> FrontEnd:
        return self._rules

    def bound(self, place: Place) -> MessageId:
        return self._rules.stable(place, self.boot(), self.ticks())

    def alone(self) -> bool:
        return not self.dead and self._rules.fit(self.boot())

    def _look(self) -> None:
        """Read the lease, and take it if it may be taken."""
        self._rules.step_down()
        self.follow(False)
        self._ask_row(self._seen, self._look)

    def _seen(self, row: LeaseRow | None) -> None:
        if self._rules.lease.may_take(row, self.boot()):
            self._ask(self._rules.take(row, self.boot(), self.ticks()), self._look)
        else:
            self.when_awake(1, self._look)

    def _beat(self) -> None:
        self.follow(True)
        if not self._rules.lease.holds(self.boot()):
            self._look()
            return
        self._ask(self._rules.beat(self.boot(), self.ticks()), self._beat)

    def _ask(self, beat: Beat, again: Callable[[], None]) -> None:
        """Ask for a change, whose answer is waited for for two seconds."""
        asked, world = Asked(beat), self.world
        there, back = world.latency(14), world.latency(4)

        def arrive() -> None:
            row = world.row
            applied = (row and (row.owner, row.beat)) == (beat.seen and (beat.seen.owner, beat.seen.beat))
            if applied:
                world.row = beat.row
            self.when_awake(back, lambda: answered(applied, world.row))

        def answered(applied: bool, row: LeaseRow | None) -> None:
            if asked.waiting:
                asked.waiting = False
                self._known(beat if applied else None, row, again)

        def expire() -> None:
            if asked.waiting or muted:
                asked.waiting = False
                self._ask_row(lambda row: self._known(None, row, again), again)

        muted = world.now < self.mute_until
        asked.waiting = not muted
        if world.random.random() < (0.5 if muted else 0.97):
            world.later(there, arrive)
        self.when_awake(2, expire)

    def _ask_row(self, then: Callable[[LeaseRow | None], None], again: Callable[[], None]) -> None:
        """Read the lease; where that is not answered in time, do something ``again``."""
        latency = self.world.latency(3)
        if latency > 1.5 or self.world.now < self.mute_until:
            self.when_awake(2, again)
            return
        found: list[LeaseRow | None] = []
        self.world.later(latency / 2, lambda: found.append(self.world.row))
        self.when_awake(latency, lambda: then(found[0]))

    def _known(self, beat: Beat | None, row: LeaseRow | None, again: Callable[[], None]) -> None:
        """It is known what stands after a change was asked for."""
        lease = self._rules.lease
        ours = beat or (lease.ours(row.owner, row.beat) if row else None)
        if ours is not None and self._rules.applied(ours, self.boot()):
            self._rules.serve()
            self.when_awake(2, self._beat)
        elif ours is None and row is not None and lease.is_ours(row) and lease.held:
            self.when_awake(0.5, again)
        else:
            self.when_awake(0.5, self._look)


@attrs.frozen
class Result:
    """What a run came to."""

    passed_over: int
    defects: tuple[str, ...]
    answered: int
    scans: int


class Run:
    """One world, and the clients and faults in it.

    :param make: makes a process, from the world, its number and the seconds by which its clock is ahead.
    :param ahead: how far clocks may be set.
    """

    def __init__(
        self, seed: int, make: Callable[[World, int, float], Process], ahead: tuple[float, ...], fronts: int
    ) -> None:
        self._world = World(seed)
        self._make = make
        self._ahead = ahead
        self._number = 0
        self._fronts = [self._start() for _ in range(fronts)]
        self._world.later(0.5, self._drive)

    def _start(self) -> Process:
        self._number += 1
        return self._make(self._world, self._number, self._world.random.choice(self._ahead))

    def _drive(self) -> None:
        draw = self._world.random
        index = draw.randrange(len(self._fronts))
        front, what = self._fronts[index], draw.random()
        if what < 0.02:
            if front.awake():
                front.pause(draw.choice((1, 3, 9, 15)))
        elif what < 0.03:
            front.dead = True
            self._fronts[index] = self._start()
        elif what < 0.04:
            front.wall_ahead += draw.choice((-8, -3, 3, 8))
        elif what < 0.05:
            front.mute_until = self._world.now + draw.choice((3, 6, 15))
        elif front.awake():
            (front.post if what < 0.55 else front.read)(draw.choice((QUICK, QUICK, SLOW)))
        if sum(other.alone() for other in self._fronts) > 1:
            self._world.defects.append("two serve alone")
        self._world.later(draw.uniform(0.01, 0.3), self._drive)

    def result(self, seconds: float) -> Result:
        world = self._world
        world.run(seconds)
        # The processes stop; what is under way to the store still arrives.
        for front in self._fronts:
            front.dead = True
        world.run(seconds + 60)
        return Result(world.passed_over(), tuple(world.defects), len(world.answered), len(world.scans))
