"""Values under compare-and-set in the database."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey.interfaces import MAX_STATE, IStateStore, Outcome, State
from queuey.model.queues.queue import end_of_prefix, states_prefix
from queuey.storage.sqlite.group_commit import GroupCommit
from queuey.storage.sqlite.reading.reader import Reader
from queuey.storage.sqlite.writing.writer import Writer


@implementer(IStateStore)
class SQLiteStates:
    """The states of a store, by its write batches."""

    def __init__(self, reading: GroupCommit[Reader], writing: GroupCommit[Writer]) -> None:
        self._reading = reading
        self._writing = writing

    def read(self, key: str) -> Deferred[State | None]:
        """See IStateStore."""
        return self._reading.submit(read, key)

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """See IStateStore."""
        if value is not None and len(value) > MAX_STATE:
            raise ValueError(f"a state has at most {MAX_STATE} bytes")
        return self._writing.submit(replace, key, version, value, fresh)


def span(incarnation: int) -> tuple[str, str]:
    """The range of the keys that belong to an incarnation of a queue: its lower and its upper bound."""
    prefix = states_prefix(incarnation)
    return prefix, end_of_prefix(prefix) or prefix


def read(reader: Reader, key: str) -> State | None:
    """The value of a key."""
    row = reader.connection.execute("SELECT value, version FROM states WHERE key = ?", (key,)).get
    return None if row is None else State(*row)


def replace(writer: Writer, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
    """Set or remove a value if its version is still the one named."""
    execute = writer.connection.execute
    if execute("SELECT version FROM states WHERE key = ?", (key,)).get != version:
        return Outcome.REFUSED
    if value is None:
        execute("DELETE FROM states WHERE key = ?", (key,))
    elif version is None:
        execute("INSERT INTO states (key, version, value) VALUES (?, ?, ?)", (key, fresh, value))
    else:
        execute("UPDATE states SET version = ?, value = ? WHERE key = ?", (fresh, value, key))
    return Outcome.APPLIED
