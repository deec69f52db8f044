"""Calls that are made in the next turn of the reactor, and work in slices that takes turns."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import NextTurn, TurnQueue


class NextTurnTests(SynchronousTestCase):
    """One call a turn."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.next_turn = NextTurn(self.clock)
        self.called: list[str] = []

    def call(self) -> None:
        self.called.append("called")

    def test_once(self) -> None:
        """However often it is asked for; after the call it can be asked for again, by the function too."""
        for _ in range(3):
            self.next_turn.call(self.call)
        self.assertTrue(self.next_turn.scheduled)
        self.assertEqual(self.called, [])
        self.clock.advance(0)
        self.assertEqual(self.called, ["called"])
        self.assertFalse(self.next_turn.scheduled)
        self.next_turn.call(lambda: self.next_turn.call(self.call))
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.called, ["called"] * 2)

    def test_a_defect(self) -> None:
        """An error does not keep later calls from being made."""
        self.next_turn.call(lambda: self.fail("a defect"))
        self.assertRaises(self.failureException, self.clock.advance, 0)
        self.next_turn.call(self.call)
        self.clock.advance(0)
        self.assertEqual(self.called, ["called"])

    def test_cancelled(self) -> None:
        self.next_turn.cancel()
        self.next_turn.call(self.call)
        self.next_turn.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.next_turn.call(self.call)
        self.clock.advance(0)
        self.assertEqual(self.called, ["called"])


class TurnQueueTests(SynchronousTestCase):
    """Who has which turn of the reactor."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = TurnQueue(self.clock)
        self.done: list[str] = []

    def turn(self) -> None:
        """One turn of the reactor: what is scheduled meanwhile is for the next."""
        due, self.clock.calls = self.clock.calls, []
        for call in due:
            call.func(*call.args, **call.kw)

    def work(self, name: str, count: int) -> Deferred[None]:
        async def work() -> None:
            for _ in range(count):
                await self.turns.next()
                self.done.append(name)

        return Deferred.fromCoroutine(work())

    def test_one_a_turn(self) -> None:
        """However many wait, one of them goes on in each turn, in their order; and the next slice waits behind them."""
        for name in "abc":
            self.work(name, 2)
        self.assertEqual(self.done, [])
        for count in range(1, 7):
            self.turn()
            self.assertEqual(len(self.done), count)
        self.assertEqual(self.done, list("abcabc"))
        self.assertEqual(self.clock.calls, [])

    def test_later(self) -> None:
        """After a pause it goes on as before."""
        for _ in range(2):
            self.work("a", 1)
            self.turn()
            self.assertEqual(self.clock.calls, [])
        self.assertEqual(self.done, ["a", "a"])

    def test_cancelled(self) -> None:
        """Who does not wait any more takes no turn from others."""
        first, second = self.work("a", 1), self.work("b", 1)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.turn()
        self.successResultOf(second)
        self.assertEqual((self.done, self.clock.calls), (["b"], []))

    def test_failing(self) -> None:
        """What one does with its turn is not the others' concern."""

        async def fail() -> None:
            await self.turns.next()
            raise ValueError("a defect")

        failing = Deferred.fromCoroutine(fail())
        self.work("b", 1)
        self.turn()
        self.failureResultOf(failing, ValueError)
        self.turn()
        self.assertEqual(self.done, ["b"])
