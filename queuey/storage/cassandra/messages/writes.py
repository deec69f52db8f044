"""Writes of messages: the bound values of each, how many are sent at once, and the size limits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final

import attrs

from queuey.errors import BodyTooLarge, InvalidRequest
from queuey.model.messages.message import Content, NewMessage
from queuey.model.stable_time.stamps import Flight
from queuey.model.timeid import EPOCH, SECOND, MessageId, Ticks, from_seconds, ticks_of
from queuey.model.values import frozen
from queuey.storage.cassandra.cluster.parallel import write_all
from queuey.storage.cassandra.cluster.port import Bound, ICQLSession, Level
from queuey.storage.cassandra.messages.buckets import Spot, spot_of
from queuey.storage.cassandra.messages.statements import Statements
from queuey.storage.cassandra.queues.rows import Incarnation

MICROSECOND: Final = SECOND // 1_000_000

GRACE: Final = 60
"""Seconds that a row outlives its message: the nodes' clocks decide when it ends, and ours when it shows no more."""

OVERHEAD: Final = 200
"""Bytes that a message takes in a batch beside its own, or some more."""

LAST: Final = from_seconds(2**31 - 1 - 20 * 86_400)
"""Some days before the time in 2038 at which the expiry of cells ends in a cluster that is compatible with Cassandra 4;
registered buckets outlive their messages by as many."""


@attrs.frozen
class WriteLimits:
    """The limits that the cluster and the operator set.

    :ivar batch_bytes: of one batch over several partitions; ``None`` if the cluster does not tell.
    :ivar mutation_bytes: of what is written to one partition at once; ``None`` if the cluster does not tell.
    :ivar far_expiry: whether data may expire after January 2038.
    :ivar count: messages that are counted at most; if there are more, the count is this number.
    :ivar skew: seconds by which clocks of front ends may differ.
    """

    batch_bytes: int | None
    mutation_bytes: int | None
    far_expiry: bool
    count: int
    skew: float


@frozen
class Fresh:
    """A new message that has its id, and is about to be stored.

    :ivar stamp: the time as of which it is stored, whenever it is due.
    :ivar seconds: that its row lives.
    """

    partition: int
    id: MessageId
    stamp: Ticks
    content: Content
    expires: Ticks
    seconds: int


def fresh(messages: Sequence[NewMessage], flight: Flight, now: Ticks) -> list[Fresh]:
    """New messages with the ids that were made for them; a delayed one lives from when it is due."""
    found: list[Fresh] = []
    for message, id, stamp in zip(messages, flight.ids, flight.stamps, strict=True):
        born = ticks_of(id) if message.delay else now
        expires = Ticks(born + message.ttl * SECOND)
        seconds = -(-(expires - now) // SECOND)
        found.append(Fresh(message.partition, id, stamp, message.content, expires, seconds))
    return found


@frozen
class Written:
    """One message to be written.

    :ivar spot: where.
    :ivar size: its bytes.
    """

    spot: Spot
    size: int
    bound: Bound


def microseconds(ticks: Ticks) -> int:
    """A time as Cassandra counts those of writes: microseconds since 1970."""
    return (ticks - EPOCH) // MICROSECOND


def present(content: Content) -> tuple[Any, ...]:
    """Return the parts of a message besides its body."""
    return tuple(value for value in (content.content_type, content.headers) if value is not None)


@attrs.frozen
class Writer:
    """Writes messages, all or none.

    :ivar limits: as they are known now.
    """

    session: ICQLSession
    statements: Statements
    limits: Callable[[], WriteLimits]

    def check_expiry(self, expires: Ticks) -> None:
        """Refuse what the cluster could not keep so long.

        :raise InvalidRequest: saying so.
        """
        if expires > LAST and not self.limits().far_expiry:
            text = "The message would live into 2038, which this Cassandra cannot store (storage_compatibility_mode)."
            raise InvalidRequest({"ttl": text})

    def check_size(self, messages: Sequence[tuple[Hashable, int]]) -> None:
        """Refuse what the cluster would refuse, before anything is sent.

        :param messages: their places and their bytes.
        :raise BodyTooLarge: names the limit, and how to raise it.
        """
        size = sum(size + OVERHEAD for _, size in messages)
        limit = self.limits().mutation_bytes
        if limit is not None and size > limit:
            what = "commitlog_segment_size (of which it is half) or max_mutation_size"
            raise BodyTooLarge(_too_large(len(messages), size, limit, what), limit="storage")
        limit = self.limits().batch_bytes
        if limit is not None and size > limit and len({spot for spot, _ in messages}) > 1:
            text = _too_large(len(messages), size, limit, "batch_size_fail_threshold")
            raise BodyTooLarge(text, limit="storage")

    def insert(self, incarnation: Incarnation, new: Fresh, once: tuple[bytes, bytes] | None = None) -> Written:
        """Return the writes of a new message, as of the time of its stamp: if it is sent late, it does not change
        newer values.

        If its id is below a bound that was purged, it is written after the purge.

        :param once: the attempt, and the key of its row, if readers have to ask there before the message counts.
        """
        spot, content = spot_of(incarnation, new.partition, new.id), new.content
        stamp = microseconds(new.stamp)
        bound, at = incarnation.purged.get(spot.partition, (b"", 0))
        if new.id < bound:
            stamp = max(stamp, at + 1)
        typed, headed = content.content_type is not None, content.headers is not None
        statement = self.statements.insert(spot.kind, typed, headed, once is not None)
        values = (incarnation.key, spot.partition, spot.bucket, new.id, content.body, new.expires, *present(content))
        bound_values = (*values, *(once or ()), stamp, new.seconds + GRACE)
        return Written(spot, content.size, Bound(statement, bound_values))

    def put(
        self,
        incarnation: Incarnation,
        partition: int,
        id: MessageId,
        content: Content,
        expires: Ticks,
        ttl: int,
        stamp: int,
    ) -> Written:
        """A message in the place of another, or a new one, with all its columns."""
        spot = spot_of(incarnation, partition, id)
        statement = self.statements.put(spot.kind, content.content_type is not None, content.headers is not None)
        values = (stamp, ttl + GRACE, content.body, expires, *present(content))
        return Written(spot, content.size, Bound(statement, (*values, incarnation.key, partition, spot.bucket, id)))

    def flag(self, incarnation: Incarnation, partition: int, id: MessageId, seconds: int, stamp: int) -> Written:
        """The word that a message counts.

        :param seconds: that are left to it, rounded up; more than ``-GRACE``.
        """
        spot = spot_of(incarnation, partition, id)
        values = (stamp, seconds + GRACE, incarnation.key, partition, spot.bucket, id)
        return Written(spot, 0, Bound(self.statements.flag(spot.kind), values))

    def remove(self, incarnation: Incarnation, partition: int, id: MessageId, seconds: int, stamp: int) -> Written:
        """Return the writes that remove a message.

        :param seconds: that were left to it, rounded up.
        """
        spot = spot_of(incarnation, partition, id)
        values = (stamp, seconds + GRACE, incarnation.key, partition, spot.bucket, id)
        return Written(spot, 0, Bound(self.statements.remove(spot.kind), values))

    async def write(self, messages: Sequence[Written], level: Level) -> None:
        """Write messages, all or none. Fails with ``Unavailable``."""
        several = len({message.spot for message in messages}) > 1
        if several:
            self.check_size([(message.spot, message.size) for message in messages])
        await self._send(messages, level, several)

    async def write_each(self, messages: Sequence[Written], level: Level) -> None:
        """Write messages, each bucket for itself. Fails with ``Unavailable``."""
        by_spot: dict[Spot, list[Written]] = {}
        for message in messages:
            by_spot.setdefault(message.spot, []).append(message)
        await write_all([partial(self._send, part, level, False) for part in by_spot.values()])

    def _send(self, messages: Sequence[Written], level: Level, logged: bool) -> Any:
        if len(messages) == 1:
            return self.session.execute(messages[0].bound.statement, messages[0].bound.values, level)
        return self.session.batch([message.bound for message in messages], level, logged)


def _too_large(messages: int, size: int, limit: int, setting: str) -> str:
    what = "The message takes" if messages == 1 else f"{messages} messages in one batch take"
    return f"{what} about {size} bytes, and Cassandra takes {limit} at once; cassandra.yaml raises it by {setting}."
