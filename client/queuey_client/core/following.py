"""Readers that follow: messages from a start on, and then those that come."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from queuey_client.core.reading import (
    SETTLED,
    WAIT,
    Bookmark,
    FollowOptions,
    page_messages,
    told_of_gap,
)
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.steps import Items, Sleep, Steps
from queuey_client.core.values import Message, Page, Place


class NoLiveReads(Exception):
    """Pages have to go on: the server has no live reads, or something before it does not let them through."""


@dataclass(frozen=True)
class Start:
    """Where a reader goes on: after a place, from a time on, or at one end of the queue.

    :ivar end: ``oldest`` or ``newest``, if there is neither a place nor a time.
    """

    after: Place | None = None
    since: datetime | None = None
    end: str = "oldest"

    @property
    def newest(self) -> bool:
        """Whether it is the end of the queue, which is no place yet."""
        return self.after is None and self.since is None and self.end == "newest"


def start_of(options: FollowOptions, bookmark: Bookmark) -> Start:
    """Return where a reader begins: at the place that was kept for it, or where it is asked to."""
    place = bookmark.load()
    if place is not None:
        return Start(place)
    if isinstance(options.start, datetime):
        return Start(since=options.start)
    if options.start in ("oldest", "newest"):
        return Start(end=str(options.start))
    return Start(str(options.start))


class Idle:
    """Measures how long no message has come.

    :param seconds: after which the reader ends; ``None``: never.
    """

    def __init__(self, seconds: Seconds | None, clock: Callable[[], float]) -> None:
        self._seconds = None if seconds is None else in_seconds(seconds)
        self._clock = clock
        self._heard = clock()

    def heard(self) -> None:
        """Begin to measure again."""
        self._heard = self._clock()

    def within(self, seconds: float) -> float:
        """Return how long to wait: this number of seconds, or less if the reader ends before."""
        if self._seconds is None:
            return seconds
        return max(0.0, min(seconds, self._seconds - (self._clock() - self._heard)))

    def expire(self) -> None:
        """No message has come for the rest of the time; a timer may be a bit early."""
        self._heard = -math.inf

    @property
    def over(self) -> bool:
        """Whether no message has come for too long."""
        return self._seconds is not None and self._clock() - self._heard >= self._seconds


class Source(Protocol):
    """Gives pages of messages as they come."""

    @property
    def start(self) -> Start:
        """Where another source would go on."""

    def next(self) -> Steps[Page | None]:
        """Return the next page, which may be empty; ``None`` at the end.

        The messages of the page before have been given to the user when this is called.

        :raise NoLiveReads: another kind of source has to go on.
        """

    def close(self) -> None:
        """Close what is open."""


class Waits:
    """Reads pages that wait for messages: for servers without live reads.

    :param read: reads the page after a start; if it is empty, waits for this number of seconds.
    """

    def __init__(
        self, read: Callable[[Start, float], Steps[Page]], start: Start, idle: Idle, clock: Callable[[], float]
    ) -> None:
        self.start = start
        self._read = read
        self._idle = idle
        self._clock = clock
        self._page: Page | None = None
        self._at_once = False

    def next(self) -> Steps[Page | None]:
        """See :class:`Source`."""
        page = self._page
        if page is not None:
            if page.closed:
                return None
            if page.messages:
                self._idle.heard()
            elif self._idle.over:
                return None
            elif self._at_once:
                # A server that does not wait, or waits less than it was asked to, is not asked without a pause.
                yield Sleep(SETTLED)
        wait, asked = self._idle.within(WAIT), self._clock()
        page = yield from self._read(self.start, wait)
        self._at_once = wait > 0 and self._clock() - asked < SETTLED and not page.more
        self._page, self.start = page, Start(page.next)
        return page

    def close(self) -> None:
        """See :class:`Source`: a page is read whole, so there is nothing to close."""


def followed(
    source: Source, bookmark: Bookmark, name: str, on_gap: str, waits: Callable[[Start], Source] | None = None
) -> Items[Message]:
    """Give the messages of a source, until it ends.

    :param waits: returns the source that goes on if there are no live reads.
    """
    try:
        while True:
            try:
                page = yield from source.next()
            except NoLiveReads:
                if waits is None:
                    raise
                source.close()
                source = waits(source.start)
                continue
            if page is None:
                return
            if page.gaps:
                # The place after a page of many queues is the one from which no message is missed.
                yield from page_messages(page, bookmark)
                told_of_gap(page, page.gaps[0], on_gap)
            else:
                told_of_gap(page, name, on_gap)
                yield from page_messages(page, bookmark)
    finally:
        source.close()
