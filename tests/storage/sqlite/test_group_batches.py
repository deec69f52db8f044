"""Batches with commands of groups, of which one fails at each statement, at its commit, or in the midst by a defect."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from itertools import count
from random import Random
from shutil import copyfile
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups import index
from queuey.model.groups.index import GroupIndex
from queuey.storage.sqlite.database import files
from queuey.storage.sqlite.single_statement import Value
from queuey.storage.sqlite.writing.group_rows import StateRows
from queuey.storage.sqlite.writing.group_states import GroupStates, Held
from tests.storage.quick import quick_directory
from tests.storage.sqlite.group_batches import Batches
from tests.storage.subjects import HeldSubject

LONG = bool(os.environ.get("QUEUEY_LONG"))
SEED = int(os.environ.get("QUEUEY_SEED") or 0)
SEEDS = 40 if LONG else 4
BATCHES = 300 if LONG else 60


class BatchCase(SynchronousTestCase):
    """Batches of which some fail, and what is cached after each."""

    def batches(self, seed: int) -> Batches:
        subject = HeldSubject(quick_directory(self))
        self.addCleanup(subject.close)
        return Batches(subject, seed)

    def run_batches(self, seed: int, number: int) -> Batches:
        """Run so many random batches, of which many fail; after each, all must be well.

        :raise AssertionError: naming the seed and the batch.
        """
        batches, random = self.batches(seed), Random(f"faults of {seed}")
        for batch in range(number):
            faults = random.choice(((random.randrange(25), -1), (-1, random.randrange(2)), (-1, -1), (-1, -1)))
            try:
                batches.batch(random.randint(1, 8), *faults)
            except BaseException as problem:
                raise AssertionError(f"QUEUEY_SEED={seed}, batch {batch}: {problem!r}") from problem
            if random.random() < 0.3:
                self.successResultOf(batches.subject.advance(random.choice((0.5, 5, 31))))
            if random.random() < 0.02:
                self.successResultOf(batches.subject.reopen())
                batches.faulty.watch(batches.writer)
        return batches


class FailingTests(BatchCase):
    """Whatever fails, what is cached is what is stored, and what was answered is."""

    def test_random_batches(self) -> None:
        for seed in range(SEED, SEED + SEEDS):
            batches = self.run_batches(seed, BATCHES)
            self.assertGreater(batches.faulty.failed, BATCHES // 20)
            self.assertGreater(batches.answered, BATCHES)

    def test_each_statement_and_each_commit(self) -> None:
        """The same batch, of which one thing after another fails."""
        for kind in ("statement", "commit"):
            for place in count():
                batches = self.batches(SEED + 7)
                for _ in range(12):
                    batches.batch(6)
                batches.batch(8, **{kind: place})
                if not batches.faulty.failed:
                    break
                batches.batch(8)
                batches.drain()
            self.assertGreater(place, {"statement": 3, "commit": 0}[kind])

    def test_what_a_kill_leaves(self) -> None:
        """Whatever the process was at, a store that is opened over its files has what was answered by then."""
        for seed in range(SEED, SEED + SEEDS):
            batches, random = self.batches(seed), Random(f"kills of {seed}")
            for _ in range(15):
                batches.faulty.meanwhile = lambda batches=batches: self.killed(batches)
                batches.batch(random.randint(1, 8), random.randrange(12))
            self.assertGreater(self.copies, 5)

    copies = 0

    def killed(self, batches: Batches) -> None:
        """Copy the files as they are now, and open a store over the copy."""
        batches.faulty.begin()
        self.copies += 1
        directory = quick_directory(self)
        for file in batches.subject.directory.iterdir():
            if file.name.startswith(files.DATABASE) and not file.name.endswith("-shm"):
                copyfile(file, directory / file.name)
        subject = HeldSubject(directory)
        subject.wall.seconds = batches.subject.wall.seconds
        self.successResultOf(subject.advance(0))
        try:
            batches.check_copy(subject.store)
        finally:
            self.successResultOf(subject.close())


def nothing(*_: Any) -> None:
    """Does not do it."""


def undo_nothing(index: GroupIndex) -> None:
    """Takes what was not stored for stored."""
    index.stored()


def undo_without_heaps(index: GroupIndex) -> None:
    """Leaves the heaps as they are."""
    index._order_again = nothing  # type: ignore[method-assign]
    _undo(index)


_undo = GroupIndex.undo
_changes, _put, _stored, _number = StateRows.changes, StateRows._put_acked, StateRows.stored, GroupStates._number


def drops_nothing(rows: StateRows, state: int) -> tuple[list[Value], list[Value]]:
    """Leaves the rows of what is settled."""
    return _changes(rows, state)[0], []


def without_claims(rows: StateRows, state: int) -> tuple[list[Value], list[Value]]:
    """Does not store claims under a key."""
    rows.index.claims_before.clear()
    return _changes(rows, state)


def without_acks(rows: StateRows, state: int) -> tuple[list[Value], list[Value]]:
    """Does not store which leases were acked."""
    rows.index.fresh_acks = 0
    return _changes(rows, state)


def keeps_its_number(states: GroupStates, held: Held) -> int:
    """Stores a state that went elsewhere beside what it had before."""
    return held.rows.state or _number(states, held)


def forgets_what_was_fresh(rows: StateRows) -> None:
    """Undoes the index alone, and what it was about to remember is remembered with the next batch."""
    fresh = rows._fresh
    rows.index.undo()
    rows._fresh = fresh


MUTANTS: Mapping[str, tuple[tuple[Any, str, Any], ...]] = {
    "an undo that undoes nothing": ((GroupIndex, "undo", undo_nothing),),
    "an undo that keeps claims and moves": ((index, "_restore", nothing),),
    "acks that are not taken back": ((StateRows, "undo", forgets_what_was_fresh),),
    "settled rows that stay": ((StateRows, "changes", drops_nothing),),
    "claims that are not stored": ((StateRows, "changes", without_claims),),
    "acks that are not stored": ((StateRows, "changes", without_acks),),
    "a seek that keeps its number": ((GroupStates, "_number", keeps_its_number),),
    "reading ahead past a purge": ((GroupStates, "touched", nothing),),
    "a batch that fails and is not undone": ((GroupStates, "undo", nothing),),
}


class MutantTests(BatchCase):
    """Each of these is found out by what is checked after every batch."""

    def shows(self, patches: tuple[tuple[Any, str, Any], ...]) -> None:
        for patch in patches:
            self.patch(*patch)
        for seed in range(8):
            try:
                self.run_batches(seed, BATCHES)
            except AssertionError as found:
                sys.stdout.write(f"{found} ")
                return
        self.fail("it is not found")


def _add(name: str, patches: tuple[tuple[Any, str, Any], ...]) -> None:
    setattr(MutantTests, "test_" + name.replace(" ", "_"), lambda self: self.shows(patches))


for _name, _patches in MUTANTS.items():
    _add(_name, _patches)
