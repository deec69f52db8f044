"""Writes a small batch, whatever its tables are, with one statement, which is a transaction of its own.

Each step of a statement releases the interpreter's lock, and has to win it back from a busy reactor: about 80 µs, which
is more than the step itself takes. A batch of plain writes took six steps, including the two that begin and end its
transaction. SQL has no statement that writes to several tables, but an INSERT into a view runs the view's triggers.
View and triggers are temporary: they belong to the writing connection and are not stored in the file. A row takes up to
a microsecond longer in this way, since a trigger opens its tables again for each row. So larger batches are written by
statements for each table; see :mod:`queuey.storage.sqlite.writing.pending_rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final

import apsw

Value = int | str | bytes | None

ROWS: Final = 24
"""Rows that are put by one statement at the most."""

_SIZES: Final = range(2, ROWS + 1, 2)
_COLUMNS: Final = 8
_ROW: Final = f"({', '.join('?' * _COLUMNS)})"
_PUT: Final = {size: f"INSERT INTO temp.write_batch VALUES {', '.join([_ROW] * size)}" for size in _SIZES}

# The fifth column says what a row is: the size of a message, or one of these. What it has none for is passed over.
_SUM: Final = -1
_KEY: Final = -2
_PUT_ROW: Final = -3
_DROP_ROW: Final = -4

_PARTS: Final = (
    """
    CREATE TEMP VIEW IF NOT EXISTS write_batch (a, b, c, d, kind, e, f, g) AS
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    """,
    f"""
    CREATE TEMP TRIGGER IF NOT EXISTS put_group_row INSTEAD OF INSERT ON write_batch WHEN new.kind = {_PUT_ROW} BEGIN
        INSERT OR REPLACE INTO deliveries (state, key, value) VALUES (new.a, new.c, new.f);
    END
    """,
    f"""
    CREATE TEMP TRIGGER IF NOT EXISTS drop_group_row INSTEAD OF INSERT ON write_batch WHEN new.kind = {_DROP_ROW} BEGIN
        DELETE FROM deliveries WHERE state = new.a AND key = new.c;
    END
    """,
    # SQLite runs the trigger that was made last first, and messages are quicker if theirs is the last.
    """
    CREATE TEMP TRIGGER IF NOT EXISTS put_message INSTEAD OF INSERT ON write_batch WHEN new.kind >= 0 BEGIN
        INSERT INTO messages (queue, partition, id, expires, size, content_type, headers, body)
            VALUES (new.a, new.b, new.c, new.d, new.kind, new.e, new.f, new.g);
    END
    """,
    f"""
    CREATE TEMP TRIGGER IF NOT EXISTS put_other INSTEAD OF INSERT ON write_batch
    WHEN new.kind IN ({_SUM}, {_KEY}) BEGIN
        INSERT OR REPLACE INTO keys (queue, key, expires, note, digest, answer)
            SELECT new.a, new.c, new.d, new.e, new.f, new.g WHERE new.kind = {_KEY};
        INSERT INTO tallies (queue, messages, bytes)
            SELECT new.a, new.b, new.c WHERE new.kind = {_SUM} AND new.a IS NOT NULL
            ON CONFLICT (queue) DO UPDATE SET messages = messages + excluded.messages, bytes = bytes + excluded.bytes;
        INSERT INTO usage (application, queues, bytes)
            SELECT new.e, new.f, new.g WHERE new.kind = {_SUM} AND new.e IS NOT NULL
            ON CONFLICT (application) DO UPDATE SET queues = queues + excluded.queues, bytes = bytes + excluded.bytes;
        UPDATE clock SET last = new.d WHERE new.kind = {_SUM} AND new.d IS NOT NULL;
    END
    """,
)


def prepare(connection: apsw.Connection) -> None:
    """Let a connection that writes put small write batches."""
    for part in _PARTS:
        connection.execute(part)


def sums(
    tallies: Iterable[tuple[int, tuple[int, int]]], spent: Iterable[tuple[str, tuple[int, int]]], last: int | None
) -> list[Value]:
    """Rows that add up.

    :param tallies: for queues, how many messages and bytes are to be added.
    :param spent: for applications, how many queues and bytes.
    :param last: the stable time, if it is another one.
    """
    rows: list[Value] = []
    for tally, use in zip_longest(tallies, spent, fillvalue=(None, (None, None))):
        (queue, (messages, size)), (application, (queues, used)) = tally, use
        rows += (queue, messages, size, last, _SUM, application, queues, used)
        last = None
    if last is not None:
        rows += (None, None, None, last, _SUM, None, None, None)
    return rows


def keys(rows: Sequence[Value]) -> list[Value]:
    """Rows of answers that are to be remembered.

    :param rows: what stands in the columns of ``keys`` from ``queue`` on, one answer after another.
    """
    found: list[Value] = []
    for place in range(0, len(rows), 6):
        queue, key, digest, answer, note, expires = rows[place : place + 6]
        found += (queue, None, key, expires, _KEY, note, digest, answer)
    return found


def group_rows(put: Sequence[Value], drop: Sequence[Value]) -> list[Value]:
    """Rows of the table ``deliveries``.

    :param put: the state, the key and the value of each, one after another.
    :param drop: the state and the key of each.
    """
    found: list[Value] = []
    for place in range(0, len(put), 3):
        found += (put[place], None, put[place + 1], None, _PUT_ROW, None, put[place + 2], None)
    for place in range(0, len(drop), 2):
        found += (drop[place], None, drop[place + 1], None, _DROP_ROW, None, None, None)
    return found


def put(connection: apsw.Connection, rows: list[Value]) -> None:
    """Write at most ``ROWS`` rows.

    :param rows: messages as in the columns of ``messages`` from ``queue`` on, keys, rows of groups, and sums.
    """
    number = len(rows) // _COLUMNS
    size = next(size for size in _SIZES if size >= number)
    connection.execute(_PUT[size], rows + [None] * ((size - number) * _COLUMNS))
