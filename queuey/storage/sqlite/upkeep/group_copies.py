"""Copies the states of groups: reads them in the reading thread, and writes them to a store that serves no client."""

from __future__ import annotations

from typing import Any, Final

import attrs

from queuey.errors import Unavailable
from queuey.model.exports import ExportPage, GroupPlace
from queuey.model.groups.entries import UnreadableState
from queuey.model.groups.rows import state_key
from queuey.model.groups.snapshot import GroupState, index_of, state_of
from queuey.storage.sqlite.reading.reader import Reader
from queuey.storage.sqlite.writing.group_rows import StateRows
from queuey.storage.sqlite.writing.writer import Writer

_PAGE: Final = """
    SELECT state, queue, gid, partition FROM group_states
    WHERE state > ? AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.queue = group_states.queue) ORDER BY state LIMIT ?
"""
_STATE: Final = "SELECT state FROM group_states WHERE gid = ? AND partition = ?"
_ROWS: Final = "SELECT key, value FROM deliveries WHERE state = ? ORDER BY key"


def page(reader: Reader, rest: str | None, limit: int) -> ExportPage[GroupPlace]:
    """Return one page of the places at which there are states of groups."""
    rows: list[Any] = reader.connection.execute(_PAGE, (int(rest or 0), limit)).fetchall()
    found = tuple(GroupPlace(queue, gid, partition) for _, queue, gid, partition in rows)
    return ExportPage(found, str(rows[-1][0]) if len(rows) == limit else None)


def read(reader: Reader, place: GroupPlace) -> GroupState | None:
    """The state of a group in a partition."""
    execute = reader.connection.execute
    number = execute(_STATE, (place.gid, place.partition)).get
    if number is None:
        return None
    rows: list[Any] = execute(_ROWS, (number,)).fetchall()
    try:
        return state_of(StateRows.read(number, rows).index)
    except UnreadableState as problem:
        raise Unavailable(str(problem)) from None


def keep(writer: Writer, place: GroupPlace, state: GroupState | None) -> None:
    """Have a state as it is said to be, or none; one that an earlier version kept there is removed."""
    writer.groups.end(place.gid, place.partition)
    execute = writer.connection.execute
    number = execute(_STATE, (place.gid, place.partition)).get
    if number is not None:
        execute("INSERT OR IGNORE INTO dead_states (state) VALUES (?)", (number,))
        execute("DELETE FROM group_states WHERE state = ?", (number,))
    execute("DELETE FROM states WHERE key = ?", (state_key(place.incarnation, place.gid, place.partition),))
    if state is None:
        return
    fresh: int = execute(
        "INSERT INTO group_states (queue, gid, partition) VALUES (?, ?, ?) RETURNING state", attrs.astuple(place)
    ).get
    put, _ = StateRows(index_of(state)).changes(fresh)
    writer.pending.put_group_rows(put)
