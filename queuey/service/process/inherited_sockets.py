"""Sockets that a service manager has opened and keeps, for this process and for those after it."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.unix import Port
from twisted.python.failure import Failure


class HeldPort(Port):
    """A Unix socket that was inherited.

    A port of Twisted would treat it as its own: set the mode of its file to 666 and remove it at its end, allow no more
    than 50 waiting connections, and shut the socket down for all processes that have it.

    :param held: the socket, which listens already.
    """

    def __init__(self, held: socket.socket, factory: IProtocolFactory, reactor: Any) -> None:
        super().__init__(held.getsockname(), factory, reactor=reactor)
        self._held = held
        self._served: Any = factory

    def startListening(self) -> None:
        """Accept connections."""
        self._held.setblocking(False)
        self._served.doStart()
        self.socket = self._held
        self.fileno = self._held.fileno  # type: ignore[method-assign]
        self.connected = True
        self.numberAccepts = 100
        self.startReading()

    def stopListening(self) -> Deferred[None]:  # type: ignore[override]
        """Accept no more; those that wait are for others who have the socket, or for the next daemon."""
        if self.connected:
            self.connected = False
            self.stopReading()
            self._held.close()
            self._served.doStop()
        return succeed(None)

    loseConnection = stopListening  # type: ignore[assignment]

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
        self.stopListening()


def adopt(fileno: int, factory: IProtocolFactory, reactor: Any) -> HeldPort:
    """Listen on a Unix socket that was inherited.

    :param fileno: its descriptor; it is closed.
    :raise OSError: it is no such socket.
    """
    held = socket.socket(fileno=os.dup(fileno))
    os.close(fileno)
    port = HeldPort(held, factory, reactor)
    port.startListening()
    return port
