"""The JSON of a page that came as columns: each member of all its messages by a few calls.

Members that have the same length in all messages are cut out of one text, and ids become times by arithmetic on one
number that has them all. For a hundred messages that takes as long as the same for three, one after another.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final

import attrs
import msgspec

from queuey.model.messages.columns import DIGITS, EARLIEST, LATEST, Columns
from queuey.model.timeid import EPOCH, MessageId, second_text, ticks_of

_DECIMALS: Final = 7
_SECONDS: Final = DIGITS - _DECIMALS

_encode: Final = msgspec.json.Encoder().encode


def interleaved(parts: Sequence[bytes | Sequence[bytes]], number: int) -> bytes:
    """A number of items with the same parts: each part is one text for all items, or a list with one for each."""
    width = len(parts)
    found = [part if isinstance(part, bytes) else b"" for part in parts] * number
    for place, part in enumerate(parts):
        if not isinstance(part, bytes):
            found[place::width] = part
    return b"".join(found)


@attrs.frozen
class Times:
    """Times, each cut in two.

    :ivar seconds: since 1970, in digits.
    :ivar decimals: what is left of a second, in digits.
    """

    seconds: Sequence[bytes]
    decimals: Sequence[bytes]

    def texts(self) -> list[bytes]:
        """Return the seconds as ``second_text`` does; a page has few different ones."""
        known = {second: second_text(int(second)).encode("ascii") for second in set(self.seconds)}
        return [known[second] for second in self.seconds]


class Ids:
    """The ids of a page as one number.

    :ivar number: how many there are.
    """

    def __init__(self, ids: Sequence[MessageId]) -> None:
        """:param ids: at least one, in order, with times that have ``DIGITS`` digits; see ``can_tell``."""
        self.number = len(ids)
        self._bytes = b"".join(ids)
        self._masks = _masks(self.number)
        self._whole = int.from_bytes(self._bytes, "big")
        masks = self._masks
        # The version stands within the time, before its last 12 bits.
        self._ticks = (self._whole & masks.high) >> 4 | self._whole & masks.low

    def hex(self) -> tuple[bytes, ...]:
        """Each as 32 hex digits."""
        return self._cut_hex(self._bytes)

    def v1_hex(self) -> tuple[bytes, ...]:
        """Return each as ``to_v1_hex`` does: the time from its lowest bits on, with the version of v1."""
        masks, ticks = self._masks, self._ticks
        time = (ticks & masks.last) << 32 | (ticks & masks.middle) >> 16 | (ticks & masks.first) >> 48
        whole = time | masks.version | self._whole & masks.rest
        return self._cut_hex(whole.to_bytes(16 * self.number, "big"))

    def times(self) -> Times:
        """The time of each."""
        # None is below the first of 17 digits, so the subtraction does not borrow from its neighbour.
        since = self._ticks - self._masks.epoch
        ticks = _struct("Q8x", self.number).unpack(since.to_bytes(16 * self.number, "big"))
        return in_two(_encode(ticks), f"x{_SECONDS}s{_DECIMALS}s", self.number)

    def _cut_hex(self, data: bytes) -> tuple[bytes, ...]:
        return _struct("32s", self.number).unpack(hexlify(data))


def can_tell(columns: Columns) -> bool:
    """Whether the times of ids have as many digits as those of expiries."""
    # They are in order, one way or the other.
    first, last = MessageId(columns.heads[:16]), MessageId(columns.heads[-16 - DIGITS : -DIGITS])
    return EARLIEST <= ticks_of(first) <= LATEST and EARLIEST <= ticks_of(last) <= LATEST


def in_two(digits: bytes, layout: str, number: int) -> Times:
    """Times, each of which has ``DIGITS`` digits."""
    found = _struct(layout, number).unpack_from(digits)
    return Times(found[0::2], found[1::2])


def expiries(columns: Columns) -> Times:
    """When the messages of a page expire."""
    return in_two(b"".join(columns.expiries), f"{_SECONDS}s{_DECIMALS}s", columns.number)


@attrs.frozen
class _Masks:
    """Numbers that have the same bits for each of some ids.

    :ivar high: those of the time in an id, above its version; and ``low``, those below it.
    :ivar first: those of a time that come last in an id of v1; and ``middle``, and ``last``.
    :ivar rest: what follows the time.
    """

    high: int
    low: int
    first: int
    middle: int
    last: int
    rest: int
    version: int
    epoch: int


@lru_cache(64)
def _masks(number: int) -> _Masks:
    times = (
        0xFFFF_FFFF_FFFF_0000,
        0x0FFF,
        0xFFFF_0000_0000_0000,
        0x0000_FFFF_0000_0000,
        0x0000_0000_FFFF_FFFF,
    )
    high, low, first, middle, last, version, epoch = (
        int.from_bytes((bits.to_bytes(8, "big") + bytes(8)) * number, "big") for bits in (*times, 0x1000, EPOCH)
    )
    rest = int.from_bytes((bytes(8) + b"\xff" * 8) * number, "big")
    return _Masks(high, low, first, middle, last, rest, version, epoch)


@lru_cache(256)
def _struct(layout: str, number: int) -> Struct:
    return Struct(">" + layout * number)
