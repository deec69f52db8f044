"""Exactly-once producers in every interleaving of a small world: the promises hold, and each rule is needed for them.

``QUEUEY_LONG=1`` explores larger worlds.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import attrs

from queuey.model.messages.producer import PATIENCE, Attempt, ReadDecision, Reservation, Step, judge
from queuey.model.timeid import SECOND, Ticks
from tests import runs_in
from tests.model.exploring import ExploringCase
from tests.model.messages.producer_world import ALL, Faults, Rules, World

LONG = bool(os.environ.get("QUEUEY_LONG"))

CALM = Faults(patient=False)
LATE = Faults(late=True)
UNFLAGGED = Faults(crash=True, unflagged=True, expiry=True)
UNKNOWN = Faults(unknown=True)
RESERVING = Faults(unknown=True, lingering=True, reserving=True)


class ExploredTests(ExploringCase):
    """Nothing that is promised is broken."""

    def test_nobody_is_disturbed_who_is_not_late(self) -> None:
        self.holds(World(CALM), 100)

    def test_late_writes(self) -> None:
        self.holds(World(LATE, readers=2 if LONG else 1), 5_000)

    def test_crashes_unflagged_messages_and_rows_that_expire(self) -> None:
        self.holds(World(UNFLAGGED, readers=2 if LONG else 1), 10_000)

    def test_changes_of_unknown_outcome(self) -> None:
        self.holds(World(attrs.evolve(UNKNOWN, lingering=LONG), readers=2 if LONG else 1), 10_000)

    def test_changes_of_unknown_outcome_that_arrive_late(self) -> None:
        self.holds(World(RESERVING, readers=1) if LONG else World(RESERVING, writers=1, changes=2), 10_000)

    @runs_in("test-long")
    def test_everything_at_once_to_one_writer_who_may_begin_anew_twice(self) -> None:
        """In ``make test``, the tests around this one have the faults and the two beginnings apart."""
        self.holds(World(ALL, writers=1, changes=2), 20_000)

    def test_everything_at_once_to_two_writers(self) -> None:
        world = World(attrs.evolve(ALL, reserving=False), readers=1) if LONG else World(ALL, changes=0)
        self.holds(world, 10_000)


# What a rule is there for


class CommitsUnchecked(Attempt):
    """Commits whether or not its write was in time."""

    def check(self, in_time: bool) -> Attempt:
        return super().check(True)


class CommitsFirst(Attempt):
    """Commits before it checks; it cannot take that back."""

    def wrote(self) -> Attempt:
        return attrs.evolve(self, step=Step.COMMIT, checked=True)


class KeepsItsIds(Attempt):
    """Reserves the key again for what it has written already, and readers may have passed over."""

    def read(self, row: Reservation | None, now: Ticks) -> Attempt:
        after = super().read(row, now)
        if after.step is Step.STAMP:
            return attrs.evolve(after, step=Step.TAKE if after.seen else Step.INSERT)
        return after

    def reserved(self, applied: bool | None) -> Attempt:
        after = super().reserved(applied)
        return attrs.evolve(after, step=Step.COMMIT) if after.step is Step.WRITE and self.checked else after


class RepeatsItsIds(Attempt):
    """Writes again under the same ids when it was too late."""

    def check(self, in_time: bool) -> Attempt:
        after = super().check(in_time)
        return after if in_time else attrs.evolve(after, step=Step.WRITE)

    def wrote(self) -> Attempt:
        return attrs.evolve(self, step=Step.COMMIT, checked=True) if self.left == 0 else super().wrote()


class AnswersUnflagged(Attempt):
    """Answers before its messages are live."""

    def committed(self, applied: bool | None) -> Attempt:
        after = super().committed(applied)
        return after.flagged() if after.step is Step.FLAG else after


class TakesWhatIsDone(Attempt):
    """Looks at a row that is done as at any other."""

    def read(self, row: Reservation | None, now: Ticks) -> Attempt:
        return super().read(row and attrs.evolve(row, done=False), now)


class TrustsUnknown(Attempt):
    """Takes a commit with an unknown outcome for one that was applied."""

    def committed(self, applied: bool | None) -> Attempt:
        return super().committed(applied is not False)


class TrustsUnknownReservations(Attempt):
    """Takes a reservation with an unknown outcome for one that was applied."""

    def reserved(self, applied: bool | None) -> Attempt:
        return super().reserved(applied is not False)


class TrustsRefusals(Attempt):
    """Believes that it was never named where a reservation was said to be refused, although it finds its name."""

    def read(self, row: Reservation | None, now: Ticks) -> Attempt:
        return attrs.evolve(super().read(row, now), named=self.named)


class Impatient(Attempt):
    """Takes over at once what somebody else has reserved."""

    def read(self, row: Reservation | None, now: Ticks) -> Attempt:
        return super().read(row, Ticks(now + int(PATIENCE * SECOND)))


def changed(verdict: ReadDecision, other: ReadDecision) -> Callable[[bytes, Reservation | None, float], ReadDecision]:
    """A reader that does something else than what it should."""

    def mutant(txn: bytes, row: Reservation | None, seconds: float) -> ReadDecision:
        found = judge(txn, row, seconds)
        return other if found is verdict else found

    return mutant


def kills_at_once(txn: bytes, row: Reservation | None, seconds: float) -> ReadDecision:
    return judge(txn, row, PATIENCE)


LOST = "a message that was answered for was passed over"
TORN = "a message was shown to one reader and passed over by another"
TWO = "two messages of one key"
ANSWERS = "two answers for one key"
ANEW = "somebody who was not late had to begin anew"


class MutantTests(ExploringCase):
    """Each rule is needed: without it the exploration finds what is broken."""

    def breaks(self, faults: Faults, rules: Rules, *broken: str, writers: int = 2, changes: int = 1) -> None:
        found = self.explored(World(faults, rules, writers=writers, changes=changes))
        self.assertIn(found.broken, broken, found.path)

    def test_a_reader_that_shows_before_it_flags(self) -> None:
        self.breaks(UNFLAGGED, Rules(flags_first=False), TORN)

    def test_a_reader_that_passes_over_without_killing(self) -> None:
        self.breaks(CALM, Rules(judge=changed(ReadDecision.WAIT, ReadDecision.SKIP)), LOST)

    def test_a_reader_that_shows_what_is_not_committed(self) -> None:
        self.breaks(LATE, Rules(judge=changed(ReadDecision.KILL, ReadDecision.SHOW)), TWO, TORN, LOST)

    def test_a_reader_that_shows_what_was_given_up(self) -> None:
        self.breaks(LATE, Rules(judge=changed(ReadDecision.SKIP, ReadDecision.SHOW)), TWO, TORN)

    def test_a_reader_that_passes_over_what_is_committed(self) -> None:
        self.breaks(CALM, Rules(judge=changed(ReadDecision.SHOW, ReadDecision.SKIP)), LOST)

    def test_a_reader_that_kills_at_once(self) -> None:
        self.breaks(CALM, Rules(judge=kills_at_once), ANEW)

    def test_a_writer_that_does_not_check(self) -> None:
        self.breaks(LATE, Rules(CommitsUnchecked), LOST)

    def test_a_writer_that_commits_before_it_checks(self) -> None:
        self.breaks(LATE, Rules(CommitsFirst), LOST)

    def test_a_writer_that_goes_on_under_ids_that_were_given_up(self) -> None:
        self.breaks(Faults(), Rules(KeepsItsIds), LOST, TORN)

    def test_a_writer_that_writes_again_under_late_ids(self) -> None:
        self.breaks(LATE, Rules(RepeatsItsIds), LOST)

    def test_a_writer_that_answers_before_it_flags(self) -> None:
        self.breaks(UNFLAGGED, Rules(AnswersUnflagged), LOST)

    def test_a_writer_that_takes_over_what_is_done(self) -> None:
        self.breaks(Faults(), Rules(TakesWhatIsDone, compares=False), ANSWERS, TWO, LOST)

    def test_a_writer_that_does_not_compare(self) -> None:
        self.breaks(Faults(), Rules(compares=False), ANSWERS, TWO, LOST)

    def test_a_writer_that_believes_in_a_commit_of_unknown_outcome(self) -> None:
        self.breaks(UNKNOWN, Rules(TrustsUnknown), ANSWERS, TWO, LOST)

    def test_a_writer_that_believes_in_a_reservation_of_unknown_outcome(self) -> None:
        self.breaks(RESERVING, Rules(TrustsUnknownReservations), LOST, TORN)

    def test_a_writer_that_believes_in_every_refusal(self) -> None:
        faults = attrs.evolve(UNKNOWN, lingering=True)
        self.breaks(faults, Rules(TrustsRefusals), LOST, TORN, writers=1, changes=2)

    def test_a_writer_that_takes_over_at_once(self) -> None:
        self.breaks(CALM, Rules(Impatient), ANEW)
