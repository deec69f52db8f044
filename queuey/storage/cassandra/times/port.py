"""Interface to the clock and the lease of a front end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from queuey.model.stable_time.stamps import Flight, Place, StampRequest
from queuey.model.timeid import MessageId, Ticks


class Times(Protocol):
    """The time, the ids and the stable time of a front end."""

    def now(self) -> Ticks:
        """The time by our own clock, which never jumps."""

    def begin(self, wanted: Sequence[StampRequest], slow: bool, weak: bool = False) -> Flight:
        """Make ids for one write.

        :param slow: whether it waits for every data centre, and has a limit of its own.
        :param weak: whether it goes to a weak queue, whose readers are promised less.
        :raise Unavailable: this front end may not stamp now (no lease, or its clock is wrong); the text has the reason.
        """

    def landed(self, flight: Flight) -> None:
        """Note that the write was acknowledged.

        :raise Unavailable: with ``applied="unknown"`` if that came too late to be promised.
        """

    def lost(self, flight: Flight, late: bool = False) -> None:
        """Note that the write failed, or that its outcome is unknown: it will not be answered as stored.

        :param late: whether it was given up because it took too long.
        """

    def put(self, id: MessageId) -> None:
        """Note that a client stores a message under an id of its own: no id of ours may equal it, and if its time has
        come, later ids are above it.

        Call it before the write is sent; otherwise an id of ours may meet it on the way. To call it once more
        afterwards does no harm.
        """

    def stable(self, place: Place, slow: bool = False, weak: bool = False) -> MessageId:
        """Return the bound below which readers of a partition see everything; take it before the scan is sent.

        :param slow: whether writes to this queue wait for every data centre.
        :param weak: whether the queue is weak; its readers do not wait and are promised less.
        :raise Unavailable: this front end cannot know it now.
        """

    def registry_age(self) -> float | None:
        """Seconds that the row of a queue may be cached; ``None``: without a limit, because no other front end changes
        it."""

    @property
    def tenure(self) -> int:
        """A number that changes when other front ends may have served meanwhile; what was cached before is invalid
        then."""

    @property
    def reason(self) -> str | None:
        """Why this front end cannot serve now, in one sentence; ``None`` if it can."""

    def health_problems(self) -> Mapping[str, str]:
        """The same sentence under its subject, ``clock`` or ``lease``; empty if this front end can serve."""

    def start(self) -> Deferred[None]:
        """Make ready to serve, however long the cluster is away or another front end in the way.

        :return: fires once it is ready for the first time. Fails with ``Unavailable`` where ``stop`` comes first.
        """

    def stop(self) -> Deferred[None]:
        """Serve no more, and leave the cluster in such a state that others need not wait for us; what is in flight
        cannot be promised any more.

        :return: fires once that is done, or was given up because the cluster does not answer.
        """
