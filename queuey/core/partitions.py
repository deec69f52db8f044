"""Distribution of messages over the partitions of a queue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from queuey.model.messages.batch import Drafts, NewMessages
from queuey.model.messages.dead_letter_headers import with_key
from queuey.model.messages.message import Draft, NewMessage


def spread(drafts: Sequence[Draft], partitions: int, choose: Callable[[int], int]) -> Sequence[NewMessage]:
    """Give every message a partition: its own, or that of its key, or a random one.

    :param partitions: how many the queue has.
    :param choose: a random whole number from 0 to one less than its argument.
    """
    if type(drafts) is Drafts:
        return NewMessages(drafts, [1 if partitions == 1 else choose(partitions) + 1 for _ in drafts.bodies])
    any_of_one = 1 if partitions == 1 else None
    if len(drafts) == 1:  # as most writes are
        draft = drafts[0]
        partition = draft.partition or any_of_one or _partition(draft.key, partitions, choose)
        content = draft.content if draft.key is None else with_key(draft.content, draft.key)
        return (NewMessage(partition, content, draft.ttl, draft.delay),)
    return tuple(
        [
            NewMessage(
                draft.partition or any_of_one or _partition(draft.key, partitions, choose),
                with_key(draft.content, draft.key),
                draft.ttl,
                draft.delay,
            )
            for draft in drafts
        ]
    )


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a message key: the same in every process, until the number of partitions changes."""
    digest = hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % partitions + 1


def _partition(key: str | None, partitions: int, choose: Callable[[int], int]) -> int:
    return choose(partitions) + 1 if key is None else partition_of(key, partitions)
