"""The layers around a session, over a session that a test controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from queuey.errors import Unavailable
from queuey.model.telemetry.counts import Histogram
from queuey.storage.cassandra.cluster.layers import (
    Bounded,
    Bounds,
    CallLimits,
    Metered,
    Retrying,
    Timed,
    layered,
)
from queuey.storage.cassandra.cluster.port import (
    Bound,
    ICQLSession,
    Kind,
    Level,
    Statement,
    StatementRefused,
    TransactionResult,
)
from tests.counted import counted, value
from tests.storage.cassandra.session.fakes import NODE, Asked, FakeSession

READ = Statement("SELECT", Kind.READ)
WRITE = Statement("INSERT", Kind.WRITE)
CLAIM = Statement("INSERT IF NOT EXISTS", Kind.TRANSACTION)
TABLE = Statement("CREATE TABLE", Kind.DEFINITION)

LIMITS = CallLimits(call=10.0, definition=40.0, first_pause=0.1, attempts=5.0)


def gone(applied: str = "no") -> Unavailable:
    return Unavailable("gone", applied=applied)


class LayerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = FakeSession()

    def refused(self, answer: Deferred[Any]) -> tuple[str, str]:
        error: Any = self.failureResultOf(answer, Unavailable).value
        return error.text, error.applied


class EveryLayerTests(LayerCase):
    """All of them hand everything on, as it is."""

    def setUp(self) -> None:
        super().setUp()
        self.session = layered(self.inner, self.clock, Bounds(), LIMITS, lambda: 0.5)

    def test_they_provide_the_interface(self) -> None:
        verifyObject(ICQLSession, self.session)
        verifyObject(ICQLSession, self.inner)

    def test_calls_and_answers_are_handed_on(self) -> None:
        rows, verdict = [(1,)], TransactionResult(True, {})
        self.inner.script.extend([rows, rows, None, verdict])
        self.assertIs(self.successResultOf(self.session.execute(READ, ("a",), Level.SERIAL)), rows)
        self.assertIs(self.successResultOf(self.session.execute_on(NODE, READ, ())), rows)
        bound = [Bound(WRITE, (b"x", 1)), Bound(WRITE, (b"y", 2))]
        self.assertIsNone(self.successResultOf(self.session.batch(bound, Level.EACH_QUORUM, True)))
        self.assertIs(self.successResultOf(self.session.transact(CLAIM, ("b",))), verdict)
        self.assertEqual(
            self.inner.asked,
            [
                Asked("execute", ("SELECT",), (("a",),), Level.SERIAL),
                Asked("execute_on", ("SELECT",), ((),), Level.ONE),
                Asked("batch", ("INSERT", "INSERT"), ((b"x", 1), (b"y", 2)), Level.EACH_QUORUM, True),
                Asked("transact", ("INSERT IF NOT EXISTS",), (("b",),), None),
            ],
        )
        metrics = self.session.metrics
        self.assertEqual(
            counted(metrics, "queuey_cassandra_request_duration_seconds"),
            {("read",): 2, ("write",): 1, ("transaction",): 1},
        )
        self.assertEqual(counted(metrics, "queuey_cassandra_errors_total"), {})

    def test_the_ends_are_handed_on(self) -> None:
        self.successResultOf(self.session.connect())
        self.assertEqual(self.session.nodes(), (NODE,))
        answer = self.session.execute(WRITE, (), Level.ONE)
        self.successResultOf(self.session.close())
        self.assertTrue(self.inner.closed)
        self.clock.advance(10)
        self.assertEqual(self.refused(answer)[1], "unknown")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_reaches_the_session(self) -> None:
        answer = self.session.execute(READ, (), Level.ONE)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.inner.cancelled, 1)

    def test_defects_are_not_tried_again(self) -> None:
        self.inner.script.append(StatementRefused("no such table"))
        self.failureResultOf(self.session.execute(READ, (), Level.ONE), StatementRefused)
        self.assertEqual(len(self.inner.asked), 1)


class TimedTests(LayerCase):
    def setUp(self) -> None:
        super().setUp()
        self.session = Timed(self.inner, self.clock, LIMITS)

    def test_each_kind_has_its_limit(self) -> None:
        read, write = self.session.execute(READ, (), Level.ONE), self.session.execute(WRITE, (), Level.ONE)
        batch, claim = self.session.batch([], Level.ONE, False), self.session.transact(CLAIM, ())
        table = self.session.execute(TABLE, (), Level.ONE)
        self.clock.pump([0.5] * 19)
        for answer in (read, write, batch, claim, table):
            self.assertNoResult(answer)
        self.clock.pump([0.5] * 2)
        self.assertEqual(self.refused(read)[1], "no")
        for answer in (write, batch, claim):
            self.assertEqual(self.refused(answer)[1], "unknown")
        self.clock.pump([0.5] * 58)
        self.assertNoResult(table)
        self.clock.pump([0.5] * 3)
        self.assertEqual(self.refused(table)[1], "unknown")
        self.assertEqual(self.inner.cancelled, 5)

    def test_one_timer_serves_all(self) -> None:
        for _ in range(100):
            self.session.execute(READ, (), Level.ONE)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_what_was_not_begun_is_not_applied(self) -> None:
        session = Timed(Bounded(self.inner, Bounds(count=1)), self.clock, LIMITS)
        first, second = session.execute(WRITE, (1,), Level.ONE), session.execute(WRITE, (2,), Level.ONE)
        self.clock.pump([0.5] * 21)
        self.assertEqual(self.refused(first)[1], "unknown")
        # The first one's end let the second one begin, which is cancelled in its turn.
        self.assertIn(self.refused(second)[1], ("no", "unknown"))
        first, second = session.execute(WRITE, (1,), Level.ONE), session.execute(READ, (2,), Level.ONE)
        third = session.execute(WRITE, (3,), Level.ONE)
        self.clock.advance(1)
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.assertEqual([asked.values for asked in self.inner.asked[-1:]], [((1,),)])


class BoundedTests(LayerCase):
    def setUp(self) -> None:
        super().setUp()
        self.session = Bounded(self.inner, Bounds(count=2, size=100, waiting=3, waiting_size=1000))

    def ask(self, size: int = 0, number: int = 0) -> Deferred[Any]:
        return self.session.execute(WRITE, (number, "x" * size), Level.ONE)

    def numbers(self) -> list[Any]:
        return [asked.values[0][0] for asked in self.inner.asked]

    def counts(self) -> tuple[float | None, float | None]:
        """How many calls are under way, and how many wait, as the test sets it."""
        metrics = self.session.metrics
        names = "queuey_cassandra_requests_in_flight", "queuey_cassandra_requests_waiting"
        return value(metrics, names[0]), value(metrics, names[1])

    def test_so_many_are_under_way_and_the_next_ones_wait_in_order(self) -> None:
        self.assertEqual(self.counts(), (0, 0))
        answers = [self.ask(number=number) for number in range(5)]
        self.assertEqual((self.numbers(), self.counts()), ([0, 1], (2, 3)))
        self.inner.answer("first")
        self.assertEqual(self.successResultOf(answers[0]), "first")
        self.assertEqual(self.numbers(), [0, 1, 2])
        self.inner.answer(gone())
        self.refused(answers[1])
        self.assertEqual(self.numbers(), [0, 1, 2, 3])
        while self.inner.waiting:
            self.inner.answer("others")
        self.assertEqual([self.successResultOf(answer) for answer in answers[2:]], ["others"] * 3)
        self.assertEqual((self.numbers(), self.counts()), ([0, 1, 2, 3, 4], (0, 0)))

    def test_more_than_may_wait_are_refused(self) -> None:
        for _ in range(5):
            self.ask()
        self.assertEqual(self.refused(self.ask()), ("Too many requests wait for Cassandra.", "no"))
        self.inner.answer(None)
        self.assertNoResult(self.ask())

    def test_bytes_are_bounded_too(self) -> None:
        self.ask(60)
        second = self.ask(60)
        self.assertEqual(len(self.inner.asked), 1)
        self.inner.answer("first")
        self.assertEqual(len(self.inner.asked), 2)
        self.inner.answer("second")
        self.assertEqual(self.successResultOf(second), "second")

    def test_one_alone_may_be_larger(self) -> None:
        self.ask(500)
        self.assertEqual(len(self.inner.asked), 1)
        self.ask(1)
        self.assertEqual(len(self.inner.asked), 1)

    def test_bytes_that_wait_are_bounded(self) -> None:
        self.ask(100)
        self.ask(600)
        self.assertEqual(self.refused(self.ask(401))[1], "no")
        self.assertNoResult(self.ask(400))

    def test_batches_count_all_their_values(self) -> None:
        self.session.batch([Bound(WRITE, (b"x" * 30, "y" * 30)), Bound(WRITE, (b"x" * 30, 7))], Level.ONE, False)
        self.ask(20)
        self.assertEqual(len(self.inner.asked), 1)

    def test_the_first_that_waits_is_not_overtaken_by_a_smaller_one(self) -> None:
        self.ask(60, 0)
        self.ask(60, 1)
        self.ask(1, 2)
        self.assertEqual(self.numbers(), [0])

    def test_who_waits_may_give_up(self) -> None:
        answers = [self.ask(number=number) for number in range(5)]
        answers[3].cancel()
        self.failureResultOf(answers[3], CancelledError)
        self.assertNoResult(self.ask(number=5))
        for _ in range(5):
            self.inner.answer(None)
        self.assertEqual(self.numbers(), [0, 1, 2, 4, 5])
        self.assertEqual(self.inner.waiting, [])

    def test_who_waited_may_give_up_later(self) -> None:
        answers = [self.ask(number=number) for number in range(3)]
        self.inner.answer(None)
        answers[2].cancel()
        self.failureResultOf(answers[2], CancelledError)
        self.assertEqual(self.inner.cancelled, 1)

    def test_many_that_fail_at_once(self) -> None:
        session = Bounded(self.inner, Bounds(count=1, waiting=10_000))
        first = session.execute(WRITE, (), Level.ONE)
        answers = [session.execute(WRITE, (), Level.ONE) for _ in range(5000)]
        self.inner.script.extend(gone() for _ in answers)
        self.inner.answer(None)
        self.successResultOf(first)
        for answer in answers:
            self.refused(answer)

    def test_the_end_refuses_those_that_wait(self) -> None:
        answers = [self.ask() for _ in range(4)]
        answers[1].addErrback(lambda failure: None)
        answers[3].cancel()
        self.failureResultOf(answers[3], CancelledError)
        self.successResultOf(self.session.close())
        self.assertEqual(self.refused(answers[2])[1], "no")
        self.assertEqual(self.refused(answers[0])[1], "unknown")
        self.assertEqual(len(self.inner.asked), 2)


class RetryingTests(LayerCase):
    def setUp(self) -> None:
        super().setUp()
        self.random = 1.0
        self.session = Retrying(self.inner, self.clock, LIMITS, lambda: self.random)

    def test_reads_and_writes_are_tried_again_after_a_pause(self) -> None:
        bound = [Bound(WRITE, ())]
        calls: list[Callable[[], Deferred[Any]]] = [
            lambda: self.session.execute(READ, (), Level.ONE),
            lambda: self.session.execute(WRITE, (), Level.ONE),
            lambda: self.session.batch(bound, Level.ONE, True),
        ]
        for call in calls:
            self.inner.script.extend([gone("unknown"), "done"])
            before = len(self.inner.asked)
            answer = call()
            self.assertNoResult(answer)
            self.clock.advance(0.09)
            self.assertEqual(len(self.inner.asked) - before, 1)
            self.clock.advance(0.02)
            self.assertEqual(self.successResultOf(answer), "done")
            self.assertEqual(self.inner.asked[-1], self.inner.asked[-2])
        self.assertEqual(counted(self.session.metrics, "queuey_cassandra_retries_total"), {(): 3})

    def test_pauses_grow_up_to_a_second(self) -> None:
        self.inner.script.extend(gone() for _ in range(20))
        answer = self.session.execute(READ, (), Level.ONE)
        answer.addErrback(lambda failure: over.append(failure.value))
        over: list[Any] = []
        times, seen = [], 1
        while not over:
            self.clock.advance(0.0125)
            if len(self.inner.asked) > seen:
                seen = len(self.inner.asked)
                times.append(self.clock.seconds())
        self.assertIsInstance(over[0], Unavailable)
        pauses = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
        for pause, expected in zip(pauses, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0], strict=True):
            self.assertApproximates(pause, expected, 0.02)

    def test_pauses_differ(self) -> None:
        self.random = 0.0
        self.inner.script.append(gone())
        self.session.execute(READ, (), Level.ONE)
        self.clock.advance(0.051)
        self.assertEqual(len(self.inner.asked), 2)

    def test_no_attempt_is_begun_after_the_time_for_it(self) -> None:
        answer = self.session.execute(READ, (), Level.ONE)
        self.clock.advance(4.95)
        self.inner.answer(gone())
        self.refused(answer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_may_have_been_applied_once_stays_so(self) -> None:
        self.inner.script.append(gone("unknown"))
        answer = self.session.execute(WRITE, (), Level.ONE)
        self.clock.advance(0.1)
        self.clock.advance(4.9)
        self.inner.answer(gone("no"))
        self.assertEqual(self.refused(answer), ("gone", "unknown"))

    def test_what_was_never_applied_stays_so(self) -> None:
        answer = self.session.execute(WRITE, (), Level.ONE)
        self.clock.advance(5)
        self.inner.answer(gone("no"))
        self.assertEqual(self.refused(answer)[1], "no")

    def test_transactions_definitions_and_single_nodes_are_tried_once(self) -> None:
        calls: list[Callable[[], Deferred[Any]]] = [
            lambda: self.session.transact(CLAIM, ()),
            lambda: self.session.execute(TABLE, (), Level.ONE),
            lambda: self.session.execute_on(NODE, READ, ()),
        ]
        for call in calls:
            self.inner.script.append(gone())
            self.refused(call())
        self.assertEqual(len(self.inner.asked), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_end_in_a_pause(self) -> None:
        self.inner.script.extend([gone("unknown"), gone("no")])
        first, second = self.session.execute(WRITE, (), Level.ONE), self.session.execute(READ, (), Level.ONE)
        self.successResultOf(self.session.close())
        self.assertEqual(self.refused(first), ("The session with Cassandra was closed.", "unknown"))
        self.assertEqual(self.refused(second)[1], "no")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.inner.script.append(gone("no"))
        self.refused(self.session.execute(READ, (), Level.ONE))
        self.assertEqual(len(self.inner.asked), 3)

    def test_giving_up_in_a_pause_and_in_an_attempt(self) -> None:
        self.inner.script.append(gone())
        answer = self.session.execute(WRITE, (), Level.ONE)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.inner.script.append(gone())
        answer = self.session.execute(WRITE, (), Level.ONE)
        self.clock.advance(0.1)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.inner.cancelled, 1)
        self.clock.advance(5)
        self.assertEqual(len(self.inner.asked), 3)


class MeteredTests(LayerCase):
    def test_what_is_told(self) -> None:
        session = Metered(self.inner, self.clock)
        ends: list[Any] = [[], gone("no"), gone("no"), gone("unknown"), StatementRefused("x"), ValueError("x")]
        for end in ends:
            answer = session.execute(READ, (), Level.QUORUM)
            self.clock.advance(0.25)
            self.inner.answer(end)
            answer.addErrback(lambda failure: None)
        session.transact(CLAIM, ()).addErrback(lambda failure: None).cancel()
        self.assertEqual(
            counted(session.metrics, "queuey_cassandra_errors_total"),
            {
                ("read", "unavailable"): 2,
                ("read", "unknown"): 1,
                ("read", "refused"): 1,
                ("read", "defect"): 1,
                ("transaction", "cancelled"): 1,
            },
        )
        self.assertEqual(
            counted(session.metrics, "queuey_cassandra_request_duration_seconds"), {("read",): 6, ("transaction",): 1}
        )
        (durations,) = [metric for metric in session.metrics if isinstance(metric, Histogram)]
        self.assertEqual(durations.of(("read",)).sum, 6 * 0.25)
