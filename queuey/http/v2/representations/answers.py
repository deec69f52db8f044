"""Messages as the JSON of the v2 API, and what all answers of v2 have."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii
from string import ascii_letters, digits
from typing import Final
from urllib.parse import quote

from queuey.http.answers.address_json import joined
from queuey.http.answers.bulk_json import ascii_texts_json, joined_texts_json
from queuey.http.answers.columns import Ids, can_tell, expiries, interleaved
from queuey.http.v2.inputs.items import BYTES, TEXT, is_media_type
from queuey.http.v2.representations.json_bodies import json_text
from queuey.http.wire import Request
from queuey.model.columns import BETWEEN, Columns, body_bytes, content_bytes
from queuey.model.message import Address, Content, Message
from queuey.model.queue import Consistency
from queuey.model.timeid import EPOCH, SECOND, MessageId, Ticks, low_bits, second_text, to_rfc3339

Field = tuple[bytes, bytes]

Piece = tuple[bytes, Sequence[Message]]
"""A piece of an answer, and the messages that are in it."""

JSON: Final[Field] = (b"Content-Type", b"application/json")
NO_STORE: Final[Field] = (b"Cache-Control", b"no-store")
ASK_AGAIN: Final[Field] = (b"Cache-Control", b"private, no-cache")
"""Of what a client may keep that asks each time whether it still is so: anything can be deleted, or expire."""

HEAD: Final = (JSON, NO_STORE)
"""The fields of every answer in JSON."""
_HEAD_AGAIN: Final = (*HEAD, (b"Idempotency-Replayed", b"true"))

WHOLE: Final = 256 * 1024
"""Bytes of messages up to which an answer is written at once, and by which a larger one is cut into pieces."""

_SHORT: Final = 1024
"""Bytes of a body up to which to encode it alone takes less time than to encode it as one of several."""

_PLAIN_HEADERS: Final = "!#$&'()*+,-./:;<=>?@[]^_`{|}~"
"""Characters that a Queuey-Headers field has unencoded, besides letters and digits."""

_URI: Final = "!$%&'()*+,-./:;=@_~"
"""Characters that the path of a URI has unencoded, besides letters and digits; and the percent sign."""

_AS_THEY_ARE: Final = (ascii_letters + digits + _URI).encode("ascii")
"""All of these characters: most paths have no others, so a check is faster than quoting."""

_OUTSIDE_ASCII: Final = re.compile(r"[^\x00-\x7f]+")

_encode: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def consistency_word(consistency: Consistency) -> str:
    """A consistency as v2 names it."""
    return consistency.value.replace("_", "-")


def id_text(id: MessageId, partition: int) -> str:
    """A message's id: it sorts as text by time, and it is an address, and a cursor."""
    return f"{id.hex()}-{partition}"


def content_type_of(content: Content) -> str:
    """The type of a message as it may stand in a header field; whatever was stored, it is a media type.

    Messages of v1 may have none, or any text; without one they are text.
    """
    return _media_type(content.content_type)


def _media_type(content_type: str | None) -> str:
    if content_type is None:
        return TEXT
    return content_type if is_media_type(content_type) else BYTES


def reference(request: Request) -> bytes:
    """The path of a request as header fields may have it: clients also send characters that no URI has."""
    return _reference(request.path)


@lru_cache(1024)
def _reference(path: bytes) -> bytes:
    return quote(path, safe=_URI).encode("ascii") if path.translate(None, _AS_THEY_ARE) else path


def headers_field(headers: bytes) -> bytes:
    """A message's own headers as the value of a field: JSON, percent-encoded."""
    return quote(headers, safe=_PLAIN_HEADERS).encode("ascii")


def answer_stored(request: Request, addresses: Sequence[Address], stored: str, duplicate: bool) -> None:
    """Write the whole answer to messages that are stored: where each of them is.

    :param stored: how they are stored, as JSON.
    :param duplicate: whether an earlier request stored them.
    """
    head = _HEAD_AGAIN if duplicate else HEAD
    if len(addresses) == 1:
        address = addresses[0]
        id, partition = address.id, address.partition
        template = _answer_template(id[:6], id[8:], stored, duplicate)
        ticks = low_bits(id)
        if template is None:
            location = b"%b/%b-%d" % (_reference(request.path), id.hex().encode("ascii"), partition)
            body = _whole_answer(_address_json(address), stored, duplicate)
        else:
            place, whole, fraction = template
            location = place % (_reference(request.path), ticks, partition)
            body = whole % (ticks, partition, partition, fraction + ticks)
        request.answer(201, head, body, ((b"Location", location),))
    else:
        request.answer(201, head, _whole_answer(addresses_text(addresses, ","), stored, duplicate))


def _whole_answer(messages: str, stored: str, duplicate: bool) -> bytes:
    said = "true" if duplicate else "false"
    return f'{{"messages":[{messages}],"stored":{stored},"duplicate":{said}}}\n'.encode("ascii")


@lru_cache(16)
def _answer_template(high: bytes, low: bytes, stored: str, duplicate: bool) -> tuple[bytes, bytes, int] | None:
    """How answers to the POST of one message look; as a rule the lowest 12 bits of the time of their ids differ alone.

    :param high: the id's first six bytes.
    :param low: its last eight.
    :return: templates of the place, for the path, those bits and the partition; and of the body, for those bits, the
        partition twice, and the ticks of the second; and these ticks where those bits are 0. ``None`` if they lead
        into another second.
    """
    template, fraction = _template(high, low)
    if template is None:
        return None
    digits = high.hex().encode("ascii")
    place = b"%%b/%b6%%03x%b-%%d" % (digits, low.hex().encode("ascii"))
    return place, _whole_answer(template, stored.replace("%", "%%"), duplicate), fraction


@cache
def stored_json(consistency: Consistency, durable: bool) -> str:
    """How messages are stored, as JSON.

    :param durable: whether they survive the loss of power.
    """
    return f'{{"consistency":"{consistency_word(consistency)}","durable":{"true" if durable else "false"}}}'


def addresses_text(addresses: Sequence[Address], separator: str) -> str:
    """Where messages are, each as JSON, with a separator between them."""
    return joined(addresses, separator, _template, addresses_json)


def addresses_json(addresses: Sequence[Address]) -> list[str]:
    """Where messages are, each as JSON."""
    if len(addresses) == 1:
        return [_address_json(addresses[0])]
    # The ids of one write differ as a rule in the lowest 12 bits of their time alone: what is above them is rendered
    # once, as a template for the others, which takes a third of the time.
    items = []
    high = low = b""
    template: str | None = None
    fraction = 0
    for address in addresses:
        id, partition = address.id, address.partition
        if id[:6] != high or id[8:] != low:
            high, low = id[:6], id[8:]
            template, fraction = _template(high, low)
        if template is None:
            items.append(_address_json(address))
        else:
            ticks = low_bits(id)
            items.append(template % (ticks, partition, partition, fraction + ticks))
    return items


def _address_json(address: Address) -> str:
    digits, partition = address.id.hex(), address.partition
    told = to_rfc3339(Ticks(int(digits[:12] + digits[13:16], 16)))
    return f'{{"id":"{digits}-{partition}","partition":{partition},"timestamp":"{told}"}}'


def _template(high: bytes, low: bytes) -> tuple[str | None, int]:
    """Return a template of the addresses whose ids have the same time, except for its lowest 12 bits, and the same
    remainder.

    :param high: the id's first six bytes.
    :param low: its last eight.
    :return: a template with slots for those bits, the partition (twice) and the ticks of the second; and the ticks of
        the second if those bits are 0. The template is ``None`` if those bits can lead into another second.
    """
    digits = high.hex()
    start = Ticks(int(digits, 16) << 12)
    fraction = (start - EPOCH) % SECOND
    if fraction + 0xFFF >= SECOND:
        return None, 0
    second = to_rfc3339(start)[:-8]
    return f'{{"id":"{digits}6%03x{low.hex()}-%d","partition":%d,"timestamp":"{second}%07dZ"}}', fraction


def joined_json(messages: Sequence[Message], between: bytes = b",", *, parsed: bool = False) -> bytes:
    """Stored messages as JSON, with something between them.

    :param parsed: see ``messages_json``.
    """
    if parsed:
        return between.decode("ascii").join(messages_json(messages, parsed=True)).encode("ascii")
    if isinstance(messages, Columns) and can_tell(messages):
        return _columns_json(messages, between)
    return between.decode("ascii").join(messages_json(messages)).encode("ascii")


def _columns_json(columns: Columns, between: bytes) -> bytes:
    ids, partition, number = Ids(columns.ids), b"%d" % columns.partition, columns.number
    before, bodies, after = _bodies_json(columns)
    times, ends = ids.times(), expiries(columns)
    headers = "{}" if columns.headers is None else _headers_json(columns.headers)
    described = f'"content_type":{_type_json(columns.content_type)},"headers":{headers},'.encode("ascii")
    parts = (
        between + b'{"id":"',
        ids.hex(),
        b'-%b","partition":%b,"timestamp":"' % (partition, partition),
        times.told(),
        b".",
        times.decimals,
        b'Z","expires":"',
        ends.told(),
        b".",
        ends.decimals,
        b'Z",' + described + before,
        bodies,
        after + b"}",
    )
    return interleaved(parts, number)[len(between) :]


def _bodies_json(columns: Columns) -> tuple[bytes, list[bytes], bytes]:
    """The members that have the bodies: what each begins with, the rest of each, and what each ends with."""
    try:
        texts = joined_texts_json(columns.bodies, columns.number)
    except UnicodeDecodeError:
        texts = None
    if texts is not None:
        return b'"body":"', texts, b'"'
    return b"", [_body_json(body).encode("ascii") for body in columns.bodies.split(BETWEEN)], b""


def messages_json(messages: Sequence[Message], *, parsed: bool = False) -> list[str]:
    """Stored messages, each as JSON.

    :param parsed: whether bodies that are JSON become the member ``json``, in place of ``body``.
    """
    if parsed:
        members = [_parsed_json(message.content) for message in messages]
    else:
        members = _members_json([message.content.body for message in messages])
    items = []
    for message, member in zip(messages, members, strict=True):
        content, partition, digits = message.content, message.partition, message.id.hex()
        # What to_rfc3339 says, without a call for each, which would take half as long again.
        second, rest = divmod(int(digits[:12] + digits[13:16], 16) - EPOCH, SECOND)
        last_second, last_rest = divmod(message.expires - EPOCH, SECOND)
        headers = "{}" if content.headers is None else _headers_json(content.headers)
        items.append(
            f'{{"id":"{digits}-{partition}","partition":{partition},'
            f'"timestamp":"{second_text(second)}.{rest:07d}Z","expires":"{second_text(last_second)}.{last_rest:07d}Z",'
            f'"content_type":{_type_json(content.content_type)},"headers":{headers},{member}}}'
        )
    return items


@lru_cache(maxsize=256)
def _type_json(content_type: str | None) -> str:
    """The type of a message as JSON; the messages of a queue have few."""
    return _encode(_media_type(content_type))


def _headers_json(headers: bytes) -> str:
    """A message's own headers, which are stored as compact JSON, with everything outside ASCII escaped."""
    if headers.isascii():
        return headers.decode("ascii")
    # They are not parsed, which may fail where they are deeper than the stack is now.
    return _OUTSIDE_ASCII.sub(lambda some: _encode(some[0])[1:-1], headers.decode("utf-8"))


def _members_json(bodies: Sequence[bytes]) -> list[str]:
    """The members that have the bodies."""
    # Only what a sender wrote needs to be looked at for what JSON escapes; to encode it alone takes half of the time.
    alone = len(bodies) == 1 and len(bodies[0]) <= _SHORT
    texts = None if alone else ascii_texts_json(bodies)
    return [_body_json(body) for body in bodies] if texts is None else [f'"body":"{text}"' for text in texts]


def _parsed_json(content: Content) -> str:
    """The member that has a body: as JSON where it is that."""
    text = json_text(content)
    return _body_json(content.body) if text is None else f'"json":{text}'


def _body_json(body: bytes) -> str:
    """The member that has the body: as text where it is UTF-8."""
    try:
        return f'"body":{encode_basestring_ascii(body.decode("utf-8"))}'
    except UnicodeDecodeError:
        return f'"body_base64":"{b64encode(body).decode("ascii")}"'


def etag(tag: str) -> Field:
    """The field that has an entity tag.

    :param tag: without the quotes.
    """
    return b"ETag", b'"%b"' % tag.encode("ascii")


def fits_at_once(messages: Sequence[Message]) -> bool:
    """Whether an answer with these messages is written at once."""
    return content_bytes(messages) <= WHOLE


def portions(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Messages in portions that end with the message which brings them to a size."""
    if messages and fits_at_once(messages):
        yield messages
        return
    start = size = 0
    for place, message in enumerate(messages, 1):
        size += message.content.size
        if size >= WHOLE:
            yield messages[start:place]
            start, size = place, 0
    if start < len(messages):
        yield messages[start:]


async def answer_in_pieces(
    request: Request, fields: Sequence[Field], pieces: Iterable[Piece], names: Sequence[str] | None = None
) -> None:
    """Write an answer that is large in pieces, which leave as fast as the client takes them.

    :param names: the name of the queue of each message, if they may be of several.
    """
    begin(request, fields, ())
    sent = 0
    for text, some in pieces:
        count, counted = len(some), body_bytes(some)
        sending = request.send(text)
        # While the client takes its time, no more is kept than what waits to be sent.
        del text, some
        await sending
        if request.method == b"HEAD":
            return
        request.count_messages(count, counted, None if names is None else names[sent : sent + count])
        sent += count


def begin(request: Request, fields: Sequence[Field], own: tuple[Field, ...]) -> None:
    """Set the fields of an answer that is sent in pieces."""
    request.setResponseCode(200)
    for name, value in (*fields, *own):
        request.setHeader(name, value)


def count_sent(request: Request, messages: Sequence[Message]) -> None:
    """Count messages that were written."""
    request.count_messages(len(messages), body_bytes(messages))
