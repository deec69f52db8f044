"""Slots that several parties share fairly."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from queuey.fair_slots import FairSlots


class FairSlotsTests(SynchronousTestCase):
    """Slots that several parties share."""

    def setUp(self) -> None:
        self.slots = FairSlots(16)

    def waiting(self, party: str) -> list[str]:
        """Wait, and take a slot then. :return: has the party as soon as it has its slot."""
        got: list[str] = []

        def take(_: None) -> None:
            self.assertEqual(self.slots.take(party), 1)
            got.append(party)

        self.slots.wait(party).addCallback(take).addErrback(lambda _: None)
        return got

    def test_shares(self) -> None:
        """One alone gets three quarters; each further one gets some of what is left, and one without any gets one."""
        self.assertEqual([self.slots.take(party, 100) for party in "abcd"], [12, 3, 1, 0])
        self.slots.release("a", 1)
        self.assertEqual((self.slots.take("a"), self.slots.has_room("d"), self.slots.take("d")), (0, True, 1))

    def test_few(self) -> None:
        """A single slot can be used by one alone."""
        slots = FairSlots(1)
        self.assertEqual((slots.take("a", 2), slots.take("b")), (1, 0))
        slots.release("a")
        self.assertEqual(slots.take("b"), 1)

    def test_waits(self) -> None:
        """Those that wait are woken in their order, first the party that holds the fewest."""
        self.slots.take("a", 100)
        first, second, other = self.waiting("a"), self.waiting("a"), self.waiting("b")
        self.assertEqual((first, other), ([], ["b"]))
        for expected in ((["a"], []), (["a"], ["a"])):
            self.slots.release("a")
            self.assertEqual((first, second), expected)

    def test_cancelled(self) -> None:
        """One that does not wait any more gets none."""
        self.slots.take("a", 100)
        waiting = self.slots.wait("a")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.slots.release("a", 12)
        self.assertEqual(self.slots.take("a", 100), 12)

    def test_very_many(self) -> None:
        """Each that is woken may give its slot back at once, without nesting ever deeper."""
        self.slots.take("a", 100)
        done: list[int] = []

        def use(_: None, number: int) -> None:
            self.slots.take("a")
            done.append(number)
            self.slots.release("a")

        for number in range(5000):
            self.slots.wait("a").addCallback(use, number)
        self.slots.release("a", 12)
        self.assertEqual(done, list(range(5000)))
