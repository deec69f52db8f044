"""Consumer lag metrics: a background task measures the lag of the groups that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import PartitionLag
from queuey.errors import NoSuchApplication, NoSuchGroup, NoSuchQueue, QueueyError
from queuey.interfaces import IStore
from queuey.model.counts import Gauge, Labels, Metric, gauge
from queuey.model.group_pattern import GroupPattern, beginning, literal, matches
from queuey.model.group_settings import Group
from queuey.model.queue import Queue
from queuey.model.timeid import SECOND, Ticks, ticks_of

RESTS: Final = 9
"""After each read the task pauses this many times as long as the read took, so it loads the store at most a tenth of
the time."""

LONGEST: Final = 30.0
"""Maximum length of a pause, in seconds."""

PAGE: Final = 100
"""Queue names that are read in one page."""

T = TypeVar("T")
Found = dict[Labels, tuple[Queue, Group]]


class _Stopped(Exception):
    """The task was stopped."""


_GONE: Final = (NoSuchApplication, NoSuchQueue, NoSuchGroup)


@attrs.frozen
class Followed:
    """Which groups are measured.

    :ivar limit: maximum number of groups; those that come first, by the order of the patterns and then by name, are
        measured.
    :ivar every: minimum number of seconds between the starts of two rounds; a round measures each group once.
    """

    patterns: tuple[GroupPattern, ...]
    limit: int
    every: float


@attrs.frozen
class Behind:
    """The lag of a group when it was last measured.

    :ivar messages: number of unsettled messages; a lower bound if the group is far behind.
    :ivar oldest: age of the oldest of them in seconds; 0 if there is none.
    """

    messages: int
    oldest: float


class Following:
    """Measures the lag of groups, one after another.

    :param applications: fires with the names of all applications, in order.
    :param clock: provides the timers.
    :param now: the wall clock.
    :param followed: returns the current settings of the task.
    :param defect: called with an unexpected exception; the next round starts all the same.
    :ivar metrics: the metrics that it provides.
    """

    def __init__(
        self,
        store: IStore,
        exchange: GroupExchange,
        applications: Callable[[], Deferred[tuple[str, ...]]],
        clock: IReactorTime,
        now: Callable[[], Ticks],
        followed: Callable[[], Followed],
        defect: Callable[[Failure], None],
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._applications = applications
        self._clock = clock
        self._now = now
        self._followed = followed
        self._defect = defect
        self._known: dict[Labels, Behind] = {}
        self._left_out = False
        self._running = False
        self._resting: tuple[IDelayedCall, Deferred[None]] | None = None
        labels = ("application", "queue", "group")
        self.metrics: tuple[Metric, ...] = (
            Gauge(
                "queuey_group_lag_messages",
                "Messages that a followed group has not settled. Counting stops at 10,000 messages or 4 MiB.",
                labels,
                lambda: self._told(lambda behind: behind.messages),
            ),
            Gauge(
                "queuey_group_oldest_unsettled_seconds",
                "Age of the oldest message that a followed group has not settled; 0 if there is none.",
                labels,
                lambda: self._told(lambda behind: behind.oldest),
            ),
            gauge(
                "queuey_groups_left_out",
                "Whether the settings name more groups than may be followed.",
                lambda: self._left_out,
            ),
        )

    def _told(self, what: Callable[[Behind], float]) -> Mapping[Labels, float]:
        return {labels: what(behind) for labels, behind in self._known.items()}

    def start(self) -> None:
        """Start the first round."""
        self._running = True
        Deferred.fromCoroutine(self._run()).addErrback(self._defect)

    def stop(self) -> None:
        """Stop measuring, and discard the result of a read that is under way."""
        self._running = False
        if self._resting is not None:
            timer, rested = self._resting
            timer.cancel()
            rested.callback(None)

    async def _run(self) -> None:
        while self._running:
            began = self._clock.seconds()
            try:
                await self._round()
            except _Stopped:
                return
            except QueueyError:
                pass  # the groups cannot be listed now: keep the last values
            except Exception:
                self._defect(Failure())
            await self._rest(began + self._followed().every - self._clock.seconds())

    async def _rest(self, seconds: float) -> None:
        if self._running and seconds > 0:
            rested: Deferred[None] = Deferred()
            self._resting = self._clock.callLater(seconds, rested.callback, None), rested
            await rested
            self._resting = None

    async def _look(self, look: Callable[[], Deferred[T]]) -> T:
        """Read from the store, then pause."""
        began = self._clock.seconds()
        try:
            return await look()
        finally:
            await self._rest(min(LONGEST, RESTS * (self._clock.seconds() - began)))
            if not self._running:
                raise _Stopped

    async def _round(self) -> None:
        """Measure each group once, and drop the metrics of groups that no longer exist."""
        followed = self._followed()
        found = await self._find(followed)
        self._left_out = len(found) > followed.limit
        seen: set[Labels] = set()
        for labels, (queue, group) in islice(found.items(), followed.limit):
            try:
                self._known[labels] = await self._look(lambda: self._behind(queue, group))  # noqa: B023
            except _GONE:
                continue
            except QueueyError:
                pass  # it cannot be measured now: keep the last value
            seen.add(labels)
        self._known = {labels: behind for labels, behind in self._known.items() if labels in seen}

    def _behind(self, queue: Queue, group: Group) -> Deferred[Behind]:
        return self._exchange.lag(queue, group).addCallback(self._summed)

    def _summed(self, partitions: Sequence[PartitionLag]) -> Behind:
        oldest = min((ticks_of(each.oldest) for each in partitions if each.oldest is not None), default=None)
        age = 0.0 if oldest is None else max(0.0, (self._now() - oldest) / SECOND)
        return Behind(sum(each.behind for each in partitions), age)

    # Groups that match the patterns

    async def _find(self, followed: Followed) -> Found:
        """Return the groups that the patterns match; the result may exceed the limit, so the caller can see that groups
        are left out."""
        found: Found = {}
        for pattern in followed.patterns:
            for application in await self._look(self._applications):
                if matches(application, pattern.application):
                    await self._find_in(application, pattern, followed.limit, found)
        return found

    async def _find_in(self, application: str, pattern: GroupPattern, limit: int, found: Found) -> None:
        start: str | None = ""
        while start is not None and len(found) <= limit:
            names, start = await self._names(application, pattern.queue, start)
            for queue in await self._look(lambda: self._store.describe(application, names)):  # noqa: B023
                if queue is not None and len(found) <= limit:
                    for group in await self._look(lambda: self._exchange.names(queue)):  # noqa: B023
                        if matches(group.name, pattern.group):
                            found[application, queue.name, group.name] = queue, group

    async def _names(self, application: str, part: str, start: str) -> tuple[tuple[str, ...], str | None]:
        """Return the matching queue names of one page, and the start of the next page or ``None``."""
        if literal(part):
            return (part,), None
        names = await self._look(lambda: self._store.names(application, start, PAGE, beginning(part)))
        more = f"{names[-1]}\0" if len(names) == PAGE else None
        return tuple(name for name in names if matches(name, part)), more
