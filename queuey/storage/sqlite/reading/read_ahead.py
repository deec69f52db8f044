"""Messages that a group will be given next, read before they are asked for: a claim of fresh messages needs no SQL."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import apsw

from queuey.model.messages.message import Content, Message
from queuey.model.reading.window import SLICE_BYTES
from queuey.model.timeid import LOWEST, MAX_TICKS, MessageId, Ticks, successor, upper_bound
from queuey.storage.group_data import Scan, may_be_given
from queuey.storage.sqlite.reading.page_query import Bulk, Range

FIRST: Final = 16
"""Messages that are read at first; each further time four times as many."""

MOST: Final = 512
"""Messages that are read at most."""

_ROWS: Final = 64
"""Messages that are read at most if they have to be read one after another."""

MAX_AHEAD: Final = 32 << 20
"""Bytes that all that is read ahead takes in memory."""

_COST: Final = 400
"""Bytes that a message takes in memory beside its body, about."""

_SCAN: Final = """
    SELECT id, expires, content_type, headers, body FROM messages
    WHERE queue = ? AND partition = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?
"""


class Room:
    """The memory that all groups share for what is read ahead.

    If it is short, the groups that have not read for the longest time lose what they have. The one that reads never
    does, so together they may have more than ``most`` by what one of them reads at once.
    """

    def __init__(self, most: int = MAX_AHEAD) -> None:
        self.most = most
        self.used = 0
        self._sizes: dict[ReadAhead, int] = {}

    def take(self, ahead: ReadAhead, size: int) -> None:
        """Count what a group has read ahead now, and make room for it."""
        self.free(ahead)
        self._sizes[ahead] = size
        self.used += size
        while self.used > self.most:
            oldest = next(iter(self._sizes))
            if oldest is ahead:
                break
            oldest.make_room()

    def free(self, ahead: ReadAhead) -> None:
        """Release the memory of a group, which has dropped what it had read ahead."""
        self.used -= self._sizes.pop(ahead, 0)

    def short(self) -> bool:
        """Whether groups had better read few messages ahead."""
        return 2 * self.used > self.most


class ReadAhead:
    """The next messages of one partition for one group.

    Every operation on the queue except an append has to call ``forget``, since it may change or delete what was read.

    :ivar seen: the stable time at which ``over`` was determined.
    :ivar over: whether the messages that were read are the last ones up to ``seen``.
    :ivar place: the bound from which the scan goes on.
    """

    __slots__ = (
        "_at", "_expires", "_ids", "_largest", "_messages", "_next", "_plain", "_room", "_start", "over", "place",
        "seen",
    )  # fmt: skip

    def __init__(self, room: Room) -> None:
        self._room = room
        self._next = FIRST
        self.seen = Ticks(0)
        self.forget()

    def make_room(self) -> None:
        """Let others have the memory, and read few messages the next time."""
        self._next = FIRST
        self.forget()

    def forget(self) -> None:
        """Read again."""
        self._room.free(self)
        self._keep((), ())
        self._start = LOWEST
        self.over = False
        self.place = LOWEST

    def _keep(self, messages: Sequence[Message], ids: Sequence[MessageId]) -> None:
        """Have messages, and know of all of them what single ones need not be asked then."""
        sizes = [len(message.content.body) for message in messages]
        self._messages, self._ids, self._at = messages, ids, 0
        self._largest = max(sizes, default=0)
        self._expires = min([message.expires for message in messages], default=MAX_TICKS)
        self._plain = not any(message.content.headers for message in messages)
        if sizes:
            self._room.take(self, sum(sizes) + _COST * len(sizes))

    def scan(
        self,
        source: Source,
        queue: int,
        partition: int,
        reach: MessageId,
        gid: bytes,
        limit: int,
        max_bytes: int,
    ) -> Scan:
        """Return the messages after ``reach``; see ``GroupData.scan``."""
        if reach != self.place:
            self._go_to(reach)
        found: Sequence[Message] = ()
        ids: Sequence[MessageId] = ()
        now, plain, size, left = source.clock, True, 0, limit
        while left and (size < max_bytes or not found):
            at, count = self._at, len(self._ids)
            if at == count:
                if self.over and (found or self.seen >= source.newest(queue)):
                    break
                self._read(source, queue, partition, left)
                if not self._ids:
                    break
                continue
            end = min(at + left, count)
            some: Sequence[Message]
            if self._plain and self._expires > now and size + (end - at) * self._largest <= max_bytes:
                some, some_ids = self._messages[at:end], self._ids[at:end]
            else:
                some, end = self._look(at, left, max_bytes - size, not found, now, gid)
                some_ids = [message.id for message in some]
                plain = plain and self._plain
                if end == at:
                    break
            self._leave(end)
            left -= len(some)
            if left:
                size += sum([len(message.content.body) for message in some])
            found, ids = (some, some_ids) if not found else ([*found, *some], [*ids, *some_ids])
        if self.over and self._at == len(self._ids):
            return Scan(found, ids, max(reach, upper_bound(self.seen)), True, plain)
        return Scan(found, ids, self.place, False, plain)

    def _look(
        self, at: int, limit: int, max_bytes: int, owed: bool, now: Ticks, gid: bytes
    ) -> tuple[list[Message], int]:
        """Return the messages from a place on that the group may get, up to the limits, and the place after them.

        :param owed: whether the first one may be larger than ``max_bytes``.
        """
        found: list[Message] = []
        size = 0
        for place in range(at, len(self._ids)):
            message = self._messages[place]
            if message.expires > now and may_be_given(message, gid):
                size += len(message.content.body)
                if len(found) == limit or (size > max_bytes and not (owed and not found)):
                    return found, place
                found.append(message)
        return found, len(self._ids)

    def _go_to(self, reach: MessageId) -> None:
        """Go on from another place, which may be in what was read."""
        end = upper_bound(self.seen) if self.over else self._ids[-1] if self._ids else LOWEST
        if not self._start <= reach <= end:
            self.forget()
            self._start = reach
        self._at, self.place = bisect_left(self._ids, reach), reach

    def _leave(self, at: int) -> None:
        """Note how far the scan came."""
        self._at, self.place = at, successor(self._ids[at - 1])

    def _read(self, source: Source, queue: int, partition: int, limit: int) -> None:
        reach = self.place
        if self._room.short():
            self._next = FIRST
        most = min(MOST, max(self._next, limit))
        self._next = min(MOST, 4 * self._next)
        self.seen = source.readable(queue)
        upper = upper_bound(self.seen)
        found = source.bulk.read(Range(queue, partition, reach, upper, False, most), source.clock, one_more=True)
        messages: Sequence[Message]
        if found is not None and found.messages is not None:
            messages, self.over = found.messages[:], not found.more
        else:
            messages, self.over = _read_rows(source, (queue, partition, reach, upper, min(most, _ROWS)))
        self._start = reach
        self._room.free(self)
        self._keep(messages, [message.id for message in messages])


def _read_rows(source: Source, asked: tuple[int, int, MessageId, MessageId, int]) -> tuple[tuple[Message, ...], bool]:
    """Read messages one after another, up to the bytes of a slice; return them, and whether they are the last ones."""
    _, partition, _, _, most = asked
    found: list[Message] = []
    size = 0
    rows = source.reading.execute(_SCAN, asked)
    for id, expires, content_type, headers, body in rows:
        found.append(Message(partition, id, Content(body, content_type, headers), expires))
        size += len(body)
        if size >= SLICE_BYTES:
            rows.close()
            return tuple(found), False
    return tuple(found), len(found) < most


class Source:
    """The functions of the writing thread that reading ahead needs.

    :ivar clock: the time of the transaction.
    :ivar reading: the database.
    """

    clock: Ticks
    bulk: Bulk
    reading: apsw.Connection

    def readable(self, queue: int) -> Ticks:
        """Return the stable time up to which the database has all messages of a queue, in this transaction."""
        raise NotImplementedError

    def newest(self, queue: int) -> Ticks:
        """The stable time up to which something may have come to a queue."""
        raise NotImplementedError
