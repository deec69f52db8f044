"""The Deferred idioms."""

from __future__ import annotations

from collections.abc import Generator
from types import coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import (
    CoroutineRunner,
    KeyedLock,
    ShieldedWrite,
    SingleFlight,
    bounded,
    deferred,
    shield,
)


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


class ShieldedWriteTests(SynchronousTestCase):
    """A coroutine that awaits a write can be cancelled; the write goes on."""

    def setUp(self) -> None:
        self.writing: Deferred[int] = Deferred(lambda _: self.heard.append("the write was cancelled"))
        self.heard: list[object] = []
        self.wrong: Exception | None = None

    def wait(self) -> CoroutineRunner[str]:
        @coroutine
        def wait() -> Generator[Any, Any, None]:
            self.heard.append((yield ShieldedWrite(self.writing, self.done)))

        return CoroutineRunner(wait(), self.on_done, "a write")

    def done(self, number: int) -> None:
        self.heard.append(f"stored {number}")
        if self.wrong is not None:
            raise self.wrong

    def on_done(self, of: str, failure: Failure | None) -> None:
        self.assertEqual(of, "a write")
        self.heard.append(None if failure is None else failure.type)

    def test_result(self) -> None:
        waiting = self.wait()
        self.assertTrue(waiting.waits)
        self.writing.callback(3)
        self.assertEqual((self.heard, waiting.waits), (["stored 3", 3, None], False))
        waiting.cancel()
        self.assertEqual(self.heard, ["stored 3", 3, None])

    def test_done_at_once(self) -> None:
        self.writing.callback(3)
        self.assertFalse(self.wait().waits)
        self.assertEqual(self.heard, ["stored 3", 3, None])

    def test_failed(self) -> None:
        waiting = self.wait()
        self.writing.errback(ValueError("no"))
        self.assertEqual((self.heard, waiting.waits), ([ValueError], False))

    def test_cancelled(self) -> None:
        """The coroutine gets the cancellation at once, and once; the write goes on, and ``done`` is called with its
        result."""
        waiting = self.wait()
        waiting.cancel()
        self.assertEqual((self.heard, waiting.waits), ([CancelledError], False))
        waiting.cancel()
        self.writing.callback(3)
        self.assertEqual(self.heard, [CancelledError, "stored 3"])

    def test_cancelled_before_it_fails(self) -> None:
        self.wait().cancel()
        self.writing.errback(ValueError("no"))
        self.assertEqual(self.heard, [CancelledError])
        self.assertIsNone(self.successResultOf(self.writing))

    def test_done_fails(self) -> None:
        """The coroutine gets the error; if it was cancelled, the error is logged."""
        self.wrong = KeyError("a queue that nobody knows")
        self.wait()
        self.writing.callback(3)
        self.assertEqual(self.heard, ["stored 3", KeyError])
        self.writing = Deferred()
        self.wait().cancel()
        self.writing.callback(4)
        self.assertEqual(self.heard[2:], [CancelledError, "stored 4"])
        self.failureResultOf(self.writing, KeyError)

    def test_awaited_once(self) -> None:
        """A second wait would not be cancelled."""
        write = ShieldedWrite(self.writing, self.done)

        @coroutine
        def wait() -> Generator[Any, Any, None]:
            yield write

        first = CoroutineRunner(wait(), self.on_done, "a write")
        self.assertTrue(first.waits)
        self.assertRaises(RuntimeError, CoroutineRunner, wait(), self.on_done, "a write")


class QuestionTests(SynchronousTestCase):
    """One answer for all who wait for it."""

    def test_all_hear_it_in_their_order(self) -> None:
        question: SingleFlight[str] = SingleFlight()
        heard: list[tuple[int, str]] = []

        def hear(answer: str, number: int) -> None:
            heard.append((number, answer))

        for number in range(3):
            question.join().addCallback(hear, number)
        self.assertEqual(heard, [])
        question.answered("yes")
        self.assertEqual(heard, [(0, "yes"), (1, "yes"), (2, "yes")])

    def test_who_leaves_leaves_the_others_waiting(self) -> None:
        question: SingleFlight[str] = SingleFlight()
        first, second = question.join(), question.join()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        question.answered("yes")
        self.assertEqual(self.successResultOf(second), "yes")

    def test_failures(self) -> None:
        question: SingleFlight[str] = SingleFlight()
        waiters = [question.join(), question.join()]
        question.answered(Failure(ValueError("no")))
        for waiter in waiters:
            self.failureResultOf(waiter, ValueError)


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
        """The waiting caller gets the cancellation; the write goes on, and its result is dropped."""
        cancelled: list[object] = []
        for finish in (lambda inner: inner.callback(1), lambda inner: inner.errback(ValueError())):
            inner: Deferred[int] = Deferred(cancelled.append)
            outer = shield(inner)
            outer.cancel()
            self.failureResultOf(outer, CancelledError)
            finish(inner)
            self.assertIsNone(self.successResultOf(inner))
        self.assertEqual(cancelled, [])


class TurnsTests(SynchronousTestCase):
    """One at a time."""

    def setUp(self) -> None:
        self.turns = KeyedLock()
        self.begun: list[str] = []

    def take(self, key: str, name: str) -> tuple[Deferred[str], Deferred[str]]:
        inner: Deferred[str] = Deferred()

        def work() -> Deferred[str]:
            self.begun.append(name)
            return inner

        return self.turns.take(key, work), inner

    def test_order(self) -> None:
        """The next begins when the one before is over, however that went; other things are not waited for."""
        first, work = self.take("a", "first")
        second, other_work = self.take("a", "second")
        self.take("b", "elsewhere")
        self.assertEqual(self.begun, ["first", "elsewhere"])
        work.errback(ValueError())
        self.failureResultOf(first, ValueError)
        self.assertEqual(self.begun, ["first", "elsewhere", "second"])
        other_work.callback("done")
        self.assertEqual(self.successResultOf(second), "done")

    def test_cancelled_before_its_turn(self) -> None:
        """It is not begun, and those behind it are."""
        _, work = self.take("a", "first")
        second, _ = self.take("a", "second")
        self.take("a", "third")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        work.callback("done")
        self.assertEqual(self.begun, ["first", "third"])

    def test_nothing_is_left(self) -> None:
        """A key without work is forgotten."""
        _, work = self.take("a", "first")
        work.callback("done")
        self.assertEqual(vars(self.turns), {"_locks": {}})


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
