"""All live reads of this process: their limits, their times and their numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from queuey.core.deadlines import Deadlines
from queuey.core.live.source import Source
from queuey.core.live.stream import LiveStream
from queuey.core.live.tail import Tail
from queuey.core.wait_limits import WaitLimits
from queuey.deferreds import TurnQueue, deferred
from queuey.errors import Unavailable
from queuey.model.telemetry.counts import Counter

SHARE: Final = 40
"""The part of ``live_time`` over which clients come back whose streams have lasted as long as they may."""

_RETRY: Final = (2000, 4000)
"""Milliseconds after which a client comes back whose connection was cut: a number between these."""

LEAST_RETRY: Final = 500
MOST_RETRY: Final = 15_000
"""Milliseconds after which a client comes back whose stream was ended: a number between these, as time allows."""

_PAUSE: Final = (1.0, 3.0)
"""Seconds until a look is repeated that the store did not answer: a number between these."""


@attrs.frozen
class LiveTimes:
    """Times in seconds, as the settings have them.

    :ivar live_time: for how long a stream lasts.
    :ivar heartbeat: between two heartbeats.
    :ivar stalled: for how long a client may take no byte.
    """

    live_time: float
    heartbeat: float
    stalled: float


class LiveReads:
    """All live reads.

    :ivar clock: whose timers are used.
    :ivar turns: gives out turns of the reactor.
    :ivar limits: limits how many there may be.
    :ivar random: returns a number between two.
    :ivar ending: whether all streams end.
    :ivar events: counts messages that were sent, by application; ``ends``: streams that have ended, by the reason.
    """

    def __init__(
        self,
        clock: IReactorTime,
        times: Callable[[], LiveTimes],
        random: Callable[[float, float], float],
        log: Callable[[Failure], None],
    ) -> None:
        """
        :param times: those in force.
        :param random: returns a number between two.
        :param log: logs a defect that ends a stream.
        """
        self.clock = clock
        self.turns = TurnQueue(clock)
        self.limits = WaitLimits("max_live", "max_queue_live", "read live")
        self.ending = False
        self.events = Counter("queuey_live_events_total", "Messages that were sent to live reads.", ("application",))
        self.ends = Counter("queuey_live_ends_total", "Live reads that have ended, by the reason.", ("reason",))
        self._times = times
        self.random = random
        self._log = log
        self._deadlines = Deadlines(clock)
        self._streams: dict[LiveStream, None] = {}
        self._tails: dict[object, Tail] = {}

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def streams(self) -> tuple[LiveStream, ...]:
        """All streams."""
        return tuple(self._streams)

    def tail(self, source: Source) -> Tail:
        """Return the tail of a source: the one that other streams of it share, or a new one. The tail uses its source
        until the last stream has ended, and the given one is not used if there was another."""
        found = self._tails.get(source.key)
        if found is None:
            found = self._tails[source.key] = Tail(self, source)
        else:
            source.close()
        return found

    def forget(self, tail: Tail) -> None:
        """Forget a tail that no stream uses any more."""
        if self._tails.pop(tail.source.key, None) is not None:
            tail.source.close()

    def add(self, stream: LiveStream) -> None:
        """Watch one more stream."""
        self._streams[stream] = None
        self._deadlines.add(stream, stream.first_deadline())

    def remove(self, stream: LiveStream, reason: str) -> None:
        """Forget a stream that has ended."""
        self._streams.pop(stream, None)
        self._deadlines.remove(stream)
        self.limits.leave(stream.application, stream.queue)
        self.ends.add((reason,))

    def schedule(self, stream: LiveStream, when: float) -> None:
        """Call ``stream.expire()`` at a time of the clock."""
        self._deadlines.remove(stream)
        self._deadlines.add(stream, when)

    @deferred
    async def leave(self, spread: float) -> None:
        """End all streams because this front end is about to stop, or is drained, a few in each turn of the reactor.

        :param spread: seconds over which their clients should come back.
        :return: fires when all are ended.
        """
        for number, stream in enumerate(list(self._streams), 1):
            stream.end("stop", spread)
            if number % _AT_ONCE == 0:
                await self.turns.next()

    def stop(self, spread: float) -> None:
        """End all streams for good: those that come from now on end at once."""
        self.ending = True
        self.leave(spread)

    # Times

    def lifetime(self) -> float:
        """Seconds that a new stream lasts: not all of them as long, so that they do not end together."""
        return self._times().live_time * self.random(0.9, 1.1)

    @property
    def spread(self) -> float:
        """Seconds over which clients come back whose streams have lasted as long as they may."""
        return self._times().live_time / SHARE

    @property
    def heartbeat(self) -> float:
        """Seconds between two heartbeats."""
        return self._times().heartbeat

    def first_retry(self) -> int:
        """Milliseconds after which a client comes back whose connection is cut."""
        return round(self.random(*_RETRY))

    def last_retry(self, spread: float) -> int:
        """Milliseconds after which a client comes back whose stream ends now."""
        most = min(MOST_RETRY, max(LEAST_RETRY, spread * 1000))
        return round(self.random(LEAST_RETRY, most))

    def pause(self) -> Deferred[None]:
        """Wait until it is worth to ask a store again that does not answer."""
        return deferLater(self.clock, self.random(*_PAUSE))

    def is_slow(self, blocked_for: float) -> bool:
        """Return whether a client was cut because it read no byte for too long."""
        return blocked_for >= self._times().stalled

    def defect(self, failure: Failure) -> Unavailable:
        """Log a defect of a stream; return the error that is sent to its client."""
        self._log(failure)
        return Unavailable("Something went wrong here; the log has it.")


_AT_ONCE: Final = 100
"""Streams that are ended in one turn of the reactor."""
