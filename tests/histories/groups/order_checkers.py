"""Checkers of the order in which messages are given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from queuey.model.groups.terms import Order
from queuey.model.timeid import LOWEST
from tests.histories.groups.findings import Findings, number_of, shown
from tests.histories.groups.history import Given
from tests.histories.groups.view import Known, Place, Take, View
from tests.histories.keys import key_of


def first_order(view: View) -> Findings:
    """The first deliveries of a partition are not in the order of ids (L3); if keys have an order, those of one key."""
    for (group, partition), takes in view.shared.items():
        by_key = view.plans[group].settings.order is Order.KEY
        since = min((one.invoked for one in view.history.redrives if one.group == group), default=None)
        firsts = defaultdict(list)
        for take in view.first_takes(takes):
            if take.given.deliveries == 1 and take.given.number and (since is None or take.claim.ended < since):
                key = key_of(take.given.message.body) if by_key else None
                firsts[take.given.generation, key].append(take.given)
        for several in firsts.values():
            for one, other in pairwise(several):
                right = one.message.id < other.message.id or _given_back(view, group, partition, one, other, several)
                told = f"{shown(other.message)} after {shown(one.message)}"
                yield None if right else f"out of order in {group}, partition {partition}: {told}"
    yield from _orders_of_answers(view)
    yield from _orders_at_most_once(view)


def _given_back(view: View, group: str, partition: int, one: Given, other: Given, several: Sequence[Given]) -> bool:
    """Whether the second may have been taken before the first, by a claim with an unknown outcome, and given back.

    A claim whose client hung up gives back what it took, and that counts as no delivery; no client sees its number.
    """
    before = max((given.number for given in several if given.message.id < other.message.id), default=0)
    return any(number not in view.numbers[group, partition] for number in range(before + 1, one.number))


def _orders_of_answers(view: View) -> Findings:
    """The same within one answer, which is oldest first, in each partition."""
    for claim in view.claims:
        last = dict.fromkeys((given.message.spot for given in claim.given), LOWEST)
        for given in claim.given:
            right = last[given.message.spot] < given.message.id
            last[given.message.spot] = given.message.id
            yield None if right else f"out of order in one answer of {claim.group}: {shown(given.message)}"


def _orders_at_most_once(view: View) -> Findings:
    """The same where there is no number: what was given is above what anybody had been given before."""
    for (group, partition), takes in view.shared.items():
        if not view.plans[group].at_most_once or view.plans[group].seeks:
            continue
        known = Known((take.claim.ended, number_of(take.given.message)) for take in takes)
        for take in takes:
            right = known.before(take.claim.invoked) < number_of(take.given.message)
            yield None if right else f"out of order in {group}, partition {partition}: {shown(take.given.message)}"


def turns(view: View) -> Findings:
    """Where messages are worked on one after another, one was given before those before it were over."""
    for (group, _), takes in view.shared.items():
        if view.plans[group].settings.order is not Order.PARTITION:
            continue
        firsts: dict[tuple[str, bytes], Take] = {}
        for take in view.first_takes(takes):
            firsts.setdefault((take.given.generation, take.given.message.id), take)
        for one, other in pairwise(firsts.values()):
            if one.given.generation == other.given.generation:
                over = may_be_over(view, group, one.given, other.claim.ended)
                yield None if over else f"before its turn in {group}: {shown(other.given.message)}"


def may_be_over(view: View, group: str, given: Given, until: float) -> bool:
    wishes = view.wishes.get(Place(group, given.message.spot, given.message.id), ())
    return view.plans[group].settings.max_deliveries > 0 or any(
        wish.asked.action in ("ack", "reject") and wish.request.invoked <= until for wish in wishes
    )
