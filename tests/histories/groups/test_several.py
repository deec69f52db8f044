"""Claims of several groups in histories: what the checkers make of them."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.histories.groups.checkers import repeats
from tests.histories.groups.history import End, GroupHistory
from tests.histories.groups.test_checkers import PLANS, ack, claim, gave, settled
from tests.histories.groups.view import View
from tests.live.cassandra.histories import Outcome


class SeveralTests(SynchronousTestCase):
    """Each is recorded as a claim of the group that has served it."""

    def test_a_repeat_that_another_group_serves(self) -> None:
        """Of a claim of several groups: once all that it gave was settled, and not before."""
        one, two = gave(1, 1, 10.5), gave(2, 2, 12.5)
        others = [attrs.evolve(PLANS[0], name=name) for name in "gh"]
        first, again = claim("g", 10, one, key="k", groups=("g", "h")), claim("h", 12, two, key="k", groups=("g", "h"))
        for settles, wanted in ((11.0, []), (13.0, ["not repeated"])):
            history = GroupHistory()
            history.add(first, settled("g", settles, ack(one)), again)
            view = View(history, End([]), others)
            found = [line.partition(":")[0] for line in repeats(view) if line is not None]
            self.assertEqual(sorted(set(found)), wanted)

    def test_a_claim_of_several_whose_answer_was_lost(self) -> None:
        """It may have taken of any of its groups."""
        lost = claim("g", 10, outcome=Outcome.UNKNOWN, groups=("g", "h"))
        self.assertEqual([lost.may_have_taken_of(name) for name in "ghi"], [True, True, False])
        served = claim("h", 10, groups=("g", "h"))
        self.assertEqual([served.may_have_taken_of(name) for name in "ghi"], [False, True, False])
