"""Runs the commands of consumer groups in a store that has the states and the messages next to each other.

The embedded stores share this. The owner of the states, which is the writing thread or the reactor, calls it, and it
calls back for states and messages. No function in here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from queuey.model.groups import claims, moves, places
from queuey.model.groups.commands import (
    After,
    Answer,
    Command,
    Finish,
    GiveBack,
    Mark,
    Ran,
    Reopen,
    ReopenAnswer,
    Seek,
    Settle,
    SettleAnswer,
    Share,
    Take,
    TakeAnswer,
    TakeBack,
    View,
)
from queuey.model.groups.entries import key_hash
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.settings import Group
from queuey.model.groups.settlements import settle
from queuey.model.groups.terms import NO_SIZES, Claimed, Found, Look, Order, Outcome, Redrive, Settlement, Terms, Wanted
from queuey.model.messages.dead_letter_headers import key_of
from queuey.model.messages.message import Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import SECOND, MessageId, Ticks, ticks_of
from queuey.storage.group_data import NO_MESSAGES, GroupData, Scan

IDLE: Final = Ticks(60 * SECOND)
"""How far the position of a group may be behind the end of a log without new messages. Moving it costs a write, which
is not worth it each time."""

_ROUNDS: Final = 16
"""Maximum number of looks of a claim in a partition if it found only messages that were deleted, or that wait for
others of their keys."""

_GONE: Final = 512
"""Maximum number of messages that one look checks for existence."""

_PASSED: Final = 64
"""Minimum number of messages that one look may skip, if messages of the same key are delivered in order."""


class _Run:
    """Commands of one call."""

    __slots__ = ("data", "dues", "group", "now", "queue", "terms", "touched")

    def __init__(self, data: GroupData, queue: Queue, group: Group, terms: Terms) -> None:
        self.data = data
        self.queue = queue
        self.group = group
        self.terms = terms
        self.now = data.clock
        self.touched: dict[int, GroupIndex] = {}
        self.dues: dict[int, Ticks] = {}

    def index(self, partition: int) -> GroupIndex:
        index = self.touched.get(partition)
        if index is None:
            self.touched[partition] = index = self.data.index(self.queue, self.group, partition)
        return index

    def after(self) -> dict[int, After]:
        found = {}
        for number, index in self.touched.items():
            found[number] = After(self.dues.get(number) or index.next_due(self.now), bool(index.moves))
        return found

    # Claims

    def take(self, asked: Take) -> TakeAnswer:
        if asked.key is not None:
            return self.take_under_key(asked, asked.key)
        shares: list[Share] = []
        limit, size, blocked = asked.limit, asked.max_bytes, False
        for partition in asked.partitions:
            claimed, messages = self.take_of(partition, Wanted(limit, asked.lease, None, size, not shares))
            blocked = blocked or claimed.blocked
            if claimed.taken:
                shares.append(Share(partition, self.touched[partition].generation, claimed.taken, messages))
                limit -= len(claimed.taken)
                if len(asked.partitions) > 1:
                    size -= sum([len(message.content.body) for message in messages if message is not None])
                if limit <= 0 or size <= 0:
                    break
        return TakeAnswer(tuple(shares), blocked and not shares)

    def take_under_key(self, asked: Take, key: bytes) -> TakeAnswer:
        """Claim from one partition. The home partition of a key points to the partition in which its claim was made."""
        now, home = self.now, claims.home_of(key, self.queue.settings.partitions)
        wanted = Wanted(asked.limit, asked.lease, key, asked.max_bytes)
        at_home = self.index(home)
        if claims.reused(at_home, key, now):
            return TakeAnswer(reused=True)
        elsewhere = claims.pointed(at_home, key, now)
        if asked.known:
            partition = home if elsewhere is None else elsewhere
            known = claims.repeated(self.index(partition), key, now)
            return TakeAnswer() if known is None else self.under_key(partition, Claimed(known, again=True), ())
        if elsewhere is None and home in asked.partitions:
            claimed, messages = self.take_of(home, wanted)
            if claimed.taken or claimed.again:
                return self.under_key(home, claimed, messages)
        if elsewhere is not None:
            pointer = claims.point(at_home, key, elsewhere, Ticks(now + asked.lease), now)
            lease = asked.lease if pointer is None else Ticks(min(asked.lease, pointer.until - now))
            claimed, messages = self.take_of(elsewhere, attrs.evolve(wanted, lease=lease))
            return self.under_key(elsewhere, claimed, messages)
        if claims.full_of_claims(at_home, now):
            return TakeAnswer(blocked=True, full=True)
        blocked = full = False
        for partition in asked.partitions:
            if partition == home:
                continue
            claimed, messages = self.take_of(partition, wanted)
            blocked, full = blocked or claimed.blocked, full or claimed.full
            if claimed.taken or claimed.again or claimed.reused:
                if claimed.taken:
                    claims.point(at_home, key, partition, Ticks(now + asked.lease), now)
                return self.under_key(partition, claimed, messages)
        return TakeAnswer(blocked=blocked, full=full)

    def under_key(self, partition: int, claimed: Claimed, messages: Sequence[Message | None]) -> TakeAnswer:
        if claimed.again:
            found = self.data.find(self.queue, partition, [one.id for one in claimed.taken])
            messages = [found.get(one.id) for one in claimed.taken]
        shares: tuple[Share, ...] = ()
        if claimed.taken:
            shares = (Share(partition, self.index(partition).generation, claimed.taken, messages),)
        return TakeAnswer(shares, claimed.blocked, claimed.reused, claimed.again, claimed.full)

    def take_of(self, partition: int, wanted: Wanted) -> tuple[Claimed, Sequence[Message | None]]:
        """Claim of one partition, with the messages that are taken; without them if they were taken before."""
        index, terms, now = self.index(partition), self.terms, self.now
        if wanted.key is not None:
            known = claims.repeated(index, wanted.key, now)
            if known is not None:
                return Claimed(known, again=True), ()
        limit = wanted.limit
        for _ in range(_ROUNDS):
            claims.expire(index, terms, now)
            looked = claims.look(index, limit, terms, now)
            messages: Mapping[MessageId, Message] = NO_MESSAGES
            gone: tuple[MessageId, ...] = ()
            if looked.due or looked.blocking:
                if looked.due:
                    messages = self.data.find(self.queue, partition, looked.due, wanted.max_bytes)
                    gone = _gone(looked.due, messages, wanted.max_bytes)
                else:
                    gone = self.missing(partition, looked.blocking)
                if (gone and not messages) or (messages and limit > wanted.limit):
                    # That has made room: look again, at more if it were all gone, since there may be many of those.
                    places.drop(index, gone)
                    limit = wanted.limit if messages else max(wanted.limit, min(4 * limit, _GONE))
                    continue
            if messages:
                claimed, given = self.claim_again(index, partition, wanted, looked, messages, gone)
            else:
                claimed, given = self.claim_fresh(index, partition, wanted, looked)
            if claimed.taken or not (claimed.skipped or self.dropped(index, partition)):
                return claimed, given
        self.dues[partition] = now  # there may be more, and those that wait for it are to look again at once
        return Claimed(), ()

    def dropped(self, index: GroupIndex, partition: int) -> bool:
        """Drop messages that hold up others of their keys and do not exist any more; whether there were any."""
        ids = claims.holding(index, self.terms, self.now)
        gone = self.missing(partition, ids) if ids else ()
        places.drop(index, gone)
        return bool(gone)

    def missing(self, partition: int, ids: Sequence[MessageId]) -> tuple[MessageId, ...]:
        """Which of these messages do not exist any more."""
        there = self.data.existing(self.queue, partition, ids)
        return tuple([id for id in ids if id not in there])

    def claim_fresh(
        self, index: GroupIndex, partition: int, wanted: Wanted, looked: Look
    ) -> tuple[Claimed, Sequence[Message | None]]:
        """Take messages that were never given, if there is room for some."""
        if not looked.room:
            return Claimed(blocked=self.is_full(index)), ()
        start, by_key = index.reach, self.terms.order is Order.KEY and not self.terms.at_most_once
        room = max(looked.room, _PASSED) if by_key else min(looked.room, wanted.limit)
        scan = self.data.scan(self.queue, index, self.group, partition, room, wanted.max_bytes or 0)
        idle = not scan.ids and scan.over and ticks_of(scan.end) < ticks_of(start) + IDLE
        if idle and wanted.key is None:
            return Claimed(), ()
        if idle:
            found = Found(looked=looked)
        elif wanted.owed:  # the scan has no more bytes than may be given
            wanted = Wanted(wanted.limit, wanted.lease, wanted.key)
            found = Found((), (), scan.ids, start, scan.end, NO_SIZES, _keys(scan), looked)
        else:
            found = Found((), (), scan.ids, start, scan.end, _sizes(scan.messages), _keys(scan), looked)
        claimed = claims.claim(index, wanted, found, self.terms, self.now)
        if not claimed.taken:
            return _skipped(claimed, scan), ()
        count = len(claimed.taken)
        if claimed.taken[0].id == scan.ids[0] and claimed.taken[-1].id == scan.ids[count - 1]:  # as most are
            return claimed, scan.messages[:count]
        messages = dict(zip(scan.ids, scan.messages, strict=True))
        return claimed, [messages[one.id] for one in claimed.taken]

    def claim_again(
        self,
        index: GroupIndex,
        partition: int,
        wanted: Wanted,
        looked: Look,
        messages: Mapping[MessageId, Message],
        gone: tuple[MessageId, ...],
    ) -> tuple[Claimed, Sequence[Message | None]]:
        """Take messages that are due, and new ones if there is room for some."""
        start, present, sizes = index.reach, tuple(messages), _sizes(messages.values())
        size = (wanted.max_bytes or 0) - sum(sizes.values())
        found = Found(present, gone, sizes=sizes)
        scan = None
        if looked.room and size > 0:
            by_key = self.terms.order is Order.KEY and not self.terms.at_most_once
            room = max(looked.room, _PASSED) if by_key else looked.room
            scan = self.data.scan(self.queue, index, self.group, partition, room, size)
            if scan.ids or not scan.over or ticks_of(scan.end) >= ticks_of(start) + IDLE:
                messages = {**messages, **dict(zip(scan.ids, scan.messages, strict=True))}
                found = Found(present, gone, scan.ids, start, scan.end, _sizes(messages.values()), _keys(scan))
        claimed = claims.claim(index, wanted, found, self.terms, self.now)
        if scan is not None and not claimed.taken:
            claimed = _skipped(claimed, scan)
        return claimed, [messages.get(one.id) for one in claimed.taken]

    def is_full(self, index: GroupIndex) -> bool:
        terms = self.terms
        return len(index.open) >= terms.max_in_flight and terms.order is not Order.PARTITION and not terms.at_most_once

    def give_back(self, asked: GiveBack) -> None:
        for partition, taken in asked.taken:
            claims.give_back(self.index(partition), taken, self.now)

    # Settlements

    def settle(self, asked: Settle) -> SettleAnswer:
        settlements = asked.settlements
        if len({one.receipt.partition for one in settlements}) == 1:
            outcomes = self.settle_in(settlements[0].receipt.partition, settlements)
        else:
            outcomes = self.settle_apart(settlements)
        if Outcome.MOVING not in outcomes:
            return SettleAnswer(outcomes)
        marked = {}
        for place, outcome in enumerate(outcomes):
            if outcome is Outcome.MOVING:
                receipt = settlements[place].receipt
                marked[place] = self.index(receipt.partition).open[receipt.id].number
        return SettleAnswer(outcomes, marked)

    def settle_apart(self, settlements: Sequence[Settlement]) -> tuple[Outcome, ...]:
        """Settle messages of several partitions."""
        parts: dict[int, list[int]] = {}
        for place, one in enumerate(settlements):
            parts.setdefault(one.receipt.partition, []).append(place)
        found: dict[int, Outcome] = {}
        for partition, places_of in parts.items():
            got = self.settle_in(partition, [settlements[place] for place in places_of])
            found.update(zip(places_of, got, strict=True))
        return tuple([found[place] for place in range(len(settlements))])

    def settle_in(self, partition: int, settlements: Sequence[Settlement]) -> tuple[Outcome, ...]:
        """Settle messages of one partition; pointers to claims under a key live as long as those."""
        if not 1 <= partition <= self.queue.settings.partitions:
            return (Outcome.INVALID,) * len(settlements)
        now = self.now
        settled = settle(self.index(partition), settlements, self.terms, now)
        for key, until in settled.keys.items():
            home = claims.home_of(key, self.queue.settings.partitions)
            if home != partition:
                claims.point(self.index(home), key, partition, until, now)
        return settled.outcomes

    # Moves, and other places

    def finish(self, asked: Finish) -> None:
        index = self.index(asked.partition)
        for id, number, result in asked.ended:
            moves.finish(index, id, number, result, self.now)

    def seek(self, asked: Seek) -> bool:
        index = self.index(asked.partition)
        return places.is_there(index, asked.reach) or places.seek(index, asked.reach, asked.generation)

    def take_back(self, asked: TakeBack) -> tuple[Redrive, ...] | None:
        index, most = self.index(asked.partition), self.terms.max_in_flight
        if index.last != asked.seen:
            return None
        return tuple([moves.redrive(index, one, most, self.now) for one in asked.letters])

    def reopen(self, asked: Reopen) -> ReopenAnswer:
        index = self.index(asked.partition)
        places.drop(index, asked.gone)
        opened = moves.reopen(index, asked.there, self.terms.max_in_flight, self.now, asked.key_hashes())
        return ReopenAnswer(len(opened), any(id in index.aside for id in asked.there))


_RUN: Final[Mapping[type, Callable[[_Run, Any], Answer]]] = {
    Settle: _Run.settle,
    Take: _Run.take,
    GiveBack: _Run.give_back,
    Finish: _Run.finish,
    Seek: _Run.seek,
    TakeBack: _Run.take_back,
    Reopen: _Run.reopen,
}


def run(data: GroupData, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Ran:
    """Run commands; see :class:`queuey.interfaces.IGroupStore`. What they change are events of the indexes."""
    running = _Run(data, queue, group, terms)
    answers = tuple([_RUN[type(command)](running, command) for command in commands])
    return Ran(answers, running.after())


def view(index: GroupIndex, now: Ticks, purged: MessageId, ids: Sequence[MessageId]) -> View:
    """A partition of a group as it is; see ``IGroupStore.look``."""
    marks = [
        Mark(id, index.open[id].number, move, index.open[id].deliveries) for id, move in sorted(index.moves.items())
    ]
    opened = {id: index.open[id] for id in ids if id in index.open}
    return View(index.last, places.lag(index, now, purged), tuple(marks), index.aside, opened)


def _gone(ids: Sequence[MessageId], found: Mapping[MessageId, Message], max_bytes: int | None) -> tuple[MessageId, ...]:
    """Which of some messages, oldest first, do not exist any more, of what ``GroupData.find`` has returned for them."""
    if len(found) == len(ids):
        return ()
    if max_bytes is not None and sum([len(message.content.body) for message in found.values()]) > max_bytes:
        last = max(found)  # of later ones it is not known
        return tuple([id for id in ids if id < last and id not in found])
    return tuple([id for id in ids if id not in found])


def _sizes(messages: Iterable[Message]) -> dict[MessageId, int]:
    return {message.id: len(message.content.body) for message in messages}


def _keys(scan: Scan) -> Mapping[MessageId, int]:
    """The hashes of the keys of messages that have one."""
    if scan.plain:
        return NO_SIZES
    found = {}
    for message in scan.messages:
        if message.content.headers is not None:
            key = key_of(message.content)
            if key is not None:
                found[message.id] = key_hash(key)
    return found


def _skipped(claimed: Claimed, scan: Scan) -> Claimed:
    """Mark a claim as skipped if its scan found no messages and the log goes on."""
    return claimed if scan.ids or scan.over else attrs.evolve(claimed, skipped=True)
