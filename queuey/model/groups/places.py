"""The position of a group in one partition: seek, purge and lag."""

from __future__ import annotations

from collections.abc import Iterable

from queuey.model.groups.entries import LEASED, MARKED
from queuey.model.groups.events import Closed, NotAside, Reached, Sought
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.terms import Lag
from queuey.model.timeid import MessageId, Ticks


def seek(index: GroupIndex, reach: MessageId, generation: bytes) -> bool:
    """Move the position; earlier receipts become invalid.

    :param reach: the first id, or bound, to examine.
    :param generation: random; the same if the same seek is repeated.
    :return: ``False`` if moves are under way: finish them first.
    """
    if generation == index.generation:
        return True
    if index.moves:
        return False
    index.apply(Sought(generation, reach, tuple([id for id in index.aside if id < reach])))
    return True


def is_there(index: GroupIndex, reach: MessageId) -> bool:
    """Return whether a group is at a position and has delivered no message since: a seek would not change it."""
    return index.reach == reach and not (index.open or index.acked or index.claims)


def drop(index: GroupIndex, ids: Iterable[MessageId]) -> None:
    """Settle messages that expired or were deleted, except those that are being moved: the end of the move settles
    them."""
    gone = [id for id in ids if id not in index.moves]
    opened = tuple([id for id in gone if id in index.open])
    if opened:
        index.apply(Closed(opened))
    if index.aside:
        aside = tuple([id for id in gone if id in index.aside])
        if aside:
            index.apply(NotAside(aside))


def purge(index: GroupIndex, before: MessageId) -> None:
    """Settle all messages below the bound up to which the queue was purged."""
    drop(index, [id for id in (*index.open, *index.aside) if id < before])
    if before > index.reach:
        index.apply(Reached(before))


def lag(index: GroupIndex, now: Ticks, purged: MessageId) -> Lag:
    """Return the position and lag of the group.

    :param purged: the bound up to which the queue was purged; messages below it count as settled.
    """
    busy = waiting = 0
    oldest: MessageId | None = None
    for id, entry in index.open.items():
        if id < purged and id not in index.moves:
            continue
        if entry.kind == MARKED or (entry.kind == LEASED and entry.due > now):
            busy += 1
        else:
            waiting += 1
        if oldest is None or id < oldest:
            oldest = id
    reach = max(index.reach, purged)
    set_aside = index.set_aside - len([id for id in index.aside if id < purged])
    return Lag(reach if oldest is None else oldest, reach, busy, waiting, set_aside, oldest)
