"""A schedule: its settings, what became of its times, and how it is stored."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from enum import Enum
from typing import Any, Final

import attrs

from queuey.model.messages.message import Content, Draft
from queuey.model.queues.queue import states_prefix
from queuey.model.schedules.cron import newest_time, next_time
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
"""Seconds by which a clock must jump back until it counts as set: then schedules continue from the new time."""

FIRST_PAUSE: Final = 5
"""Seconds between the first failure and the next attempt; the pause doubles with each further failure."""

LONGEST_PAUSE: Final = 60
"""Maximum seconds between two attempts: a schedule that fails costs no more than one that posts each minute."""

MAX_TEXT: Final = 300
"""Characters of the text of an error that are kept."""

_FORMAT: Final = 1
_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class UnreadableSchedule(Exception):
    """The bytes are damaged, or another version of Queuey wrote them."""


class Missed(Enum):
    """What becomes of times at which no process ran."""

    SKIP = "skip"
    ONCE = "once"


class State(Enum):
    """What a schedule does."""

    ACTIVE = "active"
    FAILING = "failing"
    PAUSED = "paused"


@attrs.frozen
class Failing:
    """Failures in a row: the message could not be posted.

    :ivar since: when the first one was, in seconds since 1970.
    :ivar time: when the last one was.
    :ivar count: how many there were.
    :ivar code: a word for the last error.
    :ivar text: the last error in one sentence.
    """

    since: int
    time: int
    count: int
    code: str
    text: str

    @property
    def next_attempt(self) -> int:
        """When the next attempt may begin."""
        return self.time + min(FIRST_PAUSE << min(self.count - 1, 10), LONGEST_PAUSE)


@attrs.frozen
class Schedule:
    """A schedule.

    :ivar id: random; it stays when the schedule is changed, and no other schedule has it.
    :ivar message: the message to post; its ``ttl`` is 0 for the queue's.
    :ivar last: the last time that is done with, in seconds since 1970.
    :ivar version: another one after each change by a client.
    :ivar posted: the last time for which a message was posted.
    :ivar paused: since when the schedule is paused; ``None`` if it is not.
    :ivar failing: its failures since the last message that was posted.
    """

    id: str
    cron: str
    timezone: str
    message: Draft
    missed: Missed
    created: Ticks
    last: int
    version: str
    posted: int | None = None
    paused: int | None = None
    failing: Failing | None = None

    @property
    def state(self) -> tuple[State, int | None]:
        """Its state, and since when it is paused or failing."""
        if self.paused is not None:
            return State.PAUSED, self.paused
        return (State.ACTIVE, None) if self.failing is None else (State.FAILING, self.failing.since)

    @property
    def first_open(self) -> int | None:
        """The first time that is not done with; ``None`` if it is paused, or there is none in fifty years."""
        return None if self.paused is not None else next_time(self.cron, self.timezone, self.last)

    @property
    def next_time(self) -> int | None:
        """The next time that comes; ``None`` as for ``first_open``. Of one that fails, earlier times may be open."""
        if self.failing is None or self.failing.time <= self.last or self.paused is not None:
            return self.first_open
        return next_time(self.cron, self.timezone, self.failing.time)

    def due(self, now: int, looked: float) -> tuple[int, bool] | None:
        """Return the newest time that has come, and whether a message is posted for it; ``None`` if there is none.

        :param looked: when this process began to look at all schedules that are due. What waits in the process for
            other schedules is not missed.
        """
        if self.paused is not None:
            return None
        time = newest_time(self.cron, self.timezone, self.last, now)
        if time is None:
            return None
        return time, looked - time <= GRACE or self.missed is Missed.ONCE

    def passes_over(self, time: int, posted: bool) -> bool:
        """Return whether times up to ``time`` stay without a message.

        :param posted: whether one is posted for ``time``.
        """
        if not posted:
            return True
        return self.missed is Missed.SKIP and next_time(self.cron, self.timezone, self.last) != time


def failed(schedule: Schedule, now: int, code: str, text: str) -> Schedule:
    """Return a schedule after one more failure."""
    before = schedule.failing
    since, count = (now, 0) if before is None else (before.since, before.count)
    return attrs.evolve(schedule, failing=Failing(since, now, count + 1, code, text[:MAX_TEXT]))


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
        "posted": schedule.posted,
        "paused": schedule.paused,
        "failing": None if schedule.failing is None else attrs.astuple(schedule.failing),
    }
    return _compact(row).encode("utf-8")


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
        failing = row.get("failing")
        return Schedule(
            id=row["id"],
            cron=row["cron"],
            timezone=row["timezone"],
            message=message,
            missed=Missed(row["missed"]),
            created=Ticks(row["created"]),
            last=row["last"],
            version=row["version"],
            posted=row.get("posted"),
            paused=row.get("paused"),
            failing=None if failing is None else Failing(*failing),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableSchedule(f"is damaged: {error!r}") from None
