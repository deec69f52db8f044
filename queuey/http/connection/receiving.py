"""Receives from many plain sockets in one step of the reactor.

For each thing that it has to read, the reactor of Twisted makes a context of the log and asks several questions, which
for a small request takes as long as to read it. So all plain sockets are one thing to read: a poll of their own, which
can itself be polled (epoll(7), "Questions and answers", Q3). Whatever is no data, the end of a connection for one, is
left to the socket's transport, which knows what to make of it.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey.logs import EventLog

SIZE: Final = 64 * 1024
"""Bytes that are taken from one socket before others have their turn."""


class Receiving(Protocol):
    """One socket, and who takes what comes on it.

    :ivar number: of the socket's descriptor.
    :ivar receive: reads up to this number of bytes from the socket.
    :ivar take: takes it.
    """

    number: int
    receive: Callable[..., bytes]
    take: Callable[[bytes], None]

    def leave(self) -> None:
        """Learn that something else than data has come, and that the socket is read here no more."""

    def abortConnection(self) -> None:
        """Cut the connection, since what came could not be taken."""

    def lose(self, reason: Failure) -> None:
        """Learn that the reactor comes to its end."""


@implementer(IReadDescriptor)
class Receiver:
    """The sockets that are read together."""

    _log = EventLog(Logger(namespace="queuey.http"))

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self._poll = select.epoll()
        self._sockets: dict[int, Receiving] = {}

    def add(self, receiving: Receiving) -> None:
        """Start reading a socket, unless it is being read already."""
        if receiving.number in self._sockets:
            return
        if not self._sockets:
            self._reactor.addReader(self)
        self._sockets[receiving.number] = receiving
        self._poll.register(receiving.number, select.EPOLLIN)

    def remove(self, receiving: Receiving) -> None:
        """Stop reading a socket, if it is being read; it may be closed by now."""
        if self._sockets.get(receiving.number) is not receiving:
            return
        del self._sockets[receiving.number]
        # A socket that was closed is out of the poll already.
        with suppress(OSError):
            self._poll.unregister(receiving.number)
        if not self._sockets:
            self._reactor.removeReader(self)

    def fileno(self) -> int:
        """See IFileDescriptor."""
        return self._poll.fileno()

    def logPrefix(self) -> str:
        """See ILoggingContext."""
        return "Receiver"

    def connectionLost(self, reason: Failure) -> None:
        """See IFileDescriptor: the reactor comes to its end."""
        sockets, self._sockets = self._sockets, {}
        for receiving in sockets.values():
            try:
                receiving.lose(reason)
            except Exception:
                self._log.failure("connection-defect", "a connection could not be given up", Failure())

    def doRead(self) -> None:
        """See IReadDescriptor."""
        sockets = self._sockets
        for number, _ in self._poll.poll(0, len(sockets)):
            receiving = sockets.get(number)
            if receiving is None:
                # What came before has ended it.
                continue
            try:
                data = receiving.receive(SIZE)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            try:
                if data:
                    receiving.take(data)
                else:
                    self.remove(receiving)
                    receiving.leave()
            except Exception:
                self._log.failure("connection-defect", "what came on a connection could not be taken", Failure())
                self.remove(receiving)
                receiving.abortConnection()


def receiver(reactor: object) -> Receiver | None:
    """Return the reader of a server's sockets; ``None`` if each transport reads its own, since there is no epoll."""
    if hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor):
        return Receiver(reactor)
    return None
