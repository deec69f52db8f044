"""What goes over the socket: frames of many items, so that what comes in one turn of the reactor costs one write.

A frame is four bytes with its length and a list in MessagePack (https://msgpack.org). Each item is a number, a kind and
a body, which only who knows the kind can read. Both ends are one version of one program.
"""

from __future__ import annotations

from socket import socket
from typing import Any, Final

import attrs
import msgspec
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

HEADER: Final = 4
"""Bytes before each frame, its length in the order of the network."""


_SIZE: Final = 256 * 1024
"""Bytes that are taken from the socket at once."""

_LARGE: Final = 256 * 1024
"""Bytes of bodies up to which a turn's items are one frame. Above it each is a frame of its own: many pages in one turn
would be a frame that both ends have in memory as a whole, more than once."""

_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1


Item = tuple[int, int, msgspec.Raw]
"""A number, a kind and a body."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[tuple[int, int, msgspec.Raw]]).decode


def encoded(body: Any) -> msgspec.Raw:
    """A body as it is sent.

    Whole numbers beyond 64 bits, which clients may give for a partition or a limit, are sent as the last that fit: no
    partition has such a number, and no queue as many messages.
    """
    try:
        return msgspec.Raw(_encode(body))
    except OverflowError:
        return msgspec.Raw(_encode(_clamped(body)))


def _clamped(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return max(_LEAST, min(value, _MOST))
    if isinstance(value, tuple | list):
        return [_clamped(each) for each in value]
    if isinstance(value, msgspec.Struct):
        return type(value)(*[_clamped(each) for each in msgspec.structs.astuple(value)])
    if attrs.has(type(value)):
        return type(value)(*[_clamped(getattr(value, field.name)) for field in attrs.fields(type(value))])
    return value


class Frames(Protocol):
    """One end of the socket; who inherits it gets each item in ``received``, and the end in ``ended``."""

    def __init__(self, clock: IReactorTime) -> None:
        """:param clock: the reactor, by whose turns items are gathered."""
        self._clock = clock
        self._items: list[Item] = []
        self._size = 0
        self._sends = False
        self._buffer = bytearray()
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether the socket is closed, or about to be."""
        return self._lost

    def send(self, number: int, kind: int, body: Any) -> None:
        """Send an item with all others of this turn."""
        if self._lost:
            return
        raw = encoded(body)
        self._size += len(raw)
        self._items.append((number, kind, raw))
        self._send_soon()

    def _send_soon(self) -> None:
        """Send what has been gathered at the end of this turn."""
        if not self._sends:
            self._sends = True
            self._clock.callLater(0, self._flush)

    def close(self) -> None:
        """Send what has been gathered, and close the socket."""
        if not self._lost and self.transport is not None:
            self._flush()
            self._lost = True
            self.transport.loseConnection()

    def _flush(self) -> None:
        self._sends = False
        items, self._items = self._items, []
        size, self._size = self._size, 0
        if items and not self._lost and self.transport is not None:
            if size <= _LARGE:
                frame = _encode(items)
                self.transport.write(len(frame).to_bytes(HEADER, "big") + frame)
            else:
                self._flush_singly(items)

    def _flush_singly(self, items: list[Item]) -> None:
        """Send items as frames of their own, and forget each once it is handed over."""
        assert self.transport is not None
        items.reverse()
        while items:
            frame = _encode([items.pop()])
            self.transport.write(len(frame).to_bytes(HEADER, "big"))
            self.transport.write(frame)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes; frames that are whole are read."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= HEADER:
            end = start + HEADER + int.from_bytes(buffer[start : start + HEADER], "big")
            if len(buffer) < end:
                break
            frame, start = bytes(buffer[start + HEADER : end]), end
            for number, kind, body in _decode(frame):
                try:
                    self.received(number, kind, body)
                except Exception:
                    # The others of this frame are of other requests.
                    self.defect(number, kind, Failure())
        if start:
            del buffer[:start]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Learn that the other end is gone."""
        self._lost = True
        self._items.clear()
        self.ended()

    def received(self, number: int, kind: int, body: msgspec.Raw) -> None:
        """Take one item."""
        raise NotImplementedError

    def defect(self, number: int, kind: int, failure: Failure) -> None:
        """Learn that an item could not be taken."""
        raise NotImplementedError

    def ended(self) -> None:
        """Learn that the socket is closed; called once."""
        raise NotImplementedError


class _Wire(FileDescriptor):
    """One end of a socket pair, as a transport.

    What is written is sent at once, as far as the socket takes it. Twisted's own transport for such a socket asks the
    kernel to be told when it takes something, sends in another turn of the reactor, and asks to be told no more; and it
    receives by a call that could bring descriptors. That took as long as what is done with a small frame.
    """

    def __init__(self, end: socket, frames: Frames, reactor: Any) -> None:
        super().__init__(reactor)
        self._later = reactor.callLater
        self._end = end
        self._frames = frames
        self._behind = False
        self.connected = 1

    def fileno(self) -> int:
        """The descriptor; below 0 once it is closed."""
        return self._end.fileno()

    def write(self, data: bytes) -> None:
        """See ITransport; what is written once the connection is to be closed is dropped."""
        if self.disconnecting:
            return
        if not self._behind and self.connected:
            sent = self.writeSomeData(data)
            if sent == len(data):
                return
            # What went wrong, if anything did, is found out once more when it is tried again, and ends the connection.
            self._behind = True
            data = data[sent:] if isinstance(sent, int) else data
        super().write(data)

    def writeSomeData(self, data: bytes) -> int | Exception:
        """Send as much as the socket takes; see FileDescriptor."""
        try:
            return self._end.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            return ConnectionLost(error)

    def stopWriting(self) -> None:
        """See FileDescriptor, which calls this once all is sent: what is written from then on is sent at once again."""
        self._behind = False
        super().stopWriting()

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
        self._end.close()
        self._frames.connectionLost(reason)


def connect(end: socket, frames: Frames, reactor: Any) -> None:
    """Let one end of a socket pair be served by a reactor, whose it is from now on."""
    end.setblocking(False)
    wire = _Wire(end, frames, reactor)
    frames.makeConnection(wire)
    wire.startReading()
