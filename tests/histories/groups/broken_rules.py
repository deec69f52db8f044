"""Rules of one group that are broken on purpose, for ``mutants``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import attrs
import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, succeed

from queuey.core.groups import dead_letters
from queuey.core.messages import MessageExchange
from queuey.errors import QueueyError
from queuey.model.groups import claims as claim_rules
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
from queuey.storage.cassandra.groups.append import Append
from queuey.storage.cassandra.groups.cells import Cell, Change
from queuey.storage.cassandra.groups.tables import Seen
from queuey.storage.group_commands import run
from queuey.storage.sqlite.groups import SQLiteGroups
from queuey.storage.sqlite.writing.writer import Writer
from tests.histories.groups.unreliable import Calls, Fate, Kind, UnreliableGroups

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
        return replace(one, receipt=replace(one.receipt, number=number))

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
