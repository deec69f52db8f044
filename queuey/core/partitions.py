"""How messages spread over the partitions of a queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from queuey.model.message import Draft, NewMessage


def spread(drafts: Sequence[Draft], partitions: int, choose: Callable[[int], int]) -> tuple[NewMessage, ...]:
    """Give every message a partition: its own, or any where it has none.

    :param partitions: how many the queue has.
    :param choose: a random whole number from 0 to one less than its argument.
    """
    any_of_one = 1 if partitions == 1 else None
    return tuple(
        [
            NewMessage(draft.partition or any_of_one or choose(partitions) + 1, draft.content, draft.ttl)
            for draft in drafts
        ]
    )
