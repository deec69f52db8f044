"""What the model of a group knows of a message, and of a claim under a key."""

from __future__ import annotations

import attrs

from queuey.model.groups.entries import MAX_TARGETS, Target
from queuey.model.timeid import MessageId

TARGETS = tuple(Target("dead", number) for number in range(MAX_TARGETS))


def id_of(message: int) -> MessageId:
    return MessageId(message.to_bytes(16, "big"))


def number_of(id: MessageId) -> int:
    return int.from_bytes(id, "big")


@attrs.define
class Known:
    """What the model knows of a message that is open."""

    number: int
    due: int
    deliveries: int
    kind: int
    setbacks: int = 0
    letter: int | None = None
    key: int = 0


@attrs.define
class Keyed:
    """A claim under a key."""

    numbers: range
    until: int
