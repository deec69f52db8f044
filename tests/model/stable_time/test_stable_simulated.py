"""The stable time in a simulated world: no reader passes over a message, and each rule is needed for that.

``QUEUEY_LONG=1`` runs many more worlds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.stable_time.lease import Beat, Lease, LeaseRow, Terms
from queuey.model.stable_time.stable import Lateness, PeerFrontEnd, SoleFrontEnd
from queuey.model.stable_time.stamps import Flights, Place, StampRequest
from queuey.model.timeid import MessageId, Ticks, from_seconds, upper_bound
from tests.model.stable_time.stable_world import Peer, Process, Result, Run, Sole, World

LONG = bool(os.environ.get("QUEUEY_LONG"))
RUNS = 10_000 if LONG else 150
"""Worlds in which nothing may be passed over."""

MUTANTS = 400
"""Worlds in which a front end without one of the rules has to pass something over at least once."""

SECONDS = 40.0
Make = Callable[[World, int, float], Process]


class Endless(Flights):
    """However late an answer comes, it is in time."""

    def end(self, number: int, boot: float) -> bool:
        super().end(number, boot)
        return True


# Many front ends


class LatePeer(PeerFrontEnd):
    def __init__(self, limits: Lateness, bits: Callable[[int], int]) -> None:
        super().__init__(limits, bits)
        self._flights = Endless()


class NoLimit(Peer):
    rules = LatePeer


class PausesDoNotCount(Peer):
    counts = False


@attrs.frozen
class Unsettled(Lateness):
    def settle(self, slow: bool) -> float:
        return 0.0


class NoSettling(Peer):
    limits = Unsettled


@attrs.frozen
class WithoutSkew(Lateness):
    def settle(self, slow: bool) -> float:
        return self.flight(slow)


class NoAllowanceForSkew(Peer):
    limits = WithoutSkew


@attrs.frozen
class OneSettling(Lateness):
    def settle(self, slow: bool) -> float:
        return super().settle(False)


class SlowWritesSettleAsQuickOnes(Peer):
    limits = OneSettling


class NoComparison(Peer):
    compares = False


class Stepped(Peer):
    def ticks(self) -> Ticks:
        return from_seconds(self.wall())


# One front end


class LateSole(SoleFrontEnd):
    def __init__(self, limits: Lateness, bits: Callable[[int], int], lease: Lease) -> None:
        super().__init__(limits, bits, lease)
        self._flights = Endless()


class SoleNoLimit(Sole):
    rules = LateSole


class NoFlights(SoleFrontEnd):
    def stable(self, place: Place, boot: float, now: Ticks) -> MessageId:
        return super().stable(Place(0, 0), boot, now)


class WritesUnderWayDoNotCount(Sole):
    rules = NoFlights


class ForgetsTheCeiling(SoleFrontEnd):
    def take(self, row: LeaseRow | None, boot: float, now: Ticks) -> Beat:
        return self.lease.take(row, boot, self.greatest(now))


class NotAboveTheFormerCeiling(Sole):
    rules = ForgetsTheCeiling


class PassesTheCeiling(SoleFrontEnd):
    def highest(self) -> int:
        return self._stamps.last + (1 << 60)


class ShortLead(Sole):
    terms = Terms(lead=0.5)


class AboveItsOwnCeiling(ShortLead):
    rules = PassesTheCeiling


class Tight(Sole):
    """What a former holder does for too long is not made up for by others who wait for longer than they must."""

    terms = Terms(patience=8.2, lead=30.0)


class NeverLapses(Lease):
    def holds(self, boot: float) -> bool:
        return self.held


class NoEightSeconds(Tight):
    lease = NeverLapses


class Impatient(Sole):
    terms = Terms(patience=3.0)


class SolePausesDoNotCount(Tight):
    counts = False


class FromTheAnswer(Lease):
    def applied(self, beat: Beat, boot: float) -> bool:
        return super().applied(attrs.evolve(beat, started=boot), boot)


class BeatsCountFromTheirAnswers(Tight):
    lease = FromTheAnswer


class FreshId(SoleFrontEnd):
    def stable(self, place: Place, boot: float, now: Ticks) -> MessageId:
        """W by the clock, which later ids may equal."""
        self._need(boot)
        return self._flights.least(place, boot) or upper_bound(Ticks(self.greatest(now) + 3_000_000))


class LaterIdsMayBeBelow(Sole):
    rules = FreshId


class CountsDues(SoleFrontEnd):
    def _placed(self, wanted: StampRequest, stamped: MessageId) -> MessageId:
        """A delayed message is waited for as if its id were stamped when it is due."""
        id = super()._placed(wanted, stamped)
        if wanted.delay:
            flying = self._flights._places[wanted.place]
            flying[next(reversed(flying))] = id
        return id


class DuesAreInFlight(Sole):
    rules = CountsDues


def runs(make: Make, seeds: range, many: bool) -> Iterator[Result]:
    """Run worlds of one kind, each when its result is asked for."""
    # Of many front ends some clocks are nearly as wrong as they may be, and some are wrong; one alone may have any.
    ahead = (0.0, -0.24, 0.24, -0.24, 0.24, 1.0, -1.0) if many else (0.0, -30.0, 30.0)
    return (Run(seed, make, ahead, 3 if many else 2).result(SECONDS) for seed in seeds)


class StableTests(SynchronousTestCase):
    """R1 holds, and nothing else does as well."""

    def holds(self, make: Make, many: bool) -> None:
        results = [*runs(make, range(RUNS), many)]
        self.assertEqual([seed for seed, result in enumerate(results) if result.passed_over], [])
        self.assertEqual({defect for result in results for defect in result.defects}, set())
        # That it holds in worlds in which nothing happens would tell nothing.
        self.assertGreater(sum(result.answered for result in results) / RUNS, 8)
        self.assertGreater(sum(result.scans for result in results) / RUNS, 8)

    def breaks(self, make: Make, many: bool) -> None:
        if not any(result.passed_over or result.defects for result in runs(make, range(MUTANTS), many)):
            self.fail(f"{make} passed nothing over")

    def test_many(self) -> None:
        self.holds(Peer, many=True)

    def test_one(self) -> None:
        self.holds(Sole, many=False)

    def test_one_with_a_ceiling_that_is_reached(self) -> None:
        self.holds(ShortLead, many=False)

    def test_one_where_others_wait_no_longer_than_they_must(self) -> None:
        self.holds(Tight, many=False)


def _breaks(make: Make, many: bool) -> Callable[[StableTests], None]:
    return lambda self: self.breaks(make, many)


for _many, _mutants in (
    (
        True,
        (
            NoLimit,
            PausesDoNotCount,
            NoSettling,
            NoAllowanceForSkew,
            SlowWritesSettleAsQuickOnes,
            NoComparison,
            Stepped,
        ),
    ),
    (
        False,
        (
            SoleNoLimit,
            WritesUnderWayDoNotCount,
            NotAboveTheFormerCeiling,
            AboveItsOwnCeiling,
            NoEightSeconds,
            Impatient,
            SolePausesDoNotCount,
            BeatsCountFromTheirAnswers,
            LaterIdsMayBeBelow,
            DuesAreInFlight,
        ),
    ),
):
    for _mutant in _mutants:
        setattr(StableTests, f"test_without_{_mutant.__name__}", _breaks(_mutant, _many))
