"""Durations and times as they are written on the command line."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d|w)?")

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    # Before click 8.5 it takes no parameters.
    _Type = click.ParamType


def seconds_of(text: str) -> float:
    """Read a duration such as ``90``, ``90s``, ``15m``, ``6h`` or ``3d``.

    :raise ValueError: if it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a duration such as 90, 90s, 15m, 6h or 3d")
    return float(found.group(1)) * _UNITS[found.group(2) or ""]


def moment_of(text: str, now: float) -> datetime:
    """Read a time: RFC 3339, seconds since 1970, ``now``, or how long ago it was.

    :raise ValueError: if it is none.
    """
    text = text.strip()
    try:
        if text == "now":
            return datetime.fromtimestamp(now, timezone.utc)
        if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
            return datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=float(text))
        if _DURATION.fullmatch(text):
            return datetime.fromtimestamp(now, timezone.utc) - timedelta(seconds=seconds_of(text))
        # Python before 3.11 reads neither Z nor other decimals than three or six.
        cut = re.sub(r"\.(\d{1,9})", lambda part: f".{part.group(1)[:6]:0<6}", text)
        found = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", cut))
    except (OverflowError, ValueError, OSError):
        raise ValueError(
            f"{text!r} is not a time such as 2026-01-31T12:00:00Z, 1769860800 (seconds since 1970) or 2h (ago)"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)


class Duration(_Type):
    """Seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return seconds_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(_Type):
    """A time, or how long ago it was."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        if isinstance(value, datetime):
            return value
        try:
            return moment_of(value, time.time())
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Due(_Type):
    """Seconds from now: a duration, or the time itself."""

    name = "duration|time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return seconds_of(value)
        except ValueError:
            pass
        try:
            return max(0.0, moment_of(value, time.time()).timestamp() - time.time())
        except ValueError:
            self.fail(
                f"{value!r} is neither a duration such as 15m nor a time such as 2026-01-31T12:00:00Z", param, ctx
            )


class Spot(_Type):
    """A place in a queue: a time, or a cursor or an id, which are left as they are."""

    name = "time|place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        try:
            return value if value == "now" else moment_of(value, time.time())
        except ValueError:
            return value


DURATION = Duration()
MOMENT = Moment()
DUE = Due()
SPOT = Spot()
