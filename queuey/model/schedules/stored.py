"""The stored format of a schedule."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from enum import Enum
from typing import Any, Final

import attrs

from queuey.model.group_rows import states_prefix
from queuey.model.message import Content, Draft
from queuey.model.schedules.cron import newest_time
from queuey.model.timeid import Ticks

INDEX: Final = "schedules"
"""The key of the versions of all shards of the registry."""

MAX_OF_QUEUE: Final = 100
"""Schedules of a queue."""

MAX_OF_APPLICATION: Final = 1000
"""Schedules of an application."""

MAX_BODY: Final = 32_768
"""Bytes of the body of the message of a schedule."""

GRACE: Final = 60
"""Seconds after which a time that has passed counts as missed."""

LEAP: Final = 3600
"""Seconds by which a clock must have jumped back to be believed: then the schedule goes on from the new time."""

_FORMAT: Final = 1
_compact: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class UnreadableSchedule(Exception):
    """The bytes are damaged, or another version of Queuey wrote them."""


class Missed(Enum):
    """What becomes of times at which no process ran."""

    SKIP = "skip"
    ONCE = "once"


@attrs.frozen
class Schedule:
    """A schedule.

    :ivar id: random; it stays when the schedule is changed, and no other schedule has it.
    :ivar message: what is posted; its ``ttl`` is 0 if it is that of the queue.
    :ivar last: the last time that is done with, in seconds since 1970.
    :ivar version: another one after each change by a client.
    """

    id: str
    cron: str
    timezone: str
    message: Draft
    missed: Missed
    created: Ticks
    last: int
    version: str

    def due(self, now: int) -> tuple[int, bool] | None:
        """Return the newest time that has come, and whether a message is posted for it; ``None`` if there is none."""
        time = newest_time(self.cron, self.timezone, self.last, now)
        if time is None:
            return None
        return time, now - time <= GRACE or self.missed is Missed.ONCE


def schedule_key(incarnation: int, name: str) -> str:
    """Return the key of a schedule; it is removed with its queue."""
    return f"{states_prefix(incarnation)}schedule/{name}"


def encode_schedule(schedule: Schedule) -> bytes:
    """Encode a schedule."""
    draft, content = schedule.message, schedule.message.content
    row = {
        "format": _FORMAT,
        "id": schedule.id,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "missed": schedule.missed.value,
        "created": schedule.created,
        "last": schedule.last,
        "version": schedule.version,
        "body": b64encode(content.body).decode("ascii"),
        "type": content.content_type,
        "headers": None if content.headers is None else content.headers.decode("utf-8"),
        "ttl": draft.ttl,
        "partition": draft.partition,
        "key": draft.key,
        "delay": draft.delay,
    }
    return _compact(row).encode("ascii")


def decode_schedule(value: bytes) -> Schedule:
    """Decode a schedule.

    :raise UnreadableSchedule: saying why.
    """
    try:
        row: dict[str, Any] = json.loads(value)
        if row["format"] != _FORMAT:
            raise UnreadableSchedule("has a format of another version of Queuey")
        headers = row["headers"]
        content = Content(b64decode(row["body"]), row["type"], None if headers is None else headers.encode("utf-8"))
        message = Draft(content, row["ttl"], row["partition"], row["key"], Ticks(row["delay"]))
        missed, created = Missed(row["missed"]), Ticks(row["created"])
        return Schedule(row["id"], row["cron"], row["timezone"], message, missed, created, row["last"], row["version"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableSchedule(f"is damaged: {error!r}") from None
