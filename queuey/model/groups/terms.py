"""What is asked of a group in one partition, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import attrs
import msgspec

from queuey.model.groups.entries import DEFAULT_IN_FLIGHT, In, Target
from queuey.model.receipts import Receipt
from queuey.model.timeid import MessageId, Ticks
from queuey.model.values import frozen

NOW: Final = Ticks(0)
"""A span of no time."""

NO_SIZES: Final[Mapping[MessageId, int]] = {}


class Order(Enum):
    """In which order the messages of a partition are worked on.

    ``PARTITION`` gives one message only after the one before it is settled. ``KEY`` gives a message only if each
    earlier unsettled message of its key is given by the same claim; messages without a key are given as with ``NONE``.
    """

    __hash__ = object.__hash__  # members are singletons; the one of Enum is a function in Python

    NONE = "none"
    PARTITION = "partition"
    KEY = "key"


@attrs.frozen
class Terms:
    """The settings of a group that the rules need.

    :ivar max_deliveries: how often a message is given at most; 0: without a limit.
    :ivar dead_letter: the queue that takes a message which was given that often, or was rejected. Its incarnation is 0
        if there is no such queue. ``None``: such a message is set aside.
    :ivar at_most_once: whether a claim settles what it takes.
    :ivar max_in_flight: messages of the partition that may be examined and not settled.
    """

    order: Order = Order.NONE
    max_deliveries: int = 0
    dead_letter: Target | None = None
    at_most_once: bool = False
    max_in_flight: int = DEFAULT_IN_FLIGHT


class Outcome(Enum):
    """What became of one settlement. Clients never see the last two."""

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
"""The outcomes of settlements that changed nothing."""


# Claims


@frozen
class Wanted:
    """What a claim asks of one partition.

    :ivar limit: messages at most.
    :ivar lease: how long the leases are.
    :ivar key: hashes of the claim's Idempotency-Key and caller, and of what it asked, ``TOKEN`` bytes in all. ``None``
        for a group that gives each message at most once.
    :ivar max_bytes: bytes of bodies at most; ``None``: any number.
    :ivar owed: whether the first message is given even if it alone has more than ``max_bytes``.
    """

    limit: int
    lease: Ticks
    key: bytes | None = None
    max_bytes: int | None = None
    owed: bool = True


@frozen
class Look:
    """Which messages a claim needs to know about.

    :ivar due: messages that were given or passed over before and can be given now, oldest first: look them up.
    :ivar blocking: messages that keep the claim from getting anything: look them up, because a message that was deleted
        blocks nobody.
    :ivar room: how many messages that were never given the claim may take besides: scan for as many.
    """

    due: tuple[MessageId, ...] = ()
    blocking: tuple[MessageId, ...] = ()
    room: int = 0


@frozen
class Found:
    """What the store has at the places that a claim looked at. It stays true whatever happens to the state meanwhile.

    :ivar present: the looked-up messages that exist and may be given, oldest first.
    :ivar gone: the looked-up messages that do not exist any more.
    :ivar scanned: the ids of all messages at or above ``start`` and below ``end``, rising; the stable time is at or
        above ``end``. If the scan stopped early, ``end`` is right after the last of them.
    :ivar sizes: bytes of the bodies, needed if ``Wanted.max_bytes`` is given.
    :ivar keys: the hashes of the keys of messages that have one.
    :ivar looked: what ``claims.look`` found for this claim, if nothing has changed since; otherwise it looks again.
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
    """One message that is given.

    :ivar number: the number of its lease; 0 in a group that gives each message at most once.
    :ivar deliveries: how often it was given, including this time.
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
    :ivar blocked: whether it is empty because too many messages, or claims under a key, are in flight.
    :ivar again: whether the same key got these messages before.
    :ivar elsewhere: the partition in which the claim under this key was made.
    :ivar reused: whether something else was asked under its Idempotency-Key before.
    :ivar skipped: whether only messages were found that cannot be given now, and the log goes on after them.
    """

    taken: tuple[Taken, ...] = ()
    blocked: bool = False
    again: bool = False
    elsewhere: int | None = None
    reused: bool = False
    skipped: bool = False


# Settlements


class Action(Enum):
    """What a settlement asks for."""

    __hash__ = object.__hash__  # members are singletons; the one of Enum is a function in Python

    ACK = "ack"
    RETRY = "retry"
    EXTEND = "extend"
    REJECT = "reject"


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """A settlement of one message.

    :ivar receipt: of this queue.
    :ivar span: for a retry, how long to wait; for an extension, how long the lease is from now on.
    :ivar reason: of a rejection.
    """

    action: Action
    receipt: Receipt
    span: Ticks = NOW
    reason: str = ""


@frozen
class Settled:
    """The result of settlements of one partition.

    :ivar outcomes: in their order. For ``MOVING`` the caller carries out the move that ``index.moves`` has then.
    :ivar keys: the claims under a key that live longer now, and until when. Pointers to them must live as long.
    """

    outcomes: tuple[Outcome, ...]
    keys: Mapping[bytes, Ticks] = attrs.field(factory=dict)


# Moves


class Result(Enum):
    """What became of the write to the other queue."""

    DONE = "it was done, now or before"
    MISSING = "the other queue does not exist any more, or is another one of that name"
    GONE = "the message itself does not exist any more"


class Redrive(Enum):
    """What to do about a dead letter."""

    MARKED = "carry out the move"
    NEEDLESS = "only remove the dead letter: the message will be given anyway"
    LATER = "nothing yet: another move of the message is under way; finish it and ask again"
    FULL = "nothing yet: too much is in flight"


@attrs.frozen
class Returning:
    """A dead letter to take back, and the id of the message that it was.

    :ivar key: the hash of that message's key; 0 without one.
    """

    id: MessageId
    letter: In
    key: int = 0


@attrs.frozen
class Lag:
    """Where a group is in one partition. The store counts what is at or above ``reach``.

    :ivar settled_through: a bound; everything below it is settled.
    :ivar reach: a bound; nothing at or above it was ever given.
    :ivar in_flight: messages that are leased or being moved.
    :ivar waiting: messages that will be given again, or were passed over.
    :ivar set_aside: how many were set aside, less those that were taken back.
    :ivar oldest: the oldest message that was examined and is not settled.
    """

    settled_through: MessageId
    reach: MessageId
    in_flight: int
    waiting: int
    set_aside: int
    oldest: MessageId | None

    def behind(self, beyond: int) -> int:
        """How many messages are not settled if ``beyond`` are at or above ``reach``."""
        return self.in_flight + self.waiting + beyond
