"""Frames on the socket: each has many items, so that all items of a reactor turn cost one write.

A frame is four bytes with its length and a list in MessagePack (https://msgpack.org). Each item is a number, a kind and
a body, which only who knows the kind can read. Both ends are one version of one program.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import attrs
import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from queuey.deferreds import NextTurn

HEADER: Final = 4
"""Bytes before each frame, its length in the order of the network."""

_LARGE: Final = 256 * 1024
"""Bytes below which a turn's items are one frame. From there on each item is a frame of its own: many pages in one turn
would be a frame that both ends have in memory as a whole, more than once."""

_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1


Item = tuple[int, int, msgspec.Raw]
"""A number, a kind and a body."""


_ONE_OF_THREE: Final = b"\x91\x93"
"""The beginning of a MessagePack list with one item that is a list of three."""

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


class Transport(Protocol):
    """The methods of a socket that are used."""

    @property
    def unsent(self) -> int:
        """Bytes that were written, and that the socket has not taken yet."""

    def write(self, data: bytes | msgspec.Raw) -> None:
        """Send bytes."""

    def loseConnection(self) -> None:
        """Close it once everything is sent."""

    def abortConnection(self) -> None:
        """Close it now."""


class Frames:
    """One end of the socket; a subclass gets each item in ``received``, and the end in ``ended``."""

    def __init__(self, clock: IReactorTime) -> None:
        """:param clock: the reactor, by whose turns items are gathered."""
        self.transport: Transport | None = None
        self._items: list[Item] = []
        self._size = 0
        self._clock = clock
        self._next_turn = NextTurn(clock)
        self._buffer = bytearray()
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether the socket is closed, or about to be."""
        return self._lost

    @property
    def unsent(self) -> int:
        """Bytes that wait to be sent, of items and of frames."""
        return self._size if self.transport is None else self._size + self.transport.unsent

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
        self._next_turn.call(self._flush)

    def close(self) -> None:
        """Send what has been gathered, and close the socket."""
        if not self._lost and self.transport is not None:
            self._flush()
            self._lost = True
            self.transport.loseConnection()

    def _flush(self) -> None:
        items, self._items = self._items, []
        size, self._size = self._size, 0
        if items and not self._lost and self.transport is not None:
            if size < _LARGE:
                frame = _encode(items)
                self.transport.write(len(frame).to_bytes(HEADER, "big") + frame)
            else:
                items.reverse()
                while items:
                    self._send_alone(*items.pop())  # so that it can be freed once it is sent
                self.drained()

    def _send_alone(self, number: int, kind: int, body: msgspec.Raw) -> None:
        """Send an item as a frame of its own. Its body is not copied."""
        assert self.transport is not None
        before = _ONE_OF_THREE + _encode(number) + _encode(kind)
        self.transport.write((len(before) + len(body)).to_bytes(HEADER, "big") + before)
        self.transport.write(body)

    def makeConnection(self, transport: Transport) -> None:
        """Begin, over a socket."""
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        """Take bytes; frames that are whole are read."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= HEADER:
            end = start + HEADER + int.from_bytes(buffer[start : start + HEADER], "big")
            if len(buffer) < end:
                break
            with memoryview(buffer) as view:  # a slice of the buffer itself would be one more copy
                frame, start = bytes(view[start + HEADER : end]), end
            if end >= _LARGE:  # what is read is not kept twice while it is decoded
                del buffer[:end]
                start = 0
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

    def drained(self) -> None:
        """Learn that the socket has taken some of what waited to be sent."""
