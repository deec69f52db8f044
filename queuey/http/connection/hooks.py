"""Functions and objects that the HTTP server gets from outside, and a connection as its requests need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from queuey.http.bodies.pieces import Source
from queuey.http.connection.forwarded import Network
from queuey.http.connection.limits import AccessLine, Refusal
from queuey.http.requests.counting import Counts
from queuey.interfaces import ITraces

if TYPE_CHECKING:
    from queuey.http.requests.request import Request

Render = Callable[["Request | None", Refusal], tuple[Mapping[str, str], bytes]]
"""Makes the header fields and the body of a refusal. The request is given where at least its path is known."""


Look = Callable[["Request", Callable[[], None]], None]
"""Looks at a request whose head is complete and whose body is not: it answers the request without its body, or calls
back when the body is to be read."""


@attrs.frozen
class Hooks:
    """The functions and objects that the HTTP server gets from outside; see :class:`queuey.http.wire.Site`."""

    reactor: IReactorTime
    resource: IResource
    new_id: Callable[[], str]
    access: Callable[[AccessLine], None]
    render: Render
    before_head: Callable[[Request], None] | None
    date: Callable[[], bytes]
    streams: Callable[[Request], bool] | None
    counts: Counts | None
    traces: ITraces | None
    look: Look | None


class Cancellable(Protocol):
    """An operation that can be cancelled when its client no longer waits for it."""

    def cancel(self) -> None:
        """Cancel the operation."""


class Connection(Source, Protocol):
    """A connection as its requests need it, besides what twisted.web's Request uses.

    :ivar peer: the address of the other end; ``unix`` for a local socket.
    :ivar forwarded: the proxies whose X-Forwarded-For is believed.
    :ivar believed: whether the peer is such a proxy, so that its ``Forwarded`` fields are used.
    """

    hooks: Hooks
    peer: str
    forwarded: Sequence[Network]
    believed: bool

    @property
    def ending(self) -> bool:
        """Whether the connection cannot take another request after this one."""

    @property
    def blocked(self) -> bool:
        """Whether something waits to be handed over, or the transport has enough."""

    def write(self, data: bytes, /) -> None:
        """Send bytes."""

    def writable(self) -> Deferred[None]:
        """Wait until more may be sent."""

    def done(self, now: float) -> None:
        """Learn that the answer is complete, and what time it is, in seconds of the reactor."""

    def abort(self) -> None:
        """Cut the connection."""
