"""Schedules over v2: made, changed, listed, looked at, paused and ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from queuey.core.schedules.directory import ScheduleDirectory, ScheduleSettings
from queuey.errors import NoSuchSchedule
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.encoding import json_line
from queuey.http.routes import Route
from queuey.http.v2.groups.groups import check_name
from queuey.http.v2.inputs.conditions import conditions
from queuey.http.v2.inputs.parameters import members, refuse_query, refuse_reported
from queuey.http.v2.queues import PATCH, QUEUE
from queuey.http.v2.representations.fields import HEAD, etag, location
from queuey.http.v2.schedule_json import READ_ONLY, REPORTED, SETTINGS, patched, schedule_json, settings
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.groups.settings import group_name_problem
from queuey.model.schedules.stored import Schedule

SCHEDULES: Final = f"{QUEUE}/schedules"
SCHEDULE: Final = f"{SCHEDULES}/<schedule>"
PAUSE: Final = f"{SCHEDULE}/pause"
RESUME: Final = f"{SCHEDULE}/resume"

KIND: Final = "schedule"


@attrs.frozen
class V2Schedules:
    """The handlers of schedules.

    :ivar now: the wall clock, in seconds since 1970.
    """

    schedules: ScheduleDirectory
    now: Callable[[], float]

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        change = Operation.CHANGE_SCHEDULES
        return (
            Route("GET", SCHEDULES, Operation.SEE_SCHEDULES, self.list_schedules, check=refuse_query),
            Route("GET", SCHEDULE, Operation.SEE_SCHEDULES, self.show, check=refuse_query),
            Route("PUT", SCHEDULE, change, self.put, check=refuse_query),
            Route("PATCH", SCHEDULE, change, self.patch, check=refuse_query),
            Route("DELETE", SCHEDULE, change, self.delete, check=refuse_query),
            Route("POST", PAUSE, change, self.pause, check=refuse_query),
            Route("POST", RESUME, change, self.resume, check=refuse_query),
        )

    async def list_schedules(self, request: Request, admitted: AdmittedToQueue) -> None:
        """List all schedules of a queue, sorted by name."""
        found = await self.schedules.names(admitted.queue)
        listed = [schedule_json(name, one) for name, one in found]
        request.answer(200, HEAD, json_line({"schedules": listed}))

    async def show(self, request: Request, admitted: AdmittedToQueue, schedule: str) -> None:
        """Show a schedule, its next time, and what became of the last one."""
        _check_known(schedule)
        _answer(request, schedule, await self.schedules.find(admitted.queue, schedule))

    async def put(self, request: Request, admitted: AdmittedToQueue, schedule: str) -> None:
        """Make or replace a schedule."""
        check_name(schedule, KIND)
        asked = conditions(request, KIND)
        given = members(request, (*SETTINGS, *READ_ONLY))
        wanted = settings(given, admitted.queue, int(self.now()))
        judge = asked.judge(schedule, given)
        found, made = await self.schedules.put(admitted.queue, schedule, lambda _: wanted, judge)
        headers = (location(admitted.queue, "schedules", schedule),) if made else ()
        document = json_line(schedule_json(schedule, found))
        request.answer(201 if made else 200, (*HEAD, etag(found.version), *headers), document)

    async def patch(self, request: Request, admitted: AdmittedToQueue, schedule: str) -> None:
        """Change the members that are given; null resets a member to its default."""
        asked = conditions(request, KIND)
        _check_known(schedule)
        given = members(request, (*SETTINGS, *READ_ONLY), PATCH, b"Accept-Patch")
        refuse_reported(given, REPORTED)
        now = int(self.now())

        def edit(current: Schedule | None) -> ScheduleSettings:
            assert current is not None
            return patched(current, given, admitted.queue, now)

        judge = asked.judge(schedule, given)
        _answer(request, schedule, await self.schedules.change(admitted.queue, schedule, edit, judge))

    async def delete(self, request: Request, admitted: AdmittedToQueue, schedule: str) -> None:
        """End a schedule; the messages that it has posted stay."""
        asked = conditions(request, KIND)
        _check_known(schedule)
        await self.schedules.delete(admitted.queue, schedule, asked.meet)
        request.answer(204, (), b"")

    async def pause(self, request: Request, admitted: AdmittedToQueue, schedule: str) -> None:
        """Pause a schedule: it posts no message until it is resumed."""
        await self._set_paused(request, admitted, schedule, True)

    async def resume(self, request: Request, admitted: AdmittedToQueue, schedule: str) -> None:
        """Let a schedule go on with its next time."""
        await self._set_paused(request, admitted, schedule, False)

    async def _set_paused(self, request: Request, admitted: AdmittedToQueue, schedule: str, paused: bool) -> None:
        members(request, ())
        asked = conditions(request, KIND)
        _check_known(schedule)
        _answer(request, schedule, await self.schedules.set_paused(admitted.queue, schedule, paused, asked.meet))


def _answer(request: Request, name: str, schedule: Schedule) -> None:
    request.answer(200, (*HEAD, etag(schedule.version)), json_line(schedule_json(name, schedule)))


def _check_known(name: str) -> None:
    if group_name_problem(name) is not None:
        raise NoSuchSchedule("No schedule can have this name.")
