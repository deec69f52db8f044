"""Listing of what a group gave up: its dead letters, and the messages that were set aside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from queuey.core.groups.dead_letters import DeadLetters
from queuey.deferreds import deferred
from queuey.errors import InvalidRequest
from queuey.interfaces import IPolicies, IStore
from queuey.model.groups.settings import Group
from queuey.model.messages.dead_letter_headers import letter_of
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import NEWEST, Merge, Position
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, Ticks, lower_bound, ticks_of

SCANNED: Final = 1000
"""Maximum number of messages that one call looks at."""

MAX_SLICES: Final = 16
"""Maximum number of reads of the dead-letter queue for one call; there are many small ones if messages are large."""

_AT_ONCE: Final = 16
"""Number of messages that are looked up together by address; it is small because each may be large."""

_PLACE: Final = re.compile(r"(aside|letters)-([0-9a-f]{32})-([0-9]{1,3})", re.ASCII)


@attrs.frozen
class DeadAsked:
    """What is listed.

    :ivar reason: a text that the reason has; messages that were set aside have no reason.
    :ivar since: inclusive lower bound, and ``until`` the exclusive upper bound, of the time when a message became a
        dead letter or, if it was set aside, was posted.
    :ivar limit: maximum number of messages.
    :ivar after: the continuation point that an earlier call returned in ``next``; empty at the beginning.
    """

    reason: str = ""
    since: Ticks | None = None
    until: Ticks | None = None
    limit: int = 50
    after: str = ""


@attrs.frozen
class DeadMessage:
    """A message that the group gave up.

    :ivar address: by which it is redriven: of the dead letter, or of the message that was set aside.
    :ivar original: the address of the original message.
    :ivar aside: whether it was set aside; ``reason`` and ``deliveries`` are unknown then.
    :ivar since: when it became a dead letter; if it was set aside, when it was posted.
    :ivar size: bytes of its body.
    """

    address: Address
    original: Address
    aside: bool
    reason: str
    deliveries: int | None
    since: Ticks
    content_type: str | None
    size: int


@attrs.frozen
class DeadPage:
    """What one call has found.

    :ivar reasons: of all dead letters of the group that were looked at, with their numbers, in the time that was asked
        for.
    :ivar scanned: number of messages that were looked at.
    :ivar letters: the dead-letter queue; ``None`` if the group has none, or it does not exist.
    :ivar next: the continuation point for another call; ``None`` at the end.
    """

    messages: tuple[DeadMessage, ...]
    reasons: Counter[str]
    scanned: int
    letters: str | None
    next: str | None


@attrs.define
class _Found:
    """What was found so far."""

    room: int
    messages: list[DeadMessage] = attrs.field(factory=list)
    reasons: Counter[str] = attrs.field(factory=Counter)
    scanned: int = 0

    @property
    def full(self) -> bool:
        """Return whether no more may be looked at."""
        return len(self.messages) >= self.room or self.scanned >= SCANNED


@attrs.frozen
class DeadList:
    """Lists the messages that groups gave up, without changing them."""

    store: IStore
    policies: IPolicies
    moves: DeadLetters

    @deferred
    async def list(self, queue: Queue, group: Group, asked: DeadAsked) -> DeadPage:
        """List messages that were set aside, and then dead letters, the oldest first.

        :return: fails with ``InvalidRequest`` if ``after`` is not a continuation point, and with ``Unavailable``.
        """
        kind, place = _parse(asked.after)
        found = _Found(asked.limit)
        name, letters = group.settings.dead_letter, None
        if name is not None:
            (letters,) = await self.store.describe(queue.application, (name,))
        next: str | None = None
        if kind == "aside":
            next = None if asked.reason else await self._aside(queue, group, asked, place, found)
            place = Position(lower_bound(asked.since or Ticks(0)))
        if next is None and letters is not None:
            next = await self._letters(queue, group, letters, asked, place, found)
        return DeadPage(
            tuple(found.messages), found.reasons, found.scanned, None if letters is None else letters.name, next
        )

    async def _aside(self, queue: Queue, group: Group, asked: DeadAsked, place: Position, found: _Found) -> str | None:
        """Add messages that were set aside; return where to go on if there are more."""
        lower = LOWEST if asked.since is None else lower_bound(asked.since)
        upper = HIGHEST if asked.until is None else lower_bound(asked.until)
        for partition in range(max(1, place.partition), queue.settings.partitions + 1):
            first = max(lower, place.id) if partition == place.partition else lower
            view = await self.store.groups.look(queue, group, partition)
            ids = sorted(id for id in view.aside if first <= id < upper)
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                there = await self.moves.find(queue, [Address(partition, id) for id in some])
                for id in some:
                    if found.full:
                        return _text("aside", Position(id, partition))
                    found.scanned += 1
                    message = there.get(Address(partition, id))
                    if message is not None:
                        found.messages.append(_set_aside(message))
        return None

    async def _letters(
        self, queue: Queue, group: Group, letters: Queue, asked: DeadAsked, place: Position, found: _Found
    ) -> str | None:
        """Add dead letters of the group; return where to go on if there may be more."""
        policy = await self.policies.policy_for(queue.application)
        ack = policy.read_ack(letters.settings.consistency)
        every = tuple(range(1, letters.settings.partitions + 1))
        upper = NEWEST if asked.until is None else Position(lower_bound(asked.until))
        for _ in range(MAX_SLICES):
            if found.full:
                break
            merge = Merge(every, place, max(place, upper), limit=SCANNED - found.scanned)
            slice = await self.store.read_merged(letters, merge, ack)
            for message, one in _letters_of(slice.messages, group):
                if len(found.messages) >= found.room:
                    return _text("letters", place)
                found.scanned += 1
                place = Position(message.id, message.partition)
                if one is None:
                    continue
                found.reasons[one.reason] += 1
                if asked.reason in one.reason:
                    found.messages.append(one)
            place = max(place, slice.position)
            if slice.over:
                return None
        return _text("letters", place)


def _letters_of(messages: Iterable[Message], group: Group) -> Iterator[tuple[Message, DeadMessage | None]]:
    """Return the messages of a dead-letter queue, with what each is if it is a dead letter of the group."""
    for message in messages:
        letter = letter_of(message.content)
        if letter is None or letter.gid != group.gid:
            yield message, None
            continue
        content = message.content
        yield (
            message,
            DeadMessage(
                Address(message.partition, message.id),
                letter.address,
                aside=False,
                reason=letter.reason,
                deliveries=letter.deliveries,
                since=ticks_of(message.id),
                content_type=content.content_type,
                size=len(content.body),
            ),
        )


def _set_aside(message: Message) -> DeadMessage:
    address = Address(message.partition, message.id)
    content = message.content
    return DeadMessage(
        address,
        address,
        aside=True,
        reason="",
        deliveries=None,
        since=ticks_of(message.id),
        content_type=content.content_type,
        size=len(content.body),
    )


def _parse(text: str) -> tuple[str, Position]:
    """Parse a continuation point.

    :raise InvalidRequest: the text is none.
    """
    if not text:
        return "aside", Position(LOWEST)
    match = _PLACE.fullmatch(text)
    if match is None:
        raise InvalidRequest({"after": "This is not the `next` of an earlier answer."})
    return match[1], Position(MessageId(bytes.fromhex(match[2])), int(match[3]))


def _text(kind: str, place: Position) -> str:
    return f"{kind}-{place.id.hex()}-{place.partition}"
