"""A small world in which every interleaving of front ends that work on one consumer group is tried, breadth first.

What may happen to the group's state is decided by ``queuey.model.group``, and the state is stored as its bytes. The
world is the log, the dead-letter queue, the compare-and-set, the front ends that carry out what workers ask for, and
what can go wrong: a front end may end between any two of its steps, and may not know what became of a change.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from queuey.model.groups import claims
from queuey.model.groups.entries import In, Out
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.snapshot import GroupState, encode, index_of, stamped
from queuey.model.timeid import Ticks, successor
from tests.model.groups import folded as group
from tests.model.groups.folded import Action, Found, Outcome, Redrive, Result, Settlement, Terms, Wanted
from tests.model.groups.group_promises import Promises
from tests.model.groups.group_scene import (
    DEAD_LETTERS,
    FORGOTTEN,
    KEY,
    LATE_LETTER,
    NOTHING,
    OLD_RECEIPT,
    OTHERS_UNDER_KEY,
    SPAN,
    TOO_EARLY,
    Effect,
    Faults,
    Hand,
    Past,
    Rules,
    Scene,
    Stage,
    accused,
    generation,
    id_of,
    letter_of,
    named,
    number_of,
    read,
    removed,
    unused,
    with_hands,
)


@attrs.frozen
class World(Promises):
    """How many there are of each, what may happen, and by which rules.

    :ivar leases: lease numbers up to which messages are claimed.
    :ivar limit: messages of one claim.
    :ivar ends: how far the time goes; a lease is one long.
    :ivar keyed: whether claims have a key, always the same.
    :ivar eras: how many generations there may be, each of which begins with the oldest message.
    :ivar redrives: whether dead letters are taken back.
    :ivar keys: the hashes of the messages' own keys, from the first on; empty: they have none.
    """

    faults: Faults = attrs.field(factory=Faults)
    rules: Rules = attrs.field(factory=Rules)
    terms: Terms = attrs.field(factory=Terms)
    messages: int = 3
    hands: int = 2
    leases: int = 4
    limit: int = 2
    ends: int = 2
    actions: tuple[Action, ...] = (Action.ACK,)
    keyed: bool = False
    eras: int = 1
    redrives: bool = False
    keys: tuple[int, ...] = ()

    def beginning(self) -> Scene:
        """Where all begins."""
        value = encode(GroupState(generation(1), id_of(0)))
        log = frozenset(range(1, self.messages + 1))
        shown = 0 if self.faults.arrivals else self.messages
        return Scene(value, 0, log, shown, (), Past((0,) * (self.messages + 1)))

    # What may happen

    def steps(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        """All that may happen next, each with the state after it."""
        yield from self._elsewhere(scene)
        if len(scene.hands) < self.hands:
            for task in self._tasks(scene):
                yield from self._go(f"a front end begins to {named(task)}", scene, scene.hands, Hand(task, Stage.READ))
        for at, hand in enumerate(scene.hands):
            others = scene.hands[:at] + scene.hands[at + 1 :]
            yield from self._go("", scene, others, hand)
            if self.faults.crash:
                yield f"{named(hand.task)}: crashes", with_hands(scene, others)

    def _elsewhere(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        """The steps that no front end takes on a request."""
        if scene.now < self.ends:
            yield "time passes", attrs.evolve(scene, now=scene.now + 1)
        if self.faults.arrivals and scene.shown < self.messages:
            yield f"message {scene.shown + 1} arrives", attrs.evolve(scene, shown=scene.shown + 1)
        if self.faults.deletes:
            for message in scene.log:
                if message <= scene.shown:
                    yield f"message {message} is deleted", attrs.evolve(scene, log=scene.log - {message})
        for value, effect in scene.lingering:
            yield "a late change arrives", self._applied(scene, scene.hands, value, effect)

    def _tasks(self, scene: Scene) -> Iterator[tuple[object, ...]]:
        """What workers, and operators, may ask for."""
        state = read(scene.value)
        if state.last + self.limit <= self.leases or self.keyed:
            yield ("claim",)
        for receipt in scene.receipts:
            for action in self.actions:
                yield "settle", action.value, receipt
        for id, move in state.moves.items():
            yield "move", number_of(id), state.open[id].number, isinstance(move, In), letter_of(move)
        if self.redrives:
            for letter, message, _ in scene.letters:
                yield "redrive", message, letter
        if scene.era < self.eras:
            yield ("seek",)

    def _go(self, label: str, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> Iterator[tuple[str, Scene]]:
        """One step of one front end; ``others`` are at work beside it."""
        for what, after in self._step(scene, others, hand):
            yield f"{label or named(hand.task)}: {what}", after

    def _step(self, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> Iterator[tuple[str, Scene]]:
        match hand.stage:
            case Stage.READ:
                yield from self._read(scene, others, hand)
            case Stage.LOOK:
                yield from self._looked(scene, others, hand, hand.seen)
            case Stage.WRITE:
                yield self._write(scene, others, hand)
            case Stage.REPLACE:
                yield from self._replace(scene, others, hand)
            case Stage.RESOLVE:
                yield self._resolve(scene, others, hand)
            case Stage.ANSWER:
                yield "answers", self._answered(scene, others, hand.effect)

    # One front end

    def _read(self, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> Iterator[tuple[str, Scene]]:
        match hand.task:
            case ("claim",):
                yield from self._claim(scene, others, hand)
            case ("settle", str(action), tuple(receipt)):
                yield from self._settle(scene, others, hand, Action(action), receipt)
            case ("move", *_) if hand.seen == b"" and not (self.rules.releases_first and hand.task[3]):
                yield "sees the mark", with_hands(scene, others, attrs.evolve(hand, stage=Stage.WRITE))
            case ("move", int(message), int(number), bool(back), int(letter)):
                effect = Effect(back=(message, letter)) if back else NOTHING
                after = self.rules.finish(read(scene.value), id_of(message), number, Result.DONE, Ticks(scene.now))
                yield from self._plan(scene, others, hand, after, effect)
            case ("redrive", int(_), int(letter)):
                if self.rules.reads_first:
                    yield (
                        "reads the state",
                        with_hands(scene, others, attrs.evolve(hand, stage=Stage.LOOK, seen=scene.value)),
                    )
                elif any(letter == one for one, *_ in scene.letters):
                    yield "sees the dead letter", with_hands(scene, others, attrs.evolve(hand, stage=Stage.LOOK))
            case ("seek",):
                sought = self.rules.seek(read(scene.value), id_of(0), generation(scene.era + 1))
                if sought is not None:
                    yield from self._plan(scene, others, hand, sought, Effect(sought=True))

    def _claim(self, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> Iterator[tuple[str, Scene]]:
        """Look at the state and at the log, as a claim does."""
        now, rules, terms = Ticks(scene.now), self.rules, self.terms
        before = read(scene.value)
        if self.keyed:
            given = rules.repeated(before, KEY, now)
            if given is not None:
                yield from self._repeat(scene, others, given)
                return
        if before.last + self.limit > self.leases:
            return
        state = rules.expire(before, terms, now)
        look = rules.look(state, self.limit, terms, now)
        holding = claims.holding(index_of(state), terms, now)
        looked = [(id, number_of(id) in scene.log) for id in (*look.due, *look.blocking)]
        logged = [id_of(m) for m in sorted(scene.log) if m <= scene.shown and id_of(m) >= state.reach]
        scanned = logged if terms.order is group.Order.KEY and look.room else logged[: look.room]
        end = successor(scanned[-1]) if scanned and len(scanned) < len(logged) else id_of(scene.shown + 1)
        found = Found(
            tuple(id for id, there in looked if there),
            (*(id for id, there in looked if not there), *(id for id in holding if number_of(id) not in scene.log)),
            tuple(scanned),
            state.reach,
            end if look.room else state.reach,
            keys={id: key for id in scanned if (key := self.key_of(number_of(id)))},
        )
        claimed = rules.claim(state, Wanted(self.limit, SPAN, KEY if self.keyed else None), found, terms, now)
        taken = tuple((number_of(one.id), one.number, one.deliveries) for one in claimed.taken)
        until = max((one.until for one in claimed.taken), default=0)
        effect = Effect(taken, until, self.keyed)
        if self.keyed and taken and self._key_lives(scene):
            scene = accused(scene, OTHERS_UNDER_KEY)
        if taken and rules.answers_first:
            scene = self._answered(scene, scene.hands, effect)
        yield from self._plan(scene, others, hand, claimed.state, effect)

    def _key_lives(self, scene: Scene) -> bool:
        keyed = scene.past.keyed
        return keyed is not None and scene.now < keyed[1]

    def _repeat(
        self, scene: Scene, others: tuple[Hand, ...], given: tuple[group.Taken, ...]
    ) -> Iterator[tuple[str, Scene]]:
        """Answer as the claim under the same key was answered."""
        taken = tuple((number_of(one.id), one.number, one.deliveries) for one in given)
        keyed = scene.past.keyed
        left = {(m, n) for m, n in (keyed[0] if keyed else ()) if n not in scene.past.numbers and m in scene.log}
        if {(m, n) for m, n, _ in taken if m in scene.log} != left:
            scene = accused(scene, OTHERS_UNDER_KEY)
        yield "is answered as before", self._answered(scene, others, Effect(taken, 0, True))

    def _settle(
        self, scene: Scene, others: tuple[Hand, ...], hand: Hand, action: Action, receipt: tuple[int, int, int]
    ) -> Iterator[tuple[str, Scene]]:
        era, message, number = receipt
        state = read(scene.value)
        asked = Settlement(action, Receipt(1, generation(era), 1, id_of(message), number), SPAN)
        settled = self.rules.settle(state, [asked], self.terms, Ticks(scene.now))
        (outcome,) = settled.outcomes
        scene = self._settled_rightly(scene, state, settled, receipt)
        yield from self._plan(scene, others, hand, settled.state, Effect(receipt=receipt, outcome=outcome))

    def _settled_rightly(
        self, scene: Scene, state: GroupState, settled: group.Settled, receipt: tuple[int, int, int]
    ) -> Scene:
        """What each outcome has to have, whether or not it comes to be stored."""
        era, message, number = receipt
        (outcome,) = settled.outcomes
        idle = outcome in (Outcome.STALE, Outcome.INVALID, Outcome.ALREADY_ACKED)
        old = era != scene.era or number < scene.past.fence[message]
        if (idle and settled.state != state) or (old and not idle):
            return accused(scene, OLD_RECEIPT)
        if era == scene.era and (number in scene.past.numbers) != (outcome is Outcome.ALREADY_ACKED):
            return accused(scene, FORGOTTEN)
        return scene

    def _looked(self, scene: Scene, others: tuple[Hand, ...], hand: Hand, seen: bytes) -> Iterator[tuple[str, Scene]]:
        """A redrive has read the state, and looks the dead letter up; or the other way round."""
        _, message, letter = hand.task
        assert isinstance(message, int)
        assert isinstance(letter, int)
        if seen and not any(letter == one for one, *_ in scene.letters):
            yield "finds no dead letter", with_hands(scene, others)
            return
        if not seen:
            hand = attrs.evolve(hand, current=True)
        state = read(seen or scene.value)
        move, key = In(DEAD_LETTERS, 1, id_of(letter)), self.key_of(message)
        back = self.rules.redrive(state, id_of(message), move, Ticks(scene.now), key)
        if back.verdict is Redrive.MARKED and message in scene.log:
            yield from self._plan(scene, others, hand, back.state, NOTHING)
        elif back.verdict is Redrive.NEEDLESS:
            yield (
                "will remove the dead letter only",
                with_hands(scene, others, attrs.evolve(hand, stage=Stage.WRITE, seen=b"")),
            )

    def _plan(
        self, scene: Scene, others: tuple[Hand, ...], hand: Hand, after: GroupState, effect: Effect
    ) -> Iterator[tuple[str, Scene]]:
        """It is known what is to be stored; where that is nothing new, all is done."""
        before = read(hand.seen if hand.stage is Stage.LOOK and hand.seen else scene.value)
        if after is before:
            if scene.past.broken:
                yield "is settled wrongly", scene
            return
        token = unused(scene, others)
        current = hand.current if hand.stage is Stage.LOOK else True
        planned = Hand(hand.task, Stage.REPLACE, current, b"", encode(stamped(after, token)), token, effect)
        yield "reads", with_hands(scene, others, planned)

    def _write(self, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> tuple[str, Scene]:
        """Write to the dead-letter queue."""
        if hand.task[0] == "redrive":
            return "removes the dead letter", with_hands(removed(scene, hand.task[2]), others)
        _, message, number, back, letter = hand.task
        assert isinstance(message, int)
        assert isinstance(number, int)
        done = attrs.evolve(hand, stage=Stage.READ, seen=b"done")
        if back:
            left = others if self.rules.releases_first else (*others, done)
            return "removes the dead letter", with_hands(removed(scene, letter), left)
        if self.rules.once and any((message, number) == asked[:2] for asked in scene.asked):
            return "finds its dead letter", with_hands(scene, others, done)
        move = read(scene.value).moves.get(id_of(message))
        if not isinstance(move, Out) or read(scene.value).open[id_of(message)].number != number:
            scene = accused(scene, LATE_LETTER)
        new = len(scene.asked) + 1
        scene = attrs.evolve(
            scene,
            letters=scene.letters | {(new, message, scene.era)},
            asked=scene.asked | {(message, number, new, scene.era)},
        )
        return f"appends dead letter {new}", with_hands(scene, others, done)

    def _replace(self, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> Iterator[tuple[str, Scene]]:
        """Ask for the change; its outcome may be unknown."""
        current = hand.current or not self.rules.compares
        asked = attrs.evolve(hand, stage=Stage.RESOLVE)
        if current:
            known = attrs.evolve(hand, stage=Stage.ANSWER, after=b"", token=b"")
            yield "is applied", self._ended(scene, others, known, hand.after)
        else:
            yield "is refused", self._again(scene, others, hand)
        if self.faults.unknown:
            yield "unknown: not applied", with_hands(scene, others, asked)
            if current:
                yield "unknown: applied", self._applied(scene, (*others, asked), hand.after, hand.effect)
            if current and self.faults.lingering and len(scene.lingering) < 2:
                later = attrs.evolve(scene, lingering=scene.lingering | {(hand.after, hand.effect)})
                yield "unknown: some time", with_hands(later, others, asked)

    def _again(self, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> Scene:
        """Begin again, since another front end was there first; a move that was written is not written again."""
        seen = b"done" if hand.task[0] == "move" else b""
        return with_hands(scene, others, Hand(hand.task, Stage.READ, True, seen))

    def _resolve(self, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> tuple[str, Scene]:
        """Read back what became of a change."""
        applied = hand.token in read(scene.value).tokens
        stage = self.rules.resolve(applied, hand.current)
        if stage is Stage.REPLACE:
            return "is not there yet", with_hands(scene, others, attrs.evolve(hand, stage=stage))
        if stage is Stage.READ:
            return "was not applied", self._again(scene, others, hand)
        known = attrs.evolve(hand, stage=Stage.ANSWER, after=b"", token=b"", current=True)
        return "was applied", self._followed(scene, others, known)

    # Changes

    def _ended(self, scene: Scene, others: tuple[Hand, ...], hand: Hand, value: bytes) -> Scene:
        """A change was made, and that is known."""
        return self._followed(self._applied(scene, others, value, hand.effect), None, hand)

    def _followed(self, scene: Scene, others: tuple[Hand, ...] | None, hand: Hand) -> Scene:
        """What a front end goes on with once its change was made."""
        others = scene.hands if others is None else others
        if hand.effect.taken:
            return with_hands(scene, others, hand)
        if hand.task[0] == "move" and self.rules.releases_first and hand.task[3]:
            return with_hands(scene, others, Hand(hand.task, Stage.WRITE))
        return with_hands(scene, others)

    def _applied(self, scene: Scene, hands: tuple[Hand, ...], value: bytes, effect: Effect) -> Scene:
        """The state is another one from now on."""
        stale = tuple(attrs.evolve(hand, current=False) for hand in hands)
        era = scene.era + 1 if effect.sought else scene.era
        past = self._remembered(scene, read(value), effect)
        scene = attrs.evolve(scene, value=value, era=era, past=past, lingering=frozenset())
        return with_hands(scene, stale)

    def _answered(self, scene: Scene, others: tuple[Hand, ...], effect: Effect) -> Scene:
        """Workers get answers."""
        state = read(scene.value)
        if any(message not in scene.past.given for message, *_ in effect.taken) and scene.era == 1:
            scene = accused(scene, TOO_EARLY)
        if self.terms.at_most_once:
            return with_hands(scene, others)
        known = {(scene.era, m, n) for m, n, _ in effect.taken if n <= state.last}
        return with_hands(attrs.evolve(scene, receipts=scene.receipts | known), others)
