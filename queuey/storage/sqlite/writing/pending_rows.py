"""Rows that a write batch has gathered, and the two ways to write them.

A few rows, whatever their tables are, are written by one statement; see :mod:`queuey.storage.sqlite.single_statement`.
More rows are written by multi-row statements for each table. :meth:`PendingRows.write` is the only place that chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

import apsw

from queuey.model.timeid import MessageId, Ticks
from queuey.storage.sqlite import single_statement
from queuey.storage.sqlite.chunks import SIZES, parts
from queuey.storage.sqlite.single_statement import Value

COLUMNS: Final = 8
"""Columns of a message."""

KEY_COLUMNS: Final = 6
"""Columns of a stored answer."""


def _statements(before: str, columns: int, after: str = "") -> Mapping[int, str]:
    row = f"({', '.join('?' * columns)})"
    return {size: f"{before} VALUES {', '.join([row] * size)} {after}" for size in SIZES}


INSERT: Final = _statements(
    "INSERT INTO messages (queue, partition, id, expires, size, content_type, headers, body)", COLUMNS
)
REMEMBER: Final = _statements("INSERT OR REPLACE INTO keys (queue, key, digest, answer, note, expires)", KEY_COLUMNS)
_AWAIT: Final = _statements("INSERT OR IGNORE INTO future (id, queue, partition)", 3)
_TALLY: Final = _statements(
    "INSERT INTO tallies (queue, messages, bytes)",
    3,
    "ON CONFLICT (queue) DO UPDATE SET messages = messages + excluded.messages, bytes = bytes + excluded.bytes",
)
_USE: Final = _statements(
    "INSERT INTO usage (application, queues, bytes)",
    3,
    "ON CONFLICT (application) DO UPDATE SET queues = queues + excluded.queues, bytes = bytes + excluded.bytes",
)
_PUT_ROWS: Final = _statements("INSERT OR REPLACE INTO deliveries (state, key, value)", 3)
_DROP_ROWS: Final = {
    size: f"DELETE FROM deliveries WHERE state = ? AND key IN ({', '.join('?' * size)})" for size in SIZES
}

NOTHING_SPENT: Final = (0, 0, 0)

GroupRows = tuple[Sequence[Value], Sequence[Value]]
"""Changed rows of groups: state, key and value of each row to put, and state and key of each row to drop."""

NO_GROUP_ROWS: Final[GroupRows] = ((), ())


class PendingRows:
    """The rows and sums of one write batch that are not in the database yet.

    :param connection: the database.
    :param begin: returns the database after beginning the transaction if it has not begun.
    :ivar tallies: by queue, the messages and bytes to add.
    :ivar spent: by application, the queues, messages and bytes to add.
    """

    def __init__(self, connection: apsw.Connection, begin: Callable[[], apsw.Connection]) -> None:
        self._connection = connection
        self._begin = begin
        self._messages: list[Value] = []
        self._awaited: list[Value] = []
        self._keys: list[Value] = []
        self.tallies: dict[int, tuple[int, int]] = {}
        self.spent: dict[str, tuple[int, int, int]] = {}

    def insert(self, rows: Iterable[Value]) -> None:
        """Add new messages.

        :param rows: the columns of ``messages`` from ``queue`` on, one message after another.
        """
        self._messages += rows

    def expect(self, id: MessageId, incarnation: int, partition: int) -> None:
        """Hide a message of the future until it falls due."""
        self._awaited += (id, incarnation, partition)

    def keep(self, row: tuple[Value, ...]) -> None:
        """Add a stored answer: the columns of ``keys`` from ``queue`` on."""
        self._keys += row

    def write(self, last: Ticks | None, groups: GroupRows) -> None:
        """Write everything.

        :param last: the stable time, if it has changed.
        :param groups: rows of groups.
        """
        put, drop = groups
        rows = len(self._messages) // COLUMNS + len(self._keys) // KEY_COLUMNS + len(put) // 3 + len(drop) // 2
        rows += max(len(self.tallies), len(self.spent), last is not None)
        if self._awaited or rows > single_statement.ROWS:
            self._write_by_table(last, put, drop)
        else:
            self._write_at_once(last, put, drop)

    def _write_at_once(self, last: Ticks | None, put: Sequence[Value], drop: Sequence[Value]) -> None:
        """Write by one statement, which is a transaction of its own if none has begun."""
        spent = [(application, _used(more)) for application, more in self.spent.items()]
        values = (
            self._messages
            + single_statement.keys(self._keys)
            + single_statement.sums(sorted(self.tallies.items()), spent, last)
        )
        if put or drop:
            values += single_statement.group_rows(put, drop)
        if values:
            single_statement.put(self._connection, values)
        self.clear()

    def _write_by_table(self, last: Ticks | None, put: Sequence[Value], drop: Sequence[Value]) -> None:
        self.flush()
        self._insert(_USE, 3, list(chain.from_iterable((name, *_used(more)) for name, more in self.spent.items())))
        self.spent = {}
        if last is not None:
            self._begin().execute("UPDATE clock SET last = ?", (last,))
        self.put_group_rows(put)
        states: dict[Value, list[Value]] = {}
        for at in range(0, len(drop), 2):
            states.setdefault(drop[at], []).append(drop[at + 1])
        for state, keys in states.items():
            for size, start in parts(len(keys)):
                self._begin().execute(_DROP_ROWS[size], (state, *keys[start : start + size]))

    def flush(self) -> None:
        """Write all rows and the sums of queues now, so that following statements find them in the database."""
        if self._messages:
            self._insert(INSERT, COLUMNS, self._messages)
            self._messages = []
        if self._awaited:
            self._insert(_AWAIT, 3, self._awaited)
            self._awaited = []
        if self._keys:
            self._insert(REMEMBER, KEY_COLUMNS, self._keys)
            self._keys = []
        if self.tallies:
            tallies = sorted(self.tallies.items())
            self._insert(_TALLY, 3, list(chain.from_iterable((queue, *more) for queue, more in tallies)))
            self.tallies = {}

    def put_group_rows(self, rows: Sequence[Value]) -> None:
        """Write rows of groups now: the state, the key and the value of each."""
        self._insert(_PUT_ROWS, 3, rows)

    def _insert(self, statements: Mapping[int, str], columns: int, values: Sequence[Value]) -> None:
        for size, start in parts(len(values) // columns):
            self._begin().execute(statements[size], values[start * columns : (start + size) * columns])

    def clear(self) -> None:
        """Drop everything that is pending."""
        self._messages, self._awaited, self._keys = [], [], []
        self.tallies, self.spent = {}, {}


def _used(spent: tuple[int, int, int]) -> tuple[int, int]:
    """Return what is stored for an application: its queues and their bytes."""
    queues, _, size = spent
    return queues, size
