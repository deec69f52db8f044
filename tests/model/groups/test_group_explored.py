"""Consumer groups in every interleaving of a small world: the promises hold, and each rule is needed for them.

``QUEUEY_LONG=1`` explores larger worlds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import attrs
from msgspec.structs import replace

from queuey.model.groups.entries import LEASED, WAITING, Entry
from queuey.model.groups.snapshot import GroupState
from queuey.model.timeid import HIGHEST, MessageId, Ticks
from tests import runs_in
from tests.model.exploring import ExploringCase
from tests.model.groups import folded as group
from tests.model.groups import group_scene
from tests.model.groups.folded import Action, Claimed, Found, Look, Order, Result, Settled, Settlement, Terms, Wanted
from tests.model.groups.group_scene import DEAD_LETTERS, Faults, Rules, Stage
from tests.model.groups.group_world import World

LONG = bool(os.environ.get("QUEUEY_LONG"))

CRASH = Faults(crash=True)
UNKNOWN = Faults(crash=True, unknown=True)
LINGERING = Faults(crash=True, unknown=True, lingering=True)

ONCE = Terms(at_most_once=True)
DEAD = Terms(max_deliveries=1, dead_letter=DEAD_LETTERS)
ASIDE = Terms(max_deliveries=1)
IN_TURN = Terms(order=Order.PARTITION)

MOVES = World(CRASH, terms=DEAD, messages=1, limit=1, leases=6, ends=2, redrives=True)
"""One message, that is delivered, moved to the dead-letter queue, taken back, delivered, and so on."""


class ExploredTests(ExploringCase):
    """Nothing that is promised is broken."""

    def test_leases_that_end(self) -> None:
        self.holds(World(CRASH, leases=5 if LONG else 4, ends=2 if LONG else 1), 5_000)

    def test_retries_and_extensions(self) -> None:
        every = (Action.ACK, Action.RETRY, Action.EXTEND)
        faults = CRASH if LONG else Faults()
        self.holds(World(faults, messages=2 if LONG else 1, limit=1, leases=3, ends=1, actions=every), 1_000)

    def test_changes_of_unknown_outcome(self) -> None:
        self.holds(World(UNKNOWN, messages=3 if LONG else 2, leases=4, ends=1), 5_000)

    def test_changes_that_are_made_late(self) -> None:
        faults = attrs.evolve(LINGERING, crash=LONG)
        self.holds(World(faults, messages=2, leases=2, limit=1, ends=1), 10_000)

    def test_messages_that_arrive_and_are_deleted(self) -> None:
        faults = Faults(crash=LONG, arrivals=True, deletes=True)
        self.holds(World(faults, messages=3 if LONG else 2, leases=3, ends=1), 10_000)

    def test_at_most_once(self) -> None:
        self.holds(World(UNKNOWN, terms=ONCE), 1_000)

    def test_at_most_once_and_changes_that_are_made_late(self) -> None:
        self.holds(World(LINGERING, terms=ONCE, ends=1 if LONG else 0), 1_000)

    def test_claims_under_a_key(self) -> None:
        self.holds(World(UNKNOWN if LONG else CRASH, keyed=True), 5_000)

    def test_a_seek(self) -> None:
        self.holds(World(CRASH, eras=2, messages=3 if LONG else 2, leases=4 if LONG else 3, ends=1), 2_000)

    def test_messages_are_set_aside(self) -> None:
        actions = Action.ACK, Action.REJECT
        self.holds(World(CRASH, terms=ASIDE, messages=3 if LONG else 2, leases=4, ends=1, actions=actions), 1_000)

    def test_a_dead_letter_and_redrive(self) -> None:
        self.holds(attrs.evolve(MOVES, leases=7, ends=3) if LONG else MOVES, 5_000)

    def test_dead_letters_of_several_messages(self) -> None:
        self.holds(attrs.evolve(MOVES, faults=CRASH if LONG else Faults(), messages=2, limit=2, ends=1), 10_000)

    @runs_in("test-long")
    def test_dead_letters_of_three_messages(self) -> None:
        """In ``make test``, the test before this has two."""
        self.holds(attrs.evolve(MOVES, messages=3, limit=3, ends=1, redrives=False), 10_000)

    def test_rejected_messages(self) -> None:
        terms, actions = attrs.evolve(DEAD, max_deliveries=0), (Action.ACK, Action.REJECT)
        self.holds(attrs.evolve(MOVES, terms=terms, actions=actions, leases=4, ends=1), 2_000)

    def test_moves_of_unknown_outcome(self) -> None:
        world = attrs.evolve(MOVES, faults=UNKNOWN, leases=4, ends=1)
        self.holds(attrs.evolve(world, faults=LINGERING, leases=2) if LONG else world, 5_000)

    def test_moves_and_a_seek(self) -> None:
        world = attrs.evolve(MOVES, leases=5 if LONG else 3, ends=2 if LONG else 1, eras=2)
        self.holds(world if LONG else attrs.evolve(world, faults=Faults()), 5_000)

    def test_one_message_after_another(self) -> None:
        world = World(CRASH, terms=IN_TURN, leases=5 if LONG else 4, ends=1, actions=(Action.ACK, Action.RETRY))
        self.holds(world, 3_000)

    def test_one_message_after_another_and_moves(self) -> None:
        terms = attrs.evolve(DEAD, order=Order.PARTITION)
        self.holds(attrs.evolve(MOVES, terms=terms, messages=2, leases=5 if LONG else 3, ends=1), 3_000)


# What a rule is there for


def unfenced(state: GroupState, settlements: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    """Takes the number of a receipt for right."""
    (one,) = settlements
    entry = state.open.get(one.receipt.id)
    if entry is not None:
        one = replace(one, receipt=replace(one.receipt, number=entry.number))
    return group.settle(state, [one], terms, now)


def forgetful(state: GroupState, settlements: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    """Does not remember what was acked."""
    settled = group.settle(state, settlements, terms, now)
    return attrs.evolve(settled, state=attrs.evolve(settled.state, acked=())) if settled.state.acked else settled


def settles_what_is_moved(state: GroupState, settlements: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    """Lets the last receipt hold while its message is being moved."""
    (one,) = settlements
    entry = state.open.get(one.receipt.id)
    if entry is not None and one.receipt.id in state.moves and one.receipt.number == entry.number - 1:
        entries = {**state.open, one.receipt.id: replace(entry, number=one.receipt.number, kind=LEASED)}
        state = attrs.evolve(state, open=entries, moves={})
    return group.settle(state, [one], terms, now)


def retry_is_ack(state: GroupState, settlements: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    """Settles what is to be given again."""
    settled = group.settle(state, settlements, terms, now)
    entries = {id: entry for id, entry in settled.state.open.items() if entry.kind != WAITING}
    return attrs.evolve(settled, state=attrs.evolve(settled.state, open=entries))


def begins_anew(state: GroupState, reach: MessageId, generation: bytes) -> GroupState | None:
    """Numbers leases from 1 on after a seek, under the generation of before."""
    after = group.seek(state, reach, generation)
    return after and attrs.evolve(after, last=0, generation=state.generation)


def seeks_at_once(state: GroupState, reach: MessageId, generation: bytes) -> GroupState | None:
    """Does not wait until moves are finished."""
    return group.seek(attrs.evolve(state, moves={}), reach, generation)


def examines_too_much(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Takes all below the stable time for examined, whatever it took."""
    claimed = group.claim(state, wanted, found, terms, now)
    return attrs.evolve(claimed, state=attrs.evolve(claimed.state, reach=HIGHEST)) if claimed.taken else claimed


def newest_first(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Takes what came last, and leaves the rest open."""
    older = found.scanned[:-1]
    claimed = group.claim(state, wanted, attrs.evolve(found, scanned=found.scanned[-1:]), terms, now)
    entries = {**{id: Entry(0, now, 0, WAITING) for id in older}, **claimed.state.open}
    return attrs.evolve(claimed, state=attrs.evolve(claimed.state, open=entries)) if older else claimed


def settles_later(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Claims at most once as if it were at least once."""
    return group.claim(state, wanted, found, attrs.evolve(terms, at_most_once=False), now)


def keeps(state: GroupState, terms: Terms, now: Ticks) -> GroupState:
    """Gives nothing up."""
    return state


def gives_again(state: GroupState, limit: int, terms: Terms, now: Ticks) -> Look:
    """Looks at what was given, whatever was promised."""
    return group.look(state, limit, attrs.evolve(terms, at_most_once=False), now)


def out_of_turn(state: GroupState, limit: int, terms: Terms, now: Ticks) -> Look:
    """Looks for messages beside those that are worked on."""
    return group.look(state, limit, attrs.evolve(terms, order=Order.NONE), now)


def claims_out_of_turn(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """And takes them."""
    return group.claim(state, wanted, found, attrs.evolve(terms, order=Order.NONE), now)


def never_again(state: GroupState, limit: int, terms: Terms, now: Ticks) -> Look:
    """Does not look at leases that have ended."""
    found = group.look(state, limit, terms, now)
    return attrs.evolve(found, due=tuple(id for id in found.due if state.open[id].kind == WAITING))


def expires_for_good(state: GroupState, terms: Terms, now: Ticks) -> GroupState:
    """Forgets what was delivered too often."""
    after = group.expire(state, terms, now)
    return state if after is state else attrs.evolve(after, aside=(), set_aside=0)


def finishes_any(state: GroupState, id: MessageId, number: int, result: Result, now: Ticks) -> GroupState:
    """Ends whatever move of a message there is."""
    entry = state.open.get(id)
    return group.finish(state, id, number if entry is None else entry.number, result, now)


def nothing_known(*_: Any) -> None:
    """Does not know a key again."""


def trusting(applied: bool, current: bool) -> Stage:
    """Takes a change with an unknown outcome for one that was made."""
    return Stage.ANSWER


class MutantTests(ExploringCase):
    """Each rule is needed: without it the exploration finds what is broken."""

    def breaks(self, world: World, rules: Rules, *broken: str) -> None:
        found = self.explored(attrs.evolve(world, rules=rules))
        self.assertIn(found.broken, broken, found.path)

    def test_a_number_that_is_no_fence(self) -> None:
        self.breaks(World(ends=1), Rules(settle=unfenced), group_scene.OLD_RECEIPT)

    def test_numbers_that_begin_anew(self) -> None:
        self.breaks(World(eras=2), Rules(seek=begins_anew), group_scene.FALLS, group_scene.OLD_RECEIPT)

    def test_acks_that_are_not_remembered(self) -> None:
        self.breaks(World(), Rules(settle=forgetful), group_scene.FORGOTTEN)

    def test_a_store_that_does_not_compare(self) -> None:
        broken = group_scene.OUT_OF_ORDER, group_scene.LOST, group_scene.FALLS, group_scene.TWO_ACKS
        self.breaks(World(), Rules(compares=False), *broken)
        self.breaks(World(terms=ONCE), Rules(compares=False), group_scene.GIVEN_TWICE)

    def test_a_claim_that_is_answered_before_it_is_stored(self) -> None:
        self.breaks(World(CRASH, terms=ONCE), Rules(answers_first=True), group_scene.TOO_EARLY)

    def test_a_change_of_unknown_outcome_that_is_believed_in(self) -> None:
        self.breaks(World(UNKNOWN, terms=ONCE), Rules(resolve=trusting), group_scene.TOO_EARLY)

    def test_a_claim_that_takes_for_examined_what_it_left(self) -> None:
        self.breaks(World(), Rules(claim=examines_too_much), group_scene.LOST)

    def test_a_claim_of_the_newest(self) -> None:
        self.breaks(World(), Rules(claim=newest_first), group_scene.OUT_OF_ORDER)

    def test_a_retry_that_settles(self) -> None:
        self.breaks(World(actions=(Action.RETRY,)), Rules(settle=retry_is_ack), group_scene.LOST)

    def test_leases_that_never_end(self) -> None:
        self.breaks(World(), Rules(look=never_again), group_scene.STUCK)

    def test_what_was_delivered_too_often_and_is_forgotten(self) -> None:
        self.breaks(World(terms=ASIDE), Rules(expire=expires_for_good), group_scene.LOST)

    def test_a_claim_at_most_once_that_leaves_messages_open(self) -> None:
        rules = Rules(claim=settles_later, expire=keeps, look=gives_again)
        self.breaks(World(terms=ONCE), rules, group_scene.GIVEN_TWICE)

    def test_a_key_that_is_not_known_again(self) -> None:
        self.breaks(World(keyed=True), Rules(repeated=nothing_known), group_scene.OTHERS_UNDER_KEY)

    def test_messages_side_by_side(self) -> None:
        rules = Rules(look=out_of_turn, claim=claims_out_of_turn)
        self.breaks(World(terms=IN_TURN), rules, group_scene.SIDE_BY_SIDE)

    # Moves

    def test_a_receipt_that_holds_while_its_message_is_moved(self) -> None:
        world = World(terms=DEAD, messages=1, limit=1, leases=2, ends=1)
        broken = group_scene.OLD_RECEIPT, group_scene.ACKED_AND_DEAD, group_scene.LATE_LETTER
        self.breaks(world, Rules(settle=settles_what_is_moved), *broken)

    def test_a_move_that_ends_another_one(self) -> None:
        world = World(CRASH, terms=DEAD, messages=1, limit=1, leases=4, ends=1, redrives=True)
        self.breaks(world, Rules(finish=finishes_any), group_scene.LOST, group_scene.ACKED_AND_DEAD)

    def test_a_dead_letter_that_is_written_twice(self) -> None:
        world = World(CRASH, terms=DEAD, messages=1, limit=1, leases=2, ends=1)
        self.breaks(world, Rules(once=False), group_scene.TWO_LETTERS)

    def test_a_redrive_that_looks_before_it_reads(self) -> None:
        world = World(terms=DEAD, messages=1, limit=1, leases=6, ends=1, redrives=True)
        self.breaks(world, Rules(reads_first=False), group_scene.TWO_ACKS, group_scene.LOST, group_scene.TWO_LETTERS)

    def test_a_redrive_that_releases_first(self) -> None:
        world = World(terms=DEAD, messages=1, limit=1, leases=4, ends=1, redrives=True)
        self.breaks(world, Rules(releases_first=True), group_scene.ACKED_AND_DEAD, group_scene.TWO_LETTERS)

    def test_a_seek_that_does_not_wait_for_moves(self) -> None:
        world = World(terms=DEAD, messages=1, limit=1, leases=2, ends=1, eras=2)
        self.breaks(world, Rules(seek=seeks_at_once), group_scene.LATE_LETTER)
