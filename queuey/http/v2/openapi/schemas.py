"""What goes over the wire in v2, as JSON Schema; the limits in it are those that the code holds."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from queuey.http.problems import CODES, TYPE
from queuey.http.v2.appends import MOST_MESSAGES
from queuey.http.v2.items import MAX_HEADERS, MAX_KEY, MAX_TYPE
from queuey.http.v2.openapi.parts import Object, schema
from queuey.model.cursor import MAX_CURSOR
from queuey.model.message import MAX_DELAY, MAX_TTL
from queuey.model.queue import MAX_NAME, MAX_PARTITIONS, Consistency, Guarantee, QueueType

ID: Final = "1f0cac17d82a6730b16c3a8f2b9d4e01-1"
TIME: Final = "2025-11-26T12:14:43.1698736Z"
EXPIRES: Final = "2025-11-29T12:14:43.1698736Z"
CURSOR: Final = "AQAfDKwX2CpnMLFsOo8rnU4BAQEBX-djpg"

_ID_PATTERN: Final = "^[0-9a-f]{12}6[0-9a-f]{3}[89ab][0-9a-f]{15}-([1-9][0-9]?|1[0-9][0-9]|200)$"
_TOKEN: Final = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = rf'{_TOKEN}=({_TOKEN}|"([ !#-\[\]-~]|\\[ -~])*")'
# Spaces between two semicolons can be shared in one way only: whoever validates with it is not kept busy for ever.
_TYPE_PATTERN: Final = rf"^{_TOKEN}/{_TOKEN}( *;( *{_PARAMETER})?)*( *; *)?$"
_PRINCIPAL_PATTERN: Final = (
    r"^(app:[^\s,:/]+|bid:[^\s,@]+@[^\s,:/@.]+(\.[^\s,:/@.]+)+"
    r"|sub:https?://[A-Za-z0-9\[][!\"$-+\--~]{0,254}#[!-+\--~]{1,255})$"
)
_KEY_PATTERN: Final = f"^[ -~]{{1,{MAX_KEY}}}$"
_EITHER: Final = {
    "oneOf": [{"required": ["body"]}, {"required": ["body_base64"]}],
    "not": {"required": ["partition", "key"]},
}
_TIME_PATTERN: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{7}Z$"


def words(among: type[Enum]) -> list[str]:
    """The words of an enumeration as v2 spells them."""
    return [str(member.value).replace("_", "-") for member in among]


def _object(required: str, **properties: Any) -> Object:
    """An object with these members; clients ignore others, which may be added."""
    return {"type": "object", "required": required.split(), "properties": properties}


def _only(**properties: Any) -> Object:
    """An object that a client sends: other members are refused."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _text(description: str, **more: Any) -> Object:
    return {"type": "string", "description": description, **more}


def _number(description: str, low: int, high: int | None = None, **more: Any) -> Object:
    found = {"type": "integer", "description": description, "minimum": low, **more}
    return found if high is None else {**found, "maximum": high}


_TTL: Final = _number("Seconds to live.", 1, MAX_TTL, examples=[3600])
_PARTITION: Final = _number("The number of a partition.", 1, MAX_PARTITIONS, examples=[1])
_DELAY: Final = {
    "type": "number",
    "description": "Seconds until it is due: it takes its place in the log at that time, and lives from then on.",
    "minimum": 0,
    "maximum": MAX_DELAY,
    "examples": [90],
}
_DUPLICATE: Final = {
    "type": "boolean",
    "description": "Of a line with a key: whether an earlier one with that key stored the message.",
}
_USER_HEADERS: Final = {
    "type": "object",
    "description": f"The sender's own headers, kept as they are: at most {MAX_HEADERS} bytes of compact JSON.",
    "examples": [{"trace": "7c2d"}],
}


def _members_of_queue(sent: bool) -> Object:
    """The settings of a queue, as they are sent and as they are answered."""
    kept = {"readOnly": True} if sent else {}
    return {
        "name": _text("Its name; accepted if it is this queue's.", minLength=1, maxLength=MAX_NAME, **kept),
        "type": {"enum": words(QueueType), "description": "Whether everyone may read it (public)."},
        "partitions": _number("Parts with an order of their own; they can only become more.", 1, MAX_PARTITIONS),
        "consistency": {"enum": words(Consistency), "description": "How many replicas a write waits for."},
        "guarantee": {"enum": words(Guarantee), "description": "What is promised of deliveries to consumer groups."},
        "principals": {
            "type": "array",
            "description": "Who may read and delete in place of the application, if there are any.",
            "items": {"type": "string", "pattern": _PRINCIPAL_PATTERN},
            "examples": [["app:queuey"]],
        },
        "ttl": _number("Seconds that its messages live unless they say otherwise.", 1, MAX_TTL),
        "created": _text("When it was made; accepted if equal.", format="date-time", examples=[TIME], **kept),
        "version": _text("Another one after each change; accepted if equal. The ETag has it too.", **kept),
    }


def _new_message() -> Object:
    """One message of a batch or of a stream."""
    return {
        "body": _text("The body as text."),
        "body_base64": _text("The body as base64 (RFC 4648, section 4, padded).", contentEncoding="base64"),
        "content_type": _text(
            "Its media type.", maxLength=MAX_TYPE, pattern=_TYPE_PATTERN, examples=["text/plain;charset=utf-8"]
        ),
        "ttl": _TTL,
        "partition": _PARTITION,
        "key": _text("Messages of one key go to one partition.", minLength=1),
        "delay": _DELAY,
        "headers": _USER_HEADERS,
    }


def _place() -> Object:
    """Where a message is."""
    return {
        "id": schema("MessageId"),
        "partition": _PARTITION,
        "timestamp": schema("Timestamp"),
    }


def components() -> Object:
    """All shared schemas."""
    return {**_values(), "Application": _application(), **_queues(), **_messages(), "Problem": _problem()}


def _values() -> Object:
    return {
        "Timestamp": _text("A time in UTC, to 100 ns.", format="date-time", pattern=_TIME_PATTERN, examples=[TIME]),
        "MessageId": _text(
            "32 hexadecimal digits, which are a UUID of version 6, and the number of the partition. Ids sort as text "
            "by time. An id alone is an address, and a cursor.",
            pattern=_ID_PATTERN,
            examples=[ID],
        ),
        "Cursor": _text("How far a reader has come.", minLength=1, maxLength=MAX_CURSOR, examples=[CURSOR]),
    }


def _application() -> Object:
    return _object(
        "name features guarantee consistency create_queues durable durability not_once ttl idempotency_ttl settle "
        "limits",
        name=_text("Its name."),
        features={"type": "array", "items": {"type": "string"}, "description": "What is to be had here."},
        guarantee={"enum": words(Guarantee), "description": "What queues have that do not say."},
        consistency={"enum": words(Consistency), "description": "What queues have that do not say."},
        create_queues={
            "enum": ["explicit", "on-write"],
            "description": "Whether a message to a queue that does not exist makes it.",
        },
        durable={"type": "boolean", "description": "Whether what was acknowledged survives the loss of power."},
        durability=_text("What it survives, in words."),
        not_once={
            "type": ["string", "null"],
            "description": "Why no Idempotency-Key is taken here; null where they are.",
        },
        ttl=_TTL,
        idempotency_ttl=_number("Seconds for which an Idempotency-Key is remembered.", 1),
        settle={"type": "number", "minimum": 0, "description": "Seconds by which `stable_until` is behind the clock."},
        limits=_limits(),
    )


def _limits() -> Object:
    counted = "max_batch max_limit max_page_bytes max_ttl max_key max_headers max_name max_partitions max_body"
    counted += " max_header max_connections"
    timed = "max_wait max_delay max_ahead request_timeout idle_timeout"
    perhaps = "max_queues max_bytes"
    return _object(
        f"{counted} {timed} {perhaps}",
        **{name: {"type": "integer"} for name in counted.split()},
        **{name: {"type": "number", "description": "Seconds."} for name in timed.split()},
        **{name: {"type": ["integer", "null"], "description": "null is no limit."} for name in perhaps.split()},
    )


def _queues() -> Object:
    kept = "name type partitions consistency guarantee principals ttl created version"
    sent = _members_of_queue(sent=True)
    nullable = {name: {"anyOf": [of, {"type": "null"}]} for name, of in sent.items()}
    return {
        "QueueSettings": {
            **_only(**nullable),
            "description": "A member that is null is as good as left out.",
            "examples": [{"partitions": 4, "principals": ["app:queuey"]}],
        },
        "QueuePatch": {
            **_only(**nullable),
            "description": "A merge patch (RFC 7396): null brings a member to its default.",
            "examples": [{"partitions": 8, "ttl": None}],
        },
        "Queue": _object(kept, **_members_of_queue(sent=False)),
        "Queues": _object(
            "queues next",
            queues={"type": "array", "items": schema("Queue")},
            next={"type": ["string", "null"], "description": "What `after` is for the next page, if there is one."},
        ),
    }


def _messages() -> Object:
    return {
        "NewMessage": {**_only(**_new_message()), **_EITHER},
        "Line": {
            **_only(**_new_message(), idempotency_key=_text("Stores this line once.", pattern=_KEY_PATTERN)),
            **_EITHER,
        },
        "Batch": {
            **_only(
                messages={"type": "array", "minItems": 1, "maxItems": MOST_MESSAGES, "items": schema("NewMessage")}
            ),
            "required": ["messages"],
        },
        "Stored": _object(
            "messages stored duplicate",
            messages={"type": "array", "items": _object("id partition timestamp", **_place())},
            stored=_object(
                "consistency durable",
                consistency={"enum": words(Consistency), "description": "What the write waited for."},
                durable={"type": "boolean", "description": "Whether the messages survive the loss of power."},
            ),
            duplicate={"type": "boolean", "description": "Whether an earlier request with this key stored them."},
        ),
        "Result": {
            "description": "What became of a line of a stream: where its message is, or why it was not stored; in the "
            "end, how it all went.",
            "anyOf": [
                _object("id partition timestamp", **_place(), duplicate=_DUPLICATE),
                schema("Problem"),
                _end_of_stream(),
            ],
        },
        "Message": _object("id partition timestamp expires content_type headers", **_message()),
        "PageLine": {
            "description": "A message; or, as the last line, what else comes with the page.",
            "anyOf": [schema("Message"), _object("next more stable_until resume", **_end_of_page())],
        },
        "Page": _object(
            "messages next more stable_until resume",
            messages={"type": "array", "items": schema("Message")},
            **_end_of_page(),
        ),
    }


def _end_of_stream() -> Object:
    """The last line of what a stream is answered."""
    return _object(
        "done stored failed",
        done={"type": "boolean", "description": "Whether every line was handled."},
        stored=_number("Lines whose messages are stored.", 0),
        failed=_number("Lines of which that is not so, or not known.", 0),
        untold=_number("With `results=failures`: failures that are counted here alone.", 1),
    )


def _message() -> Object:
    return {
        **_place(),
        "expires": schema("Timestamp"),
        "content_type": _text("The media type that it was sent with."),
        "headers": _USER_HEADERS,
        "body": _text("The body, where it is UTF-8 text."),
        "body_base64": _text("The body, where it is not.", contentEncoding="base64"),
    }


def _end_of_page() -> Object:
    return {
        "next": schema("Cursor"),
        "more": {"type": "boolean", "description": "Whether there is more now."},
        "stable_until": schema("Timestamp"),
        "resume": {
            "enum": ["exact", "truncated"],
            "description": "`truncated`: something that the cursor had not seen yet was purged.",
        },
        "first": {**schema("Cursor"), "description": "Where `truncated`: just before the first message that is left."},
    }


def _problem() -> Object:
    """RFC 9457, with what programs act on."""
    found = _object(
        "type title status detail instance code retryable applied",
        type=_text("A name of the kind of problem."),
        title=_text("What its code means."),
        status=_number("The status of the answer.", 400, 599),
        detail=_text("One sentence about this request."),
        instance=_text("The id of the request, which the log has too."),
        code={"enum": list(CODES), "description": "What programs go by."},
        retryable={"type": "boolean", "description": "Whether the same request may succeed later."},
        applied={"enum": ["no", "yes", "partly", "unknown"], "description": "Whether anything was stored."},
        errors={
            "type": "array",
            "description": "What is wrong, one by one.",
            "items": _object("detail", parameter=_text(""), pointer=_text("A JSON pointer."), detail=_text("")),
        },
        limit=_text("The limit that was met, by its name in `GET /v2/{application}`."),
        line=_number("In a stream: the number of the line, from 1.", 1),
        incident=_text("Where `internal`: what the log has it under."),
        oldest={**schema("Cursor"), "description": "Where `queue-replaced`: a cursor to go on from."},
    )
    return {**found, "examples": [_PROBLEM]}


_PROBLEM: Final = {
    "type": f"{TYPE}no-such-queue",
    "title": CODES["no-such-queue"].title,
    "status": CODES["no-such-queue"].status,
    "detail": "Queue of that name was not found.",
    "instance": "5f0c2f6e9d1b4a7c8e3d2b1a",
    "code": "no-such-queue",
    "retryable": False,
    "applied": "no",
}
