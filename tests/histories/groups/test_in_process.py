"""Random histories in one process, on each kind of store, with everything that may go wrong below."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.histories.groups.checkers import judge, problems
from tests.histories.groups.history import Plan
from tests.histories.groups.in_process import World
from tests.histories.groups.in_process_parts import ClockedSubject
from tests.histories.groups.minds import PLANS
from tests.histories.groups.unreliable import Fate
from tests.histories.groups.view import View
from tests.storage.cassandra.store.store_support import StoreSubject
from tests.storage.quick import quick_directory
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import MemorySubject, SQLiteSubject

LONG = bool(os.environ.get("QUEUEY_LONG"))

SEEDS = int(os.environ.get("QUEUEY_SEED") or 0)
"""The first of those that are tried."""

STEPS = 10_000 if LONG else 2500
"""Steps of a history in which things go wrong."""


SCATTERED = [attrs.evolve(plan, queue=f"q{number % 3}") for number, plan in enumerate(PLANS)]
"""The groups, each of one of three queues."""


class HistoryTests(SynchronousTestCase):
    """Two front ends that end at any moment, calls that are lost, refused or late: all checkers find all well."""

    def holds(
        self,
        make_subject: Callable[[], ClockedSubject],
        first: int,
        histories: int,
        plans: Sequence[Plan] = PLANS,
    ) -> None:
        """So many histories are right, and together every checker has looked at something.

        :param first: seed.
        """
        looked, settled = dict[str, int](), Counter[str]()
        for seed in range(SEEDS + first, SEEDS + first + (20 * histories if LONG else histories)):
            subject = make_subject()
            world = World(subject, seed, plans)
            view = world.run(STEPS)
            self.successResultOf(subject.close())
            wrong = problems(view)
            self.assertEqual(wrong, [], "\n".join([f"QUEUEY_SEED={seed}", *wrong]))
            self.assertEqual([fate for fate in Fate if fate is not Fate.DONE and not world.fates[fate]], [])
            for verdict in judge(view):
                looked[verdict.checker] = looked.get(verdict.checker, 0) + verdict.looked
            settled += view.history.settled_by_claims
            self.say(seed, view)
        self.assertEqual([checker for checker, number in looked.items() if not number], [])
        self.assertTrue(settled)

    def say(self, seed: int, view: View) -> None:
        """Print what was done."""
        sys.stdout.write(f"seed {seed}: {'; '.join(view.history.lines())}\n")

    def test_memory(self) -> None:
        self.holds(MemorySubject, 0, 3)

    def test_sqlite(self) -> None:
        directory = quick_directory(self)
        names = iter(range(1 << 20))
        self.holds(lambda: SQLiteSubject(directory / str(next(names)), Inline), 1000, 2)

    def test_cassandra(self) -> None:
        self.holds(StoreSubject, 2000, 2)

    def test_several_queues(self) -> None:
        """Claims of groups of different queues, on each kind of store."""
        for make_subject, first in (
            (MemorySubject, 3000),
            (lambda: SQLiteSubject(quick_directory(self), Inline), 4000),
            (StoreSubject, 5000),
        ):
            self.holds(cast(Callable[[], ClockedSubject], make_subject), first, 1, SCATTERED)

    def test_a_seed_names_a_history(self) -> None:
        """The same once more, to the last event."""
        for make_subject in (MemorySubject, lambda: SQLiteSubject(quick_directory(self), Inline)):
            histories = []
            for _ in range(2):
                subject: ClockedSubject = make_subject()
                histories.append(list(World(subject, 7).run(300).history.events()))
                self.successResultOf(subject.close())
            self.assertEqual(*histories)
            self.assertGreater(len(histories[0]), 100)
