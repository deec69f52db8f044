"""Runs all pushes that this process owns, and stops those that it no longer owns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from queuey.core.groups.rows import AT_ONCE, in_parallel
from queuey.core.pushes.registry import PushRegistry
from queuey.core.pushes.runner import PushRunner
from queuey.core.pushes.senders import BEAT, Senders
from queuey.core.pushes.values import PushMeans
from queuey.core.rounds import Rounds
from queuey.deferreds import deferred
from queuey.errors import NoSuchApplication, NoSuchGroup, NoSuchQueue, QueueyError
from queuey.model.pushes.places import PushPlace
from queuey.model.telemetry.counts import Counter, Gauge, Labels, Metric, gauge

EVERY: Final = 1.0
"""Seconds between two looks at the registry."""

SOON: Final = 0.1
"""Seconds until that look after this process has changed a push; changes that come meanwhile share it."""

MAX_STARTS: Final = 100
"""Pushes that begin in the same second: each of them looks for its group and for messages."""

MAX_TURN: Final = 1000
"""Pushes that are shared out in one turn of the reactor."""

MAX_LOOKS: Final = 100
"""Looks of idle pushes a second, of this process, on a store that does not report every arrival. With more idle pushes
each of them looks less often."""


class PushEngine:
    """Runs pushes.

    :param wanted: fires with whether any application may have pushes; if not, nothing is read or written.
    :ivar metrics: the metrics that it provides.
    """

    def __init__(
        self,
        means: PushMeans,
        registry: PushRegistry,
        senders: Senders,
        wanted: Callable[[], Deferred[bool]],
    ) -> None:
        self._wanted = wanted
        self._means = means
        self._registry = registry
        self._senders = senders
        self._defect = means.defect
        self._runners: dict[PushPlace, PushRunner] = {}
        self._leaving: dict[PushPlace, Deferred[None]] = {}
        self._rounds = Rounds(means.clock, self._one_round, EVERY, means.defect)
        self._dropping: Deferred[None] | None = None
        self._again: set[PushPlace] = set()
        self._gone: set[PushPlace] = set()
        self._next_beat = 0.0
        self._shared_among: frozenset[str] = frozenset()
        self._attempts = Counter(
            "queuey_push_attempts_total",
            "Requests of pushes, by what became of their messages: ack, retry, reject or pause.",
            ("application", "verdict"),
        )
        self.metrics: tuple[Metric, ...] = (
            self._attempts,
            gauge("queuey_pushes", "Pushes that this process sends.", lambda: len(self._runners)),
            gauge(
                "queuey_push_requests",
                "Requests of pushes that are under way.",
                lambda: self.busy,
            ),
            Gauge(
                "queuey_pushes_failing",
                "Pushes whose endpoints have failed ten times in a row or more.",
                ("application",),
                self._failing,
            ),
        )

    def _failing(self) -> Mapping[Labels, float]:
        found: dict[Labels, float] = {}
        for place, runner in self._runners.items():
            if runner.circuit.open:
                found[(place.application,)] = found.get((place.application,), 0) + 1
        return found

    @property
    def busy(self) -> int:
        """Number of requests that are under way."""
        return sum(one.busy for one in self._runners.values())

    def start(self) -> None:
        """Begin."""
        self._rounds.start()

    def look(self, place: PushPlace) -> None:
        """Look at a push soon, because this process has changed it."""
        runner = self._runners.get(place)
        if runner is not None:
            runner.look()
        self._rounds.soon(SOON)

    @deferred
    async def stop(self) -> None:
        """Claim no more messages, finish the requests that are under way, and let others take over."""
        last_round = self._rounds.stop()
        ending = [runner.stop() for runner in self._runners.values()]
        self._runners.clear()
        await last_round
        if self._dropping is not None:
            await self._dropping
        await DeferredList([*ending, *self._leaving.values()], consumeErrors=True)
        await self._senders.leave()

    async def _one_round(self) -> None:
        if not self._runners and not await self._wanted():
            return
        now = self._means.clock.seconds()
        if now >= self._next_beat:
            self._next_beat = now + BEAT
            await self._senders.beat()
        changed = await self._registry.refresh()
        living = self._senders.living
        self._leave_gone()
        for place in changed & self._runners.keys():
            self._runners[place].look()
        some: frozenset[PushPlace] = changed | self._again
        self._again = set()
        if living != self._shared_among:
            some = self._registry.known | self._runners.keys()
        try:
            await self._share(some, living)
        except BaseException:
            self._again.update(some)
            raise
        self._shared_among = living

    def _leave_gone(self) -> None:
        """Let go of pushes that do not exist any more, and remove them from the registry in the background: many may
        end together with their queue, and beats must not wait for that."""
        gone = [place for place, runner in self._runners.items() if runner.gone]
        for place in gone:
            self._leave(place, self._runners[place])
        self._gone.update(gone)
        if self._gone and self._dropping is None and not self._rounds.stopping:
            dropping = self._drop_gone()
            self._dropping = None if dropping.called else dropping

    @deferred
    async def _drop_gone(self) -> None:
        """Remove pushes from the registry; those that exist after all are started again."""
        try:
            while self._gone and not self._rounds.stopping:
                some = [self._gone.pop() for _ in range(min(AT_ONCE, len(self._gone)))]
                await in_parallel(some, lambda place: self._registry.drop(place, self._exists))
                self._again.update(some)
        except QueueyError:
            self._again.update(some)  # their runners notice again that they are gone
        except Exception:
            self._defect(Failure())
        finally:
            self._dropping = None

    async def _share(self, places: Collection[PushPlace], living: frozenset[str]) -> None:
        """Start the pushes that are ours, and stop those that are not.

        :param places: those that may have to be started or stopped.
        """
        started = 0
        for number, place in enumerate(places, 1):
            if not number % MAX_TURN:
                await deferLater(self._means.clock, 0)
            if self._rounds.stopping:
                return
            runner = self._runners.get(place)
            if self._registry.lists(place) and self._senders.owns(place, living):
                if place in self._leaving:
                    self._again.add(place)  # its last requests are under way; look again in the next round
                elif runner is None:
                    runner = self._runners[place] = PushRunner(place, self._means, self._count, self._look_pause)
                    runner.start(started // MAX_STARTS)
                    started += 1
            elif runner is not None:
                self._leave(place, runner)

    def _leave(self, place: PushPlace, runner: PushRunner) -> None:
        """Stop a push of which others are in charge now, or which is gone."""
        del self._runners[place]

        def over(result: object) -> None:
            del self._leaving[place]
            if isinstance(result, Failure):
                self._defect(result)

        leaving = self._leaving[place] = Deferred()
        runner.stop().addBoth(over).addBoth(leaving.callback)

    def _look_pause(self) -> float:
        """Return the seconds between two looks of a push that waits for messages."""
        return len(self._runners) / MAX_LOOKS

    def _count(self, application: str, verdict: str) -> None:
        self._attempts.add((application, verdict))

    async def _exists(self, place: PushPlace) -> bool:
        """Whether a push is there; one of an application that is not served now counts as there.

        The group is read from the store: what is cached may be older than the push.
        """
        means = self._means
        try:
            queue = await means.directory.find(place.application, place.queue)
            if queue.incarnation != place.incarnation:
                return False
            return (await means.groups.read(queue, place.name)).settings.push is not None
        except (NoSuchQueue, NoSuchGroup):
            return False
        except NoSuchApplication:
            return True
