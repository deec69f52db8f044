"""What goes over the wire in v2, as JSON Schema; the limits in it are those that the code holds."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from queuey.http.problems import CODES, TYPE
from queuey.http.v2.appends import MOST_MESSAGES
from queuey.http.v2.claims import DEFAULT_LIMIT as CLAIMED
from queuey.http.v2.items import MAX_HEADERS, MAX_KEY, MAX_TYPE, RESERVED
from queuey.http.v2.moving import MOST_IDS
from queuey.http.v2.openapi import patterns
from queuey.http.v2.openapi.parts import Object, schema
from queuey.http.v2.openapi.patterns import TIME_OR_SECONDS
from queuey.http.v2.pages import DEFAULT_BYTES, MAX_BYTES, MAX_LIMIT, MAX_WAIT
from queuey.http.v2.settlements import MOST_RECEIPTS
from queuey.model.cursor import MAX_CURSOR
from queuey.model.group_settings import MAX_DELIVERIES, MAX_GROUP_NAME, MAX_LEASE, Start
from queuey.model.groups.entries import MAX_IN_FLIGHT, MAX_REASON
from queuey.model.groups.terms import Order, Outcome
from queuey.model.message import MAX_DELAY, MAX_TTL
from queuey.model.queue import (
    MAX_NAME,
    MAX_PARTITIONS,
    MAX_PRINCIPAL,
    MAX_PRINCIPALS,
    Consistency,
    Guarantee,
    QueueType,
)

ID: Final = "1f0cac17d82a6730b16c3a8f2b9d4e01-1"
TIME: Final = "2025-11-26T12:14:43.1698736Z"
EXPIRES: Final = "2025-11-29T12:14:43.1698735Z"
LEASED_UNTIL: Final = "2025-11-26T12:15:13.5000000Z"
RECEIPT: Final = "AVqS87DNbkHwobIAFj4MfwFsB7HzotlOWAEfDKwX2CpnMLFsOo8rnU4BAAAAAAAAEmdCw9Od0LY67R3KB8tFarTw"
CURSOR: Final = "AQAfDKwX2CpnMLFsOo8rnU4BAQEBX-djpg"

OUTCOMES: Final = [outcome.value for outcome in Outcome if outcome not in (Outcome.MOVING, Outcome.LATER)]
LAG: Final = {
    "partition": 1,
    "settled_through": CURSOR,
    "in_flight": 1,
    "waiting": 0,
    "set_aside": 0,
    "behind": {"count": 42, "exact": True},
    "oldest": ID,
    "oldest_age": 8.5,
}
_TOKEN: Final = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = rf'{_TOKEN}=({_TOKEN}|"([ !#-\[\]-~]|\\[ -~])*")'
# Spaces between two semicolons can be shared in one way only: whoever validates with it is not kept busy for ever.
_TYPE_PATTERN: Final = rf"^{_TOKEN}/{_TOKEN}( *;( *{_PARAMETER})?)*( *; *)?$"
# Halves of surrogate pairs are left out here: validators disagree on how to write them, and no JSON text has them.
_CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
_PRINCIPAL_PATTERN: Final = (
    rf"^(app:[^\s,:/{_CONTROL}]+|bid:[^\s,@{_CONTROL}]+@[^\s,:/@.{_CONTROL}]+(\.[^\s,:/@.{_CONTROL}]+)+"
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


def _or_null(of: Object) -> Object:
    """What may be null, which is as good as left out."""
    return {"anyOf": [of, {"type": "null"}]}


_TTL: Final = _number("Seconds to live.", 1, MAX_TTL, examples=[3600])
_PARTITION: Final = _number("The number of a partition.", 1, MAX_PARTITIONS, examples=[1])
_DELAY: Final = {
    "type": "number",
    "description": "Seconds until it is due: it takes its place in the log at that time, and lives from then on.",
    "minimum": 0,
    "maximum": MAX_DELAY,
    "examples": [90],
}
_PARTITIONS: Final = _or_null(
    {
        "type": "array",
        "description": "Only these partitions; all.",
        "items": {"type": "integer", "minimum": 1, "maximum": MAX_PARTITIONS},
        "minItems": 1,
        "maxItems": MAX_PARTITIONS,
        "uniqueItems": True,
    }
)
_DUPLICATE: Final = {
    "type": "boolean",
    "description": "Of a line with a key: whether an earlier one with that key stored the message.",
}
_USER_HEADERS: Final = {
    "type": "object",
    "description": f"The sender's own headers, kept as they are: at most {MAX_HEADERS} bytes of compact JSON; and what "
    f"Queuey adds, under names that begin with `{RESERVED}`.",
    "examples": [{"trace": "7c2d"}],
}

_USER_NAME: Final = "^(?!" + "".join(f"[{letter.upper()}{letter}]" for letter in RESERVED[:-1]) + "-)"


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
            "maxItems": MAX_PRINCIPALS,
            "items": {"type": "string", "maxLength": MAX_PRINCIPAL, "pattern": _PRINCIPAL_PATTERN},
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
        "headers": {**_USER_HEADERS, "propertyNames": {"pattern": _USER_NAME}},
    }


def _old_message() -> Object:
    """One message that is put back."""
    sent = _new_message()
    return {
        "id": schema("MessageId"),
        "body": sent["body"],
        "body_base64": sent["body_base64"],
        "content_type": {
            "type": ["string", "null"],
            "description": "Its type, which it need not have.",
            "maxLength": MAX_TYPE,
            "pattern": r"^[ -~]*$",
        },
        "headers": sent["headers"],
        "ttl": _number("Seconds that it has left.", 1, MAX_TTL + MAX_DELAY, examples=[3600]),
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
    return {**_values(), "Application": _application(), **_queues(), **_messages(), **_groups(), "Problem": _problem()}


def _values() -> Object:
    return {
        "Timestamp": _text("A time in UTC, to 100 ns.", format="date-time", pattern=_TIME_PATTERN, examples=[TIME]),
        "MessageId": _text(
            "32 hexadecimal digits, which are a UUID of version 6, and the number of the partition. Ids sort as text "
            "by time. An id alone is an address, and a cursor.",
            pattern=patterns.ID,
            examples=[ID],
        ),
        "Cursor": _text("How far a reader has come.", minLength=1, maxLength=MAX_CURSOR, examples=[CURSOR]),
    }


def _application() -> Object:
    return _object(
        "name features guarantee consistency create_queues durable durability not_once no_groups ttl idempotency_ttl "
        "settle rate_scope limits",
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
        no_groups={
            "type": ["string", "null"],
            "description": "Why there are no consumer groups here; null where there are.",
        },
        ttl=_TTL,
        idempotency_ttl=_number("Seconds for which an Idempotency-Key is remembered.", 1),
        settle={"type": "number", "minimum": 0, "description": "Seconds by which `stable_until` is behind the clock."},
        rate_scope={"enum": ["process"], "description": "Who counts for rates and waits: each process for itself."},
        limits=_limits(),
    )


def _limits() -> Object:
    counted = "max_batch max_limit max_page_bytes max_ttl max_key max_headers max_name max_partitions max_values"
    counted += " max_header max_connections max_groups max_group_name max_deliveries max_in_flight max_keyed_claims"
    counted += " max_receipts max_reason max_body max_principals max_principal"
    timed = "max_wait max_delay max_ahead max_lease request_timeout idle_timeout"
    perhaps = "max_queues max_bytes max_messages max_queue_bytes max_queue_messages max_waits max_queue_waits"
    perhaps += " request_burst message_burst queue_request_burst queue_message_burst"
    rates = "request_rate message_rate queue_request_rate queue_message_rate"
    return _object(
        f"{counted} {timed} {perhaps} {rates}",
        **{name: {"type": "integer"} for name in counted.split()},
        **{name: {"type": "number", "description": "Seconds."} for name in timed.split()},
        **{name: {"type": ["integer", "null"], "description": "null is no limit."} for name in perhaps.split()},
        **{name: {"type": ["number", "null"], "description": "A second; null is no limit."} for name in rates.split()},
    )


def _queues() -> Object:
    kept = "name type partitions consistency guarantee principals ttl created version"
    sent = _members_of_queue(sent=True)
    nullable = {name: _or_null(of) for name, of in sent.items()}
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
        "OldMessage": {**_only(**_old_message()), **_EITHER, "required": ["id", "ttl"]},
        "Restore": {
            **_only(
                messages={"type": "array", "minItems": 1, "maxItems": MOST_MESSAGES, "items": schema("OldMessage")}
            ),
            "required": ["messages"],
        },
        "Restored": _object(
            "stored there",
            stored={"type": "integer", "description": "How many messages were missing, and are stored now."},
            there={"type": "integer", "description": "How many the queue had under the same ids."},
        ),
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
        "expires": {
            **schema("Timestamp"),
            "description": "When it is no longer given: its time to live after the clock's time of the write, which is "
            "100 ns or more before `timestamp`.",
        },
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


def _members_of_group(sent: bool) -> Object:
    """The settings of a group, as they are sent and as they are answered."""
    kept = {"readOnly": True} if sent else {}
    return {
        "name": _text("Its name; accepted if it is this group's.", minLength=1, maxLength=MAX_GROUP_NAME, **kept),
        "start": _text(
            "Where it begins when it is made: `oldest`, `newest`, or a time.",
            examples=["oldest", TIME],
            **({"pattern": f"^(oldest|newest)$|{TIME_OR_SECONDS}"} if sent else {}),
        ),
        "lease": _number("Seconds that a claim has its messages for, unless it says otherwise.", 1, MAX_LEASE),
        "max_deliveries": _number("How often a message is given; 0: there is no limit.", 0, MAX_DELIVERIES),
        "dead_letter": {
            "type": "string" if sent else ["string", "null"],
            "description": "The queue of the same application that takes what is given up; null: it is set aside.",
        },
        "order": {
            "enum": words(Order),
            "description": "`partition`: the next message of a partition only after the one before it is settled; "
            "`key`: the same for messages of one key, which hold up no others.",
        },
        "guarantee": {"enum": words(Guarantee), "description": "What is promised of deliveries; what the queue has."},
        "max_in_flight": _number(
            "Messages of a partition that may be given and not settled; then claims are `blocked`.", 1, MAX_IN_FLIGHT
        ),
        "created": _text("When it was made; accepted if equal.", format="date-time", examples=[TIME], **kept),
        "version": _text("Another one after each change; accepted if equal. The ETag has it too.", **kept),
    }


def _groups() -> Object:
    kept = "name start lease max_deliveries dead_letter order guarantee max_in_flight created version"
    group = _members_of_group(sent=False)
    lag = {"type": "array", "description": "Where it is, partition by partition.", "items": _lag()}
    sent = {**_members_of_group(sent=True), "lag": {"readOnly": True, "description": "Passed over, whatever it is."}}
    nullable = {name: _or_null(of) for name, of in sent.items()}
    return {
        "GroupSettings": {
            **_only(**nullable),
            "description": "A member that is null is as good as left out.",
            "examples": [{"lease": 60, "max_deliveries": 5}],
        },
        "GroupPatch": {
            **_only(**nullable),
            "description": "A merge patch (RFC 7396): null brings a member to its default.",
            "examples": [{"lease": 60, "max_deliveries": None}],
        },
        "Group": _object(kept, **group),
        "GroupWithLag": _object(f"{kept} lag", **group, lag=lag),
        "Groups": _object("groups", groups={"type": "array", "items": schema("Group")}),
        **_claims(),
        **_settlements(),
        **_moves(),
    }


def _lag() -> Object:
    """Where a group is in one partition."""
    count = {"type": "integer", "minimum": 0}
    return {
        **_object(
            "partition settled_through in_flight waiting set_aside behind oldest oldest_age",
            partition=_PARTITION,
            settled_through={
                **schema("Cursor"),
                "description": "Everything before it is settled: a cursor for reads of this partition.",
            },
            in_flight={**count, "description": "Messages that somebody has a lease of."},
            waiting={**count, "description": "Messages that were given, and will be again."},
            set_aside={**count, "description": "Messages that were given up without a dead-letter queue."},
            behind=_object(
                "count exact",
                count={**count, "description": "Messages that are not settled."},
                exact={"type": "boolean", "description": "Whether there are just so many, and not more."},
            ),
            oldest={
                "anyOf": [schema("MessageId"), {"type": "null"}],
                "description": "The oldest message that is not settled.",
            },
            oldest_age={"type": ["number", "null"], "minimum": 0, "description": "Its age in seconds."},
        ),
        "examples": [LAG],
    }


def _claims() -> Object:
    given = "id partition timestamp expires content_type headers deliveries"
    return {
        "Claim": {
            **_only(
                limit=_or_null(_number("How many at the most.", 1, MAX_LIMIT, default=CLAIMED)),
                lease=_or_null(_number("Seconds of the lease; what the group has.", 1, MAX_LEASE)),
                wait=_or_null(
                    {
                        "type": "number",
                        "description": "Seconds to wait for a message where there is none.",
                        "minimum": 0,
                        "maximum": MAX_WAIT,
                        "default": 0,
                    }
                ),
                max_bytes=_or_null(
                    _number(
                        "Bytes of bodies at the most; a message that is larger comes alone.",
                        1,
                        MAX_BYTES,
                        default=DEFAULT_BYTES,
                    )
                ),
                partitions=_PARTITIONS,
                settle=_or_null(
                    {
                        "allOf": [schema("Settlement")],
                        "description": "Settlements that are stored with the claim, in one transaction.",
                    }
                ),
            ),
            "description": "A member that is null is as good as left out.",
        },
        "Given": _object(
            given,
            **_message(),
            receipt=schema("Receipt"),
            deliveries=_number("How often it was given, this time included.", 1),
            lease=_number("Seconds of the lease.", 1, MAX_LEASE),
            lease_until={**schema("Timestamp"), "description": "When the lease ends."},
        ),
        "Claimed": _object(
            "messages",
            messages={"type": "array", "items": schema("Given"), "description": "Oldest first."},
            blocked={"enum": ["in-flight-limit"], "description": "Why there are none, where that is the only reason."},
            outcomes={
                "type": "array",
                "items": schema("Outcome"),
                "description": "What became of `settle`, in the order asked; if it was given.",
            },
        ),
        "Receipt": _text("What a message is settled by, without any meaning for clients.", examples=[RECEIPT]),
    }


def _settlements() -> Object:
    def receipts(text: str, **option: Any) -> Object:
        """Receipts, each by itself or with what is said of it."""
        said = {**_only(receipt={"type": "string"}, **option), "required": ["receipt"]}
        return {
            "type": "array",
            "description": text,
            "maxItems": MOST_RECEIPTS,
            "items": {"anyOf": [{"type": "string"}, said]},
        }

    delay = {"type": "number", "description": "Seconds until then.", "minimum": 0, "maximum": MAX_DELAY, "default": 0}
    return {
        "Settlement": _only(
            ack=receipts("These are done."),
            retry=receipts("These are to be given again.", delay=_or_null(delay)),
            extend=receipts(
                "The lease of these is to end later.",
                lease=_or_null(_number("Seconds of the lease from now on; what the group has.", 1, MAX_LEASE)),
            ),
            reject=receipts(
                "These are given up: moved to the dead-letter queue, or set aside.",
                reason=_or_null(_text("Why, kept with the dead letter.", maxLength=MAX_REASON)),
            ),
        ),
        "Settled": _object("outcomes", outcomes={"type": "array", "items": schema("Outcome")}),
        "Outcome": _object(
            "receipt outcome",
            receipt=_text("As it was sent."),
            outcome={"enum": OUTCOMES, "description": "`stale` and `invalid` ones changed nothing."},
        ),
    }


def _moves() -> Object:
    time = {"type": "string", "pattern": TIME_OR_SECONDS}
    return {
        "Seek": {
            **_only(
                to={
                    "description": "`oldest`, `newest`, a time, a cursor of an ascending read, or an id, itself "
                    "excluded.",
                    "anyOf": [
                        {"enum": [start.value for start in Start]},
                        time,
                        patterns.text(patterns.ANY_CASE_ID),
                        patterns.text(patterns.CURSOR),
                    ],
                },
                partitions=_PARTITIONS,
            ),
            "required": ["to"],
            "description": "Null partitions are as good as left out: all, or those of the cursor.",
        },
        "Redrive": {
            **_only(
                ids={
                    "type": "array",
                    "description": "Ids of dead letters, or of messages that were set aside.",
                    "minItems": 1,
                    "maxItems": MOST_IDS,
                    "items": _text("An id.", pattern=patterns.ANY_CASE_ID, examples=[ID]),
                },
                since={**time, "description": "Those from this time on."},
                until={**time, "description": "Those before this time."},
                all={"const": True, "description": "All of them."},
                after=_or_null(_text("Where to go on: what `next` was.")),
            ),
            "oneOf": [
                {"required": ["ids"]},
                {"required": ["all"]},
                {"anyOf": [{"required": ["since"]}, {"required": ["until"]}]},
            ],
        },
        "Redriven": _object(
            "moved next",
            moved=_number("How many messages can be claimed again.", 0),
            next={"type": ["string", "null"], "description": "What `after` is for the rest, if there is any."},
        ),
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
        outcomes={
            "type": "array",
            "description": "Where `stale-receipts`: what became of each, in the order asked.",
            "items": schema("Outcome"),
        },
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
