"""One end of a socket pair as a transport."""

from __future__ import annotations

from collections import deque
from socket import socket
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from queuey.storage.shared.frames import Frames

_SIZE: Final = 256 * 1024
"""Bytes that are taken from the socket at once."""


class Wire(FileDescriptor):
    """One end of a socket pair, as a transport.

    What is written is sent at once, as far as the socket takes it. Twisted's own transport for such a socket asks the
    kernel to report when the socket takes something, sends in another turn of the reactor, and ends the report; and it
    receives by a call that could bring descriptors. That took as long as what is done with a small frame.

    What the socket does not take waits as it is, without a copy: FileDescriptor would join all that waits.

    :ivar unsent: bytes that wait.
    """

    def __init__(self, end: socket, frames: Frames, reactor: Any) -> None:
        super().__init__(reactor)
        self.unsent = 0
        self.connected = 1
        self._later = reactor.callLater
        self._end = end
        self._frames = frames
        self._waiting: deque[memoryview] = deque()

    def fileno(self) -> int:
        """The descriptor; below 0 once it is closed."""
        return self._end.fileno()

    def write(self, data: Any) -> None:
        """See ITransport; what is written once the connection is to be closed is dropped.

        :param data: bytes, or anything that has them in its buffer.
        """
        if self.disconnecting or not self.connected:
            return
        sent: int | Exception = 0
        if not self._waiting:
            sent = self.writeSomeData(data)
            if sent == len(data):
                return
            # If something went wrong, the next attempt fails too, and ends the connection.
            self.startWriting()
        rest = memoryview(data)[sent if isinstance(sent, int) else 0 :]
        self._waiting.append(rest)
        self.unsent += len(rest)

    def writeSomeData(self, data: Any) -> int | Exception:
        """Send as much as the socket takes; see FileDescriptor."""
        try:
            return self._end.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            return ConnectionLost(error)

    def doWrite(self) -> Exception | None:
        """See IWriteDescriptor."""
        while self._waiting:
            sent = self.writeSomeData(self._waiting[0])
            if isinstance(sent, Exception):
                return sent
            self.unsent -= sent
            if sent < len(self._waiting[0]):
                self._waiting[0] = self._waiting[0][sent:]
                break
            self._waiting.popleft()
        if not self._waiting:
            self.stopWriting()
            if self.disconnecting:
                return ConnectionDone()
        self._frames.drained()
        return None

    def doRead(self) -> Exception | None:
        """See IReadDescriptor."""
        try:
            data = self._end.recv(_SIZE)
        except BlockingIOError:
            return None
        except OSError as error:
            return ConnectionLost(error)
        if not data:
            return ConnectionDone()
        self._frames.dataReceived(data)
        return None

    def abortConnection(self) -> None:
        """Close it now, whatever waits to be sent."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self.stopReading()
            self.stopWriting()
            self._later(0, self.connectionLost, Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        """See IReadDescriptor."""
        super().connectionLost(reason)
        self._waiting.clear()
        self.unsent = 0
        self._end.close()
        self._frames.connectionLost(reason)


def connect(end: socket, frames: Frames, reactor: Any) -> None:
    """Let one end of a socket pair be served by a reactor, whose it is from now on."""
    end.setblocking(False)
    wire = Wire(end, frames, reactor)
    frames.makeConnection(wire)
    wire.startReading()
