"""Moves of messages to a dead-letter queue and back.

The steps of a move are: mark it (``settle``, ``expire``, ``redrive``) and store that; write to the other queue;
``finish``, and store that. Each step is idempotent, so any process that finds a move in ``index.moves`` may carry it
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from queuey.model.groups.entries import (
    MARKED,
    MAX_SETBACKS,
    WAITING,
    Entry,
    In,
    Out,
    room_for_move,
)
from queuey.model.groups.events import Closed, NotAside, Put, Unmarked, marked
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.terms import Redrive, Result, Returning
from queuey.model.timeid import SECOND, MessageId, Ticks

FIRST_SETBACK: Final = 1.0
"""Seconds until a message is tried again if its dead-letter queue is missing; the delay doubles each time."""

LONGEST_SETBACK: Final = 3600.0
"""Maximum length of this delay, in seconds."""

NO_KEYS: Final[Mapping[MessageId, int]] = {}


def redrive(index: GroupIndex, asked: Returning, max_in_flight: int, now: Ticks) -> Redrive:
    """Mark a message whose dead letter will be redriven.

    The caller must have read the state *before* it looked up the dead letter and the message, and found both.
    """
    id = asked.id
    if id in index.moves:
        return Redrive.LATER
    if id >= index.reach or id in index.open:
        return Redrive.NEEDLESS
    if len(index.open) >= max_in_flight or not room_for_move(index.moves, asked.letter.source):
        return Redrive.FULL
    index.apply(marked(id, Entry(index.last + 1, now, 0, MARKED, 0, asked.key), asked.letter))
    _take_back(index, (id,))
    return Redrive.MARKED


def finish(index: GroupIndex, id: MessageId, number: int, result: Result, now: Ticks) -> None:
    """End a move if its mark has this number; otherwise it was ended before, and the state does not change.

    A message that was moved back can be claimed as if it had never been delivered. A message whose dead-letter queue is
    missing stays open, and its delay doubles each time.
    """
    entry, move = index.open.get(id), index.moves.get(id)
    if entry is None or move is None or entry.number != number:
        return
    index.apply(Unmarked(id))
    if isinstance(move, Out) and result is Result.MISSING:
        seconds = min(LONGEST_SETBACK, FIRST_SETBACK * 2.0**entry.setbacks)
        due, setbacks = Ticks(now + round(seconds * SECOND)), min(entry.setbacks + 1, MAX_SETBACKS)
        index.apply(Put(id, number, due, entry.deliveries, WAITING, setbacks, entry.key))
    elif isinstance(move, In) and result is not Result.GONE:
        index.apply(Put(id, number, now, 0, WAITING, 0, entry.key))
    else:
        index.apply(Closed((id,)))


def reopen(
    index: GroupIndex, ids: Iterable[MessageId], max_in_flight: int, now: Ticks, keys: Mapping[MessageId, int] = NO_KEYS
) -> tuple[MessageId, ...]:
    """Make set-aside messages deliverable again, as if they had never been delivered, until the limit in flight is
    reached.

    :param ids: of messages that exist; those that are not set aside are skipped.
    :param keys: the hashes of the keys of those that have one.
    :return: those that can be claimed now.
    """
    aside, opened = set(index.aside), []
    for id in sorted(set(ids)):
        if id in aside and len(index.open) < max_in_flight:
            _take_back(index, (id,))
            index.apply(Put(id, index.last + 1, now, 0, WAITING, 0, keys.get(id, 0)))
            opened.append(id)
    return tuple(opened)


def _take_back(index: GroupIndex, ids: tuple[MessageId, ...]) -> None:
    aside = set(index.aside)
    known = tuple([id for id in ids if id in aside])
    if known:
        index.apply(NotAside(known))
