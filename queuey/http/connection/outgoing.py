"""The write side of a connection: pieces, back-pressure and the stall timeout."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IPushProducer
from zope.interface import implementer

from queuey.http.requests.counting import Counts
from queuey.model.telemetry.counts import NONE

PIECE: Final = 64 * 1024
"""Bytes that are handed to the transport at once: a client that takes one piece in time is not stalled."""


class Transport(Protocol):
    """The methods of transports that are used here, of sockets, TLS and tests."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def loseConnection(self) -> None:
        """Close once everything is sent."""

    def abortConnection(self) -> None:
        """Close at once."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Be asked to pause where too much waits to be sent."""

    def unregisterProducer(self) -> None:
        """Be asked no longer."""

    def pauseProducing(self) -> None:
        """Stop reading until :meth:`resumeProducing`."""

    def resumeProducing(self) -> None:
        """Read again."""

    def getPeer(self) -> IAddress:
        """The other end."""

    def getHost(self) -> IAddress:
        """This end."""


@implementer(IPushProducer)
class Outgoing:
    """Write side of a connection: buffering, back-pressure (IPushProducer) and the stall timeout.

    :ivar full: whether the transport has asked to pause; bytes are buffered here only then.
    :ivar stall: when the client has taken no byte for too long, in seconds of the clock.
    """

    __slots__ = (
        "_clock", "_free", "_parts", "_registered", "_transport", "_waiting", "_written", "full", "patience", "stall"
    )  # fmt: skip

    def __init__(
        self, transport: Transport, clock: Callable[[], float], free: Callable[[], None], counts: Counts | None
    ) -> None:
        """Begin with a new connection.

        :param free: is called whenever everything has been handed over and more is wanted.
        :param counts: counts the bytes that are handed to the transport; may be ``None``.
        """
        self.full = False
        self.stall = inf
        self.patience = inf
        self._transport: Transport | _LostTransport = transport
        self._clock = clock
        self._written = None if counts is None else counts.written
        self._free = free
        # Made when something has to wait, since an empty one takes 700 bytes of each idle connection.
        self._parts: deque[bytes] | None = None
        self._waiting: list[Deferred[None]] = []
        self._registered = True
        transport.registerProducer(self, True)

    @property
    def blocked(self) -> bool:
        """Whether something waits to be handed over, or the transport has enough."""
        return self.full or bool(self._parts)

    @property
    def empty(self) -> bool:
        """Whether everything has been handed over."""
        return not self._parts

    def write(self, data: bytes) -> None:
        """Send bytes."""
        size = len(data)
        if not self.full and not self._parts and size <= PIECE:
            if self._written is not None:
                self._written[NONE] += size
            self._transport.write(data)
        else:
            # Copies, so that the memory of sent data is free while the rest waits for a slow client.
            if self._parts is None:
                self._parts = deque()
            self._parts.extend(data[at : at + PIECE] for at in range(0, size, PIECE))
            self._pump()

    def _pump(self) -> None:
        while self._parts and not self.full:
            data = self._parts.popleft()
            if self._written is not None:
                self._written[NONE] += len(data)
            self._transport.write(data)
        if not self._parts:
            self._parts = None

    def writable(self) -> Deferred[None]:
        """Wait until more is wanted.

        :return: fails with what :meth:`lost` is given. May be cancelled.
        """
        if not self.blocked:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._forget)
        self._waiting.append(waiting)
        return waiting

    def _forget(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _wake(self, error: Exception | None) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if each.called:
                # One that was woken before it has cancelled it.
                continue
            if error is None:
                each.callback(None)
            else:
                each.errback(error)

    def pauseProducing(self) -> None:
        """Learn that the transport has enough to send."""
        self.full = True
        self.stall = self._clock() + self.patience

    def resumeProducing(self) -> None:
        """Learn that the transport wants more to send."""
        self.full = False
        self.stall = inf
        self._pump()
        if not self.blocked:
            self._wake(None)
            self._free()

    def spare(self) -> None:
        """Restart the stall timeout, because the client has sent something: some clients send everything before they
        read."""
        if self.full:
            self.stall = self._clock() + self.patience

    def stopProducing(self) -> None:
        """Learn that the transport is gone; the connection learns it as well."""

    def release(self) -> None:
        """Leave the transport to itself: one that has a producer may wait for it for ever before it closes."""
        self.stall = inf
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()

    def lost(self, error: Exception) -> None:
        """Learn that the connection is lost."""
        self.stall = inf
        self._registered = False
        self._parts = None
        # The transport and the connection know this in turn: each would keep the others for the garbage collector.
        self._transport = _LOST
        self._free = _nothing
        self._wake(error)


def _nothing() -> None:
    """The callback for free room after the connection is lost: it does not do any work."""


class _LostTransport:
    """Replaces the transport after the end of the connection, and discards all writes."""

    def write(self, data: bytes) -> None:
        """Throw bytes away."""

    def unregisterProducer(self) -> None:
        """There is no producer any more."""


_LOST: Final = _LostTransport()
