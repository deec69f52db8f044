"""What settings can be: numbers, sizes, spans of time, words, and the texts by which each is written.

A kind reads a value from a settings file, says what is allowed, and writes a value as the file would have it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import attrs

from queuey.config.kinds.values import Read, items
from queuey.config.kinds.values import path as read_path
from queuey.config.mistakes import Mistake, each, nearest, shown
from queuey.model.fields import Number, Real, decimal

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
N = TypeVar("N", int, float)

_SIZES: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SPANS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONG_SPANS: Final = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
}
"""What the units of time are called elsewhere."""

_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_SIZE: Final = re.compile(r"([0-9]{1,30}) ?([A-Za-z]*)")
_SPAN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)")
_INTEGER: Final = re.compile(r"[0-9]{1,15}")
_FRACTION: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+")
_WHOLE: Final = "a whole number"
_TIME: Final = "a time, such as 90, 90s, 15m, 6h or 3d"


@attrs.frozen
class Kind(Generic[T]):
    """What a setting can be.

    :ivar allowed: in words.
    :ivar read: makes a value of a text, or raises a ``Mistake`` or a group of them.
    :ivar show: writes a value as ``read`` reads it.
    """

    allowed: str
    read: Read[T] = attrs.field(repr=False, eq=False)
    show: Callable[[Any], str] = attrs.field(default=str, repr=False, eq=False)


def number(field: Number) -> Kind[Any]:
    """Return the kind of a number that is declared for all parts of the program."""
    if field.unit == "bytes":
        return size(int(field.low), int(field.high))
    if field.unit == "seconds":
        return whole_seconds(int(field.low), int(field.high))
    if isinstance(field, Real):
        return attrs.evolve(rate(field.low, field.high), allowed=field.allowed)
    return attrs.evolve(integer(field.low, field.high), allowed=field.allowed)


def size(low: int, high: int) -> Kind[int]:
    """Return the kind of a size in bytes, plain or with a unit of 1,024.

    Units of 1,000 are refused, because people do not agree on what ``MB`` means.
    """

    def read(text: str, base: Path) -> int:
        match = _SIZE.fullmatch(text)
        if match is None:
            if _SIZE.fullmatch(text.removeprefix("-")):
                raise Mistake(f"{shown(text)} is out of range")
            raise Mistake(f"{shown(text)} is not a size")
        if match[2] not in _SIZES:
            raise Mistake(f"{shown(match[2])} is not a unit", _near_size(match[1], match[2]))
        found = int(match[1]) * _SIZES[match[2]]
        if not low <= found <= high:
            raise Mistake(f"{shown(text)} is out of range")
        return found

    return Kind(f"{'1 byte' if low == 1 else size_text(low)} to {size_text(high)}", read, size_text)


def _near_size(found: str, unit: str) -> str:
    near = {name[0].lower(): name for name in _SIZES if name}.get(unit[0].lower())
    return f"{found}{near}" if near and len(unit) <= 3 else ""


def size_text(found: int) -> str:
    """Return a size with the largest unit that divides it."""
    unit = max((name for name, one in _SIZES.items() if found % one == 0), key=_SIZES.__getitem__)
    return f"{found // _SIZES[unit]}{unit}"


def integer(low: int, high: int) -> Kind[int]:
    """Return the kind of a whole number in decimal."""
    return Kind(f"{low} to {high}", _number(int, _INTEGER, low, high, _WHOLE))


def rate(low: float, high: float) -> Kind[float]:
    """Return the kind of a number with a fraction, in decimal."""
    return Kind(f"{decimal(low)} to {decimal(high)}", _number(float, _FRACTION, low, high, "a number"), decimal)


def _number(kind: Callable[[str], N], form: re.Pattern[str], low: float, high: float, what: str) -> Read[N]:
    def read(text: str, base: Path) -> N:
        if form.fullmatch(text) is None:
            raise Mistake(f"{shown(text)} {_not_read(text, low, high, what)}")
        found = kind(text)
        if not low <= found <= high:
            raise Mistake(f"{shown(text)} is out of range")
        return found

    return read


def _not_read(text: str, low: float, high: float, what: str) -> str:
    """Return why a text that the pattern of a number does not match is refused: -5 is a number, and out of range."""
    if _DECIMAL.fullmatch(text) is None or (what == _WHOLE and "." in text):
        return f"is not {what}"
    if not low <= float(text) <= high:
        return "is out of range"
    return "has a sign; leave it out" if text[0] in "+-" else f"is not {what} as settings have it"


def seconds(low: float, high: float) -> Kind[float]:
    """Return the kind of a span of time, in seconds or with a unit, a fraction allowed."""
    return Kind(f"{decimal(low)} to {decimal(high)} seconds", _span(float, low, high), decimal)


def whole_seconds(low: int, high: int) -> Kind[int]:
    """Return the kind of a span of time that is a whole number of seconds."""
    return Kind(f"{low} to {high} seconds", _span(int, low, high))


def _span(kind: Callable[[float], N], low: float, high: float) -> Read[N]:
    def read(text: str, base: Path) -> N:
        match = _SPAN.fullmatch(text)
        if match is None:
            raise Mistake(f"{shown(text)} {_not_read(text, low, high, _TIME)}")
        if match[2] not in _SPANS:
            raise Mistake(f"{shown(match[2])} is not a unit of time: s, m, h, d", _near_span(match[1], match[2]))
        # The products of decimal fractions are not exact; no setting is finer than a microsecond.
        found = round(float(match[1]) * _SPANS[match[2]], 6)
        if not low <= found <= high:
            raise Mistake(f"{shown(text)} is out of range")
        if kind(found) != found:
            raise Mistake(f"{shown(text)} is not a whole number of seconds")
        return kind(found)

    return read


def _near_span(found: str, unit: str) -> str:
    lower = unit.lower()
    near = _LONG_SPANS.get(lower, lower if lower in _SPANS else "")
    return f"{found}{near}" if near else ""


def optional(kind: Kind[T]) -> Kind[T | None]:
    """Return the kind of what may be left out: an empty text is ``None``."""
    return Kind(
        kind.allowed,
        lambda text, base: kind.read(text, base) if text else None,
        lambda value: "" if value is None else kind.show(value),
    )


def word(*words: str) -> Kind[str]:
    """Return the kind of one of several words."""

    def read(text: str, base: Path) -> str:
        if text not in words:
            raise Mistake(f"{shown(text)} is not known", nearest(text, words))
        return text

    return Kind(", ".join(words), read)


def several(*words: str) -> Kind[tuple[str, ...]]:
    """Return the kind of one or several words, separated by spaces, commas or lines."""
    one = word(*words)

    def read(text: str, base: Path) -> tuple[str, ...]:
        return each(items(text), lambda found: one.read(found, base))

    return Kind(f"one or several of {one.allowed}", read, " ".join)


def member(kind: type[E]) -> Kind[E]:
    """Return the kind of a member of an enumeration, by its value."""
    words = [str(each_one.value) for each_one in kind]

    def read(text: str, base: Path) -> E:
        try:
            return kind(text)
        except ValueError:
            raise Mistake(f"{shown(text)} is not known", nearest(text, words)) from None

    return Kind(", ".join(words), read, lambda value: str(value.value))


def _boolean(text: str, base: Path) -> bool:
    found = _BOOLEANS.get(text.lower())
    if found is None:
        raise Mistake(f"{shown(text)} is neither true nor false")
    return found


def boolean_text(value: bool) -> str:
    """Return ``true`` or ``false``."""
    return "true" if value else "false"


BOOLEAN: Final = Kind("true, false", _boolean, boolean_text)
"""True or false, also in the words that the first version's files use."""

FILE: Final = Kind("a file", read_path)
FOLDER: Final = Kind("a folder", read_path)


def text(allowed: str) -> Kind[str]:
    """Return the kind of any text."""
    return Kind(allowed, lambda found, base: found)


def text_or(kind: Kind[str]) -> Kind[str]:
    """Return the kind of a text that may be empty."""
    return Kind(kind.allowed, lambda found, base: kind.read(found, base) if found else "")


def parts(allowed: str, read: Read[Any] = lambda found, base: items(found)) -> Kind[tuple[Any, ...]]:
    """Return the kind of a list that is separated by spaces, commas or lines."""
    return Kind(allowed, read, lambda values: " ".join(map(str, values)))


def lines(allowed: str, read: Read[Any], show: Callable[[Any], str] = str) -> Kind[tuple[Any, ...]]:
    """Return the kind of a list with one value on each line."""
    return Kind(allowed, read, lambda values: lines_text(map(show, values)))


def lines_text(values: Any) -> str:
    """Return values as lines of an ini file; a single one is on the line of its key."""
    found = tuple(values)
    return found[0] if len(found) == 1 else "".join(f"\n    {value}" for value in found)
