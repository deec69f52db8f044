"""``restore`` for stores that have no transaction for it: what is missing is stored, message by message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import DeferredList
from twisted.python.failure import Failure

from queuey.deferreds import deferred
from queuey.errors import StorageFull, Unavailable
from queuey.interfaces import IMessageStore
from queuey.model.applications.policy import WriteTerms
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import SECOND, Ticks

AT_ONCE: Final = 32
"""Messages that are stored at the same time."""


@deferred
async def restore(
    store: IMessageStore, queue: Queue, messages: Sequence[Message], terms: WriteTerms, now: Callable[[], Ticks]
) -> int:
    """See IMessageStore.

    :param now: the wall clock.
    """
    wanted: dict[Address, Message] = {}
    for message in messages:
        wanted.setdefault(Address(message.partition, message.id), message)
    rest: Sequence[Address] | None = tuple(wanted)
    while rest:
        slice = await store.lookup(queue, rest, terms.ack)
        for found in slice.messages:
            del wanted[Address(found.partition, found.id)]
        rest = slice.rest
    time = now()
    missing = [(address, message) for address, message in wanted.items() if message.expires > time]
    for start in range(0, len(missing), AT_ONCE):
        some = missing[start : start + AT_ONCE]
        results: list[tuple[bool, Any]] = await DeferredList(
            [
                store.replace(queue, (address,), message.content, -(-(message.expires - time) // SECOND), terms)
                for address, message in some
            ],
            consumeErrors=True,
        )
        failures = [result for _, result in results if isinstance(result, Failure)]
        if failures:
            error = failures[0].value
            if (start or len(failures) < len(some)) and isinstance(error, Unavailable | StorageFull):
                error.applied = "unknown"
            failures[0].raiseException()
    return len(missing)
