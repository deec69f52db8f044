"""The session over Thrift, with nodes by a script."""

from __future__ import annotations

import uuid
from typing import Any

from thriftpy2.thrift import TApplicationException
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.port import (
    AccessRefused,
    Bound,
    Kind,
    Level,
    Node,
    Statement,
    StatementRefused,
    TooLarge,
    TransactionResult,
)
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from queuey.storage.cassandra.cluster.thrift.calls import api
from queuey.storage.cassandra.cluster.thrift.session import ThriftSession
from tests.storage.cassandra.thrift_support import (
    BOOLEAN,
    HALF,
    HANG_UP,
    INT,
    INVALID,
    LATE,
    PORT,
    SILENCE,
    TEXT,
    UNAVAILABLE,
    VOID,
    Network,
    Peer,
    rows,
)

EXECUTE = "execute_prepared_cql3_query"
READ = Statement("SELECT a FROM k.t WHERE b = ?", Kind.READ)
WRITE = Statement("INSERT INTO k.t (a, b) VALUES (?, ?)", Kind.WRITE)
OTHER = Statement("DELETE FROM k.t WHERE b = ?", Kind.WRITE)
CLAIM = Statement("INSERT INTO k.t (a, b) VALUES (?, ?) IF NOT EXISTS", Kind.TRANSACTION)
TABLE = Statement("CREATE TABLE k.t (a blob PRIMARY KEY)", Kind.DEFINITION)
DEFECT = TApplicationException(6, "Internal error")


class SessionTests(SynchronousTestCase):
    """Three nodes, of which one is in another data centre, and two connections to each."""

    def setUp(self) -> None:
        self.first, self.second, self.far = Peer("10.0.0.1"), Peer("10.0.0.2"), Peer("10.0.0.3", "dc2")
        self.network = Network(self.first, self.second, self.far)
        self.session = self.make()
        connected = self.session.connect()
        self.network.settle()
        self.successResultOf(connected)

    def make(self, **more: Any) -> ThriftSession:
        settings = {"hosts": (Host("10.0.0.1", PORT),), "max_request": 1000, **more}
        return ThriftSession(SessionSettings(**settings), 2, self.network)

    def alone(self) -> None:
        """One node, by a new session."""
        self.network = Network(self.first)
        self.session = self.make()
        self.session.connect()
        self.network.settle()

    def script(self, *answers: Any, name: str = EXECUTE) -> None:
        """What the nodes answer one after the other, whichever is asked."""
        one = list(answers)
        self.first.script[name] = self.second.script[name] = one

    def read(self) -> Deferred[Any]:
        return self.session.execute(READ, (b"x",), Level.LOCAL_QUORUM)

    def write(self) -> Deferred[Any]:
        return self.session.execute(WRITE, (b"x", b"y"), Level.QUORUM)

    def claim(self) -> Deferred[Any]:
        return self.session.transact(CLAIM, (b"x", b"y"))

    def batch(self) -> Deferred[Any]:
        return self.session.batch([Bound(WRITE, (b"x", b"y")), Bound(OTHER, (b"z",))], Level.QUORUM, True)

    def define(self) -> Deferred[Any]:
        return self.session.execute(TABLE, (), Level.QUORUM)

    def fails(self, answer: Deferred[Any], kind: type[Exception] = Unavailable) -> Any:
        self.network.settle()
        return self.failureResultOf(answer, kind).value

    def result(self, answer: Deferred[Any]) -> Any:
        self.network.settle()
        return self.successResultOf(answer)

    def executions(self) -> int:
        return len(self.first.executed()) + len(self.second.executed())

    # What is sent

    def test_a_statement_is_prepared_once_at_each_node(self) -> None:
        answers = [self.read() for _ in range(40)]
        self.network.settle()
        for answer in answers:
            self.assertEqual(self.successResultOf(answer), ())
        self.assertEqual([self.first.texts(), self.second.texts()], [[READ.text], [READ.text]])
        self.assertEqual((len(self.first.executed()), len(self.second.executed())), (20, 20))
        self.assertEqual({each.consistency for each in self.first.executed()}, {api.ConsistencyLevel.LOCAL_QUORUM})
        self.assertEqual(self.far.calls, [])

    def test_rows(self) -> None:
        answer = rows([("n", INT), ("t", TEXT), ("b", BOOLEAN)], [b"\0\0\0\7", b"", b"\1"], [b"\xff" * 4, None, b"\0"])
        self.script(answer)
        self.assertEqual(self.result(self.read()), [(7, "", True), (-1, None, False)])

    def test_values_by_the_types_of_the_node(self) -> None:
        self.first.types[WRITE.text] = self.second.types[WRITE.text] = [INT, TEXT]
        self.result(self.session.execute(WRITE, (258, "\u00e9"), Level.ONE))
        (sent,) = self.first.executed() + self.second.executed()
        self.assertEqual(sent.values, [b"\0\0\1\2", b"\xc3\xa9"])
        for values in ((1,), (1, None), ("x", "y"), (2**40, "x"), (1, 2), (1, "x", 3)):
            self.fails(self.session.execute(WRITE, values, Level.ONE), StatementRefused)
        self.assertEqual(self.executions(), 1)

    def test_verdicts(self) -> None:
        columns = [("[applied]", BOOLEAN), ("a", TEXT)]
        self.script(rows(columns[:1], [b"\1"]), rows(columns, [b"\0", b"z"]), rows(columns[:1], [b"\0"]))
        found = [self.result(self.claim()) for _ in range(3)]
        self.assertEqual(
            found, [TransactionResult(True, {}), TransactionResult(False, {"a": "z"}), TransactionResult(False, {})]
        )
        levels = {each.consistency for each in self.first.executed() + self.second.executed()}
        self.assertEqual(levels, {api.ConsistencyLevel.QUORUM})

    def test_what_is_too_large_is_not_sent(self) -> None:
        error = self.fails(self.session.execute(WRITE, (b"x", bytes(1000)), Level.ONE), TooLarge)
        self.assertEqual((error.size, error.limit), (1001, 1000))
        half = Bound(WRITE, (b"x", bytes(600)))
        error = self.fails(self.session.batch([half, half], Level.ONE, False), TooLarge)
        self.assertEqual(error.size, 1202)
        self.assertEqual(self.executions(), 0)

    # Batches

    def test_batches(self) -> None:
        self.assertIsNone(self.result(self.session.batch([], Level.ONE, True)))
        self.assertIsNone(self.result(self.session.batch([Bound(WRITE, (b"x", b"y"))], Level.ONE, True)))
        self.assertIsNone(self.result(self.batch()))
        self.assertIsNone(self.result(self.session.batch([Bound(OTHER, (b"x",))] * 2, Level.ONE, False)))
        self.assertEqual(
            set(self.first.texts() + self.second.texts()),
            {
                WRITE.text,
                f"BEGIN BATCH {OTHER.text}; {WRITE.text}; APPLY BATCH",
                f"BEGIN UNLOGGED BATCH {OTHER.text}; {OTHER.text}; APPLY BATCH",
            },
        )
        sent = [each.values for each in self.first.executed() + self.second.executed()]
        self.assertIn([b"z", b"x", b"y"], sent)

    def test_a_batch_is_filled_up_to_few_sizes(self) -> None:
        bound = [Bound(WRITE, (b"%d" % n, b"y")) for n in range(5)]
        self.result(self.session.batch(bound, Level.ONE, False))
        (sent,) = self.first.executed() + self.second.executed()
        self.assertEqual(sent.values, [b"0", b"y", b"1", b"y", b"2", b"y", b"3", b"y", b"4", b"y", b"0", b"y"])

    def test_a_batch_is_not_filled_up_beyond_what_a_node_takes(self) -> None:
        bound = [Bound(WRITE, (b"%d" % n, bytes(180))) for n in range(5)]
        self.result(self.session.batch(bound, Level.ONE, False))
        (sent,) = self.first.executed() + self.second.executed()
        self.assertEqual(len(sent.values), 10)

    def test_a_large_batch_has_its_values_written_out(self) -> None:
        values = [(b"\x01", {"k'": 7}), (True, "it's"), (uuid.UUID(int=5), [("a", -1)])]
        bound = [Bound(WRITE, values[n % 3]) for n in range(129)]
        self.session = self.make(max_request=1 << 20)
        self.session.connect()
        self.network.settle()
        self.assertIsNone(self.result(self.session.batch(bound, Level.ONE, False)))
        (text,) = [text for text in self.first.texts() + self.second.texts() if "BATCH" in text]
        self.assertEqual(text.count("INSERT"), 129)
        for part in ("0x01, {'k''': 7}", "true, 'it''s'", f"{uuid.UUID(int=5)}, [('a', -1)]"):
            self.assertIn(f"VALUES ({part})", text)

    def test_batches_whose_values_are_wrong(self) -> None:
        wrong: list[tuple[Any, ...]] = [(b"x",), (b"x", b"y", b"z"), (b"x", None), (b"x", 1.5)]
        for values in wrong:
            for count in (1, 4, 200):
                bound = [Bound(WRITE, values)] * count
                self.fails(self.session.batch(bound, Level.ONE, False), StatementRefused)
        shifted = [Bound(OTHER, (b"x", b"y")), Bound(WRITE, (b"x",))]
        self.fails(self.session.batch(shifted, Level.ONE, False), StatementRefused)
        self.assertEqual(self.executions(), 0)

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

    # Definitions

    def test_definitions_wait_until_all_nodes_agree(self) -> None:
        self.first.versions = self.second.versions = ["a", "b", "UNREACHABLE"]
        answer = self.define()
        self.network.wait(5)
        self.assertNoResult(answer)
        self.first.versions = self.second.versions = ["b", "UNREACHABLE"]
        self.network.wait(0.5)
        self.assertEqual(self.successResultOf(answer), ())
        self.assertEqual((self.first.texts() + self.second.texts()), [TABLE.text])

    def test_nodes_that_do_not_agree(self) -> None:
        self.first.versions = self.second.versions = ["a", "b"]
        answer = self.define()
        self.network.wait(29)
        self.assertNoResult(answer)
        self.network.wait(2)
        self.assertEqual(self.fails(answer).applied, "unknown")

    def test_definitions_are_not_repeated(self) -> None:
        for error in (HANG_UP, LATE(), DEFECT, api.SchemaDisagreementException()):
            self.setUp()
            self.script(error, name="execute_cql3_query")
            self.assertEqual(self.fails(self.define()).applied, "unknown")
            self.assertEqual(len(self.first.texts() + self.second.texts()), 1)

    def test_what_answers_about_the_schema_fails(self) -> None:
        self.script(HANG_UP, INVALID(why="?"), name="describe_schema_versions")
        answer = self.define()
        self.network.wait(1)
        self.successResultOf(answer)

    # One node

    def test_one_node_is_asked(self) -> None:
        for peer in (self.second, self.first):
            before = len(peer.executed())
            self.result(self.session.execute_on(Node(peer.address, "dc1"), READ, (b"x",)))
            self.assertEqual(len(peer.executed()), before + 1)
        self.assertEqual({each.consistency for each in self.first.executed()}, {api.ConsistencyLevel.ONE})

    def test_one_node_that_is_not_there_or_fails(self) -> None:
        error = self.fails(self.session.execute_on(Node("10.0.0.9", "dc1"), READ, (b"x",)))
        self.assertEqual(error.applied, "no")
        self.script(HANG_UP)
        self.fails(self.session.execute_on(Node("10.0.0.1", "dc1"), READ, (b"x",)))
        self.assertEqual(self.executions(), 1)
        answer = self.session.execute_on(Node("10.0.0.1", "dc1"), READ, (b"x",))
        answer.cancel()
        self.failureResultOf(answer, CancelledError)

    # The end

    def test_the_end_fails_what_is_pending(self) -> None:
        requests = {self.read: "no", self.write: "unknown", self.claim: "unknown", self.batch: "unknown"}
        pending: list[tuple[str, dict[Any, str]]] = [
            (EXECUTE, requests),
            ("prepare_cql3_query", dict.fromkeys(requests, "no")),
            ("execute_cql3_query", {self.define: "unknown"}),
            ("describe_schema_versions", {self.define: "unknown"}),
        ]
        for name, asks in pending:
            self.setUp()
            self.script(*[SILENCE] * 9, name=name)
            answers = [(ask(), applied) for ask, applied in asks.items()]
            self.network.settle()
            ends = self.session.close()
            for answer, applied in answers:
                self.assertEqual((name, self.failureResultOf(answer, Unavailable).value.applied), (name, applied))
            self.assertEqual(list(self.session.nodes()), [])
            self.result(ends)
            self.result(self.session.close())
            self.assertEqual(self.first.lines + self.second.lines, [])
            self.assertEqual(self.network.getDelayedCalls(), [])

    def test_after_the_end(self) -> None:
        self.result(self.session.close())
        for ask in (self.read, self.write, self.batch, self.claim, self.define, self.session.connect):
            self.assertEqual(self.fails(ask()).applied, "no")
        self.fails(self.session.execute_on(Node("10.0.0.1", "dc1"), READ, (b"x",)))
        self.assertEqual(self.executions(), 0)

    def test_before_the_beginning(self) -> None:
        session = self.make()
        self.assertEqual(list(session.nodes()), [])
        self.fails(session.execute(READ, (b"x",), Level.ONE))
        self.result(session.close())

    def test_a_void_answer(self) -> None:
        self.script(VOID, rows([("a", INT)]))
        self.assertEqual(list(self.result(self.write())), [])
        self.assertEqual(list(self.result(self.read())), [])
