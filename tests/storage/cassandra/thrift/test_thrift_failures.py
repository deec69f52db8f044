"""Sessions over Thrift whose nodes fail, refuse, forget or are silent."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.port import (
    AccessRefused,
    Node,
    StatementRefused,
    TooLarge,
    TransactionResult,
)
from queuey.storage.cassandra.cluster.thrift.calls import api
from tests.storage.cassandra.thrift.thrift_sessions import DEFECT, EXECUTE, READ, ThriftSessionTestCase
from tests.storage.cassandra.thrift.thrift_support import (
    BOOLEAN,
    HALF,
    HANG_UP,
    INVALID,
    LATE,
    SILENCE,
    UNAVAILABLE,
    rows,
)


class FailureTests(ThriftSessionTestCase):
    """Nodes that do not answer as asked."""

    # What goes wrong

    def test_what_each_error_means(self) -> None:
        """By error: how often a repeatable request is sent, and what is known of a write, of a transaction."""
        table: list[tuple[Any, int, str, str]] = [
            (LATE(acknowledged_by=1), 2, "unknown", "unknown"),
            (LATE(paxos_in_progress=True), 2, "unknown", "unknown"),
            (LATE(acknowledged_by_batchlog=True), 2, "unknown", "unknown"),
            (UNAVAILABLE(), 2, "no", "unknown"),
            (DEFECT, 3, "unknown", "unknown"),
            (HANG_UP, 3, "unknown", "unknown"),
            (HALF, 3, "unknown", "unknown"),
            (b"\x84\x00\x00\x00", 3, "unknown", "unknown"),
        ]
        for error, attempts, write, transaction in table:
            for ask, applied, times in (
                (self.read, "no", attempts),
                (self.write, write, attempts),
                (self.batch, write, attempts),
                (self.claim, transaction, 1),
            ):
                self.setUp()
                self.script(*[error] * 4)
                self.assertEqual((error, self.fails(ask()).applied), (error, applied))
                self.assertEqual((error, self.executions()), (error, times))

    def test_another_node_may_do_better(self) -> None:
        for error in (LATE(), UNAVAILABLE(), DEFECT, HANG_UP, HALF):
            for ask in (self.read, self.write, self.batch):
                self.setUp()
                self.script(error)
                self.result(ask())
                self.assertEqual((len(self.first.executed()), len(self.second.executed())), (1, 1))

    def test_another_node_is_preferred_though_it_has_more_to_do(self) -> None:
        self.second.script[EXECUTE] = [SILENCE] * 4
        for _ in range(4):
            answer = self.session.execute_on(Node("10.0.0.2", "dc1"), READ, (b"x",))
            answer.addErrback(lambda failure: None)
        self.network.settle()
        self.first.script[EXECUTE] = [LATE()] * 2
        self.read().addErrback(lambda failure: None)
        self.network.settle()
        self.assertEqual((len(self.first.executed()), len(self.second.executed())), (1, 5))

    def test_what_is_prepared_again_has_not_been_done(self) -> None:
        """A node forgets a statement, and is gone before it has prepared it again."""
        self.first.result = self.second.result = rows([("[applied]", BOOLEAN)], [b"\1"])
        for _ in range(2):
            self.result(self.claim())
        self.first.forget()
        self.second.forget()
        self.script(HANG_UP, name="prepare_cql3_query")
        self.assertEqual(self.result(self.claim()), TransactionResult(True, {}))
        self.assertEqual((len(self.first.texts()), len(self.second.texts())), (2, 2))

    def test_what_one_attempt_may_have_done_is_not_forgotten(self) -> None:
        for second, kind in ((UNAVAILABLE(), Unavailable), (LATE(), Unavailable)):
            self.setUp()
            self.script(LATE(), second)
            self.assertEqual(self.fails(self.write(), kind).applied, "unknown")

    def test_statements_that_a_node_refuses(self) -> None:
        table = [
            ("no viable alternative", StatementRefused),
            ("Batch too large", TooLarge),
            ("User me has no MODIFY permission on <table k.t> or any of its parents", AccessRefused),
            ("You have not logged in", AccessRefused),
        ]
        for name in (EXECUTE, "prepare_cql3_query"):
            for text, kind in table:
                for ask in (self.read, self.write, self.claim):
                    self.setUp()
                    self.script(INVALID(why=text), name=name)
                    error = self.fails(ask(), kind)
                    self.assertIn(text, str(error))
                    self.assertLessEqual(self.executions(), 1)

    def test_a_node_that_fails_to_prepare(self) -> None:
        for ask in (self.read, self.write, self.claim):
            for error in (HANG_UP, DEFECT):
                self.setUp()
                self.script(error, name="prepare_cql3_query")
                self.script(rows([("[applied]", BOOLEAN)], [b"\1"]))
                self.result(ask())
                self.setUp()
                self.script(*[error] * 4, name="prepare_cql3_query")
                self.assertEqual(self.fails(ask()).applied, "no")
                self.assertEqual(self.executions(), 0)

    def test_a_node_that_forgot_prepares_again(self) -> None:
        for ask in (self.read, self.write, self.claim):
            self.setUp()
            self.alone()
            self.script(*[rows([("[applied]", BOOLEAN)], [b"\1"])] * 3)
            self.result(ask())
            self.first.forget()
            self.first.script.clear()
            answers = [ask(), ask(), ask()]
            self.network.settle()
            self.first.script.clear()
            self.assertEqual(len(self.first.texts()), 2)
            for answer in answers:
                if ask != self.claim:
                    self.successResultOf(answer)
                else:
                    answer.addErrback(lambda failure: None)

    def test_a_node_that_forgets_again_and_again(self) -> None:
        forgotten = INVALID(why="Prepared query with ID 5 not found (either the query was not prepared on this host")
        self.script(*[forgotten] * 9)
        for ask in (self.read, self.write, self.claim):
            self.assertEqual(self.fails(ask()).applied, "no")

    def test_a_defect_of_the_node_that_nobody_foresaw(self) -> None:
        self.script(api.SchemaDisagreementException())
        self.assertEqual(self.fails(self.write()).applied, "unknown")

    # Time

    def test_a_silent_node(self) -> None:
        self.result(self.read())
        for ask in (self.read, self.write, self.batch):
            self.first.silent, self.second.silent = True, False
            answers = [ask() for _ in range(4)]
            self.network.wait(2.5)
            for answer in answers:
                self.successResultOf(answer)
            self.setUp()

    def test_all_nodes_are_silent(self) -> None:
        for ask, applied in ((self.read, "no"), (self.write, "unknown"), (self.batch, "unknown")):
            self.setUp()
            self.script(*[SILENCE] * 9)
            answer = ask()
            self.network.wait(2.9)
            self.assertNoResult(answer)
            self.network.wait(0.2)
            self.assertEqual(self.fails(answer).applied, applied)

    def test_a_transaction_is_waited_for_and_not_repeated(self) -> None:
        self.script(SILENCE)
        answer = self.claim()
        self.network.wait(2.9)
        self.assertNoResult(answer)
        self.network.wait(0.2)
        self.assertEqual(self.fails(answer).applied, "unknown")
        self.assertEqual(self.executions(), 1)

    def test_who_gives_up(self) -> None:
        self.script(SILENCE)
        answer = self.read()
        self.network.settle()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.result(self.read())

    def test_who_gives_up_while_others_wait_for_the_same_statement(self) -> None:
        answers = [self.read() for _ in range(4)]
        for answer in answers[:3]:
            answer.cancel()
            self.failureResultOf(answer, CancelledError)
        self.result(answers[3])
