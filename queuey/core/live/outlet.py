"""What a live read needs of its client: how it is written, where it goes, and whether its caller may still read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from queuey.core.live.source import Event, LivePage, Source
from queuey.errors import QueueyError
from queuey.model.timeid import Ticks


class Format(Protocol):
    """How a stream is written. Formats that are equal write the same, so that what was rendered can be shared.

    :ivar kind: its name in metrics.
    """

    @property
    def kind(self) -> str:
        """See above."""

    def begin(self, retry: int, cursor: str) -> bytes:
        """Return what stands at the beginning.

        :param retry: milliseconds after which the client may come back when the stream has ended.
        :param cursor: where the stream begins.
        """

    def event(self, event: Event, cursor: str) -> bytes:
        """Return an event, with the place at which it is sent."""

    def page(self, source: Source, page: LivePage) -> bytes:
        """Return the events and the messages of a page."""

    def caught_up(self, stable: Ticks, cursor: str) -> bytes:
        """Return the event that says that the end was reached for the first time."""

    def closed(self, cursor: str) -> bytes:
        """Return the event that says that no more messages will come."""

    def beat(self, cursor: str, *, moved: bool) -> bytes:
        """Return a heartbeat.

        :param cursor: the place.
        :param moved: whether it is another one than the last that the client was sent.
        """

    def problem(self, error: QueueyError, instance: str) -> bytes:
        """Return the event that says why a stream ends.

        :param instance: the id of the request.
        """

    def end(self, retry: int) -> bytes:
        """Return what stands at the end, with the milliseconds after which the client may come back."""


class LiveClient(Protocol):
    """The request of a stream."""

    request_id: str

    def send(self, data: bytes) -> Deferred[None]:
        """Write a piece; fires when the client is ready to take more, and fails when it has gone."""

    def finish(self) -> None:
        """End the answer."""

    def count_messages(self, number: int, size: int, names: Sequence[str] | None = None) -> None:
        """Count messages that were written; ``names`` has the name of the queue of each, if they may be of several."""


class Guard(Protocol):
    """Whether the caller of a stream may still read."""

    def check(self) -> Deferred[None]:
        """Ask again.

        :return: fails with the reason if it may not, and with ``Unavailable`` if that cannot be known now.
        """

    def until(self) -> float | None:
        """Seconds from now after which to ask again because a credential expires; ``None`` if none does."""

    def release(self) -> None:
        """Stop watching it."""
