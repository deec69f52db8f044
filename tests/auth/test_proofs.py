"""Verified credentials are cached within bounds; the credentials themselves are not."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.auth.proofs import Proof, Proofs
from queuey.errors import BadIdentity

SECRET = "a-secret-that-nobody-else-has"


class ProofsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.proofs = Proofs(self.clock.seconds, 3)
        self.asked = 0

    def find(self, value: str, until: float = 10) -> Deferred[Proof]:
        def prove() -> Deferred[Proof]:
            self.asked += 1
            return succeed(Proof(frozenset({f"bid:{value}@b.org"}), until))

        return self.proofs.find(value, prove)

    def test_until(self) -> None:
        self.successResultOf(self.find("a"))
        self.clock.advance(9.9)
        self.successResultOf(self.find("a"))
        self.assertEqual(self.asked, 1)
        self.assertIsNotNone(self.proofs.known("a"))
        self.clock.advance(0.1)
        self.assertIsNone(self.proofs.known("a"))
        self.successResultOf(self.find("a"))
        self.assertEqual(self.asked, 2)

    def test_holding(self) -> None:
        """For as long as it is remembered, in that place, and not longer than it is good."""
        holds = self.proofs.holding("a", self.successResultOf(self.find("a")))
        self.assertTrue(holds())
        self.proofs.forget()
        self.assertFalse(holds())
        other = self.proofs.holding("a", self.successResultOf(self.find("a")))
        self.assertEqual((holds(), other()), (False, True))
        self.clock.advance(10)
        self.assertFalse(other())
        self.successResultOf(self.find("a", 20))
        self.assertFalse(other())

    def test_bounded(self) -> None:
        """The one that came first goes first."""
        for value in "abcd":
            self.successResultOf(self.find(value))
        self.assertEqual(len(self.proofs), 3)
        self.assertIsNone(self.proofs.known("a"))
        self.assertIsNotNone(self.proofs.known("b"))
        self.clock.advance(10)
        self.successResultOf(self.find("d", 20))
        self.assertEqual(len(self.proofs), 3)
        self.successResultOf(self.find("e", 20))
        self.assertIsNotNone(self.proofs.known("d"))

    def test_failures_are_not_remembered(self) -> None:
        failing: Deferred[Proof] = fail(BadIdentity("no"))
        self.failureResultOf(self.proofs.find("a", lambda: failing), BadIdentity)
        self.successResultOf(self.find("a"))

    def test_all_who_wait_are_told_of_a_failure(self) -> None:
        waiting: Deferred[Proof] = Deferred()
        asked = [self.proofs.find("a", lambda: waiting) for _ in range(3)]
        waiting.errback(BadIdentity("no"))
        for each in asked:
            self.failureResultOf(each, BadIdentity)
        self.assertEqual(len(self.proofs), 0)

    def test_forgotten(self) -> None:
        self.successResultOf(self.find("a"))
        self.proofs.forget()
        self.assertIsNone(self.proofs.known("a"))

    def test_holds_no_secret(self) -> None:
        """What was sent is in nothing that is kept."""
        proof = Proof(frozenset({"bid:a@b.org"}), 10)
        self.successResultOf(self.proofs.find(SECRET, lambda: succeed(proof)))
        waiting: Deferred[Proof] = Deferred()
        self.proofs.find(f"another-{SECRET}", lambda: waiting)
        self.assertEqual(len(self.proofs), 1)
        self.assertNotIn(SECRET, repr(vars(self.proofs)))
        waiting.callback(proof)
        self.assertNotIn(SECRET, repr(vars(self.proofs)))
