"""How v1 shows messages, addresses and queues, as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs

from queuey.core.queues import Listed
from queuey.http.answers.addresses import BITS, PARTITION, SECOND_TICKS, AddressFormat
from queuey.http.answers.bulk_json import ascii_texts_json, joined_texts_json
from queuey.http.answers.columns import Ids, interleaved
from queuey.http.answers.encoding import JSON, encode, encoded
from queuey.http.answers.messages import joined_json
from queuey.http.answers.pieces import begin_pieces, send_piece
from queuey.http.wire import Request
from queuey.model.messages.columns import BETWEEN, Columns, body_bytes
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Slice
from queuey.model.timeid import EPOCH, SECOND, timestamp, to_seconds, to_v1_hex

_JSON_ALONE: Final = (JSON,)

Rest = TypeVar("Rest")


@attrs.frozen
class ListPart(Generic[Rest]):
    """A part of a list, and the rest of the list.

    :ivar texts: items as JSON; each text has one item or several, separated by commas.
    :ivar messages: how many messages are in it, if the items are messages.
    :ivar size: bytes of their bodies.
    """

    texts: list[bytes]
    rest: Rest | None
    messages: int = 0
    size: int = 0


def messages_part(slice: Slice[Rest]) -> ListPart[Rest]:
    """Render a slice of messages."""
    messages = slice.messages
    if not messages:
        return ListPart([], slice.rest)
    return ListPart([joined_json(MESSAGES, messages)], slice.rest, len(messages), body_bytes(messages))


def answer(request: Request, status: int, body: Mapping[str, Any], *headers: tuple[bytes, bytes]) -> None:
    """Write a whole answer at once."""
    request.answer(status, (JSON, *headers), encoded(body))


def ok(request: Request, status: int = 200, **members: Any) -> None:
    """Write a whole answer with a success."""
    answer(request, status, {"status": "ok", **members})


async def answer_list(
    request: Request, name: str, first: ListPart[Rest], more: Callable[[Rest], Awaitable[ListPart[Rest]]]
) -> None:
    """Write ``{"status": "ok", <name>: [...]}``, as one answer if the first part is the only one.

    Each further part is requested only after the client has taken the one before.

    :param more: returns the next part.
    """
    if first.rest is None:
        answer_part(request, name, first)
        return
    part, before = first, _head(name)
    del first
    if not await begin_pieces(request, _JSON_ALONE):
        return
    separate = bool(part.texts)
    await _send(request, before, part)
    while part.rest is not None:
        part = await more(part.rest)
        if part.texts:
            await _send(request, b"," if separate else b"", part)
            separate = True
    await request.send(b"]}")


def answer_part(request: Request, name: str, part: ListPart[Rest]) -> None:
    """Write the same if one part has the whole list."""
    request.answer(200, _JSON_ALONE, b"%b%b]}" % (_head(name), b",".join(part.texts)))
    request.count_messages(part.messages, part.size)


def _head(name: str) -> bytes:
    return b'{"status":"ok","%b":[' % name.encode("ascii")


async def _send(request: Request, before: bytes, part: ListPart[Rest]) -> None:
    sending = send_piece(request, before + b",".join(part.texts), part.messages, part.size)
    part.texts.clear()
    await sending


class V1MessageFormat:
    """A message as v1 shows it. Bytes that are no UTF-8 show as U+FFFD."""

    def each(self, messages: Sequence[Message]) -> list[str]:
        """See :class:`~queuey.http.answers.messages.MessageFormat`."""
        # Only the body needs to be looked at for what JSON escapes; to encode it alone takes half of the time.
        bodies = [message.content.body for message in messages]
        texts = ascii_texts_json(bodies)
        if texts is None:
            texts = [_text_json(body) for body in bodies]
        items = []
        for message, text in zip(messages, texts, strict=True):
            # What to_v1_hex and timestamp return, without a call for each, which would take half as long again.
            digits = message.id.hex()
            ticks = digits[:12] + digits[13:16]
            time = str(int(ticks, 16) - EPOCH)
            time = f"{time[:-7]}.{time[-7:]}" if len(time) > _LEAST_DIGITS else timestamp(message.id)
            items.append(
                f'{{"message_id":"{ticks[7:]}{ticks[3:7]}1{ticks[:3]}{digits[16:]}","timestamp":"{time}",'
                f'"body":"{text}","partition":{message.partition}}}'
            )
        return items

    def columns(self, columns: Columns, between: bytes) -> bytes:
        """See :class:`~queuey.http.answers.messages.MessageFormat`."""
        ids, number = Ids(columns.ids), columns.number
        texts = joined_texts_json(columns.bodies, number, "replace")
        if texts is None:
            texts = [_text_json(body).encode("ascii") for body in columns.bodies.split(BETWEEN)]
        times = ids.times()
        parts = (
            between + b'{"message_id":"',
            ids.v1_hex(),
            b'","timestamp":"',
            times.seconds,
            b".",
            times.decimals,
            b'","body":"',
            texts,
            b'","partition":%d}' % columns.partition,
        )
        return interleaved(parts, number)[len(between) :]


MESSAGES: Final = V1MessageFormat()

_LEAST_DIGITS: Final = 8
"""Digits of a time in ticks up to which it may be less than ten seconds, whose zero has to be written."""


def _text_json(body: bytes) -> str:
    return encode(body.decode("utf-8", "replace"))[1:-1]


def stored(request: Request, addresses: Sequence[Address]) -> None:
    """Write the whole answer to a POST of messages: the address of each."""
    if len(addresses) == 1:
        body = ADDRESSES.answer_one(addresses[0], _BEFORE, "]}")
    else:
        body = ADDRESSES.answer(addresses, _BEFORE, "]}")
    request.answer(201, _JSON_ALONE, body)


_BEFORE: Final = '{"status":"ok","messages":['


def _address_template(high: bytes, low: bytes) -> tuple[str | None, int]:
    """See :class:`~queuey.http.answers.addresses.AddressFormat`; a time before 1970 has no template."""
    digits = high.hex()
    since = (int(digits, 16) << 12) - EPOCH
    seconds, ticks = divmod(since, SECOND)
    if since < 0 or ticks + 0xFFF >= SECOND:
        return None, 0
    key = f"{digits[7:12]}{BITS}{digits[3:7]}1{digits[:3]}{low.hex()}"
    return f'{{"key":"{key}","timestamp":"{seconds}.{SECOND_TICKS}","partition":{PARTITION}}}', ticks


def _address_json(address: Address) -> str:
    id = address.id
    return f'{{"key":"{to_v1_hex(id)}","timestamp":"{timestamp(id)}","partition":{address.partition}}}'


ADDRESSES: Final = AddressFormat(_address_template, _address_json)


def created_queue(queue: Queue) -> dict[str, Any]:
    """A queue as the answer to its POST shows it."""
    return {
        "queue_name": queue.name,
        "partitions": queue.settings.partitions,
        "type": queue.settings.type.value,
        "consistency": queue.settings.consistency.value,
        "principles": ",".join(queue.settings.principals) or None,
    }


def changed_queue(queue: Queue) -> dict[str, Any]:
    """A queue as the answer to its PUT shows it."""
    return {
        "queue_name": queue.name,
        "partitions": queue.settings.partitions,
        "created": to_seconds(queue.created),
        "principles": list(queue.settings.principals),
        "type": queue.settings.type.value,
        "consistency": queue.settings.consistency.value,
    }


def listed_json(queues: Iterable[Listed]) -> list[bytes]:
    """Lines of a listing, each as JSON text."""
    return [encoded(_listed(queue)) for queue in queues]


def _listed(listed: Listed) -> dict[str, Any]:
    line: dict[str, Any] = {"queue_name": listed.name}
    if listed.queue is not None:
        settings = listed.queue.settings
        line |= {
            "application": listed.queue.application,
            "created": to_seconds(listed.queue.created),
            "partitions": settings.partitions,
            "type": settings.type.value,
            "consistency": settings.consistency.value,
        }
        if settings.principals:
            line["principles"] = ",".join(settings.principals)
    if listed.count is not None:
        line["count"] = listed.count
    return line
