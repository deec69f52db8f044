"""Looking at messages without taking them: for operators, in bounded pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from queuey.core.messages import MessageExchange
from queuey.deferreds import deferred
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.start import Start
from queuey.model.reading.window import NEWEST, OLDEST, Merge, Position
from queuey.model.timeid import Ticks, lower_bound

MAX_BODIES: Final = 512 * 1024
"""Bytes of bodies that one look shows."""


@attrs.frozen
class PeekAsked:
    """Which messages are shown, and how much of them.

    :ivar place: where to begin: a time, or an end of the queue.
    :ivar partition: in which partition; ``None``: in all.
    :ivar newest_first: whether to go back in time.
    :ivar after: the place at which an earlier look ended.
    :ivar max_body: bytes of each body.
    """

    place: Start | Ticks = Start.NEWEST
    partition: int | None = None
    newest_first: bool = False
    after: Position | None = None
    limit: int = 10
    max_body: int = 4096


@attrs.frozen
class Peeked:
    """A message that is shown.

    :ivar body: the beginning of its body, or all of it.
    """

    message: Message
    body: bytes

    @property
    def cut(self) -> bool:
        """Return whether the body is longer."""
        return len(self.body) < len(self.message.content.body)


@attrs.frozen
class Peek:
    """The messages of one page, and where the next page begins (``None`` at the end)."""

    messages: tuple[Peeked, ...]
    next: Position | None


@attrs.frozen
class Peeks:
    """Looks at messages. It takes none, moves no group, and counts for no rate."""

    exchange: MessageExchange

    @deferred
    async def range(self, queue: Queue, asked: PeekAsked) -> Peek:
        """Show messages from a place on.

        From the newest, without ``newest_first``, these are the last ones, and no others follow. Messages that readers
        are not shown yet, because their place in the log is not final, are shown with the last ones. A look reads 1 MiB
        of bodies at most, and may show no message although there are more.

        :return: fails with ``NoSuchApplication`` or ``Unavailable``.
        """
        last = asked.after is None and asked.place is Start.NEWEST
        backwards = asked.newest_first or last
        partitions = tuple(range(1, queue.settings.partitions + 1)) if asked.partition is None else (asked.partition,)
        place = asked.after or _place(asked.place)
        lower, upper = (OLDEST, place) if backwards else (place, NEWEST)
        merge = Merge(partitions, lower, upper, descending=backwards, limit=asked.limit, fresh=backwards)
        policy = await self.exchange.policies.policy_for(queue.application)
        slice = await self.exchange.first(queue, merge, policy)
        messages = tuple(slice.messages)
        over = slice.over or (last and not asked.newest_first)
        shown = messages if asked.newest_first == backwards else messages[::-1]
        return Peek(_shown(shown, _Room(asked.max_body).cut), None if over else slice.position)

    @deferred
    async def some(self, queue: Queue, addresses: Sequence[Address], max_body: int) -> Peek:
        """Show the messages at these addresses that exist, in their order.

        :return: fails as ``range`` does.
        """
        rest: Sequence[Address] | None = addresses
        found: list[Peeked] = []
        cut = _Room(max_body).cut
        while rest:
            slice = await self.exchange.lookup(queue, rest)
            found += _shown(tuple(slice.messages), cut)
            rest = slice.rest
        return Peek(tuple(found), None)


class _Room:
    """The bytes of bodies that are left for one look."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._left = MAX_BODIES

    def cut(self, body: bytes) -> bytes:
        """Return the part of a body that is shown."""
        part = body[: min(self._max_body, self._left)]
        self._left -= len(part)
        return part


def _shown(messages: Sequence[Message], cut: Callable[[bytes], bytes]) -> tuple[Peeked, ...]:
    return tuple([Peeked(message, cut(message.content.body)) for message in messages])


def _place(place: Start | Ticks) -> Position:
    if isinstance(place, Start):
        return OLDEST if place is Start.OLDEST else NEWEST
    return Position(lower_bound(place))
