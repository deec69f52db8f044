"""Opens what a cut has left, with a fresh store, and holds it against the answers that had been given."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from queuey.errors import NoSuchQueue, QueueyError
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content, Message
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Window
from queuey.model.timeid import MessageId, Ticks, ticks_of, upper_bound
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore
from queuey.storage.sqlite.writing.writes import _decoded
from tests.contracts.reading import TERMS, look_up, new, read
from tests.contracts.subject import Wall
from tests.power.group_checks import as_they_are_worked_on, positions
from tests.power.history import Claims, History, Operation, Place, Row, World, is_purged
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, random_bits

SHOWN: Final = 5
"""Differences that are told at the most."""

SET_BACK: Final = 3600.0
"""Seconds by which the clock is wrong after the cut: ids must rise all the same."""

INVARIANTS: Final = {
    "tallies do not fit the messages": """
        SELECT t.queue, t.messages, t.bytes, count(m.seq), total(m.size) FROM tallies t
        LEFT JOIN messages m ON m.queue = t.queue GROUP BY t.queue
        HAVING t.messages <> count(m.seq) OR t.bytes <> total(m.size)
    """,
    "sizes do not fit the contents": """
        SELECT seq FROM messages
        WHERE size <> length(body) + coalesce(length(content_type), 0) + coalesce(length(headers), 0)
    """,
    "queues without a tally, or the other way round": """
        SELECT q.queue, t.queue FROM queues q FULL JOIN tallies t ON q.queue = t.queue
        WHERE q.queue IS NULL OR t.queue IS NULL
    """,
    "usage does not fit the queues": """
        SELECT u.application, u.queues, u.bytes, count(q.queue), total(t.bytes) FROM usage u
        LEFT JOIN queues q ON q.application = u.application LEFT JOIN tallies t ON t.queue = q.queue
        GROUP BY u.application HAVING u.queues <> count(q.queue) OR u.bytes <> total(t.bytes)
    """,
    "applications without usage": """
        SELECT application FROM queues WHERE application NOT IN (SELECT application FROM usage)
    """,
    "messages of no queue that nobody will sweep": """
        SELECT DISTINCT queue FROM messages
        WHERE queue NOT IN (SELECT queue FROM queues) AND queue NOT IN (SELECT queue FROM dead)
    """,
    "answers of no queue that nobody will sweep": """
        SELECT DISTINCT queue FROM keys
        WHERE queue NOT IN (SELECT queue FROM queues) AND queue NOT IN (SELECT queue FROM dead)
    """,
    "messages of the future that are not there": """
        SELECT f.queue, f.partition FROM future f LEFT JOIN messages m
        ON m.queue = f.queue AND m.partition = f.partition AND m.id = f.id WHERE m.seq IS NULL
    """,
}

_FORGOTTEN: Final = """
    SELECT m.queue, m.partition, m.id FROM messages m LEFT JOIN future f
    ON m.queue = f.queue AND m.partition = f.partition AND m.id = f.id WHERE m.id >= ? AND f.id IS NULL
"""
"""Messages above the stable time of which nobody knows that they are to be shown one day."""

_ROWS: Final = """
    SELECT queue, partition, id, expires, content_type, headers, body FROM messages
    WHERE expires > ? AND queue IN (SELECT queue FROM queues)
"""


_KEYS: Final = """
    SELECT queue, key, answer, expires FROM keys WHERE expires > ? AND queue IN (SELECT queue FROM queues)
"""


class Checker:
    """Checks one directory.

    :param relaxed: acknowledged operations may be lost, but only the last ones, and none by a part.
    """

    def __init__(self, directory: Path, claims: Claims, history: History, relaxed: bool) -> None:
        self._claims = claims
        self._history = history
        self._relaxed = relaxed
        self._wall = Wall()
        self._wall.seconds = claims.seconds
        self._clock = Clock()
        settings = SQLiteSettings(cache_bytes=1 << 20)
        version = iter(f"after-{number}" for number in range(1000)).__next__
        self._store = SQLiteStore(
            directory, settings, self._clock, self._wall, Inline(), NODE, CLOCK_SEQUENCE, version, random_bits()
        )

    def problems(self) -> list[str]:
        """Everything that is wrong."""
        try:
            self._store.open()
        except (QueueyError, apsw.Error) as error:
            return [f"it cannot be opened: {error}"]
        found: list[str] = []
        try:
            found += self._check()
        except (QueueyError, apsw.Error, AssertionError) as error:
            found.append(f"it cannot be used: {error!r}")
        finally:
            self._store.close().addErrback(lambda failure: found.append(f"it cannot be closed: {failure.value!r}"))
        return found

    def _check(self) -> Iterator[str]:
        yield from self._integrity()
        world, problem = self._world()
        if problem:
            yield problem
        yield from self._as_it_is_read(world)
        if not self._relaxed:
            yield from self._going_on()
            yield from as_they_are_worked_on(self._store, self._claims.acknowledged, _result, self._wait)
        self._wall.seconds = self._claims.seconds + 30
        for _ in range(20):
            self._clock.advance(1)
        yield from self._integrity()

    def _wait(self, seconds: float) -> None:
        self._wall.seconds = self._claims.seconds + seconds

    def _integrity(self) -> Iterator[str]:
        told = [word for (word,) in _execute(self._store, "PRAGMA integrity_check")]
        if told != ["ok"]:
            yield f"integrity_check: {told[:SHOWN]}"
        for words, statement in INVARIANTS.items():
            if wrong := _execute(self._store, statement):
                yield f"{words}: {wrong[:SHOWN]}"
        bound = upper_bound(Ticks(_execute(self._store, "SELECT last FROM clock")[0][0]))
        if wrong := _execute(self._store, _FORGOTTEN, (bound,)):
            yield f"messages of the future that nobody waits for: {wrong[:SHOWN]}"

    # What is there

    def _world(self) -> tuple[World, str]:
        """What is there, and what is wrong with it."""
        found = holdings(self._store, self._claims.now)
        worlds = self._earlier() if self._relaxed else self._claims.worlds()
        for world, undone in worlds:
            if self._fits(found, world, undone):
                return found, ""
        return found, f"it holds neither what was acknowledged nor more that was asked: {self._told(found)}"

    def _earlier(self) -> Iterator[tuple[World, tuple[Operation, ...]]]:
        """Each world that ever was."""
        world, most = self._history.before.copy(), self._claims.answers + len(self._claims.open)
        yield world, tuple(self._history.done[:most])
        for done in range(most):
            self._history.done[done].apply(world)
            yield world, tuple(self._history.done[done + 1 : most])

    def _fits(self, found: World, world: World, undone: tuple[Operation, ...]) -> bool:
        if found.queues != world.queues or found.states != world.states or found.last < world.last:
            return False
        if found.keys != world.remembered(self._claims.now) or found.groups != world.groups:
            return False
        expected = world.alive(self._claims.now)
        if found.rows == expected:
            return True
        purges = [operation.purge for operation in undone if operation.purge]
        missing = expected.keys() - found.rows.keys()
        return all(expected.get(place) == row for place, row in found.rows.items()) and all(
            any(is_purged(place, *purge) for purge in purges) for place in missing
        )

    def _told(self, found: World) -> str:
        """The differences from what was acknowledged."""
        world = self._claims.acknowledged
        expected = world.alive(self._claims.now)
        lost = sorted(expected.keys() - found.rows.keys())
        more = sorted(found.rows.keys() - expected.keys())
        other = sorted(place for place in expected.keys() & found.rows.keys() if expected[place] != found.rows[place])
        told = [_some("lost", lost), _some("not acknowledged", more), _some("changed", other)]
        told.append(_some("queues that differ", sorted(_differing(found.queues, world.queues))))
        told.append(_some("states that differ", sorted(_differing(found.states, world.states))))
        told.append(_some("keys that differ", sorted(_differing(found.keys, world.remembered(self._claims.now)))))
        told.append(_some("groups that differ", sorted(_differing(found.groups, world.groups))))
        if found.last < world.last:
            told.append(f"the stable time fell by {world.last - found.last}")
        open = ", ".join(operation.words for operation in self._claims.open)
        return "; ".join([text for text in told if text] + [f"asked and not answered: {open or 'nothing'}"])

    # What clients see

    def _as_it_is_read(self, found: World) -> Iterator[str]:
        """Scans, look-ups, counts, states and names say what is in the files."""
        for queue in found.queues.values():
            rows = {place: row for place, row in found.rows.items() if place[0] == queue.incarnation}
            partitions = tuple(sorted({partition for _, partition, _ in rows})) or (1,)
            expected = [_message(place, rows[place]) for place in sorted(rows)]
            shown = [message for message in expected if ticks_of(message.id) <= found.last]
            if self._scanned(queue, partitions) != shown:
                yield f"a scan of {queue.name} shows something else"
            if self._looked_up(queue, [Address(message.partition, message.id) for message in expected]) != expected:
                yield f"a look-up in {queue.name} finds something else"
            if _result(self._store.count(queue, Ack.ONE)) != len(expected):
                yield f"the count of {queue.name} is another one"
        for application in {queue.application for queue in found.queues.values()}:
            names = tuple(sorted(q.name for q in found.queues.values() if q.application == application))
            if _result(self._store.names(application, "", 1000, "")) != names:
                yield f"the names of {application} are others"
        for key, value in found.states.items():
            state = _result(self._store.states.read(key))
            if state is None or state.value != value:
                yield f"the state {key} is another one"
        yield from self._as_it_is_repeated(found)

    def _as_it_is_repeated(self, found: World) -> Iterator[str]:
        """A repeated request under a key gets the addresses of its messages, and nothing is stored."""
        for (incarnation, key), (_, addresses) in found.keys.items():
            queue, asked = found.queues.get(incarnation), Once(key, key, "other", 60)
            if queue is None:
                yield f"a key is remembered of {incarnation}, and there is no such queue"
                continue
            again = _result(self._store.append_once(queue, [new(b"again")], TERMS, asked))
            if again != Appended(addresses, "note", True):
                yield f"a repeat in {queue.name} is answered {again}"

    def _scanned(self, queue: Queue, partitions: tuple[int, ...]) -> list[Message]:
        found: list[Message] = self._run(read(self._store, queue, Window(partitions, limit=1 << 20)))
        return found

    def _looked_up(self, queue: Queue, addresses: list[Address]) -> list[Message]:
        found: list[Message] = self._run(look_up(self._store, queue, addresses))
        return found

    # What comes after

    def _going_on(self) -> Iterator[str]:
        """Ids and incarnations rise, though the clock was set back; what was deleted stays so."""
        acknowledged = self._claims.acknowledged
        self._wall.seconds -= SET_BACK
        queue, made = _result(self._store.create("after", "cut", QueueSettings(), None))
        if not made or queue.incarnation <= max(acknowledged.made, default=0):
            yield f"the incarnation {queue.incarnation} was given before"
        ids: tuple[MessageId, ...] = _result(self._store.append(queue, [new(b"after")] * 3, TERMS))
        if list(ids) != sorted(set(ids)) or ticks_of(ids[0]) <= acknowledged.last:
            yield f"ids do not rise: {ids[0].hex()} after the time {acknowledged.last}"
        if [message.id for message in self._scanned(queue, (1,))] != list(ids):
            yield "new messages do not show"
        yield from self._stay_forgotten(self._claims.acknowledged)

    def _stay_forgotten(self, acknowledged: World) -> Iterator[str]:
        for incarnation in acknowledged.made - acknowledged.queues.keys():
            dead = Queue("app", "dead", QueueSettings(), incarnation, "", Ticks(0))
            if self._takes(dead) or self._scanned(dead, (1, 2, 3)):
                yield f"the deleted queue {incarnation} lives again"

    def _takes(self, queue: Queue) -> bool:
        try:
            _result(self._store.append(queue, [new(b"")], TERMS))
        except NoSuchQueue:
            return False
        return True

    def _run(self, steps: Any) -> Any:
        return _result(Deferred.fromCoroutine(steps))


def holdings(store: SQLiteStore, now: Ticks) -> World:
    """What is in the tables of a store, without what has expired."""
    world = World()
    for queue, partition, id, *row in _execute(store, _ROWS, (now,)):
        world.rows[queue, partition, id] = (row[0], row[1], row[2], row[3])
    for queue, key, answer, expires in _execute(store, _KEYS, (now,)):
        world.keys[queue, key] = (expires, _decoded(answer))
    world.states = dict(_execute(store, "SELECT key, value FROM states"))
    world.last = Ticks(_execute(store, "SELECT last FROM clock")[0][0])
    world.groups = positions(partial(_execute, store))
    for application, name in _execute(store, "SELECT application, name FROM queues"):
        (queue,) = _result(store.describe(application, [name]))
        assert queue is not None
        world.live(queue)
    return world


def _execute(store: SQLiteStore, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
    assert store._open is not None
    return store._open.reader.connection.execute(statement, values).fetchall()


def _result(answer: Deferred[Any]) -> Any:
    results: list[Any] = []
    errors: list[Any] = []
    answer.addCallbacks(results.append, errors.append)
    if errors:
        errors[0].raiseException()
    return results[0]


def _message(place: Place, row: Row) -> Message:
    expires, content_type, headers, body = row
    return Message(place[1], place[2], Content(body, content_type, headers), expires)


def _differing(found: dict[Any, Any], expected: dict[Any, Any]) -> set[Any]:
    return {key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)}


def _some(words: str, items: list[Any]) -> str:
    return f"{len(items)} {words}, the first {items[0]}" if items else ""
