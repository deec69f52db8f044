"""The times of a front end: ids for what it writes, and how far its readers may see.

The rules are ``queuey.model.stable``'s; ``lease`` (one front end) and ``clocks`` (many) provide :class:`Times` by them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.deferreds import bounded, deferred
from queuey.errors import QueueyError, Unavailable
from queuey.logs import EventLog
from queuey.model.clock import SteadyClock
from queuey.model.counts import Counter, Metric, gauge
from queuey.model.stable import LONG_CLASS, Flight, FrontEnd, Lateness, Place, StampRequest
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.cassandra.cluster.port import ICQLSession, Kind, Level, Statement
from queuey.storage.cassandra.times.waiting import growing
from queuey.storage.gauges import stable_time_age

__all__ = ["LONG_CLASS", "Flight", "Lateness", "Place", "StampRequest", "Times"]

ONE: Final = "one"
MANY: Final = "many"

READ_LIMIT: Final = 1.5
"""Seconds that a read of one of our own rows may take, and ``WRITE_LIMIT`` a write: two of each fit into a lease."""

WRITE_LIMIT: Final = 2.0

ROW: Final = 5.0
"""Seconds between two writes of the row in ``frontends``, which lives for 30."""

SHORTEST: Final = 0.5
"""Seconds to wait after a first failed attempt; twice as long after each further one, up to ``LONGEST``."""

LONGEST: Final = 5.0

NOTABLE: Final = 1.0
"""Seconds between the clock of the machine and ours that an operator should know of."""

T = TypeVar("T")


class Times(Protocol):
    """What the store asks of the clock, the lease and the settings of a front end."""

    def now(self) -> Ticks:
        """The time by our own clock, which never jumps."""

    def begin(self, wanted: Sequence[StampRequest], slow: bool, weak: bool = False) -> Flight:
        """Make ids for one write.

        :param slow: whether it waits for every data centre, and has a limit of its own.
        :param weak: whether it goes to a weak queue, whose readers are promised less.
        :raise Unavailable: this front end may not stamp now (no lease, or its clock is wrong); the text says why.
        """

    def landed(self, flight: Flight) -> None:
        """Note that the write was acknowledged.

        :raise Unavailable: with ``applied="unknown"`` if that came too late to be promised.
        """

    def lost(self, flight: Flight, late: bool = False) -> None:
        """Note that the write failed, or that its outcome is unknown: it will not be answered as stored.

        :param late: whether it was given up because it took too long.
        """

    def put(self, id: MessageId) -> None:
        """Note that a client stores a message under an id of its own: no id of ours may equal it, and if its time has
        come, later ids are above it.

        Call it before the write is sent; otherwise an id of ours may meet it on the way. To call it once more
        afterwards does no harm.
        """

    def stable(self, place: Place, slow: bool = False, weak: bool = False) -> MessageId:
        """Return the bound below which readers of a partition see everything; take it before the scan is sent.

        :param slow: whether writes to this queue wait for every data centre.
        :param weak: whether the queue is weak; its readers do not wait and are promised less.
        :raise Unavailable: this front end cannot know it now.
        """

    def registry_age(self) -> float | None:
        """Seconds that the row of a queue may be cached; ``None``: without a limit, because no other front end changes
        it."""

    @property
    def tenure(self) -> int:
        """A number that changes when other front ends may have served meanwhile; what was cached before is invalid
        then."""

    @property
    def reason(self) -> str | None:
        """Why this front end cannot serve now, in one sentence; ``None`` if it can."""

    def health_problems(self) -> Mapping[str, str]:
        """The same sentence under its subject, ``clock`` or ``lease``; empty if this front end can serve."""

    def start(self) -> Deferred[None]:
        """Make ready to serve, however long the cluster is away or another front end in the way.

        :return: fires once it is ready for the first time. Fails with ``Unavailable`` where ``stop`` comes first.
        """

    def stop(self) -> Deferred[None]:
        """Serve no more, and leave the cluster in such a state that others need not wait for us; what is in flight
        cannot be promised any more.

        :return: fires once that is done, or was given up because the cluster does not answer.
        """


class OwnClock(Protocol):
    """The clock of a front end."""

    def read(self) -> tuple[float, Ticks]:
        """CLOCK_BOOTTIME in seconds, and our own time at that very moment."""

    def follow(self, step: bool) -> float:
        """Follow the clock of the machine, which may have been set.

        :param step: at once, because no front end relies on our time yet.
        :return: by how many seconds it is ahead of ours then.
        """


class MachineClock:
    """The clock of the machine, slewed if it is set.

    :param wall: seconds since 1970.
    :param boottime: CLOCK_BOOTTIME in seconds.
    """

    def __init__(self, wall: Callable[[], float], boottime: Callable[[], float]) -> None:
        self._wall = wall
        self._boottime = boottime
        self._clock = SteadyClock(boottime(), wall())

    def read(self) -> tuple[float, Ticks]:
        """See OwnClock."""
        boot = self._boottime()
        return boot, self._clock.read(boot)

    def follow(self, step: bool) -> float:
        """See OwnClock."""
        return self._clock.follow(self._boottime(), self._wall(), step)


class Follower:
    """Makes our clock follow that of the machine, and logs if that one was set.

    :ivar ahead: by how many seconds the machine's clock was ahead of ours at the last look.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(self, clock: OwnClock) -> None:
        self._clock = clock
        self._said = False
        self.ahead: float | None = None

    def follow(self, step: bool) -> None:
        """See OwnClock."""
        self.ahead = ahead = self._clock.follow(step)
        if abs(ahead) > NOTABLE and not self._said:
            self._log.warn(
                "clock-set",
                "the clock of the machine is {ahead} s ahead of the time that is served",
                ahead=f"{ahead:.1f}",
            )
        self._said = abs(ahead) > NOTABLE


@attrs.frozen
class Identity:
    """The identity of a front end, for other front ends and for operators.

    :ivar id: unique to this process.
    :ivar host: where it runs, in words for an operator.
    """

    id: UUID
    host: str


class Pace:
    """Waits that end early once all is to stop."""

    def __init__(self, timer: IReactorTime) -> None:
        self._timer = timer
        self._waiting: set[Deferred[None]] = set()
        self.stopped = False

    def sleep(self, seconds: float) -> Deferred[None]:
        """Fires after so many seconds, or when ``stop`` is called."""
        if self.stopped:
            return succeed(None)
        done: Deferred[None] = Deferred()
        call = self._timer.callLater(seconds, done.callback, None)
        self._waiting.add(done)

        def on_done(result: None) -> None:
            self._waiting.discard(done)
            if call.active():
                call.cancel()

        return done.addCallback(on_done)

    def stop(self) -> None:
        """End every wait, now and from now on."""
        self.stopped = True
        for done in list(self._waiting):
            done.callback(None)

    def within(self, answer: Deferred[T], seconds: float) -> Deferred[T]:
        """Give an answer of the cluster a limit: then it fails with ``Unavailable``, and what was asked is unknown."""
        return bounded(
            answer, seconds, self._timer, lambda: Unavailable("The cluster did not answer in time.", applied="unknown")
        )


class Trouble:
    """Says what goes wrong again and again once, and once that it is over."""

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(self) -> None:
        self._failures = 0
        self._waited = 0

    def met(self) -> float:
        """An attempt failed, be it by a word of ours or by a defect, with the exception that is handled now.

        :return: seconds to wait before the next.
        """
        failure = Failure()
        self._failures += 1
        if self._failures == 1 and isinstance(failure.value, QueueyError):
            self._log.warn("cluster-silent", "what a front end keeps in the cluster: {error}", error=failure.value)
        elif self._failures == 1:
            self._log.failure("front-end-defect", "what a front end keeps in the cluster", failure)
        self._waited += 1
        return growing(SHORTEST, self._waited - 1, LONGEST)

    def afresh(self) -> None:
        """What is attempted from now on is something else: wait for short times again."""
        self._waited = 0

    def over(self) -> None:
        """An attempt came through."""
        self.afresh()
        if self._failures:
            self._log.info("cluster-answers", "after {failures} failed attempts", failures=self._failures)
        self._failures = 0


@attrs.frozen
class Peer:
    """Another front end, as its row tells.

    :ivar clock: what its own clock showed when it wrote the row.
    """

    id: UUID
    host: str
    mode: str
    clock: Ticks


class Presence:
    """The rows by which front ends know of each other.

    :param mode: ``ONE`` or ``MANY``.
    :ivar id: of our own row.
    """

    def __init__(self, session: ICQLSession, keyspace: str, identity: Identity, mode: str, pace: Pace) -> None:
        self._session = session
        self.id = identity.id
        self._identity = identity
        self._mode = mode
        self._pace = pace
        self._started: Ticks | None = None
        table = f"{keyspace}.frontends"
        self._insert = Statement(
            f"INSERT INTO {table} (k, id, host, mode, clock, started) VALUES (?, ?, ?, ?, ?, ?)", Kind.WRITE
        )
        self._delete = Statement(f"DELETE FROM {table} WHERE k = ? AND id = ?", Kind.WRITE)
        self._select = Statement(f"SELECT id, host, mode, clock FROM {table} WHERE k = ? LIMIT 1000", Kind.READ)

    async def announce(self, now: Ticks) -> None:
        """Say that we are here."""
        if self._started is None:
            self._started = now
        me = self._identity
        values = ("frontend", me.id, me.host, self._mode, now, self._started)
        await self._pace.within(self._session.execute(self._insert, values, Level.QUORUM), WRITE_LIMIT)

    async def withdraw(self) -> None:
        """Say that we are not here any more."""
        values = ("frontend", self._identity.id)
        await self._pace.within(self._session.execute(self._delete, values, Level.QUORUM), WRITE_LIMIT)

    async def others(self) -> list[Peer]:
        """Who else is here."""
        rows = await self._pace.within(self._session.execute(self._select, ("frontend",), Level.QUORUM), READ_LIMIT)
        return [Peer(id, host, mode, Ticks(clock)) for id, host, mode, clock in rows if id != self._identity.id]


class Keeper:
    """What both kinds of front ends do alike; see Times.

    :param rules: what decides.
    :param mode: ``ONE`` or ``MANY``.
    :param timer: whose timers it uses.
    :ivar pace: of everything that the front end does by itself.
    :ivar tenure: see Times.
    :ivar metrics: what is counted of all this.
    """

    def __init__(
        self,
        rules: FrontEnd,
        session: ICQLSession,
        keyspace: str,
        identity: Identity,
        mode: str,
        timer: IReactorTime,
        clock: OwnClock,
    ) -> None:
        self.pace = Pace(timer)
        self.tenure = 0
        self._front = rules
        self._clock = clock
        self._presence = Presence(session, keyspace, identity, mode, self.pace)
        self._follower = Follower(clock)
        self._trouble = Trouble()
        self._ready: Deferred[None] = Deferred()
        self._running: list[Deferred[None]] = []
        self._late = Counter("queuey_late_writes_total", "Writes that took too long to be promised.")
        self.metrics: tuple[Metric, ...] = (
            stable_time_age(lambda: rules.age(*clock.read())),
            self._late,
            gauge(
                "queuey_clock_machine_offset_seconds",
                "Seconds by which the clock of the machine is ahead of the time that this front end serves by.",
                lambda: self._follower.ahead,
            ),
        )

    def now(self) -> Ticks:
        """See Times."""
        return self._clock.read()[1]

    def begin(self, wanted: Sequence[StampRequest], slow: bool, weak: bool = False) -> Flight:
        """See Times."""
        return self._front.begin(wanted, slow, *self._clock.read(), weak=weak)

    def landed(self, flight: Flight) -> None:
        """See Times."""
        try:
            self._front.landed(flight, self._clock.read()[0])
        except Unavailable:
            self._late.add()
            raise

    def lost(self, flight: Flight, late: bool = False) -> None:
        """See Times."""
        if late:
            self._late.add()
        self._front.lost(flight, self._clock.read()[0])

    def put(self, id: MessageId) -> None:
        """See Times."""
        self._front.put(id, self.now())

    @property
    def reason(self) -> str | None:
        """See Times."""
        return None if self._front.fit(self._clock.read()[0]) else self._front.why

    def health_problems(self) -> Mapping[str, str]:
        """See Times."""
        reason = self.reason
        return {} if reason is None else {self.lacking(): reason}

    def lacking(self) -> str:
        """What a front end that cannot serve has not got: ``clock`` or ``lease``."""
        raise NotImplementedError

    def start(self) -> Deferred[None]:
        """See Times."""
        self._front.why = "This front end is getting ready."
        self._running = [Deferred.fromCoroutine(part) for part in self.parts()]
        return self._ready

    @deferred
    async def stop(self) -> None:
        """See Times."""
        self._front.rest()
        self._front.why = "This front end is stopping."
        self.pace.stop()
        for running in self._running:
            await running
        await self.leave()
        if self._running and not self._ready.called:
            self._ready.errback(Unavailable(self._front.why))

    def parts(self) -> Sequence[Coroutine[Deferred[Any], Any, None]]:
        """Work that goes on until the pace is stopped; it must not raise."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Tell the cluster that we are gone; must not raise."""
        raise NotImplementedError

    def be_ready(self) -> None:
        """We serve now."""
        if not self._ready.called:
            self._ready.callback(None)
