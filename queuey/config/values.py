"""Readers of values: each takes the text of a value, and the folder that relative paths are based on."""

from __future__ import annotations

import grp
import ipaddress
import os
import re
from collections.abc import Callable
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from queuey.config.mistakes import Mistake, each, nearest, shown
from queuey.file_modes import OWN_USER, FileModes
from queuey.model import origins as origin

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
N = TypeVar("N", int, float)

Read = Callable[[str, Path], T]
"""Makes a value of its text. Raises a :class:`Mistake`, or a group of them."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNITS: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_DIGEST: Final = re.compile(r"sha256:([0-9A-Fa-f]{64})")
_UNSENDABLE: Final = re.compile(r"[^!-~]")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]")
_MIN_TOKEN: Final = 16
_WHOLE: Final = "a whole number"
_SIZE: Final = re.compile(r"([0-9]{1,15}) ?([A-Za-z]*)")
_INTEGER: Final = re.compile(r"[0-9]{1,15}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+")


def size(low: int, high: int) -> Read[int]:
    """Bytes, plain or with a unit of 1,024; units of 1,000 are refused, since few agree on what ``MB`` means."""

    def read(text: str, base: Path) -> int:
        match = _SIZE.fullmatch(text)
        if match is None:
            if _SIZE.fullmatch(text.removeprefix("-")):
                raise Mistake(f"{shown(text)} is out of range")
            raise Mistake(f"{shown(text)} is not a size")
        if match[2] not in _UNITS:
            raise Mistake(f"{shown(match[2])} is not a unit", _near_unit(match[1], match[2]))
        number = int(match[1]) * _UNITS[match[2]]
        if not low <= number <= high:
            raise Mistake(f"{shown(text)} is out of range")
        return number

    return read


def _near_unit(number: str, unit: str) -> str:
    near = {name[0].lower(): name for name in _UNITS if name}.get(unit[0].lower())
    return f"{number}{near}" if near and len(unit) <= 3 else ""


def integer(low: int, high: int) -> Read[int]:
    """A whole number in decimal."""
    return _number(int, _INTEGER, low, high, _WHOLE)


def seconds(low: float, high: float) -> Read[float]:
    """Seconds in decimal, a fraction allowed."""
    return _number(float, _SECONDS, low, high, "a number of seconds")


def rate(low: float, high: float) -> Read[float]:
    """Read a rate per second as a decimal number, which may have a fraction."""
    return _number(float, _SECONDS, low, high, "a number")


def _number(kind: Callable[[str], N], form: re.Pattern[str], low: float, high: float, what: str) -> Read[N]:
    def read(text: str, base: Path) -> N:
        if form.fullmatch(text) is None:
            raise Mistake(f"{shown(text)} {_not_read(text, low, high, what)}")
        number = kind(text)
        if not low <= number <= high:
            raise Mistake(f"{shown(text)} is out of range")
        return number

    return read


def _not_read(text: str, low: float, high: float, what: str) -> str:
    """Return why a text that the pattern of a number does not match is refused: -5 is a number, and out of range."""
    if _DECIMAL.fullmatch(text) is None or (what == _WHOLE and "." in text):
        return f"is not {what}"
    if not low <= float(text) <= high:
        return "is out of range"
    return "has a sign; leave it out" if text[0] in "+-" else f"is not {what} as settings have it"


def optional(read: Read[T]) -> Read[T | None]:
    """Read an optional value: an empty text is ``None``."""
    return lambda text, base: read(text, base) if text else None


def word(*words: str) -> Read[str]:
    """One of several words."""

    def read(text: str, base: Path) -> str:
        if text not in words:
            raise Mistake(f"{shown(text)} is not known", nearest(text, words))
        return text

    return read


def several(*words: str) -> Read[tuple[str, ...]]:
    """One or several words, separated by spaces, commas or lines."""
    read_word = word(*words)

    def read(text: str, base: Path) -> tuple[str, ...]:
        return each(items(text), lambda one: read_word(one, base))

    return read


def member(*members: E) -> Read[E]:
    """One of several members of an enumeration, by their values."""
    by_value = {str(each_one.value): each_one for each_one in members}
    read_word = word(*by_value)
    return lambda text, base: by_value[read_word(text, base)]


def boolean(text: str, base: Path) -> bool:
    """Yes or no, in any of the words that the first version's files use."""
    found = _BOOLEANS.get(text.lower())
    if found is None:
        raise Mistake(f"{shown(text)} is neither true nor false")
    return found


def path(text: str, base: Path) -> Path:
    """A file or folder, made absolute."""
    return Path(os.path.normpath(base / text))


def networks(text: str, base: Path) -> tuple[Network, ...]:
    """Addresses and networks, separated by spaces, commas or lines."""
    return each(items(text), _network)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise Mistake(f"{shown(text)} is neither an address nor a network") from None
    raise Mistake(f"{shown(text)} has bits set beyond its length", meant)


def origins(text: str, base: Path) -> tuple[str, ...]:
    """Origins as browsers send them, or ``*`` alone, separated by spaces, commas or lines."""
    found = items(text)
    if "*" in found and len(found) > 1:
        raise Mistake("* means all origins and must be the only value")
    return found if found == ("*",) else each(found, _origin)


def _origin(text: str) -> str:
    found = origin.problem(text)
    if found is not None:
        what, meant = found
        raise Mistake(f"{shown(text)} {what}", meant)
    return text


def token(text: str, base: Path) -> bytes:
    """The SHA-256 digest of a token, or one that is given. What is wrong is said without it: lines end up in logs."""
    match = _DIGEST.fullmatch(text)
    if match is not None:
        return bytes.fromhex(match[1])
    if text.lower().startswith("sha256:"):
        raise Mistake("the digest is not 64 hex digits after sha256:")
    if _UNSENDABLE.search(text) is not None:
        raise Mistake("the token has a character outside visible ASCII, and cannot be sent")
    if len(text) < _MIN_TOKEN:
        raise Mistake(f"the token has fewer than {_MIN_TOKEN} characters, so it could be guessed")
    return sha256(text.encode()).digest()


def hosts(text: str, base: Path) -> tuple[str, ...]:
    """Names and addresses of this machine, in lower case and without ports."""
    return each(items(text), _host)


def _host(text: str) -> str:
    if _HOST.fullmatch(text) is None:
        raise Mistake(f"{shown(text)} is no name or address of a host", text.partition(":")[0])
    return text.lower()


def items(text: str) -> tuple[str, ...]:
    """The parts of a text that are separated by spaces, commas or lines, each once, in their order."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def size_text(number: int) -> str:
    """A size as :func:`size` reads it, with the largest unit that divides it."""
    unit = max((name for name, one in _UNITS.items() if number % one == 0), key=_UNITS.__getitem__)
    return f"{number // _UNITS[unit]}{unit}"


def seconds_text(number: float) -> str:
    """Seconds as :func:`seconds` reads them."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def file_group(text: str, base: Path) -> FileModes:
    """The group of this machine that may read the files which the daemon makes, if there is one."""
    if not text:
        return OWN_USER
    try:
        return FileModes(text, grp.getgrnam(text).gr_gid)
    except KeyError:
        raise Mistake(f"{shown(text)} is no group of this machine") from None
