"""The checkers of fences, of registers and of order notice each kind of wrong history."""

from __future__ import annotations

from tests.histories.groups.history import (
    Asked,
    Fault,
    Given,
    Redriven,
    Sought,
)
from tests.histories.groups.test_checkers import PLANS, TWO, CheckerCase, ack, claim, gave, message, settled, told
from tests.histories.groups.view import DRAIN
from tests.live.cassandra.histories import Outcome


class RegisterTests(CheckerCase):
    """Keys of claims, and leases."""

    def test_a_repeat(self) -> None:
        """It gives the same; what was settled, or whose lease is over, is a reason not to."""
        one, two = gave(1, 1, 10.5), gave(2, 2, 10.5)
        self.redo(
            "g",
            claim("g", 10, one, two, key="k", client=DRAIN),
            claim("g", 12, one, two, key="k"),
            settled("g", 13, ack(one)),
            claim("g", 14, two, key="k"),
            settled("g", 15, ack(two)),
            claim("g", 30, key="k"),
        )
        self.assertEqual(self.problems(), [])

    def test_a_repeat_that_gives_less(self) -> None:
        one = gave(1, 1, 10.5)
        self.redo("g", settled("g", 12, told(1)), *self.worked_off(PLANS[0])[2:])
        self.history.add(claim("g", 10, one, key="k"), claim("g", 10.6, key="k"))
        self.assert_caught("not repeated: k of g gave m1")

    def test_a_repeat_that_gives_more(self) -> None:
        one, two = gave(1, 1, 10.5), gave(2, 2, 20.5)
        self.redo("g", settled("g", 11, ack(one)), settled("g", 21, ack(two)))
        self.history.add(claim("g", 10, one, key="k", client=DRAIN), claim("g", 10.6, two, key="k"))
        self.assert_caught("then gave m2", "gave m1")

    def test_clocks_that_were_set(self) -> None:
        """Leases may have ended."""
        one = gave(1, 1, 10.5)
        self.redo("g", settled("g", 12, told(1)), *self.worked_off(PLANS[0])[2:])
        self.history.add(claim("g", 10, one, key="k"), claim("g", 10.6, key="k"))
        self.history.broken(Fault("clock", 10.55, 10.56))
        self.assert_caught("not repeated: k of g gave m1")
        self.history.broken(Fault("clock", 10.55, 10.56, sets_clock=True))
        self.assertEqual(self.problems(), [])

    def test_one_number_for_two(self) -> None:
        """Two messages, and two claims."""
        self.redo("g", claim("g", 10, gave(1, 1, 10.5), gave(2, 1, 10.5), client=DRAIN))
        self.history.add(settled("g", 21, told(1), ack(gave(2, 1, 0))))
        self.assertIn("one lease twice", " ".join(self.problems()))
        self.redo("g", *self.worked_off(PLANS[0]), claim("g", 10.1, gave(1, 1, 10.5)))
        self.assert_caught("one lease twice: 1 of g")

    def test_numbers_that_fall(self) -> None:
        """A claim is given less than another one got before it began; under a key that may be."""
        taken = claim("g", 30, gave(1, 1, 30.5), key="k")
        self.redo("g", *self.worked_off(PLANS[0])[2:], taken, settled("g", 31, told(1)))
        self.assert_caught("leases fall: 1 of g")
        self.history.add(claim("g", 4, key="k", outcome=Outcome.UNKNOWN))
        self.assertEqual(self.problems(), [])

    def test_two_at_a_time(self) -> None:
        """The lease of the first one lives; a settlement in between, or the end of the lease, is a reason."""
        one, two = gave(2, 2, 20.5), gave(2, 3, 23, 2)
        self.redo("g", *self.worked_off(PLANS[0])[:2])
        self.history.add(claim("g", 20, one, client=DRAIN), claim("g", 22.5, two), settled("g", 24, ack(two)))
        self.assert_caught("together: m2", "7.500 s too early")
        self.history.add(settled("g", 21, Asked("retry", one, outcome="retrying")))
        self.assertEqual(self.problems(), [])

    def test_counts(self) -> None:
        """Deliveries rise, up to their limit."""
        self.redo("g", *self.worked_off(PLANS[0])[:2])
        self.history.add(claim("g", 20, gave(2, 2, 20.5), client=DRAIN), claim("g", 35, gave(2, 3, 35.5)))
        self.history.add(settled("g", 36, ack(gave(2, 3, 0))))
        self.assert_caught("not counted: m2", "out of order")
        self.redo("dead", *self.worked_off(PLANS[1])[:2])
        self.history.add(claim("dead", 20, gave(2, 2, 20.5, 4), client=DRAIN), settled("dead", 21, told(2)))
        self.assertIn("too often: m2", " ".join(self.problems()))


class FenceTests(CheckerCase):
    """Receipts that do not hold."""

    def test_an_old_number(self) -> None:
        """After a newer one was given out; before that it holds."""
        first, second = gave(2, 2, 20.5), gave(2, 3, 35.5, 2)
        self.redo("g", *self.worked_off(PLANS[0])[:2])
        self.history.add(claim("g", 20, first, client=DRAIN), claim("g", 35, second))
        self.history.add(settled("g", 34, Asked("extend", first, outcome="extended")))
        self.history.add(settled("g", 36, ack(first)))
        self.assert_caught("no fence in g: ack of m2")
        self.history.operations[-1] = settled("g", 35.2, ack(first))
        self.assertEqual(self.problems(), [])

    def test_after_a_seek(self) -> None:
        """No receipt of before holds, and only a seek makes a generation."""
        one = gave(2, 2, 20.5)
        self.history.add(Sought("s", "a", "sought", "newest", 22, 23, Outcome.OK))
        self.history.add(settled("sought", 24, ack(one, "stale")))
        self.assert_caught("good after a seek of sought", "not remembered")
        self.history.operations[-1] = settled("sought", 24, ack(one, "invalid"))
        self.assertEqual(self.problems(), [])

    def test_generations(self) -> None:
        self.history.add(claim("g", 30, gave(2, 3, 30.5, 2, TWO)), settled("g", 31, ack(gave(2, 3, 0, 2, TWO))))
        self.assert_caught("generations of g, partition 1: 2, and 0 seeks")

    def test_forged(self) -> None:
        """It is refused whatever it would be good for."""
        self.history.add(settled("g", 30, ack(gave(2, 2, 0), "invalid", forged="x")))
        self.assertEqual(self.problems(), [])
        for word in ("acked", "stale", "already-acked"):
            self.history.operations[-1] = settled("g", 30, ack(gave(2, 2, 0), word, forged="x"))
            self.assert_caught("not refused in g: a forged receipt")

    def test_disowned(self) -> None:
        """A good receipt is called invalid although the group was not moved."""
        self.history.add(settled("sought", 24, ack(gave(2, 2, 0), "invalid")))
        self.assert_caught("disowned by sought")
        self.history.add(Sought("s", "a", "sought", "newest", 22, 23, Outcome.UNKNOWN))
        self.assertEqual(self.problems(), [])

    def test_remembered(self) -> None:
        """A repeat is reported as such, and only a repeat."""
        self.history.add(settled("g", 30, ack(gave(2, 2, 0), "already-acked")))
        self.assertEqual(self.problems(), [])
        self.history.operations[-1] = settled("g", 30, ack(gave(2, 2, 0), "stale"))
        self.assert_caught("not remembered by g: ack of m2")
        self.redo("g", *self.worked_off(PLANS[0])[:3], settled("g", 21, ack(gave(2, 2, 0), "already-acked")))
        self.assert_caught("never acked in g: ack of m2")


class OrderTests(CheckerCase):
    """What comes first."""

    def test_first_deliveries(self) -> None:
        """Not by number, though each answer is in order; what came back may be late."""
        one, two = gave(2, 1, 10.5), gave(1, 2, 20.5)
        self.redo("g", claim("g", 10, one, client=DRAIN), claim("g", 20, two), settled("g", 21, ack(one), ack(two)))
        self.assert_caught("out of order in g, partition 1: m1")
        self.history.add(Redriven("r", "a", "g", 15, 16, Outcome.OK))
        self.assertEqual(self.problems(), [])

    def test_given_back(self) -> None:
        """The client that hung up had it first, and gave it back: no client sees that number."""
        one, two = gave(2, 2, 10.5), gave(1, 3, 20.5)
        self.redo("g", claim("g", 10, one, client=DRAIN), claim("g", 20, two), settled("g", 21, ack(one), ack(two)))
        self.assertEqual(self.problems(), [])

    def test_within_an_answer(self) -> None:
        one, two = gave(2, 2, 10.5), gave(1, 1, 10.5)
        self.redo("g", claim("g", 10, one, two, client=DRAIN), settled("g", 21, ack(one), ack(two)))
        self.assert_caught("out of order in one answer of g: m1")

    def test_at_most_once(self) -> None:
        self.redo("once", claim("once", 10, Given(message(2)), client=DRAIN), claim("once", 20, Given(message(1))))
        self.assert_caught("out of order in once, partition 1: m1")

    def test_turns(self) -> None:
        """The next one is given while the one before is being worked on."""
        one, two = gave(1, 1, 10.5), gave(2, 2, 12.5)
        self.redo("row", claim("row", 10, one, client=DRAIN), claim("row", 12, two), settled("row", 13, ack(one)))
        self.history.add(settled("row", 13, ack(two)))
        self.assert_caught("before its turn in row: m2")
        self.history.add(settled("row", 11, ack(one, None), outcome=Outcome.UNKNOWN))
        self.assertEqual(self.problems(), [])
