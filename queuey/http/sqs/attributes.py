"""Attributes of queues: one table of those that can be set, and what each is in Queuey."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from queuey.core.groups.group_changes import GroupChanges
from queuey.core.queues import QueueChanges
from queuey.http.sqs import permissions, redrive_allow
from queuey.http.sqs.errors import SqsError, out_of_range
from queuey.http.sqs.names import arn, name_of_arn
from queuey.model import fields
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Order
from queuey.model.queues.queue import Queue
from queuey.model.queues.sqs_queue import FIFO, SqsQueue
from queuey.model.timeid import to_seconds

RETENTION: Final = 345_600
"""Seconds that messages live in a queue that is made through SQS and does not say: four days, as on AWS."""

REDRIVE: Final = "RedrivePolicy"

KEEP: Final = "QueueyKeep"
"""The one attribute that AWS does not have: whether deleted messages stay for other groups."""

NUMBERS: Final[Mapping[str, tuple[str, int, int]]] = {
    "DelaySeconds": ("delay", 0, 900),
    "MaximumMessageSize": ("max_size", 1024, 1 << 20),
    "ReceiveMessageWaitTimeSeconds": ("wait", 0, 20),
    "VisibilityTimeout": ("visibility_timeout", 0, 43_200),
    "MessageRetentionPeriod": ("", 60, 1_209_600),
}
"""Attributes that are numbers: the member of the state, and the bounds. The retention is a setting of the queue."""

SWITCHES: Final[Mapping[str, str]] = {
    "FifoQueue": "fifo",
    "ContentBasedDeduplication": "by_content",
    KEEP: "keep",
}
"""Attributes that are true or false."""

OF_FIFO: Final = frozenset(("FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"))

KEPT: Final = frozenset(
    ("KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled", redrive_allow.ATTRIBUTE)
)
"""Attributes that are kept and shown as they are. Those of KMS and SSE have no effect."""

COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
"""Attributes that have to be counted."""

MAX_KEPT: Final = 2048
"""Characters of an attribute that is only kept."""

_WORDS: Final = {
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}

_SETTABLE: Final = frozenset((*NUMBERS, *SWITCHES, *OF_FIFO, *KEPT, REDRIVE))

SHOWN: Final = frozenset(
    (*_SETTABLE, *COUNTS, "QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", permissions.ATTRIBUTE)
)
"""The attributes that can be asked for."""


@attrs.frozen
class RedrivePolicy:
    """When a message is moved to a dead-letter queue.

    :ivar queue: the name of the dead-letter queue; ``None``: messages are never moved.
    """

    queue: str | None
    max_receives: int = 0


@attrs.frozen
class Wanted:
    """Attributes that a client sets.

    :ivar state: members of the state, by name.
    :ivar others: attributes that are only kept.
    :ivar retention: seconds that messages live.
    """

    state: Mapping[str, Any]
    others: Mapping[str, str]
    retention: int | None
    redrive: RedrivePolicy | None

    def of_queue(self) -> QueueChanges:
        """Return the changes of the queue's settings."""
        return QueueChanges(ttl=self.retention)

    def of_state(self, state: SqsQueue, now: int) -> SqsQueue:
        """Return a state after the changes."""
        others = {**state.others, **self.others}
        changed = attrs.evolve(state, **self.state, others={name: value for name, value in others.items() if value})
        return (
            changed
            if changed == state and self.retention is None and self.redrive is None
            else attrs.evolve(changed, modified=now)
        )

    def of_group(self, state: SqsQueue) -> GroupChanges:
        """Return the changes of the group that clients receive from."""
        changes = GroupChanges(lease=max(fields.LEASE.low, state.visibility_timeout))
        if state.fifo:
            changes = attrs.evolve(changes, order=Order.KEY)
        if self.redrive is None:
            return changes
        if self.redrive.queue is None:
            return attrs.evolve(changes, reset=frozenset(("max_deliveries", "dead_letter")))
        return attrs.evolve(changes, max_deliveries=self.redrive.max_receives, dead_letter=self.redrive.queue)


def wanted(given: Mapping[str, str], account: str, *, policies: bool = False) -> Wanted:
    """Return the attributes that a client gave.

    :param policies: whether a ``Policy`` is kept, and not refused.
    :raise SqsError: one is unknown, or has a value that it cannot have.
    """
    state: dict[str, Any] = {}
    others: dict[str, str] = {}
    retention = redrive = None
    for name, value in given.items():
        if name in NUMBERS:
            field, low, high = NUMBERS[name]
            number = _number(name, value, low, high)
            if field:
                state[field] = number
            else:
                retention = number
        elif name in SWITCHES:
            if value.lower() not in ("true", "false"):
                raise _bad(name)
            state[SWITCHES[name]] = value.lower() == "true"
        elif name in _WORDS:
            if value not in _WORDS[name]:
                raise _bad(name)
            if name == "DeduplicationScope":
                state["per_group"] = value == "messageGroup"
            others[name] = value
        elif name == REDRIVE:
            redrive = _redrive(value, account)
        elif name in KEPT:
            if len(value) > MAX_KEPT:
                raise _bad(name)
            if name == redrive_allow.ATTRIBUTE and value:
                redrive_allow.check(value)
            others[name] = value
        elif name == permissions.ATTRIBUTE:
            permissions.check(value, kept=policies)
            others[name] = value
        else:
            raise unknown(name)
    if others.get("KmsMasterKeyId") and others.get("SqsManagedSseEnabled", "").lower() == "true":
        text = "You can use one type of server-side encryption (SSE) at one time. "
        raise SqsError("InvalidAttributeName", text + "You can either enable KMS SSE or SQS SSE.")
    return Wanted(state, others, retention, redrive)


def _number(name: str, value: str, low: int, high: int) -> int:
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else -1
    if not low <= number <= high:
        raise _bad(name)
    return number


def _bad(name: str) -> SqsError:
    return SqsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")


def another_type() -> SqsError:
    """Return the error of a FIFO queue that is to become a standard one."""
    text = "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."
    return SqsError("InvalidAttributeValue", text)


def unknown(name: str) -> SqsError:
    """Return the error of an attribute that there is not."""
    return SqsError("InvalidAttributeName", f"Unknown Attribute {name[:200]}.")


def _redrive(value: str, account: str) -> RedrivePolicy:
    if not value:
        return RedrivePolicy(None)
    try:
        document = json.loads(value)
        target, most = document["deadLetterTargetArn"], int(document["maxReceiveCount"])
    except (ValueError, KeyError, TypeError, RecursionError):
        reason = "Redrive policy does not contain mandatory attributes: deadLetterTargetArn and maxReceiveCount."
        raise out_of_range(value[:300], REDRIVE, reason) from None
    if not 1 <= most <= fields.MAX_DELIVERIES.high:
        reason = "Invalid value for maxReceiveCount: must be between 1 and 1000 both inclusive."
        raise out_of_range(value[:300], REDRIVE, reason)
    name = name_of_arn(target, account) if isinstance(target, str) else None
    if name is None:
        raise out_of_range(value[:300], REDRIVE, "Invalid value for deadLetterTargetArn.")
    return RedrivePolicy(name, most)


def check_fifo(name: str, found: Wanted) -> None:
    """Refuse attributes of a new queue that do not agree with its name.

    :raise SqsError: saying so.
    """
    if found.state.get("fifo", False) != name.endswith(FIFO):
        raise SqsError(
            "InvalidParameterValueException",
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end "
            "with .fifo suffix and be 1 to 80 in length."
            if found.state.get("fifo")
            else "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        )


def check_of_fifo(given: Mapping[str, str], is_fifo: bool) -> None:
    """Refuse attributes of FIFO queues for a queue that is none, whatever their values are.

    :raise SqsError: naming one of them.
    """
    for name in sorted(OF_FIFO & given.keys()) if not is_fifo else ():
        if name in _WORDS:
            raise SqsError("InvalidAttributeName", f"You can specify the {name} only when FifoQueue is set to true.")
        raise unknown(name)


def shown(queue: Queue, state: SqsQueue, group: Group | None, region: str, account: str, ttl: int) -> dict[str, str]:
    """Return the attributes of a queue that need not be counted.

    :param ttl: seconds that messages live.
    """
    found = {
        "QueueArn": arn(region, account, queue.name),
        "CreatedTimestamp": str(_seconds(queue)),
        "LastModifiedTimestamp": str(max(state.modified, _seconds(queue))),
        "MessageRetentionPeriod": str(ttl),
        **{name: str(getattr(state, field)) for name, (field, _, _) in NUMBERS.items() if field},
        KEEP: _word(state.keep),
        **state.others,
    }
    found.setdefault("SqsManagedSseEnabled", "false")
    if state.fifo:
        found["FifoQueue"] = "true"
        found["ContentBasedDeduplication"] = _word(state.by_content)
        found.setdefault("DeduplicationScope", "queue")
        found.setdefault("FifoThroughputLimit", "perQueue")
    if group is not None and group.settings.dead_letter is not None:
        target = arn(region, account, group.settings.dead_letter)
        policy = {"deadLetterTargetArn": target, "maxReceiveCount": group.settings.max_deliveries}
        found[REDRIVE] = json.dumps(policy, separators=(",", ":"))
    return found


def _seconds(queue: Queue) -> int:
    return int(to_seconds(queue.created))


def _word(value: bool) -> str:
    return "true" if value else "false"


def difference(given: Mapping[str, str], there: Mapping[str, str], account: str) -> str | None:
    """Return the name of an attribute that a client wants to have another value than it has; ``None`` for none.

    :param given: valid attributes.
    :param there: the attributes of the queue as they are shown.
    """
    for name, value in given.items():
        old = there.get(name, "")
        if name == REDRIVE:
            same = _redrive(value, account) == _redrive(old, account)
        elif name in SWITCHES:
            same = value.lower() == (old or "false")
        else:
            same = value == old or (name in NUMBERS and int(value) == int(old))
        if not same:
            return name
    return None
