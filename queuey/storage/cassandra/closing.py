"""Closing a queue on Cassandra: its last messages are stored first, and no transaction spans the two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from queuey.deferreds import deferred, shield
from queuey.model.applications.policy import WriteTerms
from queuey.model.messages.message import Address, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import CLOSING, Queue
from queuey.model.timeid import SECOND, Ticks, ticks_of
from queuey.storage.cassandra.messages.producers import LIMIT
from queuey.storage.cassandra.messages.store import Messages
from queuey.storage.cassandra.queues.registry import Registry
from queuey.storage.cassandra.times.port import Times

_UNDER_WAY: Final = Ticks(2 * int(LIMIT) * SECOND)
"""How far above the present the ids of writes may be that began while the queue was open; clocks may differ."""


@deferred
async def close_queue(
    messages: Messages,
    registry: Registry,
    times: Times,
    queue: Queue,
    last: Sequence[NewMessage],
    terms: WriteTerms,
    once: Once | None,
) -> Appended:
    """Store the last messages of a queue, and close it; see IMessageStore.

    The mark that closes the queue is stored before the time of its last message is known, so a front end that dies
    between the two leaves a queue that takes no messages; to close it again completes it.
    """
    appended = Appended((), "", False)
    if once is not None:
        appended = await messages.append_once(queue, last, terms, once)
    elif last:
        ids = await messages.append(queue, last, terms)
        appended = Appended(tuple([Address(new.partition, id) for new, id in zip(last, ids, strict=True)]), "", False)
    await shield(_close(messages, registry, times, queue))
    return appended


@deferred
async def _close(messages: Messages, registry: Registry, times: Times, queue: Queue) -> None:
    closed = await registry.close(queue, CLOSING)
    if closed.closed == CLOSING:
        newest = ticks_of(await messages.last(closed))
        await registry.close(closed, max(newest, Ticks(times.now() + _UNDER_WAY)))
