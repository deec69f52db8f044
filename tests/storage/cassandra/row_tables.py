"""The tables that lightweight transactions change, in memory: their cells expire one by one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from queuey.errors import Unavailable
from queuey.model.telemetry.counts import Metric
from queuey.storage.cassandra.cluster.port import (
    Bound,
    ICQLSession,
    Kind,
    Level,
    Node,
    Row,
    Statement,
    StatementRefused,
    TransactionResult,
)

KEYS = {"queues": ("app", "shard", "name"), "states": ("key",), "schema_state": ("k",), "dedupe": ("key",),
        "group_events": ("key", "n"), "group_snapshots": ("id", "chunk")}  # fmt: skip
STATIC = {"group_events": ("version", "base", "snapshot", "pending")}
DESCENDING = frozenset({"group_events"})
INSERT = re.compile(r"INSERT INTO (\w+)\.(\w+) \((.*?)\) VALUES \(.*?\)")
REMOVE = re.compile(r"DELETE FROM (\w+)\.(\w+)(?: USING TIMESTAMP (\S+))? WHERE (.*)")
UPDATE = re.compile(r"UPDATE (\w+)\.(\w+)(?: USING TTL (\S+))? SET (.*?) WHERE (.*?) IF (.*)")
DELETE = re.compile(r"DELETE FROM (\w+)\.(\w+) WHERE (.*?) IF (.*)")
SELECT = re.compile(r"SELECT (.*?) FROM (\w+)\.(\w+) WHERE (.*?)(?: LIMIT (\S+))?")
WALK = re.compile(r"SELECT (?:DISTINCT )?(.*), token\((.*?)\) FROM \w+\.(\w+) WHERE token\(.*?\) > \? LIMIT \?")
OF_CELL = re.compile(r"(WRITETIME|TTL)\((\w+)\)")
TERM = re.compile(r"(\w+) (=|>=|<=|>|<|IN) (\S+)")
LITERALS = {"null": None, "true": True, "false": False}

Term = tuple[str, str, Any]


@attrs.frozen
class Cell:
    value: Any
    ends: float | None


def literal(text: str, values: Iterator[Any]) -> Any:
    if text == "?":
        return next(values)
    if text in LITERALS:
        return LITERALS[text]
    return text.strip("'") if text.startswith("'") else int(text)


@implementer(ICQLSession)
class RowTables:
    """A session with one node that has such tables.

    :ivar asked: the texts of all statements, with the level of each or ``None`` for transactions.
    :ivar faults: what becomes of the next transactions: ``"before"`` and ``"after"`` leave it unknown, not applied and
        applied; ``"denied"`` is applied, and said to be refused; ``"no"`` is refused; ``""`` goes well, as all do once
        the list is empty.
    :ivar refuse: makes the failure of a read, or ``None``.
    """

    metrics: Sequence[Metric] = ()

    def __init__(self, now: Callable[[], float], data: dict[str, Any] | None = None) -> None:
        self.now = now
        self.asked: list[tuple[str, Level | None]] = []
        self.faults: list[str] = []
        self.refuse: Callable[[Statement, Level], Exception | None] = lambda statement, level: None
        self.hold = False
        self.waiting: list[Callable[[], None]] = []
        self.tables: dict[str, dict[tuple[Any, ...], dict[str, Cell]]] = {} if data is None else data

    def connect(self) -> Deferred[None]:
        return succeed(None)

    def nodes(self) -> Sequence[Node]:
        return (Node("127.0.0.1", "dc1"),)

    def close(self) -> Deferred[None]:
        return succeed(None)

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        return self.execute(statement, values, Level.ONE)

    def batch(self, bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        raise NotImplementedError

    # Reading

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        assert statement.kind in (Kind.READ, Kind.WRITE), statement
        self.asked.append((statement.text, level))
        if statement.kind is Kind.WRITE:
            return self._answer(lambda: self._write(statement, values, level))
        return self._answer(lambda: self._select(statement, values, level))

    def _write(self, statement: Statement, values: Sequence[Any], level: Level) -> Sequence[Row]:
        error = self.refuse(statement, level)
        if error is not None:
            raise error
        given = iter(values)
        match = INSERT.fullmatch(statement.text)
        if match is not None:
            table, names = match[2], match[3].split(", ")
            row = dict(zip(names, given, strict=True))
            key = tuple(row.pop(name) for name in KEYS[table])
            self._table(table).setdefault(key, {}).update({name: Cell(value, None) for name, value in row.items()})
            return []
        match = REMOVE.fullmatch(statement.text)
        assert match is not None, statement.text
        if match[3] is not None:
            next(given)
        terms = [(name, operator, literal(text, given)) for name, operator, text in TERM.findall(match[4])]
        for key, _ in self._rows(match[2], terms):
            del self._table(match[2])[key]
        return []

    def _answer(self, work: Callable[[], Any]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()

        def do() -> None:
            if answer.called:
                return
            try:
                answer.callback(work())
            except Exception as error:
                answer.errback(error)

        if self.hold:
            self.waiting.append(do)
        else:
            do()
        return answer

    def turn(self) -> None:
        """Answer what waits."""
        waiting, self.waiting = self.waiting, []
        for do in waiting:
            do()

    def _select(self, statement: Statement, values: Sequence[Any], level: Level) -> Sequence[Row]:
        error = self.refuse(statement, level)
        if error is not None:
            raise error
        if walk := WALK.fullmatch(statement.text):
            return self._walk(walk[1].split(", "), walk[2].split(", "), walk[3], *values)
        match = SELECT.fullmatch(statement.text)
        assert match is not None, statement.text
        columns, _, table, where, limit = match.groups()
        given = iter(values)
        terms = [(name, operator, literal(text, given)) for name, operator, text in TERM.findall(where)]
        rows = [row for _, row in self._rows(table, terms) if all(_holds(row, term) for term in terms)]
        if not rows and table in STATIC and len(terms) == 1:
            statics = self._statics(table, (terms[0][2],))
            rows = [statics] if statics else []
        if table in DESCENDING:
            rows.reverse()
        if columns.startswith("count("):
            return [(len(rows), sum(row.get("ended") is not None for row in rows))]
        most = len(rows) if limit is None else literal(limit, given)
        return [tuple(row.get(column) for column in columns.split(", ")) for row in rows[:most]]

    def _walk(self, columns: list[str], keys: list[str], table: str, after: int, most: int) -> Sequence[Row]:
        """Rows in the order of the tokens of some of their keys, each token once, as those of whole partitions are."""
        found: dict[int, Row] = {}
        for key, row in self._rows(table):
            token = _token(*(row[name] for name in keys))
            if token > after:
                found[token] = (*(self._told(table, key, row, column) for column in columns), token)
        return [found[token] for token in sorted(found)[:most]]

    def _told(self, table: str, key: tuple[Any, ...], row: dict[str, Any], column: str) -> Any:
        match = OF_CELL.fullmatch(column)
        if match is None:
            return row.get(column)
        cell = self._table(table)[key].get(match[2])
        if cell is None or row.get(match[2]) is None:
            return None
        return 1 if match[1] == "WRITETIME" or cell.ends is None else int(cell.ends - self.now())

    def _rows(self, table: str, terms: Sequence[Term] = ()) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Rows whose keys are as they may be, in the order of those."""
        named = {name: value for name, operator, value in terms if operator == "="}
        if all(name in named for name in KEYS[table]):
            keys = [tuple(named[name] for name in KEYS[table])]
        else:
            places = {name: place for place, name in enumerate(KEYS[table])}
            keys = list(self._table(table))
            for name, operator, value in terms:
                if name in places:
                    at = places[name]
                    keys = [key for key in keys if _is(key[at], operator, value)]
            keys.sort()
        rows = [(key, self._row(table, key)) for key in keys]
        return [(key, row) for key, row in rows if row is not None]

    def _row(self, table: str, key: tuple[Any, ...]) -> dict[str, Any] | None:
        cells = self._table(table).get(key, {})
        live = {name: cell.value for name, cell in cells.items() if cell.ends is None or cell.ends > self.now()}
        if all(value is None for value in live.values()):
            return None
        statics = self._statics(table, key) if table in STATIC else {}
        return {**dict(zip(KEYS[table], key, strict=True)), **statics, **live}

    def _statics(self, table: str, key: tuple[Any, ...]) -> dict[str, Any]:
        """What a whole partition has."""
        cells = self.tables.setdefault(f"{table} static", {}).get(key[:1], {})
        return {name: cell.value for name, cell in cells.items() if cell.ends is None or cell.ends > self.now()}

    def _table(self, table: str) -> dict[tuple[Any, ...], dict[str, Cell]]:
        if table not in KEYS:
            raise StatementRefused(f"table {table} does not exist")
        return self.tables.setdefault(table, {})

    # Transactions

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        assert statement.kind is Kind.TRANSACTION, statement
        self.asked.append((statement.text, None))
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "no":
            return fail(Unavailable("refused"))
        if fault == "before":
            return fail(Unavailable("lost", applied="unknown"))
        answer = self._answer(lambda: self._transact(statement.text, values))
        if fault == "after":
            return answer.addCallback(_lose)
        if fault == "denied":
            return answer.addCallback(lambda verdict: self._transact(statement.text, values))
        return answer

    def _transact(self, text: str, values: Sequence[Any]) -> TransactionResult:
        given = iter(values)
        match = UPDATE.fullmatch(text)
        if match is None:
            match = DELETE.fullmatch(text)
            assert match is not None, text
            _, table, where, condition = match.groups()
            ends, cells = None, None
        else:
            _, table, ttl, sets, where, condition = match.groups()
            ends = None if ttl is None else self.now() + literal(ttl, given)
            cells = {
                name: Cell(literal(value, given), ends) for name, _, value in TERM.findall(sets.replace(",", " ,"))
            }
        wanted = {name: literal(value, given) for name, _, value in TERM.findall(where)}
        static = {name: cells.pop(name) for name in STATIC.get(table, ()) if cells and name in cells}
        key = tuple(wanted[name] for name in KEYS[table] if name in wanted)
        row = self._statics(table, key) or None if table in STATIC else self._row(table, key)
        conditions = [(name, literal(value, given)) for name, _, value in TERM.findall(condition)]
        if any((row or {}).get(name) != value for name, value in conditions):
            return TransactionResult(False, {} if row is None else {name: row.get(name) for name, _ in conditions})
        if static:
            self.tables.setdefault(f"{table} static", {}).setdefault(key[:1], {}).update(static)
        if cells is None:
            self._table(table).pop(key, None)
        elif cells:
            self._table(table).setdefault(key, {}).update(cells)
        return TransactionResult(True, {})


def _holds(row: dict[str, Any], term: tuple[str, str, Any]) -> bool:
    name, operator, value = term
    return _is(row[name], operator, value)


def _is(found: Any, operator: str, value: Any) -> bool:
    if operator == "IN":
        return found in value
    if operator == ">":
        return bool(found > value)
    if operator == "<=":
        return bool(found <= value)
    return bool(found == value if operator == "=" else found >= value if operator == ">=" else found < value)


def _token(*key: Any) -> int:
    """Where a partition is on the ring: anywhere, and always there."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big", signed=True)


def _lose(verdict: TransactionResult) -> TransactionResult:
    raise Unavailable("lost", applied="unknown")
