"""Consumer lag metrics: a background task measures the lag of the groups that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from queuey.core.following import Followed, Rounds
from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import PartitionLag
from queuey.interfaces import IStore
from queuey.model.groups.settings import Group
from queuey.model.queues.name_patterns import GroupPattern, matches
from queuey.model.queues.queue import Queue
from queuey.model.telemetry.counts import Gauge, Labels, Metric, gauge
from queuey.model.timeid import SECOND, Ticks, ticks_of

Target = tuple[Queue, Group]


@attrs.frozen
class Behind:
    """The lag of a group when it was last measured.

    :ivar messages: number of unsettled messages; a lower bound if the group is far behind.
    :ivar oldest: age of the oldest of them in seconds; 0 if there is none.
    """

    messages: int
    oldest: float


class Following(Rounds[GroupPattern, Target, Behind]):
    """Measures the lag of groups, one after another; see ``Rounds`` for the other parameters.

    :param now: the wall clock.
    :ivar metrics: the metrics that it provides.
    """

    def __init__(
        self,
        store: IStore,
        exchange: GroupExchange,
        applications: Callable[[], Deferred[tuple[str, ...]]],
        clock: IReactorTime,
        now: Callable[[], Ticks],
        followed: Callable[[], Followed[GroupPattern]],
        defect: Callable[[Failure], None],
    ) -> None:
        super().__init__(store, applications, clock, followed, defect)
        self._exchange = exchange
        self._now = now
        labels = ("application", "queue", "group")
        self.metrics: tuple[Metric, ...] = (
            Gauge(
                "queuey_group_lag_messages",
                "Messages that a followed group has not settled. Counting stops at 10,000 messages or 4 MiB.",
                labels,
                lambda: self.known(lambda behind: behind.messages),
            ),
            Gauge(
                "queuey_group_oldest_unsettled_seconds",
                "Age of the oldest message that a followed group has not settled; 0 if there is none.",
                labels,
                lambda: self.known(lambda behind: behind.oldest),
            ),
            gauge(
                "queuey_groups_left_out",
                "Whether the settings name more groups than may be followed.",
                lambda: self.left_out,
            ),
        )

    async def targets(self, queue: Queue, pattern: GroupPattern) -> Mapping[Labels, Target]:
        """See ``Rounds``: groups of the queue."""
        names = await self.look(lambda: self._exchange.names(queue))
        found = [group for group in names if matches(group.name, pattern.group)]
        return {(queue.application, queue.name, group.name): (queue, group) for group in found}

    def measure(self, target: Target) -> Deferred[Behind]:
        """See ``Rounds``."""
        return self._exchange.lag(*target).addCallback(self._summed)

    def _summed(self, partitions: Sequence[PartitionLag]) -> Behind:
        oldest = min((ticks_of(each.oldest) for each in partitions if each.oldest is not None), default=None)
        age = 0.0 if oldest is None else max(0.0, (self._now() - oldest) / SECOND)
        return Behind(sum(each.behind for each in partitions), age)
