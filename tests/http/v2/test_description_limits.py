"""``openapi.json`` has the limits, words, codes and routes that the code has: each is compared with the code's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import queuey
from queuey.core.groups.many_claims import MAX_SOURCES
from queuey.core.live.reads import LEAST_RETRY, MOST_RETRY
from queuey.http.answers.problems import CODES, MEDIA_TYPE, TYPE
from queuey.http.v2.groups.moving import MAX_IDS
from queuey.http.v2.groups.settlements import MAX_RECEIPTS
from queuey.http.v2.inputs.items import MAX_HEADERS, MAX_KEY, MAX_TYPE, RESERVED
from queuey.http.v2.live.query import Data, Errors
from queuey.http.v2.messages.appends import MAX_MESSAGES
from queuey.model import fields
from queuey.model.applications import application
from queuey.model.fields import Number
from queuey.model.groups.entries import MAX_REASON
from queuey.model.groups.settings import MAX_GROUP_NAME
from queuey.model.groups.terms import Order, Outcome
from queuey.model.messages.message import MAX_MESSAGE_KEY
from queuey.model.pushes.places import MAX_ATTEMPTS
from queuey.model.pushes.settings import MAX_HEADER_BYTES, MAX_PREFIX, MAX_TEXT, REJECTABLE, Format
from queuey.model.pushes.settings import MAX_HEADERS as PUSH_HEADERS
from queuey.model.pushes.targets import MAX_URL
from queuey.model.queues.choice import MAX_NAMES, MAX_NAMES_IN_QUERY, MAX_PREFIXES
from queuey.model.queues.queue import (
    MAX_NAME,
    MAX_PARTITIONS,
    MAX_PRINCIPAL,
    MAX_PRINCIPALS,
    Consistency,
    Guarantee,
    QueueType,
)
from queuey.model.reading.cursor import MAX_CURSOR, MIN_CURSOR
from queuey.model.reading.start import STARTS
from queuey.model.schedules.cron import MAX_CRON, MAX_ZONE
from queuey.model.schedules.stored import Missed, State
from tests.http.described import codes_of, document, inlined, operations

BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "default")

Bounds = dict[str, Any]


def bounds_of(field: Number) -> Bounds:
    """The bounds of a field, without its default."""
    return {"minimum": field.low, "maximum": field.high}


def with_default(field: Number) -> Bounds:
    """The bounds of a field, and its default."""
    return {**bounds_of(field), "default": field.default}


COUNT: Bounds = {"minimum": 0}
TEXT: Bounds = {"minLength": 1}
MESSAGE_KEY: Bounds = {"minLength": 1, "maxLength": MAX_MESSAGE_KEY}
PARTITION = bounds_of(fields.PARTITIONS)
TTL = bounds_of(fields.TTL)
LIST_LIMIT = with_default(fields.LIMIT)
PAGE_BYTES = with_default(fields.MAX_BYTES)
WAIT = with_default(fields.WAIT)
BATCH_SIZE = {"minItems": 1, "maxItems": MAX_MESSAGES}
RECEIPTS = {"maxItems": MAX_RECEIPTS}

LIMITS: Mapping[str, Bounds] = {
    "parameters/queue/schema": {"minLength": 1, "maxLength": MAX_NAME},
    "parameters/ttl/schema": TTL,
    "parameters/limit/schema": LIST_LIMIT,
    "readMessages/limit/schema/anyOf/0": LIST_LIMIT,
    "parameters/counts/schema": {"default": False},
    "listQueues/prefix/schema": TEXT,
    "listQueues/after/schema": TEXT,
    "appendMessages/partition/schema": PARTITION,
    "appendMessages/key/schema": MESSAGE_KEY,
    "appendMessages/delay/schema": bounds_of(fields.DELAY),
    "appendMessages/close/schema": {"default": False},
    "readMessages/order/schema": {"default": "asc"},
    "readMessages/max_bytes/schema": PAGE_BYTES,
    "readMessages/partition/schema": {"maxItems": MAX_PARTITIONS},
    "readMessages/partition/schema/items": PARTITION,
    "readMessages/wait/schema": WAIT,
    "readMessages/fresh/schema": {"default": False},
    "readMessages/json/schema": {"default": False},
    "followMessages/start/schema": {"default": "newest"},
    "followMessages/partition/schema": {"maxItems": MAX_PARTITIONS},
    "followMessages/partition/schema/items": PARTITION,
    "followMessages/fresh/schema": {"default": False},
    "followMessages/data/schema": {"default": Data.MESSAGE.value},
    "followMessages/max_bytes/schema": with_default(fields.LIVE_BYTES),
    "followMessages/end/schema": {"default": False},
    "followMessages/errors/schema": {"default": Errors.STATUS.value},
    "followQueues/queue/schema": {"maxItems": MAX_NAMES_IN_QUERY},
    "followQueues/queue/schema/items": {"minLength": 1, "maxLength": MAX_NAME},
    "followQueues/prefix/schema": {"maxItems": MAX_PREFIXES},
    "followQueues/prefix/schema/items": {"minLength": 1, "maxLength": MAX_NAME},
    "followQueues/start/schema": {"default": "newest"},
    "followQueues/fresh/schema": {"default": False},
    "followQueues/data/schema": {"default": Data.MESSAGE.value},
    "followQueues/limit/schema": with_default(fields.LIVE_LIMIT),
    "followQueues/max_bytes/schema": with_default(fields.LIVE_BYTES),
    "followQueues/end/schema": {"default": False},
    "followQueues/errors/schema": {"default": Errors.STATUS.value},
    "schemas/ManyFollow/properties/queues/anyOf/0": {"minItems": 1, "maxItems": MAX_NAMES},
    "schemas/ManyFollow/properties/queues/anyOf/0/items": {"minLength": 1, "maxLength": MAX_NAME},
    "schemas/ManyFollow/properties/prefixes/anyOf/0": {"minItems": 1, "maxItems": MAX_PREFIXES},
    "schemas/ManyFollow/properties/prefixes/anyOf/0/items": {"maxLength": MAX_NAME},
    "schemas/ManyFollow/properties/limit/anyOf/0": with_default(fields.LIVE_LIMIT),
    "schemas/ManyFollow/properties/max_bytes/anyOf/0": with_default(fields.LIVE_BYTES),
    "schemas/ManyFollow/properties/data/anyOf/0": {"default": Data.MESSAGE.value},
    "schemas/ManyFollow/properties/end/anyOf/0": {"default": False},
    "schemas/ManyLiveLine/properties/retry": {"minimum": LEAST_RETRY, "maximum": MOST_RETRY},
    "schemas/LiveLine/properties/retry": {"minimum": LEAST_RETRY, "maximum": MOST_RETRY},
    "schemas/ClaimOfMany/properties/from": {"minItems": 1, "maxItems": MAX_SOURCES},
    "schemas/ClaimOfMany/properties/from/items/properties/queue": {"minLength": 1, "maxLength": MAX_NAME},
    "schemas/ClaimOfMany/properties/limit/anyOf/0": with_default(fields.CLAIM_LIMIT),
    "schemas/ClaimOfMany/properties/max_bytes/anyOf/0": PAGE_BYTES,
    "schemas/ClaimOfMany/properties/wait/anyOf/0": WAIT,
    "schemas/ManyRead/properties/queues/anyOf/0": {"minItems": 1, "maxItems": MAX_NAMES},
    "schemas/ManyRead/properties/queues/anyOf/0/items": {"minLength": 1, "maxLength": MAX_NAME},
    "schemas/ManyRead/properties/prefixes/anyOf/0": {"minItems": 1, "maxItems": MAX_PREFIXES},
    "schemas/ManyRead/properties/prefixes/anyOf/0/items": {"maxLength": MAX_NAME},
    "schemas/ManyRead/properties/limit/anyOf/0": LIST_LIMIT,
    "schemas/ManyRead/properties/max_bytes/anyOf/0": PAGE_BYTES,
    "schemas/ManyRead/properties/wait/anyOf/0": WAIT,
    "schemas/Cursor": {"minLength": 1, "maxLength": MAX_CURSOR},
    "schemas/Partition": PARTITION,
    "schemas/Partitions": {"minItems": 1, "maxItems": MAX_PARTITIONS},
    "schemas/Partitions/items": PARTITION,
    "schemas/Ttl": TTL,
    "schemas/Delay": bounds_of(fields.DELAY),
    "schemas/Application/properties/idempotency_ttl": {"minimum": 1},
    "schemas/Application/properties/settle": COUNT,
    "schemas/QueueName": {"minLength": 1, "maxLength": MAX_NAME},
    "schemas/PartitionCount": PARTITION,
    "schemas/Principals": {"maxItems": MAX_PRINCIPALS},
    "schemas/Principals/items": {"maxLength": MAX_PRINCIPAL},
    "schemas/QueueTtl": TTL,
    "schemas/QueueCounts/properties/messages": COUNT,
    "schemas/QueueCounts/properties/bytes": COUNT,
    "schemas/SentType": {"maxLength": MAX_TYPE},
    "schemas/SentKey": MESSAGE_KEY,
    "schemas/Batch/properties/messages": BATCH_SIZE,
    "schemas/OldMessage/properties/content_type": {"maxLength": MAX_TYPE},
    "schemas/OldMessage/properties/ttl": bounds_of(fields.REMAINING_TTL),
    "schemas/Restore/properties/messages": BATCH_SIZE,
    "schemas/Result/anyOf/2/properties/stored": COUNT,
    "schemas/Result/anyOf/2/properties/failed": COUNT,
    "schemas/Result/anyOf/2/properties/untold": {"minimum": 1},
    "schemas/GroupName": {"minLength": 1, "maxLength": MAX_GROUP_NAME},
    "schemas/GroupMembers/properties/dead_letter/anyOf/0": {"minLength": 1, "maxLength": MAX_NAME},
    "schemas/GroupLease": bounds_of(fields.LEASE),
    "schemas/MaxDeliveries": bounds_of(fields.MAX_DELIVERIES),
    "schemas/MaxInFlight": bounds_of(fields.MAX_IN_FLIGHT),
    **{
        f"schemas/GroupWithLag/properties/lag/items/properties/{name}": COUNT
        for name in ("in_flight", "waiting", "set_aside", "behind/properties/count", "oldest_age")
    },
    "schemas/Claim/properties/limit/anyOf/0": with_default(fields.CLAIM_LIMIT),
    "schemas/Claim/properties/wait/anyOf/0": WAIT,
    "schemas/Claim/properties/max_bytes/anyOf/0": PAGE_BYTES,
    "schemas/Given/properties/deliveries": {"minimum": 1},
    "schemas/Settlement/properties/ack": RECEIPTS,
    "schemas/Settlement/properties/retry": RECEIPTS,
    "schemas/Settlement/properties/retry/items/anyOf/1/properties/delay/anyOf/0": with_default(fields.DELAY),
    "schemas/Settlement/properties/extend": RECEIPTS,
    "schemas/Settlement/properties/reject": RECEIPTS,
    "schemas/Settlement/properties/reject/items/anyOf/1/properties/reason/anyOf/0": {"maxLength": MAX_REASON},
    "schemas/PushUrl": {"minLength": 1, "maxLength": MAX_URL},
    "schemas/PushTimeout": bounds_of(fields.PUSH_TIMEOUT),
    "schemas/PushParallel": bounds_of(fields.PUSH_PARALLEL),
    "schemas/PushRate": bounds_of(fields.PUSH_RATE),
    "schemas/PushRejectOn": {"maxItems": len(REJECTABLE)},
    "schemas/PushReplies": {"minLength": 1, "maxLength": MAX_NAME},
    "schemas/PushDeadLetter": {"minLength": 1, "maxLength": MAX_NAME},
    "schemas/ScheduleCron": {"minLength": len("* * * * *"), "maxLength": MAX_CRON},
    "schemas/ScheduleTimezone": {"minLength": 1, "maxLength": MAX_ZONE},
    "schemas/ScheduleSettings/properties/timezone": {"default": "UTC"},
    "schemas/ScheduleSettings/properties/missed": {"default": Missed.SKIP.value},
    "schemas/Schedule/properties/failures": COUNT,
    "schemas/Push/properties/failures": COUNT,
    "schemas/PushAttempt/properties/deliveries": {"minimum": 1},
    "schemas/PushAttempt/properties/milliseconds": COUNT,
    "schemas/PushAttempts/properties/attempts": {"maxItems": MAX_ATTEMPTS},
    "schemas/PushTest/properties/milliseconds": COUNT,
    "schemas/Redrive/properties/ids": {"minItems": 1, "maxItems": MAX_IDS},
    "schemas/Redriven/properties/left/additionalProperties": {"minimum": 1},
    "schemas/Redriven/properties/moved": COUNT,
    "schemas/Problem/properties/status": {"minimum": 400, "maximum": 599},
    "schemas/Problem/properties/line": {"minimum": 1},
}
"""Each bound and default of the document, by its place there, or by the operation and the parameter."""

LENGTHS: Mapping[str, tuple[int, int, str]] = {
    "schemas/SentCursor": (MIN_CURSOR, MAX_CURSOR, "a"),
    "schemas/Line/properties/idempotency_key": (1, MAX_KEY, "a"),
    "parameters/application/schema": (1, application.MAX_NAME, "a"),
    "parameters/group/schema": (1, MAX_GROUP_NAME, "a"),
    "parameters/push/schema": (1, MAX_GROUP_NAME, "a"),
    "parameters/schedule/schema": (1, MAX_GROUP_NAME, "a"),
    "schemas/PushEventType": (1, MAX_TEXT, "a"),
    "schemas/PushHeaderPrefix": (1, MAX_PREFIX - 1, "a-"),
    "parameters/Idempotency-Key/schema": (1, MAX_KEY, '"a"'),
}
"""Patterns that bound the length of a text: the least, the most, and a text whose letter is repeated."""


def words(kind: Any) -> list[str]:
    """The words of an enumeration as v2 spells them."""
    return [member.value.replace("_", "-") for member in kind]


OUTCOMES = [outcome.value for outcome in Outcome if outcome not in (Outcome.MOVING, Outcome.LATER)]
ENUMS: Mapping[str, list[Any]] = {
    "schemas/QueueType": words(QueueType),
    "schemas/Consistency": words(Consistency),
    "schemas/SentConsistency/anyOf/0": words(Consistency),
    "schemas/QueueGuarantee": words(Guarantee),
    "schemas/GroupOrder": words(Order),
    "schemas/GroupGuarantee": words(Guarantee),
    "schemas/ScheduleMissed": [member.value for member in Missed],
    "schemas/ScheduleState": [member.value for member in State],
    "schemas/PushFormat": [member.value for member in Format],
    "schemas/PushRejectOn/items": list(REJECTABLE),
    "schemas/Outcome/properties/outcome": OUTCOMES,
    "schemas/Seek/properties/to/anyOf/0": list(STARTS),
    "schemas/Problem/properties/code": list(CODES),
}
"""Words that the code has in an enumeration, in its order."""

NUMBERS: Mapping[str, list[str]] = {
    "schemas/SentHeaders": [f"at most {MAX_HEADERS} bytes", f"begin with `{RESERVED}`"],
    "schemas/Headers": [f"at most {MAX_HEADERS} bytes", f"begin with `{RESERVED}`"],
    "parameters/Queuey-Headers": [f"at most {MAX_HEADERS} bytes", f"begins with `{RESERVED}`"],
    "parameters/Idempotency-Key": [f"1 to {MAX_KEY} characters"],
    "schemas/PushHeaders": [f"at most {PUSH_HEADERS}", f"of {MAX_HEADER_BYTES} bytes"],
    "listAttempts": [f"The last {MAX_ATTEMPTS}"],
    "settleMessages": [f"at most {MAX_RECEIPTS}."],
    "schemas/ClaimOfMany/properties/from/items/properties/settle/anyOf/0": [f"at most {MAX_RECEIPTS} receipts"],
}
"""Limits in descriptions."""

REFUSED_WITH: Mapping[str, set[str]] = {
    "401": {"WWW-Authenticate"},
    "405": {"Allow"},
    "416": {"Content-Range"},
    "429": {"Retry-After"},
    "503": {"Retry-After"},
}
"""Header fields that each refusal of a status has."""

SOMETIMES: Mapping[str, set[str]] = {
    "key-in-use": {"Retry-After"},
    "unsupported-media-type": {"Accept", "Accept-Patch"},
    "content-encoding": {"Accept-Encoding"},
}
"""Header fields, one or the other, that a refusal with a code has."""

ALWAYS = {"X-Request-Id", "Cache-Control", "RateLimit", "RateLimit-Policy"}


def bounds(value: Any, place: str) -> Iterator[tuple[str, Bounds]]:
    """Give everything that has bounds, with its place; what has a name stands under that."""
    if isinstance(value, list):
        for at, item in enumerate(value):
            name = item.get("name", at) if isinstance(item, dict) else at
            yield from bounds(item, f"{place}/{name}")
    elif isinstance(value, dict):
        if found := {word: value[word] for word in BOUNDS if word in value}:
            yield place, found
        for name, member in value.items():
            if name not in ("example", "examples"):
                yield from bounds(member, f"{place}/{name}")


class CodeTests(SynchronousTestCase):
    """What the file says twice with the code."""

    def setUp(self) -> None:
        self.written, self.whole = document(), inlined()

    def at(self, place: str) -> Any:
        """What stands at a place of the components."""
        found = self.written["components"]
        for part in place.split("/"):
            found = found[int(part)] if isinstance(found, list) else found[part]
        return found

    def test_version(self) -> None:
        self.assertEqual(self.written["info"]["version"], queuey.__version__)

    def test_limits(self) -> None:
        """Every bound and default is in the table, and has the code's number."""
        found: dict[str, Bounds] = {}
        for kind in ("schemas", "parameters"):
            found.update(bounds(self.written["components"][kind], kind))
        for _, _, operation in operations(self.written):
            found.update(bounds(operation["parameters"], operation["operationId"]))
        self.maxDiff = None
        self.assertEqual(found, LIMITS)

    def test_lengths(self) -> None:
        """A pattern takes the least and the most, and neither less nor more."""
        for place, (least, most, text) in LENGTHS.items():
            pattern = self.at(place)["pattern"]
            for length in (least - 1, least, most, most + 1):
                matches = re.search(pattern, text.replace("a", "a" * length)) is not None
                self.assertEqual(matches, least <= length <= most, f"{place}: {length}")

    def test_partition_of_an_id(self) -> None:
        """An id ends with the number of a partition."""
        for name in ("MessageId", "SentId"):
            digits = "1f0cac17d82a6730b16c3a8f2b9d4e01"
            taken = [n for n in range(1100) if re.search(self.at(f"schemas/{name}")["pattern"], f"{digits}-{n}")]
            self.assertEqual(taken, list(range(1, MAX_PARTITIONS + 1)))

    def test_reserved(self) -> None:
        """Names of a sender's own headers do not begin as Queuey's own do, in any case of letters."""
        pattern = self.at("schemas/SentHeaders/propertyNames")["pattern"]
        for name, taken in ((RESERVED, False), (RESERVED.upper() + "x", False), (RESERVED[:-1], True), ("", True)):
            self.assertEqual(re.search(pattern, name) is not None, taken, name)

    def test_words(self) -> None:
        for place, expected in ENUMS.items():
            self.assertEqual(self.at(place)["enum"], expected, place)
        self.assertEqual(self.whole["components"]["schemas"]["Outcome"]["properties"]["outcome"]["enum"], OUTCOMES)

    def test_numbers_in_texts(self) -> None:
        described = {operation["operationId"]: operation for _, _, operation in operations(self.written)}
        for place, expected in NUMBERS.items():
            text = (described[place] if place in described else self.at(place))["description"]
            for words in expected:
                self.assertIn(words, text, place)

    def test_defaults_in_the_example(self) -> None:
        """The example of a group has the settings of one that says no more than it has to."""
        for _, _, operation in operations(self.whole):
            if operation["operationId"] == "getGroup":
                (content,) = operation["responses"]["200"]["content"].values()
                group = content["example"]
        self.assertEqual((group["lease"], group["max_in_flight"]), (fields.LEASE.default, fields.MAX_IN_FLIGHT.default))

    def test_problem(self) -> None:
        """The example of a problem is what the code makes of its code."""
        (problem,) = self.at("schemas/Problem")["examples"]
        code = CODES[problem["code"]]
        expected = {
            "type": TYPE + problem["code"],
            "title": code.title,
            "status": code.status,
            "retryable": code.retryable,
        }
        self.assertEqual({name: problem[name] for name in expected}, expected)

    def test_codes(self) -> None:
        """Each code stands where it can be met, with its status, its title, and the header fields that come with it."""
        met = set()
        for method, path, operation in operations(self.whole):
            self.assertEqual(list(operation["responses"]), sorted(operation["responses"]))
            for status, response in operation["responses"].items():
                if status < "400":
                    continue
                codes, place = codes_of(response), f"{method} {path} {status}"
                self.assertEqual(list(response["content"]), [MEDIA_TYPE], place)
                self.assertEqual({CODES[code].status for code in codes}, {int(status)}, place)
                self.assertEqual(codes, [code for code in CODES if code in codes], place)
                titles = "; ".join(f"`{code}`: {CODES[code].title}" for code in codes)
                self.assertEqual(response["description"], titles, place)
                rest = set(response["headers"]) - ALWAYS - REFUSED_WITH.get(status, set())
                for code in codes:
                    if code in SOMETIMES:
                        self.assertEqual(len(rest & SOMETIMES[code]), 1, place)
                        rest -= SOMETIMES[code]
                self.assertEqual(rest, set(), place)
                self.assertLessEqual(REFUSED_WITH.get(status, set()), set(response["headers"]), place)
                met.update(codes)
        self.assertEqual(met, set(CODES))
