"""The checker of the order of keys, on histories that are made by hand."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups.settings import GroupSettings
from queuey.model.groups.terms import Order
from tests.histories.groups.history import Asked, End, Given, GroupHistory, Plan
from tests.histories.groups.key_order import key_turns
from tests.histories.groups.test_checkers import ack, claim, gave, message, settled
from tests.histories.groups.view import View
from tests.histories.keys import key_of
from tests.live.cassandra.histories import Outcome

ONE, TWO, THREE = 3, 4, 8
"""The numbers of messages that have one key."""

OTHER, WITHOUT = 2, 6
"""The numbers of one with another key, and of one without a key."""

KEYS = Plan("keys", GroupSettings(order=Order.KEY))


def given(number: int, lease: int = 0) -> Given:
    return gave(number, lease or number, 0.0)


def acked(number: int, at: float, word: str | None = "acked", **more: Any) -> Any:
    return settled("keys", at, ack(given(number), word), **more)


class KeyOrderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.history = GroupHistory()
        keys = [key_of(f"m{number}") for number in (ONE, TWO, THREE)]
        self.assertEqual(keys, [keys[0]] * 3)
        self.assertIsNotNone(keys[0])
        self.assertNotIn(key_of(f"m{OTHER}"), (keys[0], None))
        self.assertIsNone(key_of(f"m{WITHOUT}"))

    def wrong(self, *operations: Any) -> list[str]:
        self.history.add(*operations)
        end = End(tuple([message(number) for number in (ONE, TWO, THREE, OTHER, WITHOUT)]))
        return [line for line in key_turns(View(self.history, end, (KEYS,))) if line is not None]

    def test_each_after_the_one_before_was_acked(self) -> None:
        self.assertEqual(self.wrong(claim("keys", 1, given(ONE)), acked(ONE, 2), claim("keys", 3, given(TWO))), [])

    def test_together(self) -> None:
        self.assertEqual(self.wrong(claim("keys", 1, given(ONE), given(TWO), given(THREE))), [])

    def test_others_and_those_without_a_key(self) -> None:
        taken = [claim("keys", 1, given(ONE)), claim("keys", 2, given(OTHER)), claim("keys", 3, given(WITHOUT))]
        self.assertEqual(self.wrong(*taken), [])

    def test_before_its_turn(self) -> None:
        """The first one is in the hands of another worker."""
        (line,) = self.wrong(claim("keys", 1, given(ONE)), claim("keys", 2, given(TWO)), acked(ONE, 3))
        self.assertEqual(line, "out of the order of keys in keys: m4 before 1 others of its key")

    def test_past_one_that_nobody_was_given(self) -> None:
        (line,) = self.wrong(claim("keys", 1, given(ONE)), acked(ONE, 2), claim("keys", 3, given(THREE)))
        self.assertIn("m8 before 1 others", line)

    def test_past_one_that_was_acked_later_than_the_next(self) -> None:
        taken = claim("keys", 1, given(ONE), given(TWO))
        self.assertEqual(len(self.wrong(taken, acked(TWO, 2), claim("keys", 3, given(THREE)), acked(ONE, 4))), 1)

    def test_settlements_that_did_nothing(self) -> None:
        for outcome in ("stale", "retrying"):
            self.history = GroupHistory()
            operations = claim("keys", 1, given(ONE)), acked(ONE, 2, outcome), claim("keys", 3, given(TWO))
            self.assertEqual(len(self.wrong(*operations)), 1)

    def test_one_that_may_have_been_acked(self) -> None:
        asked = acked(ONE, 2, None, outcome=Outcome.UNKNOWN)
        self.assertEqual(self.wrong(claim("keys", 1, given(ONE)), asked, claim("keys", 3, given(TWO))), [])

    def test_a_retry(self) -> None:
        """It is given again, and those after it wait until it is acked."""
        retried = settled("keys", 2, Asked("retry", given(ONE), outcome="retrying"))
        again = claim("keys", 3, given(ONE, 9))
        self.assertEqual(self.wrong(claim("keys", 1, given(ONE), given(TWO)), retried, again), [])
        self.assertEqual(len(self.wrong(claim("keys", 4, given(TWO, 10)))), 1)
