"""Messages that differ in their bodies alone, as those of most batches do: columns, and no value for each of them.

Each of these classes is a sequence of the values of :mod:`queuey.model.messages.message`, and makes one when it is
asked for. Code that works on a whole batch reads the columns instead, which is a tenth of the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import final, overload

import attrs

from queuey.model.messages.message import Address, Content, Draft, NewMessage
from queuey.model.timeid import MessageId


@attrs.define(eq=False)
@final
class Drafts(Sequence[Draft]):
    """Drafts that have neither a partition, a key nor a delay.

    :ivar bodies: of each its own.
    """

    bodies: Sequence[bytes]
    ttl: int
    content_type: str | None = None
    headers: bytes | None = None

    def __len__(self) -> int:
        return len(self.bodies)

    @overload
    def __getitem__(self, place: int) -> Draft: ...
    @overload
    def __getitem__(self, place: slice) -> Drafts: ...
    def __getitem__(self, place: int | slice) -> Draft | Drafts:
        if isinstance(place, slice):
            return Drafts(self.bodies[place], self.ttl, self.content_type, self.headers)
        return Draft(Content(self.bodies[place], self.content_type, self.headers), self.ttl)

    def __iter__(self) -> Iterator[Draft]:
        return map(Draft, self.contents(), repeat(self.ttl))

    def contents(self) -> Iterator[Content]:
        """Return the content of each draft."""
        return map(Content, self.bodies, repeat(self.content_type), repeat(self.headers))

    def sizes(self) -> list[int]:
        """The bytes of each that count against limits."""
        beside = Content(b"", self.content_type, self.headers).size
        return list(map(beside.__add__, map(len, self.bodies)))


@attrs.define(eq=False)
@final
class NewMessages(Sequence[NewMessage]):
    """Such drafts, ready to be stored.

    :ivar partitions: of each its own.
    """

    drafts: Drafts
    partitions: Sequence[int]

    def __len__(self) -> int:
        return len(self.partitions)

    @overload
    def __getitem__(self, place: int) -> NewMessage: ...
    @overload
    def __getitem__(self, place: slice) -> NewMessages: ...
    def __getitem__(self, place: int | slice) -> NewMessage | NewMessages:
        if isinstance(place, slice):
            return NewMessages(self.drafts[place], self.partitions[place])
        draft = self.drafts[place]
        return NewMessage(self.partitions[place], draft.content, draft.ttl)

    def __iter__(self) -> Iterator[NewMessage]:
        return map(NewMessage, self.partitions, self.drafts.contents(), repeat(self.drafts.ttl))


@attrs.define(eq=False)
class Addresses(Sequence[Address]):
    """Addresses of stored messages."""

    partitions: Sequence[int]
    ids: Sequence[MessageId]

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Address: ...
    @overload
    def __getitem__(self, place: slice) -> Addresses: ...
    def __getitem__(self, place: int | slice) -> Address | Addresses:
        if isinstance(place, slice):
            return Addresses(self.partitions[place], self.ids[place])
        return Address(self.partitions[place], self.ids[place])

    def __iter__(self) -> Iterator[Address]:
        return map(Address, self.partitions, self.ids)
