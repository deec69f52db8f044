"""Reports of queues for operators: what each holds, how busy it is, and how far its consumer groups are behind.

A report is bounded, whatever the number of queues: it names at most a page of them, looks at a bounded number of names,
and reads for a bounded time. The busiest queues are known without asking the store.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from queuey.core.activity import Activity, Name
from queuey.core.following import LONGEST, RESTS
from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.rows import in_parallel
from queuey.core.groups.values import PartitionLag
from queuey.core.queues import QueueDirectory
from queuey.deferreds import bounded, deferred
from queuey.errors import QueueyError, Unavailable
from queuey.model.groups.settings import Group
from queuey.model.queues.queue import Queue
from queuey.model.reading.depth import Depth

BUDGET: Final = 2.0
"""Seconds for which one report measures queues and groups; what is not measured by then is left out."""

MAX_READS: Final = 50
"""Pages of names that are read for one report."""

MAX_GROUPS: Final = 20
"""Groups of a queue that are shown."""

COUNTED: Final = 1000
"""Undelivered messages of a group that are counted."""

_DESCRIBED: Final = 50
"""Queues that are described at once."""

_MAX_CACHED: Final = 4000

T = TypeVar("T")


class _Measured(Generic[T]):
    """Measurements that took long are used again for ``RESTS`` times as long, so that reports load the store at most a
    tenth of the time, however often operators ask."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._found: dict[Hashable, tuple[float, T]] = {}

    @deferred
    async def get(self, key: Hashable, until: float, measure: Callable[[], Deferred[T]]) -> T | None:
        """Measure something, unless it was measured just now.

        :param until: the time at which to give up.
        :return: fires with ``None`` if it could not be measured in time.
        """
        began = self._clock.seconds()
        good_until, known = self._found.get(key, (0.0, None))
        if began < good_until:
            return known
        if began >= until:
            return None
        try:
            found = await bounded(measure(), until - began, self._clock, lambda: Unavailable("It takes too long."))
        except QueueyError:
            return None
        took = self._clock.seconds() - began
        if len(self._found) >= _MAX_CACHED:
            self._found.clear()
        self._found[key] = self._clock.seconds() + min(LONGEST, RESTS * took), found
        return found


@attrs.frozen
class GroupReport:
    """A consumer group; ``lags`` is ``None`` if there was no time to measure it."""

    group: Group
    lags: tuple[PartitionLag, ...] | None


@attrs.frozen
class QueueReport:
    """A queue.

    :ivar depth: what it holds; ``None`` if there was no time to measure it, as with ``groups``.
    :ivar more_groups: whether there are more groups than are shown.
    """

    queue: Queue
    depth: Depth | None
    groups: tuple[GroupReport, ...] | None
    more_groups: bool


@attrs.frozen
class Place:
    """Where a report goes on.

    :ivar busiest: how many of the busiest queues were reported already; ``None`` if these are over.
    :ivar after: the name after which the listing goes on.
    """

    busiest: int | None = None
    after: Name = ("", "")


@attrs.frozen
class Report:
    """A page of queues, and where the next page begins (``None`` after the last one)."""

    queues: tuple[QueueReport, ...]
    next: Place | None


@attrs.frozen
class Asked:
    """Which queues are reported.

    :ivar application: of which; ``None``: of all.
    :ivar prefix: the beginning of their names.
    :ivar kind: of messages, by whose rate they are sorted; ``None``: by name.
    """

    application: str | None
    prefix: str
    kind: int | None
    limit: int

    def has(self, name: Name) -> bool:
        """Return whether a queue is one of them."""
        return self.application in (None, name[0]) and name[1].startswith(self.prefix)


class QueueReports:
    """Reports of queues.

    :param activity: how busy queues are; ``None`` if that is not counted.
    :param applications: returns the names of all applications, in order.
    """

    def __init__(
        self,
        directory: QueueDirectory,
        groups: GroupExchange,
        activity: Activity | None,
        applications: Callable[[], Deferred[tuple[str, ...]]],
        clock: IReactorTime,
    ) -> None:
        self._directory = directory
        self._groups = groups
        self._activity = activity
        self._applications = applications
        self._clock = clock
        self._depths = _Measured[Depth](clock)
        self._named = _Measured[tuple[Group, ...]](clock)
        self._lags = _Measured[tuple[PartitionLag, ...]](clock)

    @deferred
    async def report(self, asked: Asked, place: Place) -> Report:
        """Report a page of queues: the busiest first, and then the others by name; or all by name.

        A queue that is removed meanwhile is left out; one that becomes busy, or idle, between two pages may be missing
        or come twice.

        :return: fails with ``Unavailable``.
        """
        until = self._clock.seconds() + BUDGET
        found: list[Queue] = []
        busiest = self._busiest(asked)
        if place.busiest is not None:
            first = place.busiest
            while first < len(busiest) and len(found) < asked.limit:
                some = busiest[first : first + asked.limit - len(found)]
                first += len(some)
                found += await self._described(some)
            place = Place(first) if first < len(busiest) else Place()
        next: Place | None = place
        if place.busiest is None:
            next = await self._list(asked, place.after, frozenset(busiest), found)
        return Report(tuple(await in_parallel(found, lambda queue: self._look(queue, until))), next)

    def _busiest(self, asked: Asked) -> list[Name]:
        if self._activity is None or asked.kind is None:
            return []
        return self._activity.busiest(asked.kind, asked.has)

    # The listing by name

    async def _list(self, asked: Asked, after: Name, without: frozenset[Name], found: list[Queue]) -> Place | None:
        """Add queues in the order of their names until the page is full; return where the next page goes on."""
        if asked.application is None:
            applications = [name for name in await self._applications() if name >= after[0]]
        else:
            applications = [asked.application]
        reads = 0
        for application in applications:
            last = after[1] if application == after[0] else ""
            while reads < MAX_READS:
                room = asked.limit - len(found)
                # If the page is full, one more name shows whether there is another page.
                names = await self._names(application, asked, last, min(_DESCRIBED, max(1, room)))
                reads += 1
                new = [each for each in names if each not in without]
                if new and not room:
                    return Place(None, (application, last))
                found += await self._described(new)
                if not names:
                    break
                last = names[-1][1]
            else:
                return Place(None, (application, last))
        return None

    async def _names(self, application: str, asked: Asked, last: str, limit: int) -> list[Name]:
        store = self._directory.store
        names = await store.names(application, last and f"{last}\0", limit, asked.prefix)
        return [(application, name) for name in names]

    async def _described(self, names: Sequence[Name]) -> list[Queue]:
        """Return those queues that exist, in the same order."""
        by_application: dict[str, list[str]] = {}
        for application, name in names:
            by_application.setdefault(application, []).append(name)
        there: dict[Name, Queue] = {}
        for application, some in by_application.items():
            for queue in await self._directory.store.describe(application, some):
                if queue is not None:
                    there[application, queue.name] = queue
        return [there[name] for name in names if name in there]

    # What is measured

    @deferred
    async def _look(self, queue: Queue, until: float) -> QueueReport:
        depth = await self._depths.get(queue.incarnation, until, lambda: self._directory.depth(queue))
        names = await self._named.get(queue.incarnation, until, lambda: self._groups.names(queue))
        if names is None:
            return QueueReport(queue, depth, None, more_groups=False)
        groups = await in_parallel(names[:MAX_GROUPS], lambda group: self._lag(queue, group, until))
        return QueueReport(queue, depth, tuple(groups), more_groups=len(names) > MAX_GROUPS)

    @deferred
    async def _lag(self, queue: Queue, group: Group, until: float) -> GroupReport:
        lags: Any = await self._lags.get(group.gid, until, lambda: self._groups.lag(queue, group, COUNTED))
        return GroupReport(group, lags)
