"""Which open messages of a group may be given, and when the next ones may: by due time, by id, and by key."""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heapify, heappop, heappush
from typing import Final

from queuey.model.groups.entries import MARKED, Entry
from queuey.model.groups.terms import Order, Terms
from queuey.model.timeid import MessageId, Ticks

MAX_MOVED: Final = 10_000
"""Messages that are moved from the heap by time to that by id for one command, so that no command takes long. If more
fall due at once, the later ones are looked at by the next commands."""

_SLACK: Final = 1024
"""Outdated pairs that the heap by time may have, beside one for each open message."""

_ANY: Final = Terms()


class OpenMessages:
    """The open messages of an index, and the order in which they fall due.

    Heaps are never cleared of a message: what they have of it counts only if the entry of that message agrees.

    :ivar open: the entry of each, by its id. Who changes it calls one of the methods under "Changes".
    """

    __slots__ = ("_lines", "_looked", "_most", "_over", "_ready", "_terms", "_times", "open")

    def __init__(self) -> None:
        self.open: dict[MessageId, Entry] = {}
        # By due time, and outdated pairs: one is current if the entry of its message has that due time.
        self._times: list[tuple[Ticks, MessageId]] = []
        # What is due, by id: what may be given, and what was delivered as often as it may be.
        self._ready: list[MessageId] = []
        self._over: list[MessageId] = []
        self._looked: tuple[MessageId, ...] = ()
        # The terms by which what is due was put in its heap.
        self._terms = _ANY
        self._most = 0
        # The open ids of each key, rising; made when they are first needed.
        self._lines: dict[int, list[MessageId]] | None = None

    def _order_again(self) -> None:
        """Make the heaps again, without outdated pairs."""
        self._times = [(entry.due, id) for id, entry in self.open.items() if entry.kind != MARKED]
        heapify(self._times)
        self._ready, self._over, self._looked = [], [], ()

    def _has_slack(self) -> bool:
        """Whether the heap by time has so many outdated pairs that it is worth making it again."""
        return len(self._times) > 2 * len(self.open) + _SLACK

    # Changes

    def _falls_due(self, id: MessageId, entry: Entry) -> None:
        """Learn that an open message has another entry, or that it may be given now as far as its key is concerned."""
        if entry.kind != MARKED:
            heappush(self._times, (entry.due, id))

    def _enter_line(self, key: int, id: MessageId) -> None:
        """Learn that a message with a key is open."""
        if self._lines is not None:
            insort(self._lines.setdefault(key, []), id)

    def _leave_line(self, key: int, id: MessageId) -> None:
        """Learn that a message with a key is open no more: the next one of that key may be given now."""
        if self._lines is None:
            return
        line = self._lines[key]
        at = bisect_left(line, id)
        del line[at]
        if not line:
            del self._lines[key]
        elif not at:
            self._falls_due(line[0], self.open[line[0]])

    # What is due

    def due(self, limit: int, terms: Terms, now: Ticks) -> tuple[MessageId, ...]:
        """The oldest messages that may be given and are due."""
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
        """The same where messages of a key are given in their order: first of each key, and those that follow."""
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
                    continue  # it is looked at again when the first message of its key is settled
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
        """Whether a message is due and may be given; it may have been given since it was found ready."""
        if not self._is_due(id, now):
            return False
        if 0 < self._most <= self.open[id].deliveries:
            heappush(self._over, id)
            return False
        return True

    def _look_again(self, now: Ticks) -> None:
        """Consider again what was looked at last and not given."""
        for id in self._looked:
            if self._is_ready(id, now):
                heappush(self._ready, id)
        self._looked = ()

    def over(self, terms: Terms, now: Ticks) -> MessageId | None:
        """The oldest message that is due and was delivered as often as it may be."""
        self._classify(terms, now)
        over = self._over
        while over:
            id = over[0]
            if self._is_due(id, now) and is_over(self.open[id], terms):
                return id
            heappop(over)
        return None

    def _classify(self, terms: Terms, now: Ticks) -> None:
        """Move what has fallen due to where the terms want it."""
        if terms is not self._terms:
            if _kind(terms) != _kind(self._terms):
                self._order_again()
            self._terms = terms
            self._most = 1 if terms.at_most_once else terms.max_deliveries
        if self._times and self._times[0][0] <= now:
            self._move_due(now)

    def _move_due(self, now: Ticks) -> None:
        """Move what has fallen due from the heap by time to one of those by id."""
        times, most, left = self._times, self._most, MAX_MOVED
        while left and times and times[0][0] <= now:
            due, id = heappop(times)
            entry = self.open.get(id)
            if entry is not None and entry.due == due and entry.kind != MARKED:
                heappush(self._over if 0 < most <= entry.deliveries else self._ready, id)
                left -= 1

    def next_due(self, now: Ticks) -> Ticks | None:
        """When the next lease ends or the next message falls due that was given back; ``None`` if none will."""
        times, opened = self._times, self.open
        if times and times[0][0] <= now:
            self._move_due(now)
        while times:
            due, id = times[0]
            entry = opened.get(id)
            if entry is not None and entry.due == due and entry.kind != MARKED:
                return due
            heappop(times)
        return None

    def lines(self) -> dict[int, list[MessageId]]:
        """The open ids of each key, rising."""
        if self._lines is None:
            lines: dict[int, list[MessageId]] = {}
            for id in sorted(self.open):
                key = self.open[id].key
                if key:
                    lines.setdefault(key, []).append(id)
            self._lines = lines
        return self._lines


def _kind(terms: Terms) -> tuple[int, bool, bool]:
    """What of the terms decides where messages are put that are due."""
    return terms.max_deliveries, terms.at_most_once, terms.order is Order.KEY


def is_over(entry: Entry, terms: Terms) -> bool:
    """Whether a message was delivered as often as it may be."""
    if terms.at_most_once:
        return entry.deliveries > 0  # it was given before the group became one of that kind
    return 0 < terms.max_deliveries <= entry.deliveries
