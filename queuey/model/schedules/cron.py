"""The times that a cron expression names, in seconds since 1970.

Daylight saving is handled as Debian's cron does: if a job runs at fixed times, a time that does not exist becomes the
first one that does, and a time that exists twice counts once. Expressions whose minutes or hours begin with ``*`` go on
by elapsed time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MAX_CRON: Final = 255
"""Maximum length of an expression in characters."""

MAX_ZONE: Final = 64
"""Maximum length of the name of a time zone in characters."""

LAST_TIME: Final = 253_370_764_800
"""Times from the year 9999 on are not looked for."""

_ZONE: Final = re.compile(r"[A-Z][A-Za-z]+(/[A-Za-z0-9_+-]+)+", re.ASCII)
"""Names without a slash, as EST, are old; Area/Place are those that are kept."""

_WINDOWS: Final = (3_600, 86_400, 40 * 86_400, 800 * 86_400)
"""How far back the newest time is looked for at first: then few times are visited, however long ago ``after`` is."""


class BadCron(ValueError):
    """The expression or the time zone is wrong, or names no time; the text has the reason."""


def zone(name: str) -> tzinfo:
    """Return a time zone.

    :raise BadCron: there is none of that name.
    """
    if name == "UTC":
        return UTC
    try:
        if len(name) > MAX_ZONE or _ZONE.fullmatch(name) is None:
            raise ValueError
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        raise BadCron("is not the name of a time zone, such as Europe/Berlin") from None


def check(cron: str, timezone: str, now: int) -> int:
    """Check an expression; return its first time after ``now``.

    :raise BadCron: the expression is wrong, or names no time in the next fifty years.
    """
    if len(cron) > MAX_CRON:
        raise BadCron(f"has more than {MAX_CRON} characters")
    if len(cron.split()) != 5 or not (cron.isascii() and cron.isprintable()):
        raise BadCron("is not five fields: minute, hour, day of the month, month and day of the week")
    try:
        found = next_time(cron, timezone, now)
    except CronSimError as error:
        raise BadCron(f"is not a cron expression: {error}") from None
    if found is None:
        raise BadCron("names no time in the next fifty years")
    return found


def next_time(cron: str, timezone: str, after: int) -> int | None:
    """Return the first time later than ``after``; ``None`` if there is none in fifty years."""
    return next(_times(cron, timezone, after), None)


def newest_time(cron: str, timezone: str, after: int, now: int) -> int | None:
    """Return the last time that is later than ``after`` and not later than ``now``; ``None`` if there is none."""
    for back in (*_WINDOWS, now - after):
        found = None
        for found_next in _times(cron, timezone, max(after, now - back)):
            if found_next > now:
                break
            found = found_next
        if found is not None or now - back <= after:
            return found
    return None


def _times(cron: str, timezone: str, after: int) -> Iterator[int]:
    if not 0 <= after < LAST_TIME:
        return
    last = after
    found_times = CronSim(cron, datetime.fromtimestamp(after, zone(timezone)))
    while True:
        try:
            seconds = int(next(found_times).timestamp())
        except (StopIteration, OverflowError):  # none in fifty years, or none before the end of all dates
            return
        # Around a change of the clocks several times on the wall may be the same moment, or an earlier one.
        if seconds > last:
            last = seconds
            yield seconds
