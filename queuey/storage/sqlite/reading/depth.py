"""What a queue holds, from the totals that each write keeps up to date."""

from __future__ import annotations

from typing import Final

from queuey.model.queues.queue import Queue
from queuey.model.reading.depth import EMPTY, Depth, oldest_of
from queuey.model.reading.window import Merge
from queuey.storage.sqlite.reading.reader import Reader, read_merged

_TALLY: Final = "SELECT messages, bytes FROM tallies WHERE queue = ?"


def measure(reader: Reader, queue: Queue) -> Depth:
    """Return what a queue holds; ``EMPTY`` if it was deleted.

    The totals include expired messages that are not swept yet. An index counts these, but not their bytes:
    they are taken to be as long as the others on average.
    """
    found = reader.connection.execute(_TALLY, (queue.incarnation,)).fetchone()
    if found is None or not found[0]:
        return EMPTY
    held, size = found
    expired = reader.expired(queue)
    messages = held - expired
    if messages <= 0:
        return EMPTY
    oldest, known = oldest_of(
        read_merged(reader, queue, Merge(tuple(range(1, queue.settings.partitions + 1)), limit=1))
    )
    return Depth(messages, size * messages // held, oldest, approximate=bool(expired) or not known)
