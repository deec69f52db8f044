"""The answer to a read.

A settled page has an entity tag: a client that names it in ``If-None-Match`` gets 304 and not the page.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from queuey.http.v2.answers import (
    ASK_AGAIN,
    NO_STORE,
    WHOLE,
    Field,
    Piece,
    answer_at_once,
    begin,
    etag,
    fits_at_once,
    portions,
)
from queuey.http.v2.conditions import is_known
from queuey.http.v2.pages import JSON, NDJSON, Page, ending, joined, link, prefers_lines
from queuey.http.wire import Request
from queuey.model.columns import body_bytes, content_bytes
from queuey.model.message import Address
from queuey.model.window import LookupSlice

_DOCUMENT: Final = (b"Content-Type", JSON.encode("ascii"))
_LINES: Final = (b"Content-Type", NDJSON.encode("ascii"))


@attrs.frozen
class Rendered:
    """A page that is sent at once.

    :ivar tag: its entity tag, without the quotes: another one for other bytes.
    :ivar next: the cursor to go on from.
    :ivar count: how many messages are in it.
    :ivar size: bytes of their bodies.
    """

    body: bytes = attrs.field(repr=False)
    tag: str
    next: str
    count: int
    size: int


def rendered_page(page: Page, *, lines: bool) -> Rendered | None:
    """Render a page if it is settled, and small enough to be sent at once.

    :param lines: whether it is asked for as lines.
    """
    if not page.settled or page.slice.later or not fits_at_once(page.slice.messages):
        return None
    return _rendered(page, page.lines() if lines else page.document())


ReadAgain = Callable[[Sequence[Address]], Deferred[LookupSlice]]
"""Reads messages of a page by their addresses, a slice of them at a time."""


def answer(request: Request, page: Page, read_again: ReadAgain) -> Coroutine[Deferred[Any], Any, None] | None:
    """Write the answer to a read.

    :param read_again: reads what a page has beyond its first slice.
    :return: what writes it in pieces where it is large, which leave as fast as the client takes them.
    """
    lines = prefers_lines(request)
    rendered = rendered_page(page, lines=lines)
    tag, cached = (None, NO_STORE) if rendered is None else (rendered.tag, ASK_AGAIN)
    tagged = () if tag is None else (etag(tag),)
    if is_known(request, "page", tag):
        request.answer(304, (cached,), b"", tagged)
        return None
    fields = (_LINES if lines else _DOCUMENT, cached)
    if rendered is not None:
        request.answer(200, fields, rendered.body, (*tagged, (b"Link", link(request, rendered.next))))
        request.count_messages(rendered.count, rendered.size)
        return None
    following = ((b"Link", link(request, page.next)),) if page.more else ()
    if page.slice.later or content_bytes(page.slice.messages) > WHOLE:
        return _Large(request, page, read_again, lines=lines).answer(fields, following)
    answer_at_once(request, fields, page.lines() if lines else page.document(), following)
    return None


class _Large:
    """Writes a page of more than one piece; of what waits for the client, one slice is kept and its JSON."""

    def __init__(self, request: Request, page: Page, read_again: ReadAgain, *, lines: bool) -> None:
        self._request = request
        self._read_again = read_again
        self._lines = lines
        self._members = page.members()
        self._later = deque(page.slice.later)
        self._portions = deque(portions(page.slice.messages))

    async def answer(self, fields: Sequence[Field], own: tuple[Field, ...]) -> None:
        """Write it; messages that are deleted, or expire, before they are sent are left out."""
        request, lines, begun = self._request, self._lines, False
        begin(request, fields, own)
        while self._portions:
            count, size, sending = self._send(begun=begun)
            begun = True
            await sending
            if request.method == b"HEAD":
                return
            request.count_messages(count, size)
            while self._later and not self._portions:
                await self._read_on()
        await request.send(ending(self._members, lines=lines, begun=begun))

    def _send(self, *, begun: bool) -> tuple[int, int, Deferred[None]]:
        """Send a portion, and forget it; how many messages it has, the bytes of their bodies, and the sending."""
        some = self._portions.popleft()
        return len(some), body_bytes(some), self._request.send(joined(some, lines=self._lines, begun=begun))

    async def _read_on(self) -> None:
        """Read the next slice."""
        found = await self._read_again(self._later.popleft())
        if found.rest:
            self._later.appendleft(found.rest)
        if found.messages:
            self._request.traced.received(found.messages)
            self._portions.extend(portions(found.messages))


def _rendered(page: Page, pieces: Iterable[Piece]) -> Rendered:
    body, messages = b"".join([text for text, _ in pieces]), page.slice.messages
    tag = hashlib.blake2b(body, digest_size=16).hexdigest()
    return Rendered(body, tag, page.next, len(messages), body_bytes(messages))
