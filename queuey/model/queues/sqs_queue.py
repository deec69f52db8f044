"""What SQS knows of a queue besides its settings and its group: one small state, as JSON that is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from queuey.model.queues.queue import states_prefix

GROUP: Final = "sqs"
"""The consumer group that clients of SQS receive from."""

FIFO: Final = ".fifo"
"""The end of the names of FIFO queues, and of no others."""

MAX_TAGS: Final = 50

MAX_TASKS: Final = 10
"""Tasks of a queue that are remembered."""

MAX_SILENCE: Final = 60_000
"""Milliseconds without a sign of life after which a task counts as failed."""

_FORMAT: Final = 1


class UnreadableQueue(Exception):
    """The bytes are no such state: they are damaged, or a later version of Queuey wrote them, as the text says."""


@attrs.frozen
class MoveTask:
    """A task that moves the dead letters of a queue back to where they came from, or to another queue.

    :ivar target: the name of that other queue; ``None``: each goes back to its own.
    :ivar rate: messages a second at most; 0 for no limit.
    :ivar started: milliseconds since 1970, and ``seen`` when the process that moves them was known to go on.
    :ivar total: messages of the queue when the task began.
    :ivar reason: why it has failed.
    """

    id: str
    status: str
    target: str | None
    rate: int
    started: int
    seen: int
    total: int
    moved: int = 0
    reason: str = ""

    @property
    def active(self) -> bool:
        """Whether it may still move messages."""
        return self.status in ("RUNNING", "CANCELLING")

    def as_of(self, now: int) -> MoveTask:
        """Return the task as it is at a time in milliseconds: failed if its process has ended before it was done."""
        if self.active and now - self.seen > MAX_SILENCE:
            return attrs.evolve(self, status="FAILED", reason="The process that moved the messages has ended.")
        return self


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
    :ivar tasks: the latest tasks that moved messages out of it, the oldest first.
    :ivar purges: how often a FIFO queue was purged; deduplication ids of before do not count.
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
    tasks: Sequence[MoveTask] = ()
    modified: int = 0
    purges: int = 0

    def with_task(self, task: MoveTask) -> SqsQueue:
        """Return the state with a new task, or with a task changed."""
        if task.id in [one.id for one in self.tasks]:
            return attrs.evolve(self, tasks=tuple([task if one.id == task.id else one for one in self.tasks]))
        return attrs.evolve(self, tasks=(*self.tasks, task)[-MAX_TASKS:])


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
        tasks = tuple([MoveTask(**task) for task in document.pop("tasks", ())])
        return SqsQueue(**document, tasks=tasks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableQueue(f"what SQS knows of the queue is damaged: {error!r}") from None
