"""Every checker catches what it is there for: rules are broken, and the same random histories show it."""

from __future__ import annotations

import re
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.histories.groups.checkers import CHECKERS, judge
from tests.histories.groups.in_process import World
from tests.histories.groups.minds import PLANS
from tests.histories.groups.mutants import MUTANTS, Mutant
from tests.storage.subjects import MemorySubject

SEEDS = 10
"""Histories in which a mutant has to show, at the most."""

STEPS = 1000
"""Steps of each."""


class MutantTests(SynchronousTestCase):
    """One after another is let loose."""

    def found(self, mutant: Mutant, seed: int) -> dict[str, str]:
        """The first line of each checker that reports something."""
        subject = MemorySubject()
        with mutant.at_large():
            view = World(subject, seed, [plan for plan in PLANS if plan.name == mutant.group]).run(STEPS)
        self.successResultOf(subject.close())
        return {verdict.checker: verdict.wrong[0] for verdict in judge(view) if verdict.wrong}

    def shows(self, mutant: Mutant) -> None:
        """The named checker reports it."""
        for seed in range(SEEDS):
            found = self.found(mutant, seed)
            if mutant.checker in found:
                others = ", ".join(sorted(found.keys() - {mutant.checker})) or "nobody else"
                sys.stdout.write(f"{mutant.name}: caught by {mutant.checker}, with seed {seed}; also by {others}\n")
                return
        self.fail(f"{mutant.checker} does not find: {mutant.name}")

    def test_every_checker_has_a_mutant(self) -> None:
        """One that catches nothing proves nothing."""
        caught = {mutant.checker for mutant in MUTANTS}
        self.assertEqual({checker.__name__ for checker in CHECKERS} - caught, set())


def _add(mutant: Mutant) -> None:
    def test(case: MutantTests) -> None:
        case.shows(mutant)

    setattr(MutantTests, "test_" + re.sub("[^a-z]+", "_", mutant.name), test)


for _mutant in MUTANTS:
    _add(_mutant)
