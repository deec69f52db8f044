"""Claims under a key in several partitions, in every interleaving of a small world: a key never has two sets of
leased messages at a time, also with crashes.

``QUEUEY_LONG=1`` explores a larger one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import attrs

from queuey.model.groups.entries import LEASED, TOKEN
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.snapshot import GroupState, decode, encode
from queuey.model.timeid import MessageId, Ticks
from tests.model.exploring import ExploringCase
from tests.model.groups import folded as group
from tests.model.groups.folded import Action, Pointed, Settlement
from tests.model.groups.test_group_pointers import GENERATION, KEY, TERMS, claimed, id_of

LONG = bool(os.environ.get("QUEUEY_LONG"))

HOME = 1


@attrs.frozen(cache_hash=True)
class Hand:
    """A claim under the key on its way.

    :ivar stage: what is next: "home", "look", "point", "take"; of an extension "prolong", "extend".
    :ivar to: the partition that it goes to.
    :ivar until: when the pointer to it ends.
    """

    stage: str
    to: int = 0
    until: int = 0


@attrs.frozen(cache_hash=True)
class Scene:
    """One state of the world.

    :ivar values: the group's states in each partition.
    :ivar messages: how many there are in each.
    :ivar promised: until when what was given under the key in each partition is to be given again.
    """

    values: tuple[bytes, ...]
    messages: tuple[int, ...]
    now: int = 0
    hands: tuple[Hand, ...] = ()
    promised: tuple[int, ...] = (0, 0, 0)
    broken: str = ""


Point = Callable[[GroupState, bytes, int, Ticks, Ticks], Pointed]


@attrs.frozen
class World:
    """Two claims under one key at once, that are repeated; other workers; and the time.

    :ivar point: how a pointer is left.
    :ivar prolongs: whether an extension is written to the pointer.
    :ivar ends_with_pointer: whether a lease elsewhere ends no later than the pointer to it.
    :ivar obeys: whether a claim that meets a pointer goes there.
    """

    point: Point = group.point
    prolongs: bool = True
    ends_with_pointer: bool = True
    obeys: bool = True
    end: int = 2
    lease: int = 1

    def beginning(self) -> Scene:
        return Scene((encode(GroupState(GENERATION, id_of(0))),) * 3, (0, 1, 1))

    def broken(self, scene: Scene) -> str:
        return scene.broken

    def steps(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        if scene.now < self.end:
            yield "time passes", attrs.evolve(scene, now=scene.now + 1)
        for at, there in enumerate(scene.messages):
            if not there and LONG:
                yield f"a message arrives in {at + 1}", attrs.evolve(scene, messages=_set(scene.messages, at, 1))
        if len(scene.hands) < 2:
            yield "a claim begins", attrs.evolve(scene, hands=(*scene.hands, Hand("home")))
        yield from self._extensions(scene)
        for at in range(3 if LONG else 2):
            state = decode(scene.values[at])
            due = group.look(state, 1, TERMS, Ticks(scene.now)).due
            other = claimed(state, b"o" * TOKEN, scene.messages[at], scene.now)
            if other.taken and not other.again and not due:
                yield f"another worker claims in {at + 1}", self._stored(scene, at, other.state)
        for at, hand in enumerate(scene.hands):
            without = attrs.evolve(scene, hands=scene.hands[:at] + scene.hands[at + 1 :])
            yield f"{hand.stage}: crashes", without
            for after, more in self._step(without, hand):
                yield f"{hand.stage} {hand.to}", attrs.evolve(after, hands=(*after.hands, *more))

    def _extensions(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        """Who has messages of the key extends their leases."""
        for at, value in enumerate(scene.values, 1):
            if _leased(decode(value), scene.now) is not None and len(scene.hands) < 2:
                hand = Hand("prolong" if self.prolongs and at != HOME else "extend", at, scene.now + self.lease + 1)
                yield f"an extension in {at} begins", attrs.evolve(scene, hands=(*scene.hands, hand))

    def _step(self, scene: Scene, hand: Hand) -> Iterator[tuple[Scene, tuple[Hand, ...]]]:
        now = Ticks(scene.now)
        home = decode(scene.values[HOME - 1])
        match hand.stage:
            case "home":
                one = claimed(home, KEY, scene.messages[HOME - 1], now, Ticks(self.lease))
                if one.taken or one.again:
                    yield self._given(scene, HOME, one), ()
                elif one.elsewhere is not None and self.obeys:
                    yield scene, (Hand("point", one.elsewhere),)
                else:
                    yield scene, (Hand("look"),)
            case "look":
                for at in range(1, 3):
                    state = decode(scene.values[at])
                    if claimed(state, b"x" * TOKEN, scene.messages[at], now).taken or KEY in state.claims:
                        yield scene, (Hand("point", at + 1),)
            case "point":
                pointed = self.point(home, KEY, hand.to, Ticks(now + self.lease), now)
                after = self._stored(scene, HOME - 1, pointed.state)
                assert pointed.claim is not None
                if pointed.claim.size:
                    yield after, (Hand("home"),)
                else:
                    to = pointed.claim.first if self.obeys else hand.to
                    yield after, (Hand("take", to, pointed.claim.until),)
            case "take":
                lease = Ticks(hand.until - now) if self.ends_with_pointer else Ticks(self.lease)
                if lease > 0:
                    state = decode(scene.values[hand.to - 1])
                    one = claimed(state, KEY, scene.messages[hand.to - 1], now, lease)
                    yield self._given(scene, hand.to, one), ()
            case "prolong":
                pointed = self.point(home, KEY, hand.to, Ticks(hand.until), now)
                yield self._stored(scene, 0, pointed.state), (attrs.evolve(hand, stage="extend"),)
            case "extend":
                yield self._extended(scene, hand), ()

    def _extended(self, scene: Scene, hand: Hand) -> Scene:
        """A lease is extended, unless that is for longer than the pointer was given."""
        state = decode(scene.values[hand.to - 1])
        leased = _leased(state, scene.now)
        if leased is None or scene.now + self.lease > hand.until:
            return scene
        asked = Settlement(Action.EXTEND, Receipt(1, GENERATION, 1, *leased), Ticks(self.lease))
        settled = group.settle(state, [asked], TERMS, Ticks(scene.now))
        scene = self._stored(scene, hand.to - 1, settled.state)
        pointer = decode(scene.values[HOME - 1]).claims.get(KEY)
        if self.prolongs and hand.to != HOME and (pointer is None or pointer.first != hand.to):
            return scene  # the lease had ended before, and the key has begun again
        return attrs.evolve(scene, promised=_set(scene.promised, hand.to - 1, scene.now + self.lease))

    def _given(self, scene: Scene, partition: int, one: group.Claimed) -> Scene:
        """What was claimed is stored, and answered."""
        if not one.taken or one.again:
            return scene
        others = [until for at, until in enumerate(scene.promised, 1) if at != partition]
        broken = "two sets of messages under one key" if max(others) > scene.now else ""
        until = max(taken.until for taken in one.taken)
        after = self._stored(scene, partition - 1, one.state)
        return attrs.evolve(after, promised=_set(after.promised, partition - 1, until), broken=broken)

    def _stored(self, scene: Scene, at: int, state: GroupState) -> Scene:
        values = scene.values
        return attrs.evolve(scene, values=(*values[:at], encode(state), *values[at + 1 :]))


def _leased(state: GroupState, now: int) -> tuple[MessageId, int] | None:
    """A message that the key has a lease of, and its number."""
    claim = state.claims.get(KEY)
    if claim is not None and claim.size and claim.until > now:
        for id, entry in state.open.items():
            if entry.number == claim.first and entry.kind == LEASED:
                return id, entry.number
    return None


def _set(values: tuple[int, ...], at: int, value: int) -> tuple[int, ...]:
    return (*values[:at], value, *values[at + 1 :])


def short(state: GroupState, key: bytes, partition: int, until: Ticks, now: Ticks) -> Pointed:
    """Points for less than the lease."""
    return group.point(state, key, partition, Ticks(until - 1), now)


def anew(state: GroupState, key: bytes, partition: int, until: Ticks, now: Ticks) -> Pointed:
    """Points elsewhere although there is a pointer."""
    before = state.claims.get(key)
    if before is not None and not before.size:
        state = attrs.evolve(state, claims={})
    return group.point(state, key, partition, until, now)


class ExploredTests(ExploringCase):
    """Of one key there are never two sets of messages whose leases live."""

    def test_all_that_can_happen(self) -> None:
        self.holds(World(end=3, lease=2) if LONG else World(), 10_000)

    def breaks(self, world: World) -> None:
        found = self.explored(world)
        self.assertEqual(found.broken, "two sets of messages under one key", found.path)

    def test_pointers_that_nobody_obeys(self) -> None:
        self.breaks(World(obeys=False))

    def test_pointers_that_are_replaced(self) -> None:
        self.breaks(World(point=anew))

    def test_leases_that_outlive_their_pointers(self) -> None:
        self.breaks(World(ends_with_pointer=False))

    def test_extensions_that_pointers_are_not_told_of(self) -> None:
        self.breaks(World(prolongs=False, end=3, lease=2))

    def test_short_pointers(self) -> None:
        self.breaks(World(point=short, ends_with_pointer=False))
