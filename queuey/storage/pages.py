"""Pages of messages that stay as they are, kept at hand for stores that one process has to itself."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final, TypeVar

import attrs

from queuey.model.columns import content_bytes, first_expiry
from queuey.model.timeid import Ticks
from queuey.model.window import Lasting, Merge, MergeSlice, Window, WindowSlice

PAGE: Final = 2048
"""Bytes that a page takes beside its messages."""

MESSAGE: Final = 640
"""Bytes that a message takes beside its content: the objects it is made of, and the names in its JSON text."""

CONTENT: Final = 7
"""Bytes that a byte of content takes at the most: its own, and six where a reader keeps it as an escape in JSON."""

Range = Window | Merge
"""What a page is of."""

Key = tuple[int, Range]

SomeSlice = TypeVar("SomeSlice", WindowSlice, MergeSlice)


class Told:
    """A wall clock that knows the latest time it has told, whichever thread asked.

    A store may have swept whatever had expired by then, and that does not come back when the clock is set back.

    :param now: the clock, in seconds since 1970.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._latest = 0.0
        self._lock = Lock()

    def __call__(self) -> float:
        """The time, in seconds since 1970."""
        seconds = self._now()
        with self._lock:
            self._latest = max(self._latest, seconds)
        return seconds

    def latest(self) -> float:
        """The latest time that was told, now included."""
        self()
        return self._latest


@attrs.frozen
class _Page:
    slice: WindowSlice | MergeSlice
    expires: Ticks
    bytes: int


@attrs.frozen(eq=False)
class Question:
    """One range that the store is being asked for."""

    queue: int
    range: Range


class Pages:
    """Full ascending pages by queue and range, the least recently used of which make room for new ones.

    Where the limit of an ascending page was reached, the page is settled by what lies between its lower bound and its
    last message. All of that is below the stable time, so neither an append nor a message that falls due changes it;
    and where several partitions are one log, that more follows is settled by a message that is there already. Until the
    first of these messages expires, only ``replace``, ``put``, ``remove``, ``purge`` and ``forget`` do. Each of
    them ends all pages of its queue, and while it is under way no page of that queue is kept: another reader may
    already have seen what it does. Queues are told apart by their incarnations.

    :param size: bytes that the pages may take, with one JSON text of each that a reader may keep.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._pages: dict[Key, _Page] = {}
        self._ranges: dict[int, set[Range]] = {}
        self._asked: dict[int, set[Question]] = {}
        self._changing: dict[int, int] = {}

    def get(self, queue: int, range: Range, latest: Ticks) -> WindowSlice | MergeSlice | None:
        """A page, which is then the most recently used.

        :param latest: the latest time that the store may have gone by; see ``Told``.
        """
        page = self._pages.get((queue, range))
        if page is None:
            return None
        if page.expires <= latest:
            self._drop((queue, range))
            return None
        self._pages[queue, range] = self._pages.pop((queue, range))
        return page.slice

    def begin(self, queue: int, range: Range) -> Question:
        """Begin to ask the store; returns what ``end`` takes."""
        question = Question(queue, range)
        if queue not in self._changing:
            self._asked.setdefault(queue, set()).add(question)
        return question

    def end(self, question: Question, slice: SomeSlice) -> SomeSlice:
        """Hear what the store answered, and keep it if it lasts and nothing has begun to change its queue since.

        :return: what to answer: the slice, marked as lasting where it was kept.
        """
        expires = expiry(question.range, slice)
        if not self.give_up(question) or expires is None:
            return slice
        size = PAGE + MESSAGE * len(slice.messages) + CONTENT * content_bytes(slice.messages)
        if size > self._size:
            return slice
        slice = attrs.evolve(slice, lasting=Lasting())
        self._put((question.queue, question.range), _Page(slice, expires, size))
        return slice

    def give_up(self, question: Question) -> bool:
        """Ask no longer; whether nothing has begun to change the queue since."""
        asked = self._asked.get(question.queue, set())
        if question not in asked:
            return False
        asked.remove(question)
        if not asked:
            del self._asked[question.queue]
        return True

    def change(self, queue: int) -> None:
        """End the pages of a queue, and keep none, until as many calls of ``changed``."""
        self._changing[queue] = self._changing.get(queue, 0) + 1
        self._asked.pop(queue, None)
        for range in tuple(self._ranges.get(queue, ())):
            self._drop((queue, range))

    def changed(self, queue: int) -> None:
        """Hear that a change is over."""
        left = self._changing.pop(queue) - 1
        if left:
            self._changing[queue] = left

    def clear(self) -> None:
        """End all pages."""
        for key in tuple(self._pages):
            self._drop(key)

    def _put(self, key: Key, page: _Page) -> None:
        if key in self._pages:
            self._drop(key)
        self._pages[key] = page
        self._ranges.setdefault(key[0], set()).add(key[1])
        self._used += page.bytes
        while self._used > self._size:
            self._drop(next(iter(self._pages)))

    def _drop(self, key: Key) -> None:
        self._used -= self._pages.pop(key).bytes
        ranges = self._ranges[key[0]]
        ranges.remove(key[1])
        if not ranges:
            del self._ranges[key[0]]


def expiry(range: Range, slice: WindowSlice | MergeSlice) -> Ticks | None:
    """Until when what was read of a range stays as it is while nobody changes it; ``None`` where it may become more."""
    if isinstance(slice, MergeSlice):
        settled = isinstance(range, Merge) and slice.messages and not (slice.over or range.descending or range.fresh)
        return slice.expires if settled else None
    if isinstance(range, Window) and is_full(range, slice):
        return first_expiry(slice.messages)
    return None


def is_full(window: Window, slice: WindowSlice) -> bool:
    """Whether an ascending window was read to its end in one slice, and each partition to the limit."""
    first, others = window.first()[2], window.limit * (len(window.partitions) - 1)
    return slice.rest is None and 0 < len(slice.messages) == first + others and not window.descending
