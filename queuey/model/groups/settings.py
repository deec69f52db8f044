"""A consumer group: its name, its settings and its initial position."""

from __future__ import annotations

import re
from typing import Final

import attrs

from queuey.model import fields
from queuey.model.groups.terms import Order
from queuey.model.pushes.settings import Push
from queuey.model.queues.queue import Guarantee
from queuey.model.reading.start import Start
from queuey.model.timeid import MessageId, Ticks

MAX_GROUP_NAME: Final = 64
"""Maximum number of characters of a group's name."""

_NAME: Final = re.compile(rf"[A-Za-z0-9._~-]{{1,{MAX_GROUP_NAME}}}")


@attrs.frozen
class GroupSettings:
    """The settings of a group.

    :ivar start: the initial position; it has no effect after the creation of the group.
    :ivar lease: default length of a lease in seconds.
    :ivar max_deliveries: maximum number of deliveries of a message; 0 means no limit.
    :ivar dead_letter: the dead-letter queue, in the same application; ``None``: messages that are given up are set
        aside.
    :ivar guarantee: ``None`` means that of the queue.
    :ivar max_in_flight: maximum number of messages of a partition that are delivered, or passed over, and not settled.
    :ivar push: how the daemon sends the messages to an endpoint; ``None``: only workers claim them.
    """

    start: Start | Ticks = Start.OLDEST
    lease: int = attrs.field(default=fields.LEASE.default, validator=fields.LEASE.check)
    max_deliveries: int = attrs.field(default=fields.MAX_DELIVERIES.default, validator=fields.MAX_DELIVERIES.check)
    dead_letter: str | None = None
    order: Order = Order.NONE
    guarantee: Guarantee | None = None
    max_in_flight: int = attrs.field(default=fields.MAX_IN_FLIGHT.default, validator=fields.MAX_IN_FLIGHT.check)
    push: Push | None = None


@attrs.frozen
class Group:
    """One incarnation of a group.

    :ivar queue: the incarnation of its queue.
    :ivar gid: 16 random bytes, part of the keys of its states; a group that is deleted and created again gets a new
        one.
    :ivar secret: 32 random bytes that authenticate its receipts; never shown.
    :ivar place: the bound at which it started; messages below it do not belong to the group.
    :ivar version: replaced by each change of the settings.
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
    """Return why a group's name is refused, or ``None`` if it is valid."""
    if name in (".", ".."):
        return '"." and ".." are no names, since URL parsers drop them.'
    if _NAME.fullmatch(name) is None:
        return f"A group's name has 1 to {MAX_GROUP_NAME} characters of A-Z a-z 0-9 . _ ~ -"
    return None
