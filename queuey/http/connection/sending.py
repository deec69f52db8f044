"""Fast path between a socket and a connection.

The answers of one reactor turn are sent at the end of that turn, without waiting for the socket to become writable.

A Twisted transport buffers what is written, registers the socket for writing, sends in the next turn and unregisters
the socket: two system calls and a turn of the loop, which cost more than sending a small answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IAddress, IPushProducer, IReactorTime
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.deferreds import NextTurn
from queuey.http.connection.outgoing import Transport
from queuey.http.connection.receiving import Receiver
from queuey.logs import EventLog

MOST: Final = 64 * 1024
"""Bytes that are gathered for one connection; more is left to its transport, which asks to pause."""


def _nothing() -> None:
    """Ignore the call."""


class Turn:
    """Makes calls at the end of the reactor's turn, by one timer for all of them.

    The calls belong to different connections, so an error in one of them does not keep the others from being made.

    :ivar before: calls that are made before the data of the turn is sent.
    """

    _log = EventLog(Logger(namespace="queuey.http"))

    def __init__(self, clock: IReactorTime, before: Callable[[], None] = _nothing) -> None:
        self._next_turn = NextTurn(clock)
        self.before = before
        self._calls: list[tuple[Callable[[], None], Callable[[], None]]] = []

    def at_its_end(self, call: Callable[[], None], failed: Callable[[], None] = _nothing) -> None:
        """Call a function at the end of this turn.

        :param failed: is called if that raises an error, which is logged.
        """
        if not self._calls:
            self._next_turn.call(self._end)
        self._calls.append((call, failed))

    def _end(self) -> None:
        calls, self._calls = self._calls, []
        try:
            self.before()
        except Exception:
            # What was done is done, so clients get their answers although the access log lacks them.
            self._log.failure("turn-defect", "what comes before the answers of a turn failed", Failure())
        for call, failed in calls:
            try:
                call()
            except Exception:
                self._log.failure("connection-defect", "what was written to a connection could not be sent", Failure())
                failed()


class Direct:
    """A plain socket's transport, which gets only what the socket does not take at once.

    Once the transport has bytes of ours, all later bytes go through it as well, so that the order is kept.
    And where there is a :class:`Receiver`, that reads the socket for as long as data comes, and not the transport.
    """

    __slots__ = (
        "_behind", "_first", "_more", "_receiver", "_send", "_size", "_transport", "_turn", "number", "receive", "take"
    )  # fmt: skip

    def __init__(
        self, transport: Connection, turn: Turn, receiver: Receiver | None, take: Callable[[bytes], None]
    ) -> None:
        self._transport = transport
        self._turn = turn
        self._receiver = receiver
        self.take = take
        socket = transport.getHandle()
        self._send = socket.send
        if receiver is not None:
            self.number = socket.fileno()
            self.receive = socket.recv
            transport.pauseProducing()
            receiver.add(self)
        self._first = b""
        self._more: list[bytes] = []
        self._size = 0
        self._behind = False

    def write(self, data: bytes) -> None:
        """See Transport."""
        if self._behind:
            self._transport.write(data)
            return
        if self._size:
            self._more.append(data)
        else:
            self._first = data
            self._turn.at_its_end(self.send, self.abortConnection)
        self._size += len(data)
        if self._size > MOST:
            self._behind = True
            self._turn.before()
            self.send()

    def send(self) -> None:
        """Send what was gathered."""
        data, size, transport = self._first, self._size, self._transport
        if not size:
            return
        self._size = 0
        self._first = b""
        if self._more:
            data = b"".join([data, *self._more])
            self._more = []
        if self._behind or not transport.connected:
            transport.write(data)
            return
        try:
            # The transport's own way to do this takes three times as many calls.
            sent = self._send(data)
        except OSError:
            sent = 0
        if sent != size:
            # What went wrong, if anything did, the transport finds out as well, and ends the connection.
            self._behind = True
            transport.write(data[sent:] if sent else data)

    def loseConnection(self) -> None:
        """See Transport."""
        self.stop()
        self._leave()
        self._transport.loseConnection()

    def loseWriteConnection(self) -> None:
        """Close this side once everything is sent."""
        self._leave()
        self._transport.loseWriteConnection()

    def abortConnection(self) -> None:
        """See Transport."""
        self.stop()
        self._size = 0
        self._first = b""
        self._more = []
        self._behind = True
        self._transport.abortConnection()

    def _leave(self) -> None:
        """Send what was gathered, and leave it to the transport what becomes of all that is written from now on."""
        self._turn.before()
        self.send()
        self._behind = True

    def leave(self) -> None:
        """See Receiving: let the transport handle the end of the data, and errors."""
        self._receiver = None
        self._transport.resumeProducing()

    def lose(self, reason: Failure) -> None:
        """See Receiving."""
        self._transport.connectionLost(reason)

    def lost(self) -> None:
        """Learn that the connection is lost; who took what came is forgotten, and not kept by what he knows himself."""
        self.stop()
        self.take = _drop

    def stop(self) -> None:
        """Stop reading, temporarily or permanently."""
        if self._receiver is not None:
            self._receiver.remove(self)

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """See Transport."""
        self._transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """See Transport."""
        self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """See Transport."""
        if self._receiver is None:
            self._transport.pauseProducing()
        else:
            self._receiver.remove(self)

    def resumeProducing(self) -> None:
        """See Transport."""
        if self._receiver is None:
            self._transport.resumeProducing()
        elif self._transport.connected and not self._transport.disconnecting:
            self._receiver.add(self)

    def getPeer(self) -> IAddress:
        """See Transport."""
        return self._transport.getPeer()  # type: ignore[no-any-return]

    def getHost(self) -> IAddress:
        """See Transport."""
        return self._transport.getHost()  # type: ignore[no-any-return]


def _drop(data: bytes) -> None:
    """Take what comes on a connection that is lost."""


def quickest(transport: Transport, turn: Turn, receiver: Receiver | None, take: Callable[[bytes], None]) -> Transport:
    """The quickest way to write to a transport; what is no plain socket, or is TLS, has only its own.

    :param receiver: who reads plain sockets, if anybody does but their transports.
    :param take: is called with received data.
    """
    if isinstance(transport, Connection) and not transport.TLS:
        return Direct(transport, turn, receiver, take)
    return transport
