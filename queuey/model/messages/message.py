"""Messages: as they come, as they are stored, and their addresses.

Each message of a batch is several of these values. Those that are made by msgspec take less than half the time of a
class that is written in Python, and the garbage collector does not look at them.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from queuey.model import fields
from queuey.model.timeid import MessageId, Ticks
from queuey.model.values import frozen

MAX_TTL: Final = fields.TTL.high
"""Maximum number of seconds that a message may live."""

MAX_MESSAGE_KEY: Final = 1024
"""Bytes of the key that a message is posted with, in UTF-8; it is kept with the message."""

MAX_DELAY: Final = int(fields.DELAY.high)
"""Maximum number of seconds by which a message may be delayed."""


class Content(msgspec.Struct, frozen=True, gc=False):
    """The content of a message.

    :ivar body: any bytes.
    :ivar content_type: the media type that came with it, or ``None``.
    :ivar headers: the sender's own headers, encoded, or ``None``.
    """

    body: bytes
    content_type: str | None = None
    headers: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes that count against an application's limit."""
        size = len(self.body)
        if self.content_type is not None:
            size += len(self.content_type)
        if self.headers is not None:
            size += len(self.headers)
        return size


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A message as its sender gave it; without a partition any will do.

    :ivar key: messages of one key go to one partition; not given beside a partition.
    :ivar delay: how long after it is stored it takes its place in the log, and begins to live.
    """

    content: Content
    ttl: int
    partition: int | None = None
    key: str | None = None
    delay: Ticks = Ticks(0)


class NewMessage(msgspec.Struct, frozen=True, gc=False):
    """A message that is ready to be stored.

    :ivar ttl: seconds to live, from the moment it is stored, or is due.
    :ivar delay: how long after it is stored it is due: it takes an id of that time.
    """

    partition: int
    content: Content
    ttl: int
    delay: Ticks = Ticks(0)


class Address(msgspec.Struct, frozen=True, gc=False):
    """The address of a message within its queue."""

    partition: int
    id: MessageId


@frozen
class Message:
    """A stored message.

    :ivar expires: the first moment at which it is no longer shown.
    """

    partition: int
    id: MessageId
    content: Content
    expires: Ticks


def tag_of(message: Message) -> str:
    """Text that differs between any two writes of a message; what an entity tag has between its quotes.

    When a message expires follows from when it was written, so two writes of the same content differ too.
    """
    content = message.content
    digest = hashlib.blake2b(digest_size=16)
    for part in (message.id, b"%d" % message.expires, (content.content_type or "").encode(), content.headers or b""):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    digest.update(content.body)
    return digest.hexdigest()


@frozen
class Condition:
    """A precondition for writing the message at an address.

    :ivar absent: there is no message.
    :ivar present: there is a message.
    :ivar tags: there is a message whose ``tag_of`` is one of these; ``None``: no condition.
    :ivar others: there is no message whose ``tag_of`` is one of these.
    """

    absent: bool = False
    present: bool = False
    tags: frozenset[str] | None = None
    others: frozenset[str] = frozenset()

    def holds(self, message: Message | None) -> bool:
        """Whether it is so; ``None`` is for no message, or one that has expired."""
        if message is None:
            return not self.present and self.tags is None
        if self.absent:
            return False
        if self.tags is None and not self.others:
            return True
        tag = tag_of(message)
        return (self.tags is None or tag in self.tags) and tag not in self.others


ANYWAY: Final = Condition()
"""A condition that always holds."""
