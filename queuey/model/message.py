"""Messages: as they come, as they are stored, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queuey.model.timeid import MessageId, Ticks

if TYPE_CHECKING:
    from attrs import frozen
else:
    from functools import partial

    from attrs import define

    # Each message of a batch is four of these values. To make one that refuses changes as the program runs takes nearly
    # three times as long as one that the type checker keeps from being changed, which was a tenth of all work.
    frozen = partial(define, unsafe_hash=True)

MAX_TTL: Final = 1 << 25
"""Seconds that a message may live at the most."""

DEFAULT_TTL: Final = 259_200
"""Seconds that a message lives unless its sender or its application says otherwise: three days."""


@frozen
class Content:
    """What a message carries.

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
        return len(self.body) + len(self.content_type or "") + len(self.headers or b"")


@frozen
class Draft:
    """A message as its sender gave it; without a partition any will do."""

    content: Content
    ttl: int
    partition: int | None = None


@frozen
class NewMessage:
    """A message that is ready to be stored.

    :ivar ttl: seconds to live, from the moment it is stored.
    """

    partition: int
    content: Content
    ttl: int


@frozen
class Address:
    """Where a message is within its queue."""

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
