"""Readers: pages one after another, places that are kept, and gaps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from queuey_client.core.cursors import Cursors
from queuey_client.core.encoding import Query, number, numbers, query, time_text
from queuey_client.core.errors import Gap
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.steps import Give, Items, Steps
from queuey_client.core.values import Message, Page, Place

WAIT = 20.0
"""Seconds of one wait of a reader that follows: the longest that the server allows."""

SAVED = 1.0
"""Seconds after which a place is saved, even if the page goes on."""

SETTLED = 0.2
"""Seconds before a reader asks again for messages that are not stable yet."""


class GapWarning(UserWarning):
    """Messages that a reader had not come to are gone; with ``on_gap="warn"``."""


@dataclass(frozen=True)
class ReadOptions:
    """What a page may be asked for."""

    after: Place | None = None
    since: datetime | None = None
    until: datetime | None = None
    order: str = "asc"
    limit: int | None = None
    max_bytes: int | None = None
    partitions: Sequence[int] = ()
    wait: Seconds = 0
    fresh: bool = False

    def query(self) -> Query:
        """Return the query of the request. ``since`` is left out if ``after`` is there: a reader has gone on."""
        since = None if self.since is None or self.after is not None else time_text(self.since)
        wait = in_seconds(self.wait)
        return query(
            ("after", self.after),
            ("since", since),
            ("until", None if self.until is None else time_text(self.until)),
            ("order", None if self.order == "asc" else self.order),
            ("limit", None if self.limit is None else str(self.limit)),
            ("max_bytes", None if self.max_bytes is None else str(self.max_bytes)),
            ("wait", number(wait) if wait else None),
            ("fresh", "true" if self.fresh else None),
        ) + numbers(self.partitions)


@dataclass(frozen=True)
class FollowOptions:
    """What an iterator over messages may be asked for.

    :ivar start: ``oldest``, ``newest``, a time or a place: where a reader without a place begins.
    :ivar idle: seconds without a message after which it ends; ``None``: never.
    """

    read: ReadOptions
    start: datetime | Place = "oldest"
    reader: str | None = None
    cursors: Cursors | None = None
    on_gap: str = "raise"
    idle: Seconds | None = None

    def __post_init__(self) -> None:
        if (self.reader is None) != (self.cursors is None):
            raise ValueError("a reader keeps its place with both: reader=NAME and cursors=...")
        if self.on_gap not in ("raise", "warn", "ignore"):
            raise ValueError(f"on_gap is raise, warn or ignore, not {self.on_gap!r}")
        if self.reader is not None and self.read.order != "asc":
            raise ValueError("a reader that keeps its place reads from the oldest to the newest")


Read = Callable[[ReadOptions], Steps[Page]]


class Bookmark:
    """Saves the place of a reader: not for each message, but soon."""

    def __init__(self, options: FollowOptions, clock: Callable[[], float]) -> None:
        self._cursors, self._reader = options.cursors, options.reader
        self._clock = clock
        self._done: Place | None = None
        self._saved = clock()
        self._before = bool(getattr(options.cursors, "transactional", False))

    def load(self) -> Place | None:
        """Return where the reader was."""
        return None if self._cursors is None else self._cursors.load(self._reader or "")

    def giving(self, place: Place) -> None:
        """A message is about to be given: its place goes into the reader's transaction."""
        if self._cursors is not None and self._before:
            self._cursors.save(self._reader or "", place)

    def done(self, place: Place) -> None:
        """The body of the loop is done with a message."""
        if self._cursors is None or self._before:
            return
        self._done = place
        if self._clock() - self._saved >= SAVED:
            self.save()

    def save(self) -> None:
        """Save what is done and not saved yet."""
        if self._done is not None and self._cursors is not None:
            place, self._done = self._done, None
            self._saved = self._clock()
            self._cursors.save(self._reader or "", place)


def told_of_gap(page: Page, name: str, on_gap: str) -> None:
    """Raise, warn, or do nothing about a gap."""
    if not page.gap or on_gap == "ignore":
        return
    whose = f"queue {name}" if name else "further queues"
    text = f"{whose}: messages that this reader had not come to were purged, or may have expired"
    if on_gap == "warn":
        warnings.warn(text, GapWarning, stacklevel=2)
        return
    gap = Gap(text, code="gap")
    gap.first, gap.queue = page.first or page.next, name
    raise gap


def page_messages(page: Page, bookmark: Bookmark) -> Items[Message]:
    """Give the messages of a page; save the place when the page is done, or the iterator is closed."""
    try:
        for message in page.messages:
            bookmark.giving(message.place)
            yield Give(message)
            bookmark.done(message.place)
        # Of an empty page too: a place that is older than the time to live of the queue may have a gap after it.
        bookmark.done(page.next)
    finally:
        bookmark.save()


def reading(read: Read, name: str, options: FollowOptions, clock: Callable[[], float]) -> Items[Message]:
    """Give all messages that are there now."""
    bookmark = Bookmark(options, clock)
    after = bookmark.load() or options.read.after
    while True:
        page = yield from read(replace(options.read, after=after))
        told_of_gap(page, name, options.on_gap)
        yield from page_messages(page, bookmark)
        after = page.next
        if not page.more:
            return
