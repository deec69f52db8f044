"""Turns rows into messages: which of them are visible, how many to ask for at once, and when a slice is full."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import attrs

from queuey.model.messages.message import Content, Message
from queuey.model.reading.window import SLICE_BYTES, SLICE_ROWS
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.cassandra.cluster.port import Level, Row
from queuey.storage.cassandra.queues.rows import Incarnation

UNKNOWN_ROWS: Final = 32
"""Messages to ask for if their size is unknown: any may have a mebibyte."""

MAX_ROWS: Final = 128
"""Messages to ask for at once at the most: they may have grown since."""

_MOST_QUEUES: Final = 10_000

EXPIRES: Final = -6
WRITTEN: Final = -5
GONE: Final = -4
TXN: Final = -3
LIVE: Final = -2
DKEY: Final = -1
"""The columns that rows of messages have in common, full or brief: when they end, when their bodies were written and
removed; and for messages under an Idempotency-Key their attempt, whether it counts, and its key."""


def is_open(row: Row) -> bool:
    """Whether a row is of an undecided write under an Idempotency-Key, which is hidden until it is decided; see
    queuey.model.messages.producer."""
    return row[TXN] is not None and not row[LIVE]


@attrs.frozen
class Visibility:
    """Decides which messages of a queue one read returns: those that have not expired and were not purged.

    :ivar now: messages that expire at or before this time are hidden.
    :ivar purged: by partition the bound below which messages were purged, and when, in microseconds since 1970.
    """

    now: Ticks
    purged: Mapping[int, tuple[bytes, int]]

    def shows(self, partition: int, id: bytes, expires: int | None, written: int | None) -> bool:
        """Return whether a message exists.

        :param written: when its body was written, in microseconds since 1970; ``None`` if it has none.
        """
        if written is None or expires is None or expires <= self.now:
            return False
        bound, at = self.purged.get(partition, (b"", 0))
        return id >= bound or written > at

    def asks(self, partition: int, row: Row) -> bool:
        """Whether a row belongs to an undecided write, and would be shown if that write is decided to count."""
        return is_open(row) and self.shows(partition, row[0], row[EXPIRES], row[WRITTEN])

    def message(self, partition: int, row: Row) -> Message | None:
        """Return the message of a row of ``Statements.page`` and ``find``, or ``None`` if it is hidden."""
        id, body, content_type, headers, expires, written, *_ = row
        if body is None or is_open(row) or not self.shows(partition, id, expires, written):
            return None
        return Message(partition, MessageId(id), Content(body, content_type, headers), Ticks(expires))


@attrs.frozen
class View:
    """What one call needs to read a queue: its incarnation, the consistency level, and the visibility of messages."""

    incarnation: Incarnation
    level: Level
    visibility: Visibility


class MessageSizes:
    """Approximate sizes of the messages of each queue, so that a page of them fits in memory.

    An estimate rises at once and falls slowly, since a page with too many bytes is worse than one more page.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, float] = OrderedDict()

    def seen(self, key: bytes, count: int, size: int) -> None:
        """Learn the size of some messages of an incarnation."""
        if not count:
            return
        mean = size / count
        self._known[key] = max(mean, 0.75 * self._known.get(key, mean) + 0.25 * mean)
        self._known.move_to_end(key)
        if len(self._known) > _MOST_QUEUES:
            self._known.popitem(last=False)

    def rows(self, key: bytes, bytes_left: int) -> int:
        """Return how many messages to ask for if so many bytes are wanted."""
        mean = self._known.get(key)
        if mean is None:
            return UNKNOWN_ROWS
        return int(max(1, min(MAX_ROWS, bytes_left / max(mean, 1) + 1)))


class SliceBuilder:
    """Collects the messages of one slice, up to its limits of rows and bytes."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._bytes = 0

    @property
    def rows_left(self) -> int:
        """Messages that the slice may still take."""
        return SLICE_ROWS - len(self.messages)

    @property
    def bytes_left(self) -> int:
        """Bytes of bodies until the slice ends."""
        return SLICE_BYTES - self._bytes

    def full(self) -> bool:
        """Whether the slice ends here."""
        return self.rows_left <= 0 or self.bytes_left <= 0

    def take(self, message: Message) -> None:
        """Add a message."""
        self.messages.append(message)
        self._bytes += len(message.content.body)
