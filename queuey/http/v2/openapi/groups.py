"""The paths of v2 that are about consumer groups."""

from __future__ import annotations

from typing import Final

from queuey.http.v2.claims import DEFAULT_LIMIT
from queuey.http.v2.openapi.parts import Object, answer, media, operation, parameter, schema
from queuey.http.v2.openapi.schemas import EXPIRES, ID, LAG, LEASED_UNTIL, RECEIPT, TIME
from queuey.http.v2.openapi.shared import ON_QUEUE
from queuey.http.v2.parameters import JSON
from queuey.http.v2.queues import PATCH
from queuey.http.v2.settlements import MOST_RECEIPTS
from queuey.model.group_settings import DEFAULT_LEASE
from queuey.model.groups.entries import DEFAULT_IN_FLIGHT

_GROUP: Final = (*ON_QUEUE, "no-such-group")
_BODY: Final = ("invalid-body", "unsupported-media-type", "storage-full")
_CHANGE: Final = ("conflict", "precondition-failed")
_PROMISE: Final = "not-promised"

_EXAMPLE: Final = {
    "name": "billing",
    "start": "oldest",
    "lease": DEFAULT_LEASE,
    "max_deliveries": 5,
    "dead_letter": "failed-orders",
    "order": "none",
    "guarantee": "at-least-once",
    "max_in_flight": DEFAULT_IN_FLIGHT,
    "created": TIME,
    "version": "7",
}
_SHOWN: Final = {JSON: media(schema("Group"), _EXAMPLE)}
_GIVEN: Final = {
    "id": ID,
    "partition": 1,
    "timestamp": TIME,
    "expires": EXPIRES,
    "content_type": "text/plain",
    "headers": {},
    "body": "two apples",
    "receipt": RECEIPT,
    "deliveries": 1,
    "lease": DEFAULT_LEASE,
    "lease_until": LEASED_UNTIL,
}
_OUTCOMES: Final = {"outcomes": [{"receipt": RECEIPT, "outcome": "acked"}]}


def paths() -> Object:
    """The paths, and what can be done at each."""
    queue = [parameter("application"), parameter("queue")]
    group = [*queue, parameter("group")]
    path = "/v2/{application}/queues/{queue}/groups"
    return {
        path: {"parameters": queue, "get": _list()},
        f"{path}/{{group}}": {
            "parameters": group,
            "get": _get(),
            "put": _put(),
            "patch": _patch(),
            "delete": _delete(),
        },
        f"{path}/{{group}}/claims": {"parameters": group, "post": _claim()},
        f"{path}/{{group}}/settlements": {"parameters": group, "post": _settle()},
        f"{path}/{{group}}/seek": {"parameters": group, "post": _seek()},
        f"{path}/{{group}}/redrive": {"parameters": group, "post": _redrive()},
    }


def _list() -> Object:
    return operation(
        "listGroups",
        "groups",
        "List the groups of a queue",
        "All of them, by name. For the application and the queue's principals.",
        answers={"200": answer("The groups.", {JSON: media(schema("Groups"), {"groups": [_EXAMPLE]})})},
        codes=ON_QUEUE,
    )


def _get() -> Object:
    return operation(
        "getGroup",
        "groups",
        "Get a group, and how far it has come",
        "For the application and the queue's principals. The `ETag` is of the settings alone.",
        answers={
            "200": answer("The group.", {JSON: media(schema("GroupWithLag"), {**_EXAMPLE, "lag": [LAG]})}, ["ETag"])
        },
        codes=_GROUP,
    )


def _put() -> Object:
    return operation(
        "putGroup",
        "groups",
        "Create or replace a group",
        "Members that are left out go to their defaults. An equal PUT changes nothing. The group stays where it is: "
        "`start` counts when it is made.",
        parameters=(parameter("If-Match"), parameter("If-None-Match")),
        body={JSON: media(schema("GroupSettings"))},
        answers={
            "200": answer("The group, which was there.", _SHOWN, ["ETag"]),
            "201": answer("The group, which is new.", _SHOWN, ["ETag", "Location"]),
        },
        codes=(*ON_QUEUE, *_BODY, *_CHANGE, _PROMISE),
    )


def _patch() -> Object:
    return operation(
        "patchGroup",
        "groups",
        "Change a group",
        "Members that are left out stay as they are; null brings one to its default.",
        parameters=(parameter("If-Match"), parameter("If-None-Match")),
        body={PATCH: media(schema("GroupPatch"))},
        answers={"200": answer("The group as it is now.", _SHOWN, ["ETag"])},
        codes=(*_GROUP, *_BODY, *_CHANGE, _PROMISE),
        told="Accept-Patch",
    )


def _delete() -> Object:
    return operation(
        "deleteGroup",
        "groups",
        "Delete a group",
        "No receipt of it holds any more. The messages stay, also those that it had moved to a dead-letter queue.",
        parameters=(parameter("If-Match"), parameter("If-None-Match")),
        answers={"204": answer("It is gone.")},
        codes=(*_GROUP, *_CHANGE, "storage-full"),
    )


def _claim() -> Object:
    return operation(
        "claimMessages",
        "groups",
        "Claim messages",
        "Takes messages under a lease, oldest first: until that ends nobody else of the group is given them. With the "
        "application's key it makes a group that is not there. With an `Idempotency-Key` a repeat gives the same "
        "messages and receipts while their lease lives, and another claim is `key-reused`; a group that is given each "
        "message at most once takes none. What it settles is settled whatever it is given, and the answer has the "
        "outcomes.",
        parameters=(parameter("Idempotency-Key"),),
        body={JSON: media(schema("Claim"), {"limit": DEFAULT_LIMIT, "wait": 0})},
        answers={"200": answer("What is given.", {JSON: media(schema("Claimed"), {"messages": [_GIVEN]})})},
        codes=(*_GROUP, *_BODY, _PROMISE, "key-reused"),
    )


def _settle() -> Object:
    return operation(
        "settleMessages",
        "groups",
        "Settle messages",
        f"Acks, gives back, extends or rejects messages by their receipts, at most {MOST_RECEIPTS}. What becomes of "
        "each is answered in the order asked. Any settlement may be repeated.",
        body={JSON: media(schema("Settlement"), {"ack": [RECEIPT]})},
        answers={"200": answer("What became of each.", {JSON: media(schema("Settled"), _OUTCOMES)})},
        codes=(*_GROUP, *_BODY, "stale-receipts"),
    )


def _seek() -> Object:
    return operation(
        "seekGroup",
        "groups",
        "Move a group to another place",
        "Backwards too. No receipt of before holds any more. `newest` is refused with an `Idempotency-Key`.",
        body={JSON: media(schema("Seek"), {"to": "oldest"})},
        answers={"204": answer("It goes on from there.")},
        codes=(*_GROUP, *_BODY, "cursor-mismatch", "queue-replaced"),
    )


def _redrive() -> Object:
    return operation(
        "redriveGroup",
        "groups",
        "Take dead letters back",
        "Those that the group has given up, in its dead-letter queue or set aside, can be claimed again, as if they "
        "had never been given. Ask again with `after` set to `next` for the rest. A repeat moves nothing twice.",
        body={JSON: media(schema("Redrive"), {"all": True})},
        answers={"200": answer("How many.", {JSON: media(schema("Redriven"), {"moved": 2, "next": None})})},
        codes=(*_GROUP, *_BODY),
    )
