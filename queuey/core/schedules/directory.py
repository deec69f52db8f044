"""Schedules as their owners see them: made, changed, listed and ended."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from queuey.core.groups.rows import AT_ONCE, in_parallel
from queuey.core.pushes.registry import PushRegistry
from queuey.core.schedules.engine import ScheduleEngine
from queuey.core.schedules.rows import ScheduleRows
from queuey.deferreds import deferred
from queuey.errors import NoSuchSchedule, NotPromised
from queuey.model.message import Draft
from queuey.model.pushes.places import PushPlace
from queuey.model.queue import Consistency, Queue
from queuey.model.schedules.stored import MAX_OF_APPLICATION, MAX_OF_QUEUE, Missed, Schedule
from queuey.model.timeid import from_seconds

_ID: int = 16
_VERSION: int = 8

Judge = Callable[[Schedule | None], None]
"""Checks the precondition of a change against what is stored; raises an error if it does not hold."""


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
        found: list[tuple[str, Schedule]] = []
        for start in range(0, len(places), AT_ONCE):
            some = places[start : start + AT_ONCE]
            rows = await in_parallel(some, self.rows.read)
            found += [(place.name, one) for place, one in zip(some, rows, strict=True) if one is not None]
        return found

    @deferred
    async def find(self, queue: Queue, name: str) -> Schedule:
        """Return a schedule. Fails with ``NoSuchSchedule``."""
        return _there(await self.rows.read(_place(queue, name)))

    @deferred
    async def put(
        self, queue: Queue, name: str, cron: str, timezone: str, message: Draft, missed: Missed, judge: Judge
    ) -> tuple[Schedule, bool]:
        """Make a schedule, or replace its settings. Times up to now are done with.

        :return: fires with the schedule, and whether it was made. Fails with ``NotPromised``.
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
            return Schedule(kept, cron, timezone, message, missed, created, int(now), version)

        before, after = await self.rows.change(place, edited)
        await self.registry.note(place)
        self.engine.look(place)
        assert after is not None
        return after, before is None or (before == after and before.id == id)

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
        self.engine.look(place)

    async def _check_number(self, place: PushPlace) -> None:
        """Refuse one schedule too many; requests at the same time may exceed the bounds by a few."""
        places = await self.registry.read()
        if place in places:
            return
        if sum(one.incarnation == place.incarnation for one in places) >= MAX_OF_QUEUE:
            raise NotPromised(f"A queue has at most {MAX_OF_QUEUE} schedules.")
        if sum(one.application == place.application for one in places) >= MAX_OF_APPLICATION:
            raise NotPromised(f"An application has at most {MAX_OF_APPLICATION} schedules.")


def _place(queue: Queue, name: str) -> PushPlace:
    return PushPlace(queue.application, queue.name, queue.incarnation, name)


def _there(schedule: Schedule | None) -> Schedule:
    if schedule is None:
        raise NoSuchSchedule("The queue has no schedule of that name.")
    return schedule
