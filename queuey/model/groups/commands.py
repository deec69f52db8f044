"""The commands that an :class:`queuey.interfaces.IGroupStore` runs, and its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import msgspec

from queuey.model.groups.entries import Entry, Move
from queuey.model.groups.terms import Lag, Outcome, Redrive, Result, Returning, Settlement, Taken
from queuey.model.message import Message
from queuey.model.timeid import MessageId, Ticks
from queuey.model.values import frozen


class Settle(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Settle messages, in their order. It is answered with a ``SettleAnswer``."""

    settlements: tuple[Settlement, ...]


class Take(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Claim messages. It is answered with a ``TakeAnswer``.

    :ivar partitions: where to look, in this order; not empty.
    :ivar limit: messages at most.
    :ivar lease: how long the leases are.
    :ivar max_bytes: bytes of bodies at most; one message may have more, and then comes alone.
    :ivar key: see ``Wanted.key``.
    """

    partitions: tuple[int, ...]
    limit: int
    lease: Ticks
    max_bytes: int
    key: bytes | None = None


class GiveBack(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Undo what a claim took, because its answer was not sent: see ``claims.give_back``. It is answered with ``None``.

    :ivar taken: by partitions.
    """

    taken: tuple[tuple[int, tuple[Taken, ...]], ...]


class Finish(msgspec.Struct, frozen=True, gc=False, tag=True):
    """End moves; see ``moves.finish``. It is answered with ``None``.

    :ivar ended: the ids of the messages, the numbers of the marks, and what became of the writes.
    """

    partition: int
    ended: tuple[tuple[MessageId, int, Result], ...]


class Seek(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Go to another place in one partition; see ``places.seek``. If the group is there already, and nothing was given
    since, nothing changes.

    It is answered with a ``bool``: false if moves are under way, and then nothing was changed.
    """

    partition: int
    reach: MessageId
    generation: bytes


class TakeBack(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Mark messages whose dead letters are to be taken back; see ``moves.redrive``.

    It is answered with a tuple of ``Redrive``, one for each; or with ``None`` if leases or marks were made since
    ``seen``: then nothing was changed, and the dead letters have to be looked up again.

    :ivar seen: ``View.last`` of before the dead letters were looked up.
    """

    partition: int
    seen: int
    letters: tuple[Returning, ...]


class Reopen(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Let messages be claimed that were set aside; see ``moves.reopen``. It is answered with a ``ReopenAnswer``.

    :ivar there: ids of messages that exist, and ``gone`` of messages that do not.
    :ivar keys: the hash of the key of each that exists, 0 without one; empty: none has a key.
    """

    partition: int
    there: tuple[MessageId, ...]
    gone: tuple[MessageId, ...] = ()
    keys: tuple[int, ...] = ()

    def key_hashes(self) -> Mapping[MessageId, int]:
        """The hashes of the keys of messages that exist."""
        return dict(zip(self.there, self.keys, strict=False))


Command = Settle | Take | GiveBack | Finish | Seek | TakeBack | Reopen


@attrs.frozen
class Mark:
    """A message that is being moved.

    :ivar number: of the mark.
    :ivar deliveries: how often the message was given.
    """

    id: MessageId
    number: int
    move: Move
    deliveries: int


class SettleAnswer(msgspec.Struct, frozen=True, gc=False, tag=True):
    """What became of settlements.

    :ivar outcomes: in their order; ``Outcome.INVALID`` also for a partition that the queue does not have.
    :ivar marked: for each ``Outcome.MOVING``, by its place in ``outcomes``, the number of the mark.
    """

    outcomes: tuple[Outcome, ...]
    marked: Mapping[int, int] = msgspec.field(default_factory=dict)


@frozen
class Share:
    """What a claim got of one partition.

    :ivar generation: of the group there.
    :ivar messages: of ``taken``, in that order; ``None`` for one that does not exist any more.
    """

    partition: int
    generation: bytes
    taken: tuple[Taken, ...]
    messages: Sequence[Message | None]


class TakeAnswer(msgspec.Struct, frozen=True, gc=False, tag=True):
    """What a claim got.

    :ivar blocked: whether it got nothing because too many messages, or claims under a key, are in flight.
    :ivar reused: whether something else was asked under its Idempotency-Key before; then it got nothing.
    :ivar again: whether the same key got these messages before.
    """

    shares: tuple[Share, ...] = ()
    blocked: bool = False
    reused: bool = False
    again: bool = False


class ReopenAnswer(msgspec.Struct, frozen=True, gc=False, tag=True):
    """What became of messages that were set aside.

    :ivar opened: how many can be claimed now.
    :ivar full: whether there was no room for some of them.
    """

    opened: int
    full: bool


Answer = SettleAnswer | TakeAnswer | ReopenAnswer | tuple[Redrive, ...] | bool | None


@frozen
class After:
    """A partition as it was right after a command.

    :ivar due: when the next lease ends, or the next message falls due that was given back; ``None`` if none will.
    :ivar moving: whether moves are under way that somebody has to carry out.
    """

    due: Ticks | None
    moving: bool


@frozen
class Ran:
    """The answers to commands, in their order.

    :ivar after: the partitions that were changed, or looked at by a claim.
    """

    answers: tuple[Answer, ...]
    after: Mapping[int, After]


@attrs.frozen
class View:
    """One partition of a group, as it is.

    :ivar last: the greatest lease number so far.
    :ivar lag: counts what is below ``lag.reach``.
    :ivar marks: the moves under way.
    :ivar aside: the ids of the messages that were set aside last.
    :ivar open: the entries of those messages that were asked for and are not settled.
    """

    last: int
    lag: Lag
    marks: tuple[Mark, ...] = ()
    aside: tuple[MessageId, ...] = ()
    open: Mapping[MessageId, Entry] = attrs.field(factory=dict)
