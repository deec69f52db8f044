"""What schemathesis has to know beside the description: a module of hooks, which it imports.

Most names and ids that it draws are of nothing. So queues that it asks for are there, as a rule, and messages are.
``QUEUEY_ASKED`` has the base URL.
"""

from __future__ import annotations

import json
import os
from random import Random
from typing import Any, Final

import requests
import schemathesis
from schemathesis import Case, DeserializationContext, HookContext, Response, SerializationContext

from tests.live.clients import HEADERS

LINES: Final = "application/x-ndjson"
APPLICATION: Final = "queuey"
QUEUES: Final = ("narrow", "wide queue ü")
SETTINGS: Final = ({}, {"partitions": 200})
LONGEST_WAIT: Final = 0.01

BASE: Final = os.environ.get("QUEUEY_ASKED", "")
_random: Final = Random(7)
_session: Final = requests.Session()


@schemathesis.serializer(LINES)
def write_lines(context: SerializationContext, value: Any) -> dict[str, Any]:
    """The body that lines are."""
    lines = value if isinstance(value, list) else [value]
    return {"data": b"".join(json.dumps(line).encode("ascii") + b"\n" for line in lines)}


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
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Have a request be about something, unless it is about what cannot be."""
    _shorten(case)
    names = case.path_parameters
    if "application" not in names or _random.random() < 0.1:
        return
    names["application"] = APPLICATION
    if "queue" in names:
        place = _random.randrange(len(QUEUES))
        names["queue"] = QUEUES[place]
        _make_queue(place)
    if "id" in names:
        names["id"] = _make_message(names["queue"])
    if "queue" in names and "after" in case.query:
        case.query["after"] = _page(names["queue"])["next"]


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Make a queue anew that a request has deleted: it is asked for once more, with false credentials."""
    if case.method == "DELETE" and case.path_parameters.get("queue") in QUEUES:
        _make_queue(QUEUES.index(case.path_parameters["queue"]))


def _shorten(case: Case) -> None:
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


def _page(queue: str) -> Any:
    return _session.get(f"{_url(queue)}/messages", headers=HEADERS, timeout=20).json()
