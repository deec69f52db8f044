"""A history as the checkers look at it: what was done to one message, or in one partition, found at once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from math import inf
from typing import Final, NamedTuple

from queuey.model.timeid import MessageId
from tests.histories.groups.history import Asked, Claimed, End, Given, GroupHistory, Plan, Redriven, Settled, Sought
from tests.live.cassandra.histories import Outcome, Spot, Stored

DRAIN: Final = "drain"
"""How the client is called who empties a group at the end."""

SLACK: Final = 0.6
"""Seconds by which clocks may be apart where front ends are processes: what Cassandra's allow for, and a little."""


class Place(NamedTuple):
    """One message, as one group sees it."""

    group: str
    spot: Spot
    id: MessageId


class Take(NamedTuple):
    """That a claim was given a message."""

    claim: Claimed
    given: Given


class Wish(NamedTuple):
    """That something was asked for a receipt."""

    request: Settled
    asked: Asked


class View:
    """One history.

    :param slack: seconds by which the clocks of two front ends may be apart, and what is noted of them may be late.
    :ivar takes: of each message, in the order in which they were asked for.
    :ivar wishes: the same of settlements, those with forged receipts left out.
    :ivar shared: what was given in each partition of each group.
    :ivar numbers: of the leases that any client was given, likewise.
    """

    def __init__(self, history: GroupHistory, end: End, plans: Iterable[Plan], slack: float = SLACK) -> None:
        self.history = history
        self.slack = slack
        self.end = end
        self.plans: Mapping[str, Plan] = {plan.name: plan for plan in plans}
        self.acknowledged: Sequence[Stored] = list(history.acknowledged())
        self.takes: dict[Place, list[Take]] = defaultdict(list)
        self.wishes: dict[Place, list[Wish]] = defaultdict(list)
        self.shared: dict[tuple[str, int], list[Take]] = defaultdict(list)
        self.numbers: dict[tuple[str, int], set[int]] = defaultdict(set)
        self.claims = sorted(history.claims, key=lambda claim: claim.invoked)
        self._firsts: dict[str, Claimed] = {}
        for claim in self.claims:
            if claim.key is not None:
                self._firsts.setdefault(claim.key, claim)
            for given in claim.given:
                take = Take(claim, given)
                self.takes[_place(claim.group, given)].append(take)
                self.shared[claim.group, given.message.spot.partition].append(take)
                self.numbers[claim.group, given.message.spot.partition].add(given.number)
        self._redrives, self._seeks = _spans(history.redrives), _spans(history.seeks)
        for request in sorted(history.settlements, key=lambda request: request.invoked):
            for asked in request.asked:
                if not asked.forged:
                    self.wishes[_place(request.group, asked.given)].append(Wish(request, asked))

    def acknowledged_of(self, plan: Plan) -> Sequence[Stored]:
        """The acknowledged messages of a group's queue."""
        return [one for one in self.acknowledged if plan.queue in (None, one.spot.queue)]

    def is_new(self, claim: Claimed) -> bool:
        """Whether nothing was asked under its key before."""
        return claim.key is None or self._firsts[claim.key] is claim

    def repeats(self) -> Iterator[tuple[Claimed, Claimed]]:
        """Each two answers that were given to one key, the one after the other."""
        keys = defaultdict(list)
        for claim in self.claims:
            if claim.key is not None and claim.outcome is Outcome.OK:
                keys[claim.key].append(claim)
        for claims in keys.values():
            yield from pairwise(claims)

    def first_takes(self, takes: Sequence[Take]) -> list[Take]:
        """Of each lease, the answer that had it first; rising by number."""
        found: dict[int, Take] = {}
        for take in takes:
            before = found.get(take.given.number)
            if before is None or take.claim.ended < before.claim.ended:
                found[take.given.number] = take
        return [found[number] for number in sorted(found)]

    def last_generations(self) -> Mapping[tuple[str, int], str]:
        """In which generation each group was emptied, in each partition."""
        return {
            (claim.group, given.message.spot.partition): given.generation
            for claim in self.claims
            if claim.client == DRAIN
            for given in claim.given
        }

    def redriven(self, group: str, since: float, until: float) -> bool:
        """Whether messages of a group may have been taken back between two times."""
        return group in self._redrives and self._redrives[group].any(since, until)

    def sought(self, group: str, since: float, until: float) -> bool:
        """Whether a group may have been moved between two times."""
        return group in self._seeks and self._seeks[group].any(since, until)

    def leapt(self, since: float, until: float) -> bool:
        """Whether the clock was set between two times, so that leases may have ended early."""
        faults = (fault for fault in self.history.faults if fault.sets_clock)
        return any(fault.at <= until and fault.until >= since for fault in faults)


class Known:
    """The greatest number that any client was given, as time goes on.

    :param told: when, and the number.
    """

    def __init__(self, told: Iterable[tuple[float, int]]) -> None:
        ended = sorted(told)
        self._times = [at for at, _ in ended]
        self._greatest = list(accumulate((number for _, number in ended), max))

    def before(self, at: float) -> int:
        """The greatest one that a client got before a time; 0 if there was none."""
        place = bisect_left(self._times, at)
        return self._greatest[place - 1] if place else 0


class Spans:
    """When operations were under way; one with an unknown outcome may still take effect.

    :param asked: none of those that have failed.
    """

    def __init__(self, asked: Iterable[Sought | Redriven]) -> None:
        begun = sorted(asked, key=lambda one: one.invoked)
        self._times = [one.invoked for one in begun]
        ends = (inf if one.outcome is Outcome.UNKNOWN else one.ended for one in begun)
        self._latest = list(accumulate(ends, max))

    def any(self, since: float, until: float) -> bool:
        """Whether one was under way between two times."""
        place = bisect_right(self._times, until)
        return place > 0 and self._latest[place - 1] >= since


def _spans(asked: Iterable[Sought | Redriven]) -> dict[str, Spans]:
    """The same by group."""
    groups: dict[str, list[Sought | Redriven]] = defaultdict(list)
    for one in asked:
        if one.outcome is not Outcome.FAILED:
            groups[one.group].append(one)
    return {group: Spans(found) for group, found in groups.items()}


def _place(group: str, given: Given) -> Place:
    return Place(group, given.message.spot, given.message.id)
