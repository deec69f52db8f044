"""What schemathesis has to know beside the description: a module of hooks, which it imports.

Most names and ids that it draws are of nothing. So queues that it asks for are there, as a rule, and so are groups and
messages; receipts are such, and so are places in the log.
``QUEUEY_ASKED`` has the base URL, and ``QUEUEY_ENDPOINT`` the URL of what takes messages of pushes.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from random import Random
from typing import Any, Final

import requests
import schemathesis
from schemathesis import Case, DeserializationContext, HookContext, Response, SerializationContext

from queuey.http.v2.messages.appends import BATCH
from queuey.model.timeid import RANDOM_BITS, from_seconds, make_random
from tests.live.clients import HEADERS

LINES: Final = "application/x-ndjson"
APPLICATION: Final = "queuey"
QUEUES: Final = ("narrow", "wide queue ü")
CLOSED: Final = "closed"
GROUP: Final = "workers"
PUSH: Final = "sender"
SCHEDULE: Final = "nightly"
YEARLY: Final[dict[str, Any]] = {"cron": "0 0 1 1 *", "message": {"body": "x"}}
SETTINGS: Final[Sequence[dict[str, int]]] = ({}, {"partitions": 200})
LONGEST_WAIT: Final = 0.01
HEADER_FIELDS: Final = ("%7B%22trace%22%3A%227c2d%22%7D", "{}", "%7b%7D")
"""Values of Queuey-Headers that are right, of which a schema does not say what makes them so."""

CONDITIONAL: Final = ("If-Match", "If-None-Match", "If-Range", "Range")
CONDITIONS: Final[Sequence[dict[str, str]]] = (
    {},
    {"If-Match": "*"},
    {"If-None-Match": "*"},
    {"If-None-Match": '"a", W/"b"'},
    {"Range": "bytes=2-"},
    {"Range": "bytes=0-1,4-5"},
    {"Range": "bytes=9-"},
)
"""What makes each of the answers; hardly any does that is drawn by lot."""

FOR_ONE: Final = ("ttl", "partition", "key", "delay", "Queuey-Headers")
"""Options that a message by itself may have, and batches and streams may not."""

BASE: Final = os.environ.get("QUEUEY_ASKED", "")
ENDPOINT: Final = os.environ.get("QUEUEY_ENDPOINT", "")
_random: Final = Random(7)
_session: Final = requests.Session()
_turns: Final[defaultdict[str, Iterator[int]]] = defaultdict(count)


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
    """Treat every member of an answer that is not described as an error; clients are asked to ignore them."""
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
    _end(case)
    _make_sense(case)
    names = case.path_parameters
    # One that has the name of a real queue was asked before, and is asked once more with other credentials.
    if "application" not in names or (names.get("queue") not in QUEUES and not _mostly(case, "place")):
        return
    names["application"] = APPLICATION
    if "queue" not in names:
        _choose(case)
    if "queue" in names:
        place = _random.randrange(len(QUEUES))
        names["queue"] = QUEUES[place]
        _make_queue(place)
    if case.operation.path.endswith("/{application}/claims") and isinstance(case.body, dict) and _is_sensible(case):
        _make_queue(0)
        _make_group(QUEUES[0], anew=False)
        case.body["from"] = [{"queue": QUEUES[0], "group": GROUP}]
    if "group" in names:
        names["group"] = GROUP
        _make_group(names["queue"], anew=case.method == "PUT" and _random.random() < 0.3)
    if "push" in names:
        names["push"] = PUSH
        _make_push(names["queue"], anew=case.method == "PUT" and _random.random() < 0.3)
        if "secret" in names:
            names["secret"] = _secret(names["queue"])
        elif case.operation.path.endswith("/secrets"):
            _make_push(names["queue"], anew=True, other=True)
        if isinstance(case.body, dict) and _is_sensible(case):
            _fill_in_push(case.body, names["queue"])
    if "schedule" in names:
        names["schedule"] = SCHEDULE
        _make_schedule(names["queue"], anew=case.method == "PUT" and _random.random() < 0.3)
        if isinstance(case.body, dict) and _is_sensible(case):
            _fill_in_schedule(case.body)
    if "id" in names:
        new = case.method == "PUT" and next(_turns[f"new {case.operation.label}"]) % 3 == 0
        names["id"] = _new_id() if new else _make_message(names["queue"])
    if "queue" in names and "after" in case.query:
        case.query["after"] = _page(names["queue"])["next"]
    if "group" in names and isinstance(case.body, dict) and _is_sensible(case):
        _fill_in(case.body, names["queue"])
    if case.operation.path.endswith("/queues/{queue}/events") and _is_sensible(case):
        case.headers.pop("Last-Event-ID", None)
        if next(_turns[case.operation.label]) % 3 == 1:
            names["queue"] = CLOSED
            case.query = {}
            case.headers["Last-Event-ID"] = _read_to_its_end()["queue"]


def _choose(case: Case[Any]) -> None:
    """Let a request that is meant to be right choose queues that there are: as a rule open ones, or one that is closed,
    and read to its end."""
    if not _is_sensible(case):
        return
    queue, body = QUEUES[0], case.body
    _make_queue(0)
    if case.operation.path.endswith("/claims") and isinstance(body, dict):
        _make_group(queue, anew=False)
        case.body = {**body, "from": [{"queue": queue, "group": GROUP}]}
    elif case.operation.path.endswith("/events"):
        case.headers.pop("Last-Event-ID", None)
        closed = next(_turns[case.operation.label]) % 3 == 1
        if closed:
            case.headers["Last-Event-ID"] = _read_to_its_end()["many"]
        name = CLOSED if closed else queue
        if case.method == "GET":
            case.query = {"queue": name} if closed else {**case.query, "queue": name}
            for left_out in ("prefix", "after"):
                case.query.pop(left_out, None)
        else:
            case.body = {"queues": [name]} if closed else {"queues": [name], "end": True}


def _read_to_its_end() -> dict[str, str]:
    """Make a closed queue; return the place at its end, as that of one queue and as that of many."""
    _session.put(_url(CLOSED), json={}, headers={**HEADERS, "If-None-Match": "*"}, timeout=20)
    merge = {**HEADERS, "Content-Type": "application/merge-patch+json"}
    _session.patch(_url(CLOSED), b'{"closed": true}', headers=merge, timeout=20)
    reads = f"{BASE}/v2/{APPLICATION}/reads"
    many = _session.post(reads, json={"queues": [CLOSED]}, headers=HEADERS, timeout=20).json()
    return {"queue": str(_page(CLOSED)["next"]), "many": str(many["next"])}


def _fill_in(body: dict[str, Any], queue: str) -> None:
    """Put what there is in the place of what was drawn for a group, where that has to be something in particular."""
    if isinstance(body.get("dead_letter"), str):
        body["dead_letter"] = next(name for name in QUEUES if name != queue)
    if "to" in body:
        body["to"] = _random.choice(["oldest", "newest", "0", _page(queue)["next"]])
    for action in ("ack", "retry", "extend", "reject"):
        if body.get(action):
            body[action] = [_receipt(queue)]
    if "ids" in body:
        body["ids"] = [_make_message(queue)]
    for name in ("partitions", "after"):
        body.pop(name, None)


def _fill_in_schedule(body: dict[str, Any]) -> None:
    """The same for a schedule: times that there are, and a message that the queue takes."""
    body["cron"], body["message"] = YEARLY["cron"], YEARLY["message"]
    for name in ("timezone", "name", "created", "version"):
        body.pop(name, None)


def _fill_in_push(body: dict[str, Any], queue: str) -> None:
    """The same for a push: its endpoint, other queues, and header fields that it may have."""
    if body.get("url") is not None:
        body["url"] = ENDPOINT
    for name in ("dead_letter", "replies"):
        if isinstance(body.get(name), str):
            body[name] = next(name for name in QUEUES if name != queue)
    if body.get("headers"):
        body["headers"] = {"X-Test": "a"}
    for name in ("header_prefix", "event_type", "start", "name", "created", "version"):
        body.pop(name, None)


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Make a queue again that a request has deleted, closed or given to others: it is needed open, with its own key."""
    queue = case.path_parameters.get("queue")
    if queue not in QUEUES:
        return
    if _closes(case):
        _session.delete(_url(queue), headers=HEADERS, timeout=20)
        _make_queue(QUEUES.index(queue))
    elif case.operation.path.endswith("/{queue}") and response.status_code < 300 and case.method in ("PUT", "PATCH"):
        if response.json()["principals"]:
            _session.delete(_url(queue), headers=HEADERS, timeout=20)
            _make_queue(QUEUES.index(queue))
    elif case.method == "DELETE":
        _make_queue(QUEUES.index(queue))


def _make_sense(case: Case[Any]) -> None:
    """Let most of what may be right be so."""
    if not _is_sensible(case) or not _mostly(case, "sense"):
        return
    if "Queuey-Headers" in case.headers:
        case.headers["Queuey-Headers"] = _random.choice(HEADER_FIELDS)
    _set_conditions(case)
    left_out = list(FOR_ONE) if case.media_type in (BATCH, LINES) else []
    left_out += ["Idempotency-Key", "close"] if case.media_type == LINES else ["results"]
    for name in left_out:
        case.query.pop(name, None)
        case.headers.pop(name, None)


def _mostly(case: Case[Any], what: str) -> bool:
    """Whether to do something, nine times of ten for each operation: no lot, so that operations do not depend on each
    other."""
    return next(_turns[f"{what} {case.operation.label}"]) % 10 < 9


def _is_sensible(case: Case[Any]) -> bool:
    """Whether a request is meant to be right."""
    return case.meta is not None and not case.meta.generation.mode.is_negative


def _set_conditions(case: Case[Any]) -> None:
    """Put others in the place of the conditions that were drawn, as a rule: each has its turn."""
    taken = {parameter.name for parameter in case.operation.headers}
    fit = [conditions for conditions in CONDITIONS if taken.issuperset(conditions)]
    if not taken.isdisjoint(CONDITIONAL) and _mostly(case, "conditions"):
        for name in CONDITIONAL:
            case.headers.pop(name, None)
        case.headers.update(fit[next(_turns[case.operation.label]) % len(fit)])


def _shorten(case: Case[Any]) -> None:
    """Wait for nothing, where there is no mistake in the time to wait."""
    for given in (case.query, case.body):
        if isinstance(given, dict):
            wait = given.get("wait")
            if isinstance(wait, int | float) and LONGEST_WAIT < wait <= 20:
                given["wait"] = LONGEST_WAIT


def _end(case: Case[Any]) -> None:
    """End a live read where the log ends, and ask it for lines: a schema describes those, and no events."""
    if case.operation.path.endswith("/events"):
        if case.method == "POST":
            if isinstance(case.body, dict) and not case.body.get("end"):
                case.body["end"] = True
        elif case.query.get("end", False) in (False, "false"):
            case.query["end"] = "true"
        if _is_sensible(case):
            case.query.pop("data", None)
            case.headers["Accept"] = LINES


def _closes(case: Case[Any]) -> bool:
    """Whether a request closes a queue, if it succeeds."""
    closed = isinstance(case.body, dict) and case.body.get("closed") is True
    return closed or case.query.get("close") in (True, "true")


def _url(queue: str) -> str:
    return f"{BASE}/v2/{APPLICATION}/queues/{queue}"


def _make_queue(place: int) -> None:
    new = {**HEADERS, "If-None-Match": "*"}
    _session.put(_url(QUEUES[place]), json=SETTINGS[place], headers=new, timeout=20)


def _make_group(queue: str, *, anew: bool) -> None:
    """Make the group, unless it is there; or end it, so that it is new."""
    group = f"{_url(queue)}/groups/{GROUP}"
    if anew:
        _session.delete(group, headers=HEADERS, timeout=20)
    else:
        _session.put(group, headers={**HEADERS, "If-None-Match": "*"}, timeout=20)


def _make_push(queue: str, *, anew: bool, other: bool = False) -> None:
    """Make the push, unless it is there; or end it, so that it is new.

    :param other: whether another one takes its place.
    """
    push = f"{_url(queue)}/pushes/{PUSH}"
    if anew:
        _session.delete(push, headers=HEADERS, timeout=20)
    if not anew or other:
        _session.put(push, json={"url": ENDPOINT}, headers={**HEADERS, "If-None-Match": "*"}, timeout=20)


def _make_schedule(queue: str, *, anew: bool) -> None:
    """Make the schedule, unless it is there; or end it, so that it is new."""
    schedule = f"{_url(queue)}/schedules/{SCHEDULE}"
    if anew:
        _session.delete(schedule, headers=HEADERS, timeout=20)
    else:
        _session.put(schedule, json=YEARLY, headers={**HEADERS, "If-None-Match": "*"}, timeout=20)


def _secret(queue: str) -> str:
    """The id of a secret that is not the only one."""
    _make_push(queue, anew=True, other=True)
    secrets = f"{_url(queue)}/pushes/{PUSH}/secrets"
    return str(_session.post(secrets, headers=HEADERS, timeout=20).json()["id"])


def _receipt(queue: str) -> str:
    """The receipt of a message that is claimed now."""
    _make_message(queue)
    claims = f"{_url(queue)}/groups/{GROUP}/claims"
    (message,) = _session.post(claims, json={"limit": 1}, headers=HEADERS, timeout=20).json()["messages"]
    return str(message["receipt"])


def _make_message(queue: str) -> str:
    stored = _session.post(f"{_url(queue)}/messages", b"a message", headers=HEADERS, timeout=20).json()
    return str(stored["messages"][0]["id"])


def _new_id() -> str:
    """An id of now, which no message has."""
    return f"{make_random(from_seconds(time.time() + 0.4), _random.getrandbits(RANDOM_BITS)).hex()}-1"


def _page(queue: str) -> Any:
    return _session.get(f"{_url(queue)}/messages", headers=HEADERS, timeout=20).json()
