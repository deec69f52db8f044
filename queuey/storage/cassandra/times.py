"""The times of a front end: ids for what it writes, and how far its readers may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from queuey.model.timeid import MessageId, Ticks

LONG_CLASS = 1 << 40
"""The multicast bit of an id: set where the message is kept in the long table, and in no other id of ours."""


@attrs.frozen
class Place:
    """One partition of one life of a queue."""

    incarnation: int
    partition: int


@attrs.frozen
class Flight:
    """Ids that were stamped for one write, until it is known what became of it.

    :ivar ids: in the order in which they were asked for, rising strictly.
    :ivar limit: seconds that the write may take from now; the store gives it no more time than that.
    """

    number: int
    ids: tuple[MessageId, ...]
    limit: float


class Times(Protocol):
    """What the store asks of the clock, the lease and the settings of a front end."""

    def now(self) -> Ticks:
        """The time by our own clock, which never jumps."""

    def begin(self, places: Sequence[tuple[Place, bool]], slow: bool) -> Flight:
        """Stamp ids for one write.

        :param places: for each message its partition, and whether it goes into the long table.
        :param slow: whether it waits for every data centre, and has a limit of its own.
        :raise Unavailable: where this front end may not stamp now (no lease, or its clock is off), saying why.
        """

    def landed(self, flight: Flight) -> None:
        """The write was acknowledged.

        :raise Unavailable: with ``applied="unknown"`` where that came too late to be promised.
        """

    def lost(self, flight: Flight) -> None:
        """The write failed, or nobody knows: it will not be answered as stored."""

    def put(self, id: MessageId) -> None:
        """A client stored a message under an id of its own: no id of ours may equal it, and where its time has come
        ids that follow are above it."""

    def stable(self, place: Place) -> MessageId:
        """The bound below which readers of a partition see everything; taken before the scan is sent.

        :raise Unavailable: where this front end cannot know it now.
        """

    def registry_age(self) -> float | None:
        """Seconds that the row of a queue may be remembered; ``None`` is for ever, since nobody else changes it."""
