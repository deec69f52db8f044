"""A state machine that reads from a store, and compares the answers with the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import NEWEST, OLDEST, SLICE_BYTES, Merge, Position, Window
from queuey.model.timeid import (
    HIGHEST,
    LOWEST,
    MessageId,
    Ticks,
    from_seconds,
    make,
    successor,
    ticks_of,
)
from tests.contracts.machine_draws import (
    APPLICATIONS,
    EXTREMES,
    IDS,
    NAMES,
    PLACES,
    WORDS,
    Check,
    HoldableSubject,
)
from tests.contracts.model import Life, Model
from tests.contracts.reading import check_merged, check_size, foreign_id, rest_of
from tests.contracts.subject import START


class StoreReads(RuleBasedStateMachine):
    """A store that is driven beside the model: how answers are had, and all reads."""

    make_subject: Callable[[], HoldableSubject]

    def __init__(self) -> None:
        super().__init__()
        self.subject = type(self).make_subject()
        self.model = Model(from_seconds(START))
        self.held = False
        self.waiting: list[tuple[Deferred[Any], Check]] = []

    @property
    def store(self) -> IStore:
        return self.subject.store

    def teardown(self) -> None:
        self.let_go()
        for life in self.model.lives:
            self.compare_scan(life, Window((1, 2, 3)))
            self.compare_merge(life, Merge((1, 2, 3)))
            self.compare_count(life)
        self.result(self.subject.close())

    # How answers are had

    def result(self, answer: Deferred[Any]) -> Any:
        results: list[Any] = []
        answer.addBoth(results.append)
        assert results, "nothing came"
        if isinstance(results[0], Failure) and not results[0].check(*WORDS):
            results[0].raiseException()
        return results[0]

    def write(self, answer: Deferred[Any], check: Check) -> None:
        self.waiting.append((answer, check))
        if not self.held:
            self.let_go()

    def let_go(self) -> None:
        self.subject.release()
        self.held = False
        # Those of a check that fails are not looked at once more in the end: that would hide why it failed.
        waiting, self.waiting = self.waiting, []
        for answer, check in waiting:
            check(self.result(answer))

    def refused(self, result: Any, error: type[Exception], expected: bool | None) -> bool:
        """Whether an operation was refused with this word, which it must be exactly when expected, if that is known."""
        refused = isinstance(result, Failure) and result.check(error) is not None
        assert expected is None or refused == expected, (result, error, expected)
        return refused

    def pick(self, place: int) -> Queue:
        """A queue, living or, now and then, dead."""
        queues = [life.queue for life in self.model.lives] * 3 + self.model.dead[-2:]
        return queues[place % len(queues)]

    def pick_id(self, queue: Queue, choice: tuple[str, int]) -> MessageId:
        kind, number = choice
        if kind == "extreme":
            return EXTREMES[number]
        life = self.model.of(queue)
        known = sorted({address.id for address in life.messages}) if life else []
        if kind == "known" and known:
            return known[number % len(known)]
        if kind == "next" and self.model.last_id > EXTREMES[0]:
            last = self.model.last_id
            ticks = Ticks(max(ticks_of(last), self.model.clock) + number)
            return MessageId(make(ticks, 0, 0)[:8] + last[8:])
        return foreign_id(number)

    def limit_on(self, limit: int | None) -> int | None:
        """A limit on bytes, for stores that hold it."""
        return limit if self.subject.counts_bytes else None

    # Reads

    @rule(
        place=PLACES,
        partitions=st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True).map(tuple),
        lower=st.none() | IDS,
        upper=st.none() | IDS,
        descending=st.booleans(),
        limit=st.integers(1, 6),
    )
    def read_range(
        self,
        place: int,
        partitions: tuple[int, ...],
        lower: tuple[str, int] | None,
        upper: tuple[str, int] | None,
        descending: bool,
        limit: int,
    ) -> None:
        self.let_go()
        queue = self.pick(place)
        low = self.pick_id(queue, lower) if lower else LOWEST
        high = successor(self.pick_id(queue, upper)) if upper else HIGHEST
        self.compare_scan(self.model.of(queue) or Life(queue), Window(partitions, low, high, descending, limit))

    def compare_scan(self, life: Life, window: Window) -> None:
        found = []
        rest: Window | None = window
        while rest is not None:
            piece = self.result(self.store.read_range(life.queue, rest, Ack.ONE))
            check_size(piece)
            found += piece.messages
            rest = piece.rest
        if self.model.is_certain(life):
            assert found == self.model.shown(life, window)
        else:
            assert all(life.messages[Address(message.partition, message.id)] == message for message in found)

    @rule(
        place=PLACES,
        partitions=st.sets(st.integers(1, 4), max_size=4).map(lambda some: tuple(sorted(some))),
        lower=st.none() | st.tuples(IDS, st.integers(0, 4)),
        upper=st.none() | st.tuples(IDS, st.integers(0, 4)),
        descending=st.booleans(),
        limit=st.integers(1, 6),
        max_bytes=st.sampled_from([0, 8, 20, SLICE_BYTES, SLICE_BYTES]),
    )
    def read_merged(
        self,
        place: int,
        partitions: tuple[int, ...],
        lower: tuple[tuple[str, int], int] | None,
        upper: tuple[tuple[str, int], int] | None,
        descending: bool,
        limit: int,
        max_bytes: int,
    ) -> None:
        self.let_go()
        queue = self.pick(place)
        low = Position(self.pick_id(queue, lower[0]), lower[1]) if lower else OLDEST
        high = Position(self.pick_id(queue, upper[0]), upper[1]) if upper else NEWEST
        merge = Merge(partitions, low, high, descending, limit, max_bytes)
        self.compare_merge(self.model.of(queue) or Life(queue), merge)

    def compare_merge(self, life: Life, merge: Merge) -> None:
        found, rest, over = [], merge, False
        while not over:
            piece = self.result(self.store.read_merged(life.queue, rest, Ack.ONE))
            check_merged(rest, piece)
            assert piece.over or piece.position != (rest.upper if merge.descending else rest.lower)
            assert piece.purged == life.purged
            found += piece.messages
            rest, over = rest_of(rest, piece), piece.over
        if self.model.is_certain(life):
            assert found == self.model.merged(life, merge)
        else:
            assert all(life.messages[Address(message.partition, message.id)] == message for message in found)

    @rule(place=PLACES, where=st.lists(st.tuples(st.integers(1, 4), IDS), max_size=6))
    def lookup(self, place: int, where: list[tuple[int, tuple[str, int]]]) -> None:
        self.let_go()
        queue = self.pick(place)
        addresses = [Address(partition, self.pick_id(queue, choice)) for partition, choice in where]
        life = self.model.of(queue) or Life(queue)
        expected = [life.messages[address] for address in addresses if address in life.messages]
        piece = self.result(self.store.lookup(queue, addresses, Ack.ONE))
        assert (list(piece.messages), piece.rest) == (expected, None)

    @rule(place=PLACES)
    def count(self, place: int) -> None:
        self.let_go()
        queue = self.pick(place)
        self.compare_count(self.model.of(queue) or Life(queue))

    def compare_count(self, life: Life) -> None:
        assert self.result(self.store.count(life.queue, Ack.ONE)) == len(life.messages)

    @rule(application=APPLICATIONS, start=NAMES | st.just(""), prefix=NAMES | st.just(""), limit=st.integers(0, 4))
    def list_queues(self, application: str, start: str, prefix: str, limit: int) -> None:
        self.let_go()
        names = self.model.names(application)
        expected = [name for name in names if name >= start and name.startswith(prefix)][:limit]
        assert self.result(self.store.names(application, start, limit, prefix)) == tuple(expected)

    @rule(application=APPLICATIONS, names=st.lists(NAMES, max_size=4))
    def describe(self, application: str, names: list[str]) -> None:
        self.let_go()
        lives = [self.model.find(application, name) for name in names]
        expected = tuple(life.queue if life else None for life in lives)
        assert self.result(self.store.describe(application, names)) == expected

    @rule(key=st.sampled_from(["k", "l"]))
    def read_state(self, key: str) -> None:
        self.let_go()
        assert self.result(self.store.states.read(key)) == self.model.states.get(key)
