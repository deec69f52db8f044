"""Metrics of what queues hold: a background task measures the queues that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from queuey.core.following import Followed, Rounds
from queuey.interfaces import IStore
from queuey.model.queues.name_patterns import QueuePattern
from queuey.model.queues.queue import Queue
from queuey.model.reading.depth import Depth
from queuey.model.telemetry.counts import Gauge, Labels, Metric, gauge
from queuey.model.timeid import SECOND, Ticks


@attrs.frozen
class Holding:
    """What a queue held when it was last measured.

    :ivar oldest: age of the oldest message that readers saw, in seconds; 0 if they saw none.
    """

    messages: int
    bytes: int
    oldest: float


class QueueFollowing(Rounds[QueuePattern, Queue, Holding]):
    """Measures queues, one after another; see ``Rounds`` for the other parameters.

    :param depth: finds out what a queue holds.
    :param now: the wall clock.
    :ivar metrics: the metrics that it provides.
    """

    def __init__(
        self,
        store: IStore,
        depth: Callable[[Queue], Deferred[Depth]],
        applications: Callable[[], Deferred[tuple[str, ...]]],
        clock: IReactorTime,
        now: Callable[[], Ticks],
        followed: Callable[[], Followed[QueuePattern]],
        defect: Callable[[Failure], None],
    ) -> None:
        super().__init__(store, applications, clock, followed, defect)
        self._depth = depth
        self._now = now
        labels = ("application", "queue")
        self.metrics: tuple[Metric, ...] = (
            Gauge(
                "queuey_queue_messages",
                "Messages that a followed queue holds, delayed ones included. On Cassandra, counting stops at 100,000.",
                labels,
                lambda: self.known(lambda holding: holding.messages),
            ),
            Gauge(
                "queuey_queue_bytes",
                "Bytes of the messages that a followed queue holds; an estimate if an exact number would cost much.",
                labels,
                lambda: self.known(lambda holding: holding.bytes),
            ),
            Gauge(
                "queuey_queue_oldest_seconds",
                "Age of the oldest message that a followed queue holds; 0 if readers see none.",
                labels,
                lambda: self.known(lambda holding: holding.oldest),
            ),
            gauge(
                "queuey_queues_left_out",
                "Whether the settings name more queues than may be followed.",
                lambda: self.left_out,
            ),
        )

    async def targets(self, queue: Queue, pattern: QueuePattern) -> Mapping[Labels, Queue]:
        """See ``Rounds``: the queue itself."""
        return {(queue.application, queue.name): queue}

    def measure(self, target: Queue) -> Deferred[Holding]:
        """See ``Rounds``."""
        return self._depth(target).addCallback(self._holding)

    def _holding(self, depth: Depth) -> Holding:
        age = 0.0 if depth.oldest is None else max(0.0, (self._now() - depth.oldest) / SECOND)
        return Holding(depth.messages, depth.bytes, age)
