"""One message over v2: its body as it was sent, overwritten on conditions, and deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from queuey.core.messages import MessageExchange
from queuey.errors import NoSuchMessage
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.encoding import Field
from queuey.http.answers.problems import Problem
from queuey.http.routes import Route
from queuey.http.v2.inputs.conditions import is_known
from queuey.http.v2.inputs.header_fields import bad_field
from queuey.http.v2.inputs.parameters import Query
from queuey.http.v2.inputs.tags import tags
from queuey.http.v2.messages import ranges
from queuey.http.v2.messages.appends import headers_of, type_of
from queuey.http.v2.messages.messages import MESSAGES
from queuey.http.v2.messages.pages import address_of
from queuey.http.v2.representations.addresses import id_text
from queuey.http.v2.representations.fields import ASK_AGAIN, content_type_of, etag, headers_field, uri_path
from queuey.http.wire import Request
from queuey.interfaces import AHEAD
from queuey.model.applications.access import Operation
from queuey.model.fields import TTL
from queuey.model.messages.message import MAX_DELAY, Address, Condition, Content, Draft, Message, tag_of
from queuey.model.queues.queue import Queue
from queuey.model.telemetry.served import RECEIVE, SEND
from queuey.model.text import shown
from queuey.model.timeid import SECOND, from_seconds, ticks_of, to_rfc3339

MESSAGE: Final = f"{MESSAGES}/<id>"

_STRANGERS: Final[tuple[Field, ...]] = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Content-Security-Policy", b"default-src 'none'; sandbox"),
    (b"Referrer-Policy", b"no-referrer"),
)
"""Keeps browsers from running a message as a page of this server, and from telling the links in it a signed URL."""

_KNOWN: Final = (ASK_AGAIN,)
_WHOLE: Final = (ASK_AGAIN, *_STRANGERS)


@attrs.frozen
class V2Single:
    """The handlers of single messages.

    :ivar now: the wall clock, in seconds since 1970.
    """

    exchange: MessageExchange
    now: Callable[[], float]

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route("GET", MESSAGE, Operation.READ_MESSAGES, self.show),
            Route("PUT", MESSAGE, Operation.WRITE_MESSAGES, self.put),
            Route("DELETE", MESSAGE, Operation.DELETE_MESSAGES, self.remove),
        )

    async def show(self, request: Request, admitted: AdmittedToQueue, id: str) -> None:
        """The body itself, or a range of it."""
        Query(request, ()).check()
        request.traced.begin(RECEIVE)
        message = await self._find(admitted.queue, _address(admitted.queue, id))
        request.traced.received((message,), single=True)
        tag, body = tag_of(message), message.content.body
        tagged = etag(tag)
        if is_known(request, "message", tag):
            request.answer(304, _KNOWN, b"", (tagged,))
            return
        own = (tagged, *_fields(message))
        part = ranges.wanted(request, tag, len(body))
        if part is None:
            request.answer(200, _WHOLE, body, own)
            request.count_messages(1, len(body))
            return
        place = b"bytes %d-%d/%d" % (part.start, part.end - 1, len(body))
        request.answer(206, _WHOLE, body[part.start : part.end], (*own, (b"Content-Range", place)))
        request.count_messages(1, part.end - part.start)

    async def put(self, request: Request, admitted: AdmittedToQueue, id: str) -> None:
        """Overwrite a message, or create one under an id of now."""
        queue = admitted.queue
        query = Query(request, ("ttl",))
        ttl = query.number(TTL) or admitted.ttl
        query.check()
        if b"content-range" in request.fields:
            raise bad_field("Content-Range", "is not taken; a message is overwritten as a whole")
        address = _own_address(queue, id)
        content = Content(request.body, type_of(request), headers_of(request, back=True))
        lives = ttl + self._seconds_until(address)
        request.traced.begin(SEND)
        made = await self.exchange.put(queue, address, content, lives, _condition(request))
        request.traced.sent((Draft(content, lives),), (address,), single=True)
        location = (b"Location", uri_path(request.path))
        request.answer(201 if made else 204, (), b"", (location,) if made else ())

    def _seconds_until(self, address: Address) -> int:
        """Seconds until a delayed message begins to live: when it is due."""
        ahead = ticks_of(address.id) - from_seconds(self.now())
        return -(-ahead // SECOND) if AHEAD < ahead <= MAX_DELAY * SECOND else 0

    async def remove(self, request: Request, admitted: AdmittedToQueue, id: str) -> None:
        """Delete a message; one that is not due yet never comes."""
        Query(request, ()).check()
        for name in ("If-Match", "If-None-Match"):
            if name.lower().encode("ascii") in request.fields:
                raise bad_field(name, "is not taken where a message is deleted")
        address = _address(admitted.queue, id)
        if not await self.exchange.remove(admitted.queue, (address,)):
            raise _absent(id)
        request.answer(204, (), b"")

    async def _find(self, queue: Queue, address: Address) -> Message:
        addresses: tuple[Address, ...] | None = (address,)
        while addresses:
            slice = await self.exchange.lookup(queue, addresses)
            for message in slice.messages:
                return message
            addresses = slice.rest
        raise _absent(id_text(address.id, address.partition))


def _absent(id: str) -> NoSuchMessage:
    return NoSuchMessage(f"The queue has no message {shown(id)}.")


def _address(queue: Queue, id: str) -> Address:
    """Where a message would be that has an id.

    :raise NoSuchMessage: if none can have it.
    """
    address = address_of(id)
    if address is None or address.partition > queue.settings.partitions:
        raise _absent(id)
    return address


def _own_address(queue: Queue, id: str) -> Address:
    """The address that a sender chose for a message."""
    address, partitions = address_of(id), queue.settings.partitions
    if address is None:
        detail = "is not the 32 hexadecimal digits of a version-6 UUID, a hyphen, and the number of a partition"
    elif address.partition > partitions:
        detail = f"is of partition {address.partition}, and the queue has {partitions}"
    else:
        return address
    raise Problem("invalid-parameters", f"id: {detail}", errors=({"parameter": "id", "detail": detail},))


def _condition(request: Request) -> Condition:
    """Read the condition under which a message is written."""
    match, none_match = tags(request, b"if-match"), tags(request, b"if-none-match")
    return Condition(
        absent=none_match is not None and none_match.any,
        present=match is not None and match.any,
        tags=None if match is None or match.any else match.strong,
        others=frozenset() if none_match is None else none_match.strong | none_match.weak,
    )


def _fields(message: Message) -> tuple[Field, ...]:
    """Return the header fields that describe a message."""
    headers = message.content.headers
    return (
        (b"Content-Type", content_type_of(message.content).encode("ascii")),
        (b"Accept-Ranges", b"bytes"),
        (b"Queuey-Id", id_text(message.id, message.partition).encode("ascii")),
        (b"Queuey-Partition", b"%d" % message.partition),
        (b"Queuey-Timestamp", to_rfc3339(ticks_of(message.id)).encode("ascii")),
        (b"Queuey-Expires", to_rfc3339(message.expires).encode("ascii")),
        *(() if headers is None else ((b"Queuey-Headers", headers_field(headers)),)),
    )
