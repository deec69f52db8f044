"""What a queue holds: how many messages, how many bytes, and since when."""

from __future__ import annotations

from typing import Final

import attrs

from queuey.model.reading.window import OLDEST, MergeSlice
from queuey.model.timeid import Ticks, ticks_of


@attrs.frozen
class Depth:
    """What a queue holds at a time. Expired messages do not count, whether or not they are removed from the disk yet.

    :ivar messages: number of messages, including delayed ones that are not due yet.
    :ivar bytes: of their bodies, content types and headers.
    :ivar oldest: the time of the oldest message that readers see; ``None`` if they see none.
    :ivar approximate: whether the numbers may differ from what the queue holds, because an exact answer would have to
        look at every message.
    """

    messages: int
    bytes: int
    oldest: Ticks | None
    approximate: bool


EMPTY: Final = Depth(0, 0, None, False)


def oldest_of(slice: MergeSlice) -> tuple[Ticks | None, bool]:
    """Return the time of the oldest message, found by a read of the whole queue, and whether that is exact.

    :param slice: the first slice. If it ended before the first message, because many expired ones stand before it, the
        time is a lower bound.
    """
    if slice.messages:
        return ticks_of(slice.messages[0].id), True
    if slice.over or slice.position <= OLDEST:
        return None, slice.over
    return ticks_of(slice.position.id), False
