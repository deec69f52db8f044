"""Work in slices takes turns."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import TurnQueue


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
