"""The messages that an append brings: one message of any type, or a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from queuey.http.answers.problems import Problem
from queuey.http.inputs.fast_json import batch_bodies
from queuey.http.inputs.mistakes import Mistakes
from queuey.http.v2.inputs.header_fields import bad_field, expect_type, field
from queuey.http.v2.inputs.items import BYTES, MAX_HEADERS, MAX_TYPE, Items, encoded_headers, is_media_type, long_key
from queuey.http.v2.inputs.parameters import Query, problem_of, refuse_unknown
from queuey.http.v2.inputs.strict_json import strict_json
from queuey.http.wire import Request
from queuey.model.fields import DELAY, TTL, partition
from queuey.model.messages.message import MAX_MESSAGE_KEY, Content, Draft
from queuey.model.telemetry.trace import with_context

BATCH: Final = "application/vnd.queuey.messages+json"
"""The type of a batch."""

MAX_MESSAGES: Final = 1000
"""Maximum number of messages in a batch."""

_CLOSE: Final = "close"
_OPTIONS: Final = ("ttl", "partition", "key", "delay", _CLOSE)


_SAYING: Final = frozenset({b"queuey-headers", b"traceparent"})
"""The fields that say more of a message than its type."""


def drafts(request: Request, partitions: int, ttl: int) -> tuple[Sequence[Draft], bool]:
    """Return the messages that a POST brings, and whether they are the last ones of the queue.

    :param partitions: how many the queue has.
    :param ttl: seconds to live for those that do not say.
    :raise Problem: if it is not as it should be.
    """
    content_type = type_of(request)
    if content_type.partition(";")[0].rstrip(" ").lower() == BATCH:
        return _batch(request, Items(partitions, ttl, trace=request.trace))
    content = Content(request.body, content_type, headers_of(request))
    if not request.line.query:
        return [Draft(content, ttl)], False
    query = Query(request, _OPTIONS)
    ttl = query.number(TTL) or ttl
    number, key = query.number(partition(partitions)), query.text("key")
    if key is not None and query.text("partition") is not None:
        query.wrong("key", "cannot be given together with a partition")
    elif key is not None and len(encoded := key.encode("utf-8")) > MAX_MESSAGE_KEY:
        query.wrong("key", long_key(len(encoded)))
    delay = query.seconds(DELAY)
    last = query.boolean(_CLOSE)
    query.check()
    draft = Draft(content, ttl, number, key) if delay is None else Draft(content, ttl, number, key, delay)
    return [draft], last


def is_plain(request: Request) -> bool:
    """Whether the head of a POST of one message gives no more about the message than its type."""
    content_type = (field(request, b"content-type") or "").partition(";")[0].rstrip(" ").lower()
    return content_type != BATCH and not request.line.query and _SAYING.isdisjoint(request.fields)


def type_of(request: Request) -> str:
    """The type of the message that a body is, as it was sent.

    :raise Problem: if it is no media type.
    """
    raw = field(request, b"content-type")
    if raw is None:
        return BYTES
    if not is_media_type(raw):
        raise bad_field("Content-Type", f"is not a media type of at most {MAX_TYPE} ASCII characters")
    return raw


def headers_of(request: Request, back: bool = False) -> bytes | None:
    """The message's own headers that a request brings, and the trace that it is of, as they are stored.

    :param back: see :func:`encoded_headers`.
    :raise Problem: if the headers are not a JSON object, percent-encoded, or are too large.
    """
    headers = _given_headers(request, back) if b"queuey-headers" in request.fields else None
    trace = request.trace
    return headers if trace is None else with_context(headers, trace, MAX_HEADERS)


def _given_headers(request: Request, back: bool) -> bytes | None:
    raw = field(request, b"queuey-headers")
    if raw is None:
        return None
    try:
        given = strict_json(unquote_to_bytes(raw))
    except Problem:
        given = None
    if not isinstance(given, dict):
        raise bad_field("Queuey-Headers", "is not a JSON object, percent-encoded")
    encoded = encoded_headers(given, back)
    if isinstance(encoded, bytes):
        return encoded
    raise bad_field("Queuey-Headers", encoded)


def _batch(request: Request, items: Items) -> tuple[Sequence[Draft], bool]:
    query = Query(request, (_CLOSE,))
    last = query.boolean(_CLOSE)
    query.check()
    expect_type(request, (BATCH,))
    if b"queuey-headers" in request.fields:
        raise bad_field("Queuey-Headers", "is only for one message; messages of a batch have a member headers")
    bodies = batch_bodies(request.body)
    if bodies is not None and 1 <= len(bodies) <= MAX_MESSAGES:
        return items.plain(bodies), last
    mistakes = Mistakes()
    messages = batch_of(request.body)
    found = [items.draft(item, f"/messages/{place}", mistakes) for place, item in enumerate(messages)]
    if mistakes:
        raise invalid(mistakes)
    return found, last


def batch_of(body: bytes) -> list[Any]:
    """The messages in the document that a batch is, of any type yet.

    :raise Problem: it is no such document.
    """
    document = strict_json(body)
    if not isinstance(document, dict):
        raise _wrong("", 'is not {"messages": [...]}')
    refuse_unknown(document, ("messages",))
    messages = document.get("messages")
    if not isinstance(messages, list):
        raise _wrong("/messages", "is not a list of messages")
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise _wrong("/messages", f"has {len(messages)} messages, and not 1 to {MAX_MESSAGES}")
    return messages


def _wrong(pointer: str, detail: str) -> Problem:
    """The problem of a batch that has one mistake."""
    mistakes = Mistakes()
    mistakes.add(pointer, detail)
    return invalid(mistakes)


def invalid(mistakes: Mistakes) -> Problem:
    """Return the problem of a batch with mistakes; the detail has the first one and the number of the others."""
    problem = problem_of(mistakes, "invalid-body", "pointer", "The body")
    (pointer, detail), *_ = mistakes.named
    more = f" (and {mistakes.count - 1} more)" if mistakes.count > 1 else ""
    problem.detail = f"{pointer or 'The body'} {detail}{more}."
    return problem
