"""Values that a copy of a store is made of, and the mark of an unfinished copy."""

from __future__ import annotations

import json
from typing import Final, Generic, TypeVar

import attrs

from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue
from queuey.model.timeid import LOWEST, MessageId, Ticks
from queuey.model.values import frozen

T = TypeVar("T")

MARK_KEY: Final = "copy"
"""The state that says that a store is a copy, and whether it is whole; it is no part of what is copied."""

_FORMAT: Final = 1


@attrs.frozen
class ExportPage(Generic[T]):
    """Some of many.

    :ivar rest: where those after them begin, for the same store alone; ``None`` if these are the last.
    """

    items: tuple[T, ...]
    rest: str | None


@attrs.frozen
class GroupPlace:
    """The key of a state of a group.

    :ivar incarnation: of its queue.
    """

    incarnation: int
    gid: bytes
    partition: int


@attrs.frozen
class StoredQueue:
    """An incarnation of a queue, with what was purged.

    :ivar purged: messages below it were purged in at least one partition; ``LOWEST`` if there was never a purge.
    """

    queue: Queue
    purged: MessageId = LOWEST


@frozen
class Head:
    """One version of a message without its content: each write of a message gives it another time to end."""

    id: MessageId
    expires: Ticks


@attrs.frozen
class Heads:
    """Some heads of a partition, by their ids.

    :ivar rest: the bound below which these are all; ``None`` if there are no others.
    """

    heads: tuple[Head, ...]
    rest: MessageId | None


@attrs.frozen
class KeptAnswer:
    """A stored answer to a write with an Idempotency-Key.

    :ivar incarnation: of its queue.
    :ivar key: the hash of who asked and of the Idempotency-Key.
    :ivar digest: the hash of what was asked.
    :ivar addresses: where its messages are.
    :ivar note: that was kept with it.
    :ivar expires: the first moment at which it is not remembered any more.
    """

    incarnation: int
    key: bytes
    digest: bytes
    addresses: tuple[Address, ...]
    note: str
    expires: Ticks


@attrs.frozen
class Reach:
    """The highest ids and numbers that a store has given out and must not give again.

    :ivar stable: the greatest time of an id that a reader may have seen, or of one that was made.
    :ivar incarnation: the greatest incarnation that a queue has had; 0 if incarnations are not counted.
    """

    stable: Ticks
    incarnation: int = 0


@attrs.frozen
class Size:
    """Approximate numbers of queues and messages of a store; ``None`` if it does not count them."""

    queues: int | None
    messages: int | None


class UnreadableMark(Exception):
    """The bytes are no mark of ours: they are damaged, or a later version of Queuey wrote them."""


@attrs.frozen
class Mark:
    """The mark of a store that is a copy.

    :ivar source: the store that was copied, described for operators.
    :ivar whole: whether the copy is complete and may be served from.
    """

    source: str
    whole: bool = False

    def encoded(self) -> bytes:
        """Return the bytes that are stored as the state."""
        row = {"format": _FORMAT, "source": self.source, "whole": self.whole}
        return json.dumps(row, separators=(",", ":")).encode("ascii")


def decode_mark(value: bytes) -> Mark:
    """The mark that bytes are.

    :raise UnreadableMark: they are none that this program knows.
    """
    try:
        row = json.loads(value)
        if row["format"] != _FORMAT:
            raise UnreadableMark("The mark of a copy is of another version of Queuey.")
        return Mark(str(row["source"]), bool(row["whole"]))
    except (KeyError, TypeError, ValueError):
        raise UnreadableMark("The mark of a copy is damaged.") from None


def refusal(value: bytes | None) -> str | None:
    """Return why a store with such a mark must not be served from, as the end of a sentence; ``None`` if it may.

    :param value: the state ``MARK_KEY``; ``None`` if there is none.
    """
    if value is None:
        return None
    try:
        mark = decode_mark(value)
    except UnreadableMark as error:
        return f"cannot be used: {error}"
    if mark.whole:
        return None
    return f"is an unfinished copy of {mark.source}: finish it by queuey copy --finish, or remove it"
