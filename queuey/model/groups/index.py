"""The state of one consumer group in one partition, as its owner keeps it: changed in place, in O(log n) a message."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Any, Final, NamedTuple

from queuey.model.groups.entries import (
    LEASED,
    MARKED,
    MAX_ACKED,
    MAX_ASIDE,
    MAX_DELIVERIES,
    WAITING,
    Claim,
    Entry,
    Move,
)
from queuey.model.groups.events import (
    Closed,
    Event,
    Keyed,
    Leased,
    Marked,
    NotAside,
    Passed,
    Put,
    Reached,
    SetAside,
    Sought,
    Unkeyed,
    Unmarked,
)
from queuey.model.groups.terms import Order, Terms
from queuey.model.timeid import MessageId, Ticks

MAX_MOVED: Final = 10_000
"""Messages that are moved from the heap by time to that by id for one command, so that no command takes long. If more
fall due at once, the later ones are looked at by the next commands."""

_SLACK: Final = 1024
"""Outdated pairs that the heap by time may have, beside one for each open message."""


class _Limits(NamedTuple):
    """The terms by which what is due was put in its heap."""

    max_deliveries: int = 0
    at_most_once: bool = False
    by_key: bool = False


class GroupIndex:
    """One group in one partition.

    Read any attribute; change them by ``apply`` alone. What ``apply`` changed can be undone until ``stored`` is called.

    :ivar generation: random; another one after each seek.
    :ivar reach: a bound: every id below it was examined, and is settled unless it is in ``open``.
    :ivar last: the greatest lease number so far. It never falls.
    :ivar open: what is not settled.
    :ivar acked: the numbers of the leases that were acked last, oldest first; ``MAX_ACKED`` of them, or more.
    :ivar aside: the ids that were set aside last, oldest first.
    :ivar set_aside: how many were set aside, less those that were taken back.
    :ivar claims: claims under keys, by the hashes of those.
    :ivar moves: by the ids of entries that are marked.
    :ivar events: what was applied since ``stored``.
    :ivar before: the entries as they were stored, of all messages that those events changed; ``None``: none.
    """

    __slots__ = (
        "_heads", "_last_lease", "_limits", "_lines", "_looked", "_older", "_over", "_ready", "_remembered", "_times",
        "_under", "acked", "aside", "before", "claims", "claims_before", "events", "fresh_acks", "generation", "last",
        "moves", "moves_before", "open", "reach", "set_aside", "sought",
    )  # fmt: skip

    def __init__(self, generation: bytes, reach: MessageId, last: int = 0) -> None:
        self.generation = generation
        self.reach = reach
        self.last = last
        self.open: dict[MessageId, Entry] = {}
        self.acked: deque[int] = deque()
        self.aside: tuple[MessageId, ...] = ()
        self.set_aside = 0
        self.claims: dict[bytes, Claim] = {}
        self.moves: dict[MessageId, Move] = {}
        # By due time, and outdated pairs: one is current if the entry of its message has that due time.
        self._times: list[tuple[Ticks, MessageId]] = []
        # What is due, by id: what may be given, and what was delivered as often as it may be.
        self._ready: list[MessageId] = []
        self._over: list[MessageId] = []
        self._limits = _Limits()
        self._looked: tuple[MessageId, ...] = ()
        self._remembered: set[int] = set()
        # What was given by the lease that was made last, and under keys, by the first number.
        self._last_lease: tuple[int, tuple[MessageId, ...]] = (0, ())
        self._under: dict[int, tuple[MessageId, ...]] = {}
        # The open ids of each key, rising; made when they are first needed.
        self._lines: dict[int, list[MessageId]] | None = None
        self._forget_changes()

    def _forget_changes(self) -> None:
        self.events: list[Event] = []
        self.before: dict[MessageId, Entry | None] = {}
        self.claims_before: dict[bytes, Claim | None] = {}
        self.moves_before: dict[MessageId, Move | None] = {}
        self.fresh_acks = 0
        self.sought = False
        self._heads: tuple[Any, ...] | None = None
        self._older: tuple[Any, ...] | None = None

    def fill(
        self,
        entries: Mapping[MessageId, Entry],
        acked: Iterable[int],
        aside: tuple[MessageId, ...],
        set_aside: int,
        claims: Mapping[bytes, Claim],
        moves: Mapping[MessageId, Move],
    ) -> None:
        """Take over what was stored; called once, on a fresh index."""
        self.open = dict(entries)
        self._times = [(entry.due, id) for id, entry in self.open.items() if entry.kind != MARKED]
        heapify(self._times)
        self.acked = deque(acked)
        self._remembered = set(self.acked)
        self.aside, self.set_aside = aside, set_aside
        self.claims, self.moves = dict(claims), dict(moves)

    def fill_more(self, entries: Mapping[MessageId, Entry]) -> None:
        """Take over more open messages that were stored; called after ``fill`` and before anything else.

        A million messages are filled in piece by piece by this, so that the reactor is never stopped for long.
        """
        self.open.update(entries)
        for id, entry in entries.items():
            if entry.kind != MARKED:
                heappush(self._times, (entry.due, id))

    # Changes

    def apply(self, event: Event) -> None:
        """Change the index as an event says."""
        if self._heads is None:
            self._heads = (self.generation, self.reach, self.last, self.aside, self.set_aside)
        self.events.append(event)
        _APPLY[type(event)](self, event)

    def stored(self) -> None:
        """Learn that the events were stored: they cannot be undone any more."""
        if not self.events:
            return
        acked, remembered = self.acked, self._remembered
        while len(acked) > MAX_ACKED:
            remembered.discard(acked.popleft())
        if self._has_slack():
            self._order_again()
        self._forget_changes()

    def undo(self) -> None:
        """Take back all events since ``stored``, in as much time as their changes took.

        Only if the group went elsewhere it takes longer: then all that was open before is ordered again.
        """
        if self._heads is None:
            return
        if self._older is not None:
            self.open, self.acked, self._remembered, self.claims = self._older[:4]
            # What is stored of them was noted when the group went elsewhere.
            self.before, self.claims_before, self.fresh_acks = self._older[4:]
            self._lines = None
        for _ in range(self.fresh_acks):
            self._remembered.discard(self.acked.pop())
        for id, entry in self.before.items():
            self._put_back(id, entry)
        _restore(self.claims, self.claims_before)
        _restore(self.moves, self.moves_before)
        self.generation, self.reach, self.last, self.aside, self.set_aside = self._heads
        # The numbers of leases that were taken back will be those of others.
        self._under = {first: ids for first, ids in self._under.items() if first <= self.last}
        if self._last_lease[0] > self.last:
            self._last_lease = (0, ())
        if self._older is not None or self._has_slack():
            self._order_again()
        self._forget_changes()

    def _put_back(self, id: MessageId, entry: Entry | None) -> None:
        """Have the entry that a message had before.

        Heaps may keep pairs that are outdated by that, but a message that may be due again gets a new one.
        """
        changed = self.open.pop(id, None)
        if changed is not None and changed.key and self._lines is not None:
            self._leave_line(changed.key, id)
        if entry is None:
            return
        self.open[id] = entry
        if entry.kind != MARKED:
            heappush(self._times, (entry.due, id))
        if entry.key and self._lines is not None:
            insort(self._lines.setdefault(entry.key, []), id)

    def _has_slack(self) -> bool:
        """Whether the heap by time has so many outdated pairs that it is worth making it again."""
        return len(self._times) > 2 * len(self.open) + _SLACK

    def _order_again(self) -> None:
        """Make the heaps again, without outdated pairs."""
        self._times = [(entry.due, id) for id, entry in self.open.items() if entry.kind != MARKED]
        heapify(self._times)
        self._ready, self._over, self._looked = [], [], ()

    def _set(self, id: MessageId, entry: Entry) -> None:
        before = self.open.get(id)
        if id not in self.before:
            self.before[id] = before
        self.open[id] = entry
        if entry.kind != MARKED:
            heappush(self._times, (entry.due, id))
        if before is None and entry.key and self._lines is not None:
            insort(self._lines.setdefault(entry.key, []), id)

    def _drop(self, id: MessageId) -> None:
        before = self.open.pop(id, None)
        if before is None:
            return
        if id not in self.before:
            self.before[id] = before
        if before.key and self._lines is not None:
            self._leave_line(before.key, id)

    def _leave_line(self, key: int, id: MessageId) -> None:
        """The next message of a key may be given now."""
        assert self._lines is not None
        line = self._lines[key]
        at = bisect_left(line, id)
        del line[at]
        if not line:
            del self._lines[key]
        elif not at:
            entry = self.open[line[0]]
            if entry.kind != MARKED:
                heappush(self._times, (entry.due, line[0]))

    def _lease(self, event: Leased) -> None:
        number, until, opened, before = event.first, event.until, self.open, self.before
        times, plain = self._times, self._lines is None and not event.keys
        for place, id in enumerate(event.ids):
            old = opened.get(id)
            if old is None:
                key = event.keys[place] if event.keys else 0
                entry = Entry(number, until, 1, LEASED, 0, key)
            else:
                entry = Entry(number, until, min(old.deliveries + 1, MAX_DELIVERIES), LEASED, old.setbacks, old.key)
            if plain or old is not None:
                if id not in before:
                    before[id] = old
                opened[id] = entry
                heappush(times, (until, id))
            else:
                self._set(id, entry)
            number += 1
        self.last = number - 1
        self._last_lease = (event.first, event.ids)

    def _reached(self, event: Reached) -> None:
        self.reach = event.reach

    def _close(self, event: Closed) -> None:
        for id in event.ids:
            self._drop(id)
        if event.acked:
            self.acked.extend(event.acked)
            self._remembered.update(event.acked)
            self.fresh_acks += len(event.acked)

    def _put(self, event: Put) -> None:
        entry = Entry(event.number, event.due, event.deliveries, event.kind, event.setbacks, event.key)
        self._set(event.id, entry)
        self.last = max(self.last, event.number)

    def _mark(self, event: Marked) -> None:
        entry = Entry(event.number, event.due, event.deliveries, MARKED, event.setbacks, event.key)
        self._set(event.id, entry)
        self.last = max(self.last, event.number)
        self.moves_before.setdefault(event.id, self.moves.get(event.id))
        self.moves[event.id] = event.move

    def _unmark(self, event: Unmarked) -> None:
        self.moves_before.setdefault(event.id, self.moves.get(event.id))
        self.moves.pop(event.id, None)

    def _aside(self, event: SetAside) -> None:
        for id in event.ids:
            self._drop(id)
        self.aside = (*self.aside, *event.ids)[-MAX_ASIDE:]
        self.set_aside += len(event.ids)

    def _not_aside(self, event: NotAside) -> None:
        gone = set(event.ids)
        aside = tuple([id for id in self.aside if id not in gone])
        self.set_aside -= len(self.aside) - len(aside)
        self.aside = aside

    def _key(self, event: Keyed) -> None:
        self.claims_before.setdefault(event.key, self.claims.get(event.key))
        self.claims[event.key] = Claim(event.first, event.size, event.until)
        first, ids = self._last_lease
        if event.size and event.first == first:
            self._under[first] = ids

    def _unkey(self, event: Unkeyed) -> None:
        for key in event.keys:
            self.claims_before.setdefault(key, self.claims.get(key))
            claim = self.claims.pop(key, None)
            if claim is not None and claim.size:
                self._under.pop(claim.first, None)

    def _pass(self, event: Passed) -> None:
        for id, key in zip(event.ids, event.keys, strict=True):
            self._set(id, Entry(0, Ticks(0), 0, WAITING, 0, key))

    def _seek(self, event: Sought) -> None:
        if self._older is None:
            stored = (self.before, self.claims_before, self.fresh_acks)
            self._older = (self.open, self.acked, self._remembered, self.claims, *stored)
        self.open, self.acked, self._remembered, self.claims, self._under = {}, deque(), set(), {}, {}
        self.before, self.claims_before, self.fresh_acks = {}, {}, 0
        self._times, self._ready, self._over, self._looked, self._lines = [], [], [], (), None
        self.generation, self.reach = event.generation, event.reach
        self.aside, self.set_aside = event.aside, len(event.aside)
        self.sought = True

    # What decisions ask

    def was_acked(self, number: int) -> bool:
        """Whether a lease was acked, as far as that is remembered."""
        return number in self._remembered

    def given_under(self, claim: Claim) -> tuple[MessageId, ...]:
        """The messages that a claim under a key was given, oldest first; some may be settled or given again since."""
        ids = self._under.get(claim.first)
        if ids is None:
            numbers = range(claim.first, claim.first + claim.size)
            ids = tuple(sorted([id for id, entry in self.open.items() if entry.number in numbers]))
            self._under[claim.first] = ids
        return ids

    def due(self, limit: int, terms: Terms, now: Ticks) -> tuple[MessageId, ...]:
        """The oldest messages that may be given and are due."""
        self._classify(terms, now)
        if not self._ready and not self._looked:
            return ()
        self._look_again(now)
        found: list[MessageId] = []
        while self._ready and len(found) < limit:
            id = heappop(self._ready)
            if self._may_be_given(id, now) and not (found and found[-1] == id):
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
            if id in found or not self._may_be_given(id, now):
                continue
            key = self.open[id].key
            if key:
                line, at = lines[key], taken.get(key, 0)
                if line[at] != id:
                    continue  # it is looked at again when the first message of its key is settled
                taken[key] = at + 1
                if at + 1 < len(line) and not is_over(self.open[line[at + 1]], terms):
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

    def _may_be_given(self, id: MessageId, now: Ticks) -> bool:
        """Whether a message is due and was not delivered as often as it may be, which it may have been meanwhile."""
        if not self._is_due(id, now):
            return False
        most = 1 if self._limits.at_most_once else self._limits.max_deliveries
        if 0 < most <= self.open[id].deliveries:
            heappush(self._over, id)
            return False
        return True

    def _look_again(self, now: Ticks) -> None:
        """Consider again what was looked at last and not given."""
        for id in self._looked:
            if self._may_be_given(id, now):
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
        limits = _Limits(terms.max_deliveries, terms.at_most_once, terms.order is Order.KEY)
        if limits != self._limits:
            self._limits = limits
            self._order_again()
        self._move_due(now)

    def _move_due(self, now: Ticks) -> None:
        """Move what has fallen due from the heap by time to one of those by id."""
        times = self._times
        if not times or times[0][0] > now:
            return
        left = MAX_MOVED
        while left and times and times[0][0] <= now:
            due, id = heappop(times)
            entry = self.open.get(id)
            if entry is not None and entry.due == due and entry.kind != MARKED:
                heappush(self._over if self._is_over(entry) else self._ready, id)
                left -= 1

    def _is_over(self, entry: Entry) -> bool:
        """Whether a message was delivered as often as the terms of the last look allow."""
        max_deliveries, at_most_once, _ = self._limits
        return 0 < (1 if at_most_once else max_deliveries) <= entry.deliveries

    def next_due(self, now: Ticks) -> Ticks | None:
        """When the next lease ends or the next message falls due that was given back; ``None`` if none will."""
        self._move_due(now)
        times = self._times
        while times:
            due, id = times[0]
            entry = self.open.get(id)
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


def is_over(entry: Entry, terms: Terms) -> bool:
    """Whether a message was delivered as often as it may be."""
    if terms.at_most_once:
        return entry.deliveries > 0  # it was given before the group became one of that kind
    return 0 < terms.max_deliveries <= entry.deliveries


def _restore(now: dict[Any, Any], before: Mapping[Any, Any]) -> None:
    for key, value in before.items():
        if value is None:
            now.pop(key, None)
        else:
            now[key] = value


_APPLY: Final[Mapping[type, Callable[[GroupIndex, Any], None]]] = {
    Leased: GroupIndex._lease,
    Reached: GroupIndex._reached,
    Closed: GroupIndex._close,
    Put: GroupIndex._put,
    Marked: GroupIndex._mark,
    Unmarked: GroupIndex._unmark,
    SetAside: GroupIndex._aside,
    NotAside: GroupIndex._not_aside,
    Keyed: GroupIndex._key,
    Unkeyed: GroupIndex._unkey,
    Passed: GroupIndex._pass,
    Sought: GroupIndex._seek,
}
