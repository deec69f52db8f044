"""Cursors: how far a reader has come, as text that any process of a deployment understands."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from typing import Final

import attrs

from queuey.errors import BadCursor, CursorMismatch
from queuey.model.queues.queue import MAX_PARTITIONS
from queuey.model.reading.many import StorePosition
from queuey.model.reading.window import Position
from queuey.model.timeid import MessageId

MAX_CURSOR: Final = 512
"""Maximum length of a cursor in characters."""

MIN_CURSOR: Final = 32
"""Characters of a cursor at the least: those of 24 bytes."""

_VERSION: Final = 1
_MANY: Final = 2
"""The version of cursors of many queues: a place in the log of the store, whatever queues are read."""
_DESCENDING: Final = 1
_SOME: Final = 2
_FLOOR: Final = 4
_KNOWN_FLAGS: Final = _DESCENDING | _SOME | _FLOOR
_ID: Final = 16
_HEAD: Final = 2 + _ID + 2
_BITMAP: Final = MAX_PARTITIONS // 8
_CHECK: Final = 4
_MOST_INCARNATION: Final = 16
_NUMBER: Final = 8
_MANY_SIZE: Final = 2 + _ID + 1 + _NUMBER


@attrs.frozen
class Cursor:
    """The place from which a reader continues, and the kind of read that it belongs to.

    :ivar incarnation: of the queue that is read.
    :ivar position: everything up to it has been read.
    :ivar partitions: the partitions that are read, in rising order; ``None``: all of them, also those added later.
    :ivar floor: the lower bound of a descending read, from its ``since``, which later requests do not repeat.
    """

    incarnation: int
    position: Position
    descending: bool = False
    partitions: tuple[int, ...] | None = None
    floor: MessageId | None = None

    def text(self) -> str:
        """Return the cursor as URL-safe text. It has a checksum but no secret: a forged cursor gives access to no more
        messages than its caller may read anyway."""
        number = self.incarnation.to_bytes((self.incarnation.bit_length() + 7) // 8, "big")
        flags = _DESCENDING if self.descending else 0
        flags |= (0 if self.partitions is None else _SOME) | (0 if self.floor is None else _FLOOR)
        parts = [bytes((_VERSION, flags)), self.position.id, bytes((self.position.partition, len(number))), number]
        if self.partitions is not None:
            parts.append(sum(1 << (partition - 1) for partition in self.partitions).to_bytes(_BITMAP, "big"))
        if self.floor is not None:
            parts.append(self.floor)
        data = b"".join(parts)
        return urlsafe_b64encode(data + _checksum(data)).rstrip(b"=").decode("ascii")


def parse(text: str) -> Cursor:
    """The cursor that a text is.

    :raise BadCursor: it is none, or damaged.
    :raise CursorMismatch: it is of a read of many queues.
    """
    data = _decoded(text)
    version, flags = data[0], data[1]
    if version == _MANY and len(data) == _MANY_SIZE:
        raise CursorMismatch("The cursor is from a read of many queues, and this is a read of one queue.")
    partition, length = data[2 + _ID], data[3 + _ID]
    if version != _VERSION or flags & ~_KNOWN_FLAGS or partition > MAX_PARTITIONS or length > _MOST_INCARNATION:
        raise _bad()
    some = bool(flags & _SOME)
    bits, floor = data[_HEAD + length :], None
    if flags & _FLOOR:
        bits, floor = bits[:-_ID], MessageId(bits[-_ID:])
    if len(data) != _HEAD + length + (_BITMAP if some else 0) + (_ID if flags & _FLOOR else 0):
        raise _bad()
    return Cursor(
        int.from_bytes(data[_HEAD : _HEAD + length], "big"),
        Position(MessageId(data[2 : 2 + _ID]), partition),
        bool(flags & _DESCENDING),
        _partitions(int.from_bytes(bits, "big")) if some else None,
        floor,
    )


def many_text(position: StorePosition) -> str:
    """Return the cursor of a read of many queues as text: 42 characters for any number of queues.

    It does not depend on which queues are read: a reader may ask for others, and goes on from the same place.
    """
    parts = (position.id, bytes((position.partition,)), position.queue.to_bytes(_NUMBER, "big"))
    data = bytes((_MANY, 0)) + b"".join(parts)
    return urlsafe_b64encode(data + _checksum(data)).rstrip(b"=").decode("ascii")


def parse_many(text: str) -> StorePosition:
    """Return the place that a cursor of a read of many queues is.

    :raise BadCursor: it is none, or damaged.
    :raise CursorMismatch: it is of a read of one queue.
    """
    data = _decoded(text)
    if data[0] == _VERSION:
        raise CursorMismatch("The cursor is from a read of one queue, and this is a read of many queues.")
    partition = data[2 + _ID] if len(data) == _MANY_SIZE else MAX_PARTITIONS + 1
    if data[0] != _MANY or data[1] or partition > MAX_PARTITIONS:
        raise _bad()
    return StorePosition(MessageId(data[2 : 2 + _ID]), int.from_bytes(data[3 + _ID :], "big"), partition)


def _partitions(bits: int) -> tuple[int, ...]:
    return tuple(number for number in range(1, MAX_PARTITIONS + 1) if bits >> (number - 1) & 1)


def _decoded(text: str) -> bytes:
    """The bytes of a cursor, which are whole."""
    try:
        raw = text.encode("ascii")
        data = urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (ValueError, Error):
        raise _bad() from None
    body, check = data[:-_CHECK], data[-_CHECK:]
    if len(text) > MAX_CURSOR or len(body) < _HEAD or check != _checksum(body):
        raise _bad()
    if urlsafe_b64encode(data).rstrip(b"=") != raw:
        raise _bad()  # the decoder ignores other characters
    return body


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECK).digest()


def _bad() -> BadCursor:
    return BadCursor("The cursor is damaged, or Queuey did not make it. Send a cursor exactly as an answer gave it.")
