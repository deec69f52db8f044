"""Schedules over v2: made, listed, looked at and ended."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import attrs

from queuey.core.schedules.directory import Judge, ScheduleDirectory
from queuey.errors import NoSuchSchedule
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.encoding import json_line
from queuey.http.answers.problems import Problem
from queuey.http.inputs.mistakes import Mistakes
from queuey.http.routes import Route
from queuey.http.v2.inputs.conditions import Conditions, check_read_only, conditions
from queuey.http.v2.inputs.items import Items
from queuey.http.v2.inputs.parameters import Members, members, problem_of, refuse_query
from queuey.http.v2.queues import QUEUE
from queuey.http.v2.representations.fields import HEAD
from queuey.http.wire import Request
from queuey.model.access import Operation
from queuey.model.group_settings import group_name_problem
from queuey.model.message import Content, Draft
from queuey.model.queue import Queue
from queuey.model.schedules.cron import BadCron, check, next_time, zone
from queuey.model.schedules.stored import MAX_BODY, Missed, Schedule
from queuey.model.timeid import SECOND, from_seconds, to_rfc3339

SCHEDULES: Final = f"{QUEUE}/schedules"
SCHEDULE: Final = f"{SCHEDULES}/<schedule>"

KIND: Final = "schedule"
SETTINGS: Final = ("cron", "timezone", "message", "missed")
READ_ONLY: Final = ("name", "next", "created", "version")


@attrs.frozen
class V2Schedules:
    """The handlers of schedules.

    :ivar now: the wall clock, in seconds since 1970.
    """

    schedules: ScheduleDirectory
    now: Callable[[], float]

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route("GET", SCHEDULES, Operation.SEE_SCHEDULES, self.list_schedules, check=refuse_query),
            Route("GET", SCHEDULE, Operation.SEE_SCHEDULES, self.show, check=refuse_query),
            Route("PUT", SCHEDULE, Operation.CHANGE_SCHEDULES, self.put, check=refuse_query),
            Route("DELETE", SCHEDULE, Operation.CHANGE_SCHEDULES, self.delete, check=refuse_query),
        )

    async def list_schedules(self, request: Request, admitted: AdmittedToQueue) -> None:
        """List all schedules of a queue, sorted by name."""
        found = await self.schedules.names(admitted.queue)
        listed = [schedule_json(name, one) for name, one in found]
        request.answer(200, HEAD, json_line({"schedules": listed}))

    async def show(self, request: Request, admitted: AdmittedToQueue, schedule: str) -> None:
        """Show a schedule and its next time."""
        _check_known(schedule)
        found = await self.schedules.find(admitted.queue, schedule)
        request.answer(200, (*HEAD, _tag(found)), json_line(schedule_json(schedule, found)))

    async def put(self, request: Request, admitted: AdmittedToQueue, schedule: str) -> None:
        """Make or replace a schedule."""
        if (problem := group_name_problem(schedule)) is not None:
            problem = problem.replace("group", KIND)
            raise Problem("invalid-parameters", problem, errors=({"parameter": KIND, "detail": problem},))
        asked = conditions(request, KIND)
        given = members(request, (*SETTINGS, *READ_ONLY))
        cron, timezone, message, missed = settings(given, admitted.queue, int(self.now()))
        judge = _judge(asked, schedule, given)
        found, made = await self.schedules.put(admitted.queue, schedule, cron, timezone, message, missed, judge)
        headers = ((b"Location", _path(admitted.queue, schedule)),) if made else ()
        document = json_line(schedule_json(schedule, found))
        request.answer(201 if made else 200, (*HEAD, _tag(found), *headers), document)

    async def delete(self, request: Request, admitted: AdmittedToQueue, schedule: str) -> None:
        """End a schedule; the messages that it has posted stay."""
        asked = conditions(request, KIND)
        _check_known(schedule)
        await self.schedules.delete(admitted.queue, schedule, asked.meet)
        request.answer(204, (), b"")


def settings(given: Mapping[str, Any], queue: Queue, now: int) -> tuple[str, str, Draft, Missed]:
    """Parse the settings in a body.

    :raise Problem: lists every error.
    """
    asked = Members(given)
    cron, timezone = asked.text("cron"), asked.text("timezone")
    missed = asked.choice("missed", Missed)
    asked.text("next")  # it is shown, and has no meaning in a request
    mistakes = Mistakes()
    message = Draft(Content(b""), 0)
    if given.get("message") is None:
        asked.wrong("message", "is missing")
    else:
        message = Items(queue.settings.partitions, 0).draft(given["message"], "/message", mistakes)
        if len(message.content.body) > MAX_BODY:
            asked.wrong("message", f"has a body of more than {MAX_BODY} bytes")
    usable = "UTC" if timezone is None else timezone
    try:
        zone(usable)
    except BadCron as error:
        asked.wrong("timezone", str(error))
        usable = "UTC"
    if cron is None:
        if given.get("cron") is None:
            asked.wrong("cron", "is missing")
    else:
        try:
            check(cron, usable, now)
        except BadCron as error:
            asked.wrong("cron", str(error))
    asked.check()
    if mistakes:
        raise problem_of(mistakes, "invalid-body", "pointer", "the body")
    return cron or "", usable, message, missed or Missed.SKIP


def schedule_json(name: str, schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as JSON."""
    time = next_time(schedule.cron, schedule.timezone, schedule.last)
    return {
        "name": name,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "message": _message_json(schedule.message),
        "missed": schedule.missed.value,
        "next": None if time is None else to_rfc3339(from_seconds(time)),
        "created": to_rfc3339(schedule.created),
        "version": schedule.version,
    }


def _message_json(draft: Draft) -> dict[str, Any]:
    """Return a message as a client may send it again."""
    content = draft.content
    found: dict[str, Any] = {}
    try:
        found["body"] = content.body.decode("utf-8")
    except UnicodeDecodeError:
        found["body_base64"] = b64encode(content.body).decode("ascii")
    found["content_type"] = content.content_type
    if content.headers is not None:
        found["headers"] = json.loads(content.headers)
    if draft.ttl:
        found["ttl"] = draft.ttl
    if draft.partition is not None:
        found["partition"] = draft.partition
    if draft.key is not None:
        found["key"] = draft.key
    if draft.delay:
        found["delay"] = draft.delay / SECOND
    return found


def _judge(asked: Conditions, name: str, given: Mapping[str, Any]) -> Judge:
    """Return the precondition of a change: the request's conditional headers and read-only members."""

    def judge(schedule: Schedule | None) -> None:
        asked.meet(schedule)
        check_read_only(given, KIND, name, schedule)

    return judge


def _check_known(name: str) -> None:
    if group_name_problem(name) is not None:
        raise NoSuchSchedule("No schedule has such a name.")


def _tag(schedule: Schedule) -> tuple[bytes, bytes]:
    return b"ETag", f'"{schedule.version}"'.encode("ascii")


def _path(queue: Queue, name: str) -> bytes:
    parts = (queue.application, "queues", queue.name, "schedules", name)
    return "/".join(["/v2", *(quote(part, safe="") for part in parts)]).encode("ascii")
