"""Changes of messages that are there: they hold whichever front end's clock is behind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import attrs

from queuey.errors import Unavailable
from queuey.model.messages.message import Address, Content, Message
from queuey.model.timeid import SECOND, MessageId, Ticks
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.cluster.port import Level, Row
from queuey.storage.cassandra.messages.buckets import PARTITIONS, Registrations, entries
from queuey.storage.cassandra.messages.reads import Reads, View, gathered
from queuey.storage.cassandra.messages.stored import EXPIRES, GONE, WRITTEN, is_open
from queuey.storage.cassandra.messages.writes import Writer, microseconds
from queuey.storage.cassandra.times.port import Times

RESIDUES: Final = 256
"""Write times of changes leave, divided by this, a rest that each process has of its own: two that change a message at
once then do not write at the same time, when cells of either would win."""


class Stamps:
    """Write times of changes: rising, later than what they change, and with this process's own rest.

    :param rest: from 0 to one less than ``RESIDUES``.
    """

    def __init__(self, rest: int) -> None:
        self._rest = rest
        self.latest = 0

    def after(self, *times: int | None) -> int:
        """A time that is later than all of these."""
        least = max(time for time in times if time is not None) + 1
        stamp = least + (self._rest - least) % RESIDUES
        self.latest = max(self.latest, stamp)
        return stamp

    def used(self, *times: int) -> None:
        """Another write of this process has used these times."""
        self.latest = max(self.latest, *times)


@attrs.frozen
class Known:
    """The stored version of a message.

    :ivar expires: ``None`` if there is no visible message.
    :ivar written: its latest write time, if it has any.
    """

    expires: Ticks | None
    written: int | None


class Changes:
    """Replaces and removes messages."""

    def __init__(self, reads: Reads, writer: Writer, times: Times, stamps: Stamps) -> None:
        self._reads = reads
        self._writer = writer
        self._times = times
        self._stamps = stamps

    @property
    def _registrations(self) -> Registrations:
        return self._reads.registrations

    async def replace(self, view: View, addresses: Sequence[Address], content: Content, ttl: int, level: Level) -> None:
        """Store one content at all of these addresses, which differ.

        :raise Unavailable: also if it is not known yet whether a stored message counts.
        """
        known = await self._known(view, addresses, decide=True)
        now = self._times.now()
        expires = Ticks(now + ttl * SECOND)
        written = [
            self._writer.put(
                view.incarnation, at.partition, at.id, content, expires, ttl, self._stamp(view, at, known.get(at), now)
            )
            for at in addresses
        ]
        found = entries(view.incarnation, [(at.partition, at.id, expires) for at in addresses], now)
        await self._registrations.add(view.incarnation, found, now, level)
        await self._writer.write(written, level)

    async def keep(self, view: View, messages: Sequence[Message], level: Level) -> None:
        """Store messages as they are, each bucket by itself; no other front end writes.

        :param messages: their places differ.
        """
        known = await self._known(view, [Address(one.partition, one.id) for one in messages], decide=False)
        now = self._times.now()
        written, places = [], []
        for one in messages:
            if one.expires > now:
                address, left = Address(one.partition, one.id), -(-(one.expires - now) // SECOND)
                stamp = self._stamp(view, address, known.get(address), now)
                put = self._writer.put(view.incarnation, one.partition, one.id, one.content, one.expires, left, stamp)
                written.append(put)
                places.append((one.partition, one.id, one.expires))
        await self._registrations.add(view.incarnation, entries(view.incarnation, places, now), now, level)
        if written:
            await self._writer.write_each(written, level)

    async def remove(self, view: View, addresses: Sequence[Address], level: Level) -> int:
        """Remove the messages at these addresses, which differ; how many there were."""
        known = await self._known(view, addresses, decide=False)
        now = self._times.now()
        there = {at: one for at, one in known.items() if one.expires is not None and one.expires > now}
        written = [
            self._writer.remove(
                view.incarnation,
                at.partition,
                at.id,
                -(-(one.expires - now) // SECOND),
                self._stamp(view, at, one, now),
            )
            for at, one in there.items()
            if one.expires is not None
        ]
        if written:
            await self._writer.write_each(written, level)
        return len(there)

    async def _known(self, view: View, addresses: Sequence[Address], decide: bool) -> dict[Address, Known]:
        """Read what is stored at some addresses.

        :param decide: whether to find out if an undecided message counts; otherwise it does not count.
        """
        groups = gathered(view.incarnation, [address for address in addresses if address.partition in PARTITIONS])
        pages = await read_all([partial(group.stamps, self._reads, view) for group in groups])
        found: dict[Address, Known] = {}
        for group, rows in zip(groups, pages, strict=True):
            partition = group.spot.partition
            counting = await self._deciding(view, partition, rows) if decide else {}
            for row in rows:
                found[Address(partition, MessageId(row[0]))] = _known(view, partition, counting.get(row[0], row))
        return found

    async def _deciding(self, view: View, partition: int, rows: Sequence[Row]) -> dict[bytes, Row]:
        """The rows of those that were in doubt that count."""
        asked = [row for row in rows if view.visibility.asks(partition, row)]
        counting: dict[bytes, Row] = {}
        while asked:
            decided = await self._reads.undecided.decide(view, partition, asked)
            if decided.waits:
                raise Unavailable("A message is being stored under this id just now.")
            counting.update((row[0], row) for row in decided.rows)
            asked = [] if decided.end is None else asked[asked.index(decided.end) :]
        return counting

    def _stamp(self, view: View, address: Address, known: Known | None, now: Ticks) -> int:
        _, purged_at = view.incarnation.purged.get(address.partition, (b"", 0))
        return self._stamps.after(microseconds(now), purged_at, known.written if known else None)


def _known(view: View, partition: int, row: Row) -> Known:
    """Return the version in a row; a message that does not count may have been deleted right after it was written."""
    written = [time for time in (row[WRITTEN], row[GONE]) if time is not None]
    latest = max(written, default=None)
    if is_open(row):
        return Known(None, None if latest is None else latest + 1)
    shows = view.visibility.shows(partition, row[0], row[EXPIRES], row[WRITTEN])
    return Known(row[EXPIRES] if shows else None, latest)
