"""The states of groups that are at hand: what is to be done to one is gathered, and stored as one compare-and-set."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from queuey.errors import NoSuchGroup, QueueyError, Unavailable
from queuey.interfaces import IStateStore, Outcome, State
from queuey.model.group_state import TOKEN, GroupState, UnreadableState, decode, encode, stamped
from queuey.model.timeid import Ticks

AT_HAND: Final = 1024
"""States that are kept at hand, at the most."""

_GATHERED: Final = 256
"""Steps that are carried out as one change, at the most."""

_ATTEMPTS: Final = 20
"""How often one change is tried where others come in between."""

T = TypeVar("T")
Step = Callable[[GroupState], tuple[GroupState, T]]
"""What is to be done to a state, and what came of it. It is called anew each time that somebody else has changed the
state in between, so it has no effect beside its result; given back the very state that it was given, it has changed
nothing. What it raises, if it is a QueueyError, is its own failure, and changes nothing."""


@attrs.frozen
class Source:
    """Where a state comes from.

    :ivar key: of the state.
    :ivar begin: makes the first state; fires with it, or fails where there is no such group.
    :ivar stands: fires if the group was not deleted by now, else fails. It is asked once the first state was made, so
        that no answer tells of a group that was gone before.
    """

    key: str
    begin: Callable[[], Deferred[GroupState]]
    stands: Callable[[], Deferred[Any]]


@attrs.frozen
class _Held:
    """A state, and the version under which it is stored; ``None``: it is not."""

    state: GroupState
    version: str | None


class Cell:
    """One state.

    :param alone: whether only this process changes states; else what is at hand may be old, and before it is said that
        nothing is to be changed, the state is read.
    :param new_token: makes ``TOKEN`` random bytes.
    :ivar seen: when it was last made sure, by whoever sets this, that what is at hand is what is stored.
    """

    seen = Ticks(0)

    def __init__(self, states: IStateStore, source: Source, alone: bool, new_token: Callable[[int], bytes]) -> None:
        self._states = states
        self._source = source
        self._alone = alone
        self._new_token = new_token
        self._held: _Held | None = None
        self._steps: list[tuple[Step[Any], Deferred[Any]]] = []
        self._running = False

    async def read(self) -> GroupState:
        """The state as it is at hand, which may be old; it is read where it is not.

        :return: fails as ``Source.begin`` does, or with ``Unavailable``.
        """
        held = self._held
        if held is None:
            held = await self._load()
            if self._held is None and not self._running:
                self._held = held
        return held.state

    def is_of(self, since: int, until: int) -> bool:
        """Whether what is at hand is known to have been what is stored between two times, in ticks.

        :param until: now; what is later than that was seen before the clock was set back, whoever knows when.
        """
        return self._alone or since < self.seen <= until

    def forget(self) -> None:
        """Read the state before it is used again."""
        if not self._running:
            self._held = None

    def let_go(self) -> None:
        """Learn that others may get another cell of this state from now on: what is at hand here may become old."""
        self._alone = False

    def change(self, step: Step[T]) -> Deferred[T]:
        """Do something to the state; it goes on though whoever waits for it is cancelled.

        :return: fires with the result of the step, once the change is stored. Fails as the step did, as
            ``Source.begin`` does, with ``StorageFull``, or with ``Unavailable``, whose ``applied`` is true.
        """
        waiting: Deferred[T] = Deferred()
        self._steps.append((step, waiting))
        if not self._running:
            self._running = True
            Deferred.fromCoroutine(self._run())
        return waiting

    async def _run(self) -> None:
        try:
            while self._steps:
                steps, self._steps = self._steps[:_GATHERED], self._steps[_GATHERED:]
                results: list[Any]
                try:
                    results = await self._carry_out([step for step, _ in steps])
                except Exception:
                    self._held = None
                    results = [Failure()] * len(steps)
                for (_, waiting), result in zip(steps, results, strict=True):
                    if not waiting.called:
                        waiting.callback(result)
        finally:
            self._running = False

    async def _carry_out(self, steps: list[Step[Any]]) -> list[Any]:
        sure = self._alone
        for _ in range(_ATTEMPTS):
            held = self._held
            if held is None:
                self._held = held = await self._load()
                sure = True
            state, results = _after(held.state, steps)
            if state is not held.state:
                if await self._replace(held, state):
                    return results
            elif sure or await self._is_newest(held):
                return results
            sure = True
        raise Unavailable("The group is being changed by others at the same time.")

    async def _replace(self, held: _Held, state: GroupState) -> bool:
        """Whether a state was stored in place of another; if not, what is there instead is at hand."""
        token = self._new_token(TOKEN)
        state, version = stamped(state, token), token.hex()
        value = encode(state)
        unknown = False
        for _ in range(_ATTEMPTS):
            try:
                outcome = await self._states.replace(self._source.key, held.version, value, version)
                if outcome is Outcome.APPLIED:
                    self._held = _Held(state, version)
                    break
                unknown = unknown or outcome is Outcome.UNKNOWN
                self._held = found = await self._found()
            except QueueyError as error:
                raise _unknown() if unknown else error from None
            # A refusal can be one of ourselves: an earlier attempt, of which nobody heard, came through.
            if found is not None and token in found.state.tokens:
                break
            if outcome is Outcome.REFUSED or (None if found is None else found.version) != held.version:
                return False
        else:
            raise _unknown()
        if held.version is None:
            await self._made(version)
        return True

    async def _made(self, version: str) -> None:
        """Take the first state back if its group was deleted meanwhile."""
        try:
            await self._source.stands()
        except QueueyError as error:
            try:
                removed = await self._remove(version, whatever=isinstance(error, NoSuchGroup))
            except QueueyError:
                removed = False
            raise error if removed else _unknown() from None

    async def _remove(self, version: str | None, whatever: bool) -> bool:
        """Remove what is stored; whether nothing is any more.

        :param whatever: whether to remove also what others have made of it.
        """
        for _ in range(_ATTEMPTS):
            outcome = await self._states.replace(self._source.key, version, None, self._new_token(TOKEN).hex())
            if outcome is Outcome.APPLIED:
                return True
            stored = await self._states.read(self._source.key)
            if stored is None:
                return True
            if stored.version != version and not whatever:
                return False
            version = stored.version
        return False

    async def _is_newest(self, held: _Held) -> bool:
        """Whether what is at hand is what is stored; if not, that is at hand then."""
        stored = await self._states.read(self._source.key)
        if (None if stored is None else stored.version) == held.version:
            return True
        self._held = _read(stored)
        return False

    async def _load(self) -> _Held:
        found = await self._found()
        return _Held(await self._source.begin(), None) if found is None else found

    async def _found(self) -> _Held | None:
        return _read(await self._states.read(self._source.key))


def _read(stored: State | None) -> _Held | None:
    if stored is None:
        return None
    try:
        return _Held(decode(stored.value), stored.version)
    except UnreadableState as problem:
        raise Unavailable(str(problem)) from None


def _unknown() -> Unavailable:
    return Unavailable("Nobody knows whether the group was changed.", applied="unknown")


def _after(state: GroupState, steps: list[Step[Any]]) -> tuple[GroupState, list[Any]]:
    """A state after some steps, and what came of each."""
    results: list[Any] = []
    for step in steps:
        try:
            state, result = step(state)
        except QueueyError:
            result = Failure()
        results.append(result)
    return state, results


class Cells:
    """The states that are at hand, by their keys; those that were not used for the longest time are let go."""

    def __init__(self, states: IStateStore, alone: bool, new_token: Callable[[int], bytes]) -> None:
        self._states = states
        self._alone = alone
        self._new_token = new_token
        self._cells: OrderedDict[str, Cell] = OrderedDict()

    def at(self, source: Source) -> Cell:
        """The cell of a state."""
        cell = self._cells.get(source.key)
        if cell is None:
            self._cells[source.key] = cell = Cell(self._states, source, self._alone, self._new_token)
            self._tidy()
        else:
            self._cells.move_to_end(source.key)
        return cell

    def _tidy(self) -> None:
        while len(self._cells) > AT_HAND:
            _, cell = self._cells.popitem(last=False)
            cell.let_go()
