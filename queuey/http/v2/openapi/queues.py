"""The paths of v2 that are about applications and their queues."""

from __future__ import annotations

from typing import Final

from queuey.http.v2.openapi.parts import Object, answer, media, operation, parameter, query, schema
from queuey.http.v2.openapi.schemas import TIME
from queuey.http.v2.openapi.shared import number
from queuey.http.v2.parameters import JSON
from queuey.http.v2.queues import DEFAULT_LIMIT, MAX_LIMIT, PATCH

_KNOWN: Final = (
    "unauthorized",
    "no-such-application",
    "nothing-here",
    "method-not-allowed",
    "too-large",
    "content-encoding",
)
_APPLICATION: Final = (*_KNOWN, "forbidden")
_QUEUE: Final = (*_APPLICATION, "no-such-queue")
_BODY: Final = ("invalid-body", "unsupported-media-type")
_CHANGE: Final = ("conflict", "precondition-failed", "storage-full")
_SETTINGS: Final = (*_BODY, *_CHANGE, "partitions-shrink", "not-promised")

_EXAMPLE: Final = {
    "name": "orders",
    "type": "user",
    "partitions": 4,
    "consistency": "strong",
    "guarantee": "at-least-once",
    "principals": [],
    "ttl": 259200,
    "created": TIME,
    "version": "7",
}
_SHOWN: Final = {JSON: media(schema("Queue"), _EXAMPLE)}


def paths() -> Object:
    """The paths, and what can be done at each."""
    application, queue = parameter("application"), parameter("queue")
    return {
        "/v2/openapi.json": {"get": _description()},
        "/v2/{application}": {"parameters": [application], "get": _application()},
        "/v2/{application}/queues": {"parameters": [application], "get": _list()},
        "/v2/{application}/queues/{queue}": {
            "parameters": [application, queue],
            "get": _get(),
            "put": _put(),
            "patch": _patch(),
            "delete": _delete(),
        },
    }


def _description() -> Object:
    return operation(
        "describe",
        "description",
        "This description",
        "Needs no credentials, and may be read by pages of any origin.",
        parameters=(parameter("If-None-Match"),),
        answers={
            "200": answer("The description.", {JSON: media({"type": "object"})}, ["ETag"]),
            "304": answer("It is as it was.", None, ["ETag"]),
        },
        codes=("method-not-allowed", "too-large"),
        anonymous=True,
    )


def _application() -> Object:
    return operation(
        "getApplication",
        "queues",
        "What the application is promised, and its limits",
        "Features, guarantee, consistency and limits, as they are for it now. For everyone who has a key.",
        answers={"200": answer("The application.", {JSON: media(schema("Application"))})},
        codes=_KNOWN,
    )


def _list() -> Object:
    return operation(
        "listQueues",
        "queues",
        "List queues by name",
        "In the order of the names' code points. Ask with `after` set to `next` for more.",
        parameters=(
            query("prefix", "Only names that begin so.", {"type": "string", "minLength": 1}, "ord"),
            query("after", "Only names after this one.", {"type": "string", "minLength": 1}, "mail"),
            query("limit", "How many at the most.", number(1, MAX_LIMIT, DEFAULT_LIMIT)),
        ),
        answers={"200": answer("A page of queues.", {JSON: media(schema("Queues"))}, ["Link"])},
        codes=_APPLICATION,
    )


def _get() -> Object:
    return operation(
        "getQueue",
        "queues",
        "Get a queue",
        "For the application and the queue's principals; everyone else is shown a public queue without its principals.",
        parameters=(parameter("If-None-Match"),),
        answers={
            "200": answer("The queue.", _SHOWN, ["ETag"]),
            "304": answer("It is as it was.", None, ["ETag"]),
        },
        codes=_QUEUE,
        anonymous=True,
    )


def _put() -> Object:
    return operation(
        "putQueue",
        "queues",
        "Create or replace a queue",
        "Members that are left out go to their defaults. An equal PUT changes nothing. Messages stay.",
        parameters=(parameter("If-Match"), parameter("If-None-Match")),
        body={JSON: media(schema("QueueSettings"))},
        answers={
            "200": answer("The queue, which was there.", _SHOWN, ["ETag"]),
            "201": answer("The queue, which is new.", _SHOWN, ["ETag", "Location"]),
        },
        codes=(*_APPLICATION, *_SETTINGS),
    )


def _patch() -> Object:
    return operation(
        "patchQueue",
        "queues",
        "Change a queue",
        "Members that are left out stay as they are; null brings one to its default.",
        parameters=(parameter("If-Match"), parameter("If-None-Match")),
        body={PATCH: media(schema("QueuePatch"))},
        answers={"200": answer("The queue as it is now.", _SHOWN, ["ETag"])},
        codes=(*_QUEUE, *_SETTINGS),
        told="Accept-Patch",
    )


def _delete() -> Object:
    return operation(
        "deleteQueue",
        "queues",
        "Delete a queue",
        "Its messages are gone at once, and Idempotency-Keys are forgotten; a new queue of its name starts empty.",
        parameters=(parameter("If-Match"), parameter("If-None-Match")),
        answers={"204": answer("It is gone.")},
        codes=(*_QUEUE, *_CHANGE),
    )
