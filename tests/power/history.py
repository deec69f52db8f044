"""What was asked of a store, what it answered and when, and what it must therefore hold after a cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from queuey.errors import QueueyError
from queuey.interfaces import Outcome
from queuey.model.groups.receipts import Receipt
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue
from queuey.model.timeid import SECOND, MessageId, Ticks, from_seconds, ticks_of
from tests.power.recording import Recording

NEVER: Final = Ticks(0)

Place = tuple[int, int, MessageId]
"""A queue's incarnation, a partition and an id."""

Row = tuple[Ticks, str | None, bytes | None, bytes]
"""The expiry of a message, its content type, its headers and its body."""

Key = tuple[int, bytes]
"""A queue's incarnation, and the key of a write that is done once."""

Answer = tuple[Ticks, tuple[Address, ...]]
"""Until when it is remembered, and where its messages were put."""


StatePlace = tuple[bytes, int]
"""The id of a group, and a partition."""


@attrs.frozen
class Position:
    """What a group has in a partition.

    :ivar last: the greatest lease number.
    :ivar open: the messages in flight: the number of the lease, when it ends or the message falls due, and deliveries.
    """

    generation: bytes = attrs.field(eq=False)
    last: int = 0
    open: Mapping[MessageId, tuple[int, Ticks, int]] = attrs.field(factory=dict)


@attrs.define
class World:
    """What a store holds, as its answers say.

    :ivar last: the stable time is this at least.
    :ivar groups: of groups that were given something.
    :ivar over: the receipts of what was acked, or given up.
    """

    queues: dict[int, Queue] = attrs.field(factory=dict)
    rows: dict[Place, Row] = attrs.field(factory=dict)
    states: dict[str, bytes] = attrs.field(factory=dict)
    last: Ticks = NEVER
    made: set[int] = attrs.field(factory=set)
    keys: dict[Key, Answer] = attrs.field(factory=dict)
    groups: dict[StatePlace, Position] = attrs.field(factory=dict)
    over: dict[StatePlace, dict[MessageId, Receipt]] = attrs.field(factory=dict)

    def copy(self) -> World:
        queues, rows, states, keys = dict(self.queues), dict(self.rows), dict(self.states), dict(self.keys)
        over = {place: dict(receipts) for place, receipts in self.over.items()}
        return World(queues, rows, states, self.last, set(self.made), keys, dict(self.groups), over)

    def put(self, place: Place, content: Content, born: Ticks, ttl: int) -> None:
        self.rows[place] = (Ticks(born + ttl * SECOND), content.content_type, content.headers, content.body)

    def reach(self, ticks: Ticks) -> None:
        self.last = max(self.last, ticks)

    def live(self, queue: Queue) -> None:
        self.queues[queue.incarnation] = queue
        self.made.add(queue.incarnation)

    def end(self, queue: Queue) -> None:
        del self.queues[queue.incarnation]
        self.rows = {place: row for place, row in self.rows.items() if place[0] != queue.incarnation}
        self.keys = {key: answer for key, answer in self.keys.items() if key[0] != queue.incarnation}

    def purge(self, queue: Queue, before: MessageId) -> None:
        self.rows = {place: row for place, row in self.rows.items() if not is_purged(place, queue, before)}

    def alive(self, now: Ticks) -> dict[Place, Row]:
        """The messages that have not expired."""
        return {place: row for place, row in self.rows.items() if row[0] > now}

    def remembered(self, now: Ticks) -> dict[Key, Answer]:
        """What was answered to the keys that are not to be forgotten yet."""
        return {key: answer for key, answer in self.keys.items() if answer[0] > now}


def is_purged(place: Place, queue: Queue, before: MessageId) -> bool:
    """Whether a purge concerns a message."""
    return place[0] == queue.incarnation and place[2] < before


Effect = Callable[[World, Any], None]
"""What an operation that was answered so did."""


@attrs.define
class Operation:
    """One operation.

    :ivar issued: the position at which it was asked for; what is recorded from there on may be its doing.
    :ivar answered: the position at which its Deferred had fired.
    :ivar purge: what it deletes in several transactions, so that some of it may be gone before the answer.
    """

    words: str
    issued: int
    effect: Effect
    purge: tuple[Queue, MessageId] | None = None
    answered: int | None = None
    result: Any = None

    def apply(self, world: World) -> None:
        if not isinstance(self.result, Failure):
            self.effect(world, self.result)


class History:
    """All operations, in the order of their answers, which is the one in which the store did them.

    :ivar before: what the store held before the first of them.
    """

    def __init__(self, recording: Recording) -> None:
        self.before = World()
        self.done: list[Operation] = []
        self.waiting: list[Operation] = []
        self.failures: list[Failure] = []
        self._recording = recording
        self._times: list[tuple[int, float]] = []

    def watch(
        self, words: str, ask: Callable[[], Deferred[Any]], effect: Effect, purge: tuple[Queue, MessageId] | None = None
    ) -> None:
        """Ask something of the store, and note the answer."""
        operation = Operation(words, self._recording.position, effect, purge)
        self.waiting.append(operation)
        ask().addBoth(self._answered, operation)

    def _answered(self, result: Any, operation: Operation) -> None:
        operation.answered, operation.result = self._recording.position, result
        self.waiting.remove(operation)
        self.done.append(operation)
        if isinstance(result, Failure) and not result.check(QueueyError):
            self.failures.append(result)

    def set_time(self, seconds: float) -> None:
        self._times.append((self._recording.position, seconds))

    def time_at(self, cut: int) -> float:
        """The wall clock when the power was cut."""
        return max(seconds for position, seconds in self._times if position <= cut)


class Ledger:
    """Goes through a history, and says for one cut after another what must be there."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._world = history.before.copy()
        self._next = 0

    def at(self, cut: int) -> Claims:
        """What holds at a cut, which is not before the last one."""
        done = self._history.done
        while self._next < len(done) and (done[self._next].answered or 0) <= cut:
            done[self._next].apply(self._world)
            self._next += 1
        open = [operation for operation in done[self._next :] if operation.issued < cut]
        return Claims(cut, self._history.time_at(cut), self._world.copy(), tuple(open), self._next)


@attrs.frozen
class Claims:
    """What must hold at a cut.

    :ivar acknowledged: the world as all answers before the cut have it.
    :ivar open: what had been asked and not been answered, in the order in which it was done.
    :ivar answers: how many operations had been answered.
    """

    cut: int
    seconds: float
    acknowledged: World
    open: tuple[Operation, ...]
    answers: int

    @property
    def now(self) -> Ticks:
        return from_seconds(self.seconds)

    def worlds(self) -> Iterator[tuple[World, tuple[Operation, ...]]]:
        """Each world that may be there, with what was not done in it: the open operations were done up to one."""
        world = self.acknowledged.copy()
        yield world, self.open
        for done, operation in enumerate(self.open, 1):
            operation.apply(world)
            yield world, self.open[done:]


# What operations did


def appended(queue: Queue, messages: list[NewMessage], now: Ticks) -> Effect:
    def effect(world: World, ids: tuple[MessageId, ...]) -> None:
        for new, id in zip(messages, ids, strict=True):
            born = ticks_of(id) if new.delay else now
            world.put((queue.incarnation, new.partition, id), new.content, born, new.ttl)
            if not new.delay:
                world.reach(ticks_of(id))

    return effect


def appended_once(queue: Queue, messages: list[NewMessage], once: Once, now: Ticks) -> Effect:
    def effect(world: World, result: Appended) -> None:
        if not result.duplicate:
            appended(queue, messages, now)(world, tuple(address.id for address in result.addresses))
            world.keys[queue.incarnation, once.key] = (Ticks(now + once.lifetime * SECOND), result.addresses)

    return effect


def replaced(queue: Queue, addresses: list[Address], content: Content, now: Ticks, ttl: int) -> Effect:
    def effect(world: World, _: None) -> None:
        for address in addresses:
            world.put((queue.incarnation, address.partition, address.id), content, now, ttl)
            if ticks_of(address.id) <= now:
                world.reach(ticks_of(address.id))

    return effect


def removed(queue: Queue, addresses: list[Address]) -> Effect:
    def effect(world: World, _: int) -> None:
        for address in addresses:
            world.rows.pop((queue.incarnation, address.partition, address.id), None)

    return effect


def purged(queue: Queue, before: MessageId) -> Effect:
    return lambda world, _: world.purge(queue, before)


def created(world: World, result: tuple[Queue, bool]) -> None:
    world.live(result[0])


def updated(world: World, queue: Queue) -> None:
    world.live(queue)


def forgotten(queue: Queue) -> Effect:
    def effect(world: World, was_there: bool) -> None:
        if was_there:
            world.end(queue)

    return effect


def state_replaced(key: str, value: bytes | None) -> Effect:
    def effect(world: World, outcome: Outcome) -> None:
        if outcome is not Outcome.APPLIED:
            return
        if value is None:
            world.states.pop(key, None)
        else:
            world.states[key] = value

    return effect


def seen(world: World, last: Ticks) -> None:
    """A scan showed an id: readers may go on after it."""
    world.reach(last)
