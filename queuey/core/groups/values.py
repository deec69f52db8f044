"""Parameters and results of the operations on groups."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import msgspec

from queuey.model.groups.commands import SettleAnswer
from queuey.model.groups.terms import Action, Outcome
from queuey.model.messages.message import Address, Message
from queuey.model.timeid import MessageId, Ticks
from queuey.model.values import frozen

MAX_REDRIVEN: Final = 100
"""Maximum number of messages that one call redrives."""


class Settling(msgspec.Struct, frozen=True, gc=False):
    """The settlement that a client requests for one receipt.

    :ivar receipt: the client's text, not verified yet.
    :ivar span: for a retry the delay in seconds, for an extension the new length of the lease from now on (``None``:
        the group's default); otherwise ignored.
    :ivar reason: of a rejection.
    :ivar live: see ``Settlement.live``.
    """

    action: Action
    receipt: str
    span: float | None = None
    reason: str = ""
    live: bool = False


@frozen
class Claiming:
    """The parameters of a claim.

    :ivar limit: maximum number of messages.
    :ivar lease: in seconds; ``None`` is the group's default. With 0 a message may be claimed again at once, and its
        receipt is valid until then.
    :ivar wait: maximum number of seconds to wait if there are no messages.
    :ivar max_bytes: maximum size of all bodies together; a single larger message is returned alone.
    :ivar partitions: ``None`` means all partitions of the queue.
    :ivar key: the hash of the Idempotency-Key and of the caller, ``TOKEN`` bytes; ``None`` if the claim has no key.
    :ivar known: whether to give only the messages of an earlier claim with the key, and no new ones.
    :ivar key_optional: whether to claim without the key if too many claims with a key are in flight; a repeat of the
        claim gets other messages then.
    :ivar settlings: settlements that are stored before the claim in the same transaction; ``None`` if the request does
        not contain that member.
    :ivar look_pause: returns the seconds between two attempts while the claim waits, on a store that does not report
        every arrival; ``None``: as the store says, which is also the least.
    """

    limit: int = 10
    lease: int | None = None
    wait: float = 0.0
    max_bytes: int = 1 << 20
    partitions: tuple[int, ...] | None = None
    key: bytes | None = None
    known: bool = False
    key_optional: bool = False
    settlings: tuple[Settling, ...] | None = None
    look_pause: Callable[[], float] | None = None


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One delivery of a message.

    :ivar receipt: ``None`` if the guarantee is at most once, since the message is settled already.
    :ivar deliveries: number of deliveries of the message, including this one.
    :ivar lease: length of the lease in seconds, and ``until`` its end; 0 and ``None`` if there is no lease.
    """

    message: Message
    receipt: str | None
    deliveries: int
    lease: int
    until: Ticks | None


@frozen
class Delivered:
    """The result of a claim.

    :ivar deliveries: oldest first.
    :ivar blocked: whether there are no deliveries only because the limit of messages in flight is reached.
    :ivar outcomes: the outcomes of the settlements that came with the claim.
    :ivar settled: the store's answer to those settlements, before ``outcomes`` are known.
    """

    deliveries: tuple[Delivery, ...]
    blocked: bool = False
    outcomes: tuple[Outcome, ...] = ()
    settled: SettleAnswer | None = None


@attrs.frozen
class PartitionLag:
    """The position and lag of a group in one partition.

    :ivar settled_through: a bound; every message below it is settled.
    :ivar in_flight: number of messages that are leased to a worker.
    :ivar waiting: number of messages that were delivered and will be redelivered.
    :ivar set_aside: number of messages that were given up without a dead-letter queue.
    :ivar behind: number of unsettled messages, including those that were never delivered.
    :ivar exact: whether ``behind`` is exact; otherwise it is a lower bound.
    :ivar oldest: the oldest unsettled message; ``None`` if there is none.
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
    """Which messages to redrive: those at some addresses, or all in a span of time.

    :ivar addresses: of dead letters in the dead-letter queue, or of messages that were set aside; ``None`` selects by
        time.
    :ivar since: inclusive lower bound, and ``until`` the exclusive upper bound, of the time when a message became a
        dead letter or, if it was set aside, was posted.
    :ivar after: the continuation point that an earlier call returned in ``next``.
    :ivar reason: a text that the reason has of which a message became a dead letter; messages that were set aside have
        no reason.
    :ivar limit: maximum number of messages; a dry run may look at more of those that were set aside.
    :ivar dry: whether to find out what would be redriven, and change nothing.
    """

    addresses: tuple[Address, ...] | None = None
    since: Ticks | None = None
    until: Ticks | None = None
    after: str | None = None
    reason: str = ""
    limit: int = MAX_REDRIVEN
    dry: bool = False


class WhyLeft(enum.Enum):
    """Why a redrive left a dead letter where it is: its original message is gone, and no copy can be stored.

    The values are words that clients see.
    """

    QUEUE_CLOSED = "queue-closed"
    NOT_PROMISED = "not-promised"
    STORAGE_FULL = "storage-full"
    TOO_LARGE = "too-large"


@attrs.frozen
class Redriven:
    """The result of a redrive.

    :ivar moved: number of messages that can be claimed again.
    :ivar copies: number of these that are copies, because the original messages no longer exist.
    :ivar missing: number of the given addresses that have no dead letter and no message that was set aside.
    :ivar next: the continuation point for another call; ``None`` if all messages are done.
    :ivar left: number of dead letters that stay where they are, by the reason; ``next`` does not come back to them.
    """

    moved: int
    next: str | None
    copies: int = 0
    missing: int = 0
    left: Mapping[WhyLeft, int] = attrs.field(factory=dict)

    def left_words(self) -> dict[str, int]:
        """Return ``left`` by the words that clients see, in their alphabetical order."""
        return dict(sorted((why.value, number) for why, number in self.left.items()))
