"""Reads a page in one row: all messages of a range in one partition, as columns that SQLite has concatenated.

A query that returns one row for each message releases the interpreter's lock for each row, and has to win it back from
a busy reactor: a hundred times for a page. It is still used if the concatenated messages cannot be separated, one of
them has expired, or they are not in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import Final

import apsw
import attrs

from queuey.model.messages.columns import BETWEEN, DIGITS, EARLIEST, LATEST, Columns
from queuey.model.messages.message import Content, Message
from queuey.model.reading.window import SLICE_BYTES, SLICE_ROWS, Messages
from queuey.model.timeid import EPOCH, LOWEST, MAX_TICKS, MessageId, Ticks
from queuey.storage.sqlite.chunks import INT64

FEW: Final = 8
"""Messages up to which rows are as quick."""

PASSED_OVER: Final = 16
"""Reads of a queue that skip this way after one whose messages could not be separated, or were in another order."""

MAX_REMEMBERED: Final = 1000
"""The number of queues for which that is remembered, at most."""

_GIVEN: Final = b"="
"""Comes before a content type and before headers, if the message has them."""

_HEAD: Final = 16 + DIGITS

_CONTENT = f"""
    CAST(group_concat(CASE WHEN size <= ?6 THEN
        ifnull(x'{_GIVEN.hex()}' || content_type, '') || x'{BETWEEN.hex()}' ||
        ifnull(x'{_GIVEN.hex()}' || headers, '') || x'{BETWEEN.hex()}' || body
    ELSE x'{(3 * BETWEEN).hex()}' END, x'{BETWEEN.hex()}') AS BLOB)
"""
_COLUMNS = f"""
    SELECT (SELECT messages FROM tallies WHERE queue = ?1), (SELECT purged FROM queues WHERE queue = ?1),
        min(expires), max(expires), CAST(group_concat(id || (expires - {EPOCH}), '') AS BLOB), {_CONTENT}
    FROM (
        SELECT id, expires, size, content_type, headers, body FROM messages
        WHERE queue = ?1 AND partition = ?2 AND id >= ?3 AND id < ?4
"""
# Both aggregates join the rows in the order in which the subquery gives them. SQLite does so and does not promise it,
# so the order of the ids is checked afterwards. With ORDER BY inside each aggregate it would sort all rows twice, and a
# page of a hundred would take half as long again.
COLUMNS: Final = {
    False: f"{_COLUMNS} ORDER BY id LIMIT ?5)",
    True: f"{_COLUMNS} ORDER BY id DESC LIMIT ?5)",
}
"""The columns of a range, by whether it is descending."""


@attrs.frozen
class Range:
    """Messages of one partition, with ids at or above one bound and below another.

    :ivar queue: its incarnation.
    :ivar limit: maximum number of messages.
    """

    queue: int
    partition: int
    lower: MessageId
    upper: MessageId
    descending: bool
    limit: int


@attrs.frozen
class Found:
    """The result of reading a range.

    :ivar lives: whether the queue exists.
    :ivar purged: the bound up to which it was purged, if it ever was.
    :ivar messages: in the requested order; ``None`` if they have to be read one after another.
    :ivar last: the id of the last of them.
    :ivar expires: the earliest time at which a row that was read expires.
    :ivar more: whether the range has more messages than the limit.
    """

    lives: bool
    purged: MessageId | None
    messages: Messages | None = None
    last: MessageId = LOWEST
    expires: Ticks = MAX_TICKS
    more: bool = False


class Bulk:
    """Reads ranges of one partition, each in one row.

    :param connection: of the reading thread.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._passed_over: dict[int, int] = {}

    def read(self, range: Range, now: Ticks, *, one_more: bool) -> Found | None:
        """Read a range.

        :param one_more: whether to look at the message after the limit as well.
        :return: ``None`` if this range is not read in this way.
        """
        if range.partition not in INT64 or not FEW < range.limit <= SLICE_ROWS or self._passes_over(range.queue):
            return None
        count, most = range.limit + one_more, (SLICE_BYTES - 1) // range.limit
        asked = (range.queue, range.partition, range.lower, range.upper, count, most)
        lives, purged, first, last, heads, contents = self._connection.execute(COLUMNS[range.descending], asked).get
        found = Found(bool(lives), purged)
        if not lives or heads is None:
            return attrs.evolve(found, messages=())
        if not (max(EARLIEST, now + 1) <= first and last <= LATEST):
            return found
        page = _taken(range, heads, contents)
        if page is None:
            self._pass_over(range.queue)
            return found
        return Found(True, purged, *page, first, len(heads) > range.limit * _HEAD)

    def _passes_over(self, queue: int) -> bool:
        left = self._passed_over.pop(queue, 0)
        if left > 1:
            self._passed_over[queue] = left - 1
        return left > 0

    def _pass_over(self, queue: int) -> None:
        if len(self._passed_over) >= MAX_REMEMBERED:
            self._passed_over.clear()
        self._passed_over[queue] = PASSED_OVER


def _taken(asked: Range, heads: bytes, contents: bytes | None) -> tuple[Messages, MessageId] | None:
    """Return the messages of a range, and the id of the last of them.

    :return: ``None`` if they cannot be separated, or are not in the requested order.
    """
    number = len(heads) // _HEAD
    ids = list(_ids(number).unpack(heads))
    pieces: list[bytes] = [] if contents is None else contents.split(BETWEEN)
    # Usually no content contains the separator. If one does, or a message is too large, there are more pieces.
    if len(pieces) != 3 * number or ids != sorted(ids, reverse=asked.descending):
        return None
    types, headers, bodies = pieces[0::3], pieces[1::3], pieces[2::3]
    if number > asked.limit:
        number = asked.limit
        heads, types, headers, bodies = heads[:-_HEAD], types[:number], headers[:number], bodies[:number]
    last = MessageId(ids[number - 1])
    if types.count(types[0]) == headers.count(headers[0]) == number:
        same = _described(types[0], headers[0])
        return Columns(asked.partition, heads, *same, BETWEEN.join(bodies), number), last
    return _made(asked.partition, heads, zip(types, headers, bodies, strict=True)), last


@lru_cache(64)
def _ids(number: int) -> Struct:
    """Reads the ids of a number of messages, and skips their times to expire."""
    return Struct(f"16s{DIGITS}x" * number)


def _described(content_type: bytes, headers: bytes) -> tuple[str | None, bytes | None]:
    """The type and the headers that stand before a body."""
    return content_type[1:].decode("utf-8") if content_type else None, headers[1:] if headers else None


def _made(partition: int, heads: bytes, contents: Iterable[tuple[bytes, bytes, bytes]]) -> tuple[Message, ...]:
    """Messages of several types, or of headers of their own."""
    found = []
    for at, (content_type, headers, body) in zip(range(0, len(heads), _HEAD), contents, strict=True):
        content = Content(body, *_described(content_type, headers))
        expires = Ticks(EPOCH + int(heads[at + 16 : at + _HEAD]))
        found.append(Message(partition, MessageId(heads[at : at + 16]), content, expires))
    return tuple(found)
