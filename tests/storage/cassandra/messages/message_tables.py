"""The tables of messages and buckets in memory: cells with write times and lives, as Cassandra keeps them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import implementer

from queuey.model.telemetry.counts import Metric
from queuey.storage.cassandra.cluster.port import (
    Bound,
    ICQLSession,
    Kind,
    Level,
    Node,
    Row,
    Statement,
    TransactionResult,
)
from tests.storage.cassandra.row_tables import RowTables

INSERT = re.compile(r"INSERT INTO ks\.(\w+) \((.*?)\) VALUES \([?, ]+\) USING TIMESTAMP \? AND TTL \?")
UPDATE = re.compile(r"UPDATE ks\.(\w+) USING TIMESTAMP \? AND TTL \? SET (.*) WHERE (.*)")
SELECT = re.compile(r"SELECT (.*) FROM ks\.(\w+) WHERE life = \? AND part = \? AND bucket = \? AND (.*)")
KEY = "life = ? AND part = ? AND bucket = ? AND id = ?"
WRITETIME = re.compile(r"WRITETIME\((\w+)\)")
LITERALS = {"null": None, "true": True}


@attrs.frozen
class Cell:
    """A value, or with ``None`` the mark that there is none."""

    value: Any
    written: int
    ends: float | None

    def over(self, other: Cell | None) -> bool:
        """Whether it takes the place of another one: the later one does; else nothing before something, and the
        greater value before the smaller."""
        if other is None or self.written != other.written:
            return other is None or self.written > other.written
        if self.value is None or other.value is None:
            return self.value is None
        return bool(self.value > other.value)


@attrs.frozen
class Call:
    """What was asked: ``size`` is the number of rows or bound values."""

    text: str
    values: Sequence[Any]
    level: Level
    logged: bool | None = None
    bound: Sequence[Bound] = ()


Partition = dict[bytes, dict[str, Cell]]


@implementer(ICQLSession)
class MessageTables:
    """A session with one node.

    :ivar now: seconds since 1970 on the node.
    :ivar calls: everything that was asked.
    :ivar hold: what is asked waits for ``turn``.
    :ivar refuse: makes the failure of a call, or ``None``.
    :ivar rows: the table of keys, which transactions change.
    """

    metrics: Sequence[Metric] = ()

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.calls: list[Call] = []
        self.hold = False
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.refuse: Callable[[Call], Exception | None] = lambda call: None
        self.rows = RowTables(now)
        self._partitions: dict[tuple[str, bytes, int, int], Partition] = {}
        self._buckets: dict[tuple[bytes, int], dict[tuple[int, int, int], float]] = {}

    def connect(self) -> Deferred[None]:
        return succeed(None)

    def nodes(self) -> Sequence[Node]:
        return ()

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        assert None not in values, statement.text
        assert statement.text.count("?") == len(values), (statement.text, values)
        assert (statement.kind is Kind.READ) == statement.text.startswith("SELECT")
        if "ks.dedupe" in statement.text:
            return self._ask(Call(statement.text, values, level), lambda: self.rows.execute(statement, values, level))
        return self._ask(Call(statement.text, values, level), lambda: self._run(statement.text, values))

    def batch(self, bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        for one in bound:
            assert None not in one.values
            assert one.statement.text.count("?") == len(one.values)

        def run() -> None:
            for one in bound:
                self._run(one.statement.text, one.values)

        return self._ask(Call("BATCH", (), level, logged, tuple(bound)), run)

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        raise NotImplementedError

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        call = Call(statement.text, values, Level.SERIAL)
        return self._ask(call, lambda: self.rows.transact(statement, values))

    def close(self) -> Deferred[None]:
        return succeed(None)

    def turn(self) -> int:
        """Answer all that waits, as one round trip; how many that were."""
        waiting, self.waiting = self.waiting, []
        for run, answer in waiting:
            if not answer.called:
                maybeDeferred(run).chainDeferred(answer)
        return len(waiting)

    def _ask(self, call: Call, run: Callable[[], Any]) -> Deferred[Any]:
        self.calls.append(call)
        error = self.refuse(call)
        if error is not None:
            return fail(error)
        if not self.hold:
            return maybeDeferred(run)
        answer: Deferred[Any] = Deferred()
        self.waiting.append((run, answer))
        return answer

    def _run(self, text: str, values: Sequence[Any]) -> Sequence[Row]:
        if "ks.buckets" in text:
            return self._run_buckets(text, values)
        if match := INSERT.fullmatch(text):
            names = match[2].split(", ")
            *given, written, ttl = values
            columns = dict(zip(names, given, strict=True))
            key = [columns.pop(name) for name in ("life", "part", "bucket", "id")]
            self._write(match[1], key, {"": True, **columns}, written, ttl)
            return ()
        if match := UPDATE.fullmatch(text):
            assert match[3] == KEY
            written, ttl, *given = values
            left = iter(given)
            columns = {}
            for part in match[2].split(", "):
                name, value = part.split(" = ")
                columns[name] = next(left) if value == "?" else LITERALS[value]
            self._write(match[1], list(left), columns, written, ttl)
            return ()
        match = SELECT.fullmatch(text)
        assert match, text
        return self._select(match[2], match[1].split(", "), match[3], values)

    def _run_buckets(self, text: str, values: Sequence[Any]) -> Sequence[Row]:
        if text.startswith("INSERT"):
            incarnation, part, kind, number, until, ttl = values
            assert ttl > 0
            self._buckets.setdefault((incarnation, part), {})[kind, number, until] = self.now() + ttl
            return ()
        incarnation, part, *after, limit = values
        rows = self._buckets.get((incarnation, part), {})
        living = sorted(key for key, ends in rows.items() if ends > self.now() and key > tuple(after))
        return living[:limit]

    def _write(self, table: str, key: Sequence[Any], columns: dict[str, Any], written: int, ttl: int) -> None:
        incarnation, part, bucket, id = key
        assert ttl > 0
        row = self._partitions.setdefault((table, incarnation, part, bucket), {}).setdefault(id, {})
        for name, value in columns.items():
            cell = Cell(value, written, None if value is None else self.now() + ttl)
            if cell.over(row.get(name)):
                row[name] = cell

    def _select(self, table: str, columns: Sequence[str], rest: str, values: Sequence[Any]) -> Sequence[Row]:
        incarnation, part, bucket, *more = values
        rows = self._partitions.get((table, incarnation, part, bucket), {})
        if rest.startswith("id IN"):
            chosen, limit = sorted({id for id in more if id in rows}), len(more)
        else:
            lower, upper, limit = more
            chosen = sorted((id for id in rows if lower <= id < upper), reverse="DESC" in rest)
        found: list[Row] = []
        now = self.now()
        for id in chosen:
            if len(found) >= limit:
                break
            row = {name: cell for name, cell in rows[id].items() if self._incarnations(cell, now)}
            if row:
                found.append(tuple(self._column(id, row, column) for column in columns))
        return found

    @staticmethod
    def _incarnations(cell: Cell, now: float) -> bool:
        return cell.value is not None and (cell.ends is None or cell.ends > now)

    def _column(self, id: bytes, row: dict[str, Cell], column: str) -> Any:
        if column == "id":
            return id
        match = WRITETIME.fullmatch(column)
        cell = row.get(match[1] if match else column)
        if cell is None:
            return None
        return cell.written if match else cell.value
