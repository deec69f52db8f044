"""The end of a queue: its newest message, and how a closed queue refuses new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from queuey.model.messages.message import MAX_DELAY, Address
from queuey.model.reading.window import Merge, Position
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, upper_bound
from queuey.storage.cassandra.messages.merging import Extent, MergeRead
from queuey.storage.cassandra.messages.reads import Reads
from queuey.storage.cassandra.messages.slices import LookupRead
from queuey.storage.cassandra.messages.stored import View
from queuey.storage.cassandra.messages.views import purged_of
from queuey.storage.refusals import queue_closed

_SPARE: Final = 3600
"""Seconds by which the newest message may be later than the longest delay."""


async def newest(reads: Reads, view: View, partitions: Sequence[int], now: Ticks) -> MessageId:
    """Return the id of the newest message, which may be one that is not due yet; ``LOWEST`` if there is none."""
    # No message is due later than the longest delay; behind that there are no buckets to look into.
    end = upper_bound(Ticks(now + (MAX_DELAY + _SPARE) * SECOND))
    extent = Extent(end, end, purged_of(view.incarnation, partitions))
    merge = Merge(tuple(partitions), upper=Position(end), descending=True, limit=1, max_bytes=0)
    found = await MergeRead(reads, view, extent, merge, partitions).slice()
    return found.messages[0].id if found.messages else LOWEST


async def check_all_exist(reads: Reads, view: View, addresses: Sequence[Address]) -> None:
    """Refuse messages that would be new in a closed queue.

    :raise QueueClosed: one of them would be.
    """
    rest: Sequence[Address] | None = tuple(addresses)
    found = 0
    while rest:
        slice = await LookupRead(reads, view).slice(tuple(rest))
        found, rest = found + len(slice.messages), slice.rest
    if found < len(addresses):
        raise queue_closed(view.incarnation.queue)
