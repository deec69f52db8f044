"""Access control as one pure function."""

from __future__ import annotations

from collections.abc import Set
from enum import Enum

from queuey.model.queues.queue import Queue, QueueType


class Operation(Enum):
    """Operations on an application and its queues, as refusals name them."""

    DESCRIBE = "see what the application is promised"
    LIST_QUEUES = "list queues"
    CREATE_QUEUE = "create a queue"
    SEE_QUEUE = "see the queue"
    CHANGE_QUEUE = "change the queue"
    DELETE_QUEUE = "delete the queue"
    WRITE_MESSAGES = "write messages"
    READ_MESSAGES = "read messages"
    DELETE_MESSAGES = "delete messages"
    SEE_GROUPS = "see consumer groups"
    CHANGE_GROUPS = "make, change, move or delete consumer groups"
    CLAIM_MESSAGES = "claim messages"
    SETTLE_MESSAGES = "settle messages"
    SEE_PUSHES = "see pushes"
    CHANGE_PUSHES = "make, change, test or delete pushes"
    SEE_SCHEDULES = "see schedules"
    CHANGE_SCHEDULES = "make, change or delete schedules"


_SHARED = (
    Operation.READ_MESSAGES,
    Operation.DELETE_MESSAGES,
    Operation.CLAIM_MESSAGES,
    Operation.SETTLE_MESSAGES,
)
_OPEN = (Operation.READ_MESSAGES, Operation.SEE_QUEUE)
_SEEN = (Operation.SEE_QUEUE, Operation.SEE_GROUPS)


def allowed(operation: Operation, caller: Set[str], application: str, queue: Queue | None) -> bool:
    """Return whether a caller may do something.

    :param caller: the principals that the caller has proven to be; empty for an anonymous caller.
    :param application: the application whose name is in the URL.
    :param queue: the queue of the request; ``None`` for operations on the application itself.
    """
    if operation is Operation.DESCRIBE:
        return bool(caller)
    if queue is not None:
        if by_url(operation) in caller:
            # The application's key has signed for this, and signs for no more than it may itself.
            caller = {*caller, f"app:{application}"}
        if operation in _OPEN and queue.settings.type is QueueType.PUBLIC:
            return True
        if operation in _SHARED and queue.settings.principals:
            return not caller.isdisjoint(queue.settings.principals)
        if operation in _SEEN and not caller.isdisjoint(queue.settings.principals):
            return True
    return is_application(caller, application)


def by_url(operation: Operation) -> str:
    """Return the principal that proves that a URL was signed for an operation on its queue."""
    return f"url:{operation.name}"


def is_application(caller: Set[str], application: str) -> bool:
    """Whether a caller has proven to be the application itself."""
    return f"app:{application}" in caller
