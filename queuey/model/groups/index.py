"""The state of one consumer group in one partition in memory: changed in place, in O(log n) for each message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import heappush
from typing import Any, Final

from queuey.model.groups.due import OpenMessages
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
from queuey.model.timeid import MessageId, Ticks


class GroupIndex(OpenMessages):
    """The state of one group in one partition.

    Read any attribute, but change them only with ``apply``. Changes can be undone until ``stored`` is called.

    :ivar generation: random; replaced by each seek.
    :ivar reach: a bound: every id below it was examined, and is settled unless it is in ``open``.
    :ivar last: the greatest lease number so far. It never falls.
    :ivar open: the entries of unsettled messages.
    :ivar acked: the numbers of the leases that were acked last, oldest first; at least ``MAX_ACKED`` of them, if there
        were so many.
    :ivar aside: the ids that were set aside last, oldest first.
    :ivar set_aside: number of messages that are set aside, also those whose ids are not remembered.
    :ivar claims: claims with a key, by the hashes of the keys.
    :ivar moves: by the ids of entries that are marked.
    :ivar events: the events that were applied since ``stored``.
    :ivar before: the stored entries of all messages that those events changed; ``None`` for a message without an entry.
    """

    __slots__ = (
        "_heads", "_last_lease", "_older", "_remembered", "_under", "acked", "aside", "before", "claims",
        "claims_before", "events", "fresh_acks", "generation", "last", "moves", "moves_before", "reach",
        "set_aside", "sought",
    )  # fmt: skip

    def __init__(self, generation: bytes, reach: MessageId, last: int = 0) -> None:
        super().__init__()
        self.generation = generation
        self.reach = reach
        self.last = last
        self.acked: list[int] = []  # an empty deque takes ten times as much memory
        self.aside: tuple[MessageId, ...] = ()
        self.set_aside = 0
        self.claims: dict[bytes, Claim] = {}
        self.moves: dict[MessageId, Move] = {}
        self._remembered: set[int] = set()
        # The messages of the last lease, and of claims with a key, by the first lease number.
        self._last_lease: tuple[int, tuple[MessageId, ...]] = (0, ())
        self._under: dict[int, tuple[MessageId, ...]] = {}
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
        acked: Iterable[int],
        aside: tuple[MessageId, ...],
        set_aside: int,
        claims: Mapping[bytes, Claim],
        moves: Mapping[MessageId, Move],
    ) -> None:
        """Load what is stored beside the open messages, which ``fill_open`` loads; call it once, on a new index."""
        self.acked = list(acked)
        self._remembered = set(self.acked)
        self.aside, self.set_aside = aside, set_aside
        self.claims, self.moves = dict(claims), dict(moves)

    # Changes

    def apply(self, event: Event) -> None:
        """Apply an event to the index."""
        if self._heads is None:
            self._heads = (self.generation, self.reach, self.last, self.aside, self.set_aside)
        self.events.append(event)
        _APPLY[type(event)](self, event)

    def stored(self) -> None:
        """Confirm that the events were stored: they cannot be undone any more."""
        if not self.events:
            return
        over = len(self.acked) - MAX_ACKED
        if over > 0:
            self._remembered.difference_update(self.acked[:over])
            del self.acked[:over]
        self._renew(len(self.before))
        self._forget_changes()

    def undo(self) -> None:
        """Undo all events since ``stored``, in time proportional to their changes.

        Only a seek takes longer to undo, because the heaps of all open messages are rebuilt.
        """
        if self._heads is None:
            return
        if self._older is not None:
            self.open, self.acked, self._remembered, self.claims = self._older[:4]
            # _seek saved the stored values of these.
            self.before, self.claims_before, self.fresh_acks = self._older[4:]
            self._lines = None
        for _ in range(self.fresh_acks):
            self._remembered.discard(self.acked.pop())
        for id, entry in self.before.items():
            self._put_back(id, entry)
        _restore(self.claims, self.claims_before)
        _restore(self.moves, self.moves_before)
        self.generation, self.reach, self.last, self.aside, self.set_aside = self._heads
        # Later leases will use the same lease numbers again.
        self._under = {first: ids for first, ids in self._under.items() if first <= self.last}
        if self._last_lease[0] > self.last:
            self._last_lease = (0, ())
        if self._older is not None:
            self._order_again()
        else:
            self._renew(len(self.before))
        self._forget_changes()

    def _put_back(self, id: MessageId, entry: Entry | None) -> None:
        """Restore the earlier entry of a message.

        The heaps may keep pairs that this makes outdated, but a message that may be due again gets a new pair.
        """
        changed = self.open.pop(id, None)
        if changed is not None and changed.key:
            self._leave_line(changed.key, id)
        if entry is None:
            return
        self.open[id] = entry
        self._falls_due(id, entry)
        if entry.key:
            self._enter_line(entry.key, id)

    def _set(self, id: MessageId, entry: Entry) -> None:
        before = self.open.get(id)
        if id not in self.before:
            self.before[id] = before
        self.open[id] = entry
        self._falls_due(id, entry)
        if before is None and entry.key:
            self._enter_line(entry.key, id)

    def _drop(self, ids: Iterable[MessageId]) -> None:
        opened, before = self.open, self.before
        for id in ids:
            entry = opened.pop(id, None)
            if entry is not None:
                if id not in before:
                    before[id] = entry
                if entry.key:
                    self._leave_line(entry.key, id)

    def _lease(self, event: Leased) -> None:
        number, until, keys = event.first, event.until, event.keys
        opened, before, times = self.open, self.before, self._times
        for place, id in enumerate(event.ids):
            old = opened.get(id)
            if old is None:
                key = keys[place] if keys else 0
                opened[id] = Entry(number, until, 1, LEASED, 0, key)
                if key:
                    self._enter_line(key, id)
            else:
                deliveries = min(old.deliveries + 1, MAX_DELIVERIES)
                opened[id] = Entry(number, until, deliveries, LEASED, old.setbacks, old.key)
            if id not in before:
                before[id] = old
            heappush(times, (until, id))
            number += 1
        self.last = number - 1
        self._last_lease = (event.first, event.ids)

    def _reached(self, event: Reached) -> None:
        self.reach = event.reach

    def _close(self, event: Closed) -> None:
        self._drop(event.ids)
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
        self._drop(event.ids)
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
        self.open, self.acked, self._remembered, self.claims, self._under = {}, [], set(), {}, {}
        self.before, self.claims_before, self.fresh_acks = {}, {}, 0
        self._order_again()
        self._lines = None
        self.generation, self.reach = event.generation, event.reach
        self.aside, self.set_aside = event.aside, len(event.aside)
        self.sought = True

    # Queries

    def was_acked(self, number: int) -> bool:
        """Return whether a lease was acked, as far as the index remembers."""
        return number in self._remembered

    def given_under(self, claim: Claim) -> tuple[MessageId, ...]:
        """Return the messages of a claim with a key, oldest first; some may be settled or redelivered since."""
        ids = self._under.get(claim.first)
        if ids is None:
            numbers = range(claim.first, claim.first + claim.size)
            ids = tuple(sorted([id for id, entry in self.open.items() if entry.number in numbers]))
            self._under[claim.first] = ids
        return ids


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
