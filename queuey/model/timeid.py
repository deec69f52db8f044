"""Message ids, and the time that is in them.

Inside Queuey an id is the 16 bytes of a UUID of version 6 (RFC 9562, section 5.6), whose byte order is the order of
time. The v1 API shows the UUID of version 1 that has the same fields; the two forms are the same bits in another order.

Times are *ticks*: whole units of 100 ns since 1582-10-15, as UUIDs count them. Ids, expiries and the stable time all
share that unit, so they can be compared without conversion.
"""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NewType

Ticks = NewType("Ticks", int)
MessageId = NewType("MessageId", bytes)

SECOND: Final = 10_000_000
"""Ticks in one second."""

EPOCH: Final = 0x01B21DD213814000
"""Ticks between 1582-10-15 and 1970-01-01 (RFC 9562, appendix A)."""

MAX_TICKS: Final = Ticks((1 << 60) - 1)
"""The last time that an id can hold, in the year 5236."""

LOWEST: Final = MessageId(bytes(16))
"""A bound below every id."""

HIGHEST: Final = MessageId(b"\xff" * 16)
"""A bound above every id."""

_MIDDLES: Final = [(0x6000 | bits).to_bytes(2, "big") for bits in range(0x1000)]
"""The bytes 6 and 7 of an id, by the lowest 12 bits of its time."""

_HEX: Final = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)
_SECONDS: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?", re.ASCII)
_MOST_DIGITS: Final = len(str(MAX_TICKS))


def from_seconds(seconds: float) -> Ticks:
    """The ticks of a time in seconds since 1970, as clocks give it."""
    return Ticks(int(seconds * SECOND) + EPOCH)


def to_seconds(ticks: Ticks) -> float:
    """The seconds since 1970 of a time in ticks."""
    return (ticks - EPOCH) / SECOND


def parse_seconds(text: str, *, up: bool) -> Ticks | None:
    """Return the ticks of decimal text in seconds since 1970, exact to 100 ns.

    :param up: how to round what is finer: up for a lower bound, down for an upper one.
    :return: ``None`` if the text is not digits with at most one point. Times later than an id can hold give a bound
        above every id.
    """
    match = _SECONDS.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        return None
    whole, fraction = match[1].lstrip("0") or "0", match[2] or ""
    if len(whole) > _MOST_DIGITS:
        return Ticks(MAX_TICKS + 1)
    ticks = int(whole) * SECOND + int(fraction[:7].ljust(7, "0")) + EPOCH
    if up and fraction[7:].strip("0"):
        ticks += 1
    return Ticks(min(ticks, MAX_TICKS + 1))


def make(ticks: Ticks, clock_sequence: int, node: int) -> MessageId:
    """An id.

    :param ticks: its time, at most ``MAX_TICKS``.
    :param clock_sequence: 14 bits.
    :param node: 48 bits.
    """
    high = (ticks >> 12) << 16 | 0x6000 | ticks & 0xFFF
    low = (0x8000 | clock_sequence) << 48 | node
    return MessageId((high << 64 | low).to_bytes(16, "big"))


RANDOM_BITS: Final = 62
"""Bits of an id that are not its time, nor say what it is."""


def make_random(ticks: Ticks, random: int) -> MessageId:
    """Make an id that is unpredictable except for its time.

    :param random: ``RANDOM_BITS`` bits.
    """
    return make(ticks, random >> 48, random & ((1 << 48) - 1))


def make_run(first: Ticks, count: int, clock_sequence: int, node: int) -> list[MessageId]:
    """Return the ids that ``make`` returns for consecutive ticks, in a tenth of the time.

    :param first: the time of the first of them; that of the last is at most ``MAX_TICKS``.
    """
    found: list[MessageId] = []
    end = first + count
    while first < end:
        # The lower 12 bits of the time are apart from the others.
        some = min(end - first, 0x1000 - (first & 0xFFF))
        found += struct.unpack("16s" * some, run_bytes(make(first, clock_sequence, node), some))
        first = Ticks(first + some)
    return found


def low_bits(id: MessageId) -> int:
    """Return the lowest 12 bits of the time of an id, which follow its version."""
    return (id[6] & 0xF) << 8 | id[7]


def run_bytes(first: MessageId, count: int) -> bytes:
    """The bytes of ids whose times are one tick apart, one after another.

    :param first: the first of them.
    :param count: how many; no more than there are before the lowest 12 bits of their time are all ones.
    """
    bits, high, low = low_bits(first), first[:6], first[8:]
    return high + (low + high).join(_MIDDLES[bits : bits + count]) + low


def lower_bound(ticks: Ticks) -> MessageId:
    """A bound that is at or below every id of that time, and above every id before it."""
    if ticks <= 0:
        return LOWEST
    if ticks > MAX_TICKS:
        return HIGHEST
    return MessageId(((ticks >> 12) << 16 | 0x6000 | ticks & 0xFFF).to_bytes(8, "big") + bytes(8))


def upper_bound(ticks: Ticks) -> MessageId:
    """A bound above every id of that time, and at or below every later one."""
    return lower_bound(Ticks(ticks + 1))


def successor(id: MessageId) -> MessageId:
    """The least bound above an id: what is at or above it comes after the id."""
    number = int.from_bytes(id, "big") + 1
    return HIGHEST if number >> 128 else MessageId(number.to_bytes(16, "big"))


def ticks_of(id: MessageId) -> Ticks:
    """The time of an id."""
    high = int.from_bytes(id[:8], "big")
    return Ticks((high >> 16) << 12 | high & 0xFFF)


def from_v1_hex(text: str) -> MessageId | None:
    """The id that is meant by the 32 hex digits, of either case, of a version-1 UUID.

    :return: ``None`` for anything else: other digits, another length, version or variant.
    """
    if _HEX.fullmatch(text) is None:
        return None
    number = int(text, 16)
    if (number >> 76) & 0xF != 1 or (number >> 62) & 3 != 2:
        return None
    ticks = ((number >> 64) & 0xFFF) << 48 | ((number >> 80) & 0xFFFF) << 32 | number >> 96
    high = (ticks >> 12) << 16 | 0x6000 | ticks & 0xFFF
    return MessageId((high << 64 | number & 0xFFFFFFFFFFFFFFFF).to_bytes(16, "big"))


def to_v1_hex(id: MessageId) -> str:
    """The 32 hex digits of the version-1 UUID with the fields of an id."""
    digits = id.hex()
    ticks = digits[:12] + digits[13:16]
    return f"{ticks[7:]}{ticks[3:7]}1{ticks[:3]}{digits[16:]}"


_UNIX_DAY: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX_DAY_TOLD: Final = datetime(1970, 1, 1)
"""The same without its zone, which the caller writes in another way."""
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-5][0-9]))",
    re.ASCII,
)


def to_rfc3339(ticks: Ticks) -> str:
    """A time as RFC 3339 has it, in UTC, with seven decimals."""
    seconds, rest = divmod(ticks - EPOCH, SECOND)
    return f"{second_text(seconds)}.{rest:07d}Z"


@lru_cache(maxsize=256)
def second_text(seconds: int) -> str:
    """A second since 1970 as ``to_rfc3339`` begins; cached, since consecutive times share few seconds."""
    return (_UNIX_DAY_TOLD + timedelta(seconds=seconds)).isoformat()


def parse_time(text: str, *, up: bool) -> Ticks | None:
    """Return the ticks of a time: RFC 3339 with any offset, or seconds since 1970 in decimal text.

    :param up: how to round what is finer than 100 ns: up for a lower bound, down for an upper one.
    :return: ``None`` for anything else. A time before the first that an id can hold gives that one.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return parse_seconds(text, up=up)
    date, clock, fraction, sign, hours, minutes = match.groups()
    leap = clock.endswith(":60")
    try:
        moment = datetime.fromisoformat(f"{date}T{clock[:-2]}59+00:00" if leap else f"{date}T{clock}+00:00")
    except ValueError:
        return None
    since = moment - _UNIX_DAY
    seconds = since.days * 86_400 + since.seconds + leap
    if sign is not None:
        offset = int(hours) * 3600 + int(minutes) * 60
        if int(hours) > 23:
            return None
        seconds += offset if sign == "-" else -offset
    fraction = fraction or ""
    ticks = seconds * SECOND + int(fraction[:7].ljust(7, "0")) + EPOCH
    if up and fraction[7:].strip("0"):
        ticks += 1
    return Ticks(min(max(ticks, 0), MAX_TICKS + 1))


def from_hex(text: str) -> MessageId | None:
    """The id that the 32 hex digits of a version-6 UUID are, in lower or upper case.

    :return: ``None`` for anything else.
    """
    if _HEX.fullmatch(text) is None:
        return None
    number = int(text, 16)
    if (number >> 76) & 0xF != 6 or (number >> 62) & 3 != 2:
        return None
    return MessageId(number.to_bytes(16, "big"))


def timestamp(id: MessageId) -> str:
    """The time of an id as text: seconds since 1970 with exactly seven decimals."""
    ticks = ticks_of(id) - EPOCH
    if ticks < 0:
        seconds, rest = divmod(-ticks, SECOND)
        return f"-{seconds}.{rest:07d}"
    digits = f"{ticks:08d}"
    return f"{digits[:-7]}.{digits[-7:]}"
