"""Answers that are sent in pieces, as fast as the client takes them.

While the client takes a piece, only the connection refers to its bytes. So an answer of any length needs the memory of
one piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from queuey.http.answers.encoding import Field
from queuey.http.wire import Request
from queuey.model.messages.columns import body_bytes, content_bytes
from queuey.model.messages.message import Message

MAX_AT_ONCE: Final = 256 * 1024
"""Bytes of messages up to which an answer is written at once, and by which a larger one is cut into pieces."""

Piece = tuple[bytes, Sequence[Message]]
"""A piece of an answer, and the messages that are in it."""


def fits_at_once(messages: Sequence[Message]) -> bool:
    """Whether an answer with these messages is written at once."""
    return content_bytes(messages) <= MAX_AT_ONCE


def portions(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Yield messages in portions; the message that brings a portion to ``MAX_AT_ONCE`` is its last."""
    if messages and fits_at_once(messages):
        yield messages
        return
    start = size = 0
    for place, message in enumerate(messages, 1):
        size += message.content.size
        if size >= MAX_AT_ONCE:
            yield messages[start:place]
            start, size = place, 0
    if start < len(messages):
        yield messages[start:]


async def begin_pieces(request: Request, fields: Iterable[Field]) -> bool:
    """Set status and fields of an answer that is sent in pieces; return whether it has a body.

    The answer to HEAD has none: it is complete with this call.
    """
    request.setResponseCode(200)
    for name, value in fields:
        request.setHeader(name, value)
    if request.method != b"HEAD":
        return True
    await request.send(b"")
    return False


async def send_piece(request: Request, text: bytes, count: int, size: int, queues: Sequence[str] | None = None) -> None:
    """Send a piece, wait until the client has taken it, and count its messages.

    The caller must keep no reference to the text.

    :param count: how many messages are in it.
    :param size: bytes of their bodies.
    :param queues: the name of the queue of each message, if they may be of several.
    """
    sending = request.send(text)
    del text
    await sending
    request.count_messages(count, size, queues)


async def answer_in_pieces(
    request: Request, fields: Sequence[Field], pieces: Iterable[Piece], queues: Sequence[str] | None = None
) -> None:
    """Write a whole answer in pieces.

    :param queues: the name of the queue of each message, if they may be of several.
    """
    if not await begin_pieces(request, fields):
        return
    sent = 0
    for text, some in pieces:
        count, size = len(some), body_bytes(some)
        sending = send_piece(request, text, count, size, None if queues is None else queues[sent : sent + count])
        del text, some
        await sending
        sent += count
