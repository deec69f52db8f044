"""Parameters and results of the operations on a group in one partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final

import attrs
import msgspec

from queuey.model import fields
from queuey.model.groups.entries import In, Target
from queuey.model.groups.receipts import Receipt
from queuey.model.timeid import MessageId, Ticks
from queuey.model.values import frozen

NOW: Final = Ticks(0)
"""No delay."""

NO_SIZES: Final[Mapping[MessageId, int]] = {}


class Order(Enum):
    """The order in which the messages of a partition are delivered.

    ``PARTITION`` delivers a message only after the one before it is settled. ``KEY`` delivers a message only if the
    same claim delivers each earlier unsettled message with the same key; messages without a key are delivered as with
    ``NONE``.
    """

    __hash__ = object.__hash__  # members are singletons; the one of Enum is a function in Python

    NONE = "none"
    PARTITION = "partition"
    KEY = "key"


@attrs.frozen
class Terms:
    """The settings of a group that the rules need.

    :ivar max_deliveries: maximum number of deliveries of a message; 0 means no limit.
    :ivar dead_letter: the queue for messages that were delivered that often or were rejected. Its incarnation is 0 if
        there is no such queue. ``None``: such messages are set aside.
    :ivar at_most_once: whether a claim settles the messages that it takes.
    :ivar max_in_flight: maximum number of messages of the partition that are examined and not settled.
    """

    order: Order = Order.NONE
    max_deliveries: int = 0
    dead_letter: Target | None = None
    at_most_once: bool = False
    max_in_flight: int = fields.MAX_IN_FLIGHT.default


class Outcome(Enum):
    """The result of one settlement. Clients never see the last two."""

    __hash__ = object.__hash__  # members are singletons; the one of Enum is a function in Python

    ACKED = "acked"
    RETRYING = "retrying"
    EXTENDED = "extended"
    DEAD_LETTERED = "dead-lettered"
    SET_ASIDE = "set-aside"
    ALREADY_ACKED = "already-acked"
    STALE = "stale"
    INVALID = "invalid"
    MOVING = "a move was marked: its result is the answer"
    LATER = "too many moves are under way and nothing was changed: finish some and ask again"


UNCHANGED: Final = frozenset((Outcome.ALREADY_ACKED, Outcome.STALE, Outcome.INVALID, Outcome.LATER))
"""The outcomes of settlements that did not change the state."""


def applied_by(outcomes: Iterable[Outcome]) -> str:
    """Return the ``applied`` of an error that comes after settlements with these outcomes."""
    return "no" if UNCHANGED.issuperset(outcomes) else "partly"


# Claims


@frozen
class Wanted:
    """The parameters of a claim in one partition.

    :ivar limit: maximum number of messages.
    :ivar lease: length of the leases.
    :ivar key: hashes of the claim's Idempotency-Key and caller, and of its parameters, ``TOKEN`` bytes in all. ``None``
        if the claim has no key, and always if the group's guarantee is at most once.
    :ivar max_bytes: maximum size of all bodies together; ``None`` means no limit.
    :ivar owed: whether the first message is delivered even if it is larger than ``max_bytes``.
    """

    limit: int
    lease: Ticks
    key: bytes | None = None
    max_bytes: int | None = None
    owed: bool = True


@frozen
class Look:
    """The messages that the store has to look up for a claim.

    :ivar due: messages that can be delivered now and were delivered or passed over before, oldest first: look them up.
    :ivar blocking: messages that keep the claim from getting any message: look them up, because a deleted message must
        not block others.
    :ivar room: how many messages the claim may take that were never delivered: scan for as many.
    """

    due: tuple[MessageId, ...] = ()
    blocking: tuple[MessageId, ...] = ()
    room: int = 0


@frozen
class Found:
    """The messages that the store found for a claim. Later changes of the state do not make it wrong.

    :ivar present: the looked-up messages that exist and may be delivered, oldest first.
    :ivar gone: the looked-up messages that no longer exist.
    :ivar scanned: the ids of all messages at or above ``start`` and below ``end``, ascending; the stable time is at or
        above ``end``. If the scan stopped early, ``end`` is right after the last of them.
    :ivar sizes: sizes of the bodies in bytes, needed if ``Wanted.max_bytes`` is given.
    :ivar keys: the hashes of the keys of messages that have one.
    :ivar looked: the result of ``claims.look`` for this claim, if the state has not changed since; otherwise
        ``claims.claim`` calls it again.
    """

    present: Sequence[MessageId] = ()
    gone: Sequence[MessageId] = ()
    scanned: Sequence[MessageId] = ()
    start: MessageId | None = None
    end: MessageId | None = None
    sizes: Mapping[MessageId, int] = NO_SIZES
    keys: Mapping[MessageId, int] = NO_SIZES
    looked: Look | None = None


class Taken(msgspec.Struct, frozen=True, gc=False):
    """A message that was claimed.

    :ivar number: the number of its lease; 0 if the group's guarantee is at most once.
    :ivar deliveries: number of deliveries, including this one.
    :ivar until: when its lease ends.
    """

    id: MessageId
    number: int
    deliveries: int
    until: Ticks


@frozen
class Claimed:
    """The result of a claim in one partition.

    :ivar taken: oldest first.
    :ivar blocked: whether it is empty because too many messages, or claims with a key, are in flight.
    :ivar again: whether an earlier claim with the same key got these messages.
    :ivar elsewhere: the partition in which the claim with this key was made.
    :ivar reused: whether the Idempotency-Key was used with other parameters before.
    :ivar skipped: whether only messages were found that cannot be delivered now, and more messages may follow them.
    :ivar full: whether it is empty because too many claims with a key are in flight; then it is ``blocked`` too.
    """

    taken: tuple[Taken, ...] = ()
    blocked: bool = False
    again: bool = False
    elsewhere: int | None = None
    reused: bool = False
    skipped: bool = False
    full: bool = False


# Settlements


class Action(Enum):
    """The action of a settlement."""

    __hash__ = object.__hash__  # members are singletons; the one of Enum is a function in Python

    ACK = "ack"
    RETRY = "retry"
    EXTEND = "extend"
    REJECT = "reject"


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """A settlement of one message.

    :ivar receipt: of this queue.
    :ivar span: for a retry the delay, for an extension the length of the lease from now on.
    :ivar reason: of a rejection.
    :ivar live: whether the receipt is valid only until its lease ends. Without it a receipt is valid until the message
        is claimed again.
    """

    action: Action
    receipt: Receipt
    span: Ticks = NOW
    reason: str = ""
    live: bool = False


@frozen
class Settled:
    """The result of settlements in one partition.

    :ivar outcomes: in order. For ``MOVING`` the caller has to carry out the move in ``index.moves``.
    :ivar keys: the claims with a key that were extended, and until when. Pointers to them must live as long.
    """

    outcomes: tuple[Outcome, ...]
    keys: Mapping[bytes, Ticks] = attrs.field(factory=dict)


# Moves


class Result(Enum):
    """The result of the write to the other queue."""

    DONE = "it was done, now or before"
    MISSING = "the other queue does not exist any more, or is another one of that name"
    GONE = "the message itself does not exist any more"


class Redrive(Enum):
    """The next step for the caller of ``moves.redrive``."""

    MARKED = "carry out the move"
    NEEDLESS = "only remove the dead letter: the message will be given anyway"
    LATER = "not yet: another move of the message is under way; finish it and ask again"
    FULL = "not yet: too much is in flight"


@attrs.frozen
class Returning:
    """A dead letter to redrive, and the id of its original message.

    :ivar key: the hash of the original message's key; 0 without a key.
    """

    id: MessageId
    letter: In
    key: int = 0


@attrs.frozen
class Lag:
    """The position and lag of a group in one partition. The store counts the messages at or above ``reach``.

    :ivar settled_through: a bound; every message below it is settled.
    :ivar reach: a bound; no message at or above it was delivered.
    :ivar in_flight: number of messages that are leased or being moved.
    :ivar waiting: number of messages that will be redelivered, or were passed over.
    :ivar set_aside: number of messages that are set aside.
    :ivar oldest: the oldest examined message that is unsettled.
    """

    settled_through: MessageId
    reach: MessageId
    in_flight: int
    waiting: int
    set_aside: int
    oldest: MessageId | None

    def behind(self, beyond: int) -> int:
        """Return the number of unsettled messages if ``beyond`` are at or above ``reach``."""
        return self.in_flight + self.waiting + beyond
