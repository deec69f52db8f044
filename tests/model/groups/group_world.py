"""A small world in which every interleaving of front ends that work on one consumer group is tried, breadth first.

What may happen to the group's state is decided by ``queuey.model.group``, and the state is stored as its bytes. The
world is the log, the dead-letter queue, the compare-and-set, the front ends that carry out what workers ask for, and
what can go wrong: a front end may end between any two of its steps, and may not know what became of a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from functools import lru_cache

import attrs

from queuey.model.groups import claims
from queuey.model.groups.entries import LEASED, TOKEN, In, Move, Out, Target
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.snapshot import GroupState, decode, encode, index_of, stamped
from queuey.model.timeid import MessageId, Ticks, successor
from tests.model.groups import folded as group
from tests.model.groups.folded import Action, Found, Outcome, Redrive, Result, Settlement, Terms, Wanted

DEAD_LETTERS = Target("dead", 7)
KEY = b"k" * TOKEN
LATE = Ticks(1 << 62)
"""After all leases."""

SPAN = Ticks(1)
"""How long a lease is, and the delay of a retry."""


def id_of(message: int) -> MessageId:
    """The id of a message, which are numbered from 1 on."""
    return MessageId(message.to_bytes(16, "big"))


def number_of(id: MessageId) -> int:
    """The message of an id."""
    return int.from_bytes(id, "big")


def generation(number: int) -> bytes:
    """The number-th generation of the group."""
    return bytes((number,)) * 8


@lru_cache(maxsize=1 << 16)
def read(value: bytes) -> GroupState:
    """The state that is stored."""
    return decode(value)


@attrs.frozen(cache_hash=True)
class Effect:
    """What a change of the state means for those who asked for it.

    :ivar taken: messages, numbers and deliveries that a claim took.
    :ivar until: when their leases end.
    :ivar receipt: that was settled, and ``outcome`` what came of it.
    :ivar back: the message that came back, and its dead letter.
    :ivar sought: whether the group was moved.
    """

    taken: tuple[tuple[int, int, int], ...] = ()
    until: int = 0
    keyed: bool = False
    receipt: tuple[int, int, int] | None = None
    outcome: Outcome | None = None
    back: tuple[int, int] | None = None
    sought: bool = False


NOTHING = Effect()


class Stage(IntEnum):
    """What a front end does next."""

    READ = 0
    LOOK = 1
    WRITE = 2
    REPLACE = 3
    RESOLVE = 4
    ANSWER = 5


@attrs.frozen(cache_hash=True)
class Hand:
    """A front end at work for somebody.

    :ivar task: what it was asked for.
    :ivar current: whether the state that it has read is still the one that is stored.
    :ivar seen: the state that it has read, where it needs that once more.
    :ivar after: the state that it wants to store.
    :ivar effect: what that means.
    """

    task: tuple[object, ...]
    stage: Stage
    current: bool = True
    seen: bytes = b""
    after: bytes = b""
    token: bytes = b""
    effect: Effect = NOTHING


@attrs.frozen(cache_hash=True)
class Past:
    """What has happened, as far as it says what may still happen.

    :ivar fence: the greatest number of each message.
    :ivar acked: messages acked in this generation and not taken back since, and ``numbers`` by which leases.
    :ivar given: messages claimed in this generation.
    :ivar keyed: what the last claim under the key took, and until when.
    :ivar broken: what must never be, and was.
    """

    fence: tuple[int, ...]
    acked: frozenset[int] = frozenset()
    numbers: frozenset[int] = frozenset()
    given: frozenset[int] = frozenset()
    keyed: tuple[frozenset[tuple[int, int]], int] | None = None
    broken: str = ""


@attrs.frozen(cache_hash=True)
class Scene:
    """One state of the world.

    :ivar value: the group's state, with the tokens that somebody will look for.
    :ivar log: the messages that are there, and ``shown`` how many are below the stable time.
    :ivar letters: dead letters: their numbers, their messages, and the generation in which they were.
    :ivar asked: what the dead-letter queue has stored once: message, number of the mark, dead letter, generation.
    :ivar receipts: of all leases that workers were given: generation, message, number.
    :ivar lingering: changes whose callers have given up, and that are made some time or never.
    """

    value: bytes
    now: int
    log: frozenset[int]
    shown: int
    hands: tuple[Hand, ...]
    past: Past
    era: int = 1
    letters: frozenset[tuple[int, int, int]] = frozenset()
    asked: frozenset[tuple[int, int, int, int]] = frozenset()
    receipts: frozenset[tuple[int, int, int]] = frozenset()
    lingering: frozenset[tuple[bytes, Effect]] = frozenset()


@attrs.frozen
class Faults:
    """What may happen.

    :ivar crash: a front end ends between any two steps; its answer is lost then.
    :ivar unknown: it is unknown whether a change was made; it is read back, by its token.
    :ivar lingering: such a change may be made some time later.
    :ivar deletes: messages are deleted.
    :ivar arrivals: messages appear one after another; else all are there from the beginning.
    """

    crash: bool = False
    unknown: bool = False
    lingering: bool = False
    deletes: bool = False
    arrivals: bool = False


def retried(applied: bool, current: bool) -> Stage:
    """What to do about a change whose outcome is unknown, once the state was read back."""
    if applied:
        return Stage.ANSWER
    return Stage.REPLACE if current else Stage.READ


@attrs.frozen
class Rules:
    """The rules that are tried; a mutant breaks one.

    :ivar resolve: what to do about a change of unknown outcome, given whether its token was found, and whether the
        state is still the one that it was made for.
    :ivar compares: whether the store compares versions.
    :ivar answers_first: whether a claim is answered before its change is made.
    :ivar once: whether the dead-letter queue stores what it is asked for under one key once.
    :ivar reads_first: whether a redrive reads the state before it looks the dead letter up.
    :ivar releases_first: whether a message that comes back can be claimed before its dead letter is removed.
    """

    expire: Callable[..., GroupState] = group.expire
    look: Callable[..., group.Look] = group.look
    claim: Callable[..., group.Claimed] = group.claim
    repeated: Callable[..., tuple[group.Taken, ...] | None] = group.repeated
    settle: Callable[..., group.Settled] = group.settle
    redrive: Callable[..., group.Redriven] = group.redrive
    finish: Callable[..., GroupState] = group.finish
    seek: Callable[..., GroupState | None] = group.seek
    resolve: Callable[[bool, bool], Stage] = retried
    compares: bool = True
    answers_first: bool = False
    once: bool = True
    reads_first: bool = True
    releases_first: bool = False


@attrs.frozen
class World:
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

    def key_of(self, message: int) -> int:
        """The hash of a message's key."""
        return self.keys[message - 1] if self.keys else 0

    def beginning(self) -> Scene:
        """Where all begins."""
        value = encode(GroupState(generation(1), id_of(0)))
        log = frozenset(range(1, self.messages + 1))
        shown = 0 if self.faults.arrivals else self.messages
        return Scene(value, 0, log, shown, (), Past((0,) * (self.messages + 1)))

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

    # What may happen

    def steps(self, scene: Scene) -> Iterator[tuple[str, Scene]]:
        """All that may happen next, each with the state after it."""
        yield from self._elsewhere(scene)
        if len(scene.hands) < self.hands:
            for task in self._tasks(scene):
                yield from self._go(f"a front end begins to {_named(task)}", scene, scene.hands, Hand(task, Stage.READ))
        for at, hand in enumerate(scene.hands):
            others = scene.hands[:at] + scene.hands[at + 1 :]
            yield from self._go("", scene, others, hand)
            if self.faults.crash:
                yield f"{_named(hand.task)}: crashes", _with(scene, others)

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
            yield "move", number_of(id), state.open[id].number, isinstance(move, In), _letter(move)
        if self.redrives:
            for letter, message, _ in scene.letters:
                yield "redrive", message, letter
        if scene.era < self.eras:
            yield ("seek",)

    def _go(self, label: str, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> Iterator[tuple[str, Scene]]:
        """One step of one front end; ``others`` are at work beside it."""
        for what, after in self._step(scene, others, hand):
            yield f"{label or _named(hand.task)}: {what}", after

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
                yield "sees the mark", _with(scene, others, attrs.evolve(hand, stage=Stage.WRITE))
            case ("move", int(message), int(number), bool(back), int(letter)):
                effect = Effect(back=(message, letter)) if back else NOTHING
                after = self.rules.finish(read(scene.value), id_of(message), number, Result.DONE, Ticks(scene.now))
                yield from self._plan(scene, others, hand, after, effect)
            case ("redrive", int(_), int(letter)):
                if self.rules.reads_first:
                    yield (
                        "reads the state",
                        _with(scene, others, attrs.evolve(hand, stage=Stage.LOOK, seen=scene.value)),
                    )
                elif any(letter == one for one, *_ in scene.letters):
                    yield "sees the dead letter", _with(scene, others, attrs.evolve(hand, stage=Stage.LOOK))
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
            scene = _accused(scene, OTHERS_UNDER_KEY)
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
            scene = _accused(scene, OTHERS_UNDER_KEY)
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
            return _accused(scene, OLD_RECEIPT)
        if era == scene.era and (number in scene.past.numbers) != (outcome is Outcome.ALREADY_ACKED):
            return _accused(scene, FORGOTTEN)
        return scene

    def _looked(self, scene: Scene, others: tuple[Hand, ...], hand: Hand, seen: bytes) -> Iterator[tuple[str, Scene]]:
        """A redrive has read the state, and looks the dead letter up; or the other way round."""
        _, message, letter = hand.task
        assert isinstance(message, int)
        assert isinstance(letter, int)
        if seen and not any(letter == one for one, *_ in scene.letters):
            yield "finds no dead letter", _with(scene, others)
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
                _with(scene, others, attrs.evolve(hand, stage=Stage.WRITE, seen=b"")),
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
        token = _unused(scene, others)
        current = hand.current if hand.stage is Stage.LOOK else True
        planned = Hand(hand.task, Stage.REPLACE, current, b"", encode(stamped(after, token)), token, effect)
        yield "reads", _with(scene, others, planned)

    def _write(self, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> tuple[str, Scene]:
        """Write to the dead-letter queue."""
        if hand.task[0] == "redrive":
            return "removes the dead letter", _with(_removed(scene, hand.task[2]), others)
        _, message, number, back, letter = hand.task
        assert isinstance(message, int)
        assert isinstance(number, int)
        done = attrs.evolve(hand, stage=Stage.READ, seen=b"done")
        if back:
            left = others if self.rules.releases_first else (*others, done)
            return "removes the dead letter", _with(_removed(scene, letter), left)
        if self.rules.once and any((message, number) == asked[:2] for asked in scene.asked):
            return "finds its dead letter", _with(scene, others, done)
        move = read(scene.value).moves.get(id_of(message))
        if not isinstance(move, Out) or read(scene.value).open[id_of(message)].number != number:
            scene = _accused(scene, LATE_LETTER)
        new = len(scene.asked) + 1
        scene = attrs.evolve(
            scene,
            letters=scene.letters | {(new, message, scene.era)},
            asked=scene.asked | {(message, number, new, scene.era)},
        )
        return f"appends dead letter {new}", _with(scene, others, done)

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
            yield "unknown: not applied", _with(scene, others, asked)
            if current:
                yield "unknown: applied", self._applied(scene, (*others, asked), hand.after, hand.effect)
            if current and self.faults.lingering and len(scene.lingering) < 2:
                later = attrs.evolve(scene, lingering=scene.lingering | {(hand.after, hand.effect)})
                yield "unknown: some time", _with(later, others, asked)

    def _again(self, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> Scene:
        """Begin again, since another front end was there first; a move that was written is not written again."""
        seen = b"done" if hand.task[0] == "move" else b""
        return _with(scene, others, Hand(hand.task, Stage.READ, True, seen))

    def _resolve(self, scene: Scene, others: tuple[Hand, ...], hand: Hand) -> tuple[str, Scene]:
        """Read back what became of a change."""
        applied = hand.token in read(scene.value).tokens
        stage = self.rules.resolve(applied, hand.current)
        if stage is Stage.REPLACE:
            return "is not there yet", _with(scene, others, attrs.evolve(hand, stage=stage))
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
            return _with(scene, others, hand)
        if hand.task[0] == "move" and self.rules.releases_first and hand.task[3]:
            return _with(scene, others, Hand(hand.task, Stage.WRITE))
        return _with(scene, others)

    def _applied(self, scene: Scene, hands: tuple[Hand, ...], value: bytes, effect: Effect) -> Scene:
        """The state is another one from now on."""
        stale = tuple(attrs.evolve(hand, current=False) for hand in hands)
        era = scene.era + 1 if effect.sought else scene.era
        past = self._remembered(scene, read(value), effect)
        scene = attrs.evolve(scene, value=value, era=era, past=past, lingering=frozenset())
        return _with(scene, stale)

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

    def _answered(self, scene: Scene, others: tuple[Hand, ...], effect: Effect) -> Scene:
        """Workers get answers."""
        state = read(scene.value)
        if any(message not in scene.past.given for message, *_ in effect.taken) and scene.era == 1:
            scene = _accused(scene, TOO_EARLY)
        if self.terms.at_most_once:
            return _with(scene, others)
        known = {(scene.era, m, n) for m, n, _ in effect.taken if n <= state.last}
        return _with(attrs.evolve(scene, receipts=scene.receipts | known), others)


LOST = "a message was lost"
STUCK = "a message is never given again"
TWO_LETTERS = "two dead letters of one message"
ACKED_AND_DEAD = "a message was acked, and has a dead letter"
LATE_LETTER = "a dead letter came when its move was over"
TWO_ACKS = "a message was acked twice"
OLD_RECEIPT = "an old receipt changed something"
FORGOTTEN = "an ack that is repeated was not known, or one that never was is"
FALLS = "the number of a message fell"
GIVEN_TWICE = "a message was given twice"
OUT_OF_ORDER = "a message was first given after a later one"
SIDE_BY_SIDE = "two messages of a partition are worked on at once"
BEFORE_ANOTHER = "a message was given before an earlier one of its key"
TOO_EARLY = "a claim was answered before its change was made"
OTHERS_UNDER_KEY = "a claim repeated under its key gave something else"


def _letter(move: Move) -> int:
    """The dead letter that a move takes back."""
    return number_of(move.letter) if isinstance(move, In) else 0


def _named(task: tuple[object, ...]) -> str:
    return " ".join(map(str, task))


def _accused(scene: Scene, broken: str) -> Scene:
    return attrs.evolve(scene, past=attrs.evolve(scene.past, broken=broken))


def _removed(scene: Scene, letter: object) -> Scene:
    return attrs.evolve(scene, letters=frozenset(one for one in scene.letters if one[0] != letter))


def _unused(scene: Scene, others: tuple[Hand, ...]) -> bytes:
    """A token that was not used before."""
    known = b"".join((scene.value, *(hand.after + hand.token for hand in others), *(v for v, _ in scene.lingering)))
    return next(token for token in (bytes((64 + n,)) * TOKEN for n in range(1, 9)) if token not in known)


def _with(scene: Scene, hands: tuple[Hand, ...], *more: Hand) -> Scene:
    """The scene with these front ends at work, and without tokens that none of them looks for."""
    found = tuple(sorted((*hands, *more), key=hash))  # any order will do: front ends are all alike
    wanted = {hand.token for hand in found if hand.stage in (Stage.RESOLVE, Stage.REPLACE)}
    state = read(scene.value)
    value = scene.value
    if not wanted.issuperset(state.tokens):
        value = encode(attrs.evolve(state, tokens=tuple(one for one in state.tokens if one in wanted)))
    return attrs.evolve(scene, hands=found, value=value)
