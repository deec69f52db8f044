"""FIFO queues of SQS at random, within one process; and every checker catches what it is there for."""

from __future__ import annotations

import re
import sys

from tests import tried
from tests.histories.clients import new_seed
from tests.histories.sqs.checkers import CHECKERS, judge, problems
from tests.histories.sqs.in_process import InProcessCase
from tests.histories.sqs.mutants import MUTANTS, Mutant

SEEDS = 10
"""Histories in which a mutant has to show, at most."""


class HistoryTests(InProcessCase):
    def test_random(self) -> None:
        """Order in each group, nothing lost, nothing twice."""
        first = new_seed()
        looked = dict.fromkeys((checker.__name__ for checker in CHECKERS), 0)
        for seed in range(first, first + tried(4, 60)):
            history = self.run_history(seed)
            verdicts = judge(history)
            wrong = history.wrong + problems(verdicts)
            self.assertEqual(wrong, [], f"QUEUEY_SEED={seed}")
            for verdict in verdicts:
                looked[verdict.checker] += verdict.looked
        sys.stdout.write(f"QUEUEY_SEED={first}: {looked}\n")
        self.assertEqual([name for name, number in looked.items() if not number], [])


class MutantTests(InProcessCase):
    def test_every_checker_has_a_mutant(self) -> None:
        self.assertEqual({mutant.checker for mutant in MUTANTS}, {checker.__name__ for checker in CHECKERS})

    def shows(self, mutant: Mutant) -> None:
        """The named checker reports it in one of some histories."""
        for seed in range(SEEDS):
            with mutant.at_large():
                history = self.run_history(seed)
            found = {verdict.checker for verdict in judge(history) if verdict.wrong}
            if mutant.checker in found:
                others = ", ".join(sorted(found - {mutant.checker})) or "no other"
                sys.stdout.write(f"{mutant.name}: caught by {mutant.checker}, with seed {seed}; also by {others}\n")
                return
        self.fail(f"{mutant.checker} does not find: {mutant.name}")


def _add(mutant: Mutant) -> None:
    def test(case: MutantTests) -> None:
        case.shows(mutant)

    setattr(MutantTests, "test_" + re.sub("[^a-z]+", "_", mutant.name), test)


for _mutant in MUTANTS:
    _add(_mutant)
