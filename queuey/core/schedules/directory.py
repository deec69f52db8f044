"""Schedules as their owners see them: made, changed, listed and ended."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred

from queuey.core.groups.rows import in_parallel
from queuey.core.pushes.listing import page_of
from queuey.core.pushes.registry import PushRegistry
from queuey.core.schedules.engine import ScheduleEngine
from queuey.core.schedules.rows import ScheduleRows
from queuey.deferreds import deferred
from queuey.errors import NoSuchQueue, NoSuchSchedule, NotPromised, Unavailable
from queuey.model.messages.message import Draft
from queuey.model.pushes.places import PushPlace
from queuey.model.queues.queue import Consistency, Queue
from queuey.model.schedules.stored import MAX_OF_APPLICATION, MAX_OF_QUEUE, Missed, Schedule, State
from queuey.model.timeid import from_seconds

_ID: int = 16
_VERSION: int = 8

Judge = Callable[[Schedule | None], None]
"""Checks the precondition of a change against what is stored; raises an error if it does not hold."""

Listed = tuple[PushPlace, Schedule]
"""A schedule of a list."""


@attrs.frozen
class ScheduleSettings:
    """The settings of a schedule that a client sends."""

    cron: str
    timezone: str
    message: Draft
    missed: Missed


Edit = Callable[[Schedule | None], ScheduleSettings]
"""Makes the settings of those that are there."""


@attrs.frozen
class ScheduleDirectory:
    """The schedules of all queues. Every Deferred may fail with ``Unavailable``."""

    rows: ScheduleRows
    registry: PushRegistry
    engine: ScheduleEngine

    @deferred
    async def names(self, queue: Queue) -> list[tuple[str, Schedule]]:
        """Return all schedules of a queue, sorted by name."""
        places = sorted(one for one in await self.registry.read() if one.incarnation == queue.incarnation)
        rows = await in_parallel(places, self.rows.read)
        return [(place.name, one) for place, one in zip(places, rows, strict=True) if one is not None]

    @deferred
    async def find(self, queue: Queue, name: str) -> Schedule:
        """Return a schedule. Fails with ``NoSuchSchedule``."""
        return _there(await self.rows.read(_place(queue, name)))

    @deferred
    async def page(
        self, application: str, queue: str | None, state: State | None, after: str, limit: int
    ) -> tuple[list[Listed], str | None]:
        """List schedules of an application by queue and name; see ``PushDirectory.page``."""
        await self.engine.policies.policy_for(application)

        def look(place: PushPlace) -> Deferred[Schedule | None]:
            return self._listed(place, state)

        return await page_of(self.registry, application, queue, after, limit, look)

    @deferred
    async def _listed(self, place: PushPlace, state: State | None) -> Schedule | None:
        """Look a schedule up; ``None`` if it is gone, or is not in that state."""
        schedule = await self.engine.existing(place)
        return None if schedule is None or state not in (None, schedule.state[0]) else schedule

    @deferred
    async def put(self, queue: Queue, name: str, edit: Edit, judge: Judge) -> tuple[Schedule, bool]:
        """Make a schedule, or replace its settings. If its times become others, those up to now are done with.

        :param edit: makes the settings; a pause stays as it is.
        :return: fires with the schedule, and whether it was made. Fails with ``NotPromised``, ``StorageFull`` and
            ``NoSuchQueue``.
        """
        place = _place(queue, name)
        if self.engine.messages.store.capabilities.not_once or queue.settings.consistency is Consistency.WEAK:
            raise NotPromised("The queue cannot store a message only once, as a schedule needs.")
        await self._check_number(place)
        await self.registry.note(place)
        now, new_bytes = self.engine.now(), self.rows.new_bytes
        id, version = new_bytes(_ID).hex(), new_bytes(_VERSION).hex()

        def edited(current: Schedule | None) -> Schedule:
            if current is not None and current.version == version:
                return current  # stored by an attempt whose outcome was unknown
            judge(current)
            kept, created = (id, from_seconds(now)) if current is None else (current.id, current.created)
            posted, paused = (None, None) if current is None else (current.posted, current.paused)
            of, last = edit(current), int(now)
            if current is not None and (of.cron, of.timezone) == (current.cron, current.timezone):
                last = current.last  # a time that has just come is not lost
            return Schedule(
                id=kept,
                cron=of.cron,
                timezone=of.timezone,
                message=of.message,
                missed=of.missed,
                created=created,
                last=last,
                version=version,
                posted=posted,
                paused=paused,
            )

        before, after = await self._changed(place, edited)
        return after, before is None or (before == after and before.id == id)

    @deferred
    async def change(self, queue: Queue, name: str, edit: Edit, judge: Judge) -> Schedule:
        """Change the settings of a schedule. Fails as ``put`` does, and with ``NoSuchSchedule``."""

        def there(current: Schedule | None) -> ScheduleSettings:
            return edit(_there(current))

        def judged(current: Schedule | None) -> None:
            judge(_there(current))

        await self.find(queue, name)
        return (await self.put(queue, name, there, judged))[0]

    @deferred
    async def set_paused(self, queue: Queue, name: str, paused: bool, judge: Judge) -> Schedule:
        """Pause a schedule, or let it go on with the next time. Fails with ``NoSuchSchedule``."""
        now, version = int(self.engine.now()), self.rows.new_bytes(_VERSION).hex()

        def edited(current: Schedule | None) -> Schedule:
            schedule = _there(current)
            if schedule.version == version:
                return schedule
            judge(schedule)
            if paused is (schedule.paused is not None):
                return schedule
            if paused:
                return attrs.evolve(schedule, paused=now, version=version)
            return attrs.evolve(schedule, paused=None, failing=None, last=now, version=version)

        return (await self._changed(_place(queue, name), edited))[1]

    @deferred
    async def delete(self, queue: Queue, name: str, judge: Judge) -> None:
        """End a schedule. Fails with ``NoSuchSchedule``."""
        place, found = _place(queue, name), [False]

        def edited(current: Schedule | None) -> None:
            if current is None and found[0]:
                return  # removed by an attempt whose outcome was unknown
            judge(_there(current))
            found[0] = True

        await self.rows.change(place, edited)
        try:
            await self.registry.drop(place, self.engine.exists)
        except Unavailable:
            self.engine.look(place)  # the engine drops it later

    async def _changed(
        self, place: PushPlace, edit: Callable[[Schedule | None], Schedule]
    ) -> tuple[Schedule | None, Schedule]:
        """Change a row, and let all processes look at it. Fails with ``NoSuchQueue`` if its queue was deleted.

        Without the check, a row that is written after the rows of the queue were removed would stay. If this process
        dies before the check, engines find the row.
        """
        before, after = await self.rows.change(place, edit)
        assert after is not None
        try:
            await self.registry.note(place)
            if not await self.engine.directory.is_there(place.application, place.queue, place.incarnation):
                await self.rows.change(place, lambda _: None)
                raise NoSuchQueue(f'The queue "{place.queue}" was deleted.')
        except Unavailable as error:
            raise error.but("unknown") from None
        finally:
            self.engine.look(place)
        return before, after

    async def _check_number(self, place: PushPlace) -> None:
        """Refuse one schedule too many; requests at the same time may exceed the bounds by a few."""
        places = await self.registry.read()
        if place in places:
            return
        if sum(one.incarnation == place.incarnation for one in places) >= MAX_OF_QUEUE:
            raise NotPromised(f"A queue has at most {MAX_OF_QUEUE} schedules.")
        if sum(one.application == place.application for one in places) >= MAX_OF_APPLICATION:
            for one in places:
                if one.application == place.application:
                    self.engine.look(one)  # some may be of queues that are gone
            raise NotPromised(f"An application has at most {MAX_OF_APPLICATION} schedules.")


def _place(queue: Queue, name: str) -> PushPlace:
    return PushPlace(queue.application, queue.name, queue.incarnation, name)


def _there(schedule: Schedule | None) -> Schedule:
    if schedule is None:
        raise NoSuchSchedule("The queue has no schedule of that name.")
    return schedule
