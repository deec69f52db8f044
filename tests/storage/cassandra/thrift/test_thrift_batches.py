"""Batches as texts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.storage.cassandra.cluster.port import Bound, Kind, Statement, StatementRefused
from queuey.storage.cassandra.cluster.thrift.batches import (
    MAX_PREPARED,
    SIZES,
    grouped,
    literal,
    rough_size,
    text_of,
    written_out,
)

STATEMENTS = [Statement(f"INSERT INTO k.t{n} (a) VALUES (?)", Kind.WRITE) for n in range(3)]
VALUES = st.binary(max_size=40)
BATCHES = st.lists(st.builds(lambda n, value: Bound(STATEMENTS[n], (value,)), st.integers(0, 2), VALUES), min_size=1)


class GroupedTests(SynchronousTestCase):
    @given(BATCHES)
    def test_nothing_is_lost_or_added(self, bound: list[Bound]) -> None:
        """What is filled in stands there already, and is the smallest of its statement."""
        found, filling = grouped(bound, [len(one.values[0]) for one in bound])
        self.assertEqual(set(found), set(bound))
        more = Counter(found) - Counter(bound)
        self.assertEqual(Counter(bound) - Counter(found), Counter())
        self.assertEqual(filling, sum(len(one.values[0]) * times for one, times in more.items()))
        for one in more:
            least = min(len(other.values[0]) for other in bound if other.statement == one.statement)
            self.assertEqual(len(one.values[0]), least)

    @given(BATCHES)
    def test_there_are_few_texts(self, bound: list[Bound]) -> None:
        """Whatever the order of the writes, and nearly whatever their number."""
        found, _ = grouped(bound, [1] * len(bound))
        texts = [one.statement.text for one in found]
        self.assertEqual(texts, sorted(texts))
        self.assertLessEqual(set(Counter(texts).values()), set(SIZES))
        again, _ = grouped(bound[::-1], [1] * len(bound))
        self.assertEqual([one.statement.text for one in again], texts)

    def test_the_sizes(self) -> None:
        self.assertEqual(SIZES[-1], MAX_PREPARED)
        for before, size in pairwise(SIZES):
            self.assertLessEqual(size, 2 * before)

    def test_texts(self) -> None:
        self.assertEqual(text_of(["a", "b"], True), "BEGIN BATCH a; b; APPLY BATCH")
        self.assertEqual(text_of(["a"], False), "BEGIN UNLOGGED BATCH a; APPLY BATCH")


class WrittenOutTests(SynchronousTestCase):
    def test_values(self) -> None:
        table = [
            (True, "true"),
            (False, "false"),
            (-(2**63), "-9223372036854775808"),
            ("", "''"),
            ("it's ''?\n\0", "'it''s ''''?\n\0'"),
            (b"", "0x"),
            (b"\x00\xff", "0x00ff"),
            (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            ({}, "{}"),
            ({1: (b"\x01", 2), 3: (b"", -4)}, "{1: (0x01, 2), 3: (0x, -4)}"),
            (["a", "'"], "['a', '''']"),
            ([], "[]"),
        ]
        for value, text in table:
            self.assertEqual(literal(value), text)
        for wrong in (None, 1.5, object(), [None], {"a": None}):
            self.assertRaises(StatementRefused, literal, wrong)

    def test_statements(self) -> None:
        statement = Statement("UPDATE k.t SET a = ? WHERE b = ? AND c = 1", Kind.WRITE)
        self.assertEqual(written_out(Bound(statement, ("?", 7))), "UPDATE k.t SET a = '?' WHERE b = 7 AND c = 1")
        for values in ((), (1,), (1, 2, 3)):
            self.assertRaises(StatementRefused, written_out, Bound(statement, values))

    def test_sizes(self) -> None:
        table = [
            (b"abc", 3),
            ("\u00e9", 2),
            (1, 8),
            (True, 8),
            (UUID(int=1), 16),
            ({"a": b"bc"}, 11),
            (["ab", "c"], 11),
        ]
        for value, size in table:
            self.assertEqual((value, rough_size(value)), (value, size))
