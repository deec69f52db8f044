"""Posts the messages of schedules when their times have come.

Every process looks at every schedule, so no process has to take over from one that died. A process posts the message
under an Idempotency-Key that is made of the schedule and the time, and stores afterwards that the time is done with. If
two processes do so together, or one dies in between and another one repeats it, the message is stored once.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from queuey.core.groups.rows import AT_ONCE, in_parallel
from queuey.core.messages import MessageExchange
from queuey.core.pushes.registry import PushRegistry
from queuey.core.queues import QueueDirectory
from queuey.core.schedules.rows import ScheduleRows
from queuey.deferreds import deferred
from queuey.errors import NoSuchApplication, NoSuchQueue, QueueyError
from queuey.interfaces import IPolicies
from queuey.model.message import Draft
from queuey.model.once import Once
from queuey.model.pushes.places import PushPlace
from queuey.model.queue import Queue
from queuey.model.schedules.cron import LAST_TIME, next_time
from queuey.model.schedules.stored import LEAP, Schedule

EVERY: Final = 1.0
"""Seconds between two looks at the clock."""

REFRESH: Final = 5.0
"""Seconds between two looks at the registry."""

_TROUBLE: Final = 5
"""Seconds until the next attempt after an error."""

_ABSENT: Final = 60
"""Seconds until the next look at a schedule whose application is not served now."""


@attrs.frozen(kw_only=True)
class ScheduleEngine:
    """Posts messages at their times.

    :ivar now: the wall clock, in seconds since 1970.
    :ivar defect: is called with an unforeseen error; the work goes on.
    """

    rows: ScheduleRows
    registry: PushRegistry
    directory: QueueDirectory
    messages: MessageExchange
    policies: IPolicies
    clock: IReactorTime
    now: Callable[[], float]
    defect: Callable[[Failure], None]
    _next: dict[PushPlace, float] = attrs.field(init=False, factory=dict)
    _run: _Run = attrs.field(init=False, factory=lambda: _Run())

    def start(self) -> None:
        """Begin."""
        self._run.round = self._rounds()

    def look(self, place: PushPlace) -> None:
        """Look at a schedule soon, because this process has changed it."""
        self._next[place] = 0

    @deferred
    async def stop(self) -> None:
        """Post no more, and finish what is under way."""
        run = self._run
        run.stopping = True
        if run.pausing is not None:
            run.pausing.cancel()
        if run.round is not None:
            await run.round

    @deferred
    async def _rounds(self) -> None:
        run = self._run
        while not run.stopping:
            try:
                await self._one_round()
            except QueueyError:
                pass  # the store is away; the next round tries again
            except Exception:
                self.defect(Failure())
            if not run.stopping:
                run.pausing = deferLater(self.clock, EVERY).addErrback(lambda _: None)
                await run.pausing
                run.pausing = None

    async def _one_round(self) -> None:
        run, now = self._run, self.now()
        if self.clock.seconds() >= run.next_refresh:
            changed = await self.registry.refresh()
            run.next_refresh = self.clock.seconds() + REFRESH
            known = self.registry.known
            for place in self._next.keys() - known:
                del self._next[place]
            for place in known:
                if place in changed or place not in self._next:
                    self._next[place] = 0
        if now < run.last_now - LEAP:  # the clock was set back: what was planned may be far away
            self._next.update(dict.fromkeys(self._next, 0))
        run.last_now = now
        due = sorted(place for place, time in self._next.items() if time <= now)
        for start in range(0, len(due), AT_ONCE):
            if run.stopping:
                return
            await in_parallel(due[start : start + AT_ONCE], self._visit)

    @deferred
    async def _visit(self, place: PushPlace) -> None:
        """Post what is due of a schedule, and plan the next look at it."""
        self._next[place] = self.now() + _TROUBLE
        try:
            time = await self.run(place)
        except NoSuchApplication:
            self._next[place] = self.now() + _ABSENT
        except QueueyError:
            return
        except Exception:
            self.defect(Failure())
        else:
            if time is None:
                await self._forget(place)
            elif self._next.get(place):  # it was not changed meanwhile
                self._next[place] = time

    async def run(self, place: PushPlace) -> float | None:
        """Post what is due of a schedule.

        :return: its next time; ``None`` if it does not exist any more.
        """
        schedule = await self.rows.read(place)
        if schedule is None:
            return None  # it was deleted, or its queue was
        queue = await self.directory.find(place.application, place.queue)
        if queue.incarnation != place.incarnation:
            raise NoSuchQueue("The queue was deleted, or is not yet known here.")
        now = int(self.now())
        if schedule.last > now + LEAP:
            time = now  # the clock was far ahead when the last message was posted
        elif (due := schedule.due(now)) is not None:
            time, posts = due
            if posts:
                await self._post(queue, place, schedule, time)
        else:
            return next_time(schedule.cron, schedule.timezone, schedule.last) or LAST_TIME
        seen = schedule

        def done(current: Schedule | None) -> Schedule | None:
            if current is None or current.version != seen.version or current.last != seen.last:
                return current  # it was changed, or another process was first
            return attrs.evolve(current, last=time)

        await self.rows.change(place, done)
        return next_time(schedule.cron, schedule.timezone, time) or LAST_TIME

    async def _post(self, queue: Queue, place: PushPlace, schedule: Schedule, time: int) -> None:
        policy = await self.policies.policy_for(place.application)
        ttl = policy.ttl if queue.settings.ttl is None else queue.settings.ttl
        message = schedule.message
        draft = Draft(message.content, message.ttl or ttl, message.partition, message.key, message.delay)
        # The key names the request too: the message may have been changed between an attempt and its repetition.
        key = sha256(f"schedule {schedule.id} {time}".encode("ascii")).digest()
        await self.messages.append_once(queue, [draft], Once(key, key, "", policy.idempotency_ttl))

    async def _forget(self, place: PushPlace) -> None:
        try:
            await self.registry.drop(place, self._exists)
        except QueueyError:
            return
        self._next.pop(place, None)

    async def _exists(self, place: PushPlace) -> bool:
        return await self.rows.read(place) is not None


@attrs.define
class _Run:
    """The state of the loop.

    :ivar last_now: the wall clock of the last round.
    """

    round: Deferred[None] | None = None
    pausing: Deferred[None] | None = None
    stopping: bool = False
    next_refresh: float = 0.0
    last_now: float = 0.0
