"""Consumer groups in the embedded store: commands run in the writing thread, in the write batch of the POSTs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey.errors import QueueyError
from queuey.interfaces import IGroupStore
from queuey.model.group_rows import state_key
from queuey.model.group_settings import Group
from queuey.model.groups.commands import Command, Ran, View
from queuey.model.groups.terms import Terms
from queuey.model.queue import Queue
from queuey.model.timeid import LOWEST, MessageId
from queuey.storage import group_commands
from queuey.storage.sqlite.group_commit import GroupCommit
from queuey.storage.sqlite.writer import Writer

_PURGED: Final = "SELECT purged FROM queues WHERE queue = ?"


class HalfRunError(Exception):
    """Some commands were run and another one was refused, because the state of another partition cannot be read.

    It is not a ``QueueyError``, so the batch is rolled back, and each of its operations is run again in a transaction
    of its own. There this one is refused, and none of its commands is stored.
    """


@implementer(IGroupStore)
class SQLiteGroups:
    """The groups of a store, by its writing thread."""

    def __init__(self, writing: GroupCommit[Writer]) -> None:
        self._writing = writing

    def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """See IGroupStore."""
        return self._writing.submit(run, queue, group, terms, commands)

    def look(self, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> Deferred[View]:
        """See IGroupStore."""
        return self._writing.submit(look, queue, group, partition, ids)

    def end(self, incarnation: int, gid: bytes, partitions: int) -> Deferred[None]:
        """See IGroupStore."""
        return self._writing.submit(end, incarnation, gid, partitions)


def run(writer: Writer, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Ran:
    """Run commands of one group."""
    writer.require(queue)
    try:
        return group_commands.run(writer.groups, queue, group, terms, commands)
    except QueueyError as error:
        if writer.alone or not writer.groups.has_changes(group.gid):
            raise
        raise HalfRunError from error


def look(writer: Writer, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId]) -> View:
    """The state of a group in a partition."""
    writer.require(queue)
    index = writer.groups.index(queue, group, partition)
    purged: MessageId | None = writer.connection.execute(_PURGED, (queue.incarnation,)).get
    return group_commands.view(index, writer.clock, purged or LOWEST, ids)


def end(writer: Writer, incarnation: int, gid: bytes, partitions: int) -> None:
    """Remove the states of a group; their rows are swept later."""
    execute = writer.connection.execute
    writer.groups.end(gid, partitions)
    execute("INSERT OR IGNORE INTO dead_states (state) SELECT state FROM group_states WHERE gid = ?", (gid,))
    execute("DELETE FROM group_states WHERE gid = ?", (gid,))
    for number in range(1, partitions + 1):
        execute("DELETE FROM states WHERE key = ?", (state_key(incarnation, gid, number),))
