"""Every checker catches what it is there for: rules are broken, and the same random histories show it."""

from __future__ import annotations

import re
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.histories.groups.checkers import CHECKERS, judge
from tests.histories.groups.in_process import World
from tests.histories.groups.in_process_parts import ClockedSubject
from tests.histories.groups.minds import PLANS
from tests.histories.groups.mutants import MUTANTS, Mutant, unanswered
from tests.histories.groups.unreliable import Kind
from tests.storage.cassandra.row_tables import RowTables
from tests.storage.quick import quick_directory
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import MemorySubject, SQLiteSubject

SEEDS = 10
"""Histories in which a mutant has to show, at the most."""


class MutantCase(SynchronousTestCase):
    """One after another is let loose, on the store in memory or on another one."""

    def make_subject(self) -> ClockedSubject:
        return MemorySubject()

    def found(self, mutant: Mutant, seed: int) -> dict[str, str]:
        """The first line of each checker that reports something."""
        subject = self.make_subject()
        tables = RowTables(lambda: subject.wall.seconds) if mutant.tables else None
        with mutant.at_large():
            plans = [plan for plan in PLANS if plan.name in mutant.group.split()]
            view = World(subject, seed, plans, tables=tables).run(mutant.steps)
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


class MutantTests(MutantCase):
    """All of them in memory, where those of Cassandra's tables are in such tables."""

    def test_every_checker_has_a_mutant(self) -> None:
        """One that catches nothing proves nothing."""
        caught = {mutant.checker for mutant in MUTANTS}
        self.assertEqual({checker.__name__ for checker in CHECKERS} - caught, set())

    def test_calls_without_answers_break_no_rule(self) -> None:
        """What is found where they are part of a mutant is found of the rule that it breaks."""
        for kind, group in ((Kind.SWAP, "once"), (Kind.WRITE, "dead")):
            unbroken = Mutant("none", "", group, unanswered(kind), kind is Kind.SWAP)
            for seed in range(3):
                self.assertEqual(self.found(unbroken, seed), {})


class SQLiteMutantTests(MutantCase):
    """Those that are none of Cassandra's, on SQLite."""

    run_in = "test-long"

    def make_subject(self) -> ClockedSubject:
        return SQLiteSubject(quick_directory(self), Inline)


def _add(mutant: Mutant) -> None:
    def test(case: MutantCase) -> None:
        case.shows(mutant)

    for case in (MutantTests, SQLiteMutantTests)[: 1 if mutant.tables else 2]:
        setattr(case, "test_" + re.sub("[^a-z]+", "_", mutant.name), test)


for _mutant in MUTANTS:
    _add(_mutant)
