"""Settlements: acks, retries, extensions and rejections of claimed messages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from queuey.model.groups.due import is_over
from queuey.model.groups.entries import LEASED, MARKED, WAITING, Entry, Out, fitting, room_for_move
from queuey.model.groups.events import Closed, Keyed, Put, SetAside, marked
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.terms import Action, Outcome, Settled, Settlement, Terms
from queuey.model.timeid import MessageId, Ticks

LEASE_ENDED: Final = "lease ended"
"""The reason of a dead letter whose message was not settled by the end of its last lease."""


def settle(index: GroupIndex, settlements: Iterable[Settlement], terms: Terms, now: Ticks) -> Settled:
    """Ack, retry, extend and reject messages, one after another.

    A receipt is valid while its number is the last one of its message, even after its lease has ended, unless the
    settlement asks for a lease in force (``live``).
    """
    prolonged: dict[bytes, Ticks] = {}
    outcomes: list[Outcome] = []
    acked: dict[MessageId, int] = {}
    ack, done, opened = Action.ACK, Outcome.ACKED, index.open  # looked up once: there may be a thousand settlements
    for one in settlements:
        receipt = one.receipt
        id = receipt.id
        entry = opened.get(id)
        valid = entry is not None and entry.number == receipt.number and entry.kind != MARKED and id not in acked
        if receipt.generation != index.generation:
            outcomes.append(Outcome.INVALID)
        elif entry is None or not valid:
            known = acked.get(id) == receipt.number or index.was_acked(receipt.number)
            outcomes.append(Outcome.ALREADY_ACKED if known else Outcome.STALE)
        elif one.live and (entry.kind != LEASED or entry.due <= now):
            outcomes.append(Outcome.STALE)
        elif one.action is ack:
            acked[id] = receipt.number
            outcomes.append(done)
        else:
            _close(index, acked)
            outcomes.append(_keep(index, one, entry, terms, now, prolonged))
    _close(index, acked)
    return Settled(tuple(outcomes), prolonged)


def _close(index: GroupIndex, acked: dict[MessageId, int]) -> None:
    """Settle acked messages in one event and clear the dict; its values are the lease numbers."""
    if acked:
        index.apply(Closed(tuple(acked), tuple(acked.values())))
        acked.clear()


def _keep(
    index: GroupIndex, one: Settlement, entry: Entry, terms: Terms, now: Ticks, prolonged: dict[bytes, Ticks]
) -> Outcome:
    """Apply a settlement that is not an ack."""
    id = one.receipt.id
    if one.action is Action.REJECT:
        return give_up(index, id, terms, one.reason)
    if one.action is Action.EXTEND:
        _extend(index, id, entry, Ticks(now + one.span), prolonged)
        return Outcome.EXTENDED
    return _retry(index, id, entry, Ticks(now + one.span), terms)


def _extend(index: GroupIndex, id: MessageId, entry: Entry, until: Ticks, prolonged: dict[bytes, Ticks]) -> None:
    """Change the end of a lease; if a claim with a key made the lease, extend the claim to at least the same time."""
    number = entry.number
    index.apply(Put(id, number, until, entry.deliveries, LEASED, entry.setbacks, entry.key))
    key = _claim_of(index, number)
    if key is not None:
        claim = index.claims[key]
        if until > claim.until:
            index.apply(Keyed(key, claim.first, claim.size, until))
            prolonged[key] = until


def lengthened(index: GroupIndex, settlements: Iterable[Settlement], now: Ticks) -> Mapping[bytes, Ticks]:
    """Return the claims with a key that some settlements would extend, and until when; the result may contain too many.

    If partitions have no common transaction, the pointers to these claims are extended first.
    """
    found: dict[bytes, Ticks] = {}
    if index.claims:
        for one in settlements:
            entry = index.open.get(one.receipt.id)
            if one.action is Action.EXTEND and entry is not None and entry.number == one.receipt.number:
                until = Ticks(now + one.span)
                key = _claim_of(index, entry.number)
                if key is not None and until > max(index.claims[key].until, found.get(key, 0)):
                    found[key] = until
    return found


def _claim_of(index: GroupIndex, number: int) -> bytes | None:
    """Return the key of the claim that made a lease."""
    firsts = sorted([(claim.first, key) for key, claim in index.claims.items() if claim.size])
    at = bisect_right(firsts, number, key=lambda one: one[0])
    if not at:
        return None
    key = firsts[at - 1][1]
    claim = index.claims[key]
    return key if number < claim.first + claim.size else None


def _retry(index: GroupIndex, id: MessageId, entry: Entry, due: Ticks, terms: Terms) -> Outcome:
    """Release a message for redelivery, unless it has reached the maximum number of deliveries."""
    if not terms.at_most_once and is_over(entry, terms):
        outcome = give_up(index, id, terms, "")
        if outcome is not Outcome.LATER:
            return outcome
    index.apply(Put(id, entry.number, due, entry.deliveries, WAITING, entry.setbacks, entry.key))
    return Outcome.RETRYING


def give_up(index: GroupIndex, id: MessageId, terms: Terms, reason: str) -> Outcome:
    """End the deliveries of an open message: set it aside, or mark it for its move to the dead-letter queue."""
    if terms.dead_letter is None:
        index.apply(SetAside((id,)))
        return Outcome.SET_ASIDE
    if not room_for_move(index.moves, terms.dead_letter):
        return Outcome.LATER
    entry = replace(index.open[id], number=index.last + 1)
    index.apply(marked(id, entry, Out(terms.dead_letter, fitting(reason, index.moves))))
    return Outcome.MOVING
