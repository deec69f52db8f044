"""Schedules as JSON: the members of a request, and those of an answer."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from queuey.core.schedules.directory import ScheduleSettings
from queuey.http.inputs.mistakes import Mistakes
from queuey.http.v2.inputs.items import Items
from queuey.http.v2.inputs.parameters import Members, problem_of
from queuey.model.messages.message import Content, Draft
from queuey.model.queues.queue import Queue
from queuey.model.schedules.cron import BadCron, check, zone
from queuey.model.schedules.stored import MAX_BODY, Missed, Schedule
from queuey.model.timeid import SECOND, from_seconds, to_rfc3339

SETTINGS: Final = ("cron", "timezone", "message", "missed")
_BY_STATE: Final = "POST to /pause or /resume below the schedule changes its state"
_BY_POSTING: Final = "it shows how the last message was posted"
REPORTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "next": "cron and timezone decide when the next message is posted",
        "state": _BY_STATE,
        "since": _BY_STATE,
        "last_posted": _BY_POSTING,
        "failures": _BY_POSTING,
        "last_error": _BY_POSTING,
        "last_error_detail": _BY_POSTING,
        "last_error_time": _BY_POSTING,
    }
)
"""Members that show what a schedule does, and what changes each of them."""

READ_ONLY: Final = ("name", *REPORTED, "created", "version")


def settings(given: Mapping[str, Any], queue: Queue, now: int) -> ScheduleSettings:
    """Parse the settings in a body.

    :raise Problem: lists every error.
    """
    asked = Members(given)
    cron, timezone = asked.text("cron"), asked.text("timezone")
    missed = asked.choice("missed", Missed)
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
    return ScheduleSettings(cron or "", usable, message, missed or Missed.SKIP)


def patched(schedule: Schedule, patch: Mapping[str, Any], queue: Queue, now: int) -> ScheduleSettings:
    """Return the settings of a schedule after a patch: null resets a member, and a message is replaced as a whole.

    :raise Problem: lists every error.
    """
    before = {
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "message": message_json(schedule.message),
        "missed": schedule.missed.value,
    }
    return settings({**before, **{name: patch[name] for name in SETTINGS if name in patch}}, queue, now)


def schedule_json(name: str, schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as JSON."""
    state, since = schedule.state
    failing = schedule.failing
    return {
        "name": name,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "message": message_json(schedule.message),
        "missed": schedule.missed.value,
        "next": _time(schedule.next_time),
        "state": state.value,
        "since": _time(since),
        "last_posted": _time(schedule.posted),
        "failures": 0 if failing is None else failing.count,
        "last_error": None if failing is None else failing.code,
        "last_error_detail": None if failing is None else failing.text,
        "last_error_time": None if failing is None else _time(failing.time),
        "created": to_rfc3339(schedule.created),
        "version": schedule.version,
    }


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else to_rfc3339(from_seconds(seconds))


def message_json(draft: Draft) -> dict[str, Any]:
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
