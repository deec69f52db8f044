"""Rounds of background work: their pauses, their errors, and the end."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.rounds import Rounds
from queuey.errors import Unavailable


class RoundsTests(SynchronousTestCase):
    """Rounds of which the test decides when each ends, and how."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.works: list[Deferred[None]] = []
        self.defects: list[Failure] = []
        self.rounds = Rounds(self.clock, self.work, 1.0, self.defects.append)
        self.rounds.start()

    def work(self) -> Deferred[None]:
        self.works.append(Deferred())
        return self.works[-1]

    def test_a_pause_follows_each_round(self) -> None:
        """The pause begins when a round has ended, so rounds never overlap."""
        self.clock.advance(10)
        self.assertEqual(len(self.works), 1)
        self.works[0].callback(None)
        self.clock.advance(0.99)
        self.assertEqual(len(self.works), 1)
        self.clock.advance(0.01)
        self.assertEqual(len(self.works), 2)

    def test_errors_do_not_end_the_rounds(self) -> None:
        """Only an unforeseen one is reported."""
        for error in (Unavailable("The store is away."), ZeroDivisionError()):
            self.works[-1].errback(error)
            self.clock.advance(1)
        self.assertEqual(len(self.works), 3)
        self.assertEqual([failure.type for failure in self.defects], [ZeroDivisionError])

    def test_soon_ends_a_pause(self) -> None:
        """Two calls share one round, and the pause after it is a whole one."""
        self.works[0].callback(None)
        self.rounds.soon(0.1)
        self.clock.advance(0.05)
        self.rounds.soon(0.1)
        self.clock.advance(0.05)
        self.assertEqual(len(self.works), 2)
        self.works[1].callback(None)
        self.clock.advance(0.9)
        self.assertEqual(len(self.works), 2)

    def test_stop_waits_for_the_round(self) -> None:
        """``stop`` fires when the round has ended, and no other begins."""
        ended = self.rounds.stop()
        self.assertNoResult(ended)
        self.assertTrue(self.rounds.stopping)
        self.works[0].callback(None)
        self.successResultOf(ended)
        self.rounds.soon(0.1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_ends_a_pause(self) -> None:
        """No timer is left, also of a round that was to begin soon."""
        self.works[0].callback(None)
        self.rounds.soon(0.1)
        self.successResultOf(self.rounds.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_before_start(self) -> None:
        """It fires at once."""
        self.successResultOf(Rounds(self.clock, self.work, 1.0, self.defects.append).stop())
