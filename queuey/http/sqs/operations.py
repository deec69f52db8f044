"""The operations of SQS: their members, types, bounds, and what a caller must be allowed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import attrs
import msgspec

from queuey.http.sqs.errors import SqsError, out_of_range
from queuey.model.applications.access import Operation as Right

MAX_ENTRIES: Final = 10
"""Entries of a batch."""

Members = Mapping[str, Any]
"""The members of a request, checked; what was not given is not there."""


class Kind(Enum):
    """The type of a member in JSON."""

    TEXT = "a string"
    NUMBER = "a whole number"
    TEXTS = "a list of strings"
    MAP = "a map of strings"
    ATTRIBUTES = "a map of message attributes"
    ENTRIES = "a list of entries"


@attrs.frozen
class Member:
    """A member of a request.

    :ivar low: the lowest value of a number, and ``high`` the highest.
    :ivar reason: the text of AWS for a number out of bounds.
    :ivar entry: the members of an entry of a batch.
    """

    name: str
    kind: Kind
    required: bool = False
    low: int = 0
    high: int = 0
    reason: str = ""
    entry: tuple[Member, ...] = ()

    def checked(self, value: Any) -> Any:
        """Return a value that a client gave.

        :raise SqsError: it has another type, or is out of bounds.
        """
        if not _FITS[self.kind](value):
            raise SqsError("SerializationException", f"{self.name} is not {self.kind.value}.")
        if self.kind is Kind.NUMBER and not self.low <= value <= self.high:
            raise out_of_range(value, self.name, self.reason)
        return value


def read(members: tuple[Member, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that a client gave; those that SQS does not have are ignored, as by AWS.

    :raise SqsError: one is missing or wrong.
    """
    found = {}
    for member in members:
        value = given.get(member.name)
        if value is not None:
            # Most members are texts, for which a call of ``checked`` would take most of the time.
            is_text = member.kind is Kind.TEXT and type(value) is str
            found[member.name] = value if is_text else member.checked(value)
        elif member.required:
            raise SqsError(
                "MissingRequiredParameterException", f"The request must contain the parameter {member.name}."
            )
    return found


def decoded(body: bytes) -> dict[str, Any]:
    """Return the document of a request.

    :raise SqsError: it is not a JSON object.
    """
    try:
        found = msgspec.json.decode(body or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SqsError("SerializationException", "The body of the request is not a JSON object.")
    return found


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


_FITS: Final = {
    Kind.TEXT: lambda value: isinstance(value, str),
    Kind.NUMBER: lambda value: type(value) is int,
    Kind.TEXTS: _is_texts,
    Kind.MAP: _is_map,
    Kind.ATTRIBUTES: lambda value: isinstance(value, dict) and _are_objects(list(value.values())),
    Kind.ENTRIES: _are_objects,
}


def _number(name: str, low: int, high: int, reason: str, required: bool = False) -> Member:
    return Member(name, Kind.NUMBER, required, low, high, reason)


_URL: Final = Member("QueueUrl", Kind.TEXT, required=True)
_ID: Final = Member("Id", Kind.TEXT, required=True)
_HANDLE: Final = Member("ReceiptHandle", Kind.TEXT, required=True)
_VISIBILITY: Final = _number("VisibilityTimeout", 0, 43_200, "Must be between 0 and 43200, if provided.")
_MESSAGE: Final = (
    Member("MessageBody", Kind.TEXT, required=True),
    _number("DelaySeconds", 0, 900, "DelaySeconds must be >= 0 and <= 900."),
    Member("MessageAttributes", Kind.ATTRIBUTES),
    Member("MessageSystemAttributes", Kind.ATTRIBUTES),
    Member("MessageDeduplicationId", Kind.TEXT),
    Member("MessageGroupId", Kind.TEXT),
)


def _entries(*members: Member) -> Member:
    return Member("Entries", Kind.ENTRIES, required=True, entry=(_ID, *members))


@attrs.frozen
class Operation:
    """An operation.

    :ivar right: what a caller must be allowed to do with the queue; ``None`` if it is about no queue that exists.
    """

    name: str
    right: Right | None
    members: tuple[Member, ...]


_EVERY: Final = (
    Operation(
        "CreateQueue",
        None,
        (
            Member("QueueName", Kind.TEXT, required=True),
            Member("Attributes", Kind.MAP),
            Member("tags", Kind.MAP),
        ),
    ),
    Operation(
        "GetQueueUrl",
        None,
        (
            Member("QueueName", Kind.TEXT, required=True),
            Member("QueueOwnerAWSAccountId", Kind.TEXT),
        ),
    ),
    Operation(
        "ListQueues",
        None,
        (
            Member("QueueNamePrefix", Kind.TEXT),
            Member("NextToken", Kind.TEXT),
            _number("MaxResults", 1, 1000, "Must be between 1 and 1000, if provided."),
        ),
    ),
    Operation("DeleteQueue", Right.DELETE_QUEUE, (_URL,)),
    Operation("GetQueueAttributes", Right.SEE_QUEUE, (_URL, Member("AttributeNames", Kind.TEXTS))),
    Operation("SetQueueAttributes", Right.CHANGE_QUEUE, (_URL, Member("Attributes", Kind.MAP, required=True))),
    Operation("PurgeQueue", Right.DELETE_MESSAGES, (_URL,)),
    Operation("TagQueue", Right.CHANGE_QUEUE, (_URL, Member("Tags", Kind.MAP, required=True))),
    Operation("UntagQueue", Right.CHANGE_QUEUE, (_URL, Member("TagKeys", Kind.TEXTS, required=True))),
    Operation("ListQueueTags", Right.SEE_QUEUE, (_URL,)),
    Operation(
        "ListDeadLetterSourceQueues",
        Right.SEE_QUEUE,
        (
            _URL,
            Member("NextToken", Kind.TEXT),
            _number("MaxResults", 1, 1000, "Must be between 1 and 1000, if provided."),
        ),
    ),
    Operation("SendMessage", Right.WRITE_MESSAGES, (_URL, *_MESSAGE)),
    Operation("SendMessageBatch", Right.WRITE_MESSAGES, (_URL, _entries(*_MESSAGE))),
    Operation(
        "ReceiveMessage",
        Right.CLAIM_MESSAGES,
        (
            _URL,
            Member("AttributeNames", Kind.TEXTS),
            Member("MessageSystemAttributeNames", Kind.TEXTS),
            Member("MessageAttributeNames", Kind.TEXTS),
            _number("MaxNumberOfMessages", 1, 10, "Must be between 1 and 10, if provided."),
            _VISIBILITY,
            _number("WaitTimeSeconds", 0, 20, "Must be >= 0 and <= 20, if provided."),
            Member("ReceiveRequestAttemptId", Kind.TEXT),
        ),
    ),
    Operation("DeleteMessage", Right.SETTLE_MESSAGES, (_URL, _HANDLE)),
    Operation("DeleteMessageBatch", Right.SETTLE_MESSAGES, (_URL, _entries(_HANDLE))),
    Operation(
        "ChangeMessageVisibility",
        Right.SETTLE_MESSAGES,
        (_URL, _HANDLE, attrs.evolve(_VISIBILITY, required=True)),
    ),
    Operation(
        "StartMessageMoveTask",
        None,
        (
            Member("SourceArn", Kind.TEXT, required=True),
            Member("DestinationArn", Kind.TEXT),
            _number("MaxNumberOfMessagesPerSecond", 1, 500, "Must be between 1 and 500, if provided."),
        ),
    ),
    Operation(
        "ListMessageMoveTasks",
        None,
        (
            Member("SourceArn", Kind.TEXT, required=True),
            _number("MaxResults", 1, 10, "Must be between 1 and 10, if provided."),
        ),
    ),
    Operation("CancelMessageMoveTask", None, (Member("TaskHandle", Kind.TEXT, required=True),)),
    Operation(
        "AddPermission",
        Right.CHANGE_QUEUE,
        (
            _URL,
            Member("Label", Kind.TEXT, required=True),
            Member("AWSAccountIds", Kind.TEXTS, required=True),
            Member("Actions", Kind.TEXTS, required=True),
        ),
    ),
    Operation("RemovePermission", Right.CHANGE_QUEUE, (_URL, Member("Label", Kind.TEXT, required=True))),
    Operation("ChangeMessageVisibilityBatch", Right.SETTLE_MESSAGES, (_URL, _entries(_HANDLE, _VISIBILITY))),
)

OPERATIONS: Final[Mapping[str, Operation]] = {one.name: one for one in _EVERY}
"""The operations that there are, by name."""
