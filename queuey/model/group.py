"""Consumer groups: what may happen to the state of one group in one partition.

Each function takes a state, what is asked for and the time, and gives the next state and what came of it; the state
that it was given stays as it is, and is given back, the very same, where nothing was changed. Whoever acts them out
reads the state, looks at messages, calls these, and replaces the state by compare-and-set; none is answered before
that was applied. That, and the number of each lease, is all that delivery rests on: times decide when a message is
given again, never who may settle it.

A claim goes: ``repeated`` (where there is a key), ``expire``, ``look``; look up what is due, scan from ``reach`` on;
``claim``. A move goes: mark (``settle``, ``expire``, ``redrive``), replace; write to the other queue; ``finish``,
replace. Whoever meets a move in ``state.moves`` may carry it out: all of that can be done twice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final

import attrs

from queuey.model.group_state import (
    KEY_SCOPE,
    LEASED,
    MARKED,
    MAX_ACKED,
    MAX_ASIDE,
    MAX_CLAIMS,
    MAX_OPEN,
    MOST_DELIVERIES,
    MOST_SETBACKS,
    WAITING,
    Claim,
    Entry,
    GroupState,
    In,
    Move,
    Out,
    Target,
    fitting,
    room_for_move,
)
from queuey.model.receipts import Receipt
from queuey.model.timeid import SECOND, MessageId, Ticks, successor

FIRST_SETBACK: Final = 1.0
"""Seconds until a message is tried again whose dead-letter queue is missing; each further time takes twice as long."""

LONGEST_SETBACK: Final = 3600.0
"""Seconds that this takes at the most."""

LEASE_ENDED: Final = "lease ended"
"""The reason of a dead letter whose message was not settled by the end of its last lease."""

NOW: Final = Ticks(0)
"""No time at all, as a span."""


class Order(Enum):
    """In which order the messages of a partition are worked on."""

    NONE = "none"
    PARTITION = "partition"


@attrs.frozen
class Terms:
    """What of a group's settings the rules ask for.

    :ivar max_deliveries: how often a message is claimed at the most; 0 is without a limit.
    :ivar dead_letter: where it goes then, or when it is rejected; ``None``: it is set aside. Where there is no queue
        of that name its incarnation is 0.
    :ivar at_most_once: what is claimed is settled by that.
    """

    order: Order = Order.NONE
    max_deliveries: int = 0
    dead_letter: Target | None = None
    at_most_once: bool = False


class Outcome(Enum):
    """What became of one settlement; the last two are never answered."""

    ACKED = "acked"
    RETRYING = "retrying"
    EXTENDED = "extended"
    DEAD_LETTERED = "dead-lettered"
    SET_ASIDE = "set-aside"
    ALREADY_ACKED = "already-acked"
    STALE = "stale"
    INVALID = "invalid"
    MOVING = "a move was marked: what becomes of that is the answer"
    LATER = "too many moves are under way: nothing was changed, finish those and ask again"


# Claims


@attrs.frozen
class Wanted:
    """What a claim asks for.

    :ivar limit: messages at the most.
    :ivar lease: how long it wants them for.
    :ivar key: hashes of its Idempotency-Key and of who asks, and of what was asked, ``TOKEN`` bytes in all; ``None`` if
        it is at most once.
    """

    limit: int
    lease: Ticks
    key: bytes | None = None


@attrs.frozen
class Look:
    """What a claim has to look at.

    :ivar due: messages that were given before, or taken back, and may be claimed now, oldest first: look them up.
    :ivar blocking: messages that others are at work on, or wait for, and that alone are in the way: look them up,
        since one that was deleted is in nobody's way.
    :ivar room: how many messages that were never given may be claimed beside those that are due: scan for so many.
    """

    due: tuple[MessageId, ...] = ()
    blocking: tuple[MessageId, ...] = ()
    room: int = 0


@attrs.frozen
class Found:
    """What was found where a claim looked.

    Each part of it holds by itself, whatever has become of the state in between.

    :ivar present: of those that were looked up, the ones whose messages are there and may be given, oldest first.
    :ivar gone: of those that were looked up, the ones without a message.
    :ivar scanned: the ids of all messages from ``start`` on and below ``end``, rising; the stable time is not below
        ``end``. Where only some fit into an answer, ``end`` is right after those.
    """

    present: Sequence[MessageId] = ()
    gone: Sequence[MessageId] = ()
    scanned: Sequence[MessageId] = ()
    start: MessageId | None = None
    end: MessageId | None = None


@attrs.frozen
class Taken:
    """One message that is given.

    :ivar number: of its lease; 0 where it is at most once.
    :ivar deliveries: how often it was given, this time included.
    :ivar until: when its lease ends.
    """

    id: MessageId
    number: int
    deliveries: int
    until: Ticks


@attrs.frozen
class Claimed:
    """What came of a claim.

    :ivar taken: oldest first.
    :ivar blocked: whether it got nothing since too many messages, or claims under a key, are in flight.
    :ivar again: whether that was given under its key before.
    :ivar elsewhere: the partition to go to, since what it had under its key is, or will be, there.
    :ivar reused: whether something else was asked under its Idempotency-Key before.
    """

    state: GroupState
    taken: tuple[Taken, ...]
    blocked: bool = False
    again: bool = False
    elsewhere: int | None = None
    reused: bool = False


def repeated(state: GroupState, key: bytes, now: Ticks) -> tuple[Taken, ...] | None:
    """What was given under a key, as far as those leases live.

    :return: ``None`` where there is nothing of the kind: it is a new claim.
    """
    claim = _living(state, key, now)
    if claim is None:
        return None
    numbers = range(claim.first, claim.first + claim.size)
    return tuple(
        Taken(id, entry.number, entry.deliveries, entry.due)
        for id, entry in state.open.items()
        if entry.kind == LEASED and entry.number in numbers and entry.due > now
    )


def _living(state: GroupState, key: bytes, now: Ticks) -> Claim | None:
    claim = state.claims.get(key)
    return None if claim is None or claim.until <= now else claim


def reused(state: GroupState, key: bytes, now: Ticks) -> bool:
    """Whether something else was asked under the same Idempotency-Key, and the lease of that claim lives."""
    return any(
        claim.until > now and other[:KEY_SCOPE] == key[:KEY_SCOPE] and other != key
        for other, claim in state.claims.items()
    )


def pointed(state: GroupState, key: bytes, now: Ticks) -> int | None:
    """The partition in which a claim under a key was, or is about to be made, if that is another one."""
    claim = _living(state, key, now)
    return None if claim is None or claim.size else claim.first


@attrs.frozen
class Pointed:
    """What came of pointing.

    :ivar claim: what the key has here: a pointer, or a claim that was made before; ``None`` where too many claims
        under a key are in flight.
    """

    state: GroupState
    claim: Claim | None


def point(state: GroupState, key: bytes, partition: int, until: Ticks, now: Ticks) -> Pointed:
    """Note that a claim under a key is about to be made in another partition, before it is.

    Where a pointer is there already it stays, and lives no shorter than this one would; and so does a claim.

    :param until: the leases of that claim end no later.
    """
    before = _living(state, key, now)
    if before is not None and (before.size or before.until >= until):
        return Pointed(state, before)
    state = _without_ended_claims(state, now)
    if before is None and len(state.claims) >= MAX_CLAIMS:
        return Pointed(state, None)
    claim = Claim(partition, 0, until) if before is None else before._replace(until=until)
    return Pointed(attrs.evolve(state, claims={**state.claims, key: claim}), claim)


def expire(state: GroupState, terms: Terms, now: Ticks) -> GroupState:
    """Give up the messages that are due and were delivered as often as they may be.

    They are set aside, or marked for their move to the dead-letter queue; as many as there is room for.
    """
    if not (terms.max_deliveries or terms.at_most_once):
        return state
    over = [
        (id, entry)
        for id, entry in state.open.items()
        if entry.due <= now and entry.kind != MARKED and _is_over(entry, terms)
    ]
    if not over:
        return state
    draft = _Draft(state)
    for id, entry in over:
        if terms.at_most_once:
            draft.settle(id)
        else:
            draft.give_up(id, entry, terms, LEASE_ENDED if entry.kind == LEASED else "")
    return draft.done()


def _is_over(entry: Entry, terms: Terms) -> bool:
    """Whether a message cannot be claimed any more."""
    if terms.at_most_once:
        return entry.deliveries > 0  # it was given before the group became one of that kind
    return 0 < terms.max_deliveries <= entry.deliveries


def look(state: GroupState, limit: int, terms: Terms, now: Ticks) -> Look:
    """What a claim of so many messages has to look at.

    :param state: on which ``expire`` was called.
    """
    if terms.order is Order.PARTITION and not terms.at_most_once:
        return _look_at_next(state, terms, now)
    due: list[MessageId] = []
    for id, entry in state.open.items():
        if len(due) == limit:
            break
        if entry.due <= now and entry.kind != MARKED and not _is_over(entry, terms):
            due.append(id)
    free = limit if terms.at_most_once else MAX_OPEN - len(state.open)
    if due or free:
        return Look(tuple(due), room=min(limit - len(due), free))
    blocking = [id for id, entry in state.open.items() if entry.kind != MARKED]
    return Look(blocking=tuple(blocking[:limit]))


def _look_at_next(state: GroupState, terms: Terms, now: Ticks) -> Look:
    """The same where one message after another is worked on."""
    if not state.open:
        return Look(room=1)
    if state.moves:
        return Look()
    leased = tuple(id for id, entry in state.open.items() if entry.kind == LEASED and entry.due > now)
    if leased:
        return Look(blocking=leased)
    id, entry = next(iter(state.open.items()))
    if _is_over(entry, terms):
        return Look()
    return Look(due=(id,)) if entry.due <= now else Look(blocking=(id,))


def claim(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Take messages, oldest first; those without a message are settled by that."""
    state = expire(drop(state, found.gone), terms, now)
    if wanted.key is not None:
        before = _living(state, wanted.key, now)
        if before is not None and not before.size:
            return Claimed(state, (), elsewhere=before.first)
        if before is not None:
            return Claimed(state, repeated(state, wanted.key, now) or (), again=True)
        if reused(state, wanted.key, now):
            return Claimed(state, (), reused=True)
        state = _without_ended_claims(state, now)
        if len(state.claims) >= MAX_CLAIMS:
            return Claimed(state, (), blocked=True)
    present = frozenset(found.present)
    due = [id for id in look(state, wanted.limit, terms, now).due if id in present]
    fresh = _fresh(state, found)
    some = fresh[: _room(state, wanted.limit - len(due), terms)]
    reach = _reached(state, found, fresh, len(some))
    if not due and not some:
        full = len(state.open) >= MAX_OPEN and terms.order is Order.NONE and not terms.at_most_once
        return Claimed(state if reach == state.reach else attrs.evolve(state, reach=reach), (), blocked=full)
    if terms.at_most_once:
        return _taken_for_good(state, due + some, reach, now)
    return _leased(state, due + some, reach, wanted, now)


def _fresh(state: GroupState, found: Found) -> list[MessageId]:
    """What was scanned and not examined before; nothing, if the scan began above that."""
    return [id for id in found.scanned if id >= state.reach] if _goes_on(state, found) else []


def _goes_on(state: GroupState, found: Found) -> bool:
    """Whether the scan leaves out nothing from where the group has come to."""
    return found.start is not None and found.end is not None and found.start <= state.reach <= found.end


def _room(state: GroupState, limit: int, terms: Terms) -> int:
    """How many messages may be claimed that were never given."""
    if terms.at_most_once:
        return limit
    if terms.order is Order.PARTITION:
        return 0 if state.open else 1
    return min(limit, MAX_OPEN - len(state.open))


def _reached(state: GroupState, found: Found, fresh: Sequence[MessageId], taken: int) -> MessageId:
    """How far the log is examined once so many of the new messages are taken."""
    if taken < len(fresh):
        return successor(fresh[taken - 1]) if taken else state.reach
    return found.end if found.end is not None and _goes_on(state, found) else state.reach


def _taken_for_good(state: GroupState, ids: Sequence[MessageId], reach: MessageId, now: Ticks) -> Claimed:
    kept = dict(state.open)
    for id in ids:
        kept.pop(id, None)
    return Claimed(attrs.evolve(state, open=kept, reach=reach), tuple(Taken(id, 0, 1, now) for id in ids))


def _leased(state: GroupState, ids: Sequence[MessageId], reach: MessageId, wanted: Wanted, now: Ticks) -> Claimed:
    kept, until, first = dict(state.open), Ticks(now + wanted.lease), state.last + 1
    taken = []
    for number, id in enumerate(ids, first):
        before = kept.get(id)
        deliveries, setbacks = (before.deliveries, before.setbacks) if before else (0, 0)
        kept[id] = entry = Entry(number, until, min(deliveries + 1, MOST_DELIVERIES), LEASED, setbacks)
        taken.append(Taken(id, number, entry.deliveries, until))
    claims = state.claims
    if wanted.key is not None:
        claims = {**claims, wanted.key: Claim(first, len(ids), until)}
    after = attrs.evolve(state, open=kept, reach=reach, last=state.last + len(ids), claims=claims)
    return Claimed(after, tuple(taken))


def give_back(state: GroupState, taken: Iterable[Taken], now: Ticks) -> GroupState:
    """Undo a claim whose answer nobody will see: what is still under its leases can be claimed at once, and that time
    does not count as a delivery."""
    draft = _Draft(state)
    for one in taken:
        entry = draft.open.get(one.id)
        if entry is not None and entry.number == one.number and entry.kind == LEASED:
            draft.put(one.id, entry._replace(due=now, deliveries=entry.deliveries - 1, kind=WAITING))
    return draft.done()


def _without_ended_claims(state: GroupState, now: Ticks) -> GroupState:
    if all(claim.until > now for claim in state.claims.values()):
        return state
    return attrs.evolve(state, claims={key: claim for key, claim in state.claims.items() if claim.until > now})


# Settlements


class Action(Enum):
    """What a settlement asks for."""

    ACK = "ack"
    RETRY = "retry"
    EXTEND = "extend"
    REJECT = "reject"


@attrs.frozen
class Settlement:
    """What is asked for one message.

    :ivar receipt: of this queue and partition.
    :ivar span: of a retry, how long to wait; of an extension, how long the lease is to be from now on.
    :ivar reason: of a rejection.
    """

    action: Action
    receipt: Receipt
    span: Ticks = NOW
    reason: str = ""


@attrs.frozen
class Settled:
    """What came of settlements.

    :ivar outcomes: in their order. Whoever is told ``MOVING`` carries out the move that ``state.moves`` has then.
    :ivar keys: of claims that live longer by that, and until when; the pointers to them have to as well.
    """

    state: GroupState
    outcomes: tuple[Outcome, ...]
    keys: Mapping[bytes, Ticks] = attrs.field(factory=dict)


def settle(state: GroupState, settlements: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    """Ack, retry, extend and reject messages, one after another.

    A receipt holds while its number is the last one of its message, past the end of its lease too.
    """
    draft = _Draft(state)
    outcomes = tuple(_settle(draft, one, terms, now) for one in settlements)
    return Settled(draft.done(), outcomes, draft.prolonged)


def _settle(draft: _Draft, one: Settlement, terms: Terms, now: Ticks) -> Outcome:
    receipt = one.receipt
    if receipt.generation != draft.before.generation:
        return Outcome.INVALID
    entry = draft.open.get(receipt.id)
    if entry is None or entry.number != receipt.number or entry.kind == MARKED:
        return Outcome.ALREADY_ACKED if draft.was_acked(receipt.number) else Outcome.STALE
    if one.action is Action.ACK:
        return draft.ack(receipt.id, entry)
    if one.action is Action.REJECT:
        return draft.give_up(receipt.id, entry, terms, one.reason)
    if one.action is Action.EXTEND:
        return draft.extend(receipt.id, entry, Ticks(now + one.span))
    return _retry(draft, receipt.id, entry, Ticks(now + one.span), terms)


def _retry(draft: _Draft, id: MessageId, entry: Entry, due: Ticks, terms: Terms) -> Outcome:
    """Give a message back, unless it was delivered as often as it may be."""
    if not terms.at_most_once and _is_over(entry, terms):
        given_up = draft.give_up(id, entry, terms, "")
        if given_up is not Outcome.LATER:
            return given_up
    draft.put(id, entry._replace(due=due, kind=WAITING))
    return Outcome.RETRYING


# Moves


class Result(Enum):
    """What became of the write to the other queue that a move is there for."""

    DONE = "it was done, now or before"
    MISSING = "there is no such queue any more, or not in that life"
    GONE = "the message itself is no more"


class Redrive(Enum):
    """What is to be done about a dead letter."""

    MARKED = "carry out the move"
    NEEDLESS = "only remove the dead letter: the message is to be given anyway"
    LATER = "nothing yet: another move of the message is under way; finish it and ask again"
    FULL = "nothing yet: too much is in flight"


@attrs.frozen
class Redriven:
    """What came of a redrive."""

    state: GroupState
    verdict: Redrive


def redrive(state: GroupState, id: MessageId, letter: In, now: Ticks) -> Redriven:
    """Mark a message whose dead letter is to be taken back.

    :param state: read *before* the dead letter was looked up, and found, and the message too.
    """
    if id in state.moves:
        return Redriven(state, Redrive.LATER)
    if id >= state.reach or id in state.open:
        return Redriven(state, Redrive.NEEDLESS)
    if len(state.open) >= MAX_OPEN or not room_for_move(state.moves, letter.source):
        return Redriven(state, Redrive.FULL)
    draft = _Draft(state)
    draft.mark(id, Entry(0, now, 0, MARKED), letter)
    draft.take_back(id)
    return Redriven(draft.done(), Redrive.MARKED)


def finish(state: GroupState, id: MessageId, number: int, result: Result, now: Ticks) -> GroupState:
    """End a move, if it is the one that has this number; else somebody has ended it before, and nothing changes.

    A message that came back can be claimed as if it had never been given. One whose dead-letter queue is missing stays
    open, and is left alone for the longer, the more often that was so.
    """
    entry, move = state.open.get(id), state.moves.get(id)
    if entry is None or move is None or entry.number != number:
        return state
    draft = _Draft(state)
    del draft.moves[id]
    if isinstance(move, Out) and result is Result.MISSING:
        draft.put(id, _set_back(entry, now))
    elif isinstance(move, In) and result is not Result.GONE:
        draft.put(id, Entry(number, now, 0, WAITING))
    else:
        draft.settle(id)
    return draft.done()


def _set_back(entry: Entry, now: Ticks) -> Entry:
    seconds = min(LONGEST_SETBACK, FIRST_SETBACK * 2.0**entry.setbacks)
    due = Ticks(now + round(seconds * SECOND))
    return entry._replace(due=due, kind=WAITING, setbacks=min(entry.setbacks + 1, MOST_SETBACKS))


@attrs.frozen
class Reopened:
    """What came of taking back what was set aside.

    :ivar ids: those that can be claimed now.
    """

    state: GroupState
    ids: tuple[MessageId, ...]


def reopen(state: GroupState, ids: Iterable[MessageId], now: Ticks) -> Reopened:
    """Let messages be claimed that were set aside, as if they had never been given; as many as there is room for.

    :param ids: of messages that are there; what is not set aside is passed over.
    """
    draft, aside, opened = _Draft(state), set(state.aside), []
    for id in sorted(set(ids)):
        if id in aside and len(draft.open) < MAX_OPEN:
            draft.take_back(id)
            draft.number(id, Entry(0, now, 0, WAITING))
            opened.append(id)
    return Reopened(draft.done(), tuple(opened))


# The whole group


def seek(state: GroupState, reach: MessageId, generation: bytes) -> GroupState | None:
    """Go to another place of the log; no receipt of before holds any more.

    :param reach: the first id, or bound, that is to be examined.
    :param generation: random, the same each time that this is asked for again.
    :return: ``None`` where moves are under way: they are to be finished first.
    """
    if generation == state.generation:
        return state
    if state.moves:
        return None
    aside = tuple(id for id in state.aside if id < reach)
    return attrs.evolve(
        state,
        generation=generation,
        reach=reach,
        open={},
        acked=(),
        aside=aside,
        set_aside=len(aside),
        claims={},
    )


def drop(state: GroupState, ids: Iterable[MessageId]) -> GroupState:
    """Settle messages that expired or were deleted; those that are being moved are left to whoever does that."""
    gone = {id for id in ids if id not in state.moves}
    aside = tuple(id for id in state.aside if id not in gone) if gone else state.aside
    if len(aside) == len(state.aside) and gone.isdisjoint(state.open):
        return state
    kept = {id: entry for id, entry in state.open.items() if id not in gone}
    set_aside = state.set_aside - (len(state.aside) - len(aside))
    return attrs.evolve(state, open=kept, aside=aside, set_aside=set_aside)


def purge(state: GroupState, before: MessageId) -> GroupState:
    """Settle everything below a bound that the queue was purged up to."""
    purged = drop(state, [id for id in (*state.open, *state.aside) if id < before])
    return attrs.evolve(purged, reach=before) if before > purged.reach else purged


def next_due(state: GroupState, now: Ticks) -> Ticks | None:
    """When the next lease ends, or the next message falls due that was given back; ``None`` where none will."""
    return min(
        (entry.due for entry in state.open.values() if entry.due > now and entry.kind != MARKED),
        default=None,
    )


@attrs.frozen
class Lag:
    """Where a group is in one partition; what is at or above ``reach`` is for the store to count.

    :ivar settled_through: a bound: everything below it is settled.
    :ivar reach: a bound: everything at or above it has never been given.
    :ivar in_flight: messages that somebody has a lease of, or that are being moved.
    :ivar waiting: messages that will be given again.
    :ivar set_aside: how many were set aside, and not taken back.
    :ivar oldest: the oldest message that was examined and is not settled.
    """

    settled_through: MessageId
    reach: MessageId
    in_flight: int
    waiting: int
    set_aside: int
    oldest: MessageId | None

    def behind(self, beyond: int) -> int:
        """How many messages are not settled, if so many are at or above ``reach``."""
        return self.in_flight + self.waiting + beyond


def lag(state: GroupState, now: Ticks) -> Lag:
    """Where the group is."""
    busy = sum(entry.kind == MARKED or (entry.kind == LEASED and entry.due > now) for entry in state.open.values())
    oldest = next(iter(state.open), None)
    waiting = len(state.open) - busy
    return Lag(state.reach if oldest is None else oldest, state.reach, busy, waiting, state.set_aside, oldest)


class _Draft:
    """A state in the making: its parts are copied once, however many messages are changed."""

    def __init__(self, state: GroupState) -> None:
        self.before = state
        self.open = dict(state.open)
        self.moves: dict[MessageId, Move] = dict(state.moves)
        self._last = state.last
        self._acked: list[int] = []
        self._known: set[int] | None = None
        self._aside = list(state.aside)
        self._set_aside = state.set_aside
        self._claims = dict(state.claims)
        self._firsts: list[tuple[int, bytes]] | None = None
        self.prolonged: dict[bytes, Ticks] = {}
        self._sorted = True
        self._changed = False

    def done(self) -> GroupState:
        """The state; the one from before where nothing was changed."""
        if not self._changed:
            return self.before
        return attrs.evolve(
            self.before,
            open=self.open if self._sorted else dict(sorted(self.open.items())),
            moves=self.moves,
            last=self._last,
            acked=(*self.before.acked, *self._acked)[-MAX_ACKED:],
            aside=tuple(self._aside[-MAX_ASIDE:]),
            set_aside=self._set_aside,
            claims=self._claims,
        )

    def was_acked(self, number: int) -> bool:
        """Whether a lease was acked, as far as that is remembered."""
        if self._known is None:
            self._known = {*self.before.acked, *self._acked}
        return number in self._known

    def put(self, id: MessageId, entry: Entry) -> None:
        """Change what is known of an open message."""
        self._changed = True
        self.open[id] = entry

    def settle(self, id: MessageId) -> None:
        """A message is over."""
        self._changed = True
        del self.open[id]

    def ack(self, id: MessageId, entry: Entry) -> Outcome:
        """A message is done."""
        self.settle(id)
        self._acked.append(entry.number)
        if self._known is not None:
            self._known.add(entry.number)
        return Outcome.ACKED

    def extend(self, id: MessageId, entry: Entry, until: Ticks) -> Outcome:
        """Its lease ends later, or sooner; the claim under a key that it is of lives no shorter than it."""
        self.put(id, entry._replace(due=until, kind=LEASED))
        if self._firsts is None:
            self._firsts = [(claim.first, key) for key, claim in self._claims.items() if claim.size]
        at = bisect_right(self._firsts, entry.number, key=lambda one: one[0])
        if at:
            key = self._firsts[at - 1][1]
            one = self._claims[key]
            if entry.number < one.first + one.size and until > one.until:
                self._claims[key] = one._replace(until=until)
                self.prolonged[key] = until
        return Outcome.EXTENDED

    def give_up(self, id: MessageId, entry: Entry, terms: Terms, reason: str) -> Outcome:
        """A message is not to be given again."""
        if terms.dead_letter is None:
            self.settle(id)
            self._aside.append(id)
            self._set_aside += 1
            return Outcome.SET_ASIDE
        if not room_for_move(self.moves, terms.dead_letter):
            return Outcome.LATER
        self.mark(id, entry, Out(terms.dead_letter, fitting(reason, self.moves)))
        return Outcome.MOVING

    def mark(self, id: MessageId, entry: Entry, move: Move) -> None:
        """A message is being moved."""
        self.number(id, entry._replace(kind=MARKED))
        self.moves[id] = move

    def number(self, id: MessageId, entry: Entry) -> None:
        """A message has a new number, so that no receipt of it holds."""
        self._last += 1
        self._sorted = self._sorted and id in self.open
        self.put(id, entry._replace(number=self._last))

    def take_back(self, id: MessageId) -> None:
        """A message is set aside no more."""
        if id in self._aside:
            self._changed = True
            self._aside.remove(id)
            self._set_aside -= 1
