"""A consumer group: its name, its settings, and where it began."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

import attrs

from queuey.model.groups.entries import DEFAULT_IN_FLIGHT
from queuey.model.groups.terms import Order
from queuey.model.queue import Guarantee
from queuey.model.timeid import MessageId, Ticks

MAX_LEASE: Final = 43_200
"""Seconds of a lease at the most: twelve hours."""

DEFAULT_LEASE: Final = 30
"""Seconds of a lease unless the group or the claim says otherwise."""

MAX_DELIVERIES: Final = 1000
"""The greatest limit of deliveries that a group may have."""

MAX_GROUP_NAME: Final = 64
"""Characters of a group's name."""

_NAME: Final = re.compile(rf"[A-Za-z0-9._~-]{{1,{MAX_GROUP_NAME}}}")


class Start(Enum):
    """Where a group begins that names no time."""

    OLDEST = "oldest"
    NEWEST = "newest"


@attrs.frozen
class GroupSettings:
    """What an owner chooses for a group.

    :ivar start: where it begins; matters at its creation only.
    :ivar lease: seconds that a claim has its messages for, unless it asks for another time.
    :ivar max_deliveries: how often a message is given at the most; 0 is without a limit.
    :ivar dead_letter: the queue of the same application that takes what is given up; ``None``: it is set aside.
    :ivar guarantee: ``None`` is what the queue has.
    :ivar max_in_flight: messages of a partition that may be given, or passed over, and not settled.
    """

    start: Start | Ticks = Start.OLDEST
    lease: int = DEFAULT_LEASE
    max_deliveries: int = 0
    dead_letter: str | None = None
    order: Order = Order.NONE
    guarantee: Guarantee | None = None
    max_in_flight: int = DEFAULT_IN_FLIGHT


@attrs.frozen
class Group:
    """One life of a group.

    :ivar queue: the incarnation of its queue.
    :ivar gid: 16 random bytes; a group that is deleted and made anew has others. Its states are found by it.
    :ivar secret: 32 random bytes, by which its receipts are authenticated; never shown.
    :ivar place: the bound at which it began: what is below it was never its business.
    :ivar version: another one after each change of the settings.
    :ivar ended: whether it is being deleted.
    """

    queue: int
    name: str
    gid: bytes = attrs.field(repr=False)
    secret: bytes = attrs.field(repr=False)
    settings: GroupSettings
    place: MessageId
    created: Ticks
    version: str
    ended: bool = False


def group_name_problem(name: str) -> str | None:
    """What is wrong with a group's name, or ``None`` for a good one."""
    if name in (".", ".."):
        return '"." and ".." are no names, since URL parsers drop them.'
    if _NAME.fullmatch(name) is None:
        return f"A group's name has 1 to {MAX_GROUP_NAME} characters of A-Z a-z 0-9 . _ ~ -"
    return None
