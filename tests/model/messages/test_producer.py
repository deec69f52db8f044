"""The rules of exactly-once producers, one by one; test_producer_explored has them together."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.messages.producer import (
    CHANGES,
    KILLED,
    PATIENCE,
    Attempt,
    ReadDecision,
    Reservation,
    Step,
    Waiting,
    judge,
    reserve,
)
from queuey.model.timeid import SECOND, Ticks

NOW = Ticks(1 << 40)
ROW = Reservation(b"other", b"digest", False, NOW)
DONE = attrs.evolve(ROW, done=True, answer=b"answer")


def ago(seconds: float) -> Ticks:
    return Ticks(NOW - round(seconds * SECOND))


class ReserveTests(SynchronousTestCase):
    def step(self, row: Reservation | None, *own: bytes) -> Step:
        return reserve(row, b"digest", NOW, frozenset(own))

    def test_no_row(self) -> None:
        self.assertIs(self.step(None), Step.INSERT)

    def test_another_request(self) -> None:
        for row in (ROW, DONE, attrs.evolve(ROW, reserved=ago(3600))):
            self.assertIs(self.step(attrs.evolve(row, digest=b"e")), Step.REUSED)

    def test_done(self) -> None:
        for row in (DONE, attrs.evolve(DONE, reserved=ago(3600))):
            self.assertIs(self.step(row), Step.FLAG)

    def test_under_way(self) -> None:
        for seconds in (0, PATIENCE - 0.001, 0.5 - PATIENCE):
            self.assertIs(self.step(attrs.evolve(ROW, reserved=ago(seconds))), Step.IN_USE)

    def test_given_up(self) -> None:
        for row in (attrs.evolve(ROW, reserved=ago(PATIENCE)), attrs.evolve(ROW, reserved=ago(-PATIENCE))):
            self.assertIs(self.step(row), Step.TAKE)

    def test_one_need_not_wait_for_oneself(self) -> None:
        self.assertIs(self.step(ROW, b"other"), Step.TAKE)
        self.assertIs(self.step(DONE, b"other"), Step.FLAG)

    def test_what_was_killed_is_free_whatever_was_asked_for(self) -> None:
        self.assertIs(self.step(attrs.evolve(ROW, txn=KILLED)), Step.TAKE)
        self.assertIs(self.step(attrs.evolve(ROW, txn=KILLED, digest=b"e")), Step.TAKE)


class AttemptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.begun = Attempt(b"digest").stamped(b"one")
        self.written = self.begun.reserved(True).wrote()
        self.mine = attrs.evolve(ROW, txn=b"one")

    def test_all_goes_well(self) -> None:
        steps: list[Step] = []
        attempt = Attempt(b"digest")
        for change in (
            lambda a: a.stamped(b"one"),
            lambda a: a.reserved(True),
            lambda a: a.wrote(),
            lambda a: a.check(True),
            lambda a: a.committed(True),
            lambda a: a.flagged(),
        ):
            steps.append(attempt.step)
            attempt = change(attempt)
        wanted = [Step.STAMP, Step.INSERT, Step.WRITE, Step.CHECK, Step.COMMIT, Step.FLAG]
        self.assertEqual((steps, attempt.step), (wanted, Step.ANSWER))
        self.assertEqual((attempt.duplicate, attempt.stands, attempt.left), (False, b"one", CHANGES))

    def test_somebody_else_was_there(self) -> None:
        after = self.begun.reserved(False)
        self.assertIs(after.step, Step.READ)
        found = after.read(DONE, NOW)
        self.assertEqual((found.step, found.stands, found.duplicate), (Step.FLAG, b"other", True))
        self.assertIs(after.read(ROW, NOW).step, Step.IN_USE)
        self.assertIs(after.read(attrs.evolve(ROW, digest=b"e"), NOW).step, Step.REUSED)

    def test_ids_that_no_row_has_named_are_fresh(self) -> None:
        after = self.begun.reserved(False).read(attrs.evolve(ROW, reserved=ago(PATIENCE)), NOW)
        self.assertEqual((after.step, after.seen, after.txn), (Step.TAKE, b"other", b"one"))
        self.assertIs(after.reserved(False).read(None, NOW).step, Step.INSERT)

    def test_ids_that_a_row_may_have_named_are_not(self) -> None:
        after = self.begun.reserved(None).read(attrs.evolve(ROW, reserved=ago(PATIENCE)), NOW)
        self.assertEqual((after.step, after.seen), (Step.STAMP, b"other"))
        after = after.stamped(b"two")
        self.assertEqual((after.step, after.txn, after.named), (Step.TAKE, b"two", False))

    def test_a_reservation_of_unknown_outcome(self) -> None:
        self.assertIs(self.begun.reserved(None).step, Step.READ)
        self.assertIs(self.begun.reserved(None).read(self.mine, NOW).step, Step.WRITE)
        self.assertIs(self.begun.reserved(None).read(None, NOW).step, Step.STAMP)

    def test_a_reservation_that_was_applied_and_said_to_be_refused(self) -> None:
        found = self.begun.reserved(False).read(self.mine, NOW)
        self.assertEqual((found.step, found.left_behind), (Step.WRITE, b"one"))
        after = found.wrote().check(True).committed(None).read(attrs.evolve(ROW, reserved=ago(PATIENCE)), NOW)
        self.assertEqual((after.step, after.seen), (Step.STAMP, b"other"))

    def test_a_late_write(self) -> None:
        after = self.written.check(False)
        self.assertEqual((after.step, after.seen, after.left_behind), (Step.STAMP, b"one", b"one"))
        after = after.stamped(b"two")
        self.assertEqual((after.step, after.seen, after.left_behind), (Step.TAKE, b"one", b"one"))
        self.assertEqual(after.reserved(True).left_behind, b"two")

    def test_a_commit_of_unknown_outcome(self) -> None:
        asked = self.written.check(True).committed(None)
        self.assertEqual((asked.step, asked.unsure), (Step.READ, True))
        done = asked.read(attrs.evolve(self.mine, done=True), NOW)
        self.assertEqual((done.step, done.unsure, done.duplicate), (Step.FLAG, False, False))
        again = asked.read(self.mine, NOW)
        self.assertEqual((again.step, again.unsure), (Step.COMMIT, True))

    def test_a_commit_that_somebody_was_before(self) -> None:
        asked = self.written.check(True).committed(False)
        self.assertEqual((asked.step, asked.unsure), (Step.READ, True))
        killed = asked.read(attrs.evolve(ROW, txn=KILLED), NOW)
        self.assertEqual((killed.step, killed.seen, killed.unsure), (Step.STAMP, KILLED, False))
        self.assertIs(asked.read(ROW, NOW).step, Step.IN_USE)
        lost = asked.read(DONE, NOW)
        self.assertEqual((lost.step, lost.duplicate), (Step.FLAG, True))

    def test_there_is_an_end_to_it(self) -> None:
        attempt, numbers = self.written, 0
        while attempt.step is not Step.GIVE_UP:
            numbers += 1
            attempt = attempt.check(False)
            if attempt.step is Step.STAMP:
                attempt = attempt.stamped(b"%d" % numbers).reserved(True).wrote()
        self.assertEqual(numbers, CHANGES + 1)

    def test_nothing_is_left_behind_of_what_was_never_reserved(self) -> None:
        self.assertIsNone(self.begun.left_behind)
        self.assertIsNone(self.begun.reserved(False).read(ROW, NOW).left_behind)
        self.assertEqual(self.begun.reserved(None).left_behind, b"one")


class JudgeTests(SynchronousTestCase):
    def test_verdicts(self) -> None:
        for row, seconds, verdict in (
            (None, 0, ReadDecision.SKIP),
            (DONE, 99, ReadDecision.SHOW),
            (ROW, 0, ReadDecision.WAIT),
            (ROW, PATIENCE - 0.001, ReadDecision.WAIT),
            (ROW, PATIENCE, ReadDecision.KILL),
            (attrs.evolve(ROW, txn=KILLED), 0, ReadDecision.SKIP),
            (attrs.evolve(DONE, txn=b"third"), 0, ReadDecision.SKIP),
        ):
            self.assertIs(judge(b"other", row, seconds), verdict)

    def test_waiting(self) -> None:
        waiting = Waiting(2)
        self.assertEqual([waiting.seconds("a", now) for now in (5, 7, 9)], [0, 2, 4])
        waiting.seconds("b", 9)
        self.assertEqual(waiting.seconds("a", 10), 5)
        waiting.seconds("c", 10)
        self.assertEqual([waiting.seconds(each, 11) for each in "ab"], [6, 0])
        waiting.over("b")
        waiting.over("b")
        self.assertEqual(waiting.seconds("b", 12), 0)
