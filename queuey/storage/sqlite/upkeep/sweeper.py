"""Background work of the store: it sweeps expired rows, shows messages that fall due, and frees disk space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.errors import QueueyError
from queuey.logs import EventLog
from queuey.model.timeid import Ticks, ticks_of, to_seconds, upper_bound
from queuey.storage.sqlite import states
from queuey.storage.sqlite.writing.writer import Writer
from queuey.storage.sqlite.writing.writes import STEP

INTERVAL: Final = 1.0
"""Seconds between two turns, unless something falls due earlier."""

SOONEST: Final = 0.001
"""Seconds to the next turn at the least: clocks are not exact, and a turn that comes too early must not spin."""

SPARE_PAGES: Final = 4096
"""Free pages that the file keeps for what comes next: 16 MB."""

STATES: Final = 64
"""States that one turn removes at the most: each may have 64 KiB."""

GIVEN_BACK: Final = 256
"""Free pages that one turn gives back to the disk: 1 MB."""

# The same rows each time, since (expires, queue, seq) is the order of the index.
_FIRST_EXPIRED = "FROM messages WHERE expires <= ? ORDER BY expires, queue, seq LIMIT ?"
_EXPIRED_BY_QUEUE: Final = (
    f"SELECT queue, count(*), sum(size) FROM (SELECT queue, size {_FIRST_EXPIRED}) GROUP BY queue"
)
_UNAWAIT_EXPIRED: Final = (
    f"DELETE FROM future WHERE (id, queue, partition) IN (SELECT id, queue, partition {_FIRST_EXPIRED})"
)
_REMOVE_EXPIRED: Final = f"DELETE FROM messages WHERE seq IN (SELECT seq {_FIRST_EXPIRED})"

_FORGET_EXPIRED: Final = (
    "DELETE FROM keys WHERE seq IN (SELECT seq FROM keys WHERE expires <= ? ORDER BY expires LIMIT ?)"
)
_FORGET_DEAD: Final = "DELETE FROM keys WHERE seq IN (SELECT seq FROM keys WHERE queue = ? LIMIT ?)"

_FORGET_STATES: Final = (
    "DELETE FROM states WHERE key IN (SELECT key FROM states WHERE key >= ? AND key < ? ORDER BY key LIMIT ?)"
)

_END_STATES: Final = "INSERT OR IGNORE INTO dead_states (state) SELECT state FROM group_states WHERE queue = ?"
_FORGET_ROWS: Final = (
    "DELETE FROM deliveries WHERE (state, key) IN (SELECT state, key FROM deliveries WHERE state = ? LIMIT ?)"
)

_SHOW: Final = (
    "DELETE FROM future WHERE (id, queue, partition) IN "
    "(SELECT id, queue, partition FROM future WHERE id < ? ORDER BY id LIMIT ?) RETURNING queue"
)
_FIRST_DEAD = "FROM messages WHERE queue = ? ORDER BY partition, id LIMIT ?"
_UNAWAIT_DEAD: Final = f"DELETE FROM future WHERE (id, queue, partition) IN (SELECT id, queue, partition {_FIRST_DEAD})"
_REMOVE_DEAD: Final = f"DELETE FROM messages WHERE seq IN (SELECT seq {_FIRST_DEAD})"


@attrs.frozen
class Turn:
    """Result of one turn.

    :ivar more: whether there is more to do at once.
    :ivar due: when the next message of the future falls due.
    :ivar arrived: the incarnations of queues in which messages fell due.
    """

    more: bool
    due: Ticks | None
    arrived: tuple[int, ...]


def turn(writer: Writer) -> Turn:
    """One bounded piece of upkeep, in a write batch like any other write."""
    writer.queues.flush()
    shown = show_due(writer)
    more = len(shown) == STEP
    if sweep_expired(writer) or sweep_dead(writer) or sweep_states(writer) or forget_expired(writer):
        more = True
    if not more:
        give_back(writer)
    return Turn(more, next_due(writer), tuple(sorted(set(shown))))


def show_due(writer: Writer) -> list[int]:
    """Raise the stable time to that of the last id that is due, if it is not there yet; whose message each was."""
    # What later ids have passed shows already, though the clock may have been set back since.
    execute, bound = writer.connection.execute, upper_bound(max(writer.clock, writer.last))
    last = execute("SELECT max(id) FROM future WHERE id < ?", (bound,)).get
    if last is None:
        return []
    writer.raise_to(ticks_of(last))
    shown = [queue for (queue,) in execute(_SHOW, (bound, STEP))]
    writer.changed.update(dict.fromkeys(shown))
    writer.groups.fell_due(shown)
    return shown


def next_due(writer: Writer) -> Ticks | None:
    """When the next message of the future falls due."""
    first = writer.first_awaited()
    return None if first is None else ticks_of(first)


def sweep_expired(writer: Writer) -> bool:
    """Delete messages that have expired; whether there may be more."""
    execute, which = writer.connection.execute, (writer.clock, STEP)
    swept = 0
    found: list[tuple[Any, ...]] = execute(_EXPIRED_BY_QUEUE, which).fetchall()
    for queue, messages, size in found:
        swept += messages
        application = writer.queues.application_of(queue)
        if application is not None:
            writer.tally(application, queue, -messages, -size)
    if swept:
        if next_due(writer) is not None:
            execute(_UNAWAIT_EXPIRED, which)
        execute(_REMOVE_EXPIRED, which)
    return swept == STEP


def sweep_dead(writer: Writer) -> bool:
    """Delete what is left of a queue that was deleted: messages, answers, states; whether there may be more."""
    execute = writer.connection.execute
    queue = execute("SELECT min(queue) FROM dead").get
    if queue is None:
        return False
    if next_due(writer) is not None:
        execute(_UNAWAIT_DEAD, (queue, STEP))
    execute(_REMOVE_DEAD, (queue, STEP))
    removed = writer.connection.changes()
    execute(_FORGET_DEAD, (queue, STEP))
    removed = max(removed, writer.connection.changes())
    execute(_END_STATES, (queue,))
    execute("DELETE FROM group_states WHERE queue = ?", (queue,))
    execute(_FORGET_STATES, (*states.span(queue), STATES))
    if removed < STEP and writer.connection.changes() < STATES:
        execute("DELETE FROM dead WHERE queue = ?", (queue,))
    return True


def sweep_states(writer: Writer) -> bool:
    """Delete rows of states of groups that are over; whether there may be more."""
    execute = writer.connection.execute
    state = execute("SELECT min(state) FROM dead_states").get
    if state is None:
        return False
    execute(_FORGET_ROWS, (state, STEP))
    if writer.connection.changes() < STEP:
        execute("DELETE FROM dead_states WHERE state = ?", (state,))
    return True


def forget_expired(writer: Writer) -> bool:
    """Forget answers that are not to be remembered any more; whether there may be more."""
    writer.connection.execute(_FORGET_EXPIRED, (writer.clock, STEP))
    return writer.connection.changes() == STEP


def give_back(writer: Writer) -> None:
    """Shrink the file if it has many free pages."""
    if writer.connection.pragma("freelist_count") > SPARE_PAGES:
        writer.connection.execute(f"PRAGMA incremental_vacuum({GIVEN_BACK})").fetchall()


def _nothing(incarnation: int) -> None:
    """Ignore arrivals, until ``subscribe`` is called."""


class Upkeep:
    """Sees to it that turns are taken in time; all of it belongs to the reactor.

    :param now: the wall clock, in seconds since 1970.
    :param take_turn: puts ``turn`` on the writing write batch.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(self, clock: IReactorTime, now: Callable[[], float], take_turn: Callable[[], Deferred[Turn]]) -> None:
        self._clock = clock
        self._now = now
        self._take_turn = take_turn
        self._timer: IDelayedCall | None = None
        self._arrived: Callable[[int], None] = _nothing
        self._running = False
        self._failing = False

    def subscribe(self, arrived: Callable[[int], None]) -> None:
        """Tell of each queue in which messages fall due; called before ``start``."""
        self._arrived = arrived

    def start(self) -> None:
        """Begin with a turn at once."""
        self._running = True
        self._wait(0)

    def stop(self) -> None:
        """Begin no more turns."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expect(self, due: Ticks | None) -> None:
        """Hear of a message of the future, and take a turn when it falls due."""
        if due is None or self._timer is None:
            return  # a turn that is under way sees it
        delay = max(SOONEST, to_seconds(due) - self._now())
        if delay < self._timer.getTime() - self._clock.seconds():
            self._timer.reset(delay)

    def _wait(self, delay: float) -> None:
        if self._running:
            self._timer = self._clock.callLater(delay, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._take_turn().addCallbacks(self._done, self._failed)

    def _done(self, turn: Turn) -> None:
        self._failing = False
        if turn.more:
            self._wait(0)
        elif turn.due is None:
            self._wait(INTERVAL)
        else:
            self._wait(min(INTERVAL, max(SOONEST, to_seconds(turn.due) - self._now())))
        for incarnation in turn.arrived:
            self._arrived(incarnation)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(QueueyError):
            self._log.failure("upkeep-failed", "background work of the store failed, and is retried", failure)
        elif self._running and not self._failing:
            self._failing = True
            self._log.warn("upkeep-waits", "background work of the store has to wait: {error}", error=failure.value)
        self._wait(INTERVAL)
