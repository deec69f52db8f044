"""The power is cut at random points of a loaded run: acknowledged messages are there, and no write is there in part.

``QUEUEY_LONG=1`` makes it many more cuts, over runs that begin with the seed ``QUEUEY_POWER_SEED``. A failure names a
seed and the number of a cut; with ``QUEUEY_POWER_SEED`` and ``QUEUEY_POWER_CUT`` these alone are tried again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from queuey.file_modes import OWN_USER, Findings
from queuey.storage.sqlite import SQLiteStore
from queuey.storage.sqlite.database import files
from queuey.storage.sqlite.upkeep import sweeper
from queuey.storage.sqlite.writing import writes
from tests.power.stores import (
    Careless,
    CommandsApart,
    Forgetful,
    GroupsFirst,
    GroupsLate,
    Hasty,
    KeysFirst,
    KeysLast,
    NeverSynced,
    Piecemeal,
    Unawaited,
    maker,
)
from tests.power.trial import Figures, Loss, Trial
from tests.storage.quick import quick_directory

LONG = bool(os.environ.get("QUEUEY_LONG"))
FIRST_SEED = int(os.environ.get("QUEUEY_POWER_SEED", "1"))
CUT = os.environ.get("QUEUEY_POWER_CUT")
"""The number of a cut, or two of them with a slash between: the second is one in the run after the first."""

RUNS, CUTS = (20, 250) if LONG else (1, 40)
STEPS = 300

TWICE, AGAIN = (range(10), range(20)) if LONG else (range(2), range(8))
STEPS_AGAIN = 60
STEP = 40
"""Rows that are deleted in one transaction here, so that purges and sweeps take several."""

MUTANT_SEEDS, MUTANT_STEPS, MUTANT_CUTS = 20, 60, range(30)
"""Runs that a mutant is looked for in at the most; those with a small defect need some."""


SEEDS = range(FIRST_SEED, FIRST_SEED + (RUNS if CUT is None else 1))


def chosen(level: int, cuts: range) -> range:
    """The one cut that is to be tried again, or all."""
    numbers = CUT.split("/") if CUT else []
    if level >= len(numbers):
        return cuts
    return range(int(numbers[level]), int(numbers[level]) + 1)


class PowerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(writes, "STEP", STEP)
        self.patch(sweeper, "STEP", STEP)
        self.figures = Figures()

    def cut(
        self,
        seed: int,
        cuts: range,
        steps: int = STEPS,
        kind: type[SQLiteStore] = SQLiteStore,
        relaxed: bool = False,
        may_lose: bool = False,
    ) -> Iterator[Loss]:
        """Load a store of a kind, and cut the power; each loss is found when it is asked for.

        :param relaxed: the setting of the store.
        :param may_lose: whether the checker lets acknowledged operations be lost, the last ones first.
        """
        trial = Trial(quick_directory(self), seed, steps, maker(kind, relaxed), may_lose)
        yield from trial.losses(cuts)
        self.figures += trial.figures

    def find(self, words: str, kind: type[SQLiteStore] = SQLiteStore, relaxed: bool = False, first: int = 1) -> None:
        """The checker finds what is wrong with a mutant, and says it in these words.

        :param first: the seed to begin with. Name one that shows a rare defect: other seeds before it take seconds.
        """
        problems: list[str] = []
        for seed in range(first, first + MUTANT_SEEDS):
            for loss in self.cut(seed, MUTANT_CUTS, MUTANT_STEPS, kind, relaxed):
                problems += loss.problems
                if any(words in problem for problem in loss.problems):
                    return
        self.fail(f"only: {problems}")


class DurableTests(PowerCase):
    """The store as it is."""

    def test_what_was_acknowledged_is_there(self) -> None:
        losses: list[Loss] = []
        for seed in SEEDS:
            losses += self.cut(seed, chosen(0, range(CUTS)))
        self.report("one loss of power", losses)

    def test_power_may_be_lost_again(self) -> None:
        """What a cut has left is loaded again, and the power is cut again."""
        losses: list[Loss] = []
        for seed in SEEDS:
            make, directory = maker(), quick_directory(self)
            first = Trial(directory, seed, STEPS, make)
            for cut in chosen(0, TWICE):
                left = first.left(cut)
                second = Trial(directory, left.name, STEPS_AGAIN, make, left=left)
                losses += second.losses(chosen(1, AGAIN))
                self.figures += second.figures
        self.report("power lost twice", losses)

    def report(self, words: str, losses: list[Loss]) -> None:
        if LONG:
            sys.stdout.write(f"\n{words}: {self.figures}\n")
        self.assertEqual(losses, [], "\n".join(map(str, losses[:3])))


class RelaxedTests(PowerCase):
    """Without a sync for each commit."""

    def test_the_last_operations_may_be_lost_and_the_rest_is_whole(self) -> None:
        losses = [*self.cut(1, range(CUTS), relaxed=True, may_lose=True)]
        self.assertEqual(losses, [], "\n".join(map(str, losses[:3])))

    def test_it_does_lose_some(self) -> None:
        self.find("lost, the first", relaxed=True)


class MutantTests(PowerCase):
    """The checker finds what it is there for."""

    def test_never_synced(self) -> None:
        for words in ("lost, the first", "cannot be opened", "integrity_check"):
            self.find(words, NeverSynced)
        self.flushLoggedErrors()

    def test_answered_before_the_commit(self) -> None:
        self.find("lost, the first", Hasty)

    def test_batches_by_pieces(self) -> None:
        self.find("not acknowledged, the first", Piecemeal)

    def test_a_stable_time_that_is_not_stored(self) -> None:
        self.find("the stable time fell by", Forgetful)

    def test_keys_in_a_transaction_after_that_of_their_messages(self) -> None:
        """A repeat would store them again: they are there, and no answer says so."""
        self.find("not acknowledged, the first", KeysLast, first=16)

    def test_keys_in_a_transaction_before_that_of_their_messages(self) -> None:
        """A repeat would get addresses of messages that are not there."""
        self.find("keys that differ", KeysFirst)

    def test_delays_that_are_not_stored(self) -> None:
        """Messages would never fall due."""
        self.find("messages of the future that nobody waits for", Unawaited)

    def test_claims_and_settlements_that_are_stored_later(self) -> None:
        """A settlement that was answered would be undone."""
        self.find("groups that differ", GroupsLate)

    def test_claims_and_settlements_in_a_transaction_before_that_of_messages(self) -> None:
        self.find("groups that differ", GroupsFirst, first=4)

    def test_a_settlement_and_its_claim_in_two_transactions(self) -> None:
        self.find("groups that differ", CommandsApart)

    def test_tallies_in_another_transaction(self) -> None:
        self.find("tallies do not fit the messages", Careless)


class RepetitionTests(PowerCase):
    """A seed and the number of a cut are all that it takes to see a failure again."""

    def test_the_same_seed_loses_the_same(self) -> None:
        def losses() -> list[tuple[int, int]]:
            found = self.cut(3, MUTANT_CUTS, MUTANT_STEPS, Hasty)
            return [(loss.cut, loss.position) for loss in found]

        self.assertEqual(losses(), losses())

    def test_one_cut_alone_is_the_same(self) -> None:
        first = next(self.cut(3, MUTANT_CUTS, MUTANT_STEPS, Hasty))
        alone = next(self.cut(3, range(first.cut, first.cut + 1), MUTANT_STEPS, Hasty))
        self.assertEqual(alone.position, first.position)


class FileTests(SynchronousTestCase):
    """What the file layer does not see."""

    def setUp(self) -> None:
        self.directory = quick_directory(self)

    def test_sqlite_makes_no_checkpoints_by_itself(self) -> None:
        """They would be made within commits; the writer makes them between write batches."""
        connection = files.connect(self.directory / "queuey.sqlite", "NORMAL", 1 << 20)
        self.assertEqual(connection.pragma("wal_autocheckpoint"), 0)
        connection.close()

    def test_folders_that_are_made_are_synced(self) -> None:
        synced: list[Path] = []
        self.patch(files, "_keep_entry", synced.append)
        for _ in range(2):
            files.make_directory(self.directory / "a" / "b", OWN_USER, Findings())
            self.assertEqual(sorted(synced), [self.directory, self.directory / "a"])

    def test_the_folder_of_a_database_is_synced(self) -> None:
        synced: list[Path] = []
        self.patch(files, "_keep_entry", synced.append)
        files.connect(self.directory / "queuey.sqlite", "FULL", 1 << 20).close()
        self.assertEqual(synced, [self.directory])
