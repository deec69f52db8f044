"""The common part of both implementations of :class:`Times`: starting, stopping, ids, writes in flight, metrics.

``lease`` (one front end) and ``clocks`` (many) implement the rest. The rules are in ``queuey.model.stable_time``.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.model.stable_time.stable import FrontEnd
from queuey.model.stable_time.stamps import Flight, StampRequest
from queuey.model.telemetry.counts import Counter, Metric, gauge
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.cassandra.cluster.port import ICQLSession
from queuey.storage.cassandra.times.machine_clock import Follower, OwnClock
from queuey.storage.cassandra.times.presence import Identity, Presence
from queuey.storage.cassandra.times.retrying import Pace, Trouble
from queuey.storage.gauges import stable_time_age

ONE: Final = "one"
MANY: Final = "many"


ROW: Final = 5.0
"""Seconds between two writes of the row in ``frontends``, which lives for 30."""


class TimesBase:
    """Base class of both kinds of front ends; see Times.

    :param rules: decides when ids may be made and what readers see.
    :param mode: ``ONE`` or ``MANY``.
    :param timer: whose timers it uses.
    :ivar pace: of everything that the front end does by itself.
    :ivar tenure: see Times.
    :ivar metrics: the metrics of all this.
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
        self._late = Counter("queuey_late_writes_total", "Writes that took too long and were answered with an error.")
        self.metrics: tuple[Metric, ...] = (
            stable_time_age(lambda: rules.age(*clock.read())),
            self._late,
            gauge(
                "queuey_clock_machine_offset_seconds",
                "Seconds by which the clock of the machine is ahead of the clock of this front end.",
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
        """Return the subject of the problem of a front end that cannot serve: ``clock`` or ``lease``."""
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
        """The periodic work, until the pace is stopped; it must not raise."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Tell the cluster that this front end has left; must not raise."""
        raise NotImplementedError

    def be_ready(self) -> None:
        """We serve now."""
        if not self._ready.called:
            self._ready.callback(None)
