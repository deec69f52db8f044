"""The store raises an unexpected error while messages are moved to the queue for dead letters, or back from there, or
answers what it should not."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import succeed

from queuey.core.groups.values import Redriving, Settling
from queuey.model.groups.commands import Ran
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Action, Outcome
from tests.core.groups.group_support import GroupCase, begun
from tests.core.groups.test_group_defects import Defect, DefectCase


class DeadLetterDefectTests(DefectCase):
    """With a queue for dead letters."""

    def make_group(self, name: str = "g", **changes: Any) -> Group:
        if name == "g":
            self.dead = self.make_queue("dead")
            changes["dead_letter"] = "dead"
        return super().make_group(name, **changes)

    def moves(self) -> None:
        self.post_some()
        given = self.try_claim(limit=10)
        for each in given.deliveries if given is not None else ():
            self.attempt(self.settling(Action.REJECT, each.receipt or ""))
        self.attempt(begun(self.groups.redrive(self.queue, self.group, Redriving())))
        self.try_claim(limit=10)

    def test_moves(self) -> None:
        self.each_call(self.moves)

    def test_moves_beside_a_claim(self) -> None:
        """A claim that is given messages begins those moves that are due, also after they failed once."""
        failed = 0
        for number in range(1, 20):
            self.doCleanups()
            self.setUp()
            self.defective.at_once, self.defective.after = self.at_once, self.after
            self.group = self.make_group("once", dead_letter="dead", max_deliveries=1)
            self.post(b"first")
            self.assertEqual(self.bodies(lease=3), [b"first"])
            self.advance(4)
            self.post(b"second")
            self.defective.left = number
            self.try_claim(limit=1)
            failed += self.defective.left == 0 and not self.read(self.dead)
            self.defective.left = 0
            for body in (b"third", b"fourth"):
                self.post(body)
                self.claim(limit=1)
            self.flushLoggedErrors(Defect)
            self.assertEqual([message.content.body for message in self.read(self.dead)], [b"first"], number)
        self.assertGreater(failed, 0)


class AnswerTests(GroupCase):
    """The store answers what no store promises to answer."""

    def test_settlements(self) -> None:
        """They fail, and their client is not left waiting."""
        self.post(b"x")
        receipts = [each.receipt or "" for each in self.claim().deliveries]
        run = self.spied.groups.run
        self.patch(self.spied.groups, "run", lambda *_: succeed(Ran((), {})))
        asked = [Settling(Action.ACK, one) for one in receipts]
        self.failureResultOf(self.groups.settle(self.queue, self.group, asked), IndexError)
        self.patch(self.spied.groups, "run", run)
        self.assertEqual(set(self.settle(Action.ACK, *receipts)), {Outcome.ACKED})


class AtOnceDeadLetterTests(DeadLetterDefectTests):
    """The same of moves."""

    at_once = True


class AfterDeadLetterTests(DeadLetterDefectTests):
    """The same of moves."""

    after = True
