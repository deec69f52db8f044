"""Writes the answer to a read: 304, a page at once, or a large page in pieces.

A settled page has an entity tag: a client that names it in ``If-None-Match`` gets 304 and not the page.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred

from queuey.http.answers.encoding import Field
from queuey.http.answers.pieces import begin_pieces, fits_at_once, portions, send_piece
from queuey.http.v2.inputs.conditions import is_known
from queuey.http.v2.messages.pages import JSON, NDJSON, Form, Page, link
from queuey.http.v2.representations.fields import ASK_AGAIN, NO_STORE, etag
from queuey.http.wire import Request
from queuey.model.messages.columns import body_bytes
from queuey.model.messages.message import Address
from queuey.model.reading.window import LookupSlice

_DOCUMENT: Final = (b"Content-Type", JSON.encode("ascii"))
_LINES: Final = (b"Content-Type", NDJSON.encode("ascii"))


ReadAgain = Callable[[Sequence[Address]], Deferred[LookupSlice]]
"""Reads messages of a page by their addresses, a slice of them at a time."""


def answer(
    request: Request, page: Page, form: Form, read_again: ReadAgain
) -> Coroutine[Deferred[Any], Any, None] | None:
    """Write the answer to a read.

    :param read_again: reads what a page has beyond its first slice.
    :return: what writes it in pieces where it is large, which leave as fast as the client takes them.
    """
    messages = page.slice.messages
    fields = (_LINES if form.lines else _DOCUMENT, NO_STORE)
    following = ((b"Link", link(request, page.next)),) if page.more else ()
    if page.slice.later or not fits_at_once(messages):
        if is_known(request, "page", None):
            request.answer(304, (NO_STORE,), b"", ())
            return None
        return _Large(request, page, read_again, form).answer(fields, following)
    body = b"".join([text for text, _ in page.pieces(form)])
    tag = hashlib.blake2b(body, digest_size=16).hexdigest() if page.settled else None
    cached, tagged = (NO_STORE, ()) if tag is None else (ASK_AGAIN, (etag(tag),))
    if is_known(request, "page", tag):
        request.answer(304, (cached,), b"", tagged)
        return None
    request.answer(200, (fields[0], cached), body, (*tagged, *following))
    request.count_messages(len(messages), body_bytes(messages))
    return None


class _Large:
    """Writes a page of more than one piece; of what waits for the client, one slice is kept and its JSON."""

    def __init__(self, request: Request, page: Page, read_again: ReadAgain, form: Form) -> None:
        self._request = request
        self._read_again = read_again
        self._form = form
        self._members = page.members()
        self._later = deque(page.slice.later)
        self._portions = deque(portions(page.slice.messages))

    async def answer(self, fields: Sequence[Field], own: tuple[Field, ...]) -> None:
        """Write it; messages that are deleted, or expire, before they are sent are left out."""
        request, begun = self._request, False
        if not await begin_pieces(request, (*fields, *own)):
            return
        while self._portions:
            await self._send(begun=begun)
            begun = True
            while self._later and not self._portions:
                await self._read_on()
        await request.send(self._form.ending(self._members, begun=begun))

    def _send(self, *, begun: bool) -> Coroutine[Any, Any, None]:
        """Send a portion; when this returns, its messages are freed, and only the coroutine refers to its text."""
        some = self._portions.popleft()
        return send_piece(self._request, self._form.joined(some, begun=begun), len(some), body_bytes(some))

    async def _read_on(self) -> None:
        """Read the next slice."""
        found = await self._read_again(self._later.popleft())
        if found.rest:
            self._later.appendleft(found.rest)
        if found.messages:
            self._request.traced.received(found.messages)
            self._portions.extend(portions(found.messages))
