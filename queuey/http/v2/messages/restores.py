"""Messages that are put back under the ids that they had, many at once: those that are missing are stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from queuey.core.messages import MessageExchange
from queuey.deferreds import TurnQueue
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.encoding import json_line
from queuey.http.inputs.mistakes import Mistakes
from queuey.http.routes import Route
from queuey.http.v2.inputs.header_fields import expect_type
from queuey.http.v2.inputs.items import MAX_TYPE, Members
from queuey.http.v2.inputs.parameters import Query
from queuey.http.v2.messages.appends import BATCH, batch_of, invalid
from queuey.http.v2.messages.messages import MESSAGES
from queuey.http.v2.messages.pages import address_of
from queuey.http.v2.representations.fields import HEAD
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.fields import REMAINING_TTL
from queuey.model.messages.message import Content, Message
from queuey.model.queues.queue import Queue
from queuey.model.telemetry.served import SEND
from queuey.model.text import is_fit
from queuey.model.timeid import SECOND, Ticks, from_seconds

SLICE: Final = 100
"""Messages that are read in one turn of the reactor."""

_MEMBERS: Final = ("id", "body", "body_base64", "content_type", "headers", "ttl")


@attrs.frozen
class V2Restores:
    """The handler.

    :ivar now: the wall clock, in seconds since 1970.
    :ivar slices: gives out turns to batches that are read in parts.
    """

    exchange: MessageExchange
    now: Callable[[], float]
    slices: TurnQueue

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (Route("PUT", MESSAGES, Operation.WRITE_MESSAGES, self.restore),)

    async def restore(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Store the messages of a batch whose ids the queue does not have, and leave the others as they are."""
        Query(request, ()).check()
        expect_type(request, (BATCH,))
        queue, items, now = admitted.queue, batch_of(request.body), from_seconds(self.now())
        messages: list[Message] = []
        mistakes = Mistakes()
        for start in range(0, len(items), SLICE):
            if start:
                await self.slices.next()
            for place, item in enumerate(items[start : start + SLICE], start):
                _read(item, f"/messages/{place}", queue, now, messages, mistakes)
        if mistakes:
            raise invalid(mistakes)
        request.traced.begin(SEND)
        stored = await self.exchange.restore(queue, messages)
        request.answer(200, HEAD, json_line({"stored": stored, "there": len(messages) - stored}))


def _read(item: Any, pointer: str, queue: Queue, now: Ticks, messages: list[Message], mistakes: Mistakes) -> None:
    """Read one message of a batch, or note its mistakes."""
    if type(item) is not dict:
        mistakes.add(pointer, "is not an object")
        return
    members, before = Members(item, pointer, mistakes), mistakes.count
    members.only(_MEMBERS, False)
    text = item.get("id")
    address = address_of(text) if type(text) is str else None
    if address is None:
        members.wrong("id", "is not the id of a message: 32 hexadecimal digits, a hyphen, the number of a partition")
    elif address.partition > queue.settings.partitions:
        members.wrong("id", f"is of partition {address.partition}, and the queue has {queue.settings.partitions}")
    content = Content(members.body(), _type(members, item), members.headers(back=True))
    ttl = members.number(REMAINING_TTL)
    if "ttl" not in item:
        members.wrong("ttl", "is missing")
    if address is not None and ttl is not None and mistakes.count == before:
        messages.append(Message(address.partition, address.id, content, Ticks(now + ttl * SECOND)))


def _type(members: Members, item: dict[str, Any]) -> str | None:
    """Return the content type. The first API stores any text that a header field can have, tabs included."""
    value = item.get("content_type")
    if value is None or (type(value) is str and len(value) <= MAX_TYPE and is_fit(value.replace("\t", ""))):
        return value
    members.wrong("content_type", f"is not text of at most {MAX_TYPE} characters without control characters")
    return None
