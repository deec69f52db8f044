"""A consumer group in one partition, and a model of it that is written down in another way."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis.stateful import RuleBasedStateMachine

from queuey.model.groups.entries import LEASED, MARKED, WAITING
from queuey.model.groups.snapshot import GroupState
from queuey.model.timeid import SECOND
from tests.model.groups import folded as group
from tests.model.groups.folded import Action, Found, Order, Outcome, Terms
from tests.model.groups.known import TARGETS, Keyed, Known, id_of, number_of


class GroupModel(RuleBasedStateMachine):
    """What is expected of the group by the model."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1 << 40
        self.state = GroupState(b"\1" * 8, id_of(0))
        self.terms = Terms(dead_letter=TARGETS[0])
        self.era = 1
        self.log = {1, 2, 3}
        self.next = 4
        self.keys = {1: 1, 2: 0, 3: 1}
        self.reach = 0
        self.last = 0
        self.open: dict[int, Known] = {}
        self.acked: set[int] = set()
        self.aside: list[int] = []
        self.letters: dict[int, int] = {}
        self.keyed: dict[bytes, Keyed] = {}
        self.receipts: list[tuple[int, int, int]] = []
        self.found: Found | None = None
        self.taken: tuple[group.Taken, ...] = ()
        self.given: set[int] = set()
        self.any_order = False
        self.given_once: set[int] = set()

    def expect_look(self, limit: int) -> tuple[list[int], list[int], int]:
        free = {message: known for message, known in sorted(self.open.items()) if known.kind != MARKED}
        ready = [message for message, known in free.items() if known.due <= self.now and not self.over(known)]
        if self.terms.at_most_once:
            return ready[:limit], [], limit - len(ready[:limit])
        if self.by_key:
            ready = [m for m in ready if not self.keys[m] or set(self.earlier(m)) <= set(ready)]
        if self.terms.order is not Order.PARTITION:
            return ready[:limit], [], limit - len(ready[:limit])
        if not self.open:
            return [], [], 1
        if len(free) < len(self.open):
            return [], [], 0
        busy = [message for message, known in free.items() if known.kind == LEASED and known.due > self.now]
        if busy:
            return [], busy, 0
        first = min(free)
        if self.over(free[first]):
            return [], [], 0
        return ([first], [], 0) if free[first].due <= self.now else ([], [first], 0)

    def expect_taken(self, found: Found, limit: int, lease: int, key: bytes | None) -> list[int]:
        due, _, room = self.expect_look(limit)
        present = [message for message in due if id_of(message) in found.present]
        assert found.start is not None
        assert found.end is not None
        fresh: list[int] = []
        if number_of(found.start) <= self.reach <= number_of(found.end):
            room = room if self.terms.order is Order.PARTITION else limit - len(present)
            seen = [number_of(id) for id in found.scanned if number_of(id) >= self.reach]
            if self.by_key:
                fresh, examined = self.expect_fresh(present, seen, room)
            else:
                fresh = examined = seen[: limit - len(present) if self.terms.at_most_once else room]
            if len(examined) == len(seen):
                self.reach = number_of(found.end)
            elif examined:
                self.reach = examined[-1] + 1
        first = self.last + 1
        for message in (*present, *fresh):
            before = self.open.pop(message, None)
            if not self.terms.at_most_once:
                self.last += 1
                times = before.deliveries + 1 if before else 1
                setbacks = before.setbacks if before else 0
                own = before.key if before else found.keys.get(id_of(message), 0)
                self.open[message] = Known(self.last, self.now + lease, times, LEASED, setbacks, key=own)
        if key is not None and self.last >= first:
            self.keyed.pop(key, None)
            self.keyed[key] = Keyed(range(first, self.last + 1), self.now + lease)
        return present + fresh

    @property
    def by_key(self) -> bool:
        return self.terms.order is Order.KEY and not self.terms.at_most_once

    def earlier(self, message: int) -> list[int]:
        """The open messages of a message's key that come before it."""
        return [one for one, known in self.open.items() if one < message and known.key == self.keys[message]]

    def expect_fresh(self, present: list[int], seen: list[int], room: int) -> tuple[list[int], list[int]]:
        """The new messages that are taken where keys have an order, and all that were examined for that."""
        fresh: list[int] = []
        examined: list[int] = []
        passed: list[int] = []
        for message in seen:
            key = self.keys[message]
            mine = [one for one, known in self.open.items() if known.key == key and one not in present]
            if key and (mine or any(self.keys[one] == key for one in passed)):
                passed.append(message)
            elif len(fresh) == room:
                break
            else:
                fresh.append(message)
            examined.append(message)
        for message in passed:
            self.open[message] = Known(0, 0, 0, WAITING, key=self.keys[message])
        return fresh, examined

    def expect_repeated(self, key: bytes) -> list[tuple[int, int, int, int]]:
        return [
            (message, known.number, known.deliveries, known.due)
            for message, known in sorted(self.open.items())
            if known.kind == LEASED and known.number in self.keyed[key].numbers and known.due > self.now
        ]

    def over(self, known: Known) -> bool:
        if self.terms.at_most_once:
            return known.deliveries > 0
        return 0 < self.terms.max_deliveries <= known.deliveries

    def expect_expired(self) -> None:
        for message, known in sorted(self.open.items()):
            if known.kind != MARKED and known.due <= self.now and self.over(known):
                if self.terms.at_most_once:
                    del self.open[message]
                else:
                    self.expect_given_up(message)

    def expect_given_up(self, message: int) -> Outcome:
        if self.terms.dead_letter is None:
            del self.open[message]
            self.aside.append(message)
            return Outcome.SET_ASIDE
        self.last += 1
        self.open[message].number = self.last
        self.open[message].kind = MARKED
        self.open[message].letter = None
        return Outcome.MOVING

    def expect_dropped(self, messages: Sequence[int] | map[int]) -> None:
        for message in messages:
            known = self.open.get(message)
            if known is None or known.kind != MARKED:
                self.open.pop(message, None)
                if message in self.aside:
                    self.aside.remove(message)

    def expect_settled(self, receipt: tuple[int, int, int], action: Action, span: int) -> Outcome:
        era, message, number = receipt
        known = self.open.get(message)
        if era != self.era:
            return Outcome.INVALID
        if known is None or known.number != number or known.kind == MARKED:
            return Outcome.ALREADY_ACKED if number in self.acked else Outcome.STALE
        if action is Action.ACK:
            del self.open[message]
            self.acked.add(number)
            return Outcome.ACKED
        if action is Action.REJECT:
            return self.expect_given_up(message)
        if action is Action.RETRY and not self.terms.at_most_once and self.over(known):
            return self.expect_given_up(message)
        known.due = self.now + span * SECOND
        if action is Action.EXTEND:
            known.kind = LEASED
            for claim in self.keyed.values():
                if number in claim.numbers:
                    claim.until = max(claim.until, known.due)
            return Outcome.EXTENDED
        known.kind = WAITING
        return Outcome.RETRYING
