"""Closing a queue in the database: its last messages are stored in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from queuey.model.applications.policy import WriteTerms
from queuey.model.messages.message import Address, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue
from queuey.model.timeid import LOWEST, MessageId, Ticks, ticks_of
from queuey.storage.sqlite.chunks import INT64
from queuey.storage.sqlite.writing.writer import Writer
from queuey.storage.sqlite.writing.writes import append, append_once

_NEXT_PARTITION: Final = "SELECT min(partition) FROM messages WHERE queue = ? AND partition > ?"
_LAST_ID: Final = "SELECT max(id) FROM messages WHERE queue = ? AND partition = ?"
_CLOSE: Final = "UPDATE queues SET closed = ?, version = ? WHERE queue = ?"
_CLOSE_TALLY: Final = "UPDATE tallies SET closed = ? WHERE queue = ?"


def close_queue(
    writer: Writer, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once | None
) -> Appended:
    """Store the last messages of a queue, and close it."""
    writer.queues.require(queue)
    appended = Appended((), "", False)
    if once is not None:
        appended = append_once(writer, queue, once, messages, terms)
    elif messages:
        ids = append(writer, queue, messages, terms)
        appended = Appended(
            tuple([Address(new.partition, id) for new, id in zip(messages, ids, strict=True)]), "", False
        )
    if writer.queues.is_open(queue):
        writer.queues.flush()
        mark(writer, queue.incarnation, _last(writer, queue.incarnation), writer.new_version())
    return appended


def mark(writer: Writer, incarnation: int, closed: Ticks, version: str) -> None:
    """Note that a queue is closed."""
    writer.connection.execute(_CLOSE, (closed, version, incarnation))
    writer.connection.execute(_CLOSE_TALLY, (closed, incarnation))
    writer.queues.forget(incarnation)
    writer.changed[incarnation] = None


def _last(writer: Writer, incarnation: int) -> Ticks:
    """The time of the last message, which may be one that is not due yet."""
    execute, last, partition = writer.connection.execute, LOWEST, INT64.start
    while (partition := execute(_NEXT_PARTITION, (incarnation, partition)).get) is not None:
        last = max(last, MessageId(execute(_LAST_ID, (incarnation, partition)).get))
    return ticks_of(last)
