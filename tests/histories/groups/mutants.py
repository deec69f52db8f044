"""Rules of groups that are broken on purpose, each with the checker that has to find it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Final

import attrs
import msgspec
from twisted.internet.defer import Deferred, succeed

from queuey.core.groups import cells, moves, settling, whole
from queuey.core.groups.cells import Cell, Step
from queuey.core.messages import MessageExchange
from queuey.model import group as rules
from queuey.model.group import Claimed, Found, Look, Order, Result, Settled, Settlement, Terms, Wanted
from queuey.model.group_settings import Group
from queuey.model.group_state import WAITING, Entry, GroupState, In
from queuey.model.letters import Letter, dead_letter
from queuey.model.message import Address, Content, Draft
from queuey.model.once import Appended, Once
from queuey.model.queue import Queue
from queuey.model.receipts import Receipts
from queuey.model.timeid import MAX_TICKS, MessageId, Ticks
from tests.histories.groups.unreliable import Calls, Fate, Kind


@attrs.frozen
class Mutant:
    """Something that is broken.

    :ivar name: what.
    :ivar checker: who has to find it.
    :ivar group: the plan of the group in whose histories that shows.
    :ivar patches: what is put in the place of what, and where.
    """

    name: str
    checker: str
    group: str
    patches: tuple[tuple[Any, str, Any], ...]

    @contextmanager
    def at_large(self) -> Iterator[None]:
        """Let it be so meanwhile."""
        before = [(where, name, getattr(where, name)) for where, name, _ in self.patches]
        for where, name, value in self.patches:
            setattr(where, name, value)
        try:
            yield
        finally:
            for where, name, value in before:
                setattr(where, name, value)


_settle, _claim, _look, _expire, _seek = rules.settle, rules.claim, rules.look, rules.expire, rules.seek
_change, _meet = Cell.change, Calls._meet
_append, _in = moves.Moves._append, moves.Moves._in


# Settlements


def unfenced(state: GroupState, settlements: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    """Takes the number of any receipt for right."""

    def latest(one: Settlement) -> Settlement:
        entry = state.open.get(one.receipt.id)
        number = one.receipt.number if entry is None else entry.number
        return attrs.evolve(one, receipt=attrs.evolve(one.receipt, number=number))

    return _settle(state, [latest(one) for one in settlements], terms, now)


def forgetful(state: GroupState, settlements: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    """Does not remember what was acked."""
    settled = _settle(state, settlements, terms, now)
    return attrs.evolve(settled, state=attrs.evolve(settled.state, acked=())) if settled.state.acked else settled


def retry_is_ack(state: GroupState, settlements: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    """Settles what is to be given again."""
    settled = _settle(state, settlements, terms, now)
    if settled.state is state:
        return settled
    entries = {id: entry for id, entry in settled.state.open.items() if entry.kind != WAITING}
    return attrs.evolve(settled, state=attrs.evolve(settled.state, open=entries))


def hasty(cell: Cell, step: Step[Any]) -> Deferred[Any]:
    """Answers before the compare-and-set."""
    held, changing = cell._held, _change(cell, step)
    if held is None:
        return changing
    changing.addErrback(lambda _: None)
    return succeed(step(held.state)[1])


# Claims


def stands_still(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Does not go on from what it took."""
    claimed = _claim(state, wanted, found, terms, now)
    return attrs.evolve(claimed, state=attrs.evolve(claimed.state, reach=state.reach)) if claimed.taken else claimed


def examines_too_much(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Limits what it takes before it is bounded by the stable time: all below that passes for examined."""
    claimed = _claim(state, wanted, found, terms, now)
    full = len(claimed.taken) == wanted.limit and found.scanned
    return attrs.evolve(claimed, state=attrs.evolve(claimed.state, reach=_beyond(found))) if full else claimed


def _beyond(found: Found) -> MessageId:
    return MessageId((int.from_bytes(found.scanned[-1], "big") + (1 << 86)).to_bytes(16, "big"))


def newest_first(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Takes what came last, and leaves the rest open."""
    older = [id for id in found.scanned[:-1] if id >= state.reach]
    claimed = _claim(state, wanted, attrs.evolve(found, scanned=found.scanned[-1:]), terms, now)
    if not older or not claimed.taken:
        return claimed
    entries = {**{id: Entry(0, now, 0, WAITING) for id in older}, **claimed.state.open}
    return attrs.evolve(claimed, state=attrs.evolve(claimed.state, open=dict(sorted(entries.items()))))


def settles_later(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Answers what is given at most once without having settled it."""
    claimed = _claim(state, wanted, found, terms, now)
    return attrs.evolve(claimed, state=state) if terms.at_most_once else claimed


def impatient(state: GroupState, limit: int, terms: Terms, now: Ticks) -> Look:
    """Takes leases for ended."""
    return _look(state, limit, terms, MAX_TICKS)


def out_of_turn(state: GroupState, limit: int, terms: Terms, now: Ticks) -> Look:
    """Looks for messages beside those that are worked on."""
    return _look(state, limit, attrs.evolve(terms, order=Order.NONE), now)


def claims_out_of_turn(state: GroupState, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """And takes them."""
    return _claim(state, wanted, found, attrs.evolve(terms, order=Order.NONE), now)


def nothing(*_: Any) -> None:
    """Does not know a key again."""


def never(*_: Any) -> bool:
    """Thinks that nothing was given too often."""
    return False


def unstamped(state: GroupState, token: bytes) -> GroupState:
    """Leaves nothing to know a change again by."""
    return state


# Moves and seeks


def in_the_same_generation(state: GroupState, reach: MessageId, generation: bytes) -> GroupState | None:
    """Lets receipts of before hold."""
    after = _seek(state, reach, generation)
    return after and attrs.evolve(after, generation=state.generation)


def from_one_on(state: GroupState, reach: MessageId, generation: bytes) -> GroupState | None:
    """Numbers leases anew after a seek."""
    after = _seek(state, reach, generation)
    return after and attrs.evolve(after, last=0)


async def without_its_key(self: moves.Moves, queue: Queue, partition: int, content: Content, key: bytes | None) -> None:
    """Appends a dead letter as often as that is asked for."""
    await _append(self, queue, partition, content, None)


async def nowhere(*_: Any) -> Result:
    """Says that it was written to the other queue."""
    return Result.DONE


async def for_good(self: moves.Moves, queue: Queue, group: Group, address: Address, move: In) -> Result:
    """Takes a message that comes back for one that is no more."""
    await _in(self, queue, group, address, move)
    return Result.GONE


def of_another(content: Content, letter: Letter) -> Content:
    """Names another partition than that which the message was in."""
    address = msgspec.structs.replace(letter.address, partition=letter.address.partition + 1)
    return dead_letter(content, attrs.evolve(letter, address=address))


# Keys, seals and stores


async def as_if_new(self: MessageExchange, queue: Queue, drafts: Sequence[Draft], once: Once) -> Appended:
    """Takes each repeat of a producer for something new."""
    return Appended(tuple(await self.append(queue, drafts)), once.note, False)


def unsealed(self: Receipts, body: bytes) -> bytes:
    """Seals all receipts alike."""
    return bytes(16)


def with_another_secret(secret: bytes) -> Receipts:
    """Reads receipts with another key than they were made with."""
    return Receipts(blake2b(secret).digest())


def refuses_what_it_does(self: Calls, held: Any, fate: Fate) -> None:
    """Says that nothing was stored, when it was."""
    if fate is Fate.REFUSED and held.kind is Kind.WRITE:
        held.begin().addErrback(nothing)
    _meet(self, held, fate)


MUTANTS: Final = (
    Mutant("a lease number that is not compared", "fence", "plain", ((rules, "settle", unfenced),)),
    Mutant("acks that are not remembered", "remembered", "plain", ((rules, "settle", forgetful),)),
    Mutant("a retry that settles", "lost", "plain", ((rules, "settle", retry_is_ack),)),
    Mutant("an answer before the compare-and-set", "acked_again", "plain", ((Cell, "change", hasty),)),
    Mutant("the same, at most once", "given_again", "once", ((Cell, "change", hasty),)),
    Mutant("a claim at most once that settles later", "given_again", "once", ((rules, "claim", settles_later),)),
    Mutant("a change that is not known again", "lost_at_most_once", "once", ((cells, "stamped", unstamped),)),
    Mutant("a claim that does not move on", "acked_again", "plain", ((rules, "claim", stands_still),)),
    Mutant("a limit before the bound", "lost", "plain", ((rules, "claim", examines_too_much),)),
    Mutant("the newest first", "first_order", "plain", ((rules, "claim", newest_first),)),
    Mutant("a lease that is none", "together", "plain", ((rules, "look", impatient),)),
    Mutant(
        "an order that is none",
        "turns",
        "row",
        ((rules, "look", out_of_turn), (rules, "claim", claims_out_of_turn)),
    ),
    Mutant("a key of a claim that is ignored", "repeats", "plain", ((rules, "_living", nothing),)),
    Mutant("no limit of deliveries", "deliveries", "aside", ((rules, "_is_over", never),)),
    Mutant("deliveries that are not counted", "deliveries", "plain", ((rules, "MOST_DELIVERIES", 1),)),
    Mutant("a seek within a generation", "generations", "sought", ((whole, "seek", in_the_same_generation),)),
    Mutant("lease numbers that begin anew", "leases", "sought", ((whole, "seek", from_one_on),)),
    Mutant("a dead letter without its key", "buried_twice", "dead", ((moves.Moves, "_append", without_its_key),)),
    Mutant("a dead letter that is not written", "lost", "dead", ((moves.Moves, "_out", nowhere),)),
    Mutant("a redrive that settles", "lost", "dead", ((moves.Moves, "_in", for_good),)),
    Mutant("a dead letter of another message", "altered", "dead", ((moves, "dead_letter", of_another),)),
    Mutant("a producer's key that is ignored", "several_ids", "plain", ((MessageExchange, "append_once", as_if_new),)),
    Mutant("receipts without a seal", "forgeries", "plain", ((Receipts, "_seal", unsealed),)),
    Mutant("another secret", "disowned", "plain", ((settling, "Receipts", with_another_secret),)),
    Mutant("a refusal that is none", "unexpected", "plain", ((Calls, "_meet", refuses_what_it_does),)),
)
"""All of them."""
