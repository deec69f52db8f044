"""What SQS knows of a queue besides its settings and its group: one small state, as JSON that is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from queuey.model.group_rows import states_prefix

GROUP: Final = "sqs"
"""The consumer group that clients of SQS receive from."""

FIFO: Final = ".fifo"
"""The end of the names of FIFO queues, and of no others."""

MAX_TAGS: Final = 50

_FORMAT: Final = 1


class UnreadableQueue(Exception):
    """The bytes are no such state: they are damaged, or a later version of Queuey wrote them, as the text says."""


@attrs.frozen
class SqsQueue:
    """The attributes of a queue that only SQS has.

    :ivar keep: whether a message stays in the queue after it was deleted through SQS, for other groups and readers.
    :ivar visibility_timeout: seconds for which a received message is hidden by default.
    :ivar delay: seconds by which messages are delayed by default.
    :ivar max_size: bytes of a message with its attributes.
    :ivar wait: seconds that a receive waits by default.
    :ivar fifo: whether it is a FIFO queue; never changes.
    :ivar by_content: whether a message without a deduplication id is deduplicated by its body.
    :ivar per_group: whether deduplication ids are of a message group, and not of the queue.
    :ivar others: attributes that are kept and shown, and have no effect here.
    :ivar modified: when an attribute changed last, in seconds since 1970.
    """

    keep: bool = True
    visibility_timeout: int = 30
    delay: int = 0
    max_size: int = 1 << 20
    wait: int = 0
    fifo: bool = False
    by_content: bool = False
    per_group: bool = False
    others: Mapping[str, str] = attrs.field(factory=dict)
    tags: Mapping[str, str] = attrs.field(factory=dict)
    modified: int = 0


def sqs_key(incarnation: int) -> str:
    """Return the key of the state; it goes with the incarnation of the queue."""
    return f"{states_prefix(incarnation)}sqs"


def encode_sqs(queue: SqsQueue) -> bytes:
    """Encode a state."""
    return json.dumps({"format": _FORMAT, **attrs.asdict(queue)}, separators=(",", ":"), ensure_ascii=False).encode()


def decode_sqs(data: bytes) -> SqsQueue:
    """Decode a state.

    :raise UnreadableQueue: with the reason.
    """
    try:
        document: dict[str, Any] = json.loads(data)
        if document.pop("format") != _FORMAT:
            raise UnreadableQueue("a later version of Queuey wrote what SQS knows of the queue")
        return SqsQueue(**document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableQueue(f"what SQS knows of the queue is damaged: {error!r}") from None
