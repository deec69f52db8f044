"""What is known of schedules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from queuey_client.core.parsing import time_of


@dataclass(frozen=True)
class ScheduleInfo:
    """A schedule's settings, and what it does.

    :ivar next: the next time; ``None`` while it is paused.
    :ivar state: ``active``, ``failing`` or ``paused``.
    :ivar since: since when it is failing or paused; ``None`` if it is neither.
    :ivar last_posted: the last time for which a message was posted.
    :ivar failures: attempts in a row that failed.
    :ivar last_error: the code of the last error; ``None`` if the last message was posted.
    :ivar document: all that the server said, the message included.
    """

    name: str
    cron: str
    timezone: str
    missed: str
    next: datetime | None
    state: str
    since: datetime | None
    last_posted: datetime | None
    failures: int
    last_error: str | None
    version: str
    document: Mapping[str, Any] = field(repr=False, compare=False)


def schedule_info(document: Mapping[str, Any]) -> ScheduleInfo:
    """Read a schedule."""

    def time(name: str) -> datetime | None:
        return None if document[name] is None else time_of(document[name])

    return ScheduleInfo(
        name=document["name"],
        cron=document["cron"],
        timezone=document["timezone"],
        missed=document["missed"],
        next=time("next"),
        state=document["state"],
        since=time("since"),
        last_posted=time("last_posted"),
        failures=document["failures"],
        last_error=document["last_error"],
        version=document["version"],
        document=document,
    )
