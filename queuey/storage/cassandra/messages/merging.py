"""Slices of several partitions that are read as one log, in the order of ids."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import attrs

from queuey.deferreds import deferred
from queuey.model.messages.message import Message
from queuey.model.reading.window import SLICE_BYTES, SLICE_ROWS, Merge, MergeSlice, Merging, Position
from queuey.model.timeid import MessageId
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.messages.reads import Reads, View
from queuey.storage.cassandra.messages.scanning import PartitionScan
from queuey.storage.cassandra.messages.slices import MAX_EFFORT, MAX_PARTITIONS

SOME: Final = 4
"""Messages that a partition is asked for beyond its share: they are not spread evenly."""

FEWEST: Final = 8
"""Partitions that are read at once however large messages are, or the last of many would not have its turn."""


def place_of(message: Message) -> Position:
    """The place of a message in the merged log."""
    return Position(message.id, message.partition)


@attrs.frozen
class Extent:
    """The bounds of a read of merged partitions.

    :ivar stable: the bound of what is complete in all of them.
    :ivar shown: the bound of what is shown.
    :ivar purged: what is below it was purged in one of them at least.
    """

    stable: MessageId
    shown: MessageId
    purged: MessageId


class Part:
    """One partition of a merged range, and how far it was read.

    An undecided message ends the log for now: messages beyond it are hidden, or a reader that continues would miss it.
    It is skipped if that cannot happen: beyond the stable time, and in descending reads.

    :param merge: the range.
    :param stable: the bound of what is complete.
    :ivar blocked: the bound at which such a message stands.
    """

    def __init__(self, reads: Reads, view: View, merge: Merge, partition: int, stable: MessageId) -> None:
        self._reads = reads
        self._view = view
        self._partition = partition
        self._descending = merge.descending
        lower, self._upper = merge.bounds(partition)
        self.blocked: MessageId | None = None
        if merge.descending or lower >= stable:
            self._begin(lower, self._upper, hasty=True)
        else:
            self._begin(lower, min(self._upper, stable), hasty=False)

    def _begin(self, lower: MessageId, upper: MessageId, hasty: bool) -> None:
        self._scan = PartitionScan(self._reads, self._view, self._partition, lower, upper, self._descending, hasty)
        self._end = upper
        self._begun = False
        self._hasty = hasty

    @property
    def reached(self) -> MessageId:
        """The bound up to which it is known; descending down to which."""
        return self._scan.position

    @property
    def passed(self) -> int:
        """Rows that were read last, and do not show."""
        return self._scan.passed

    def lacks(self, merge: Merge) -> bool:
        """Whether something of a range is not known yet."""
        lower, upper = merge.bounds(self._partition)
        if lower >= upper or (self._begun and self._scan.ended):
            return False
        return self.reached > lower if self._descending else self.reached < upper

    @deferred
    async def read(self, rows: int) -> list[Message]:
        """The messages of one more round, which asks for so many."""
        if not self._begun:
            await self._scan.begin(rows)
            self._begun = True
        found = [] if self._scan.over else await self._scan.next(rows)
        if self._scan.ended and not self._hasty:
            self._go_on()
        return found

    def _go_on(self) -> None:
        """Continue with the incomplete parts, if they are needed; call it when it is known which are complete."""
        if self._scan.blocked:
            self.blocked = self._scan.position
        start = self.blocked or self._end
        if start < self._upper:
            self._begin(start, self._upper, hasty=True)


class MergeRead:
    """Reads one slice of several partitions as one log.

    Each round reads on in the partitions that are not known as far as the slice may reach, those first that are the
    furthest behind. What is known beyond the end of a full slice is dropped, so that not much more is held than one.
    """

    def __init__(self, reads: Reads, view: View, extent: Extent, merge: Merge, partitions: Sequence[int]) -> None:
        self._reads = reads
        self._view = view
        self._extent = extent
        self._asked = merge
        self._left = attrs.evolve(merge, upper=min(merge.upper, Position(extent.shown)))
        self._parts = [Part(reads, view, self._left, partition, extent.stable) for partition in partitions]
        self._known: list[Message] = []
        self._merging = Merging(merge, view.visibility.now)

    async def slice(self) -> MergeSlice:
        """The first part of the range."""
        for _ in range(MAX_EFFORT):
            behind = self._behind()
            if not behind:
                break
            await self._round(behind)
            self._block()
            self._cut()
        behind = self._behind()
        return self._unfinished(behind[0].reached) if behind else self._finished()

    def _behind(self) -> list[Part]:
        """The partitions that are not known as far as the slice may reach, the furthest behind first."""
        behind = [part for part in self._parts if part.lacks(self._left)]
        return sorted(behind, key=lambda part: part.reached, reverse=self._asked.descending)

    async def _round(self, behind: Sequence[Part]) -> None:
        """Read on in some partitions, in all of them about as much as is missing."""
        rows = self._reads.sizes.rows(self._view.incarnation.key, min(self._asked.max_bytes, SLICE_BYTES))
        chosen = behind[: min(MAX_PARTITIONS, max(FEWEST, rows))]
        missing = max(min(self._asked.limit, SLICE_ROWS) + 1 - len(self._known), 1)
        share = min(-(-missing // len(behind)) + SOME, max(rows // len(chosen), 1))
        # If many rows are skipped, more are asked for than are wanted.
        asked = [partial(part.read, max(share, min(2 * part.passed, rows))) for part in chosen]
        for some in await read_all(asked):
            self._known += some

    def _block(self) -> None:
        """End what is complete before the first undecided message."""
        blocked = min((part.blocked for part in self._parts if part.blocked is not None), default=None)
        if blocked is None:
            return
        self._extent = attrs.evolve(self._extent, stable=blocked)
        if not self._asked.fresh:
            self._known = [message for message in self._known if message.id < blocked]
            self._narrow(min(self._left.upper, Position(blocked)))

    def _cut(self) -> None:
        """Put in order what is known, and drop what comes after the first message that has no room."""
        self._known.sort(key=place_of, reverse=self._asked.descending)
        self._merging = Merging(self._asked, self._view.visibility.now)
        for number, message in enumerate(self._known, 1):
            if not self._merging.take(message.id, message.partition, message.expires, len(message.content.body)):
                self._narrow(place_of(message))
                del self._known[number:]
                break

    def _narrow(self, place: Position) -> None:
        """Ignore everything from this place on."""
        if self._asked.descending:
            self._left = attrs.evolve(self._left, lower=place)
        else:
            self._left = attrs.evolve(self._left, upper=place)

    def _finished(self) -> MergeSlice:
        """The slice, which is full, or goes to the end of the range."""
        taken = self._known[:-1] if self._merging.full else self._known
        slice = self._merging.slice(tuple(taken), self._extent.stable, self._extent.purged)
        return slice if self._asked.descending else attrs.evolve(slice, position=self._complete(slice.position))

    def _unfinished(self, reached: MessageId) -> MergeSlice:
        """The slice as far as all partitions are known, since it took so long."""
        descending = self._asked.descending
        taken = [message for message in self._known if (message.id >= reached) == descending]
        place = Position(reached)
        position = min(self._asked.upper, place) if descending else self._complete(place)
        return MergeSlice(tuple(taken), position, False, self._extent.stable, self._extent.purged)

    def _complete(self, position: Position) -> Position:
        """Return a place from which a reader can continue without missing a message; what is shown beyond the stable
        time comes again."""
        return max(self._asked.lower, min(position, Position(self._extent.stable)))
