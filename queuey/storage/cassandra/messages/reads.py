"""Common parts of all reads of messages, and reads of one bucket."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred

from queuey.model.messages.message import Address
from queuey.model.timeid import MessageId
from queuey.storage.cassandra.cluster.port import ICQLSession, Row, Statement
from queuey.storage.cassandra.messages.buckets import Bucket, Registrations, Spot, spot_of
from queuey.storage.cassandra.messages.statements import MAX_IDS, Statements
from queuey.storage.cassandra.messages.stored import MessageSizes, View
from queuey.storage.cassandra.messages.undecided import Undecided
from queuey.storage.cassandra.queues.rows import Incarnation

__all__ = ["Group", "Range", "Reads", "View", "gathered", "padded"]


@attrs.frozen
class Reads:
    """The common parts of all reads."""

    session: ICQLSession
    statements: Statements
    registrations: Registrations
    sizes: MessageSizes
    undecided: Undecided


@attrs.frozen
class Range:
    """A range of ids of one bucket."""

    bucket: Bucket
    partition: int
    lower: MessageId
    upper: MessageId

    def values(self, incarnation: Incarnation, rows: int) -> tuple[object, ...]:
        """Return the values for a statement that reads a page of it."""
        return (incarnation.key, self.partition, self.bucket.number, self.lower, self.upper, rows)


def padded(ids: Sequence[MessageId]) -> tuple[MessageId, ...]:
    """Ids, the last of them repeated to make a power of two: so there are few statements, each prepared once."""
    wanted = 1 << (len(ids) - 1).bit_length()
    return (*ids, *[ids[-1]] * (wanted - len(ids)))


@attrs.frozen
class Group:
    """Ids of one bucket that are read together."""

    spot: Spot
    ids: tuple[MessageId, ...]

    def find(self, reads: Reads, view: View) -> Deferred[Sequence[Row]]:
        """Read the messages."""
        return self._ask(reads.statements.find, reads, view)

    def stamps(self, reads: Reads, view: View) -> Deferred[Sequence[Row]]:
        """Read when they end and were written."""
        return self._ask(reads.statements.stamps, reads, view)

    def _ask(self, statement: Callable[[int, int], Statement], reads: Reads, view: View) -> Deferred[Sequence[Row]]:
        ids = padded(self.ids)
        values = (view.incarnation.key, self.spot.partition, self.spot.bucket, *ids)
        return reads.session.execute(statement(self.spot.kind, len(ids)), values, view.level)


def gathered(incarnation: Incarnation, addresses: Sequence[Address], most: int = MAX_IDS) -> list[Group]:
    """Different addresses by their buckets, at most so many in each group."""
    by_spot: dict[Spot, list[MessageId]] = {}
    for address in addresses:
        by_spot.setdefault(spot_of(incarnation, address.partition, address.id), []).append(address.id)
    return [
        Group(spot, tuple(ids[start : start + most]))
        for spot, ids in by_spot.items()
        for start in range(0, len(ids), most)
    ]
