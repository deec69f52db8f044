"""The contract of ICQLSession: what the store relies on, whichever protocol a session speaks."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.port import (
    Bound,
    ICQLSession,
    Kind,
    Level,
    Row,
    Statement,
    StatementRefused,
    TransactionResult,
)

MIB = 1024 * 1024


class SessionContract(TestCase):
    """What every session with a real node promises.

    All tests of a suite write to one table, under keys that no other has.
    """

    timeout = 120
    session: Any
    keyspace: str

    def make_session(self) -> Any:
        """A session that is not connected yet."""
        raise NotImplementedError

    def make_keyspace(self) -> str:
        """A name that no other suite has."""
        raise NotImplementedError

    async def setUp(self) -> None:  # type: ignore[override]
        self.keyspace = self.make_keyspace()
        self.session = self.make_session()
        self.addCleanup(self.clean_up)
        await self.session.connect()
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        await self.define(f"CREATE KEYSPACE IF NOT EXISTS {self.keyspace} WITH replication = {replication}")
        await self.define(
            f"CREATE TABLE IF NOT EXISTS {self.keyspace}.things (id uuid, n int, text text, body blob, live boolean,"
            " meta frozen<map<text, text>>, PRIMARY KEY (id, n))"
        )
        self.insert = self.write("INSERT INTO {}.things (id, n, text, body, live, meta) VALUES (?, ?, ?, ?, ?, ?)")
        self.select = self.read("SELECT n, text, body, live, meta FROM {}.things WHERE id = ? LIMIT 1000")
        self.claim = Statement(
            f"INSERT INTO {self.keyspace}.things (id, n, text) VALUES (?, ?, ?) IF NOT EXISTS", Kind.TRANSACTION
        )
        self.change = Statement(
            f"UPDATE {self.keyspace}.things SET text = ? WHERE id = ? AND n = ? IF text = ?", Kind.TRANSACTION
        )

    def clean_up(self) -> Deferred[None]:
        ended: Deferred[None] = self.session.close()
        return ended

    def define(self, text: str) -> Deferred[Sequence[Row]]:
        answer: Deferred[Sequence[Row]] = self.session.execute(Statement(text, Kind.DEFINITION), (), Level.QUORUM)
        return answer

    def read(self, text: str) -> Statement:
        return Statement(text.format(self.keyspace), Kind.READ)

    def write(self, text: str) -> Statement:
        return Statement(text.format(self.keyspace), Kind.WRITE)

    async def fails(self, error: type[Exception], answer: Deferred[Any]) -> Any:
        try:
            result = await answer
        except error as failure:
            return failure
        raise self.failureException(f"no {error.__name__}: {result!r}")

    def test_it_provides_the_interface(self) -> None:
        verifyObject(ICQLSession, self.session)

    async def test_values_come_back_as_they_went_in(self) -> None:
        key, meta = uuid.uuid4(), {"a": "\u00e9\U0001f600", "": "x"}
        values = [
            (1, "", b"", False, {}),
            (2, "\u00fcber \U0001f600\u0000", bytes(range(256)), True, meta),
            (-(2**31), "x" * 100_000, b"\xff" * 100_000, True, {"k" * 1000: "v" * 1000}),
        ]
        for row in values:
            self.assertEqual(len(await self.session.execute(self.insert, (key, *row), Level.QUORUM)), 0)
        rows = await self.session.execute(self.select, (key,), Level.QUORUM)
        self.assertEqual([tuple(row) for row in rows], sorted(values))
        self.assertEqual([type(cell) for cell in rows[0]], [int, str, bytes, bool, type(rows[0][4])])

    async def test_a_read_of_nothing(self) -> None:
        self.assertEqual(len(await self.session.execute(self.select, (uuid.uuid4(),), Level.ONE)), 0)

    async def test_more_rows_than_a_page_of_a_driver(self) -> None:
        key = uuid.uuid4()
        for start in range(0, 7000, 1000):
            bound = [Bound(self.insert, (key, n, "", b"", True, {})) for n in range(start, start + 1000)]
            await self.session.batch(bound, Level.ONE, False)
        many = self.read("SELECT n FROM {}.things WHERE id = ? LIMIT 6500")
        rows = await self.session.execute(many, (key,), Level.ONE)
        self.assertEqual([row[0] for row in rows], list(range(6500)))

    async def test_levels(self) -> None:
        key = uuid.uuid4()
        for n, level in enumerate(Level):
            if level is not Level.SERIAL:
                await self.session.execute(self.insert, (key, n, level.value, b"", True, {}), level)
        for level in (Level.ONE, Level.LOCAL_ONE, Level.QUORUM, Level.LOCAL_QUORUM, Level.SERIAL):
            rows = await self.session.execute(self.select, (key,), level)
            self.assertEqual(len(rows), 5)

    async def test_batches(self) -> None:
        first, second = uuid.uuid4(), uuid.uuid4()
        await self.session.batch([], Level.QUORUM, True)
        one = [Bound(self.insert, (first, n, "a", b"", True, {})) for n in range(50)]
        await self.session.batch(one, Level.QUORUM, False)
        delete = self.write("DELETE FROM {}.things WHERE id = ? AND n = ?")
        both = [
            Bound(self.insert, (second, 1, "b", b"", True, {})),
            Bound(delete, (first, 7)),
            Bound(self.insert, (first, 99, "b", b"", True, {})),
        ]
        await self.session.batch(both, Level.QUORUM, True)
        rows = await self.session.execute(self.select, (first,), Level.QUORUM)
        self.assertEqual([row[0] for row in rows], [n for n in range(50) if n != 7] + [99])
        self.assertEqual(len(await self.session.execute(self.select, (second,), Level.QUORUM)), 1)

    async def test_transactions(self) -> None:
        key = uuid.uuid4()
        claimed = await self.session.transact(self.claim, (key, 1, "first"))
        self.assertEqual(claimed, TransactionResult(True, {}))
        refused = await self.session.transact(self.claim, (key, 1, "second"))
        self.assertFalse(refused.applied)
        self.assertEqual((refused.found["id"], refused.found["n"], refused.found["text"]), (key, 1, "first"))
        self.assertNotIn("[applied]", refused.found)
        refused = await self.session.transact(self.change, ("second", key, 1, "other"))
        self.assertEqual(refused, TransactionResult(False, {"text": "first"}))
        self.assertEqual(
            await self.session.transact(self.change, ("second", key, 1, "first")), TransactionResult(True, {})
        )
        rows = await self.session.execute(self.select, (key,), Level.SERIAL)
        self.assertEqual(rows[0][1], "second")

    async def test_a_transaction_on_a_row_that_is_not_there(self) -> None:
        verdict = await self.session.transact(self.change, ("second", uuid.uuid4(), 1, "first"))
        self.assertEqual(verdict, TransactionResult(False, {}))

    async def test_of_many_transactions_at_once_one_is_applied(self) -> None:
        key = uuid.uuid4()
        verdicts = await gatherResults([self.session.transact(self.claim, (key, 1, f"{n}")) for n in range(5)])
        self.assertEqual([verdict.applied for verdict in verdicts].count(True), 1)

    async def test_many_at_once_on_a_session_that_is_new(self) -> None:
        key = uuid.uuid4()
        await gatherResults(
            [self.session.execute(self.insert, (key, n, "", b"", True, {}), Level.ONE) for n in range(200)]
        )
        reads = [self.session.execute(self.select, (key,), Level.ONE) for _ in range(20)]
        self.assertEqual([len(rows) for rows in await gatherResults(reads)], [200] * 20)

    async def test_large_values(self) -> None:
        key = uuid.uuid4()
        body = bytes(range(256)) * 4 * 1024 * 3
        await self.session.execute(self.insert, (key, 1, "", body, True, {}), Level.QUORUM)
        rows = await self.session.execute(self.select, (key,), Level.QUORUM)
        self.assertEqual(rows[0][2], body)

    async def test_too_large_values(self) -> None:
        key = uuid.uuid4()
        error = await self.fails(
            StatementRefused,
            self.session.execute(self.insert, (key, 1, "", bytes(5 * MIB), True, {}), Level.QUORUM),
        )
        self.assertIn(str(5 * MIB)[:4], error.text)
        two = [Bound(self.insert, (key, n, "", bytes(3 * MIB), True, {})) for n in range(2)]
        await self.fails(StatementRefused, self.session.batch(two, Level.QUORUM, False))
        self.assertEqual(len(await self.session.execute(self.select, (key,), Level.QUORUM)), 0)

    async def test_statements_that_are_wrong(self) -> None:
        wrong = [
            ("SELEC n FROM {}.things", ()),
            ("SELECT nothing FROM {}.things", ()),
            ("SELECT n FROM {}.nowhere", ()),
            ("SELECT n FROM {}.things WHERE id = ?", ()),
            ("SELECT n FROM {}.things WHERE id = ?", ("no uuid",)),
            ("SELECT n FROM {}.things WHERE id = ?", (None,)),
        ]
        for text, values in wrong:
            answer = self.session.execute(self.read(text), values, Level.ONE)
            await self.fails(StatementRefused, answer)
        error = await self.fails(StatementRefused, self.define(f"CREATE TABLE {self.keyspace}.things (id int)"))
        self.assertTrue(error.text)

    async def test_the_nodes(self) -> None:
        (node,) = self.session.nodes()
        self.assertEqual(node.address, "127.0.0.1")
        self.assertTrue(node.data_centre)
        local = Statement("SELECT data_center FROM system.local", Kind.READ)
        rows = await self.session.execute_on(node, local, ())
        self.assertEqual([tuple(row) for row in rows], [(node.data_centre,)])

    async def test_a_read_may_be_cancelled(self) -> None:
        answer = self.session.execute(self.select, (uuid.uuid4(),), Level.ONE)
        answer.cancel()
        await self.fails(CancelledError, answer)
        answer = self.session.execute(self.select, (uuid.uuid4(),), Level.ONE)
        answer.cancel()
        await self.fails(CancelledError, answer)
        self.assertEqual(len(await self.session.execute(self.select, (uuid.uuid4(),), Level.ONE)), 0)

    async def test_the_end_fails_what_is_pending(self) -> None:
        key = uuid.uuid4()
        await self.session.execute(self.insert, (key, 1, "", b"", True, {}), Level.ONE)
        await self.session.execute(self.select, (key,), Level.ONE)
        write = self.session.execute(self.insert, (key, 2, "", bytes(MIB), True, {}), Level.ONE)
        read = self.session.execute(self.select, (key,), Level.ONE)
        change = self.session.transact(self.claim, (key, 3, ""))
        ends = self.session.close()
        self.assertEqual((await self.fails(Unavailable, write)).applied, "unknown")
        self.assertEqual((await self.fails(Unavailable, read)).applied, "no")
        await self.fails(Unavailable, change)
        await ends
        await self.session.close()

    async def test_after_the_end(self) -> None:
        await self.session.close()
        self.assertEqual(list(self.session.nodes()), [])
        values: tuple[Any, ...] = (uuid.uuid4(), 1, "", b"", True, {})
        answers = [
            self.session.execute(self.insert, values, Level.ONE),
            self.session.batch([Bound(self.insert, values)], Level.ONE, False),
            self.session.transact(self.claim, values[:3]),
            self.session.connect(),
        ]
        for answer in answers:
            self.assertEqual((await self.fails(Unavailable, answer)).applied, "no")
