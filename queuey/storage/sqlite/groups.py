"""Consumer groups in the embedded store: commands run in the writing thread, in the write batch of the POSTs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey.errors import QueueyError
from queuey.interfaces import IGroupStore
from queuey.model.groups.claims import home_of
from queuey.model.groups.commands import Command, GiveBack, Ran, Settle, Take, View
from queuey.model.groups.rows import state_key
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Terms
from queuey.model.queues.queue import Queue
from queuey.model.timeid import LOWEST, MessageId
from queuey.storage import group_commands
from queuey.storage.sqlite.group_commit import NOT_YET, Again, GroupCommit
from queuey.storage.sqlite.writing.writer import Writer

_PURGED: Final = "SELECT purged FROM queues WHERE queue = ?"


class HalfRunError(Exception):
    """Some commands were run and another one was refused, because the state of another partition cannot be read.

    It is not a ``QueueyError``, so the batch is rolled back, and each of its operations is run again in a transaction
    of its own. There this one is refused, and its commands are not stored.
    """


@implementer(IGroupStore)
class SQLiteGroups:
    """The groups of a store, by its writing thread."""

    def __init__(self, writing: GroupCommit[Writer]) -> None:
        self._writing = writing

    def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """See IGroupStore."""
        return self._writing.submit(run, queue, group, terms, commands)

    def follow_writes(self) -> bool:
        """See IGroupStore; jobs run in the order in which they were submitted."""
        self._writing.hold()
        return True

    def look(self, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> Deferred[View]:
        """See IGroupStore."""
        return self._writing.submit(look, queue, group, partition, ids)

    def end(self, incarnation: int, gid: bytes, partitions: int) -> Deferred[None]:
        """See IGroupStore."""
        return self._writing.submit(end, incarnation, gid, partitions)


def run(writer: Writer, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Ran | Again:
    """Run commands of one group, once the states that they need are loaded."""
    writer.queues.require(queue)
    if not writer.groups.load(queue, group, _partitions_of(queue, commands)):
        return NOT_YET
    try:
        return group_commands.run(writer.groups, queue, group, terms, commands)
    except QueueyError as error:
        if writer.alone or not writer.groups.has_changes(group.gid):
            raise
        raise HalfRunError from error


def _partitions_of(queue: Queue, commands: Sequence[Command]) -> list[int]:
    """Return the partitions whose states commands need.

    Others turn out only while commands run, and are loaded in one piece then: the partition to which the home of a
    claim's key points, and the homes of the keys of messages that are settled.
    """
    found: list[int] = []
    for command in commands:
        if type(command) is Take:
            found += command.partitions
            if command.key is not None:
                found.append(home_of(command.key, queue.settings.partitions))
        elif type(command) is Settle:
            last = queue.settings.partitions
            named = {one.receipt.partition for one in command.settlements}
            found += [partition for partition in named if 1 <= partition <= last]
        elif type(command) is GiveBack:
            found += [partition for partition, _ in command.taken]
        else:
            assert not isinstance(command, Take | Settle | GiveBack)
            found.append(command.partition)
    return found


def look(writer: Writer, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId]) -> View | Again:
    """The state of a group in a partition."""
    writer.queues.require(queue)
    if not writer.groups.load(queue, group, (partition,)):
        return NOT_YET
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
