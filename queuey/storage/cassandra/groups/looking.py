"""Reads for claims: messages that are due again, and new messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import attrs

from queuey.interfaces import IMessageStore
from queuey.model.applications.policy import Ack
from queuey.model.groups import claims, places
from queuey.model.groups.entries import key_hash
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Found, Look, Order, Terms
from queuey.model.messages.dead_letter_headers import key_of
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Merge, MergeSlice, Position
from queuey.model.timeid import MessageId, Ticks, ticks_of
from queuey.storage.cassandra.groups.cells import Cell, Change
from queuey.storage.group_commands import IDLE
from queuey.storage.group_data import may_be_given

MAX_BYTES: Final = 1 << 24
"""Bytes of bodies that are read for one round of claims."""

MAX_MESSAGES: Final = 1000
"""Messages that are read for one round of claims."""

READ: Final = Ack.MAJORITY
"""The acknowledgements for reads of claims, also in weak queues: a message that is not found is settled for that
reason, and the state of the group needs a majority anyway."""

_MAX_SLICES: Final = 64
"""Slices that are read for one round."""

_PASSED: Final = 64
"""Minimum number of messages that one look may skip, if messages of the same key are delivered in order."""


@attrs.frozen
class Seen:
    """The messages that were found in a partition.

    :ivar more: whether all messages that it looked at cannot be claimed, and the log goes on after them.
    :ivar mark: the mark of the state that was looked at; see ``Cell.mark``. If the change that comes first was not
        taken into account, it is a mark that no state has.
    """

    found: Found
    messages: Mapping[MessageId, Message]
    more: bool
    mark: object


@attrs.frozen
class Looking:
    """Looks at one partition for one group."""

    store: IMessageStore
    queue: Queue
    group: Group
    partition: int

    async def look(
        self, cell: Cell, limit: int, max_bytes: int, terms: Terms, now: Ticks, first: Sequence[Change[Any]] = ()
    ) -> Seen:
        """Look for what can be claimed.

        If only messages are found that do not exist any more, it looks further. If they took all the room there is,
        that they are gone is stored first.

        :param first: what will be done to the state just before the claim. If the state is being changed meanwhile,
            that is not taken into account here.
        """
        limit, max_bytes = min(limit, MAX_MESSAGES), min(max_bytes, MAX_BYTES)
        messages: dict[MessageId, Message] = {}
        gone: list[MessageId] = []
        size, most = 0, limit
        index = await cell.read()
        looked = claims.look(index, most, terms, now)
        if not (looked.due or looked.room) and index.over(terms, now) is not None:
            await cell.change(partial(claims.expire, terms=terms, now=now))
            index = await cell.read()
        while True:
            idle = not (first and cell.running)
            looked, mark = _look(index, most, terms, now, first if idle else ()), cell.mark(index) if idle else object()
            known = set(gone)
            ids = [id for id in looked.due or looked.blocking if id not in known]
            found, lost, found_size = await self.find(ids, max_bytes)
            gone += lost
            if looked.due:
                messages, size = found, found_size
            if not lost or messages or (looked.due and looked.room and len(looked.due) < most):
                break
            if not looked.due or len(gone) >= MAX_MESSAGES:
                await cell.change(partial(places.drop, ids=tuple(gone)))
                gone = []
            most = min(4 * most, MAX_MESSAGES)
            index = await cell.read()
        present = tuple(messages)
        start = end = None
        scanned: list[MessageId] = []
        more = False
        room = min(looked.room, limit - len(present))
        if room > 0 and (size < max_bytes or not present):
            start = index.reach
            by_key = terms.order is Order.KEY and not terms.at_most_once
            room = max(room, _PASSED) if by_key else room
            end, scanned, over = await self._scan(start, room, max_bytes - size, messages)
            more = not (over or messages)
        if not messages and not more and await self._dropped(cell, terms, now):
            return await self.look(cell, limit, max_bytes, terms, now, first)
        sizes = {id: len(message.content.body) for id, message in messages.items()}
        return Seen(Found(present, gone, scanned, start, end, sizes, _keys(messages)), messages, more, mark)

    async def _dropped(self, cell: Cell, terms: Terms, now: Ticks) -> bool:
        """Drop messages that hold up others of their keys and do not exist any more; whether there were any."""
        ids = claims.holding(await cell.read(), terms, now)
        _, gone, _ = await self.find(ids)
        if gone:
            await cell.change(partial(places.drop, ids=tuple(gone)))
        return bool(gone)

    async def find(
        self, ids: Sequence[MessageId], max_bytes: int = MAX_BYTES
    ) -> tuple[dict[MessageId, Message], list[MessageId], int]:
        """The messages of ids in their order, up to so many bytes; the ids of those that do not exist; their bytes."""
        rest: Sequence[Address] | None = [Address(self.partition, id) for id in ids]
        found: dict[MessageId, Message] = {}
        gone: list[MessageId] = []
        size = 0
        while rest and size < max_bytes:
            slice = await self.store.lookup(self.queue, rest, READ)
            for message in slice.messages:
                found[message.id] = message
                size += len(message.content.body)
            looked = rest[: len(rest) - len(slice.rest or ())]
            gone += [address.id for address in looked if address.id not in found]
            rest = slice.rest
        return found, gone, size

    async def _scan(
        self, start: MessageId, room: int, max_bytes: int, messages: dict[MessageId, Message]
    ) -> tuple[MessageId, list[MessageId], bool]:
        """Read on; how far that was, the ids that can be claimed, whose messages are put with the others, and whether
        that is the end of the log."""
        scanned: list[MessageId] = []
        merge = Merge((self.partition,), Position(start), limit=room, max_bytes=max_bytes, owed=not messages)
        for _ in range(_MAX_SLICES):
            slice: MergeSlice = await self.store.read_merged(self.queue, merge, READ)
            for message in slice.messages:
                max_bytes -= len(message.content.body)
                if may_be_given(message, self.group.gid):
                    scanned.append(message.id)
                    messages[message.id] = message
            moved = slice.position != merge.lower
            merge = attrs.evolve(
                merge,
                lower=slice.position,
                limit=room - len(scanned),
                max_bytes=max(0, max_bytes),
                owed=not messages,
            )
            if slice.over or not moved or merge.limit <= 0 or (messages and max_bytes <= 0):
                break
        end, _ = merge.bounds(self.partition)
        near = slice.over and not scanned and ticks_of(end) < ticks_of(start) + IDLE
        return start if near else end, scanned, slice.over


def _look(index: GroupIndex, limit: int, terms: Terms, now: Ticks, first: Sequence[Change[Any]]) -> Look:
    """Return the messages that a claim has to look up after some changes; the changes are undone again."""
    if not first:
        return claims.look(index, limit, terms, now)
    try:
        for change in first:
            change(index)
        return claims.look(index, limit, terms, now)
    finally:
        index.undo()


def _keys(messages: Mapping[MessageId, Message]) -> dict[MessageId, int]:
    found = {}
    for id, message in messages.items():
        key = key_of(message.content)
        if key is not None:
            found[id] = key_hash(key)
    return found
