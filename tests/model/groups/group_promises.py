"""What the small world of groups remembers of its changes, to notice broken promises."""

from __future__ import annotations

import attrs

from queuey.model.groups.entries import LEASED
from queuey.model.groups.snapshot import GroupState
from tests.model.groups import folded as group
from tests.model.groups.folded import Outcome, Terms
from tests.model.groups.group_scene import (
    ACKED_AND_DEAD,
    BEFORE_ANOTHER,
    FALLS,
    GIVEN_TWICE,
    LATE,
    LOST,
    OUT_OF_ORDER,
    SIDE_BY_SIDE,
    STUCK,
    TWO_ACKS,
    TWO_LETTERS,
    Effect,
    Past,
    Rules,
    Scene,
    id_of,
    number_of,
    read,
)


class Promises:
    """The terms of a group, and what has happened to its messages.

    :ivar keys: the hashes of the messages' own keys, from the first on; empty: they have none.
    """

    rules: Rules
    terms: Terms
    messages: int
    keys: tuple[int, ...]

    def key_of(self, message: int) -> int:
        """The hash of a message's key."""
        return self.keys[message - 1] if self.keys else 0

    # What must never be

    def broken(self, scene: Scene) -> str:
        """The promise that a state breaks; empty where it breaks none."""
        if scene.past.broken:
            return scene.past.broken
        state = read(scene.value)
        there = {number_of(id) for id in (*state.open, *state.aside)}
        dead = [message for _, message, _ in scene.letters]
        for message in scene.log:
            if message > scene.shown or id_of(message) >= state.reach or message in there or message in dead:
                continue
            if message not in (scene.past.given if self.terms.at_most_once else scene.past.acked):
                return LOST
        now = [(message, era) for _, message, era in scene.letters if era == scene.era]
        if len(set(now)) < len(now):
            return TWO_LETTERS
        if any(message in scene.past.acked for message, _ in now):
            return ACKED_AND_DEAD
        return "" if self._goes_on(state) else STUCK

    def _goes_on(self, state: GroupState) -> bool:
        """Whether every message that is open, and not being moved, is given again some time, or given up."""
        after = self.rules.expire(state, self.terms, LATE)
        while waiting := set(after.open) - set(after.moves):
            if self.terms.order is not group.Order.NONE and after.moves:
                return True
            due = self.rules.look(after, self.messages, self.terms, LATE).due
            if not due:
                return False
            after = group.drop(after, due)
            if waiting <= set(after.open):
                return False
        return True

    def _remembered(self, scene: Scene, state: GroupState, effect: Effect) -> Past:
        """What has happened, once a change was made."""
        past, broken = scene.past, scene.past.broken
        if effect.sought:
            past = attrs.evolve(past, acked=frozenset(), numbers=frozenset(), given=frozenset(), keyed=None)
        fence = list(past.fence)
        for id, entry in state.open.items():
            if entry.number < fence[number_of(id)]:
                broken = FALLS
            fence[number_of(id)] = entry.number
        if effect.receipt and effect.outcome is Outcome.ACKED:
            if effect.receipt[1] in past.acked:
                broken = TWO_ACKS
            past = attrs.evolve(
                past, acked=past.acked | {effect.receipt[1]}, numbers=past.numbers | {effect.receipt[2]}
            )
        if effect.back and any(effect.back[1] == letter and era < scene.era for _, _, letter, era in scene.asked):
            past = attrs.evolve(past, acked=past.acked - {effect.back[0]})  # it came back from before a seek
        for message, _, _ in effect.taken:
            if message in past.given and self.terms.at_most_once:
                broken = GIVEN_TWICE
            if message not in past.given and self._comes_after(message, past.given):
                broken = OUT_OF_ORDER
            past = attrs.evolve(past, given=past.given | {message})
        if self._goes_before(scene, state, effect):
            broken = BEFORE_ANOTHER
        if effect.taken and effect.keyed:
            past = attrs.evolve(past, keyed=(frozenset((m, n) for m, n, _ in effect.taken), effect.until))
        if self.terms.order is group.Order.PARTITION and not self.terms.at_most_once:
            leased = [id for id, entry in state.open.items() if entry.kind == LEASED and entry.due > scene.now]
            if len(leased) > 1:
                broken = SIDE_BY_SIDE
        return attrs.evolve(past, fence=tuple(fence), broken=broken)

    def _comes_after(self, message: int, given: frozenset[int]) -> bool:
        """Whether a message is given for the first time after a later one, beside which it has an order."""
        every = self.terms.order is not group.Order.KEY
        return any(other > message and (every or self.key_of(other) == self.key_of(message)) for other in given)

    def _goes_before(self, scene: Scene, state: GroupState, effect: Effect) -> bool:
        """Whether a claim took a message, and not an earlier one of its key that is open and exists."""
        taken = [message for message, _, _ in effect.taken]
        left = [m for m in map(number_of, state.open) if m not in taken and m in scene.log and self.key_of(m)]
        return any(m < message and self.key_of(m) == self.key_of(message) for message in taken for m in left)
