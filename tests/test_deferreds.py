"""The Deferred idioms."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import (
    CoroutineRunner,
    KeyedLock,
    PendingRead,
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


class ShieldedTests(SynchronousTestCase):
    """A write that goes on, whoever is left to hear of it."""

    def setUp(self) -> None:
        self.writing: Deferred[int] = Deferred(lambda _: self.heard.append("the write was cancelled"))
        self.heard: list[object] = []
        self.wrong: Exception | None = None

    def shield(self) -> ShieldedWrite[str]:
        return ShieldedWrite(self.writing, self.done, self.told, lambda failure: self.heard.append(type(failure.value)))

    def done(self, number: int) -> str:
        self.heard.append(number)
        return f"stored {number}"

    def told(self, text: str) -> None:
        if self.wrong is not None:
            raise self.wrong
        self.heard.append(text)

    def test_told(self) -> None:
        shielded = self.shield()
        self.assertTrue(shielded.waits)
        self.writing.callback(3)
        self.assertEqual((self.heard, shielded.waits), ([3, "stored 3"], False))
        shielded.cancel()
        self.assertEqual(self.heard, [3, "stored 3"])

    def test_done_at_once(self) -> None:
        self.writing.callback(3)
        self.assertFalse(self.shield().waits)
        self.assertEqual(self.heard, [3, "stored 3"])

    def test_failed(self) -> None:
        shielded = self.shield()
        self.writing.errback(ValueError("no"))
        self.assertEqual((self.heard, shielded.waits), ([ValueError], False))

    def test_cancelled(self) -> None:
        """Whoever waits is told at once, and once; the write goes on, and what is done with it is done."""
        shielded = self.shield()
        shielded.cancel()
        self.assertEqual((self.heard, shielded.waits), ([CancelledError], False))
        shielded.cancel()
        self.writing.callback(3)
        self.assertEqual(self.heard, [CancelledError, 3])

    def test_cancelled_before_it_fails(self) -> None:
        """Nobody hears of that."""
        self.shield().cancel()
        self.writing.errback(ValueError("no"))
        self.assertEqual(self.heard, [CancelledError])
        self.assertIsNone(self.successResultOf(self.writing))

    def test_who_is_told_fails(self) -> None:
        self.wrong = KeyError("an answer that cannot be written")
        self.shield()
        self.writing.callback(3)
        self.assertEqual(self.heard, [3, KeyError])


class AskedTests(SynchronousTestCase):
    """Something that is waited for by one who can be told, and who can go."""

    def setUp(self) -> None:
        self.inner: Deferred[int] = Deferred()
        self.heard: list[int | type[BaseException] | None] = []

    def ask(self, further: Deferred[None] | None = None) -> PendingRead[int]:
        """Wait, and go on with something more if there is such."""

        async def go_on(more: Deferred[None]) -> None:
            await more

        def told(number: int) -> CoroutineRunner | None:
            self.heard.append(1 // number)
            return None if further is None else CoroutineRunner(go_on(further), self.failed)

        return PendingRead(self.inner, told, self.failed)

    def failed(self, failure: Failure | None) -> None:
        self.heard.append(None if failure is None else failure.type)

    def test_it_is_told(self) -> None:
        asked = self.ask()
        self.assertTrue(asked.waits)
        self.inner.callback(1)
        self.assertEqual((self.heard, asked.waits), ([1], False))
        asked.cancel()
        self.assertEqual(self.heard, [1])

    def test_what_is_there_is_told_at_once(self) -> None:
        self.inner.callback(1)
        self.assertFalse(self.ask().waits)
        self.assertEqual(self.heard, [1])

    def test_it_fails(self) -> None:
        asked = self.ask()
        self.inner.errback(Failure(KeyError()))
        self.assertEqual((self.heard, asked.waits), ([KeyError], False))

    def test_whoever_is_told_may_fail(self) -> None:
        self.ask()
        self.inner.callback(0)
        self.assertEqual(self.heard, [ZeroDivisionError])

    def test_whoever_goes_cancels_it(self) -> None:
        self.ask().cancel()
        self.assertEqual(self.heard, [CancelledError])

    def test_what_goes_on_then_is_waited_for_and_cancelled(self) -> None:
        for ended in (True, False):
            self.inner, self.heard = Deferred(), []
            more: Deferred[None] = Deferred()
            asked = self.ask(more)
            self.inner.callback(1)
            self.assertEqual((self.heard, asked.waits), ([1], True))
            if ended:
                more.callback(None)
            else:
                asked.cancel()
            self.assertEqual((self.heard, asked.waits), ([1, None if ended else CancelledError], False))


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
        """What nobody works on is forgotten."""
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
