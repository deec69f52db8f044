"""What the HTTP server reports about a request to tracing when the request has ended."""

from __future__ import annotations

from typing import Final

from queuey.model.telemetry.trace import TraceContext
from queuey.model.values import frozen

MAX_CARRIED: Final = 128
"""Messages of one request whose contexts become links, at most: the limit of a span of OpenTelemetry."""

SEND: Final = "send"
RECEIVE: Final = "receive"
SETTLE: Final = "settle"


@frozen
class TracedMessage:
    """A message of a request, and the headers in which it may have a trace context of its own.

    :ivar id: as the second API has it.
    :ivar headers: the message's own, as they are stored.
    """

    id: str
    headers: bytes | None


@frozen
class Work:
    """The work of a request on messages. Times are in seconds from the beginning of the request.

    :ivar operation: ``SEND``, ``RECEIVE`` or ``SETTLE``.
    :ivar count: messages, or receipts; ``None`` if it is about one message only.
    :ivar group: the consumer group, if it is about one.
    :ivar carried: that one message, or those of several that have a trace context.
    """

    operation: str
    began: float
    ended: float
    count: int | None
    group: str | None
    carried: tuple[TracedMessage, ...]


@frozen
class Served:
    """A request that was answered, or whose client hung up.

    :ivar route: its path with names in ``{}`` for the variable parts.
    :ivar path: without its query.
    :ivar scheme: ``http`` or ``https``.
    :ivar version: of HTTP, as ``1.1``.
    :ivar client: the client's address.
    :ivar status: of the answer; 499 if the client hung up before one began.
    :ivar seconds: that it took.
    :ivar parent: the context that the client sent.
    :ivar work: its work on messages, if it reached that.
    """

    request_id: str
    method: str
    route: str
    path: str
    scheme: str
    version: str
    client: str
    status: int
    seconds: float
    application: str | None
    queue: str | None
    parent: TraceContext | None
    work: Work | None
