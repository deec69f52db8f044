"""What must hold of consumer groups: each checker is a pure function of one history.

Each yields once for everything that it looks at: what is wrong with that, or nothing. The names in brackets are those
of the promises in the design.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Final

import attrs

from tests.histories.groups.findings import Findings, address_of, asked_of, shown
from tests.histories.groups.history import Given
from tests.histories.groups.key_order import key_turns
from tests.histories.groups.order_checkers import first_order, turns
from tests.histories.groups.view import Known, Place, Take, View
from tests.live.cassandra.histories import Outcome, found_by

CHANGED: Final = frozenset(("acked", "retrying", "extended", "dead-lettered", "set-aside"))
"""What a settlement is answered that did something."""

ACKED: Final = frozenset(("acked", "already-acked"))


# Lost


def lost(view: View) -> Findings:
    """Acknowledged, and in some group neither acked nor a dead letter nor set aside at the end (L1)."""
    last = view.last_generations()
    letters = {(letter.group, letter.origin) for letter in view.end.letters}
    for plan in view.plans.values():
        missing = []
        for message in view.acknowledged_of(plan) if not plan.at_most_once else ():
            place = Place(plan.name, message.spot, message.id)
            generation = last.get((plan.name, message.spot.partition)) if plan.seeks else None
            over = _may_be_acked(view, place, generation) or (plan.name, address_of(message)) in letters
            if not over and plan.gives_up and plan.settings.dead_letter is None:
                missing.append(message)
                over = len(missing) <= view.end.aside.get(plan.name, 0)
            yield None if over else f"lost in {plan.name}: {shown(message)}"


def _may_be_acked(view: View, place: Place, generation: str | None) -> bool:
    """Whether an ack was answered so, or not at all; in this generation, if one is named."""
    return any(
        wish.asked.action == "ack"
        and (wish.asked.outcome in ACKED or wish.request.outcome is Outcome.UNKNOWN)
        and generation in (None, wish.asked.given.generation)
        for wish in view.wishes.get(place, ())
    )


def lost_at_most_once(view: View) -> Findings:
    """More than the claims can have taken whose answers were lost, given by no claim of an at-most-once group."""
    for plan in view.plans.values():
        if not plan.at_most_once:
            continue
        claims = [claim for claim in view.claims if claim.may_have_taken_of(plan.name)]
        room = sum(claim.limit for claim in claims if claim.outcome is Outcome.UNKNOWN)
        missing = [one for one in view.acknowledged_of(plan) if Place(plan.name, one.spot, one.id) not in view.takes]
        if len(missing) <= room:
            yield None
        else:
            told = f"{len(missing)} were not given, and {room} can be lost; the first of them: {shown(missing[0])}"
            yield f"lost in {plan.name}: {told}"


# Twice


def given_again(view: View) -> Findings:
    """In two answers of an at-most-once group (A1), or twice in one answer of any."""
    for claim in view.claims:
        ids = [(given.message.spot, given.message.id) for given in claim.given]
        yield None if len(set(ids)) == len(ids) else f"twice in one answer: {claim}"
    for place, takes in view.takes.items():
        if view.plans[place.group].at_most_once:
            for one, other in pairwise(takes):
                again = not view.sought(place.group, one.claim.invoked, other.claim.ended)
                yield f"given again by {place.group}: {shown(one.given.message)}" if again else None


def acked_again(view: View) -> Findings:
    """Acked newly by two settlements, in one generation and without a redrive in between (E2)."""
    for place, wishes in view.wishes.items():
        acked = defaultdict(list)
        for wish in wishes:
            if wish.asked.outcome == "acked":
                acked[wish.asked.given.generation].append(wish)
        for several in acked.values():
            yield None
            for one, other in pairwise(several):
                if not view.redriven(place.group, one.request.invoked, other.request.ended):
                    yield f"acked again in {place.group}: {shown(one.asked.given.message)}"


def several_ids(view: View) -> Findings:
    """A message, which is one key's, was shown under two ids to anybody (E1)."""
    places = defaultdict(set)
    shown = [message for page in view.history.pages for message in page.found]
    taken = [take.given.message for takes in view.takes.values() for take in takes]
    for message in [*view.acknowledged, *shown, *taken, *view.end.found]:
        places[message.body].add((message.spot, message.id))
    for body, several in places.items():
        told = sorted(f"{id.hex()}-{spot.partition}" for spot, id in several)
        yield f"several ids: {body} has {told}" if len(several) > 1 else None


def buried_twice(view: View) -> Findings:
    """Two dead letters of one message and group, or one of a message that was acked as well."""
    found = defaultdict(list)
    for letter in view.end.letters:
        found[letter.group, letter.origin].append(letter)
    acked = {
        (place.group, f"{place.id.hex()}-{place.spot.partition}")
        for place, wishes in view.wishes.items()
        if any(wish.asked.outcome == "acked" for wish in wishes)
    }
    groups = [plan.name for plan in view.plans.values() if plan.settings.dead_letter is not None]
    posted = {(group, address_of(message)) for group in groups for message in view.acknowledged}
    for group, origin in sorted(posted.union(found)):
        letters = found.get((group, origin), [])
        yield f"buried twice by {group}: {origin}" if len(letters) > 1 else None
        yield f"buried by {group}, and acked: {origin}" if letters and (group, origin) in acked else None


# Unexpected


def unexpected(view: View) -> Findings:
    """Given or buried, although it was never posted, or each POST of it was refused (L2)."""
    sent = {
        body
        for send in view.history.sends
        if send.outcome is not Outcome.FAILED and not send.reuse
        for body in send.bodies
    }
    for place, takes in view.takes.items():
        message = takes[0].given.message
        yield None if message.body in sent else f"unexpected in {place.group}: {shown(message)}"
    for letter in view.end.letters:
        yield None if letter.body in sent else f"unexpected dead letter of {letter.group}: {letter.body}"


def altered(view: View) -> Findings:
    """Another body under an id, or another origin of a dead letter, than elsewhere."""
    bodies = {(message.spot, message.id): message.body for message in [*view.acknowledged, *view.end.found]}
    for place, takes in view.takes.items():
        for body in {take.given.message.body for take in takes}:
            same = bodies.get((place.spot, place.id), body) == body
            yield None if same else f"altered: {shown(takes[0].given.message)} was given by {place.group} as {body}"
    origins = {address_of(message): message.body for message in view.end.found}
    for letter in view.end.letters:
        same = origins.get(letter.origin) == letter.body
        yield None if same else f"altered: the dead letter {letter.body} of {letter.group} names {letter.origin}"


# Registers: what a key gives, and a lease


def repeats(view: View) -> Findings:
    """A claim that is repeated under its key while its lease lives gives something else (E4); one of several groups may
    be served by another group once everything that it gave was settled."""
    for one, other in view.repeats():
        if view.sought(one.group, one.invoked, other.ended) or view.leapt(one.invoked, other.ended):
            continue
        again = {given.receipt for given in other.given}
        for given in one.given:
            if given.until - view.slack < other.clock or given.receipt in again:
                yield None
            elif not _asked(view, one.group, given, other.ended):
                yield f"not repeated: {one.key} of {one.group} gave {shown(given.message)}, and then did not"
        before = {given.receipt for given in one.given}
        left = one.given
        if one.group != other.group:
            left = tuple(given for given in one.given if not _asked(view, one.group, given, other.ended))
        live = left and max(given.until for given in left) - view.slack > other.clock
        for given in other.given:
            more = live and given.receipt not in before
            yield f"not repeated: {one.key} of {one.group} then gave {shown(given.message)} too" if more else None


def _asked(view: View, group: str, given: Given, until: float) -> bool:
    """Whether anything was asked for a message, with any receipt, before a time."""
    wishes = view.wishes.get(Place(group, given.message.spot, given.message.id), ())
    return any(wish.request.invoked <= until for wish in wishes)


def leases(view: View) -> Findings:
    """One lease number for two messages or two claims, or one that does not rise as time goes on."""
    for (group, partition), takes in view.shared.items():
        if view.plans[group].at_most_once:
            continue
        first: dict[int, Take] = {}
        known = Known((take.claim.ended, take.given.number) for take in takes)
        for take in sorted(takes, key=lambda take: take.claim.invoked):
            number, before = take.given.number, first.setdefault(take.given.number, take)
            where = f"{number} of {group}, partition {partition}"
            if before is not take and not _is_repeat(before, take):
                yield f"one lease twice: {where}, of {shown(before.given.message)} and {shown(take.given.message)}"
            late = view.is_new(take.claim) and number <= known.before(take.claim.invoked)
            yield f"leases fall: {where}, of {shown(take.given.message)}" if late else None


def _is_repeat(one: Take, other: Take) -> bool:
    same = (one.given.message, one.given.receipt) == (other.given.message, other.given.receipt)
    return same and one.claim.key is not None and one.claim.key == other.claim.key


def together(view: View) -> Findings:
    """A message was given to a worker during another one's lease, although no claim asked for it."""
    for place, takes in view.takes.items():
        for one, other in pairwise(view.first_takes(takes)):
            if not one.given.number or view.leapt(one.claim.invoked, other.claim.ended):
                continue
            # A lease under a key may be shorter than it says: it ends with what points to its claim.
            lease = other.given.until - other.given.lease
            granted = lease if other.claim.key is None else other.claim.clock
            excused = (
                granted >= one.given.until - view.slack
                or _asked(view, place.group, one.given, other.claim.ended)
                or view.sought(place.group, one.claim.invoked, other.claim.ended)
            )
            early = one.given.until - granted
            yield None if excused else f"together: {shown(one.given.message)} of {place.group}, {early:.3f} s too early"


def deliveries(view: View) -> Findings:
    """Deliveries are not counted, or are more than there may be."""
    for place, takes in view.takes.items():
        most = view.plans[place.group].settings.max_deliveries
        for take in takes:
            over = most and take.given.deliveries > most
            yield f"too often: {shown(take.given.message)} by {place.group}: {take.given}" if over else None
        for one, other in pairwise(view.first_takes(takes)):
            same = one.given.generation == other.given.generation
            if same and not view.redriven(place.group, one.claim.invoked, other.claim.ended):
                rise = one.given.deliveries < other.given.deliveries
                told = f"{one.given.deliveries}, then {other.given.deliveries}"
                yield None if rise else f"not counted: {shown(one.given.message)} of {place.group}, {told}"


# Fences


def fence(view: View) -> Findings:
    """A settlement did something with a number after a newer one was given out (E3)."""
    for place, wishes in view.wishes.items():
        known = Known((take.claim.ended, take.given.number) for take in view.takes.get(place, ()))
        for wish in wishes:
            newer = known.before(wish.request.invoked) > wish.asked.given.number
            passed = newer and wish.asked.outcome in CHANGED
            yield f"no fence in {place.group}: {asked_of(wish.asked)}" if passed else None


def generations(view: View) -> Findings:
    """A receipt is good after a seek, or there is a generation that no seek has begun."""
    seeks = [seek for seek in view.history.seeks if seek.outcome is Outcome.OK]
    for place, wishes in view.wishes.items():
        claimed = {take.given.receipt: take.claim.ended for take in reversed(view.takes.get(place, ()))}
        for wish in wishes:
            at = claimed.get(wish.asked.given.receipt, wish.request.invoked)
            old = any(
                seek.group == place.group and at < seek.invoked and seek.ended < wish.request.invoked for seek in seeks
            )
            good = old and wish.asked.outcome not in (None, "invalid")
            yield f"good after a seek of {place.group}: {asked_of(wish.asked)}" if good else None
    for (group, partition), takes in view.shared.items():
        found = {take.given.generation for take in takes}
        most = 1 + sum(one.group == group and one.outcome is not Outcome.FAILED for one in view.history.seeks)
        told = f"generations of {group}, partition {partition}: {len(found)}, and {most - 1} seeks"
        yield told if len(found) > most else None


def forgeries(view: View) -> Findings:
    """A receipt that was given to no worker is not refused."""
    for request in view.history.settlements:
        for asked in request.asked:
            if asked.forged:
                good = asked.outcome not in (None, "invalid")
                yield f"not refused in {request.group}: a forged receipt, {asked_of(asked)}" if good else None


def disowned(view: View) -> Findings:
    """A receipt is called invalid that is of this life of the group."""
    for place, wishes in view.wishes.items():
        claimed = {take.given.receipt: take.claim.invoked for take in reversed(view.takes.get(place, ()))}
        for wish in wishes:
            since = claimed.get(wish.asked.given.receipt, wish.request.invoked)
            wrong = wish.asked.outcome == "invalid" and not view.sought(place.group, since, wish.request.ended)
            yield f"disowned by {place.group}: {asked_of(wish.asked)}" if wrong else None


def remembered(view: View) -> Findings:
    """An ack is not remembered, or one that no client asked for is."""
    for place, wishes in view.wishes.items():
        acks = [wish for wish in wishes if wish.asked.action == "ack"]
        for wish in wishes:
            same = [one for one in acks if one.asked.given.receipt == wish.asked.given.receipt]
            known = any(one.asked.outcome in ACKED and one.request.ended < wish.request.invoked for one in same)
            asked = any(one is not wish and one.request.invoked <= wish.request.ended for one in same)
            if known and wish.asked.outcome not in (None, "already-acked", "invalid"):
                yield f"not remembered by {place.group}: {asked_of(wish.asked)}"
            elif wish.asked.outcome == "already-acked" and not asked:
                yield f"never acked in {place.group}: {asked_of(wish.asked)}"
            else:
                yield None


# Order


Checker = Callable[[View], Findings]

CHECKERS: Final[tuple[Checker, ...]] = (
    lost,
    lost_at_most_once,
    given_again,
    acked_again,
    several_ids,
    buried_twice,
    unexpected,
    altered,
    repeats,
    leases,
    together,
    deliveries,
    fence,
    generations,
    forgeries,
    disowned,
    remembered,
    first_order,
    turns,
    key_turns,
)
"""All of them."""


@attrs.frozen
class Verdict:
    """What a checker has found.

    :ivar looked: at how much it has looked.
    :ivar wrong: a line for each thing that is wrong.
    """

    checker: str
    looked: int
    wrong: tuple[str, ...]


def judge(view: View) -> list[Verdict]:
    """What every checker finds."""
    verdicts = []
    for checker in CHECKERS:
        found = list(checker(view))
        verdicts.append(Verdict(checker.__name__, len(found), tuple(line for line in found if line is not None)))
    return verdicts


def problems(view: View) -> list[str]:
    """All that is wrong, some lines of each kind, that which clients noted first."""
    return found_by({"answers": view.history.problems, **told(judge(view))})


def told(verdicts: Iterable[Verdict]) -> dict[str, Sequence[str]]:
    """What is wrong, by the names of the checkers."""
    return {verdict.checker: verdict.wrong for verdict in verdicts}
