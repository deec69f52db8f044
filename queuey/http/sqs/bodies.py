"""Messages of SQS as those of Queuey, and the other way round."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec

from queuey.http.sqs.errors import invalid
from queuey.http.sqs.message_attributes import MAX_ATTRIBUTES, NO_ATTRIBUTES, Attribute, Attributes, attributes, decoded
from queuey.http.v2.inputs.items import MAX_HEADERS, RESERVED
from queuey.model.messages.dead_letter_headers import KEY, ORIGIN, SQS, letter_of
from queuey.model.messages.message import Content, Message
from queuey.model.timeid import SECOND, MessageId, ticks_of, to_seconds
from queuey.model.values import frozen

TEXT: Final = "text/plain;charset=utf-8"
ENCODING: Final = "queuey-encoding"
"""The attribute of a message whose body is no text that SQS can carry; the body is in Base64 then."""


@frozen
class Details:
    """Attributes of a message that SQS has, besides its body.

    :ivar sender: the access key id of the sender.
    :ivar delay: seconds by which the message was delayed.
    :ivar trace: its AWSTraceHeader.
    :ivar deduplication: its MessageDeduplicationId.
    """

    attributes: Attributes = NO_ATTRIBUTES
    sender: str = ""
    delay: int = 0
    trace: str = ""
    deduplication: str = ""


def content(body: bytes, details: Details) -> Content:
    """Return the content of a message that a client of SQS sends.

    Attributes that are text are also headers of their own names, for readers through the other APIs.

    :raise SqsError: its attributes are too large together.
    """
    kept: dict[str, Any] = {"sender": details.sender}
    found: dict[str, Any] = {}
    if details.attributes:
        kept["attributes"] = {name: one.json() for name, one in details.attributes.items()}
        found = {
            name: one.value.decode()
            for name, one in details.attributes.items()
            if one.type == "String" and not name.lower().startswith(RESERVED)
        }
    if details.delay:
        kept["delay"] = details.delay
    if details.trace:
        kept["trace"] = details.trace
    if details.deduplication:
        kept["deduplication"] = details.deduplication
    found[SQS] = kept
    headers = msgspec.json.encode(found)
    if len(headers) > MAX_HEADERS:
        text = f"The message attributes take {len(headers)} bytes as they are stored"
        raise invalid(f"{text}; at most {MAX_HEADERS} are allowed.")
    return Content(body, TEXT, headers)


@frozen
class Body:
    """A message as a client of SQS receives it.

    :ivar data: the text in UTF-8.
    :ivar dead_from: the name of the queue whose dead letter it is, and ``deliveries`` how often it was received there.
    """

    text: str
    data: bytes
    details: Details
    group_id: str | None
    message_id: str
    sent: int
    dead_from: str | None
    deliveries: int


def body(message: Message) -> Body:
    """Return what a client of SQS receives of a message, whichever API it was sent by."""
    headers = _headers(message.content)
    details = _details(headers)
    data = message.content.body
    text = decoded(data) if data else None
    if text is None:
        data = base64.b64encode(data)
        text = data.decode("ascii")
        details = attrs.evolve(details, attributes={**details.attributes, ENCODING: Attribute("String", b"base64")})
    letter, group_id = letter_of(message.content), headers.get(KEY)
    original = message.id if letter is None else letter.address.id
    origin = _origin(headers, letter is not None)
    return Body(
        text,
        data,
        details,
        group_id if isinstance(group_id, str) else None,
        message_id(original if origin is None else origin),
        int(to_seconds(ticks_of(original)) * 1000) - details.delay * 1000,
        None if letter is None else letter.queue,
        0 if letter is None else letter.deliveries,
    )


def message_id(id: MessageId) -> str:
    """Return an id as clients of SQS see it."""
    text = id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _origin(headers: Mapping[str, Any], dead: bool) -> MessageId | None:
    """Return the id of the first original of a message that was redriven."""
    origin = headers.get("queuey-dead-letter") if dead else headers
    text = origin.get("origin" if dead else ORIGIN) if isinstance(origin, dict) else None
    try:
        return None if text is None else MessageId(bytes.fromhex(str(text).partition("-")[0]))
    except ValueError:
        return None


def _headers(content: Content) -> dict[str, Any]:
    try:
        headers = msgspec.json.decode(content.headers or b"{}")
    except (ValueError, RecursionError):
        return {}
    return headers if isinstance(headers, dict) else {}


def _details(headers: Mapping[str, Any]) -> Details:
    kept = headers.get(SQS)
    if not isinstance(kept, dict):
        return Details(_of_headers(headers))
    try:
        return Details(
            attributes(kept["attributes"]) if "attributes" in kept else NO_ATTRIBUTES,
            str(kept.get("sender", "")),
            int(kept.get("delay", 0)),
            str(kept.get("trace", "")),
            str(kept.get("deduplication", "")),
        )
    except Exception:  # a message that was put back by hand may have anything there
        return Details(_of_headers(headers))


def _of_headers(headers: Mapping[str, Any]) -> dict[str, Attribute]:
    """Return the headers of a message as attributes: those that are text, up to the maximum of SQS."""
    found: dict[str, Attribute] = {}
    for name, value in headers.items():
        if len(found) == MAX_ATTRIBUTES:
            break
        if isinstance(value, str) and not name.lower().startswith(RESERVED):
            try:
                found.update(attributes({name: {"DataType": "String", "StringValue": value}}))
            except Exception:  # not a name, or not a value, that SQS has
                continue
    return found


def sequence_number(id: MessageId) -> str:
    """Return the sequence number of a message of a FIFO queue: twenty digits, which rise with its id."""
    return f"{ticks_of(id):020d}"


def delay_of(seconds: int) -> Any:
    """Return a delay in ticks."""
    return seconds * SECOND
