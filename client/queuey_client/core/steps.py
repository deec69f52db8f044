"""What a call may ask of the face that drives it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, Union

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """A request as a value.

    :ivar url: the whole URL, with its query.
    :ivar timeout: seconds that it may take to connect, and seconds that may pass without a byte of the answer.
    :ivar waits: whether the server was asked to wait, so that a connection is taken for that long.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    timeout: float = 10.0
    waits: bool = False


@dataclass(frozen=True)
class Answer:
    """An answer as a value.

    :ivar headers: by their names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Incoming(Protocol):
    """The body of an answer that is received piece by piece. How to receive is for the face that has opened it."""

    def close(self) -> None:
        """Close the connection, at once. It may be called again."""


@dataclass(frozen=True)
class Opened(Answer):
    """An answer of status 200 whose body is still to be received."""

    incoming: Any = None


class NoAnswer(Exception):
    """Raised by transports: the request was not answered, or not to the end.

    :ivar sent: whether the server may have seen the request. ``False`` only if the connection was never made.
    :ivar final: whether another attempt cannot help, such as with a certificate that is not trusted.
    """

    def __init__(self, detail: str, *, sent: bool = True, final: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sent = sent
        self.final = final


@dataclass(frozen=True)
class Send:
    """Send a request; the result is its :class:`Answer`, or :class:`NoAnswer` is thrown into the generator."""

    ask: Ask


class NotStreaming(Exception):
    """Raised by drivers and transports: answers cannot be received piece by piece here."""


@dataclass(frozen=True)
class Open:
    """Send a request, and receive the answer piece by piece.

    The result is :class:`Opened` if the status is 200, and otherwise the whole :class:`Answer`; :class:`NoAnswer` or
    :class:`NotStreaming` is thrown into the generator.
    """

    ask: Ask


@dataclass(frozen=True)
class Receive:
    """Wait for the next piece of the body of an opened answer.

    The result is its bytes, ``b""`` at the end of the body, or ``None`` if no data came for these seconds: then
    it can only be closed. :class:`NoAnswer` is thrown into the generator if the connection breaks.
    """

    incoming: Any
    seconds: float


@dataclass(frozen=True)
class Sleep:
    """Sleep for this number of seconds."""

    seconds: float


@dataclass(frozen=True)
class Give(Generic[T]):
    """Hand a value to the user of an iterator; the generator goes on when the next one is wanted."""

    value: T


Effect = Union[Send, Open, Receive, Sleep]
Steps = Generator[Effect, Any, T]
"""A call: yields effects, returns its result."""

Items = Generator[Union[Send, Open, Receive, Sleep, Give[T]], Any, None]
"""An iterator: yields effects, and :class:`Give` for each value."""


@dataclass(frozen=True)
class Call:
    """A request before it has an address and credentials.

    :ivar path: below ``/v2/{application}``, percent-encoded.
    :ivar safe: whether it may be sent again if it is unknown whether it was done: because of its method or its key.
    :ivar wait: seconds that the server may take longer, because it was asked to wait.
    :ivar streams: whether the answer is received piece by piece.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    safe: bool = True
    wait: float = 0.0
    streams: bool = False
