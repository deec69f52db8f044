"""The messages of a page as columns: a page that is only rendered as JSON needs no object for each message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from struct import Struct
from typing import Final, overload

import attrs

from queuey.model.messages.message import Content, Message
from queuey.model.timeid import EPOCH, MessageId, Ticks

BETWEEN: Final = b"\x1e"
"""Separates the bodies and does not occur in them: the record separator of ASCII."""

DIGITS: Final = 17
"""Digits of each expiry, in ticks since 1970."""

EARLIEST: Final = Ticks(EPOCH + 10 ** (DIGITS - 1))
LATEST: Final = Ticks(EPOCH + 10**DIGITS - 1)
"""The first and the last time that has as many digits: in 2001 and in 2286."""


@attrs.frozen(eq=False)
class Columns(Sequence[Message]):
    """Messages of one partition that have the same type and the same headers.

    As a sequence they are the messages, which are made when the first of them is asked for.

    :ivar heads: of each its id, 16 bytes, and its expiry, ``DIGITS`` digits.
    :ivar bodies: with ``BETWEEN`` between them.
    :ivar number: how many there are, at least one.
    """

    partition: int
    heads: bytes
    content_type: str | None
    headers: bytes | None
    bodies: bytes
    number: int

    @property
    def ids(self) -> tuple[MessageId, ...]:
        """The id of each."""
        return self._split_heads[0::2]  # type: ignore[return-value]

    @property
    def expiries(self) -> tuple[bytes, ...]:
        """The expiry of each, in digits."""
        return self._split_heads[1::2]

    @property
    def _split_heads(self) -> tuple[bytes, ...]:
        return _heads(self.number).unpack(self.heads)

    @property
    def body_bytes(self) -> int:
        """The bytes of the bodies."""
        return len(self.bodies) - (self.number - 1)

    @property
    def content_bytes(self) -> int:
        """The bytes of all that they carry."""
        return self.body_bytes + self.number * (len(self.content_type or "") + len(self.headers or b""))

    @cached_property
    def _made(self) -> tuple[Message, ...]:
        partition, content_type, headers = self.partition, self.content_type, self.headers
        bodies = self.bodies.split(BETWEEN)
        return tuple(
            [
                Message(partition, id, Content(body, content_type, headers), Ticks(EPOCH + int(expires)))
                for id, expires, body in zip(self.ids, self.expiries, bodies, strict=True)
            ]
        )

    @overload
    def __getitem__(self, place: int) -> Message: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Message, ...]: ...

    def __getitem__(self, place: int | slice) -> Message | tuple[Message, ...]:
        return self._made[place]

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[Message]:
        return iter(self._made)

    def __eq__(self, other: object) -> bool:
        return self._made == (other._made if isinstance(other, Columns) else other)

    def __hash__(self) -> int:
        return hash(self._made)


def body_bytes(messages: Sequence[Message]) -> int:
    """The bytes of the bodies of messages."""
    if type(messages) is Columns:
        return messages.body_bytes
    return sum([len(message.content.body) for message in messages])


def sizes(messages: Iterable[Message]) -> tuple[int, int]:
    """Return what ``body_bytes`` and ``content_bytes`` return, for few messages, with fewer calls."""
    bodies = contents = 0
    for message in messages:
        content = message.content
        size = len(content.body)
        bodies += size
        contents += size
        if content.content_type is not None:
            contents += len(content.content_type)
        if content.headers is not None:
            contents += len(content.headers)
    return bodies, contents


def content_bytes(messages: Sequence[Message]) -> int:
    """The bytes of all that messages carry."""
    if type(messages) is Columns:
        return messages.content_bytes
    # Sums the sizes without a call for each message.
    contents = [message.content for message in messages]
    return sum([len(each.body) + len(each.content_type or "") + len(each.headers or b"") for each in contents])


@lru_cache(64)
def _heads(count: int) -> Struct:
    return Struct(f"16s{DIGITS}s" * count)
