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
from twisted.python.failure import Failure

from queuey.core.groups.rows import AT_ONCE, in_parallel
from queuey.core.messages import MessageExchange
from queuey.core.pushes.registry import PushRegistry
from queuey.core.queues import QueueDirectory
from queuey.core.rounds import Rounds
from queuey.core.schedules.counts import ScheduleCounts, error_word
from queuey.core.schedules.rows import ScheduleRows
from queuey.deferreds import deferred
from queuey.errors import BodyTooLarge, KeyInUse, NoSuchApplication, NoSuchQueue, QueueyError
from queuey.interfaces import IPolicies
from queuey.model.messages.message import Draft
from queuey.model.messages.once import Once
from queuey.model.pushes.places import PushPlace
from queuey.model.schedules.cron import LAST_TIME
from queuey.model.schedules.stored import LEAP, Schedule, State, failed

EVERY: Final = 1.0
"""Seconds between two looks at the clock."""

REFRESH: Final = 5.0
"""Seconds between two looks at the registry."""

CHECK: Final = 600
"""Maximum seconds between two looks at a schedule: then it is noticed that its queue was deleted."""

GONE: Final = 60.0
"""Seconds for which a schedule or its queue must have been missing until what is left of it is removed. It may be one
that another process is just making, and caches may know a queue that was replaced for some seconds."""

_TROUBLE: Final = 5
"""Seconds until the next attempt after an error that could not be stored; the pause doubles up to ``_LONGEST``."""

_LONGEST: Final = 60


@attrs.define
class _Look:
    """What this process knows of a schedule.

    :ivar next: when to look at it again, in seconds since 1970; 0: now.
    :ivar state: at the last look; ``None`` if it was not looked at yet, or is gone.
    :ivar absent: whether its application was not served at the last look.
    :ivar errors: looks in a row that failed.
    :ivar gone: since when the schedule or its queue is missing, in seconds of the reactor's clock.
    """

    next: float = 0.0
    state: State | None = None
    absent: bool = False
    errors: int = 0
    gone: float | None = None


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
    _looks: dict[PushPlace, _Look] = attrs.field(init=False, factory=dict)
    _run: _Run = attrs.field(init=False, factory=lambda: _Run())
    _rounds: Rounds = attrs.field(init=False)
    counts: ScheduleCounts = attrs.field(init=False)

    @counts.default
    def _make_counts(self) -> ScheduleCounts:
        return ScheduleCounts(lambda: ((place, look.state) for place, look in self._looks.items()))

    @_rounds.default
    def _make_rounds(self) -> Rounds:
        return Rounds(self.clock, self._one_round, EVERY, self.defect)

    def start(self) -> None:
        """Begin."""
        self._rounds.start()

    def look(self, place: PushPlace) -> None:
        """Look at a schedule soon, because this process has changed it."""
        self._looks.setdefault(place, _Look()).next = 0

    def stop(self) -> Deferred[None]:
        """Post no more, and finish what is under way."""
        return self._rounds.stop()

    async def _one_round(self) -> None:
        run, now = self._run, self.now()
        if self.clock.seconds() >= run.next_refresh:
            changed = await self.registry.refresh()
            run.next_refresh = self.clock.seconds() + REFRESH
            self._follow(changed)
            await self._look_for_applications()
        if now < run.last_now - LEAP:  # the clock was set back: what was planned may be far away
            for look in self._looks.values():
                look.next = 0
        run.last_now = now
        due = sorted(place for place, look in self._looks.items() if look.next <= now)
        if len(due) > AT_ONCE:  # each process begins elsewhere, so that they share the work
            first = self.rows.new_bytes(1)[0] * len(due) // 256
            due = [*due[first:], *due[:first]]
        for start in range(0, len(due), AT_ONCE):
            if self._rounds.stopping:
                return
            await in_parallel(due[start : start + AT_ONCE], self._visit)

    def _follow(self, changed: frozenset[PushPlace]) -> None:
        """Look at what has changed in the registry, and forget what is not listed any more."""
        known = self.registry.known
        for place in self._looks.keys() - known:
            del self._looks[place]
        for place in known:
            look = self._looks.setdefault(place, _Look())
            if place in changed:
                look.next = 0

    async def _look_for_applications(self) -> None:
        """Look at schedules whose applications were not served, and are served again."""
        absent = [(place, look) for place, look in self._looks.items() if look.absent]
        for application in {place.application for place, _ in absent}:
            try:
                await self.policies.policy_for(application)
            except QueueyError:
                continue
            for place, look in absent:
                if place.application == application:
                    look.next = 0

    @deferred
    async def _visit(self, place: PushPlace) -> None:
        """Post what is due of a schedule, and plan the next look at it."""
        look = self._looks[place]
        look.next = self.now() + min(_TROUBLE << min(look.errors, 10), _LONGEST)
        look.absent = False
        try:
            schedule = await self.existing(place)
            look.state = None if schedule is None else schedule.state[0]
            if schedule is None:
                await self._missing(place, look)
                return
            look.gone = None
            schedule = await self.run(place, schedule)
        except NoSuchApplication:
            look.absent = True
            look.errors = 0
            self._plan(look, self.now() + CHECK)
        except QueueyError:
            look.errors += 1
        except Exception:
            look.errors += 1
            self.defect(Failure())
        else:
            look.errors = 0
            look.state = None if schedule is None else schedule.state[0]
            self._plan(look, self._next_look(schedule))

    def _plan(self, look: _Look, time: float) -> None:
        if look.next:  # it was not changed meanwhile
            # Random, so that a process that has begun to look at all schedules together does not go on so.
            random = self.rows.new_bytes(1)[0] / 255
            look.next = min(time, self.now() + CHECK * (1 + random) / 2)

    def _next_look(self, schedule: Schedule | None) -> float:
        """Return when something of a schedule is due, or may be tried again."""
        if schedule is None:
            return 0.0  # it was deleted meanwhile
        time = schedule.first_open or LAST_TIME
        return time if schedule.failing is None else max(time, min(schedule.failing.next_attempt, self.now() + CHECK))

    @deferred
    async def run(self, place: PushPlace, schedule: Schedule) -> Schedule | None:
        """Post what is due of a schedule.

        :return: fires with what is stored of it now. Fails with ``NoSuchApplication`` if its application is not served
            now, with ``KeyInUse`` if another process posts it at this moment, and otherwise only if the store does not
            answer: other errors are stored with the schedule.
        """
        await self.policies.policy_for(place.application)
        now, posted = int(self.now()), False
        due = schedule.due(now, self._run.last_now)
        if schedule.last > now + LEAP:
            time = now  # the clock was far ahead when the last message was posted
        elif due is not None:
            if schedule.failing is not None and now < schedule.failing.next_attempt <= now + LEAP:
                return schedule
            time, posted = due
            if posted:
                try:
                    await self._post(place, schedule, time)
                except KeyInUse:
                    raise  # another process posts it at this moment: that is no failure
                except QueueyError as error:
                    return await self._failed(place, schedule, error)
        else:
            return schedule

        def done(current: Schedule) -> Schedule:
            if posted:
                return attrs.evolve(current, last=time, posted=time, failing=None)
            return attrs.evolve(current, last=time)

        after, changed = await self._change(place, schedule, done)
        if changed and due is not None and schedule.passes_over(time, posted):
            self.counts.missed(place)
        return after

    async def _post(self, place: PushPlace, schedule: Schedule, time: int) -> None:
        queue = await self.directory.find(place.application, place.queue)
        if queue.incarnation != place.incarnation:
            raise NoSuchQueue("The queue was deleted.")
        policy = await self.policies.policy_for(place.application)
        message = schedule.message
        if len(message.content.body) > policy.max_body:
            raise BodyTooLarge(f"The body of a message has at most {policy.max_body} bytes.")
        ttl = policy.ttl if queue.settings.ttl is None else queue.settings.ttl
        draft = Draft(message.content, message.ttl or ttl, message.partition, message.key, message.delay)
        # The key names the request too: the message may have been changed between an attempt and its repetition.
        key = sha256(f"schedule {schedule.id} {time}".encode("ascii")).digest()
        appended = await self.messages.append_once(queue, [draft], Once(key, key, "", policy.idempotency_ttl))
        if not appended.duplicate:
            self.counts.posted(place)

    async def _failed(self, place: PushPlace, schedule: Schedule, error: QueueyError) -> Schedule | None:
        """Store that a message could not be posted; of several processes that fail together, the first one counts."""
        word, now = error_word(error), int(self.now())
        self.counts.failed(place, word)

        def edit(current: Schedule) -> Schedule:
            return current if current.failing != schedule.failing else failed(current, now, word, error.text)

        after, _ = await self._change(place, schedule, edit)
        return after

    async def _change(
        self, place: PushPlace, seen: Schedule, edit: Callable[[Schedule], Schedule]
    ) -> tuple[Schedule | None, bool]:
        """Change a schedule unless a client has changed it meanwhile, or another process has done the time.

        :return: what is stored now, and whether it was changed here.
        """

        def edited(current: Schedule | None) -> Schedule | None:
            if current is None or (current.version, current.last) != (seen.version, seen.last):
                return current
            return edit(current)

        before, after = await self.rows.change(place, edited)
        return after, before != after

    @deferred
    async def existing(self, place: PushPlace) -> Schedule | None:
        """Read a schedule; fires with ``None`` if it does not exist, or its queue does not."""
        schedule = await self.rows.read(place)
        if schedule is None:
            return None
        try:
            queue = await self.directory.find(place.application, place.queue)
        except NoSuchQueue:
            return None
        return schedule if queue.incarnation == place.incarnation else None

    async def _missing(self, place: PushPlace, look: _Look) -> None:
        """Remove what is left of a schedule that has been missing for long, or whose queue has."""
        now = self.clock.seconds()
        if look.gone is None:
            look.gone = now
        if now < look.gone + GONE:
            self._plan(look, self.now() + GONE + 1)
            return
        if not await self._has_queue(place):
            await self.rows.change(place, lambda _: None)
        await self.registry.drop(place, self.exists)

    async def _has_queue(self, place: PushPlace) -> bool:
        """Look in the store itself whether a queue exists. An incarnation that has ended never comes back."""
        return await self.directory.is_there(place.application, place.queue, place.incarnation)

    async def exists(self, place: PushPlace) -> bool:
        """Whether the registry has to list a schedule."""
        return await self.rows.read(place) is not None


@attrs.define
class _Run:
    """What a round has to know of those before it.

    :ivar next_refresh: when to look at the registry, in seconds of the reactor's clock.
    :ivar last_now: the wall clock of the last round.
    """

    next_refresh: float = 0.0
    last_now: float = 0.0
