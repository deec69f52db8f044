"""What live reads read: a source of pages, with places in it and a way to be woken.

One queue is a source (:mod:`queuey.core.live.one_queue`), and so is a choice of many queues
(:mod:`queuey.core.many.live_source`). Streams and tails know sources by this interface alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from queuey.model.messages.message import Message
from queuey.model.timeid import Ticks

Place = Any
"""A place in a source. Places of one source can be compared: everything up to the smaller one is also up to the
greater one. Only the source looks into them."""


@attrs.frozen
class Event:
    """An event that is sent to a client besides messages.

    :ivar name: its name, such as ``gap``.
    :ivar data: its members, as they are rendered as JSON.
    """

    name: str
    data: Mapping[str, Any]


@attrs.frozen
class LivePage:
    """What a look at a source has found.

    :ivar start: the place from which the source was read.
    :ivar place: the place up to which it was read: the next look begins there, and misses no message.
    :ivar messages: in the order of the log.
    :ivar places: the place after each message: a reader that continues there misses none and sees none twice.
    :ivar size: bytes of the bodies.
    :ivar began: the time when the look began.
    :ivar events: events to be sent before the messages; ``last_events`` after them.
    :ivar at_end: whether the reader has all stored messages.
    :ivar closed: whether no more messages can come.
    :ivar stable: up to when the source is complete.
    :ivar version: an object that is replaced whenever anything changes that decides who may read the source.
    :ivar names: for each message the name of its queue; ``None`` if the source is one queue.
    """

    start: Place
    place: Place
    messages: Sequence[Message]
    places: Sequence[Place]
    size: int
    at_end: bool
    stable: Ticks
    version: object
    began: Ticks
    events: tuple[Event, ...] = ()
    last_events: tuple[Event, ...] = ()
    closed: bool = False
    names: Sequence[str] | None = None


class Watch(Protocol):
    """A wait for messages of a source."""

    def arrival(self, place: Place) -> Deferred[bool]:
        """Wait for an arrival; those since the last call count.

        :param place: the place up to which the source was read.
        :return: fires with ``True`` if there may be a message, and with ``False`` when it is time to look anyway. May
            be cancelled.
        """

    def rest(self) -> Deferred[None]:
        """Wait a little before it is worth to look again; may be cancelled."""

    def leave(self) -> None:
        """Stop waiting. Called once."""


class Source(Protocol):
    """What live reads read.

    :ivar key: streams of sources with equal keys share their pages at the end of the log.
    """

    @property
    def key(self) -> Hashable:
        """See above."""

    def read(self, place: Place, limit: int, max_bytes: int, *, resumed: bool, seen: Ticks) -> Deferred[LivePage]:
        """Read on from a place.

        :param limit: maximum number of messages.
        :param max_bytes: maximum size of all bodies in bytes; a larger message comes alone.
        :param resumed: whether a reader goes on there, who has to learn of gaps.
        :param seen: when the look began that found this place to be the end; 0 if no look of this process has.
        :return: fires with the page. May be cancelled. Fails with ``NoSuchQueue`` if there is no source any more, and
            with ``Unavailable``.
        """

    def watch(self, seconds: float) -> Watch:
        """Begin to wait. Call it before the source is read, so that no arrival between the two is missed.

        :param seconds: the time after which to look anyway. The source may choose a shorter one.
        """

    def time(self, place: Place) -> Ticks:
        """Return the time up to which everything is read at a place."""

    def cursor(self, place: Place) -> str:
        """Return the text of a place, from which a client can resume."""

    def close(self) -> None:
        """Stop using the source. Called once."""
