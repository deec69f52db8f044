"""Rules of groups that are broken on purpose, each with the checker that has to find it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Final

import attrs
import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, succeed

from queuey.core.groups import dead_letters, settling
from queuey.core.messages import MessageExchange
from queuey.errors import QueueyError
from queuey.model.groups import claims as claim_rules
from queuey.model.groups import index as indexes
from queuey.model.groups import settlements
from queuey.model.groups.commands import Command
from queuey.model.groups.entries import WAITING, Entry, In
from queuey.model.groups.events import Closed, Put, Reached, Sought
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.receipts import Receipts
from queuey.model.groups.settings import Group
from queuey.model.groups.snapshot import index_of, state_of
from queuey.model.groups.terms import (
    Claimed,
    Found,
    Look,
    Order,
    Outcome,
    Result,
    Settled,
    Settlement,
    Terms,
    Wanted,
)
from queuey.model.messages.dead_letter_headers import Letter, dead_letter
from queuey.model.messages.message import Address, Content, Draft
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MAX_TICKS, MessageId, Ticks
from queuey.storage import group_commands
from queuey.storage.cassandra.groups import partition_claims
from queuey.storage.cassandra.groups.append import Append
from queuey.storage.cassandra.groups.cells import Cell, Change
from queuey.storage.cassandra.groups.tables import Seen
from queuey.storage.group_commands import run
from queuey.storage.sqlite.groups import SQLiteGroups
from queuey.storage.sqlite.writing.writer import Writer
from tests.histories.groups import broken_claims, in_process, unreliable
from tests.histories.groups.unreliable import FATES, Calls, Fate, Kind, UnreliableGroups


@attrs.frozen
class Mutant:
    """Something that is broken.

    :ivar name: what.
    :ivar checker: who has to find it.
    :ivar group: the plans of the groups in whose histories that shows, separated by spaces.
    :ivar patches: what is put in the place of what, and where.
    :ivar tables: whether it breaks what keeps states in tables of Cassandra.
    :ivar steps: of each history; few where messages are given without end, so that each step makes later ones slower.
    """

    name: str
    checker: str
    group: str
    patches: tuple[tuple[Any, str, Any], ...]
    tables: bool = False
    steps: int = 1000

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


_settle, _claim, _look = settlements.settle, claim_rules.claim, claim_rules.look
_change, _meet, _classify = Cell.change, Calls._meet, GroupIndex._classify
_append, _in, _read, _sought = (
    dead_letters.DeadLetters._append,
    dead_letters.DeadLetters._in,
    Append.read,
    GroupIndex._seek,
)
_run = UnreliableGroups.run


# Settlements


def unfenced(index: GroupIndex, asked: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    """Takes the number of any receipt for right."""

    def latest(one: Settlement) -> Settlement:
        entry = index.open.get(one.receipt.id)
        number = one.receipt.number if entry is None else entry.number
        return replace(one, receipt=attrs.evolve(one.receipt, number=number))

    return _settle(index, [latest(one) for one in asked], terms, now)


def never(*_: Any) -> bool:
    """Does not know, or does not mind."""
    return False


def retry_is_ack(index: GroupIndex, id: MessageId, entry: Entry, due: Ticks, terms: Terms) -> Outcome:
    """Settles what is to be given again."""
    index.apply(Closed((id,)))
    return Outcome.RETRYING


def hasty(self: UnreliableGroups, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Any:
    """Answers before the transaction, which may fail, or never come about."""
    answer = _tried(self._store().groups, queue, group, terms, commands)
    answer.addErrback(lambda _: _run(self, queue, group, terms, commands))
    _run(self, queue, group, terms, commands).addErrback(nothing)
    return answer


def _tried(groups: Any, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Any]:
    """What commands would be answered; nothing is changed."""
    if isinstance(groups, SQLiteGroups):
        return groups._writing.submit(_tried_by, queue, group, terms, commands)
    groups.clock, groups._used = groups._data.ticks(), {}
    try:
        return succeed(run(groups, queue, group, terms, commands))
    except QueueyError:
        return fail()
    finally:
        for index in groups._used:
            index.undo()


def _tried_by(writer: Writer, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Any:
    try:
        return run(writer.groups, queue, group, terms, commands)
    finally:
        writer.groups.undo()


def hasty_cell(cell: Cell, step: Change[Any]) -> Deferred[Any]:
    """Answers before the transaction, in tables of Cassandra."""
    held = cell._held
    if held is None:
        return _change(cell, step)
    result = step(index_of(state_of(held.index)))
    _change(cell, step).addErrback(lambda _: None)
    return succeed(result)


# Claims


def stands_still(index: GroupIndex, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Does not go on from what it took."""
    reach = index.reach
    claimed = _claim(index, wanted, found, terms, now)
    if claimed.taken:
        index.apply(Reached(reach))
    return claimed


def examines_too_much(index: GroupIndex, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Limits what it takes before it is bounded by the stable time: all below that passes for examined."""
    claimed = _claim(index, wanted, found, terms, now)
    if len(claimed.taken) == wanted.limit and found.scanned:
        index.apply(Reached(_beyond(found)))
    return claimed


def _beyond(found: Found) -> MessageId:
    return MessageId((int.from_bytes(found.scanned[-1], "big") + (1 << 86)).to_bytes(16, "big"))


def newest_first(index: GroupIndex, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Takes what came last, and leaves the rest open."""
    older = [id for id in found.scanned[:-1] if id >= index.reach]
    claimed = _claim(index, wanted, attrs.evolve(found, scanned=found.scanned[-1:]), terms, now)
    if claimed.taken:
        for id in older:
            index.apply(Put(id, 0, now, 0, WAITING))
    return claimed


def settles_later(index: GroupIndex, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Answers what is given at most once without having settled it."""
    if terms.at_most_once:
        index = index_of(state_of(index))
    return _claim(index, wanted, found, terms, now)


def impatient(index: GroupIndex, limit: int, terms: Terms, now: Ticks) -> Look:
    """Takes leases for ended, here and in claims."""
    return _look(index, limit, terms, MAX_TICKS)


def out_of_turn(index: GroupIndex, limit: int, terms: Terms, now: Ticks) -> Look:
    """Looks for messages beside those that are worked on."""
    return _look(index, limit, attrs.evolve(terms, order=Order.NONE), now)


def claims_out_of_turn(index: GroupIndex, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """And takes them."""
    return _claim(index, wanted, found, attrs.evolve(terms, order=Order.NONE), now)


def forgets_keys(index: GroupIndex, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Does not note the keys of what it takes."""
    return _claim(index, wanted, attrs.evolve(found, keys={}), terms, now)


def nothing(*_: Any) -> None:
    """Does not know a key again."""


def endless(index: GroupIndex, terms: Terms, now: Ticks) -> None:
    """Thinks that nothing was given too often."""
    _classify(index, attrs.evolve(terms, max_deliveries=0), now)


def forgets_its_token(attempt: Append, found: Seen) -> Append:
    """Takes its own row for another one's."""
    return attrs.evolve(_read(attrs.evolve(attempt, token=b""), found), token=attempt.token)


# Moves and seeks


def in_the_same_generation(index: GroupIndex, event: Sought) -> None:
    """Lets receipts of before hold."""
    generation = index.generation
    _sought(index, event)
    index.generation = generation


def from_one_on(index: GroupIndex, event: Sought) -> None:
    """Begins the numbers of leases again after a seek."""
    _sought(index, event)
    index.last = 0


async def without_its_key(
    self: dead_letters.DeadLetters, queue: Queue, partition: int, content: Content, key: bytes | None
) -> None:
    """Appends a dead letter as often as that is asked for."""
    await _append(self, queue, partition, content, None)


async def nowhere(*_: Any) -> Result:
    """Says that it was written to the other queue."""
    return Result.DONE


async def for_good(self: dead_letters.DeadLetters, queue: Queue, group: Group, address: Address, move: In) -> Result:
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
    if fate is Fate.REFUSED and held.kind in (Kind.WRITE, Kind.COMMAND):
        held.begin().addErrback(nothing)
    _meet(self, held, fate)


def _seeking(way: Any) -> tuple[tuple[Any, str, Any], ...]:
    return ((indexes, "_APPLY", {**indexes._APPLY, Sought: way}),)


def _claiming(way: Any) -> tuple[tuple[Any, str, Any], ...]:
    """For the embedded stores, and for tables of Cassandra."""
    return (claim_rules, "claim", way), (partition_claims, "claim", way)


def _settling(way: Any) -> tuple[tuple[Any, str, Any], ...]:
    return (group_commands, "settle", way), (settlements, "settle", way)


def unanswered(kind: Kind) -> tuple[tuple[Any, str, Any], ...]:
    """Let every second call of a kind be done and not answered, and nothing else fail; no front end ends.

    For what shows only then, and might be taken for an answer that was lost in another way.
    """
    fates = {**dict.fromkeys(FATES, ((Fate.DONE, 1),)), kind: ((Fate.DONE, 1), (Fate.UNANSWERED, 1))}
    return (unreliable, "FATES", fates), (in_process, "KILLS", 0.0)


_TOKENLESS: Final = ((Append, "read", forgets_its_token), *unanswered(Kind.SWAP))
_ENDLESS: Final = (
    (GroupIndex, "_classify", endless),
    (settlements, "is_over", never),
    (claim_rules, "is_over", never),
)

MUTANTS: Final = (
    Mutant("a lease number that is not compared", "fence", "plain", _settling(unfenced)),
    Mutant("acks that are not remembered", "remembered", "plain", ((GroupIndex, "was_acked", never),)),
    Mutant("a retry that settles", "lost", "plain", ((settlements, "_retry", retry_is_ack),)),
    Mutant("an answer before the transaction", "acked_again", "plain", ((UnreliableGroups, "run", hasty),)),
    Mutant("the same, at most once", "given_again", "once", ((UnreliableGroups, "run", hasty),)),
    Mutant("an answer of a cell before its transaction", "acked_again", "plain", ((Cell, "change", hasty_cell),), True),
    Mutant("the same of a cell, at most once", "given_again", "once", ((Cell, "change", hasty_cell),), True),
    Mutant("a claim at most once that settles later", "given_again", "once", _claiming(settles_later), steps=100),
    Mutant("a change that is not known again", "lost_at_most_once", "once", _TOKENLESS, True),
    Mutant("a claim that does not move on", "acked_again", "plain", _claiming(stands_still), steps=100),
    Mutant("a limit before the bound", "lost", "plain", _claiming(examines_too_much)),
    Mutant("the newest first", "first_order", "plain", _claiming(newest_first)),
    Mutant("a lease that is none", "together", "plain", ((claim_rules, "look", impatient),)),
    Mutant(
        "an order that is none",
        "turns",
        "row",
        ((claim_rules, "look", out_of_turn), *_claiming(claims_out_of_turn)),
    ),
    Mutant(
        "keys in no order",
        "key_turns",
        "keys",
        ((claim_rules, "look", out_of_turn), *_claiming(claims_out_of_turn)),
    ),
    Mutant("keys of messages that wait are forgotten", "key_turns", "keys", _claiming(forgets_keys)),
    Mutant("a key of a claim that is ignored", "repeats", "plain", ((claim_rules, "_living", nothing),)),
    Mutant(
        "no limit of deliveries",
        "deliveries",
        "aside",
        _ENDLESS,
    ),
    Mutant("deliveries that are not counted", "deliveries", "plain", ((indexes, "MAX_DELIVERIES", 1),)),
    Mutant(
        "a seek within a generation",
        "generations",
        "sought",
        _seeking(in_the_same_generation),
    ),
    Mutant(
        "lease numbers that begin anew",
        "leases",
        "sought",
        _seeking(from_one_on),
    ),
    Mutant(
        "a dead letter without its key",
        "buried_twice",
        "dead",
        ((dead_letters.DeadLetters, "_append", without_its_key), *unanswered(Kind.WRITE)),
    ),
    Mutant("a dead letter that is not written", "lost", "dead", ((dead_letters.DeadLetters, "_out", nowhere),)),
    Mutant("a redrive that settles", "lost", "dead", ((dead_letters.DeadLetters, "_in", for_good),)),
    Mutant("a dead letter of another message", "altered", "dead", ((dead_letters, "dead_letter", of_another),)),
    Mutant("a producer's key that is ignored", "several_ids", "plain", ((MessageExchange, "append_once", as_if_new),)),
    Mutant("receipts without a seal", "forgeries", "plain", ((Receipts, "_seal", unsealed),)),
    Mutant("another secret", "disowned", "plain", ((settling, "Receipts", with_another_secret),)),
    Mutant("a repeat by any group", "repeats", "plain dead aside", (broken_claims.ANY,), steps=2000),
    Mutant(
        "a claim that takes of all", "lost_at_most_once", "once plain", (broken_claims.ALL, *unanswered(Kind.WRITE))
    ),
    Mutant("a claim that settles nothing", "remembered", "plain dead aside", (broken_claims.NONE,)),
    Mutant(
        "settlements that a refused claim does not tell of",
        "lost",
        "plain dead aside",
        (broken_claims.UNSAID,),
        steps=3000,
    ),
    Mutant("a refusal that is none", "unexpected", "plain", ((Calls, "_meet", refuses_what_it_does),)),
)
"""All of them."""
