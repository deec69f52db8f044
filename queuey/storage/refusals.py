"""Write checks shared by all stores: limits, new ids, preconditions, reuse of an Idempotency-Key."""

from __future__ import annotations

from typing import Final, NamedTuple

from queuey.errors import IdOutOfRange, KeyReused, PreconditionFailed, QueueClosed, StorageFull
from queuey.interfaces import AHEAD
from queuey.model.applications.policy import WriteTerms
from queuey.model.messages.message import Condition, Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MessageId, Ticks, ticks_of, to_rfc3339


class Held(NamedTuple):
    """Number and bytes of messages that an application or a queue holds, or that are to be added."""

    messages: int = 0
    bytes: int = 0


NOTHING: Final = Held()


def check_room(terms: WriteTerms, application: Held, queue: Held, more: Held) -> None:
    """See to it that no limit is passed; what makes a number smaller never passes its limit.

    :param application: what it holds in all; and so ``queue``.
    :param more: what is to come.
    :raise StorageFull: one would be passed, saying which.
    """
    _check("max_bytes", terms.max_bytes, application.bytes, more.bytes)
    _check("max_messages", terms.max_messages, application.messages, more.messages)
    _check("max_queue_bytes", terms.max_queue_bytes, queue.bytes, more.bytes)
    _check("max_queue_messages", terms.max_queue_messages, queue.messages, more.messages)


def _check(name: str, limit: int | None, held: int, more: int) -> None:
    if limit is not None and more > 0 and held + more > limit:
        whose = "A queue of the application" if "queue" in name else "The application"
        what = "bytes of messages" if "bytes" in name else "messages"
        raise StorageFull(f"{whose} may store at most {limit} {what}, and this request would exceed that.", limit=name)


def too_many_queues(most: int) -> StorageFull:
    """Return the refusal of a queue of an application that has as many as it may have."""
    text = f"The application has {most} queues, which is the most that it may have. Delete a queue first."
    return StorageFull(text, limit="max_queues")


def queue_closed(queue: Queue) -> QueueClosed:
    """The refusal of a message that comes after the last one."""
    return QueueClosed(f'The queue "{queue.name}" is closed.')


def key_reused() -> KeyReused:
    """The refusal of a key that stands for another request."""
    return KeyReused(
        "This Idempotency-Key was used for another request; a new request needs a new key, and a repeat has to be the "
        "same to the byte."
    )


def check_condition(condition: Condition, message: Message | None) -> None:
    """See to it that a condition holds.

    :param message: what is there and has not expired.
    :raise PreconditionFailed: it does not, saying why.
    """
    if condition.holds(message):
        return
    if message is None:
        raise PreconditionFailed("There is no such message.")
    if condition.absent:
        raise PreconditionFailed("There is a message at this address already.")
    if condition.tags is None:
        raise PreconditionFailed("The message has an ETag that If-None-Match names.")
    raise PreconditionFailed("The message was changed in between: its ETag is not the one of If-Match.")


def check_new_id(id: MessageId, newest: Ticks) -> None:
    """See to it that a message can be made under a client's own id.

    :param newest: the time before that of a fresh id.
    :raise IdOutOfRange: it cannot, saying which times can be.
    """
    ticks = ticks_of(id)
    if not newest < ticks <= newest + AHEAD:
        raise IdOutOfRange(
            f"There is no message of this id, whose time is {to_rfc3339(ticks)}. The id of a new one has a time after "
            f"{to_rfc3339(newest)}, and not after {to_rfc3339(Ticks(newest + AHEAD))}."
        )
