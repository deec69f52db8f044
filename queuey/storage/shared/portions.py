"""Answers to claims that are too large for one frame: their messages go before them, in portions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import attrs
import msgspec

from queuey.model.groups.commands import Answer, Ran, TakeAnswer
from queuey.model.messages.columns import body_bytes
from queuey.model.messages.message import Message

PORTION: Final = 256 << 10
"""A portion ends with the message that brings its bodies to this size. Larger answers are sent in portions."""


def messages_of(ran: Ran) -> list[Message | None]:
    """All messages that commands of groups were answered with."""
    found: list[Message | None] = []
    for answer in ran.answers:
        if isinstance(answer, TakeAnswer):
            for share in answer.shares:
                found += share.messages
    return found


def size_of(messages: Sequence[Message | None]) -> int:
    """Bytes of the bodies of messages."""
    return body_bytes([message for message in messages if message is not None])


class Portions:
    """An answer that is sent in portions. It has each message until that is sent.

    :ivar number: of the call.
    :ivar left: bytes of the bodies that are left.
    :ivar rest: the answer without its messages, which is sent last.
    """

    def __init__(self, number: int, ran: Ran, messages: Sequence[Message | None], size: int) -> None:
        self.number = number
        self.left = size
        self.rest = attrs.evolve(ran, answers=tuple([_emptied(answer) for answer in ran.answers]))
        self._messages = deque(messages)

    def next(self) -> list[Message | None]:
        """The next portion; empty if all messages are sent."""
        portion: list[Message | None] = []
        size = 0
        while self._messages and size < PORTION:
            message = self._messages.popleft()
            portion.append(message)
            size += 0 if message is None else len(message.content.body)
        self.left -= size
        return portion


def whole(rest: Ran, messages: Sequence[Message | None]) -> Ran:
    """An answer that was sent in portions.

    :param messages: of all portions.
    """
    left = iter(messages)
    return attrs.evolve(rest, answers=tuple([_filled(answer, left) for answer in rest.answers]))


def _emptied(answer: Answer) -> Answer:
    if not isinstance(answer, TakeAnswer):
        return answer
    return msgspec.structs.replace(answer, shares=tuple([attrs.evolve(each, messages=()) for each in answer.shares]))


def _filled(answer: Answer, left: Iterator[Message | None]) -> Answer:
    if not isinstance(answer, TakeAnswer):
        return answer
    shares = [attrs.evolve(each, messages=[next(left) for _ in each.taken]) for each in answer.shares]
    return msgspec.structs.replace(answer, shares=tuple(shares))
