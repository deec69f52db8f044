"""The answer to a read: a page as bytes, which are kept for those that last, since to render them takes longest.

A settled page has an entity tag, by which a client that has it already is told so without being sent it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine, Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

import attrs
from twisted.internet.defer import Deferred

from queuey.http.v2.answers import (
    ASK_AGAIN,
    NO_STORE,
    WHOLE,
    Piece,
    answer_at_once,
    answer_in_pieces,
    etag,
    fits_at_once,
)
from queuey.http.v2.conditions import is_known
from queuey.http.v2.pages import JSON, NDJSON, Page, link, prefers_lines
from queuey.http.wire import Request
from queuey.model.columns import body_bytes, content_bytes
from queuey.model.cursor import Cursor
from queuey.model.window import Lasting

_DOCUMENT: Final = (b"Content-Type", JSON.encode("ascii"))
_LINES: Final = (b"Content-Type", NDJSON.encode("ascii"))

_View = tuple[Cursor, bool, bool]
"""What the bytes of a page depend on besides its slice: the reader's cursor, whether it is truncated, and lines."""


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


class RenderedPages:
    """Settled pages, each rendered once for those who follow each other; whoever keeps the slices bounds both."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Lasting, tuple[_View, Rendered]] = WeakKeyDictionary()

    def of(self, page: Page, *, lines: bool) -> Rendered | None:
        """A page, if it is settled, and not so large that it is sent in pieces.

        :param lines: whether it is asked for as lines.
        """
        if not page.settled:
            return None
        view, lasting = (page.wanted.start, page.truncated, lines), page.slice.lasting
        kept = self._kept.get(lasting) if lasting else None
        if kept is not None and kept[0] == view:
            return kept[1]
        if not fits_at_once(page.slice.messages):
            return None
        rendered = _rendered(page, page.lines() if lines else page.document())
        if lasting is not None:
            self._kept[lasting] = view, rendered
        return rendered


def answer(request: Request, page: Page, pages: RenderedPages) -> Coroutine[Deferred[Any], Any, None] | None:
    """Write the answer to a read.

    :param pages: where what is rendered may be kept.
    :return: what writes it in pieces where it is large, which leave as fast as the client takes them.
    """
    lines = prefers_lines(request)
    rendered = pages.of(page, lines=lines)
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
    pieces = page.lines() if lines else page.document()
    size = content_bytes(page.slice.messages)
    if size > WHOLE:
        return answer_in_pieces(request, fields, pieces, size, following)
    answer_at_once(request, fields, pieces, following)
    return None


def _rendered(page: Page, pieces: Iterable[Piece]) -> Rendered:
    body, messages = b"".join([text for text, _ in pieces]), page.slice.messages
    tag = hashlib.blake2b(body, digest_size=16).hexdigest()
    return Rendered(body, tag, page.next, len(messages), body_bytes(messages))
