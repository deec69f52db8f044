"""Answers: model values as the JSON of the v1 API, whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

import attrs

from queuey.core.queues import Listed
from queuey.http.answers.address_json import joined
from queuey.http.answers.bulk_json import ascii_texts_json, joined_texts_json
from queuey.http.answers.columns import Ids, can_tell, interleaved
from queuey.http.wire import Request
from queuey.model.columns import BETWEEN, Columns, body_bytes
from queuey.model.message import Address, Message
from queuey.model.queue import Queue
from queuey.model.timeid import EPOCH, SECOND, low_bits, timestamp, to_seconds, to_v1_hex
from queuey.model.window import Slice

JSON: Final = (b"Content-Type", b"application/json")
_JSON_ALONE: Final = (JSON,)

Rest = TypeVar("Rest")


@attrs.frozen
class Piece(Generic[Rest]):
    """JSON texts of items, and what is left after them.

    :ivar texts: each of one item or of several.
    :ivar messages: how many messages are in it, where the items are such.
    :ivar size: bytes of their bodies.
    """

    texts: list[bytes]
    rest: Rest | None
    messages: int = 0
    size: int = 0


def messages_piece(slice: Slice[Rest]) -> Piece[Rest]:
    """Render a slice of messages."""
    messages = slice.messages
    if not messages:
        return Piece([], slice.rest)
    return Piece([joined_json(messages)], slice.rest, len(messages), body_bytes(messages))


_LEAST_DIGITS: Final = 8
"""Characters of a time in ticks up to which its seconds may be a zero that is not among them."""

_encode: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def encoded(value: Any) -> bytes:
    """JSON with everything outside ASCII escaped, since old clients guess the encoding."""
    return _encode(value).encode("ascii")


def json_line(value: Any) -> bytes:
    """JSON with a newline at its end, so that it does not run into the prompt of a shell. Answers of v2 have it."""
    return encoded(value) + b"\n"


def answer(request: Request, status: int, body: Mapping[str, Any], *headers: tuple[bytes, bytes]) -> None:
    """Write a whole answer at once."""
    request.answer(status, (JSON, *headers), encoded(body))


def ok(request: Request, status: int = 200, **members: Any) -> None:
    """Write a whole answer that says it went well."""
    answer(request, status, {"status": "ok", **members})


async def stream(
    request: Request, name: str, first: Piece[Rest], more: Callable[[Rest], Awaitable[Piece[Rest]]]
) -> None:
    """Write ``{"status": "ok", <name>: [...]}``, as one answer if the first piece is the only one.

    Otherwise each further piece is requested only after the client has taken the one before, so that an answer of any
    length needs the memory of one piece. While it waits for the client, only the code that sends a piece refers to its
    texts; callers must not keep them either.

    :param more: returns the next piece.
    """
    if first.rest is None:
        whole(request, name, first)
        return
    piece, head = first, _head(name)
    del first
    request.setResponseCode(200)
    request.setHeader(*JSON)
    if request.method == b"HEAD":
        await request.send(b"")
        return
    separate = bool(piece.texts)
    await _send(request, head, piece)
    while piece.rest is not None:
        piece = await more(piece.rest)
        if piece.texts:
            await _send(request, b"," if separate else b"", piece)
            separate = True
    await request.send(b"]}")


def whole(request: Request, name: str, piece: Piece[Rest]) -> None:
    """Write the same where a piece is all there is."""
    request.answer(200, _JSON_ALONE, b"%b%b]}" % (_head(name), b",".join(piece.texts)))
    request.count_messages(piece.messages, piece.size)


def _head(name: str) -> bytes:
    return b'{"status":"ok","%b":[' % name.encode("ascii")


async def _send(request: Request, before: bytes, piece: Piece[Rest]) -> None:
    sent = request.send(before + b",".join(piece.texts))
    piece.texts.clear()
    await sent
    request.count_messages(piece.messages, piece.size)


def joined_json(messages: Sequence[Message]) -> bytes:
    """Stored messages as JSON, with commas between them."""
    if isinstance(messages, Columns) and can_tell(messages):
        return _columns_json(messages)
    return ",".join(messages_json(messages)).encode("ascii")


def _columns_json(columns: Columns) -> bytes:
    ids, number = Ids(columns.ids), columns.number
    texts = joined_texts_json(columns.bodies, number, "replace")
    if texts is None:
        texts = [_text_json(body).encode("ascii") for body in columns.bodies.split(BETWEEN)]
    times = ids.times()
    parts = (
        b',{"message_id":"',
        ids.v1_hex(),
        b'","timestamp":"',
        times.seconds,
        b".",
        times.decimals,
        b'","body":"',
        texts,
        b'","partition":%d}' % columns.partition,
    )
    return interleaved(parts, number)[1:]


def _text_json(body: bytes) -> str:
    return _encode(body.decode("utf-8", "replace"))[1:-1]


def messages_json(messages: Sequence[Message]) -> list[str]:
    """Stored messages, each as JSON text; bytes that are no UTF-8 show as U+FFFD."""
    # Only the body needs to be looked at for what JSON escapes; to encode it alone takes half of the time.
    bodies = [message.content.body for message in messages]
    texts = ascii_texts_json(bodies)
    if texts is None:
        texts = [_text_json(body) for body in bodies]
    items = []
    for message, text in zip(messages, texts, strict=True):
        # What to_v1_hex and timestamp say, without a call for each, which would take half as long again.
        digits = message.id.hex()
        ticks = digits[:12] + digits[13:16]
        time = str(int(ticks, 16) - EPOCH)
        time = f"{time[:-7]}.{time[-7:]}" if len(time) > _LEAST_DIGITS else timestamp(message.id)
        items.append(
            f'{{"message_id":"{ticks[7:]}{ticks[3:7]}1{ticks[:3]}{digits[16:]}","timestamp":"{time}",'
            f'"body":"{text}","partition":{message.partition}}}'
        )
    return items


def stored(request: Request, addresses: Sequence[Address]) -> None:
    """Write the whole answer to a POST of messages: where each of them is."""
    if len(addresses) == 1:
        address = addresses[0]
        id = address.id
        answer, fraction = _answer_template(id[:6], id[8:])
        if answer is None:
            body = _whole_answer(_address_json(address))
        else:
            ticks = low_bits(id)
            body = answer % (ticks, fraction + ticks, address.partition)
    else:
        body = _whole_answer(joined(addresses, ",", _template, addresses_json))
    request.answer(201, _JSON_ALONE, body)


def _whole_answer(items: str) -> bytes:
    return f'{{"status":"ok","messages":[{items}]}}'.encode("ascii")


@lru_cache(16)
def _answer_template(high: bytes, low: bytes) -> tuple[bytes | None, int]:
    """Return ``_template`` as the whole answer to the POST of one message."""
    template, fraction = _template(high, low)
    return None if template is None else _whole_answer(template), fraction


def _address_json(address: Address) -> str:
    id = address.id
    template, fraction = _template(id[:6], id[8:])
    if template is None:
        return f'{{"key":"{to_v1_hex(id)}","timestamp":"{timestamp(id)}","partition":{address.partition}}}'
    ticks = low_bits(id)
    return template % (ticks, fraction + ticks, address.partition)


def addresses_json(addresses: Iterable[Address]) -> list[str]:
    """Where messages are, each as JSON text."""
    items = []
    high = low = b""
    template: str | None = None
    fraction = 0
    for address in addresses:
        id = address.id
        if id[:6] != high or id[8:] != low:
            high, low = id[:6], id[8:]
            template, fraction = _template(high, low)
        if template is None:
            items.append(_address_json(address))
        else:
            ticks = low_bits(id)
            items.append(template % (ticks, fraction + ticks, address.partition))
    return items


@lru_cache(16)
def _template(high: bytes, low: bytes) -> tuple[str | None, int]:
    """Return a template of the addresses whose ids differ in the lowest 12 bits of their time alone.

    The ids of one write, and of all writes that are stored together, differ as a rule in those bits alone: to render
    what is above them once takes a third of the time.

    :param high: the id's first six bytes.
    :param low: its last eight.
    :return: a template for those bits, the ticks of the second, and the partition; and the ticks of the second where
        those bits are 0. No template where they lead into another second, or the time is before 1970.
    """
    digits = high.hex()
    ticks = (int(digits, 16) << 12) - EPOCH
    seconds, fraction = divmod(ticks, SECOND)
    if ticks < 0 or fraction + 0xFFF >= SECOND:
        return None, 0
    key = f"{digits[7:12]}%03x{digits[3:7]}1{digits[:3]}{low.hex()}"
    return f'{{"key":"{key}","timestamp":"{seconds}.%07d","partition":%d}}', fraction


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
