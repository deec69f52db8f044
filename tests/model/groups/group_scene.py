"""The states of the small world of groups: workers, front ends, messages, and the promises that may be broken."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache

import attrs

from queuey.model.groups.entries import TOKEN, In, Move, Target
from queuey.model.groups.snapshot import GroupState, decode, encode
from queuey.model.timeid import MessageId, Ticks
from tests.model.groups import folded as group
from tests.model.groups.folded import Outcome

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


def letter_of(move: Move) -> int:
    """The dead letter that a move takes back."""
    return number_of(move.letter) if isinstance(move, In) else 0


def named(task: tuple[object, ...]) -> str:
    return " ".join(map(str, task))


def accused(scene: Scene, broken: str) -> Scene:
    return attrs.evolve(scene, past=attrs.evolve(scene.past, broken=broken))


def removed(scene: Scene, letter: object) -> Scene:
    return attrs.evolve(scene, letters=frozenset(one for one in scene.letters if one[0] != letter))


def unused(scene: Scene, others: tuple[Hand, ...]) -> bytes:
    """A token that was not used before."""
    known = b"".join((scene.value, *(hand.after + hand.token for hand in others), *(v for v, _ in scene.lingering)))
    return next(token for token in (bytes((64 + n,)) * TOKEN for n in range(1, 9)) if token not in known)


def with_hands(scene: Scene, hands: tuple[Hand, ...], *more: Hand) -> Scene:
    """The scene with these front ends at work, and without tokens that none of them looks for."""
    found = tuple(sorted((*hands, *more), key=hash))  # any order will do: front ends are all alike
    wanted = {hand.token for hand in found if hand.stage in (Stage.RESOLVE, Stage.REPLACE)}
    state = read(scene.value)
    value = scene.value
    if not wanted.issuperset(state.tokens):
        value = encode(attrs.evolve(state, tokens=tuple(one for one in state.tokens if one in wanted)))
    return attrs.evolve(scene, hands=found, value=value)
