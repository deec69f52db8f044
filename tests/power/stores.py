"""The stores that power is cut from: the real one, the relaxed one, and some with a defect that must be found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from queuey.model.applications.policy import WriteTerms
from queuey.model.groups.commands import Command, Ran
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Terms
from queuey.model.messages.message import NewMessage
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MessageId
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore
from queuey.storage.sqlite.database.files import Lock
from queuey.storage.sqlite.group_commit import Again, Job
from queuey.storage.sqlite.groups import SQLiteGroups
from queuey.storage.sqlite.store import _Open
from queuey.storage.sqlite.writing.writer import Writer
from tests.contracts.subject import Wall
from tests.power.load import MakeStore
from tests.storage.sqlite.runners import Manual
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, random_bits, versions

CACHE = 1 << 20


def maker(kind: type[SQLiteStore] = SQLiteStore, relaxed: bool = False) -> MakeStore:
    """Makes stores of a kind; their versions never repeat over a run."""
    new_version, bits = versions(), random_bits()

    def make(directory: Path, vfs: str, clock: Clock, wall: Wall, runner: Manual) -> SQLiteStore:
        settings = SQLiteSettings(relaxed, CACHE, vfs)
        return kind(directory, settings, clock, wall, runner, NODE, CLOCK_SEQUENCE, new_version, bits)

    return make


class NeverSynced(SQLiteStore):
    """A store that leaves it to the system when anything is written."""

    def _connect(self, lock: Lock) -> _Open:
        open = super()._connect(lock)
        open.writer.connection.pragma("synchronous", "OFF")
        return open


class OtherWriter(SQLiteStore):
    """A store with another writer."""

    make_writer: Callable[..., Writer]

    def _connect(self, lock: Lock) -> _Open:
        open = super()._connect(lock)
        writer = type(self).make_writer(
            open.writer.connection,
            self._now,
            self._node,
            self._clock_sequence,
            self._new_version,
            self._bits,
            self._commits,
            self._change_log,
        )
        return evolve(open, writer=writer)


class HastyWriter(Writer):
    """A writer that answers before it commits."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._jobs: Sequence[Job[Writer]] = ()

    def work(self, jobs: Sequence[Job[Writer]]) -> None:
        self._jobs = jobs
        super().work(jobs)

    def _commit(self) -> None:
        for job in self._jobs:
            if job.error is None and type(job.result) is not Again:
                answer, job.answer = job.answer, Deferred()
                answer.callback(job.result)
        super()._commit()


class Hasty(OtherWriter):
    make_writer = HastyWriter


class ForgetfulWriter(Writer):
    """A writer that does not store the stable time."""

    def _commit(self) -> None:
        self._stored_last = self.last
        super()._commit()


class Forgetful(OtherWriter):
    make_writer = ForgetfulWriter


class CarelessWriter(Writer):
    """A writer that adds up in a transaction of its own."""

    def _commit(self) -> None:
        self.pending.tallies, tallies = {}, self.pending.tallies
        super()._commit()
        self.pending.tallies = tallies
        self._begin()
        super()._commit()


class Careless(OtherWriter):
    make_writer = CarelessWriter


class KeysLastWriter(Writer):
    """A writer that remembers keys in a transaction of their own, after that of their messages, also if others of its
    rows are written before the end of a batch."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._late: list[Any] = []
        setattr(self.pending, "keep", self._late.extend)  # noqa: B010

    def _commit(self) -> None:
        super()._commit()
        self.pending._keys, self._late[:] = [*self._late], []
        self._begin()
        super()._commit()

    def _roll_back(self) -> None:
        self._late.clear()
        super()._roll_back()


class KeysLast(OtherWriter):
    make_writer = KeysLastWriter


class KeysFirstWriter(Writer):
    """A writer that remembers keys in a transaction of their own, before that of their messages."""

    def _commit(self) -> None:
        pending = self.pending
        others = pending._messages, pending._awaited, pending.tallies, pending.spent
        pending._messages, pending._awaited, pending.tallies, pending.spent = [], [], {}, {}
        super()._commit()
        pending._messages, pending._awaited, pending.tallies, pending.spent = others
        self._begin()
        super()._commit()


class KeysFirst(OtherWriter):
    make_writer = KeysFirstWriter


class UnawaitedWriter(Writer):
    """A writer that does not store which messages are to be shown later."""

    def _commit(self) -> None:
        self.pending._awaited = []
        super()._commit()


class Unawaited(OtherWriter):
    make_writer = UnawaitedWriter


class GroupsFirstWriter(Writer):
    """A writer that stores what claims and settlements did in a transaction of its own, before that of messages."""

    def _commit(self) -> None:
        pending = self.pending
        others = pending._messages, pending._awaited, pending.tallies, pending.spent, pending._keys
        pending._messages, pending._awaited, pending.tallies, pending.spent, pending._keys = [], [], {}, {}, []
        super()._commit()
        pending._messages, pending._awaited, pending.tallies, pending.spent, pending._keys = others
        self._begin()
        super()._commit()


class GroupsFirst(OtherWriter):
    make_writer = GroupsFirstWriter


class GroupsLateWriter(Writer):
    """A writer that answers claims and settlements, and stores what they did with the next batch of their group."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._late = False

    def _commit(self) -> None:
        used, self._late = self.groups.used, not self._late
        if self._late:
            self.groups.used = {}
        super()._commit()
        self.groups.used.update(used if self._late else {})


class GroupsLate(OtherWriter):
    make_writer = GroupsLateWriter


class CommandsApart(SQLiteStore):
    """A store that stores a settlement, and the claim that was asked for with it, one after the other."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.groups = GroupsApart(self._writing)


class GroupsApart(SQLiteGroups):
    """Groups of which each command has a transaction of its own."""

    def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        first = super().run(queue, group, terms, commands[:1])
        if len(commands) == 1:
            return first
        return first.addCallback(self._and_then, queue, group, terms, commands[1:])

    def _and_then(
        self, before: Ran, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]
    ) -> Deferred[Ran]:
        return self.run(queue, group, terms, commands).addCallback(
            lambda ran: Ran((*before.answers, *ran.answers), ran.after)
        )


class Piecemeal(SQLiteStore):
    """A store that stores a batch message by message."""

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        each = [super(Piecemeal, self).append(queue, [message], terms) for message in messages]
        return gatherResults(each, consumeErrors=True).addCallbacks(
            lambda ids: tuple(id for (id,) in ids), lambda failure: failure.value.subFailure
        )
