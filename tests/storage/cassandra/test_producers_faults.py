"""Producers whose every step may fail, be unknown, late or their last, in random worlds: nothing stored under a key is
seen twice or lost.

``QUEUEY_LONG=1`` runs many more worlds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.model.stable import Flight, Place
from queuey.model.timeid import MessageId, upper_bound
from tests.storage.cassandra.once_world import OnceWorld, PeerTimes

LONG = bool(os.environ.get("QUEUEY_LONG"))
WORLDS = 5000 if LONG else 150
MUTANTS = 300
STEPS = 250


def run(seed: int, make_times: Callable[..., PeerTimes] = PeerTimes) -> OnceWorld:
    """One world from its beginning to its end."""
    world = OnceWorld(seed, make_times)
    for _ in range(STEPS):
        world.step()
    world.settle()
    return world


class Unchecked(PeerTimes):
    """However late a write was acknowledged, it is committed."""

    def landed(self, flight: Flight) -> None:
        try:
            super().landed(flight)
        except Unavailable:
            return


class Unsettled(PeerTimes):
    """Readers do not wait for writes that are under way."""

    def stable(self, place: Place, slow: bool = False, weak: bool = False) -> MessageId:
        return upper_bound(self.now())


class FaultTests(SynchronousTestCase):
    def test_nothing_is_seen_twice_or_lost(self) -> None:
        seen: Counter[Any] = Counter()
        for seed in range(WORLDS):
            world = run(seed)
            self.assertEqual(world.broken(), "", seed)
            seen["answers"] += len(world.answered)
            seen["failures"] += len(world.failed)
            seen["repeats"] += sum(answer.duplicate for answer in world.answered)
        for what in ("answers", "failures", "repeats"):
            self.assertGreater(seen[what], WORLDS // 2, seen)

    def test_a_write_whose_lateness_is_not_checked_is_passed_over(self) -> None:
        self.assertTrue(self.breaks(Unchecked))

    def test_readers_that_do_not_wait_pass_over(self) -> None:
        self.assertTrue(self.breaks(Unsettled))

    def breaks(self, make_times: Callable[..., PeerTimes]) -> bool:
        return any("passed over" in run(seed, make_times).broken() for seed in range(MUTANTS))
