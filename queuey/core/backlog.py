"""Whether the backlog of a queue grows: a consumer that is a little too slow shows long before messages are late."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

PARTS: Final = 6
"""Parts of the history; the mean backlog of each must be above that of the part before it."""

LEAST: Final = 10.0
"""Messages by which the backlog must have grown. Below that it may be the messages in work."""

_COUNTED: Final = 0.9
"""The part of the growth that must be there as backlog: messages can also expire, be rejected, or be purged."""


def grows(stored: Sequence[int], acked: Sequence[int], groups: int, behind: int) -> bool:
    """Return whether consumers have acknowledged less than was stored, for all of a history.

    :param stored: messages that were stored in each entry of the history, the oldest first.
    :param acked: messages that were acknowledged in each entry, by all groups together.
    :param groups: number of groups that acknowledge what they are given.
    :param behind: number of unsettled messages of all these groups now, or a lower bound.
    """
    changes = [groups * one - other for one, other in zip(stored, acked, strict=True)]
    length = len(changes) // PARTS
    if not groups or not length:
        return False
    backlog = list(accumulate(changes))
    means = [sum(backlog[first : first + length]) / length for first in range(0, length * PARTS, length)]
    growth = means[-1] - means[0]
    rises = all(before < after for before, after in pairwise(means))
    return rises and growth >= LEAST and behind >= _COUNTED * growth
