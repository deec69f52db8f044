"""The rules of groups as functions from one state to the next, for tests that keep states as values.

Each function makes an index of the state, decides, and makes a state of the index. On the way it checks what every
decision has to keep: the events, stored as bytes and applied to the state in another index, lead to the same state; and
undone, they lead back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import attrs

from queuey.model.groups import claims, moves, places, settlements
from queuey.model.groups.entries import Claim, In
from queuey.model.groups.events import decode, encode
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.snapshot import MAX_OPEN, GroupState, index_of, state_of
from queuey.model.groups.terms import (
    Action,
    Found,
    Lag,
    Look,
    Order,
    Outcome,
    Redrive,
    Result,
    Returning,
    Settlement,
    Taken,
    Terms,
    Wanted,
)
from queuey.model.timeid import LOWEST, MessageId, Ticks

__all__ = [
    "Action", "Claimed", "Found", "Lag", "Look", "Order", "Outcome", "Pointed", "Redrive", "Redriven", "Reopened",
    "Result", "Settled", "Settlement", "Taken", "Terms", "Wanted", "claim", "drop", "expire", "finish", "give_back",
    "lag", "look", "next_due", "point", "pointed", "purge", "redrive", "reopen", "repeated", "reused", "seek",
    "settle",
]  # fmt: skip

T = TypeVar("T")


@attrs.frozen
class Claimed:
    state: GroupState
    taken: tuple[Taken, ...]
    blocked: bool = False
    again: bool = False
    elsewhere: int | None = None
    reused: bool = False


@attrs.frozen
class Pointed:
    state: GroupState
    claim: Claim | None


@attrs.frozen
class Settled:
    state: GroupState
    outcomes: tuple[Outcome, ...]
    keys: Mapping[bytes, Ticks] = attrs.field(factory=dict)


@attrs.frozen
class Redriven:
    state: GroupState
    verdict: Redrive


@attrs.frozen
class Reopened:
    state: GroupState
    ids: tuple[MessageId, ...]


class Living:
    """An index that lives on from one decision to the next, whose results must be those of a fresh one."""

    def __init__(self) -> None:
        self.state: GroupState | None = None
        self.index: GroupIndex | None = None

    def begin(self) -> None:
        """Begin with the next state that is decided on."""
        self.state = self.index = None

    def at(self, state: GroupState) -> GroupIndex:
        """The index, if that is its state; another one where the test went elsewhere."""
        bare = attrs.evolve(state, tokens=())
        if self.index is None or self.state != bare:
            self.index = index_of(state)
        self.state = bare
        return self.index

    def check(self, state: GroupState, decide: Callable[[GroupIndex], T], result: T, after: GroupState) -> None:
        """Decide, undo that, and decide once more."""
        index = self.at(state)
        if decide(index) != result:
            raise AssertionError("an index that lived longer decides otherwise")
        index.undo()
        again = decide(index)
        index.stored()
        self.state = state_of(index)
        if (again, self.state) != (result, attrs.evolve(after, tokens=())):
            raise AssertionError("an index whose change was undone decides otherwise")


living: Living | None = None
"""Set by a test that wants it."""


def decided(state: GroupState, decide: Callable[[GroupIndex], T]) -> tuple[GroupState, T]:
    """The state after a decision; the very same if there were no events."""
    after, result = _decided(state, decide)
    if living is not None:
        living.check(state, decide, result, after)
    return after, result


def _decided(state: GroupState, decide: Callable[[GroupIndex], T]) -> tuple[GroupState, T]:
    index = index_of(state)
    result = decide(index)
    if not index.events:
        return state, result
    after = state_of(index, state.tokens)
    other = index_of(state)
    for event in decode(encode(index.events)):
        other.apply(event)
    assert state_of(other, state.tokens) == after
    other.undo()
    assert state_of(other, state.tokens) == state
    index.stored()
    assert state_of(index, state.tokens) == after
    return after, result


def bounded(terms: Terms) -> Terms:
    """As a store has it that keeps a state as one value."""
    return attrs.evolve(terms, max_in_flight=min(MAX_OPEN, terms.max_in_flight))


def repeated(state: GroupState, key: bytes, now: Ticks) -> tuple[Taken, ...] | None:
    return claims.repeated(index_of(state), key, now)


def pointed(state: GroupState, key: bytes, now: Ticks) -> int | None:
    return claims.pointed(index_of(state), key, now)


def reused(state: GroupState, key: bytes, now: Ticks) -> bool:
    return claims.reused(index_of(state), key, now)


def point(state: GroupState, key: bytes, partition: int, until: Ticks, now: Ticks) -> Pointed:
    return Pointed(*decided(state, lambda index: claims.point(index, key, partition, until, now)))


def expire(state: GroupState, terms: Terms, now: Ticks) -> GroupState:
    return decided(state, lambda index: claims.expire(index, terms, now))[0]


def look(state: GroupState, limit: int, terms: Terms, now: Ticks) -> Look:
    after, found = decided(state, lambda index: claims.look(index, limit, bounded(terms), now))
    assert after is state
    return found


def claim(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    after, got = decided(state, lambda index: claims.claim(index, wanted, found, bounded(terms), now))
    return Claimed(after, got.taken, got.blocked, got.again, got.elsewhere, got.reused)


def give_back(state: GroupState, taken: Iterable[Taken], now: Ticks) -> GroupState:
    some = tuple(taken)
    return decided(state, lambda index: claims.give_back(index, some, now))[0]


def settle(state: GroupState, asked: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    some = tuple(asked)
    after, got = decided(state, lambda index: settlements.settle(index, some, terms, now))
    return Settled(after, got.outcomes, got.keys)


def redrive(state: GroupState, id: MessageId, letter: In, now: Ticks, key: int = 0) -> Redriven:
    return Redriven(*decided(state, lambda index: moves.redrive(index, Returning(id, letter, key), MAX_OPEN, now)))


def finish(state: GroupState, id: MessageId, number: int, result: Result, now: Ticks) -> GroupState:
    return decided(state, lambda index: moves.finish(index, id, number, result, now))[0]


def reopen(
    state: GroupState, ids: Iterable[MessageId], now: Ticks, keys: Mapping[MessageId, int] | None = None
) -> Reopened:
    some = tuple(ids)
    return Reopened(*decided(state, lambda index: moves.reopen(index, some, MAX_OPEN, now, keys or {})))


def seek(state: GroupState, reach: MessageId, generation: bytes) -> GroupState | None:
    after, done = decided(state, lambda index: places.seek(index, reach, generation))
    return after if done else None


def drop(state: GroupState, ids: Iterable[MessageId]) -> GroupState:
    some = tuple(ids)
    return decided(state, lambda index: places.drop(index, some))[0]


def purge(state: GroupState, before: MessageId) -> GroupState:
    return decided(state, lambda index: places.purge(index, before))[0]


def next_due(state: GroupState, now: Ticks) -> Ticks | None:
    due = index_of(state).next_due(now)
    if living is not None:
        assert living.at(state).next_due(now) == due
    return due


def lag(state: GroupState, now: Ticks, purged: MessageId = LOWEST) -> Lag:
    return places.lag(index_of(state), now, purged)
