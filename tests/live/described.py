"""What schemathesis has to know beside the description: a module of hooks, which it imports.

Most names and ids that it draws are of nothing. So queues that it asks for are there, as a rule, and messages are.
``QUEUEY_ASKED`` has the base URL.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from random import Random
from typing import Any, Final

import requests
import schemathesis
from schemathesis import Case, DeserializationContext, HookContext, Response, SerializationContext

from queuey.http.v2.appends import BATCH
from queuey.model.timeid import RANDOM_BITS, from_seconds, make_random
from tests.live.clients import HEADERS

LINES: Final = "application/x-ndjson"
APPLICATION: Final = "queuey"
QUEUES: Final = ("narrow", "wide queue ü")
SETTINGS: Final[Sequence[dict[str, int]]] = ({}, {"partitions": 200})
LONGEST_WAIT: Final = 0.01
SENSIBLE: Final = {
    "Queuey-Headers": ("%7B%22trace%22%3A%227c2d%22%7D", "{}", "%7b%7D"),
    "If-None-Match": ("*", "*", '"a", W/"b"'),
    "Range": ("bytes=0-3", "bytes=2-", "bytes=-2", "bytes=0-1,4-5", "bytes=9-", "pages=1-2"),
}
"""Values of header fields of which a schema does not say what makes them right."""

CONDITIONS: Final = ("If-Match", "If-None-Match", "If-Range")
"""They rarely hold where they are drawn by lot."""

FOR_ONE: Final = ("ttl", "partition", "key", "delay", "Queuey-Headers")
"""Options that a message by itself may have, and batches and streams may not."""

BASE: Final = os.environ.get("QUEUEY_ASKED", "")
_random: Final = Random(7)
_session: Final = requests.Session()


@schemathesis.serializer(LINES)
def write_lines(context: SerializationContext, value: Any) -> bytes:
    """The body that lines are."""
    lines = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(line).encode("ascii") + b"\n" for line in lines)


@schemathesis.deserializer(LINES)
def read_lines(context: DeserializationContext, response: Response) -> list[Any]:
    """The lines that a body has."""
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Take all that is answered and not described for an error; clients are told to pass it over."""
    for schema in raw_schema["components"]["schemas"].values():
        _close(schema)


def _close(schema: dict[str, Any]) -> None:
    for member in (schema, *schema.get("anyOf", ())):
        for inner in member.get("properties", {}).values():
            _close(inner.get("items", inner))
        if member.get("properties"):
            member["additionalProperties"] = False


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Have a request be about something, unless it is about what cannot be."""
    _shorten(case)
    _make_sense(case)
    names = case.path_parameters
    if "application" not in names or _random.random() < 0.1:
        return
    names["application"] = APPLICATION
    if "queue" in names:
        place = _random.randrange(len(QUEUES))
        names["queue"] = QUEUES[place]
        _make_queue(place)
    if "id" in names:
        new = case.method == "PUT" and _random.random() < 0.3
        names["id"] = _new_id() if new else _make_message(names["queue"])
    if "queue" in names and "after" in case.query:
        case.query["after"] = _page(names["queue"])["next"]


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Make a queue anew that a request has deleted: it is asked for once more, with false credentials."""
    if case.method == "DELETE" and case.path_parameters.get("queue") in QUEUES:
        _make_queue(QUEUES.index(case.path_parameters["queue"]))


def _make_sense(case: Case[Any]) -> None:
    """Let most header fields that may be right be so."""
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    for name, values in SENSIBLE.items():
        if name in case.headers and _random.random() < 0.8:
            case.headers[name] = _random.choice(values)
    left_out = list(CONDITIONS) if case.path_parameters and _random.random() < 0.7 else []
    if case.media_type in (BATCH, LINES):
        left_out += FOR_ONE
    if case.media_type == LINES:
        left_out.append("Idempotency-Key")
    elif case.media_type is not None:
        left_out.append("results")
    for name in left_out if _random.random() < 0.9 else ():
        case.query.pop(name, None)
        case.headers.pop(name, None)


def _shorten(case: Case[Any]) -> None:
    """Wait for nothing, where there is no mistake in the time to wait."""
    wait = case.query.get("wait")
    if isinstance(wait, int | float) and LONGEST_WAIT < wait <= 20:
        case.query["wait"] = LONGEST_WAIT


def _url(queue: str) -> str:
    return f"{BASE}/v2/{APPLICATION}/queues/{queue}"


def _make_queue(place: int) -> None:
    new = {**HEADERS, "If-None-Match": "*"}
    _session.put(_url(QUEUES[place]), json=SETTINGS[place], headers=new, timeout=20)


def _make_message(queue: str) -> str:
    stored = _session.post(f"{_url(queue)}/messages", b"a message", headers=HEADERS, timeout=20).json()
    return str(stored["messages"][0]["id"])


def _new_id() -> str:
    """An id of now, which no message has."""
    return f"{make_random(from_seconds(time.time() + 0.2), _random.getrandbits(RANDOM_BITS)).hex()}-1"


def _page(queue: str) -> Any:
    return _session.get(f"{_url(queue)}/messages", headers=HEADERS, timeout=20).json()
