"""The states of groups at hand: one compare-and-set for all that is gathered, and a true word on what became of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.core.groups import cells
from queuey.core.groups.cells import Cell, Cells, Source, Step
from queuey.errors import InvalidUpdate, NoSuchGroup, QueueyError, StorageFull, Unavailable
from queuey.interfaces import IStateStore, Outcome, State
from queuey.model.group_state import GroupState, decode, encode
from queuey.model.timeid import LOWEST, Ticks

E = TypeVar("E", bound=QueueyError)

FIRST = GroupState(b"12345678", LOWEST)

Answer = Callable[["Scripted", str, str | None, bytes | None, str], Outcome | QueueyError]
"""What becomes of one replace."""


def apply(store: Scripted, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
    return store.set(key, version, value, fresh)


def unknown_and_applied(store: Scripted, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
    store.set(key, version, value, fresh)
    return Outcome.UNKNOWN


def unknown_and_not(store: Scripted, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
    return Outcome.UNKNOWN


def unknown_and_late(store: Scripted, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
    """Applied only after its outcome was asked for."""
    store.late = lambda: store.set(key, version, value, fresh)
    return Outcome.UNKNOWN


def full(store: Scripted, key: str, version: str | None, value: bytes | None, fresh: str) -> QueueyError:
    return StorageFull("There is no room.")


def away(store: Scripted, key: str, version: str | None, value: bytes | None, fresh: str) -> QueueyError:
    return Unavailable("It does not answer.")


@implementer(IStateStore)
class Scripted:
    """A state store of which a test says what becomes of each replace, and whether it answers now or later.

    :ivar late: is called after the next read.
    """

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.script: list[Answer] = []
        self.reads = 0
        self.replaces = 0
        self.held: list[Deferred[None]] | None = None
        self.unreadable = 0
        self.late: Callable[[], object] | None = None

    def set(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
        there = self.states.get(key)
        if (None if there is None else there.version) != version:
            return Outcome.REFUSED
        if value is None:
            self.states.pop(key, None)
        else:
            self.states[key] = State(value, fresh)
        return Outcome.APPLIED

    def read(self, key: str) -> Deferred[State | None]:
        self.reads += 1
        if self.unreadable:
            self.unreadable -= 1
            return fail(Unavailable("It does not answer."))
        found, late = self.states.get(key), self.late
        if late is not None:
            self.late = None
            late()
        return succeed(found)

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        self.replaces += 1

        def answer(_: None) -> Outcome:
            outcome = (self.script.pop(0) if self.script else apply)(self, key, version, value, fresh)
            if isinstance(outcome, QueueyError):
                raise outcome
            return outcome

        begun: Deferred[None] = Deferred()
        if self.held is None:
            begun.callback(None)
        else:
            self.held.append(begun)
        return begun.addCallback(answer)


def counting(state: GroupState) -> tuple[GroupState, int]:
    """A step that changes the state each time."""
    return attrs.evolve(state, last=state.last + 1), state.last + 1


def looking(state: GroupState) -> tuple[GroupState, int]:
    """A step that changes nothing."""
    return state, state.last


def refusing(state: GroupState) -> tuple[GroupState, int]:
    raise InvalidUpdate("Not so.")


class CellCase(SynchronousTestCase):
    """A cell on a scripted store."""

    def setUp(self) -> None:
        self.store = Scripted()
        self.begun = 0
        self.stood: list[QueueyError | None] = []
        numbers = count(1)
        self.new_token = lambda size: next(numbers).to_bytes(size, "big")
        self.cell = self.other_cell(alone=True)

    def other_cell(self, *, alone: bool) -> Cell:
        """The cell that another front end has."""
        return Cell(self.store, Source("k", self.begin, self.stands), alone, self.new_token)

    def begin(self) -> Deferred[GroupState]:
        self.begun += 1
        return succeed(FIRST)

    def stands(self) -> Deferred[None]:
        problem = self.stood.pop(0) if self.stood else None
        return succeed(None) if problem is None else fail(problem)

    def done(self, step: Step[int], cell: Cell | None = None) -> int:
        return self.successResultOf((cell or self.cell).change(step))

    def failed(self, step: Step[int], error: type[E]) -> E:
        failure = self.failureResultOf(self.cell.change(step), error)
        assert isinstance(failure.value, error)
        return failure.value

    def stored(self) -> int:
        return decode(self.store.states["k"].value).last


class ChangeTests(CellCase):
    def test_the_first_change_makes_the_state(self) -> None:
        self.assertEqual(self.done(counting), 1)
        self.assertEqual((self.stored(), self.begun, self.store.reads, self.store.replaces), (1, 1, 1, 1))

    def test_what_is_at_hand_is_not_read_again(self) -> None:
        for number in range(1, 6):
            self.assertEqual(self.done(counting), number)
        self.assertEqual((self.store.reads, self.store.replaces, self.begun), (1, 5, 1))
        self.assertEqual(self.store.states["k"].version, decode(self.store.states["k"].value).tokens[-1].hex())

    def test_what_changes_nothing_is_not_stored(self) -> None:
        self.assertEqual(self.done(looking), 0)
        self.assertEqual((self.store.states, self.store.replaces), ({}, 0))

    def test_many_are_stored_as_one(self) -> None:
        self.store.held = []
        first = self.cell.change(counting)
        rest = [self.cell.change(step) for step in (counting, looking, refusing, counting)]
        self.store.held.pop().callback(None)
        self.assertEqual(self.successResultOf(first), 1)
        self.assertNoResult(rest[0])
        self.store.held.pop().callback(None)
        self.assertEqual([self.successResultOf(rest[at]) for at in (0, 1, 3)], [2, 2, 3])
        self.failureResultOf(rest[2], InvalidUpdate)
        self.assertEqual((self.store.replaces, self.stored()), (2, 3))

    def test_whoever_hangs_up_does_not_end_it(self) -> None:
        self.store.held = []
        waiting = self.cell.change(counting)
        waiting.cancel()
        self.failureResultOf(waiting)
        self.store.held.pop().callback(None)
        self.assertEqual((self.stored(), self.cell.change(looking).result), (1, 1))

    def test_a_step_that_asks_for_another_one(self) -> None:
        both = self.cell.change(counting).addCallback(lambda _: self.cell.change(counting))
        self.assertEqual((self.successResultOf(both), self.store.replaces), (2, 2))


class OthersTests(CellCase):
    """Others change the same state."""

    def test_a_change_in_between(self) -> None:
        other = self.other_cell(alone=False)
        self.done(counting)
        self.done(counting, other)
        self.assertEqual((self.done(counting), self.stored()), (3, 3))

    def test_nothing_is_said_of_what_is_old(self) -> None:
        cell = self.other_cell(alone=False)
        self.done(counting, cell)
        self.done(counting, self.other_cell(alone=False))
        self.assertEqual(self.done(looking, cell), 2)
        reads = self.store.reads
        self.assertEqual((self.done(looking, cell), self.store.reads), (2, reads + 1))

    def test_one_that_is_alone_does_not_ask(self) -> None:
        self.done(counting)
        reads = self.store.reads
        self.assertEqual((self.done(looking), self.store.reads), (1, reads))

    def test_what_was_seen_a_moment_ago(self) -> None:
        """Where the clock was set back since, nobody knows when that was."""
        self.assertTrue(self.cell.is_of(5, 10))
        cell = self.other_cell(alone=False)
        self.assertFalse(cell.is_of(5, 10))
        cell.seen = Ticks(8)
        self.assertEqual([cell.is_of(now - 5, now) for now in (7, 8, 12, 13)], [False, True, True, False])

    def test_one_that_was_let_go_is_not_alone_any_more(self) -> None:
        self.done(counting)
        self.done(counting, self.other_cell(alone=True))
        self.cell.let_go()
        self.assertEqual(self.done(looking), 2)

    def test_others_without_end(self) -> None:
        def refuse(store: Scripted, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
            there = decode(store.states[key].value)
            store.states[key] = State(encode(attrs.evolve(there, last=there.last + 10)), fresh + "x")
            return Outcome.REFUSED

        self.done(counting)
        self.store.script = [refuse] * 100
        error = self.failed(counting, Unavailable)
        self.assertEqual(
            (str(error), error.applied),
            (
                "The group is being changed by others at the same time.",
                "no",
            ),
        )
        self.assertEqual(self.store.replaces, 1 + cells._ATTEMPTS)


class UnknownTests(CellCase):
    """Nobody knows at once what became of a change."""

    def setUp(self) -> None:
        super().setUp()
        self.done(counting)

    def test_it_was_made(self) -> None:
        self.store.script = [unknown_and_applied]
        self.assertEqual((self.done(counting), self.stored(), self.store.replaces), (2, 2, 2))

    def test_it_was_made_and_others_went_on(self) -> None:
        other = self.other_cell(alone=False)

        def applied_and_passed(
            store: Scripted, key: str, version: str | None, value: bytes | None, fresh: str
        ) -> Outcome:
            store.set(key, version, value, fresh)
            self.done(counting, other)
            return Outcome.UNKNOWN

        self.store.script = [applied_and_passed]
        self.assertEqual((self.done(counting), self.stored()), (2, 3))
        self.assertEqual(self.done(counting), 4)

    def test_it_was_not_made(self) -> None:
        self.store.script = [unknown_and_not, unknown_and_not]
        self.assertEqual((self.done(counting), self.stored(), self.store.replaces), (2, 2, 4))

    def test_it_was_not_made_and_somebody_else_was_first(self) -> None:
        def passed(store: Scripted, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
            self.done(counting, self.other_cell(alone=False))
            return Outcome.UNKNOWN

        self.store.script = [passed]
        self.assertEqual((self.done(counting), self.stored()), (3, 3))

    def test_it_was_made_late(self) -> None:
        """The second attempt is refused, since the first one came through: the change was made, once."""
        self.store.script = [unknown_and_late]
        self.assertEqual((self.done(counting), self.stored(), self.store.replaces), (2, 2, 3))

    def test_it_cannot_be_found_out(self) -> None:
        self.store.script, self.store.unreadable = [unknown_and_applied], 1
        error = self.failed(counting, Unavailable)
        self.assertEqual((error.applied, self.stored()), ("unknown", 2))
        self.assertEqual(self.done(counting), 3)

    def test_it_fails_after_that(self) -> None:
        """The second attempt did nothing; what became of the first one is as open as before."""
        for answer in (full, away):
            self.store.script = [unknown_and_not, answer]
            error = self.failed(counting, Unavailable)
            self.assertEqual(error.applied, "unknown")

    def test_it_is_never_known(self) -> None:
        self.store.script = [unknown_and_not] * 100
        self.assertEqual(self.failed(counting, Unavailable).applied, "unknown")

    def test_nothing_was_done(self) -> None:
        errors: tuple[type[QueueyError], ...] = (StorageFull, Unavailable)
        for answer, kind in zip((full, away), errors, strict=True):
            self.store.script = [answer]
            error = self.failed(counting, kind)
            self.assertEqual((error.applied, self.stored()), ("no", 1))
        self.assertEqual(self.done(counting), 2)


class BirthTests(CellCase):
    """The group is deleted, or others are first, while its state is made."""

    def test_a_group_that_is_no_more(self) -> None:
        self.stood = [NoSuchGroup("It was deleted.")]
        self.failed(counting, NoSuchGroup)
        self.assertEqual(self.store.states, {})

    def test_it_could_not_be_taken_back(self) -> None:
        for answer in (away, full):
            self.stood, self.store.script = [NoSuchGroup("It was deleted.")], [apply, answer]
            self.assertEqual(self.failed(counting, Unavailable).applied, "unknown")
            self.store.states.clear()

    def test_nobody_knows_whether_it_was_taken_back(self) -> None:
        for answer in (unknown_and_applied, unknown_and_not, unknown_and_late):
            self.stood, self.store.script = [NoSuchGroup("It was deleted.")], [apply, answer]
            self.failed(counting, NoSuchGroup)
            self.assertEqual(self.store.states, {})

    def test_others_went_on_with_it(self) -> None:
        """What they made of it goes too, where the group is no more, and stays, where that is not known."""
        for error, kind in ((NoSuchGroup("It was deleted."), NoSuchGroup), (Unavailable("Not now."), Unavailable)):
            self.stood, self.store.script = [error], [apply, self.gone_on_with]
            self.failed(counting, kind)
            self.assertEqual(len(self.store.states), int(kind is Unavailable))
            self.store.states.clear()

    @staticmethod
    def gone_on_with(store: Scripted, key: str, version: str | None, value: bytes | None, fresh: str) -> Outcome:
        store.states[key] = attrs.evolve(store.states[key], version="another")
        return store.set(key, version, value, fresh)

    def test_somebody_else_made_it(self) -> None:
        other = self.other_cell(alone=False)
        self.assertEqual(self.done(looking), 0)
        self.done(counting, other)
        self.assertEqual((self.done(counting), self.stored()), (2, 2))

    def test_it_was_removed(self) -> None:
        self.done(counting)
        self.store.states.clear()
        self.assertEqual(self.done(counting), 1)
        self.assertEqual(self.begun, 2)


class ReadTests(CellCase):
    def read(self) -> int:
        return self.successResultOf(Deferred.fromCoroutine(self.cell.read())).last

    def test_it_is_read_once(self) -> None:
        self.done(counting)
        self.assertEqual((self.read(), self.read(), self.store.reads), (1, 1, 1))
        self.cell.forget()
        self.assertEqual((self.read(), self.read(), self.store.reads), (1, 1, 2))

    def test_while_it_is_changed(self) -> None:
        self.done(counting)
        self.store.held = []
        waiting = self.cell.change(counting)
        self.assertEqual((self.read(), self.store.reads), (1, 1))
        self.store.held.pop().callback(None)
        self.assertEqual((self.successResultOf(waiting), self.read(), self.store.reads), (2, 2, 1))

    def test_it_cannot_be_read(self) -> None:
        """It is said what is wrong, and left as it is."""
        for value, text in ((encode(FIRST)[:-1], "damaged"), (b"\x02 later", "later version")):
            self.store.states["k"] = State(value, "1")
            for answer in (self.cell.change(counting), Deferred.fromCoroutine(self.cell.read())):
                self.assertIn(text, str(self.failureResultOf(answer, Unavailable).value))
            self.assertEqual(self.store.states["k"].value, value)

    def test_there_is_none(self) -> None:
        self.assertEqual((self.read(), self.store.states), (0, {}))


class CellsTests(CellCase):
    def test_as_many_as_are_kept(self) -> None:
        kept = Cells(self.store, True, self.new_token)
        sources = [Source(f"k{number}", self.begin, self.stands) for number in range(cells.AT_HAND + 2)]
        first, second = kept.at(sources[0]), kept.at(sources[1])
        for source in sources[2:]:
            kept.at(sources[1])
            kept.at(source)
        self.assertIs(kept.at(sources[1]), second)
        another = kept.at(sources[0])
        self.assertIsNot(another, first)
        self.done(counting, another)
        self.assertEqual(self.done(looking, first), 1)
        self.assertEqual(len(kept._cells), cells.AT_HAND)
