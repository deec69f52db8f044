"""A mixed load on a store, drawn from a seed: the same seed asks for the same things in the same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import apsw
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from queuey.interfaces import State
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Consistency, Queue, QueueSettings
from queuey.model.reading.window import Window, WindowSlice
from queuey.model.timeid import LOWEST, MAX_TICKS, SECOND, MessageId, Ticks, from_seconds, make, successor, ticks_of
from queuey.storage.sqlite import SQLiteStore
from queuey.storage.sqlite.database import files
from queuey.storage.sqlite.database.files import CHECKPOINT_PAGES
from tests.contracts.subject import START, Wall
from tests.power.checker import holdings
from tests.power.history import (
    History,
    World,
    appended,
    appended_once,
    created,
    forgotten,
    purged,
    removed,
    replaced,
    seen,
    state_replaced,
    updated,
)
from tests.power.recording import DirectorySynced, Recording
from tests.storage.sqlite.runners import Manual

TERMS: Final = WriteTerms(Ack.MAJORITY)
PARTITIONS: Final = (1, 1, 1, 2, 3)
APPLICATIONS: Final = ("app", "other")
NAMES: Final = ("a", "b", "c", "d", "e", "f")
KEYS: Final = ("k", "l", "m", "n")
ONCE: Final = tuple(bytes([number]) * 32 for number in range(12))
MAX_IN_BATCH: Final = 25
KNOWN_IDS: Final = 400
TURNS: Final = 6
"""Turns of upkeep that a move of the clock gives at the most; what is left is swept in later ones."""

Operations = tuple[tuple[Callable[[Any], None], int], ...]
MakeStore = Callable[[Path, str, Clock, Wall, Manual], SQLiteStore]
"""Makes a store on a directory and a file layer, with the clocks and the runner that it shall have."""


class Load:
    """Drives one store, which is closed and opened again on the way, and notes everything in a history."""

    def __init__(self, directory: Path, vfs: str, recording: Recording, make_store: MakeStore, random: Random) -> None:
        self.history = History(recording)
        self.random = random
        self._directory = directory
        self._vfs = vfs
        self._recording = recording
        self._make_store = make_store
        self._wall = Wall()
        self._queues: dict[int, Queue] = {}
        self._dead: list[Queue] = []
        self._known: list[tuple[Queue, Address]] = []
        self._states: dict[str, State | None] = dict.fromkeys(KEYS)
        self._bystander: apsw.Connection | None = None
        self._bodies = 0

    def run(self, steps: int, seconds: float = START) -> None:
        """Open a store, load it, and close it.

        :param seconds: what the wall clock shows at the beginning.
        """
        self._wall.seconds = seconds
        self.history.set_time(seconds)
        self._open()
        self._take_over(holdings(self.store, self._now))
        self._clock.advance(0)
        for name in NAMES[:3]:
            self._create(name)
        self._read_states()
        for _ in range(steps):
            self._step()
        self._release_bystander()
        self._result(self.store.close())

    def _step(self) -> None:
        choose, weights = zip(*self._STEPS, strict=True)
        self.random.choices(choose, weights)[0](self)

    # Between write batches

    def _open(self) -> None:
        """Open a store; its upkeep waits for the clock."""
        self._clock, self._runner = Clock(), Manual()
        self.store = self._make_store(self._directory, self._vfs, self._clock, self._wall, self._runner)
        self.store.open()
        self._recording.note(DirectorySynced())  # the store has done it, past the file layer

    def _take_over(self, world: World) -> None:
        """What is there already; the upkeep has not had its first turn, which may raise the stable time."""
        self.history.before = world
        self._queues = dict(world.queues)
        places = sorted(world.rows)[-KNOWN_IDS:]
        self._known = [(world.queues[queue], Address(partition, id)) for queue, partition, id in places]

    def _restart(self) -> None:
        """The last checkpoint leaves no log."""
        self._release_bystander()
        self._result(self.store.close())
        self._open()
        self._clock.advance(0)

    def _pass_time(self) -> None:
        """Let messages expire and fall due, and be swept."""
        seconds = self.random.choice((0.01, 0.5, 2, 2, 5))
        self._wall.seconds += seconds
        self.history.set_time(self._wall.seconds)
        self._clock.advance(seconds)
        for _ in range(TURNS):
            self._clock.advance(0)

    def _checkpoint(self) -> None:
        """Let the writer find that the log has grown long."""
        writer = self._writer
        writer.checkpoints.log_pages = self.random.choice((1, 4)) * CHECKPOINT_PAGES
        writer.checkpoints.run()

    def _truncate(self) -> None:
        connection = self._writer.connection
        connection.set_busy_timeout(0)
        try:
            connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            pass  # the bystander reads
        finally:
            connection.set_busy_timeout(files.BUSY)

    def _bystand(self) -> None:
        """Begin or end a long read of another connection, as a backup has it; checkpoints must go round it."""
        if self._bystander is not None:
            self._release_bystander()
            return
        self._bystander = apsw.Connection(str(self._directory / files.DATABASE), vfs=self._vfs)
        self._bystander.wal_autocheckpoint(0)
        self._bystander.execute("BEGIN")
        self._bystander.execute("SELECT count(*) FROM messages").fetchall()

    def _release_bystander(self) -> None:
        if self._bystander is not None:
            self._bystander.close(True)
            self._bystander = None

    def _scan(self) -> None:
        queue = self._pick()
        window = Window((1, 2, 3), lower=self._any_id(queue) if self.random.random() < 0.5 else LOWEST, limit=50)
        piece: WindowSlice = self._result(self.store.read_range(queue, window, Ack.ONE))
        last = max((ticks_of(message.id) for message in piece.messages), default=Ticks(0))
        self.history.watch(f"saw ids up to {last}", lambda: _at_once(last), seen)

    # Write batches

    def _pile(self) -> None:
        """Many operations in one transaction."""
        self._runner.held = True
        for _ in range(self.random.randrange(2, MAX_IN_BATCH)):
            self._operate()
        self._runner.take()
        self._read_states()

    def _single(self) -> None:
        self._operate()
        self._read_states()

    def _operate(self) -> None:
        choose, weights = zip(*self._OPERATIONS, strict=True)
        self.random.choices(choose, weights)[0](self)

    def _append(self) -> None:
        self._append_many(1)

    def _append_batch(self) -> None:
        self._append_many(self.random.choice((2, 5, 20, 100)))

    def _append_many(self, number: int) -> None:
        queue, messages = self._pick(), self._messages(number)

        def ask() -> Deferred[Any]:
            return self.store.append(queue, messages, TERMS).addCallback(known)

        def known(ids: tuple[MessageId, ...]) -> tuple[MessageId, ...]:
            self._know(queue, [Address(new.partition, id) for new, id in zip(messages, ids, strict=True)])
            return ids

        self.history.watch(f"append {number} to {queue.name}", ask, appended(queue, messages, self._now))

    def _append_once(self) -> None:
        """Append under a key that may have been used before."""
        queue, messages = self._pick(), self._messages(self.random.choice((1, 1, 3, 20)))
        key, lifetime = self.random.choice(ONCE), self.random.choice((2, 60, 3600))
        asked = Once(key, key, "note", lifetime)

        def ask() -> Deferred[Any]:
            return self.store.append_once(queue, messages, TERMS, asked).addCallback(known)

        def known(result: Appended) -> Appended:
            self._know(queue, result.addresses)
            return result

        effect = appended_once(queue, messages, asked, self._now)
        self.history.watch(f"append {len(messages)} to {queue.name} once", ask, effect)

    def _know(self, queue: Queue, addresses: Sequence[Address]) -> None:
        self._known = [*self._known, *((queue, address) for address in addresses)][-KNOWN_IDS:]

    def _replace(self) -> None:
        queue = self._pick()
        foreign = self._foreign(self.random.choice((-1, -1, 0.3, 3, 20)))
        addresses = list(dict.fromkeys(self._addresses(queue) + foreign))
        content, ttl = self._content(), self._ttl()
        self.history.watch(
            f"replace {len(addresses)} in {queue.name}",
            lambda: self.store.replace(queue, addresses, content, ttl, TERMS),
            replaced(queue, addresses, content, self._now, ttl),
        )
        self._known += [(queue, address) for address in addresses]

    def _remove(self) -> None:
        queue = self._pick()
        addresses = self._addresses(queue)
        self.history.watch(
            f"remove {len(addresses)} from {queue.name}",
            lambda: self.store.remove(queue, addresses, Ack.ONE),
            removed(queue, addresses),
        )

    def _purge(self) -> None:
        queue = self._pick()
        before = self._any_id(queue, self._writer.last)
        self.history.watch(
            f"purge {queue.name}",
            lambda: self.store.purge(queue, before, Ack.ONE),
            purged(queue, before),
            purge=(queue, before),
        )

    def _create(self, name: str = "") -> None:
        name = name or self.random.choice(NAMES)
        application, settings = self.random.choice(APPLICATIONS), self._settings()

        def known(result: tuple[Queue, bool]) -> tuple[Queue, bool]:
            self._queues[result[0].incarnation] = result[0]
            return result

        self.history.watch(
            f"create {name}",
            lambda: self.store.create(application, name, settings, None).addCallback(known),
            created,
        )

    def _update(self) -> None:
        queue, settings = self._pick(), self._settings()

        def known(changed: Queue) -> Queue:
            self._queues[changed.incarnation] = changed
            return changed

        self.history.watch(
            f"update {queue.name}", lambda: self.store.update(queue, settings).addCallback(known), updated
        )

    def _forget(self) -> None:
        ending = sum(operation.words.startswith("forget") for operation in self.history.waiting)
        if len(self._queues) - ending < 3:
            return
        queue = self._pick()

        def known(was_there: bool) -> bool:
            if self._queues.pop(queue.incarnation, None):
                self._dead.append(queue)
            return was_there

        self.history.watch(
            f"forget {queue.name}", lambda: self.store.forget(queue).addCallback(known), forgotten(queue)
        )

    def _compare_and_set(self) -> None:
        key = self.random.choice(KEYS)
        state, fresh = self._states[key], self.random.randbytes(16).hex()
        value = None if state and self.random.random() < 0.2 else self._content().body
        self.history.watch(
            f"compare and set {key}",
            lambda: self.store.states.replace(key, state.version if state else None, value, fresh),
            state_replaced(key, value),
        )

    # What operations are drawn from

    @property
    def _now(self) -> Ticks:
        return from_seconds(self._wall.seconds)

    @property
    def _writer(self) -> Any:
        assert self.store._open is not None
        return self.store._open.writer

    def _pick(self) -> Queue:
        """A queue that lives, or now and then one that does no more."""
        if self._dead and self.random.random() < 0.03:
            return self.random.choice(self._dead)
        return self.random.choice(list(self._queues.values()))

    def _any_id(self, queue: Queue, latest: Ticks = MAX_TICKS) -> MessageId:
        """A bound just above a message of a queue, which is not later than that."""
        ids = [address.id for known, address in self._known if known.incarnation == queue.incarnation]
        ids = [id for id in ids if ticks_of(id) <= latest]
        return successor(self.random.choice(ids)) if ids else LOWEST

    def _addresses(self, queue: Queue) -> list[Address]:
        """Some places in a queue; what stood there may be gone."""
        own = [address for known, address in self._known if known.incarnation == queue.incarnation]
        return self.random.sample(own, min(len(own), self.random.randrange(1, 8)))

    def _foreign(self, seconds: float) -> list[Address]:
        """A client's own id, of a time from now on; negative: of just before."""
        if seconds < 0:
            return [Address(1, make(Ticks(self._now - 50 * self.random.randrange(1, 9)), 5, self.random.randrange(99)))]
        return [Address(2, make(from_seconds(self._wall.seconds + seconds), 5, self.random.randrange(1 << 40)))]

    def _messages(self, number: int) -> list[NewMessage]:
        """New messages, now and then delayed."""
        ttl = self._ttl()
        delay = Ticks(self.random.choice((0, 0, 0, 0, SECOND // 2, 3 * SECOND)))
        return [NewMessage(self.random.choice(PARTITIONS), self._content(), ttl, delay) for _ in range(number)]

    def _content(self) -> Content:
        """A body like no other."""
        self._bodies += 1
        size = self.random.choice((0, 10, 10, 50, 50, 300, 300, 2000, 9000))
        body = b"%d:" % self._bodies + self.random.randbytes(size)
        return Content(body, self.random.choice((None, "text/plain")), self.random.choice((None, b"{}")))

    def _ttl(self) -> int:
        return self.random.choice((1, 3, 10, 60, 3600))

    def _settings(self) -> QueueSettings:
        partitions, consistency = self.random.randrange(3, 200), self.random.choice(list(Consistency))
        return QueueSettings(partitions=partitions, consistency=consistency)

    def _read_states(self) -> None:
        for key in KEYS:
            self._states[key] = self._result(self.store.states.read(key))

    @staticmethod
    def _result(answer: Deferred[Any]) -> Any:
        results: list[Any] = []
        answer.addCallback(results.append)
        assert results, answer
        return results[0]

    _STEPS: Final = (
        (_pile, 40),
        (_single, 30),
        (_pass_time, 12),
        (_checkpoint, 6),
        (_truncate, 2),
        (_restart, 1),
        (_bystand, 3),
        (_scan, 6),
    )
    _OPERATIONS: Operations = (
        (_append, 30),
        (_append_batch, 12),
        (_append_once, 20),
        (_replace, 14),
        (_remove, 12),
        (_purge, 4),
        (_create, 4),
        (_update, 5),
        (_forget, 3),
        (_compare_and_set, 12),
    )


def _at_once(value: Any) -> Deferred[Any]:
    answer: Deferred[Any] = Deferred()
    answer.callback(value)
    return answer
