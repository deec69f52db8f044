"""What is asked of groups, and what is answered."""

from __future__ import annotations

import attrs

from queuey.model.groups.commands import SettleAnswer
from queuey.model.groups.terms import Action, Outcome
from queuey.model.message import Address, Message
from queuey.model.timeid import MessageId, Ticks
from queuey.model.values import frozen


@frozen
class Settling:
    """What is asked for one receipt.

    :ivar receipt: as it was given out; any text.
    :ivar span: of a retry the seconds to wait, of an extension those of the lease from now on (``None``: what the
        group has); else without meaning.
    :ivar reason: of a rejection.
    """

    action: Action
    receipt: str
    span: float | None = None
    reason: str = ""


@frozen
class Claiming:
    """What a claim asks for.

    :ivar limit: messages at the most.
    :ivar lease: seconds; ``None`` is what the group has.
    :ivar wait: seconds to wait at the most where there is nothing.
    :ivar max_bytes: bytes of bodies at the most; one message may be larger, and then comes alone.
    :ivar partitions: ``None`` is all of the queue.
    :ivar key: the hash of its Idempotency-Key and of who asks, ``TOKEN`` bytes; ``None``: it has none.
    :ivar settlings: what it settles first, in the same transaction; ``None``: it does not say.
    """

    limit: int = 10
    lease: int | None = None
    wait: float = 0.0
    max_bytes: int = 1 << 20
    partitions: tuple[int, ...] | None = None
    key: bytes | None = None
    settlings: tuple[Settling, ...] | None = None


@frozen
class Delivery:
    """One message that is given.

    :ivar receipt: ``None`` where it is at most once: it is settled already.
    :ivar deliveries: how often it was given, this time included.
    :ivar lease: seconds of its lease, and ``until`` when that ends; 0 and ``None`` where there is none.
    """

    message: Message
    receipt: str | None
    deliveries: int
    lease: int
    until: Ticks | None


@frozen
class Delivered:
    """What a claim is answered.

    :ivar deliveries: oldest first.
    :ivar blocked: whether there is nothing for the one reason that too much is in flight.
    :ivar outcomes: what became of the settlements that came with the claim.
    :ivar settled: the store's answer to those settlements, as long as ``outcomes`` are not known.
    """

    deliveries: tuple[Delivery, ...]
    blocked: bool = False
    outcomes: tuple[Outcome, ...] = ()
    settled: SettleAnswer | None = None


@attrs.frozen
class PartitionLag:
    """Where a group is in one partition.

    :ivar settled_through: a bound: everything below it is settled.
    :ivar in_flight: messages that somebody has a lease of.
    :ivar waiting: messages that were given, and will be again.
    :ivar set_aside: messages that were given up without a dead-letter queue.
    :ivar behind: messages that are not settled, those that were never given included.
    :ivar exact: whether ``behind`` is; else there are at least so many.
    :ivar oldest: the oldest message that is not settled; ``None`` where there is none.
    """

    partition: int
    settled_through: MessageId
    in_flight: int
    waiting: int
    set_aside: int
    behind: int
    exact: bool
    oldest: MessageId | None


@attrs.frozen
class Redriving:
    """Which dead letters to take back: those of these addresses, or all in a span of time.

    :ivar addresses: of dead letters in the dead-letter queue, or of messages that were set aside; ``None``: by time.
    :ivar since: at or above it, and ``until``, below it: when it became a dead letter, or, set aside, was posted.
    :ivar after: where an earlier call ended, as it said in ``next``.
    """

    addresses: tuple[Address, ...] | None = None
    since: Ticks | None = None
    until: Ticks | None = None
    after: str | None = None


@attrs.frozen
class Redriven:
    """What a redrive is answered.

    :ivar moved: how many messages can be claimed again.
    :ivar next: where to go on with another call; ``None``: it is all done.
    """

    moved: int
    next: str | None
