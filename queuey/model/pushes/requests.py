"""The requests of pushes: a message as header fields and a body, raw or as a CloudEvent, signed."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

import attrs

from queuey.model.messages.dead_letter_headers import KEY
from queuey.model.messages.message import Content, Message
from queuey.model.pushes.settings import Format, Push
from queuey.model.pushes.signatures import signature
from queuey.model.telemetry.trace import PARENT, STATE, own_context
from queuey.model.timeid import ticks_of, to_rfc3339

Header = tuple[str, str]

USER_AGENT: Final = "Queuey-Push"

STRUCTURED: Final = "application/cloudevents+json; charset=utf-8"
"""The type of a whole CloudEvent."""

_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"
_TYPE: Final = re.compile(r"[!-~](?:[ -~]{0,1022}[!-~])?")
_JSON: Final = re.compile(r"[^;]*?(?:/|\+)json\s*(?:;.*)?", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,200}")
_SAFE: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")
"""Characters that are not percent-encoded in the values of header fields."""

_UNSHOWN: Final = frozenset((PARENT, STATE))
_compact: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


@attrs.frozen
class PushBody:
    """A message as it is sent, without what differs between attempts.

    :ivar id: the same on each attempt.
    """

    id: str
    headers: tuple[Header, ...]
    body: bytes


def push_body(push: Push, source: str, message: Message) -> PushBody:
    """Write a message into a request.

    :param source: the path of the queue, the source of CloudEvents.
    """
    id = f"{message.id.hex()}-{message.partition}"
    content = message.content
    own = _own_headers(content)
    headers: list[Header] = [(f"{push.header_prefix}{name}", _field(value)) for name, value in own if _is_token(name)]
    context = own_context(content.headers)
    if context is not None:
        headers.append((PARENT, context.parent))
        if context.state:
            headers.append((STATE, context.state))
    headers += push.headers
    event = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": push.event_type,
        "time": to_rfc3339(ticks_of(message.id)),
    }
    key = next((value for name, value in own if name == KEY), None)
    if isinstance(key, str):
        event["partitionkey"] = key
    if push.format is Format.CLOUDEVENTS_STRUCTURED:
        return PushBody(id, (("content-type", STRUCTURED), *headers), _structured(event, content))
    if push.format is Format.CLOUDEVENTS:
        headers += [(f"ce-{name}", _field(value)) for name, value in event.items()]
    return PushBody(id, (("content-type", _content_type(content)), *headers), content.body)


def signed_headers(made: PushBody, secrets: Iterable[bytes], now: int) -> tuple[Header, ...]:
    """Return the header fields of one attempt.

    :param secrets: that sign it.
    :param now: in whole seconds since 1970.
    """
    return (
        *made.headers,
        ("webhook-id", made.id),
        ("webhook-timestamp", str(now)),
        ("webhook-signature", signature(secrets, made.id, now, made.body)),
        ("user-agent", USER_AGENT),
    )


def reply_type(given: str | None) -> str | None:
    """Return the media type of an answer for a message; an invalid one becomes ``application/octet-stream``."""
    return None if given is None else _content_type(Content(b"", given))


def _content_type(content: Content) -> str:
    given = content.content_type
    if given is None:
        return _TEXT
    return given if _TYPE.fullmatch(given) is not None else _BYTES


def _structured(event: dict[str, Any], content: Content) -> bytes:
    """Return a whole CloudEvent as JSON (CloudEvents 1.0, JSON Event Format)."""
    found: dict[str, Any] = {**event, "datacontenttype": _content_type(content)}
    try:
        text = content.body.decode("utf-8")
        if _JSON.fullmatch(found["datacontenttype"]) is None:
            return _compact({**found, "data": text}).encode("ascii")
        # Parsed, so that invalid JSON does not break the event; sent unchanged, so that no number changes.
        json.loads(text, parse_constant=_refuse)
        return f'{_compact(found)[:-1]},"data":{text}}}'.encode()
    except (ValueError, RecursionError):
        found["data_base64"] = b64encode(content.body).decode("ascii")
        return _compact(found).encode("ascii")


def _refuse(constant: str) -> Any:
    """Refuse NaN and infinities, which JSON does not have."""
    raise ValueError(constant)


def _own_headers(content: Content) -> list[tuple[str, Any]]:
    """Return the message's own headers, without the trace, which has fields of its own."""
    if content.headers is None:
        return []
    try:
        found = json.loads(content.headers)
    except (ValueError, RecursionError):
        return []
    return [(name, value) for name, value in found.items() if name not in _UNSHOWN] if isinstance(found, dict) else []


def _is_token(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


def _field(value: Any) -> str:
    """Return a value as text of a header field: a string or JSON, with all but visible ASCII percent-encoded."""
    return quote(value if isinstance(value, str) else _compact(value), safe=_SAFE, errors="replace")
