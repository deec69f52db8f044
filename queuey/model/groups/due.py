"""Heaps of the open messages of a group: which are due, by id and by key, and when the next ones fall due."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Final

from queuey.model.groups.entries import MARKED, Entry
from queuey.model.groups.terms import Order, Terms
from queuey.model.timeid import MessageId, Ticks

MAX_MOVED: Final = 10_000
"""Maximum number of messages that one command moves from the heap by time to the heap by id; it bounds the time of a
command. If more fall due at once, later commands move the rest."""

_SLACK: Final = 1024
"""Number of outdated pairs allowed in the heap by time, besides one for each open message."""

_RENEWED: Final = 2048
"""Number of pairs that one call of ``_renew`` takes out of the heap that is being replaced, at least."""

_ANY: Final = Terms()


class OpenMessages:
    """The open messages of an index, and the order in which they fall due.

    Pairs are not removed from the heaps when a message changes: a pair is valid only if it agrees with the entry of its
    message.

    :ivar open: the entry of each message, by its id. Every change of it must also call a method under "Changes".
    """

    __slots__ = ("_lines", "_looked", "_most", "_old", "_over", "_ready", "_terms", "_times", "open")

    def __init__(self) -> None:
        self.open: dict[MessageId, Entry] = {}
        # The heap by due time. It may have outdated pairs: a pair is current if the entry of its message has that due
        # time.
        self._times: list[tuple[Ticks, MessageId]] = []
        # The heap by due time that ``_times`` is about to replace; usually empty.
        self._old: list[tuple[Ticks, MessageId]] = []
        # Heaps of due messages by id: those that may be delivered, and those that have reached the maximum number of
        # deliveries.
        self._ready: list[MessageId] = []
        self._over: list[MessageId] = []
        self._looked: tuple[MessageId, ...] = ()
        # The terms by which due messages were assigned to a heap.
        self._terms = _ANY
        self._most = 0
        # The open ids of each key, ascending; computed when first needed.
        self._lines: dict[int, list[MessageId]] | None = None

    def _order_again(self) -> None:
        """Rebuild the heaps without outdated pairs."""
        self._times = [(entry.due, id) for id, entry in self.open.items() if entry.kind != MARKED]
        heapify(self._times)
        self._old, self._ready, self._over, self._looked = [], [], [], ()

    def _renew(self, changed: int) -> None:
        """Remove outdated pairs from the heap by time, if they are the most of it.

        A heap of a million pairs is not rebuilt at once: each call moves some of its current pairs to a new heap, and
        drops the outdated ones among them. Until the old heap is empty, both are looked at.

        :param changed: number of messages that changed since the last call. Four pairs are taken out for each of them,
            so that the new heap cannot grow faster than the old one shrinks.
        """
        if not self._old:
            if len(self._times) <= 2 * len(self.open) + _SLACK:
                return
            self._old, self._times = self._times, []
        old, times, opened = self._old, self._times, self.open
        for _ in range(min(len(old), max(_RENEWED, 4 * changed))):
            due, id = old.pop()  # without the last element of its list a heap is still a heap
            entry = opened.get(id)
            if entry is not None and entry.due == due and entry.kind != MARKED:
                heappush(times, (due, id))

    def fill_open(self, entries: Mapping[MessageId, Entry]) -> None:
        """Load stored open messages into a new index.

        A million messages are loaded in several calls, so that other work can be done between them.
        """
        times = self._times
        self.open.update(entries)
        for id, entry in entries.items():
            if entry.kind != MARKED:
                heappush(times, (entry.due, id))

    # Changes

    def _falls_due(self, id: MessageId, entry: Entry) -> None:
        """Add an open message to the heap by time, because its entry changed or no earlier message of its key blocks it
        any more."""
        if entry.kind != MARKED:
            heappush(self._times, (entry.due, id))

    def _enter_line(self, key: int, id: MessageId) -> None:
        """Add an open message with a key to the list of its key."""
        if self._lines is not None:
            insort(self._lines.setdefault(key, []), id)

    def _leave_line(self, key: int, id: MessageId) -> None:
        """Remove a settled message from the list of its key; the next one with that key may be delivered now."""
        if self._lines is None:
            return
        line = self._lines[key]
        at = bisect_left(line, id)
        del line[at]
        if not line:
            del self._lines[key]
        elif not at:
            self._falls_due(line[0], self.open[line[0]])

    # Due messages

    def due(self, limit: int, terms: Terms, now: Ticks) -> tuple[MessageId, ...]:
        """Return the oldest messages that may be delivered and are due."""
        self._classify(terms, now)
        if not self._ready and not self._looked:
            return ()
        self._look_again(now)
        found: list[MessageId] = []
        while self._ready and len(found) < limit:
            id = heappop(self._ready)
            if self._is_ready(id, now) and not (found and found[-1] == id):
                found.append(id)
        self._looked = tuple(found)
        return self._looked

    def due_by_key(self, limit: int, terms: Terms, now: Ticks) -> tuple[MessageId, ...]:
        """Return the same for order ``KEY``: the first message of each key, and those that follow it directly."""
        self._classify(terms, now)
        lines = self.lines()
        self._look_again(now)
        found: dict[MessageId, None] = {}
        taken: dict[int, int] = {}
        while self._ready and len(found) < limit:
            id = heappop(self._ready)
            if id in found or not self._is_ready(id, now):
                continue
            key = self.open[id].key
            if key:
                line, at = lines[key], taken.get(key, 0)
                if line[at] != id:
                    continue  # settling the first message of its key adds it again
                taken[key] = at + 1
                if at + 1 < len(line):
                    heappush(self._ready, line[at + 1])
            found[id] = None
        self._looked = tuple(found)
        return self._looked

    def _is_due(self, id: MessageId, now: Ticks) -> bool:
        entry = self.open.get(id)
        if entry is None or entry.kind == MARKED:
            return False
        if entry.due > now:
            heappush(self._times, (entry.due, id))
            return False
        return True

    def _is_ready(self, id: MessageId, now: Ticks) -> bool:
        """Return whether a message is due and may be delivered; it may have been delivered since it was found."""
        if not self._is_due(id, now):
            return False
        if 0 < self._most <= self.open[id].deliveries:
            heappush(self._over, id)
            return False
        return True

    def _look_again(self, now: Ticks) -> None:
        """Return messages to the heap that the last call found but the claim did not take."""
        for id in self._looked:
            if self._is_ready(id, now):
                heappush(self._ready, id)
        self._looked = ()

    def over(self, terms: Terms, now: Ticks) -> MessageId | None:
        """Return the oldest due message that has reached the maximum number of deliveries."""
        self._classify(terms, now)
        over = self._over
        while over:
            id = over[0]
            if self._is_due(id, now) and is_over(self.open[id], terms):
                return id
            heappop(over)
        return None

    def _classify(self, terms: Terms, now: Ticks) -> None:
        """Assign messages that have fallen due to the heaps that match the terms."""
        if terms is not self._terms:
            if _kind(terms) != _kind(self._terms):
                self._order_again()
            self._terms = terms
            self._most = 1 if terms.at_most_once else terms.max_deliveries
        if (self._times and self._times[0][0] <= now) or (self._old and self._old[0][0] <= now):
            self._move_due(now)

    def _move_due(self, now: Ticks) -> None:
        """Move messages that have fallen due from the heap by time to one of the heaps by id."""
        most, left = self._most, MAX_MOVED
        for times in (self._times, self._old):
            while left and times and times[0][0] <= now:
                due, id = heappop(times)
                entry = self.open.get(id)
                if entry is not None and entry.due == due and entry.kind != MARKED:
                    heappush(self._over if 0 < most <= entry.deliveries else self._ready, id)
                    left -= 1

    def next_due(self, now: Ticks) -> Ticks | None:
        """Return when the next lease ends or the next delayed message falls due; ``None`` if there is none."""
        times = self._times
        if (times and times[0][0] <= now) or (self._old and self._old[0][0] <= now):
            self._move_due(now)
        due = self._first(times)
        if not self._old:
            return due
        old = self._first(self._old)
        return old if due is None or (old is not None and old < due) else due

    def _first(self, times: list[tuple[Ticks, MessageId]]) -> Ticks | None:
        """Return the time of the first current pair of a heap by time, and remove the outdated ones before it."""
        opened = self.open
        while times:
            due, id = times[0]
            entry = opened.get(id)
            if entry is not None and entry.due == due and entry.kind != MARKED:
                return due
            heappop(times)
        return None

    def lines(self) -> dict[int, list[MessageId]]:
        """Return the open ids of each key, ascending."""
        if self._lines is None:
            lines: dict[int, list[MessageId]] = {}
            for id in sorted(self.open):
                key = self.open[id].key
                if key:
                    lines.setdefault(key, []).append(id)
            self._lines = lines
        return self._lines


def _kind(terms: Terms) -> tuple[int, bool, bool]:
    """Return those parts of the terms that decide into which heap a due message goes."""
    return terms.max_deliveries, terms.at_most_once, terms.order is Order.KEY


def is_over(entry: Entry, terms: Terms) -> bool:
    """Return whether a message has reached the maximum number of deliveries."""
    if terms.at_most_once:
        return entry.deliveries > 0  # delivered before the group's guarantee became at most once
    return 0 < terms.max_deliveries <= entry.deliveries
