"""The paths of v2 that are about messages."""

from __future__ import annotations

from typing import Final

from queuey.http.v2.appends import BATCH
from queuey.http.v2.openapi import patterns
from queuey.http.v2.openapi.parts import Object, answer, header, media, operation, parameter, query, schema
from queuey.http.v2.openapi.schemas import CURSOR, EXPIRES, ID, TIME
from queuey.http.v2.openapi.shared import ON_QUEUE, number, time_text
from queuey.http.v2.pages import DEFAULT_BYTES, DEFAULT_LIMIT, MAX_BYTES, MAX_LIMIT, MAX_WAIT
from queuey.http.v2.parameters import JSON
from queuey.http.v2.results import NDJSON as LINES
from queuey.model.message import MAX_DELAY
from queuey.model.queue import MAX_PARTITIONS

_BYTES: Final = {"description": "Any bytes."}
_PLACE: Final = {"id": ID, "partition": 1, "timestamp": TIME}
_MESSAGE: Final = {
    **_PLACE,
    "expires": EXPIRES,
    "content_type": "text/plain",
    "headers": {"trace": "7c2d"},
    "body": "two apples",
}
_STORED: Final = {
    "messages": [_PLACE],
    "stored": {"consistency": "strong", "durable": True},
    "duplicate": False,
}
_PAGE: Final = {"messages": [_MESSAGE], "next": CURSOR, "more": False, "stable_until": TIME, "resume": "exact"}
_MESSAGE_HEADERS: Final = (
    "ETag",
    "Accept-Ranges",
    "Queuey-Id",
    "Queuey-Partition",
    "Queuey-Timestamp",
    "Queuey-Expires",
    "Queuey-Headers",
    "X-Content-Type-Options",
    "Content-Security-Policy",
)
_ITEMS: Final = [{"body": "two apples", "key": "7"}, {"body_base64": "AAEC", "ttl": 60, "delay": 90}]
_STREAM: Final = [{"body": "two apples", "idempotency_key": "order-4711"}, *_ITEMS]
_RESULTS: Final = [{**_PLACE, "duplicate": False}, _PLACE, {"done": True, "stored": 2, "failed": 0}]


def paths() -> Object:
    """The paths, and what can be done at each."""
    common = [parameter("application"), parameter("queue")]
    return {
        "/v2/{application}/queues/{queue}/messages": {
            "parameters": common,
            "post": _append(),
            "get": _read(),
            "put": _restore(),
            "delete": _purge(),
        },
        "/v2/{application}/queues/{queue}/messages/{id}": {
            "parameters": [*common, parameter("id")],
            "get": _get(),
            "put": _put(),
            "delete": _remove(),
        },
    }


def _lines(name: str) -> Object:
    """Lines, each of which is one JSON text."""
    return {"type": "array", "description": "No array, but each item on a line of its own.", "items": schema(name)}


def _append() -> Object:
    return operation(
        "appendMessages",
        "messages",
        "Append messages",
        "The body is one message, of any type and any bytes; or a batch, all of which is stored or nothing; or a "
        "stream of messages, one a line, each handled as it arrives. Options in the query are for one message only.",
        parameters=(
            parameter("ttl"),
            query("partition", "The partition that it goes to.", number(1, MAX_PARTITIONS)),
            query("key", "Messages of one key go to one partition.", {"type": "string", "minLength": 1}, "customer-7"),
            query(
                "delay",
                "Seconds until it is due.",
                {"type": "number", "minimum": 0, "maximum": MAX_DELAY, "default": 0},
                90,
            ),
            query(
                "results",
                "What a stream is answered: a line for each message, or for each that failed only.",
                {"enum": ["all", "failures"], "default": "all"},
            ),
            parameter("Idempotency-Key"),
            parameter("Queuey-Headers"),
            parameter("traceparent"),
            parameter("tracestate"),
        ),
        body={
            "*/*": media(_BYTES),
            BATCH: media(schema("Batch"), {"messages": _ITEMS}),
            LINES: media(_lines("Line"), _STREAM),
        },
        answers={
            "200": answer("The results of a stream, a line each.", {LINES: media(_lines("Result"), _RESULTS)}),
            "201": answer(
                "They are stored.",
                {JSON: media(schema("Stored"), _STORED)},
                perhaps={
                    "Location": "Where the message is, if it is one.",
                    "Idempotency-Replayed": "`true` where an earlier request with the same key is answered again.",
                },
            ),
        },
        codes=(
            *ON_QUEUE,
            "invalid-body",
            "unsupported-media-type",
            "key-in-use",
            "key-reused",
            "not-promised",
            "storage-full",
        ),
    )


def _read() -> Object:
    return operation(
        "readMessages",
        "messages",
        "Read a page of messages",
        "The partitions are merged into one order, by time. Ask with `after` set to `next` for what follows: nothing "
        "is passed over, and nothing comes twice. An ascending page after which there is more stays as it is until a "
        "message of it is put, deleted, purged, or expires: it has an `ETag`, unless it is large or `fresh`. Nobody "
        "needs credentials for a public queue.",
        parameters=(
            parameter("If-Match"),
            parameter("If-None-Match"),
            query(
                "after",
                "Where to go on: a cursor as it was given, or an id, itself excluded.",
                {"anyOf": [patterns.text(patterns.CURSOR), patterns.text(patterns.ANY_CASE_ID)]},
            ),
            query("since", "Where to begin, itself included; not beside `after`.", time_text("A time."), TIME),
            query("until", "Where to end, itself excluded.", time_text("A time."), TIME),
            query("order", "From the oldest, or from the newest.", {"enum": ["asc", "desc"], "default": "asc"}),
            query("limit", "How many at the most.", number(1, MAX_LIMIT, DEFAULT_LIMIT)),
            query(
                "max_bytes",
                "Bytes of bodies at the most; a message that is larger comes alone.",
                number(1, MAX_BYTES, DEFAULT_BYTES),
            ),
            query(
                "partition",
                "Only this partition, or these.",
                {"type": "array", "items": number(1, MAX_PARTITIONS), "maxItems": MAX_PARTITIONS},
                explode=True,
            ),
            query(
                "wait",
                "Seconds to wait for a message where there is none.",
                {"type": "number", "minimum": 0, "maximum": MAX_WAIT, "default": 0},
            ),
            query("fresh", "Whether to show what is not stable yet.", {"type": "boolean", "default": False}),
        ),
        answers={
            "200": answer(
                "A page.",
                {JSON: media(schema("Page"), _PAGE), LINES: media(_lines("PageLine"))},
                ["Link"],
                {"ETag": "If the page is settled: another one whenever a byte of it is."},
            ),
            "304": answer("It is as it was.", perhaps={"ETag": "If the page is settled: the one that was asked with."}),
        },
        codes=(*ON_QUEUE, "invalid-cursor", "cursor-mismatch", "queue-replaced", "precondition-failed"),
        anonymous=True,
    )


def _restore() -> Object:
    return operation(
        "restoreMessages",
        "messages",
        "Put messages back under their own ids",
        "Messages whose ids the queue has are left as they are, so the same request may be sent again. On some stores "
        "each is stored by itself: after an error others may be there.",
        body={BATCH: media(schema("Restore"), {"messages": [{"id": ID, "body": "two apples", "ttl": 3600}]})},
        answers={"200": answer("They are there.", {JSON: media(schema("Restored"), {"stored": 1, "there": 0})})},
        codes=(*ON_QUEUE, "invalid-body", "unsupported-media-type", "storage-full"),
    )


def _purge() -> Object:
    return operation(
        "purgeMessages",
        "messages",
        "Delete the oldest messages",
        "Everything before a place is gone at once, as far as it is stable: `now` is all that a reader can have seen. "
        "Cursors that stood before the place are told `truncated`. `now` is refused with an `Idempotency-Key`.",
        parameters=(
            query(
                "before",
                "A time, an id, or `now`; itself excluded.",
                {
                    "anyOf": [
                        {"const": "now"},
                        patterns.text(patterns.ANY_CASE_ID),
                        time_text("A time."),
                    ]
                },
                "now",
                required=True,
            ),
        ),
        answers={"204": answer("They are gone.")},
        codes=(*ON_QUEUE, "storage-full"),
    )


def _get() -> Object:
    return operation(
        "getMessage",
        "messages",
        "Get the body of a message",
        "With the type that it was sent with. Single byte ranges are served; whoever asks for several gets the whole.",
        parameters=(
            parameter("If-Match"),
            parameter("If-None-Match"),
            header(
                "Range",
                "One range of bytes, which does not end before it begins; other units are passed over.",
                patterns.text(patterns.RANGE),
                "bytes=0-3",
            ),
            header(
                "If-Range",
                "An ETag: the range only if the message is still that one, else the whole.",
                {"type": "string"},
            ),
        ),
        answers={
            "200": answer("The body.", {"*/*": media(_BYTES)}, _MESSAGE_HEADERS),
            "206": answer("A part of the body.", {"*/*": media(_BYTES)}, (*_MESSAGE_HEADERS, "Content-Range")),
            "304": answer("It is as it was.", None, ["ETag"]),
        },
        codes=(*ON_QUEUE, "no-such-message", "precondition-failed", "range-not-satisfiable"),
        anonymous=True,
    )


def _put() -> Object:
    return operation(
        "putMessage",
        "messages",
        "Overwrite a message, or create one under an id of one's own",
        "The body is one message, whatever its type. A new id has to be of now: above every id so far, and at most "
        "half a second ahead.",
        parameters=(
            parameter("ttl"),
            parameter("If-Match"),
            parameter("If-None-Match"),
            parameter("Queuey-Headers"),
            parameter("traceparent"),
            parameter("tracestate"),
        ),
        body={"*/*": media(_BYTES)},
        answers={"201": answer("It is new.", None, ["Location"]), "204": answer("It is overwritten.")},
        codes=(
            *ON_QUEUE,
            "precondition-failed",
            "id-out-of-range",
            "storage-full",
        ),
    )


def _remove() -> Object:
    return operation(
        "deleteMessage",
        "messages",
        "Delete a message",
        "One that is not due yet is cancelled. `If-Match` and `If-None-Match` are refused.",
        answers={"204": answer("It is gone.")},
        codes=(*ON_QUEUE, "no-such-message", "storage-full"),
    )
