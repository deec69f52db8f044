"""A small world in which every interleaving of writers under one key and of readers is tried, breadth first.

``queuey.model.messages.producer`` makes the decisions of writers and readers. The world consists of the row of the key,
the rows of messages, the stable time that readers stop at, and what can go wrong. Seconds do not pass in it: a writer
or a reader that has to wait does so until it is its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum

import attrs

from queuey.model.messages.producer import KILLED, PATIENCE, Attempt, ReadDecision, Reservation, Step, judge
from queuey.model.timeid import SECOND, Ticks

Judge = Callable[[bytes, Reservation | None, float], ReadDecision]

DIGEST = b"digest"

NO_ID = b""
"""Sorts before every id."""


def id_of(number: int) -> bytes:
    """The number-th id that was stamped, from 1 on."""
    return number.to_bytes(16, "big")


def shown_as(id: bytes) -> str:
    """An id in a trace."""
    return str(int.from_bytes(id, "big")) if id else "none"


class State(IntEnum):
    """What is stored of a message; what was deleted stays so, however late its write lands."""

    WRITTEN = 0
    LIVE = 1
    DELETED = 2


class Status(IntEnum):
    """What became of a writer."""

    WAITING = 0
    RUNNING = 1
    ANSWERED = 2
    DEAD = 3


@attrs.frozen
class Writer:
    """One call.

    :ivar flying: whether its ids are in flight: readers stop at them.
    """

    status: Status
    attempt: Attempt
    flying: bool = False

    def order(self) -> tuple[int, bytes, bytes, str, bool]:
        """By what writers, which are all alike, are put in order."""
        return self.status, self.attempt.txn, self.attempt.stands, self.attempt.step.name, self.flying


Change = tuple[str, bytes, bytes]
"""A change of the row: the name of its step, the attempt that asks for it, and the one that it takes over."""

Reader = tuple[bytes, tuple[bytes, ...]]
"""The last id that a reader has passed, and what it was shown."""


@attrs.frozen
class Scene:
    """One state of the world.

    :ivar stamped: how many ids there were.
    :ivar rows: what is stored of messages, by id.
    :ivar landing: writes whose callers have given up, and that are stored some time or never.
    :ivar lingering: the same for changes of the row.
    :ivar expired: whether the row has ended by its time to live: the key may be used again then.
    """

    stamped: int
    row: Reservation | None
    rows: tuple[tuple[bytes, State], ...]
    writers: tuple[Writer, ...]
    readers: tuple[Reader, ...]
    landing: frozenset[bytes] = frozenset()
    lingering: frozenset[Change] = frozenset()
    expired: bool = False


@attrs.frozen
class Faults:
    """What may happen.

    :ivar crash: a writer ends at any step; it may end the attempt that its row names first, or not.
    :ivar late: a write takes so long that readers do not wait for it, and lands some time or never.
    :ivar unknown: it is unknown whether a change of the row was applied; or the answer says that it was refused, and it
        was applied.
    :ivar lingering: such a commit may be applied some time later.
    :ivar reserving: such a reservation, too.
    :ivar unflagged: a writer that cannot mark its messages as live gives up.
    :ivar expiry: the row ends once no writer is at work.
    :ivar patient: whether as much time passes as anybody has to wait; else none does.
    """

    crash: bool = False
    late: bool = False
    unknown: bool = False
    lingering: bool = False
    reserving: bool = False
    unflagged: bool = False
    expiry: bool = False
    patient: bool = True


ALL = Faults(crash=True, late=True, unknown=True, lingering=True, reserving=True, unflagged=True, expiry=True)


@attrs.frozen
class Rules:
    """The rules that are tried; a mutant breaks one.

    :ivar attempt: how a writer goes on.
    :ivar judge: what a reader makes of a message that is not live.
    :ivar flags_first: whether a reader makes a message live before it shows it.
    :ivar compares: whether a row is only taken over from the attempt that was seen, while that has not committed.
    """

    attempt: type[Attempt] = Attempt
    judge: Judge = judge
    flags_first: bool = True
    compares: bool = True


@attrs.frozen
class World:
    """How many there are of each, what may happen, and by which rules.

    :ivar changes: how often a writer may begin again.
    """

    faults: Faults
    rules: Rules = attrs.field(factory=Rules)
    writers: int = 2
    readers: int = 2
    changes: int = 1

    def beginning(self) -> Scene:
        """Where all begins."""
        waiting = Writer(Status.WAITING, self.rules.attempt(DIGEST, left=self.changes))
        return Scene(0, None, (), (waiting,) * self.writers, ((NO_ID, ()),) * self.readers)

    # What must never be

    def broken(self, scene: Scene) -> str:
        """The promise that a state breaks; empty where it breaks none."""
        answers = {writer.attempt.stands for writer in scene.writers if writer.status is Status.ANSWERED}
        shown = {id for _, ids in scene.readers for id in ids}
        if not scene.expired:
            if len(answers) > 1:
                return "two answers for one key"
            if len(shown | answers) > 1:
                return "two messages of one key"
        for passed, ids in scene.readers:
            if len(set(ids)) < len(ids):
                return "a message was shown twice"
            if any(id <= passed and id not in ids for id in answers):
                return "a message that was answered for was passed over"
            if any(id <= passed and id not in ids for id in shown):
                return "a message was shown to one reader and passed over by another"
        if not self.faults.patient and any(writer.attempt.left < self.changes for writer in scene.writers):
            return "somebody who was not late had to begin anew"
        return ""

    # What may happen

    def steps(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        """All that may happen next, each with the state after it."""
        for number, writer in enumerate(scene.writers):
            for label, changed, after in self._write(scene, writer):
                others = scene.writers[:number] + scene.writers[number + 1 :]
                writers = tuple(sorted((changed, *others), key=Writer.order))
                yield f"{_name(writer)} {label}", attrs.evolve(after, writers=writers)
        yield from self._elsewhere(scene)
        for number, reader in enumerate(scene.readers):
            for label, moved, after in self._read(scene, reader):
                others_read = scene.readers[:number] + scene.readers[number + 1 :]
                yield f"a reader {label}", attrs.evolve(after, readers=tuple(sorted((moved, *others_read))))

    def _elsewhere(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        """The steps that no living writer takes."""
        for id in scene.landing:
            after = attrs.evolve(scene, landing=scene.landing - {id})
            yield f"the late write of {shown_as(id)} lands", _stored(after, id, State.WRITTEN)
        for change in scene.lingering:
            after = attrs.evolve(scene, lingering=scene.lingering - {change})
            yield f"a late {change[0]} of {shown_as(change[1])} arrives", self._change(after, change)[1]
        busy = scene.lingering or any(writer.status is Status.RUNNING for writer in scene.writers)
        if self.faults.expiry and scene.row is not None and not busy:
            yield "the row expires", attrs.evolve(scene, row=None, expired=True)

    # Writers

    def _write(self, scene: Scene, writer: Writer) -> Iterator[tuple[str, Writer, Scene]]:
        if writer.status is Status.WAITING:
            yield "begins", attrs.evolve(writer, status=Status.RUNNING), scene
        if writer.status is not Status.RUNNING:
            return
        for label, attempt, after in self._step(scene, writer):
            flying = attempt.txn != writer.attempt.txn or (writer.flying and attempt.step is not Step.COMMIT)
            yield label, _ended(Writer(Status.RUNNING, attempt, flying)), after
        if writer.flying and self.faults.late:
            yield "is late", attrs.evolve(writer, flying=False), scene
        if self.faults.crash:
            yield from self._crash(scene, writer)

    def _crash(self, scene: Scene, writer: Writer) -> Iterator[tuple[str, Writer, Scene]]:
        attempt, dead = writer.attempt, attrs.evolve(writer, status=Status.DEAD, flying=False)
        yield "dies", dead, scene
        row = scene.row
        if attempt.named and row is not None and row.txn == attempt.txn and not row.done:
            yield "gives up, and says so", dead, attrs.evolve(scene, row=attrs.evolve(row, txn=KILLED))

    def _step(self, scene: Scene, writer: Writer) -> Iterator[tuple[str, Attempt, Scene]]:
        attempt = writer.attempt
        match attempt.step:
            case Step.STAMP:
                id = id_of(scene.stamped + 1)
                yield f"stamps {shown_as(id)}", attempt.stamped(id), attrs.evolve(scene, stamped=scene.stamped + 1)
            case Step.INSERT | Step.TAKE:
                yield from self._changes(scene, attempt, attempt.reserved, self.faults.reserving)
            case Step.READ:
                yield "reads the row", attempt.read(scene.row, self._now(scene.row)), scene
            case Step.WRITE:
                yield from self._store(scene, attempt)
            case Step.CHECK:
                yield "checks", attempt.check(writer.flying), scene
            case Step.COMMIT:
                yield from self._changes(scene, attempt, attempt.committed, self.faults.lingering)
            case Step.FLAG:
                yield "flags", attempt.flagged(), _flagged(scene, attempt.stands)
                if self.faults.unflagged:
                    yield "cannot flag", attrs.evolve(attempt, step=Step.GIVE_UP), scene

    def _changes(
        self, before: Scene, attempt: Attempt, then: Callable[[bool | None], Attempt], lingering: bool
    ) -> Iterator[tuple[str, Attempt, Scene]]:
        """A change of the row, whose outcome may be unknown."""
        change = (attempt.step.name, attempt.txn, attempt.seen if attempt.step is Step.TAKE else NO_ID)
        applied, after = self._change(before, change)
        label = change[0]
        yield f"{label}: {'applied' if applied else 'refused'}", then(applied), after
        if self.faults.unknown:
            yield f"{label}: unknown, not applied", then(None), before
            if applied:
                yield f"{label}: unknown, applied", then(None), after
                yield f"{label}: refused, it says, and applied", then(False), after
        if lingering:
            yield f"{label}: some time", then(None), attrs.evolve(before, lingering=before.lingering | {change})

    def _change(self, scene: Scene, change: Change) -> tuple[bool, Scene]:
        """Whether a change of the row is applied, and what is then."""
        step, txn, seen = change
        row = scene.row
        if step == Step.INSERT.name:
            applied, changed = row is None, _row(txn)
        elif step == Step.TAKE.name:
            free = row is not None and row.txn == seen and not row.done
            applied, changed = free or not self.rules.compares, _row(txn)
        else:
            applied = row is not None and row.txn == txn and not row.done
            changed = attrs.evolve(_row(txn), done=True)
        return applied, attrs.evolve(scene, row=changed) if applied else scene

    def _store(self, scene: Scene, attempt: Attempt) -> Iterator[tuple[str, Attempt, Scene]]:
        yield "writes", attempt.wrote(), _stored(scene, attempt.txn, State.WRITTEN)
        if self.faults.late:
            after = attrs.evolve(scene, landing=scene.landing | {attempt.txn})
            yield "has waited too long for its write", attempt.wrote().check(False), after

    def _now(self, row: Reservation | None) -> Ticks:
        return Ticks(int(PATIENCE * SECOND)) if row is not None and self.faults.patient else Ticks(0)

    # Readers

    def _read(self, scene: Scene, reader: Reader) -> Iterator[tuple[str, Reader, Scene]]:
        """Look at the next message below the stable time, or move on to there."""
        passed, shown = reader
        stable = min([w.attempt.txn for w in scene.writers if w.flying], default=id_of(scene.stamped + 1))
        for id, state in scene.rows:
            if passed < id < stable and state is not State.DELETED:
                if state is State.LIVE:
                    yield f"is shown {shown_as(id)}", (id, (*shown, id)), scene
                else:
                    yield from self._decide(scene, reader, id)
                return
        end = id_of(int.from_bytes(stable, "big") - 1)
        if end > passed and end != KILLED:
            yield f"moves to {shown_as(end)}", (end, shown), scene

    def _decide(self, scene: Scene, reader: Reader, id: bytes) -> Iterator[tuple[str, Reader, Scene]]:
        verdict = self.rules.judge(id, scene.row, PATIENCE if self.faults.patient else 0.0)
        if verdict is ReadDecision.SHOW and self.rules.flags_first:
            yield f"flags {shown_as(id)}", reader, _flagged(scene, id)
        elif verdict is ReadDecision.SHOW:
            yield f"is shown {shown_as(id)}", (id, (*reader[1], id)), scene
        elif verdict is ReadDecision.SKIP:
            yield f"passes over {shown_as(id)}, deleting it", (id, reader[1]), _stored(scene, id, State.DELETED)
            yield f"passes over {shown_as(id)}", (id, reader[1]), scene
        elif verdict is ReadDecision.KILL and scene.row is not None and scene.row.txn == id and not scene.row.done:
            killed = attrs.evolve(scene, row=attrs.evolve(scene.row, txn=KILLED))
            yield f"kills {shown_as(id)}", reader, killed


def _row(txn: bytes) -> Reservation:
    return Reservation(txn, DIGEST, False, Ticks(0))


def _ended(writer: Writer) -> Writer:
    """A writer that has nothing more to do has ended."""
    if writer.attempt.step is Step.ANSWER:
        return attrs.evolve(writer, status=Status.ANSWERED, flying=False)
    if writer.attempt.step in (Step.GIVE_UP, Step.IN_USE, Step.REUSED):
        return attrs.evolve(writer, status=Status.DEAD, flying=False)
    return writer


def _stored(scene: Scene, id: bytes, state: State) -> Scene:
    rows = dict(scene.rows)
    rows[id] = max(rows.get(id, state), state)
    return attrs.evolve(scene, rows=tuple(sorted(rows.items())))


def _flagged(scene: Scene, id: bytes) -> Scene:
    return _stored(scene, id, State.LIVE) if id in dict(scene.rows) else scene


def _name(writer: Writer) -> str:
    return f"writer {shown_as(writer.attempt.txn)}"
