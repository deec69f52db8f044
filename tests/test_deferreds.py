"""The Deferred idioms."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import bounded, deferred, shield


class DeferredTests(SynchronousTestCase):
    """Coroutines as Deferreds."""

    def test_result_and_error(self) -> None:
        """It fires with what is returned and fails with what is raised."""

        @deferred
        async def halve(number: int) -> int:
            if await succeed(number) % 2:
                raise ValueError(number)
            return number // 2

        self.assertEqual(self.successResultOf(halve(4)), 2)
        self.failureResultOf(halve(3), ValueError)

    def test_keeps_its_name(self) -> None:
        """What documents the function still does."""

        @deferred
        async def named() -> None:
            """Do nothing."""

        self.assertEqual((named.__name__, named.__doc__), ("named", "Do nothing."))


class ShieldTests(SynchronousTestCase):
    """A write that outlives its client."""

    def test_passes_on(self) -> None:
        """Results and failures."""
        inner: Deferred[int] = Deferred()
        outer = shield(inner)
        self.assertNoResult(outer)
        inner.callback(1)
        self.assertEqual(self.successResultOf(outer), 1)
        failing: Deferred[int] = Deferred()
        outer = shield(failing)
        failing.errback(ValueError())
        self.failureResultOf(outer, ValueError)

    def test_cancelled(self) -> None:
        """Whoever waited is told so; the write goes on, and what becomes of it is dropped."""
        cancelled: list[object] = []
        for finish in (lambda inner: inner.callback(1), lambda inner: inner.errback(ValueError())):
            inner: Deferred[int] = Deferred(cancelled.append)
            outer = shield(inner)
            outer.cancel()
            self.failureResultOf(outer, CancelledError)
            finish(inner)
            self.assertIsNone(self.successResultOf(inner))
        self.assertEqual(cancelled, [])


class Late(Exception):
    """The time was over."""


class BoundedTests(SynchronousTestCase):
    """A wait with a limit."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_in_time(self) -> None:
        """Nothing is changed, and no timer is left."""
        inner: Deferred[int] = Deferred()
        outer = bounded(inner, 5, self.clock, Late)
        self.clock.advance(4.9)
        inner.callback(1)
        self.assertEqual(self.successResultOf(outer), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """What is waited for is cancelled, and the wait fails with the error that was asked for."""
        cancelled: list[object] = []
        outer: Deferred[int] = bounded(Deferred(cancelled.append), 5, self.clock, Late)
        self.clock.advance(5)
        self.failureResultOf(outer, Late)
        self.assertEqual(len(cancelled), 1)

    def test_cancelled_by_its_caller(self) -> None:
        """That is no lateness."""
        outer: Deferred[int] = bounded(Deferred(), 5, self.clock, Late)
        outer.cancel()
        self.failureResultOf(outer, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
