"""Messages of SQS as those of Queuey, and the other way round."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

import attrs

from queuey.http.sqs.errors import invalid
from queuey.http.sqs.message_attributes import MAX_ATTRIBUTES, Attribute, Attributes, attributes, is_text
from queuey.http.v2.inputs.items import MAX_HEADERS, RESERVED
from queuey.model.messages.dead_letter_headers import ORIGIN, SQS, key_of, letter_of
from queuey.model.messages.message import Content, Message
from queuey.model.timeid import SECOND, MessageId, ticks_of, to_seconds

TEXT: Final = "text/plain;charset=utf-8"
ENCODING: Final = "queuey-encoding"
"""The attribute of a message whose body is no text that SQS can carry; the body is in Base64 then."""

_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@attrs.frozen
class Details:
    """Attributes of a message that SQS has, besides its body.

    :ivar sender: the access key id of the sender.
    :ivar delay: seconds by which the message was delayed.
    :ivar trace: its AWSTraceHeader.
    :ivar deduplication: its MessageDeduplicationId.
    """

    attributes: Attributes = attrs.field(factory=dict)
    sender: str = ""
    delay: int = 0
    trace: str = ""
    deduplication: str = ""


def content(body: str, details: Details) -> Content:
    """Return the content of a message that a client of SQS sends.

    Attributes that are text are also headers of their own names, for readers through the other APIs.

    :raise SqsError: its attributes are too large together.
    """
    kept: dict[str, Any] = {"sender": details.sender}
    if details.attributes:
        kept["attributes"] = {name: one.json() for name, one in details.attributes.items()}
    for name in ("delay", "trace", "deduplication"):
        if value := getattr(details, name):
            kept[name] = value
    plain = {
        name: one.value.decode()
        for name, one in details.attributes.items()
        if one.type == "String" and not name.lower().startswith(RESERVED)
    }
    headers = _compact({**plain, SQS: kept}).encode()
    if len(headers) > MAX_HEADERS:
        text = f"The message attributes take {len(headers)} bytes as they are stored"
        raise invalid(f"{text}; at most {MAX_HEADERS} are allowed.")
    return Content(body.encode(), TEXT, headers)


@attrs.frozen
class Body:
    """A message as a client of SQS receives it.

    :ivar dead_from: the name of the queue whose dead letter it is, and ``deliveries`` how often it was received there.
    """

    text: str
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
    text = _text(message.content.body)
    if text is None:
        text = base64.b64encode(message.content.body).decode("ascii")
        details = attrs.evolve(details, attributes={**details.attributes, ENCODING: Attribute("String", b"base64")})
    letter = letter_of(message.content)
    original = message.id if letter is None else letter.address.id
    origin = _origin(headers, letter is not None)
    return Body(
        text,
        details,
        key_of(message.content),
        message_id(original if origin is None else origin),
        int(to_seconds(ticks_of(original)) * 1000) - details.delay * 1000,
        None if letter is None else letter.queue,
        0 if letter is None else letter.deliveries,
    )


def message_id(id: MessageId) -> str:
    """Return an id as clients of SQS see it."""
    return str(uuid.UUID(bytes=bytes(id)))


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
        headers = json.loads(content.headers or b"{}")
    except (ValueError, RecursionError):
        return {}
    return headers if isinstance(headers, dict) else {}


def _details(headers: Mapping[str, Any]) -> Details:
    kept = headers.get(SQS)
    if not isinstance(kept, dict):
        return Details(_of_headers(headers))
    try:
        return Details(
            attributes(kept.get("attributes", {})),
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


def _text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if text and is_text(text) else None


def sequence_number(id: MessageId) -> str:
    """Return the sequence number of a message of a FIFO queue: twenty digits, which rise with its id."""
    return f"{ticks_of(id):020d}"


def delay_of(seconds: int) -> Any:
    """Return a delay in ticks."""
    return seconds * SECOND
