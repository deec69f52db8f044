"""The commands that an :class:`queuey.interfaces.IGroupStore` runs, and its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import msgspec

from queuey.model.groups.entries import Entry, Move
from queuey.model.groups.terms import Lag, Outcome, Redrive, Result, Returning, Settlement, Taken
from queuey.model.messages.message import Message
from queuey.model.timeid import MessageId, Ticks
from queuey.model.values import frozen


class Settle(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Settle messages, in order. The answer is a ``SettleAnswer``."""

    settlements: tuple[Settlement, ...]


class Take(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Claim messages. The answer is a ``TakeAnswer``.

    :ivar partitions: the partitions to look in, in this order; not empty.
    :ivar limit: maximum number of messages.
    :ivar lease: length of the leases.
    :ivar max_bytes: maximum size of all bodies together; a single larger message is returned alone.
    :ivar key: see ``Wanted.key``.
    :ivar known: whether to give only the messages of an earlier claim with the key, and no new ones.
    """

    partitions: tuple[int, ...]
    limit: int
    lease: Ticks
    max_bytes: int
    key: bytes | None = None
    known: bool = False


class GiveBack(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Undo a claim whose answer was not sent; see ``claims.give_back``. The answer is ``None``.

    :ivar taken: by partition.
    """

    taken: tuple[tuple[int, tuple[Taken, ...]], ...]


class Finish(msgspec.Struct, frozen=True, gc=False, tag=True):
    """End moves; see ``moves.finish``. The answer is ``None``.

    :ivar ended: the ids of the messages, the numbers of the marks and the results of the writes.
    """

    partition: int
    ended: tuple[tuple[MessageId, int, Result], ...]


class Seek(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Move the group's position in one partition; see ``places.seek``. The state does not change if the group is there
    already and has delivered no message since.

    The answer is a ``bool``: ``False`` if moves are under way; then the state is unchanged.
    """

    partition: int
    reach: MessageId
    generation: bytes


class TakeBack(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Mark messages whose dead letters are to be redriven; see ``moves.redrive``.

    The answer is a tuple with a ``Redrive`` for each, or ``None`` if leases or marks were made since ``seen``: then the
    state is unchanged, and the caller has to look up the dead letters again.

    :ivar seen: ``View.last``, read before the dead letters were looked up.
    """

    partition: int
    seen: int
    letters: tuple[Returning, ...]


class Reopen(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Make messages deliverable again that were set aside; see ``moves.reopen``. The answer is a ``ReopenAnswer``.

    :ivar there: ids of messages that exist, and ``gone`` of messages that no longer do.
    :ivar keys: the hash of the key of each message that exists, 0 without a key; empty if no message has a key.
    """

    partition: int
    there: tuple[MessageId, ...]
    gone: tuple[MessageId, ...] = ()
    keys: tuple[int, ...] = ()

    def key_hashes(self) -> Mapping[MessageId, int]:
        """Return the hashes of the keys of the messages that exist."""
        return dict(zip(self.there, self.keys, strict=False))


Command = Settle | Take | GiveBack | Finish | Seek | TakeBack | Reopen


@attrs.frozen
class Mark:
    """A message that is being moved.

    :ivar number: of the mark.
    :ivar deliveries: number of deliveries of the message.
    """

    id: MessageId
    number: int
    move: Move
    deliveries: int


class SettleAnswer(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The result of ``Settle``.

    :ivar outcomes: in the order of the settlements; ``Outcome.INVALID`` also for a partition that the queue does not
        have.
    :ivar marked: the number of the mark for each ``Outcome.MOVING``, by its index in ``outcomes``.
    """

    outcomes: tuple[Outcome, ...]
    marked: Mapping[int, int] = msgspec.field(default_factory=dict)


@frozen
class Share:
    """The messages that a claim got from one partition.

    :ivar generation: of the group in that partition.
    :ivar messages: of ``taken``, in the same order; ``None`` for a message that no longer exists.
    """

    partition: int
    generation: bytes
    taken: tuple[Taken, ...]
    messages: Sequence[Message | None]


class TakeAnswer(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The result of ``Take``.

    :ivar blocked: whether it is empty because too many messages, or claims with a key, are in flight.
    :ivar reused: whether the Idempotency-Key was used with other parameters; then no message was claimed.
    :ivar again: whether an earlier claim with the same key got these messages.
    :ivar full: whether it is empty because too many claims with a key are in flight; then it is ``blocked`` too.
    """

    shares: tuple[Share, ...] = ()
    blocked: bool = False
    reused: bool = False
    again: bool = False
    full: bool = False


class ReopenAnswer(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The result of ``Reopen``.

    :ivar opened: number of messages that can be claimed now.
    :ivar full: whether the limit of messages in flight left some of them set aside.
    """

    opened: int
    full: bool


Answer = SettleAnswer | TakeAnswer | ReopenAnswer | tuple[Redrive, ...] | bool | None


@frozen
class After:
    """A partition right after a command.

    :ivar due: when the next lease ends or the next delayed message falls due; ``None`` if there is none.
    :ivar moving: whether marked moves have to be carried out.
    """

    due: Ticks | None
    moving: bool


@frozen
class Ran:
    """The answers to commands, in order.

    :ivar after: the partitions that were changed, or that a claim looked at.
    """

    answers: tuple[Answer, ...]
    after: Mapping[int, After]


@attrs.frozen
class View:
    """The current state of a group in one partition.

    :ivar last: the greatest lease number so far.
    :ivar lag: counts the messages below ``lag.reach``.
    :ivar marks: the moves under way.
    :ivar aside: the ids of the messages that were set aside last.
    :ivar open: the entries of the requested messages that are unsettled.
    """

    last: int
    lag: Lag
    marks: tuple[Mark, ...] = ()
    aside: tuple[MessageId, ...] = ()
    open: Mapping[MessageId, Entry] = attrs.field(factory=dict)
