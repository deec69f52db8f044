"""How far some groups are behind, looked at again and again in the background, for whoever watches over them."""

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
"""How many times as long as it took a look is followed by a rest: so the store is at work for this a tenth of the time
at the most."""

LONGEST: Final = 30.0
"""Seconds that a rest takes at the most."""

PAGE: Final = 100
"""Queues that are asked for at once."""

T = TypeVar("T")
Found = dict[Labels, tuple[Queue, Group]]


class _Stopped(Exception):
    """Nobody wants to know any more."""


_GONE: Final = (NoSuchApplication, NoSuchQueue, NoSuchGroup)


@attrs.frozen
class Followed:
    """Which groups are followed.

    :ivar limit: how many at the most; those that come first by the order of the patterns and of their names.
    :ivar every: seconds from the begin of a round, which looks at each once, to that of the next one at the least.
    """

    patterns: tuple[GroupPattern, ...]
    limit: int
    every: float


@attrs.frozen
class Behind:
    """Where a group was when it was looked at.

    :ivar messages: that are not settled; at least so many, where it is far behind.
    :ivar oldest: seconds since the oldest of them was posted; 0 where there is none.
    """

    messages: int
    oldest: float


class Following:
    """Looks at groups, one after another.

    :param applications: fires with the names of all applications, in order.
    :param clock: whose timers it uses.
    :param now: the wall clock.
    :param followed: which groups, as it is now.
    :param defect: is told of what is no word of ours; the next round is made all the same.
    :ivar metrics: what is known of them.
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
                "Messages that a followed group has not settled; at least so many, where they are 10,000 or 4 MiB.",
                labels,
                lambda: self._told(lambda behind: behind.messages),
            ),
            Gauge(
                "queuey_group_oldest_unsettled_seconds",
                "Age of the oldest message that a followed group has not settled; 0 where there is none.",
                labels,
                lambda: self._told(lambda behind: behind.oldest),
            ),
            gauge(
                "queuey_groups_left_out",
                "Whether more groups are to be followed than may be.",
                lambda: self._left_out,
            ),
        )

    def _told(self, what: Callable[[Behind], float]) -> Mapping[Labels, float]:
        return {labels: what(behind) for labels, behind in self._known.items()}

    def start(self) -> None:
        """Begin with the first round."""
        self._running = True
        Deferred.fromCoroutine(self._run()).addErrback(self._defect)

    def stop(self) -> None:
        """Look at nothing any more; a look that is under way comes to nothing."""
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
                pass  # nobody knows which groups there are: what was known is told until somebody does
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
        """Ask for something, and rest."""
        began = self._clock.seconds()
        try:
            return await look()
        finally:
            await self._rest(min(LONGEST, RESTS * (self._clock.seconds() - began)))
            if not self._running:
                raise _Stopped

    async def _round(self) -> None:
        """Look at each group once, and forget those that are no more."""
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
                pass  # it cannot be looked at now: what was known of it is told until it can
            seen.add(labels)
        self._known = {labels: behind for labels, behind in self._known.items() if labels in seen}

    def _behind(self, queue: Queue, group: Group) -> Deferred[Behind]:
        return self._exchange.lag(queue, group).addCallback(self._summed)

    def _summed(self, partitions: Sequence[PartitionLag]) -> Behind:
        oldest = min((ticks_of(each.oldest) for each in partitions if each.oldest is not None), default=None)
        age = 0.0 if oldest is None else max(0.0, (self._now() - oldest) / SECOND)
        return Behind(sum(each.behind for each in partitions), age)

    # Which groups there are

    async def _find(self, followed: Followed) -> Found:
        """The groups that are meant; where there are more than may be followed, some of those too."""
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
        """The names of queues that are meant, of a page; and where the next one starts, if there is one."""
        if literal(part):
            return (part,), None
        names = await self._look(lambda: self._store.names(application, start, PAGE, beginning(part)))
        more = f"{names[-1]}\0" if len(names) == PAGE else None
        return tuple(name for name in names if matches(name, part)), more
