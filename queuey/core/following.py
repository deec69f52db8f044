"""Metrics that take reads: a background task measures the queues, or groups, that the settings name, in rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from queuey.errors import NoSuchApplication, NoSuchGroup, NoSuchQueue, QueueyError
from queuey.interfaces import IStore
from queuey.model.queues.name_patterns import beginning, literal, matches
from queuey.model.queues.queue import Queue
from queuey.model.telemetry.counts import Labels

RESTS: Final = 9
"""After each read the task pauses this many times as long as the read took, so it loads the store at most a tenth of
the time."""

LONGEST: Final = 30.0
"""Maximum length of a pause, in seconds."""

PAGE: Final = 100
"""Queue names that are read in one page."""

_GONE: Final = (NoSuchApplication, NoSuchQueue, NoSuchGroup)


class _Pattern(Protocol):
    """A pattern that selects queues, or something in them."""

    @property
    def application(self) -> str:
        """The pattern for the name of the application."""

    @property
    def queue(self) -> str:
        """The pattern for the name of the queue."""


T = TypeVar("T")
P = TypeVar("P", bound=_Pattern)
Target = TypeVar("Target")
Value = TypeVar("Value")


class _Stopped(Exception):
    """The task was stopped."""


@attrs.frozen
class Followed(Generic[P]):
    """What is measured.

    :ivar limit: maximum number of targets; those that come first, by the order of the patterns and then by name, are
        measured.
    :ivar every: minimum number of seconds between the starts of two rounds; a round measures each target once.
    """

    patterns: tuple[P, ...]
    limit: int
    every: float


class Rounds(Generic[P, Target, Value]):
    """Measures targets in queues, one after another, again and again. A subclass says what a target is.

    :param applications: fires with the names of all applications, in order.
    :param clock: provides the timers.
    :param followed: returns the current settings of the task.
    :param defect: called with an unexpected exception; the next round starts all the same.
    :ivar left_out: whether the settings name more targets than may be measured.
    """

    def __init__(
        self,
        store: IStore,
        applications: Callable[[], Deferred[tuple[str, ...]]],
        clock: IReactorTime,
        followed: Callable[[], Followed[P]],
        defect: Callable[[Failure], None],
    ) -> None:
        self._store = store
        self._applications = applications
        self._clock = clock
        self._followed = followed
        self._defect = defect
        self._known: dict[Labels, Value] = {}
        self.left_out = False
        self._running = False
        self._resting: tuple[IDelayedCall, Deferred[None]] | None = None

    async def targets(self, queue: Queue, pattern: P) -> Mapping[Labels, Target]:
        """Return the targets in a queue, by their labels. Each read goes through ``look``."""
        raise NotImplementedError

    def measure(self, target: Target) -> Deferred[Value]:
        """Measure a target."""
        raise NotImplementedError

    def known(self, what: Callable[[Value], float]) -> Mapping[Labels, float]:
        """Return a number of each target as it was last measured."""
        return {labels: what(value) for labels, value in self._known.items()}

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
                pass  # the targets cannot be listed now: keep the last values
            except Exception:
                self._defect(Failure())
            await self._rest(began + self._followed().every - self._clock.seconds())

    async def _rest(self, seconds: float) -> None:
        if self._running and seconds > 0:
            rested: Deferred[None] = Deferred()
            self._resting = self._clock.callLater(seconds, rested.callback, None), rested
            await rested
            self._resting = None

    async def look(self, look: Callable[[], Deferred[T]]) -> T:
        """Read from the store, then pause."""
        began = self._clock.seconds()
        try:
            return await look()
        finally:
            await self._rest(min(LONGEST, RESTS * (self._clock.seconds() - began)))
            if not self._running:
                raise _Stopped

    async def _round(self) -> None:
        """Measure each target once, and drop the metrics of those that no longer exist."""
        followed = self._followed()
        found = await self._find(followed)
        self.left_out = len(found) > followed.limit
        seen: set[Labels] = set()
        for labels, target in islice(found.items(), followed.limit):
            try:
                self._known[labels] = await self.look(lambda: self.measure(target))  # noqa: B023
            except _GONE:
                continue
            except QueueyError:
                pass  # it cannot be measured now: keep the last value
            seen.add(labels)
        self._known = {labels: value for labels, value in self._known.items() if labels in seen}

    # Targets that match the patterns

    async def _find(self, followed: Followed[P]) -> dict[Labels, Target]:
        """Return the targets that the patterns match; the result may exceed the limit, so the caller can see that some
        are left out."""
        found: dict[Labels, Target] = {}
        for pattern in followed.patterns:
            for application in await self.look(self._applications):
                if matches(application, pattern.application):
                    await self._find_in(application, pattern, followed.limit, found)
        return found

    async def _find_in(self, application: str, pattern: P, limit: int, found: dict[Labels, Target]) -> None:
        start: str | None = ""
        while start is not None and len(found) <= limit:
            names, start = await self._names(application, pattern.queue, start)
            for queue in await self.look(lambda: self._store.describe(application, names)):  # noqa: B023
                if queue is not None and len(found) <= limit:
                    found.update(await self.targets(queue, pattern))

    async def _names(self, application: str, part: str, start: str) -> tuple[tuple[str, ...], str | None]:
        """Return the matching queue names of one page, and the start of the next page or ``None``."""
        if literal(part):
            return (part,), None
        names = await self.look(lambda: self._store.names(application, start, PAGE, beginning(part)))
        more = f"{names[-1]}\0" if len(names) == PAGE else None
        return tuple(name for name in names if matches(name, part)), more
