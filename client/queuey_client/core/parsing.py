"""How the server's answers become values."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import unquote

from queuey_client.core.errors import QueueyError
from queuey_client.core.steps import Answer
from queuey_client.core.values import (
    Delivery,
    GroupInfo,
    Lag,
    Lease,
    Message,
    Page,
    Place,
    QueueCounts,
    QueueInfo,
    Redriven,
    Stored,
)

T = TypeVar("T")

NO_TIME = datetime(1970, 1, 1, tzinfo=timezone.utc)


def time_of(text: str | None) -> datetime:
    """Read a time of the server, which is RFC 3339 in UTC with up to seven decimals."""
    if not text:
        return NO_TIME
    whole, _, decimals = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{decimals[:6]:0<6}+00:00")


def _members(queue: str, document: Mapping[str, Any], place: Place | None) -> dict[str, Any]:
    text = document.get("body")
    return {
        "id": document["id"],
        "queue": queue,
        "partition": document["partition"],
        "timestamp": time_of(document.get("timestamp")),
        "expires": time_of(document.get("expires")),
        "content_type": document.get("content_type", ""),
        "headers": document.get("headers") or {},
        "body": text.encode() if text is not None else b64decode(document.get("body_base64", "")),
        "place": document["id"] if place is None else place,
    }


def page_of(queue: str, document: Mapping[str, Any]) -> Page:
    """Read a page."""
    found, next_place = document["messages"], document["next"]
    return Page(
        [message_of(queue, each) for each in found],
        next_place,
        document["more"],
        time_of(document.get("stable_until")),
        document.get("resume") == "truncated",
        document.get("first"),
        closed=document.get("closed") is True,
    )


def many_page_of(document: Mapping[str, Any]) -> Page:
    """Read a page of many queues."""
    gaps = [each["queue"] for each in document.get("gaps") or ()]
    return Page(
        [message_of_many(each, each["place"]) for each in document["messages"]],
        document["next"],
        document["more"],
        time_of(document.get("stable_until")),
        bool(gaps),
        None,
        gaps,
    )


def message_of(queue: str, document: Mapping[str, Any]) -> Message:
    """Read a message of a page, or of a live read."""
    return Message(**_members(queue, document, None))


def message_of_many(document: Mapping[str, Any], place: Place) -> Message:
    """Read a message that names its queue.

    :param place: after it, in all queues.
    """
    return Message(**_members(document["queue"], document, place))


def deliveries_of(queue: str, group: str, document: Mapping[str, Any]) -> list[Delivery]:
    """Read the messages of a claim."""
    return [
        Delivery(
            **_members(queue, each, None),
            receipt=each.get("receipt"),
            group=group,
            deliveries=each.get("deliveries", 1),
            lease=float(each.get("lease") or 0),
            state=Lease(time_of(each["lease_until"]) if each.get("lease_until") else None),
        )
        for each in document["messages"]
    ]


def single_message(queue: str, answer: Answer) -> Message:
    """Read a message that was read by its id."""
    headers = answer.headers
    own = headers.get("queuey-headers")
    return Message(
        id=headers["queuey-id"],
        queue=queue,
        partition=int(headers["queuey-partition"]),
        timestamp=time_of(headers.get("queuey-timestamp")),
        expires=time_of(headers.get("queuey-expires")),
        content_type=headers.get("content-type", ""),
        headers=json.loads(unquote(own)) if own else {},
        body=answer.body,
        place=headers["queuey-id"],
        etag=headers.get("etag"),
    )


def queue_info(document: Mapping[str, Any]) -> QueueInfo:
    """Read a queue."""
    return QueueInfo(
        name=document["name"],
        type=document["type"],
        partitions=document["partitions"],
        guarantee=document["guarantee"],
        consistency=document["consistency"],
        ttl=document["ttl"],
        principals=document.get("principals") or (),
        version=document["version"],
        document=document,
        counts=None if document.get("counts") is None else _queue_counts(document["counts"]),
    )


def _queue_counts(document: Mapping[str, Any]) -> QueueCounts:
    oldest = document["oldest"]
    return QueueCounts(
        document["messages"],
        document["bytes"],
        None if oldest is None else time_of(oldest),
        document["approximate"],
    )


def redriven_of(document: Mapping[str, Any]) -> tuple[Redriven, str | None]:
    """Read the answer to one request of a redrive, and from where the next request goes on."""
    return Redriven(int(document["moved"]), document.get("left") or {}), document.get("next")


def group_info(document: Mapping[str, Any]) -> GroupInfo:
    """Read a group."""
    return GroupInfo(
        document["name"],
        document["lease"],
        document["max_deliveries"],
        document.get("dead_letter"),
        document["order"],
        document["guarantee"],
        document["version"],
        [
            Lag(
                each["partition"],
                each["behind"]["count"],
                each["behind"]["exact"],
                each["in_flight"],
                each["waiting"],
                each["set_aside"],
                each.get("oldest_age"),
                each["settled_through"],
            )
            for each in document.get("lag") or ()
        ],
        document,
    )


def result_of(answer: Answer, parse: Callable[[Any], T]) -> T:
    """Read the JSON of a success.

    :raise QueueyError: if it is not what was expected: something that is not Queuey has answered.
    """
    try:
        return parse(json.loads(answer.body))
    except (AttributeError, KeyError, TypeError, ValueError):
        text = answer.body[:100].decode("utf-8", "replace")
        detail = f"the answer is not Queuey's: {text!r}"
        raise QueueyError(detail, code="foreign-answer", status=answer.status) from None


def stored_of(document: Mapping[str, Any], key: str | None) -> Stored:
    """Read what became of a write."""
    stored = document["stored"]
    ids = [each["id"] for each in document["messages"]]
    return Stored(ids, bool(document.get("duplicate")), stored["durable"], stored["consistency"], key or None)
