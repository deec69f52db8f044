"""The session over Thrift, with nodes by a script."""

from __future__ import annotations

import uuid
from typing import Any

from twisted.internet.defer import CancelledError

from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.port import (
    Bound,
    Level,
    Node,
    StatementRefused,
    TooLarge,
    TransactionResult,
)
from queuey.storage.cassandra.cluster.thrift.calls import api
from tests.storage.cassandra.thrift.thrift_sessions import (
    DEFECT,
    EXECUTE,
    OTHER,
    READ,
    TABLE,
    WRITE,
    ThriftSessionTestCase,
)
from tests.storage.cassandra.thrift.thrift_support import (
    BOOLEAN,
    HANG_UP,
    INT,
    INVALID,
    LATE,
    SILENCE,
    TEXT,
    VOID,
    rows,
)


class SessionTests(ThriftSessionTestCase):
    """Three nodes, of which one is in another data centre, and two connections to each."""

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
