"""Faults of a database at one statement, and a comparison of cached and stored group states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from queuey.model.groups import claims
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.snapshot import state_of
from queuey.model.groups.terms import Terms
from queuey.model.timeid import Ticks
from queuey.storage.sqlite.reading.read_ahead import ReadAhead, Room
from queuey.storage.sqlite.writing.group_rows import StateRows
from queuey.storage.sqlite.writing.group_states import GroupStates, Held
from queuey.storage.sqlite.writing.writer import Writer


class Faulty:
    """Lets one statement of a connection fail, or one commit, as a disk does that is full or broken.

    :ivar failed: how many have.
    :ivar meanwhile: if there is such a function, it is called instead, and the statement goes on.
    """

    def __init__(self, writer: Writer) -> None:
        self.failed = 0
        self._left = -1
        self._commits = -1
        self.meanwhile: Callable[[], object] | None = None
        self.watch(writer)

    def watch(self, writer: Writer) -> None:
        """Watch another connection from now on."""
        writer._connection.exec_trace = self._trace
        writer._connection.set_commit_hook(self._commit)

    def begin(self, statement: int = -1, commit: int = -1) -> None:
        """Let a statement fail, or a commit, counted from 0."""
        self._left, self._commits = statement, commit

    def _trace(self, cursor: apsw.Cursor, statement: str, bindings: object) -> bool:
        left, self._left = self._left, self._left - 1
        if left == 0 and self.meanwhile is not None:
            self.meanwhile()
        elif left == 0:
            self.failed += 1
            raise apsw.FullError("no room, for a test")
        return True

    def _commit(self) -> bool:
        """Whether a commit is made a rollback."""
        left, self._commits = self._commits, self._commits - 1
        self.failed += left == 0
        return left == 0


def check_cached(writer: Writer, now: Ticks, every: Sequence[Terms], limit: int) -> None:
    """Between two batches, all that is cached is what is stored, and decides by any terms as what is stored does.

    :param limit: messages that are read ahead for this.
    """
    groups = writer.groups
    assert not groups.used, groups.used
    assert not groups._numbers
    for held in list(groups._cached.values()):
        _check(writer, held)
        _decides(writer, held, now, every)
        _reads(groups, held, limit)
    assert groups._open == sum([held.size for held in groups._cached.values()])


def _check(writer: Writer, held: Held) -> None:
    rows, index = held.rows, held.rows.index
    assert not index.events
    assert held.size == len(index.open)
    stored = stored_rows(writer, held.gid, held.partition)
    if stored is None:
        assert rows.state == 0, "a state that is not stored"
        assert not index.open
        return
    fresh = stored.index
    assert rows.state == stored.state, "another state is stored"
    assert state_of(index) == state_of(fresh), "what is cached is not what is stored"
    assert (rows._head, rows._aside, rows._kept) == (stored._head, stored._aside, stored._kept)
    assert list(rows._batches) == list(stored._batches), "other acks are stored"
    assert [number for number in fresh.acked if not index.was_acked(number)] == []
    assert index.lines() == fresh.lines(), "other lines of keys"


def _decides(writer: Writer, held: Held, now: Ticks, every: Sequence[Terms]) -> None:
    index, stored = held.rows.index, stored_rows(writer, held.gid, held.partition)
    if stored is None:
        return
    fresh: GroupIndex = stored.index
    assert index.next_due(now) == fresh.next_due(now), "another time when something falls due"
    for terms in every:
        for limit in (1, 1000):
            looks = claims.look(index, limit, terms, now), claims.look(fresh, limit, terms, now)
            assert looks[0] == looks[1], "it looks for something else"
            assert index.over(terms, now) == fresh.over(terms, now), "something else is over"


def _reads(groups: GroupStates, held: Held, limit: int) -> None:
    """What was read ahead is what follows."""
    index = held.rows.index
    asked = (groups, held.queue, held.partition, index.reach, held.gid, limit, 1 << 20)
    here, there = held.ahead.scan(*asked), ReadAhead(Room()).scan(*asked)
    same = min(len(here.messages), len(there.messages))
    assert [one.id for one in here.messages][:same] == [one.id for one in there.messages][:same], "it reads others"
    assert bool(here.messages) == bool(there.messages), "it reads nothing"
    held.ahead._go_to(index.reach)


def stored_rows(writer: Writer, gid: bytes, partition: int) -> StateRows | None:
    """What the rows of a state say."""
    execute = writer._connection.execute
    number = execute("SELECT state FROM group_states WHERE gid = ? AND partition = ?", (gid, partition)).get
    if number is None:
        return None
    rows: Any = execute("SELECT key, value FROM deliveries WHERE state = ? ORDER BY key", (number,))
    return StateRows.read(number, rows.fetchall())
