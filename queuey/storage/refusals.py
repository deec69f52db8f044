"""What every store says where it refuses a write that others of its kind would let it do."""

from __future__ import annotations

from queuey.errors import IdOutOfRange, KeyReused, PreconditionFailed
from queuey.interfaces import AHEAD
from queuey.model.message import Condition, Message
from queuey.model.timeid import MessageId, Ticks, ticks_of, to_rfc3339


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
        raise PreconditionFailed("There is such a message already.")
    if condition.tags is None:
        raise PreconditionFailed("The message has an entity tag that it must not have.")
    raise PreconditionFailed("The message was changed meanwhile: its entity tag is another one.")


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
