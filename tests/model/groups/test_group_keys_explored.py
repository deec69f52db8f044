"""Groups that give the messages of each key in their order, in every interleaving of a small world.

``QUEUEY_LONG=1`` explores larger worlds.
"""

from __future__ import annotations

import os

import attrs
from msgspec.structs import replace

from queuey.model.groups.entries import In
from queuey.model.groups.snapshot import GroupState
from queuey.model.timeid import MessageId, Ticks
from tests.model.exploring import ExploringCase
from tests.model.groups import folded as group
from tests.model.groups import group_scene
from tests.model.groups.folded import Action, Claimed, Found, Look, Order, Redriven, Terms, Wanted
from tests.model.groups.group_scene import DEAD_LETTERS, Faults, Rules
from tests.model.groups.group_world import World
from tests.model.groups.test_group_explored import CRASH, UNKNOWN

LONG = bool(os.environ.get("QUEUEY_LONG"))

BY_KEY = Terms(Order.KEY)
TWO_KEYS = World(CRASH, terms=BY_KEY, messages=3, keys=(1, 2, 1), leases=4, ends=1)

REDRIVES = World(
    terms=Terms(Order.KEY, max_deliveries=1, dead_letter=DEAD_LETTERS),
    messages=2,
    keys=(1, 1),
    leases=4,
    ends=1,
    limit=1,
    redrives=True,
)


class ExploredTests(ExploringCase):
    """Nothing that is promised is broken."""

    def test_two_keys(self) -> None:
        actions = (Action.ACK, Action.RETRY, Action.EXTEND)[: 3 if LONG else 2]
        faults = CRASH if LONG else Faults()
        self.holds(attrs.evolve(TWO_KEYS, faults=faults, actions=actions, limit=1, leases=4 if LONG else 2), 1_000)

    def test_one_key_and_messages_without_one(self) -> None:
        self.holds(attrs.evolve(TWO_KEYS, keys=(1, 0, 1), leases=4 if LONG else 3), 300)

    def test_claims_of_several(self) -> None:
        world = attrs.evolve(TWO_KEYS, messages=4 if LONG else 3, keys=(1, 1, 2, 1)[: 4 if LONG else 3])
        self.holds(world, 1_000)

    def test_messages_that_arrive_and_are_deleted(self) -> None:
        world = attrs.evolve(TWO_KEYS, faults=Faults(arrivals=True, deletes=True), limit=1)
        self.holds(attrs.evolve(world, keys=(1, 1, 2)) if LONG else attrs.evolve(world, messages=2, keys=(1, 1)), 1_000)

    def test_changes_of_unknown_outcome(self) -> None:
        world = attrs.evolve(TWO_KEYS, faults=UNKNOWN, messages=2, keys=(1, 1), limit=1)
        self.holds(attrs.evolve(world, leases=4 if LONG else 2), 1_000)

    def test_dead_letters_and_redrives(self) -> None:
        self.holds(attrs.evolve(REDRIVES, faults=CRASH) if LONG else REDRIVES, 500)

    def test_messages_that_are_set_aside(self) -> None:
        terms, faults = attrs.evolve(BY_KEY, max_deliveries=1), CRASH if LONG else Faults()
        self.holds(
            attrs.evolve(TWO_KEYS, terms=terms, faults=faults, actions=(Action.ACK, Action.REJECT), limit=1), 1_000
        )

    def test_a_seek(self) -> None:
        world = attrs.evolve(TWO_KEYS, messages=2, keys=(1, 1), eras=2, limit=1)
        self.holds(attrs.evolve(world, leases=4 if LONG else 2), 1_000)


# What a rule is there for


def looks_at_any(state: GroupState, limit: int, terms: Terms, now: Ticks) -> Look:
    """Looks at what is due, whatever comes before it."""
    return group.look(state, limit, attrs.evolve(terms, order=Order.NONE), now)


def takes_any(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Takes what it finds, whatever comes before it."""
    return group.claim(state, wanted, found, attrs.evolve(terms, order=Order.NONE), now)


def passes_nothing(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Takes for settled what it passes over."""
    claimed = group.claim(state, wanted, found, terms, now)
    opened = {id: entry for id, entry in claimed.state.open.items() if entry.number}
    same = len(opened) == len(claimed.state.open)
    return claimed if same else attrs.evolve(claimed, state=attrs.evolve(claimed.state, open=opened))


def without_keys(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Does not keep the keys of what it takes."""
    claimed = group.claim(state, wanted, found, terms, now)
    if all(entry.number == 0 or not entry.key for entry in claimed.state.open.values()):
        return claimed
    opened = {id: replace(entry, key=0) if entry.number else entry for id, entry in claimed.state.open.items()}
    return attrs.evolve(claimed, state=attrs.evolve(claimed.state, open=opened))


def never_the_next(state: GroupState, limit: int, terms: Terms, now: Ticks) -> Look:
    """Does not look at what was passed over."""
    looked = group.look(state, limit, terms, now)
    return attrs.evolve(looked, due=tuple([id for id in looked.due if state.open[id].number]))


def comes_back_without_its_key(state: GroupState, id: MessageId, letter: In, now: Ticks, key: int) -> Redriven:
    """Takes back a message as if it had no key."""
    return group.redrive(state, id, letter, now)


class MutantTests(ExploringCase):
    """Each rule is needed: without it the exploration finds what is broken."""

    def breaks(self, rules: Rules, broken: str, world: World = TWO_KEYS) -> None:
        found = self.explored(attrs.evolve(world, rules=rules, limit=1))
        self.assertEqual(found.broken, broken, found.path)

    def test_claims_of_whatever_is_due(self) -> None:
        self.breaks(Rules(look=looks_at_any, claim=takes_any), group_scene.BEFORE_ANOTHER)

    def test_messages_that_are_passed_over_and_forgotten(self) -> None:
        self.breaks(Rules(claim=passes_nothing), group_scene.LOST)

    def test_keys_that_are_not_kept(self) -> None:
        self.breaks(Rules(claim=without_keys), group_scene.BEFORE_ANOTHER)

    def test_messages_that_are_passed_over_and_never_given(self) -> None:
        self.breaks(Rules(look=never_the_next), group_scene.STUCK)

    def test_messages_that_come_back_without_their_keys(self) -> None:
        self.breaks(Rules(redrive=comes_back_without_its_key), group_scene.BEFORE_ANOTHER, REDRIVES)
