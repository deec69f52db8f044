"""Claims: which messages a claim has to look up, and which of them it takes.

The steps of a claim are: ``repeated`` if it has a key; ``expire``; ``look``; the store looks up ``Look.due`` and scans
from ``index.reach`` on; ``claim``. The state may have changed since the store was read; ``claim`` checks each part of
the result for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from queuey.model.groups.due import is_over
from queuey.model.groups.entries import KEY_SCOPE, LEASED, MARKED, MAX_CLAIMS, WAITING, Claim
from queuey.model.groups.events import Closed, Keyed, Leased, Passed, Put, Reached, Unkeyed
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.places import drop
from queuey.model.groups.settlements import LEASE_ENDED, give_up
from queuey.model.groups.terms import Claimed, Found, Look, Order, Outcome, Taken, Terms, Wanted
from queuey.model.timeid import MessageId, Ticks, successor

MAX_HOLDING: Final = 64
"""Maximum number of blocking messages that a claim looks up to see whether they still exist."""


def home_of(key: bytes, partitions: int) -> int:
    """Return the partition, one of ``partitions``, that stores where a claim with this key was made."""
    return int.from_bytes(key[:KEY_SCOPE], "big") % partitions + 1


def repeated(index: GroupIndex, key: bytes, now: Ticks) -> tuple[Taken, ...] | None:
    """Return the messages of an earlier claim with this key whose leases have not ended.

    :return: ``None`` if there is no earlier claim.
    """
    claim = _living(index, key, now)
    if claim is None:
        return None
    numbers = range(claim.first, claim.first + claim.size)
    found = []
    for id in index.given_under(claim) if claim.size else ():
        entry = index.open.get(id)
        if entry is not None and entry.kind == LEASED and entry.number in numbers and entry.due > now:
            found.append(Taken(id, entry.number, entry.deliveries, entry.due))
    return tuple(found)


def _living(index: GroupIndex, key: bytes, now: Ticks) -> Claim | None:
    claim = index.claims.get(key)
    return None if claim is None or claim.until <= now else claim


def full_of_claims(index: GroupIndex, now: Ticks) -> bool:
    """Return whether the limit of claims with a key in flight is reached."""
    if len(index.claims) < MAX_CLAIMS:
        return False
    return sum([claim.until > now for claim in index.claims.values()]) >= MAX_CLAIMS


def reused(index: GroupIndex, key: bytes, now: Ticks) -> bool:
    """Return whether a claim with the same Idempotency-Key and other parameters has leases that have not ended."""
    scope = key[:KEY_SCOPE]
    return any(
        claim.until > now and other[:KEY_SCOPE] == scope and other != key for other, claim in index.claims.items()
    )


def pointed(index: GroupIndex, key: bytes, now: Ticks) -> int | None:
    """Return the partition in which a claim with this key was made, if it is another one."""
    claim = _living(index, key, now)
    return None if claim is None or claim.size else claim.first


def point(index: GroupIndex, key: bytes, partition: int, until: Ticks, now: Ticks) -> Claim | None:
    """Store that a claim with this key is about to be made in another partition.

    An existing pointer is kept, and its lifetime is extended if it is shorter. An existing claim is kept.

    :param until: the leases of that claim end no later.
    :return: the entry of the key; ``None`` if too many claims with a key are in flight.
    """
    before = _living(index, key, now)
    if before is not None and (before.size or before.until >= until):
        return before
    _forget_ended(index, now)
    if before is None and len(index.claims) >= MAX_CLAIMS:
        return None
    index.apply(Keyed(key, partition if before is None else before.first, 0, until))
    return index.claims[key]


def _forget_ended(index: GroupIndex, now: Ticks) -> None:
    if index.claims:
        ended = tuple([key for key, claim in index.claims.items() if claim.until <= now])
        if ended:
            index.apply(Unkeyed(ended))


def expire(index: GroupIndex, terms: Terms, now: Ticks) -> None:
    """Give up the due messages that have reached the maximum number of deliveries.

    They are set aside, or marked for their move to the dead-letter queue if there is room for it.
    """
    if not (terms.max_deliveries or terms.at_most_once):
        return
    while (id := index.over(terms, now)) is not None:
        if terms.at_most_once:
            index.apply(Closed((id,)))
        elif give_up(index, id, terms, LEASE_ENDED if index.open[id].kind == LEASED else "") is Outcome.LATER:
            return


def look(index: GroupIndex, limit: int, terms: Terms, now: Ticks) -> Look:
    """Return which messages the store has to look up for a claim of ``limit`` messages. Call ``expire`` before."""
    order = Order.NONE if terms.at_most_once else terms.order
    if order is Order.PARTITION:
        return _look_at_next(index, terms, now)
    due = (index.due_by_key if order is Order.KEY else index.due)(limit, terms, now)
    free = limit if terms.at_most_once else terms.max_in_flight - len(index.open)
    if due or free > 0:
        return Look(due, room=min(limit - len(due), max(0, free)))
    blocking = islice((id for id, entry in index.open.items() if entry.kind != MARKED), limit)
    return Look(blocking=tuple(blocking))


def holding(index: GroupIndex, terms: Terms, now: Ticks) -> tuple[MessageId, ...]:
    """Return the messages that block later ones with the same key: they are leased, or are due later.

    A claim that found no message looks them up, because a deleted message must not block others. If there are many,
    each call starts at another one.
    """
    if terms.order is not Order.KEY or terms.at_most_once:
        return ()
    opened = index.open
    found = [line[0] for line in index.lines().values() if len(line) > 1 and opened[line[0]].due > now]
    found = [id for id in found if opened[id].kind != MARKED]
    if len(found) > MAX_HOLDING:
        start = now // 10 % len(found)  # clocks have microseconds
        found = [*found[start:], *found[:start]][:MAX_HOLDING]
    return tuple(found)


def _look_at_next(index: GroupIndex, terms: Terms, now: Ticks) -> Look:
    """The same for groups with order ``PARTITION``, which deliver one message at a time."""
    if not index.open:
        return Look(room=1)
    if index.moves:
        return Look()
    leased = sorted([id for id, entry in index.open.items() if entry.kind == LEASED and entry.due > now])
    if leased:
        return Look(blocking=tuple(leased))
    id = min(index.open)
    entry = index.open[id]
    if is_over(entry, terms):
        return Look()
    return Look(due=(id,)) if entry.due <= now else Look(blocking=(id,))


def claim(index: GroupIndex, wanted: Wanted, found: Found, terms: Terms, now: Ticks) -> Claimed:
    """Take messages, oldest first. Those that no longer exist are settled."""
    looked = found.looked
    if found.gone:
        drop(index, found.gone)
        looked = None
    if looked is None:
        expire(index, terms, now)
    if wanted.key is not None:
        before = _living(index, wanted.key, now)
        if before is not None and not before.size:
            return Claimed(elsewhere=before.first)
        if before is not None:
            return Claimed(repeated(index, wanted.key, now) or (), again=True)
        if reused(index, wanted.key, now):
            return Claimed(reused=True)
        _forget_ended(index, now)
        if len(index.claims) >= MAX_CLAIMS:
            return Claimed(blocked=True, full=True)
    if looked is None:
        looked = look(index, wanted.limit, terms, now)
    due: Sequence[MessageId] = looked.due
    if due:
        present = frozenset(found.present)
        due = _in_line(index, [id for id in due if id in present], terms)
    due = _fitting(due, wanted, found, 0)
    whole = len(due) == len(looked.due) or not looked.due
    fresh, end = _fresh(index, found)
    if terms.order is Order.KEY and not terms.at_most_once:
        return _claim_by_key(index, due, fresh, end, wanted, found, terms, now)
    some = fresh[: _room(index, wanted.limit - len(due), terms)] if fresh else fresh
    if some and wanted.max_bytes is not None:
        some = _fitting(some, wanted, found, sum([found.sizes[id] for id in due]), len(due)) if whole else []
    reach = _reached(index, fresh, end, len(some))
    if not due and not some:
        full = len(index.open) >= terms.max_in_flight and terms.order is Order.NONE and not terms.at_most_once
        if reach != index.reach:
            index.apply(Reached(reach))
        return Claimed(blocked=full)
    return _give(index, [*due, *some] if due else some, reach, wanted, found.keys, terms, now)


def _claim_by_key(
    index: GroupIndex,
    due: Sequence[MessageId],
    fresh: Sequence[MessageId],
    end: MessageId,
    wanted: Wanted,
    found: Found,
    terms: Terms,
    now: Ticks,
) -> Claimed:
    """Take messages that are due, and new messages, for order ``KEY``.

    A new message is taken only if the same claim takes every earlier open message with the same key.

    :param end: see ``_fresh``.
    """
    lines, given = index.lines(), list(due)
    taken: dict[int, int] = {}
    for id in due:
        key = index.open[id].key
        taken[key] = taken.get(key, 0) + 1
    size, examined = sum([found.sizes.get(id, 0) for id in due]), 0
    passed: list[MessageId] = []
    room = terms.max_in_flight - len(index.open)
    waiting: set[int] = set()
    for id in fresh[: max(0, room)]:
        key = found.keys.get(id, 0)
        if key and (key in waiting or len(lines.get(key, ())) > taken.get(key, 0)):
            passed.append(id)
            waiting.add(key)
        else:
            size += found.sizes.get(id, 0)
            if len(given) == wanted.limit or not _fits(size, wanted, len(given)):
                break
            given.append(id)
        examined += 1
    reach = _reached(index, fresh, end, examined)
    if passed:
        index.apply(Passed(tuple(passed), tuple([found.keys[id] for id in passed])))
    if not given:
        if reach != index.reach:
            index.apply(Reached(reach))
        return Claimed(blocked=len(index.open) >= terms.max_in_flight, skipped=bool(passed))
    return _give(index, given, reach, wanted, found.keys, terms, now)


def _in_line(index: GroupIndex, due: list[MessageId], terms: Terms) -> list[MessageId]:
    """Return those due messages whose earlier open messages with the same key are in the list too."""
    if terms.order is not Order.KEY or terms.at_most_once:
        return due
    lines, taken, found = index.lines(), dict[int, int](), []
    for id in due:
        key = index.open[id].key
        if key:
            at = taken.get(key, 0)
            if lines[key][at] != id:
                continue
            taken[key] = at + 1
        found.append(id)
    return found


def _fits(size: int, wanted: Wanted, before: int) -> bool:
    """Return whether a message fits into the size limit.

    :param size: the size in bytes of the message and the ``before`` messages before it.
    """
    return wanted.max_bytes is None or size <= wanted.max_bytes or (wanted.owed and not before)


def _fitting(ids: Sequence[MessageId], wanted: Wanted, found: Found, size: int, before: int = 0) -> Sequence[MessageId]:
    """Return as many of the first messages as fit into the size limit."""
    if wanted.max_bytes is None:
        return ids
    for place, id in enumerate(ids):
        size += found.sizes[id]
        if not _fits(size, wanted, before + place):
            return ids[:place]
    return ids


def _fresh(index: GroupIndex, found: Found) -> tuple[Sequence[MessageId], MessageId]:
    """Return the scanned messages that were not examined before, and the ``reach`` of the index once all of them are.

    If there is a gap between the scan and ``reach``, there are no such messages, and ``reach`` stays as it is.
    """
    scanned, start, end, reach = found.scanned, found.start, found.end, index.reach
    if start is None or end is None or not start <= reach <= end:
        return [], reach
    if scanned and scanned[0] < reach:
        scanned = [id for id in scanned if id >= reach]
    return scanned, end


def _room(index: GroupIndex, limit: int, terms: Terms) -> int:
    """Return how many messages may be taken that were never delivered."""
    if terms.at_most_once:
        return limit
    if terms.order is Order.PARTITION:
        return 0 if index.open else 1
    return min(limit, max(0, terms.max_in_flight - len(index.open)))


def _reached(index: GroupIndex, fresh: Sequence[MessageId], end: MessageId, examined: int) -> MessageId:
    """Return the new ``reach`` of the index.

    :param fresh: the new messages, and ``end`` the ``reach`` once all of them are examined; see ``_fresh``.
    :param examined: number of new messages that were examined, from the first one on.
    """
    if examined < len(fresh):
        return successor(fresh[examined - 1]) if examined else index.reach
    return end


def _give(
    index: GroupIndex,
    ids: Sequence[MessageId],
    reach: MessageId,
    wanted: Wanted,
    keys: Mapping[MessageId, int],
    terms: Terms,
    now: Ticks,
) -> Claimed:
    """Take these messages, oldest first; the caller has checked that they may be delivered.

    :param reach: the new ``reach`` of the index.
    :param keys: the hashes of the keys of messages that have one.
    """
    if not ids or terms.at_most_once:
        opened = tuple([id for id in ids if id in index.open])
        if opened:
            index.apply(Closed(opened))
        if reach != index.reach:
            index.apply(Reached(reach))
        return Claimed(tuple([Taken(id, 0, 1, now) for id in ids]))
    first, until = index.last + 1, Ticks(now + wanted.lease)
    index.apply(Leased(first, until, tuple(ids), tuple([keys.get(id, 0) for id in ids]) if keys else ()))
    if reach != index.reach:
        index.apply(Reached(reach))
    if wanted.key is not None:
        index.apply(Keyed(wanted.key, first, len(ids), until))
    opened_now = index.open
    return Claimed(tuple([Taken(id, first + at, opened_now[id].deliveries, until) for at, id in enumerate(ids)]))


def give_back(index: GroupIndex, taken: Iterable[Taken], now: Ticks) -> None:
    """Undo a claim whose answer could not be delivered: messages that still have its leases can be claimed at once, and
    the delivery is not counted.

    It may be called twice for a claim: if a lease was extended in between, its number is the same, so ``deliveries``
    stops at 0.
    """
    for one in taken:
        entry = index.open.get(one.id)
        if entry is not None and entry.number == one.number and entry.kind == LEASED:
            deliveries = max(0, entry.deliveries - 1)
            index.apply(Put(one.id, entry.number, now, deliveries, WAITING, entry.setbacks, entry.key))
