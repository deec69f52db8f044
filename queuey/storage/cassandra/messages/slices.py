"""Slices of windows and look-ups: partitions one after another as asked, several of them read at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import attrs

from queuey.deferreds import deferred
from queuey.model.messages.message import Address, Message
from queuey.model.reading.window import LookupSlice, Window, WindowSlice
from queuey.model.timeid import MessageId
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.messages.buckets import PARTITIONS
from queuey.storage.cassandra.messages.reads import Reads, View, gathered
from queuey.storage.cassandra.messages.scanning import PartitionScan
from queuey.storage.cassandra.messages.stored import SliceBuilder

MAX_PARTITIONS: Final = 32
"""Partitions that are read at once."""

MAX_ROUNDS: Final = 30
"""Rounds of requests for one partition, after which a slice ends."""

MAX_EFFORT: Final = 100
"""Rounds for all partitions, after which the same happens; several partitions that are read at once count as one."""


@attrs.frozen
class Found:
    """The messages that were read of one partition.

    :ivar messages: in the order of the window.
    :ivar position: the bound at which it continues.
    :ivar over: whether no more can be shown now.
    :ivar rounds: of requests that it took.
    """

    messages: list[Message]
    position: MessageId
    over: bool
    rounds: int


NOTHING: Final = Found([], MessageId(b""), True, 0)


class WindowRead:
    """Reads one slice of a window.

    A window of many partitions with few messages each would take as many round trips in a row; so more and more
    partitions are read at once as long as each is read to its end, and one alone if it has more.

    :param stable: for each partition of the window, the bound that readers stop at.
    """

    def __init__(self, reads: Reads, view: View, stable: Mapping[int, MessageId]) -> None:
        self._reads = reads
        self._view = view
        self._stable = stable
        self._builder = SliceBuilder()

    async def slice(self, window: Window) -> WindowSlice:
        """The first slice of a window, and what is left of it."""
        rest: Window | None = window
        width = 1
        effort = 0
        while rest is not None and not self._builder.full() and effort < MAX_EFFORT:
            rows = self._reads.sizes.rows(self._view.incarnation.key, self._builder.bytes_left)
            several = self._windows(rest, min(width, rows))
            share = self._builder.rows_left if len(several) == 1 else rows // len(several)
            found = await read_all([partial(self._read, one, share) for one in several])
            effort += max(one.rounds for one in found) + 1
            ended = True
            for one in found:
                if rest is None or self._builder.full() or not ended:
                    break
                rest, ended = self._add(rest, one)
            width = min(2 * width, MAX_PARTITIONS) if ended else 1
        return WindowSlice(tuple(self._builder.messages), rest)

    def _windows(self, window: Window, count: int) -> list[Window]:
        """The windows that begin at each of the next few partitions."""
        several = [window]
        while len(several) < count and (following := several[-1].next_partition()) is not None:
            several.append(following)
        return several

    @deferred
    async def _read(self, window: Window, share: int) -> Found:
        """Read on in the first partition of a window, until it gave so many messages or has no more."""
        partition = window.partitions[0]
        lower, upper, limit = window.first()
        if partition not in PARTITIONS or limit <= 0:
            return NOTHING
        upper = min(upper, self._stable[partition])
        # A descending reader does not continue later where it ended.
        hasty = window.descending
        scan = PartitionScan(self._reads, self._view, partition, lower, upper, window.descending, hasty)
        wanted, bytes_left = min(limit, share), self._builder.bytes_left
        await scan.begin(self._page(wanted, bytes_left))
        messages: list[Message] = []
        while wanted > 0 and bytes_left > 0 and not scan.ended and scan.rounds < MAX_ROUNDS:
            # If many rows are skipped, more are asked for than are wanted.
            some = await scan.next(self._page(wanted + 4 * scan.passed, bytes_left))
            messages += some
            wanted -= min(len(some), wanted)
            bytes_left -= sum(len(message.content.body) for message in some)
        return Found(messages, scan.position, scan.ended, scan.rounds)

    def _page(self, wanted: int, bytes_left: int) -> int:
        return min(wanted, self._reads.sizes.rows(self._view.incarnation.key, bytes_left))

    def _add(self, window: Window, found: Found) -> tuple[Window | None, bool]:
        """Take what was found in the first partition of a window: what is left, and whether that partition ended."""
        limit = window.first()[2]
        for taken, message in enumerate(found.messages, 1):
            self._builder.take(message)
            if taken == limit:
                return window.next_partition(), True
            if self._builder.full():
                return window.after(message.id, taken), False
        if found.over:
            return window.next_partition(), True
        return attrs.evolve(window, first_limit=limit - len(found.messages), resume=found.position), False


class LookupRead:
    """Reads one slice of a look-up."""

    def __init__(self, reads: Reads, view: View) -> None:
        self._reads = reads
        self._view = view
        self._builder = SliceBuilder()

    async def slice(self, addresses: tuple[Address, ...]) -> LookupSlice:
        """The first messages of those asked for, and the addresses that are left."""
        rest = addresses
        while rest and not self._builder.full():
            rows = min(
                self._reads.sizes.rows(self._view.incarnation.key, self._builder.bytes_left), self._builder.rows_left
            )
            asked, rest = rest[:rows], rest[rows:]
            found = await self._find(asked)
            for number, address in enumerate(asked, 1):
                message = found.get(address)
                if message is not None:
                    self._builder.take(message)
                    if self._builder.full():
                        return LookupSlice(tuple(self._builder.messages), (*asked[number:], *rest) or None)
        return LookupSlice(tuple(self._builder.messages), rest or None)

    async def _find(self, addresses: tuple[Address, ...]) -> dict[Address, Message]:
        here = [address for address in dict.fromkeys(addresses) if address.partition in PARTITIONS]
        groups = gathered(self._view.incarnation, here)
        pages = await read_all([partial(group.find, self._reads, self._view) for group in groups])
        found: dict[Address, Message] = {}
        for group, rows in zip(groups, pages, strict=True):
            for row in rows:
                message = self._view.visibility.message(group.spot.partition, row)
                if message is not None:
                    found[Address(message.partition, message.id)] = message
        sizes = [len(message.content.body) for message in found.values()]
        self._reads.sizes.seen(self._view.incarnation.key, len(sizes), sum(sizes))
        return found
