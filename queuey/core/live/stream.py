"""One live read: sends its client the messages of a source that come after a place.

There is no queue for a client: the log is the buffer. A stream that waits is this object, without a coroutine, a timer
or a Deferred of its own, since there may be ten thousand of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from queuey.core.live.outlet import Format, Guard, LiveClient
from queuey.core.live.source import Event, LivePage, Place
from queuey.core.live.tail import Tail
from queuey.errors import NoSuchApplication, NoSuchQueue, QueueyError, Unavailable
from queuey.model.timeid import Ticks

if TYPE_CHECKING:
    from queuey.core.live.reads import LiveReads


class State(Enum):
    """What a stream is doing."""

    WAITING = "at the end, with others"
    BUSY = "waiting for a page, a check or its turn"
    BLOCKED = "waiting until its client takes more"
    ENDED = "over"


class LiveStream:
    """One live read.

    :ivar place: everything up to it was sent.
    :ivar seen: when the look began that found the place to be the end; 0 if none has.
    :ivar application: whose queue is read, for the metrics; ``queue``: its name, for the limits; ``None`` if it reads
        many queues.
    """

    __slots__ = (
        "_at_end", "_blocked_since", "_caught_up", "_client", "_ends", "_format", "_guard", "_guard_at", "_limit",
        "_max_bytes", "_pending", "_reads", "_resumed", "_state", "_stops", "_tail", "_told", "_version", "application",
        "number", "place", "queue", "seen",
    )  # fmt: skip

    def __init__(
        self,
        reads: LiveReads,
        tail: Tail,
        client: LiveClient,
        format: Format,
        guard: Guard,
        place: Place,
        version: object,
        limits: tuple[int, int],
        names: tuple[str, str | None],
        *,
        resumed: bool,
        stops: bool,
    ) -> None:
        """
        :param version: of the source, by which the caller was let in.
        :param limits: messages and bytes of bodies in one turn, at most.
        :param names: of the application and the queue.
        :param resumed: whether the client has read before, and has to learn of gaps.
        :param stops: whether to end at the end of the log.
        """
        self.number = 0
        self.place = place
        self.seen = Ticks(0)
        self.application, self.queue = names
        self._reads = reads
        self._tail = tail
        self._client = client
        self._format = format
        self._guard = guard
        self._version = version
        self._limit, self._max_bytes = limits
        self._resumed = resumed
        self._stops = stops
        self._at_end = False
        self._caught_up = False
        self._told: Place = place
        self._state = State.BUSY
        self._pending: Deferred[Any] | None = None
        self._blocked_since = 0.0
        self._ends = 0.0
        self._guard_at: float | None = None

    @property
    def kind(self) -> str:
        """The name of its format."""
        return self._format.kind

    @property
    def behind(self) -> Ticks | None:
        """The time up to which it was sent everything; ``None`` if it waits at the end."""
        return None if self._state is State.WAITING else self._tail.source.time(self.place)

    @property
    def blocked_for(self) -> float:
        """Seconds for which the client has taken no byte."""
        return self._reads.clock.seconds() - self._blocked_since if self._state is State.BLOCKED else 0.0

    def begin(self, end: tuple[Ticks, Ticks] | None, events: Sequence[Event] = ()) -> None:
        """Send the first block, and go on.

        :param end: if the place is the end of the log: up to when the log is complete, and when the look began that
            found this.
        :param events: events to be sent at once.
        """
        self._tail.use()
        now = self._reads.clock.seconds()
        self._ends = now + self._reads.lifetime()
        self._ask_again_in_time(now)
        self._reads.add(self)
        cursor = self._text()
        data = self._format.begin(self._reads.first_retry(), cursor)
        data += b"".join([self._format.event(event, cursor) for event in events])
        if end is not None and not self._stops:
            self._at_end = self._caught_up = True
            stable, self.seen = end
            data += self._format.caught_up(stable, cursor)
        self._send(data)
        if self._reads.ending:
            self.end("stop", self._reads.spread)

    # Reading

    def take(self, page: LivePage, rendered: dict[object, bytes]) -> None:
        """Take a page of all streams at the end.

        :param rendered: the page in each format in which it was rendered already.
        """
        if self._has_changed(page) or len(page.messages) > self._limit or page.size > self._max_bytes:
            self._read_alone()
        elif page.start < self.place and page.places and not self.place < page.places[0]:
            # This stream has read some of it before it came here.
            if self.place < page.places[-1] or page.closed:
                self._read_alone()
            elif self.place < page.place:
                self.place, self.seen = page.place, page.began if page.at_end else self.seen
        else:
            if self._format in rendered:
                data = rendered[self._format]
            else:
                data = rendered[self._format] = self._format.page(self._tail.source, page)
            self._show(page, data)

    def _read_alone(self) -> None:
        """Leave the others, and read on from the own place."""
        self._at_end = False
        self._go_on()

    def _has_changed(self, page: LivePage) -> bool:
        """Return whether the source is another version than the one by which the caller was let in."""
        return page.version is not self._version and page.version != self._version

    def _go_on(self) -> None:
        """Wait with the others, or take a turn to read the next page."""
        if self._at_end and self._tail.join(self):
            if self._state is State.BUSY:  # unless the tail had something for it at once
                self._state = State.WAITING
            return
        self._at_end = False
        self._tail.leave(self)
        self._await(self._reads.turns.next(), self._read)

    def _read(self, _: object) -> None:
        source = self._tail.source
        reading = source.read(self.place, self._limit, self._max_bytes, resumed=self._resumed, seen=self.seen)
        self._await(reading, self._found)

    def _found(self, page: LivePage) -> None:
        if self._has_changed(page):
            self._await(self._guard.check(), partial(self._let_in, page.version))
        else:
            self._show(page, self._format.page(self._tail.source, page))

    def _let_in(self, version: object, _: object) -> None:
        """Read again: the source has changed, and the caller may still read it."""
        self._version = version
        self._go_on()

    def _show(self, page: LivePage, data: bytes) -> None:
        """Send a page."""
        self._resumed = True
        self.place = page.place if self.place < page.place else self.place
        self.seen = page.began if page.at_end else Ticks(0)
        if data:
            self._told = self.place
        self._at_end = page.at_end
        over = page.at_end and (self._stops or page.closed)
        if page.at_end and not self._caught_up:
            self._caught_up = True
            data += self._format.caught_up(page.stable, self._text())
            self._told = self.place
        if page.messages:
            self._reads.events.add((self.application,), len(page.messages))
        if over:
            data += self._format.closed(self._text()) if page.closed else b""
            self._client.send(data).addErrback(_gone)
            self._count(page)
            self._end("end")
        elif data:
            self._send(data)
            if page.messages and self._state is not State.ENDED:
                self._count(page)
        elif self._state is not State.WAITING:
            self._go_on()

    def _count(self, page: LivePage) -> None:
        self._client.count_messages(len(page.messages), page.size, page.names)

    def _text(self) -> str:
        return self._tail.source.cursor(self.place)

    # Writing

    def _send(self, data: bytes) -> None:
        """Send bytes, and go on when the client takes more."""
        sending = self._client.send(data)
        if sending.called:
            if isinstance(sending.result, Failure):
                sending.addErrback(_gone)
                self.cancel()
            elif self._state is not State.WAITING:
                self._go_on()
            return
        self._tail.leave(self)
        self._state, self._pending = State.BLOCKED, sending
        self._blocked_since = self._reads.clock.seconds()
        sending.addCallbacks(self._taken, _gone)

    def _taken(self, _: object) -> None:
        if self._state is State.BLOCKED:
            self._state, self._pending = State.BUSY, None
            self._go_on()

    # Time

    def expire(self) -> None:
        """Send a heartbeat; ask whether the caller may still read; or end, when it is time."""
        now = self._reads.clock.seconds()
        if now >= self._ends:
            self.end("time", self._reads.spread)
            return
        if self._guard_at is not None and now >= self._guard_at:
            self._guard_at = None
            # Two things may be under way at once then: this one has a callback of its own.
            self._guard.check().addCallbacks(self._still_let_in, self._lapsed).addErrback(self._reads.defect)
        elif self._state is State.WAITING:
            moved = self._told < self.place
            self._told = self.place
            self._send(self._format.beat(self._tail.cursor_of(self.place), moved=moved))
        elif self._state is State.BUSY:
            # It may be the store that keeps it waiting, for longer than a proxy would.
            self._client.send(self._format.beat(self._text(), moved=False)).addErrback(_gone)
        if self._state is not State.ENDED:
            self._reads.schedule(self, self._next(now))

    def _next(self, now: float) -> float:
        """When ``expire`` is to be called the next time."""
        next = min(self._ends, now + self._reads.heartbeat)
        return next if self._guard_at is None else min(next, self._guard_at)

    def _ask_again_in_time(self, now: float) -> None:
        left = self._guard.until()
        self._guard_at = None if left is None else now + max(1.0, left)

    def _still_let_in(self, _: object) -> None:
        if self._state is not State.ENDED:
            now = self._reads.clock.seconds()
            self._ask_again_in_time(now)
            self._reads.schedule(self, self._next(now))

    def _lapsed(self, failure: Failure) -> None:
        if failure.check(Unavailable):
            self._guard_at = self._reads.clock.seconds() + 1.0
            return
        failure.trap(QueueyError)
        self.refuse(failure.value)  # type: ignore[arg-type]

    def first_deadline(self) -> float:
        """When ``expire`` is to be called first."""
        return self._next(self._reads.clock.seconds())

    # The end

    def _await(self, waiting: Deferred[Any], go_on: Any) -> None:
        """Wait for a Deferred that is cancelled if the client hangs up."""
        self._state, self._pending = State.BUSY, waiting
        waiting.addCallback(self._awaited, go_on).addErrback(self._failed)

    def _awaited(self, result: Any, go_on: Any) -> None:
        self._pending = None
        if self._state is not State.ENDED:
            go_on(result)

    def _failed(self, failure: Failure) -> None:
        """Try again later if the store does not answer now, and end otherwise."""
        self._pending = None
        if self._state is State.ENDED or failure.check(CancelledError):
            return
        if failure.check(Unavailable):
            self._await(self._reads.pause(), lambda _: self._go_on())
            return
        error = failure.value
        self.refuse(error if isinstance(error, QueueyError) else self._reads.defect(failure))

    def refuse(self, error: QueueyError) -> None:
        """End the stream, and tell its client why."""
        if self._state is State.ENDED:
            return
        deleted = isinstance(error, NoSuchQueue | NoSuchApplication)
        self._client.send(self._format.problem(error, self._client.request_id)).addErrback(_gone)
        self._end("deleted" if deleted else "refused")

    def end(self, reason: str, spread: float) -> None:
        """End the stream, and let its client come back.

        :param spread: seconds over which clients whose streams end now should come back.
        """
        if self._state is State.ENDED:
            return
        self._client.send(self._format.end(self._reads.last_retry(spread))).addErrback(_gone)
        self._end(reason)

    def cancel(self) -> None:
        """Learn that the client has gone."""
        if self._state is not State.ENDED:
            self._forget("slow" if self._reads.is_slow(self.blocked_for) else "client")

    def _end(self, reason: str) -> None:
        client = self._client
        self._forget(reason)
        client.finish()

    def _forget(self, reason: str) -> None:
        self._tail.leave(self)
        self._state = State.ENDED
        pending, self._pending = self._pending, None
        self._reads.remove(self, reason)
        self._guard.release()
        self._tail.release()
        if pending is not None:
            pending.cancel()


def _gone(failure: Failure) -> None:
    """Pass over the failure of a write: the connection reports its end by itself."""
    failure.trap(CancelledError)
