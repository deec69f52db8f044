"""Buckets: how messages are cut by the time of their ids, and which of them a reader has to look into.

A reader looks by itself into the buckets of the normal class from the time at which its queue was made, or from
``LOOK_BACK`` ago if that is later, up to now. Whatever else holds a message is *registered* before the message counts
as written: everything of the long class, ids of other times that clients chose, and what lives for longer after the
time of its id than readers look back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

import attrs
from twisted.internet.defer import Deferred

from queuey.deferreds import deferred
from queuey.model.stable_time.stamps import LONG_CLASS
from queuey.model.timeid import EPOCH, MAX_TICKS, SECOND, MessageId, Ticks, lower_bound, ticks_of
from queuey.model.values import frozen
from queuey.storage.cassandra.cluster.parallel import write_all
from queuey.storage.cassandra.cluster.port import ICQLSession, Level
from queuey.storage.cassandra.messages.statements import Statements
from queuey.storage.cassandra.queues.rows import Incarnation
from queuey.storage.cassandra.times.port import Times

NORMAL: Final = 0
LONG: Final = 1
"""The classes of messages; each has a table."""

DAY: Final = 86_400 * SECOND
LOOK_BACK: Final = 4 * DAY
"""The age up to which readers find buckets without registration; messages that live longer are of the long class."""

LONG_BUCKET: Final = 14 * DAY

EARLY: Final = 600 * SECOND
"""How much older than its queue an id may be, and how far into the future readers of everything look; more than the
clocks of front ends may differ."""

AHEAD: Final = 60 * SECOND
"""How far in the future an id may be without its bucket being registered; less than ``EARLY``, for the same reason."""

_FAR: Final = 16
"""Days left from which on the last day of a bucket is rounded up to a multiple of as many, so that there are not too
many rows for one bucket."""

_NODE: Final = 10
"""The place in an id at which the node's bytes begin; the first of them has the mark of the long class."""

_LONG_BIT: Final = LONG_CLASS >> 40

_PAGE: Final = 1000
_MOST_KNOWN: Final = 50_000

_FEW: Final = 64
"""Buckets of a partition that are remembered at the most."""

_READ_LASTS: Final = 30 * SECOND

K = TypeVar("K")
V = TypeVar("V")

PARTITIONS: Final = range(1 << 15)
"""Partitions that can be in a table; others are empty."""


@frozen
class Spot:
    """A partition of a table: what is in it is written and read together."""

    kind: int
    partition: int
    bucket: int


def class_of(id: MessageId) -> int:
    """Return the class of a message, which is part of its id."""
    return LONG if id[_NODE] & _LONG_BIT else NORMAL


def is_long(ttl: int, delay: Ticks) -> bool:
    """Whether a new message is of the long class, that lives for so many seconds after a delay."""
    return ttl * SECOND + delay > LOOK_BACK


def _length(incarnation: Incarnation, kind: int) -> int:
    return LONG_BUCKET if kind == LONG else incarnation.bucket_seconds * SECOND


def spot_of(incarnation: Incarnation, partition: int, id: MessageId) -> Spot:
    """Return the place of a message."""
    kind = class_of(id)
    return Spot(kind, partition, ticks_of(id) // _length(incarnation, kind))


@attrs.frozen
class Bucket:
    """A bucket of one partition, and the range of ids that it holds."""

    kind: int
    number: int
    start: MessageId
    end: MessageId


def bucket(incarnation: Incarnation, kind: int, number: int) -> Bucket:
    """A bucket by its number."""
    length = _length(incarnation, kind)
    start, end = (lower_bound(Ticks(number * length)), lower_bound(Ticks((number + 1) * length)))
    return Bucket(kind, number, start, end)


def implied(incarnation: Incarnation, now: Ticks, last: Ticks) -> list[Bucket]:
    """The buckets that a reader looks into by itself, in their order.

    :param last: up to which time.
    """
    length = _length(incarnation, NORMAL)
    first = max(incarnation.queue.created - EARLY, now - LOOK_BACK, 0)
    return [
        bucket(incarnation, NORMAL, number) for number in range(first // length, min(last, MAX_TICKS) // length + 1)
    ]


def is_implied(incarnation: Incarnation, id: MessageId, expires: Ticks, now: Ticks) -> bool:
    """Whether a reader finds a message without its bucket being registered."""
    ticks = ticks_of(id)
    return (
        class_of(id) == NORMAL
        and incarnation.queue.created - EARLY <= ticks <= now + AHEAD
        and expires - ticks <= LOOK_BACK
    )


def last_day(expires: Ticks, now: Ticks) -> int:
    """The day since 1970 on which a message ends, or a later one."""
    day, today = ((ticks - EPOCH) // DAY for ticks in (expires, now))
    return -(-day // _FAR) * _FAR if day - today > _FAR else day


@attrs.frozen
class Entry:
    """A bucket that is registered for readers.

    :ivar until: the last day since 1970 on which a message in it lives.
    """

    spot: Spot
    until: int


def entries(incarnation: Incarnation, written: Iterable[tuple[int, MessageId, Ticks]], now: Ticks) -> list[Entry]:
    """Return the buckets to register for messages with these partitions, ids and expiries."""
    found: dict[Spot, int] = {}
    for partition, id, expires in written:
        if not is_implied(incarnation, id, expires, now):
            spot = spot_of(incarnation, partition, id)
            found[spot] = max(found.get(spot, expires), expires)
    return [Entry(spot, last_day(Ticks(expires), now)) for spot, expires in found.items()]


@attrs.frozen
class _Read:
    """The registered buckets of one partition: the last day of each, by class and number."""

    untils: dict[tuple[int, int], int]
    since: Ticks
    tenure: int


class Registrations:
    """The table of buckets that readers would not look into otherwise.

    What this process has registered it caches, so that it costs one write for each bucket and last day. What it has
    read it caches only if no other front end registers anything, and only for a while: a copy of what one replica
    acknowledged may come late.

    :param times: of this front end.
    """

    def __init__(self, session: ICQLSession, statements: Statements, times: Times) -> None:
        self._session = session
        self._statements = statements
        self._times = times
        self._known: OrderedDict[tuple[bytes, Spot, Level], int] = OrderedDict()
        self._read: OrderedDict[tuple[bytes, int, Level], _Read] = OrderedDict()
        self._changes = 0

    async def add(self, incarnation: Incarnation, entries: Sequence[Entry], now: Ticks, level: Level) -> None:
        """Register buckets; done once that is acknowledged. Fails with ``Unavailable``."""
        new = [
            entry for entry in entries if self._known.get((incarnation.key, entry.spot, level), -1 << 31) < entry.until
        ]
        if not new:
            return
        self._forget(incarnation, new)
        try:
            await write_all([partial(self._write, incarnation, entry, now, level) for entry in new])
        finally:
            self._forget(incarnation, new)
        for entry in new:
            _keep(self._known, (incarnation.key, entry.spot, level), entry.until)

    def _write(
        self, incarnation: Incarnation, entry: Entry, now: Ticks, level: Level
    ) -> Deferred[Sequence[tuple[object, ...]]]:
        left = (entry.until + 2) * DAY + EPOCH - now
        spot = entry.spot
        values = (incarnation.key, spot.partition, spot.kind, spot.bucket, entry.until, left // SECOND)
        return self._session.execute(self._statements.register(), values, level)

    def _forget(self, incarnation: Incarnation, changed: Sequence[Entry]) -> None:
        """Forget what was read, and what is being read: it may be without what is registered now."""
        self._changes += 1
        for partition in {entry.spot.partition for entry in changed}:
            for level in Level:
                self._read.pop((incarnation.key, partition, level), None)

    @deferred
    async def read(self, incarnation: Incarnation, partition: int, now: Ticks, level: Level) -> list[Bucket]:
        """The buckets of a partition that are registered and not over. Fails with ``Unavailable``."""
        key = (incarnation.key, partition, level)
        known = self._read.get(key)
        if known is not None and known.tenure == self._times.tenure and 0 <= now - known.since < _READ_LASTS:
            untils = known.untils
        else:
            untils = await self._ask(key, now)
        today = (now - EPOCH) // DAY
        return [bucket(incarnation, kind, number) for (kind, number), until in untils.items() if until >= today]

    async def _ask(self, key: tuple[bytes, int, Level], now: Ticks) -> dict[tuple[int, int], int]:
        incarnation, partition, level = key
        changes, tenure = self._changes, self._times.tenure
        found: dict[tuple[int, int], int] = {}
        after = (-1, 0, 0)
        while True:
            values = (incarnation, partition, *after, _PAGE)
            rows = await self._session.execute(self._statements.registered(), values, level)
            found.update({(kind, number): until for kind, number, until in rows})
            if len(rows) < _PAGE:
                break
            after = rows[-1][:3]
        alone = self._times.registry_age() is None and self._changes == changes
        if alone and len(found) <= _FEW and level not in (Level.ONE, Level.LOCAL_ONE):
            _keep(self._read, key, _Read(found, now, tenure))
        return found


def _keep(remembered: OrderedDict[K, V], key: K, value: V) -> None:
    remembered[key] = value
    remembered.move_to_end(key)
    if len(remembered) > _MOST_KNOWN:
        remembered.popitem(last=False)
