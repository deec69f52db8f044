"""What can be done to messages, each as a function of the writer; each checks everything before it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from queuey.model.message import Address, Content, NewMessage
from queuey.model.queue import Queue
from queuey.model.timeid import SECOND, MessageId, Ticks, ticks_of
from queuey.storage.sqlite.piles import AGAIN, Again
from queuey.storage.sqlite.writer import Writer

STEP: Final = 500
"""Rows that are deleted in one transaction, so that others need not wait long."""

INT64: Final = range(-(1 << 63), 1 << 63)
"""What the database takes as an integer."""

_EXISTS = "SELECT 1 FROM messages WHERE queue = ? AND partition = ? AND id = ?"
_SIZE = "SELECT size FROM messages WHERE queue = ? AND partition = ? AND id = ?"
_REPLACE = """
    INSERT INTO messages (queue, partition, id, expires, size, content_type, headers, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (queue, partition, id) DO UPDATE SET expires = excluded.expires, size = excluded.size,
        content_type = excluded.content_type, headers = excluded.headers, body = excluded.body
"""
_REMOVE = "DELETE FROM messages WHERE queue = ? AND partition = ? AND id = ? RETURNING size, expires"
_AWAIT = "INSERT OR IGNORE INTO future (id, queue, partition) VALUES (?, ?, ?)"
_UNAWAIT = "DELETE FROM future WHERE id = ? AND queue = ? AND partition = ?"
_NEXT_PARTITION = "SELECT min(partition) FROM messages WHERE queue = ? AND partition > ?"
_FIRST_IDS = """
    SELECT count(*), sum(size), max(id) FROM (
        SELECT id, size FROM messages WHERE queue = ? AND partition = ? AND id < ? ORDER BY id LIMIT ?)
"""
_REMOVE_UP_TO = "DELETE FROM messages WHERE queue = ? AND partition = ? AND id <= ?"
_UNAWAIT_UP_TO = "DELETE FROM future WHERE id <= ? AND queue = ? AND partition = ?"


def append(
    writer: Writer, queue: Queue, messages: Sequence[NewMessage], max_bytes: int | None
) -> tuple[MessageId, ...]:
    """Store messages under new ids."""
    writer.require(queue)
    sizes = [new.content.size for new in messages]
    total = sum(sizes)
    writer.check_bytes(queue.application, total, max_bytes)
    incarnation, now = queue.incarnation, writer.clock
    if writer.alone:
        ids = [_free_id(writer, incarnation, new.partition) for new in messages]
    else:
        ids = writer.new_ids(len(messages))
    insert = writer.insert
    for new, id, size in zip(messages, ids, sizes, strict=True):
        content, expires = new.content, now + new.ttl * SECOND
        insert((incarnation, new.partition, id, expires, size, content.content_type, content.headers, content.body))
    writer.tally(queue.application, incarnation, len(ids), total)
    return tuple(ids)


def _free_id(writer: Writer, incarnation: int, partition: int) -> MessageId:
    """A new id that is certainly free: a client may have put a message of the future under one that it foresaw.

    In a pile that is found out when all are inserted, and each operation then comes here alone.
    """
    while True:
        id = writer.new_id()
        if writer.connection.execute(_EXISTS, (incarnation, partition, id)).get is None:
            return id


def replace(
    writer: Writer, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, max_bytes: int | None
) -> Ticks | None:
    """Store one content under given ids.

    :return: the earliest time at which one of them falls due, if any is of the future.
    """
    writer.require(queue)
    writer.settle()
    places = [(queue.incarnation, address.partition, address.id) for address in dict.fromkeys(addresses)]
    execute = writer.connection.execute
    old = [size for place in places if (size := execute(_SIZE, place).get) is not None]
    more = content.size * len(places) - sum(old)
    writer.check_bytes(queue.application, more, max_bytes)
    rest = (writer.clock + ttl * SECOND, content.size, content.content_type, content.headers, content.body)
    due: Ticks | None = None
    for incarnation, partition, id in places:
        execute(_REPLACE, (incarnation, partition, id, *rest))
        ticks = ticks_of(id)
        if not writer.raise_to(ticks):
            execute(_AWAIT, (id, incarnation, partition))
            due = ticks if due is None else min(due, ticks)
    writer.tally(queue.application, queue.incarnation, len(places) - len(old), more)
    return due


def remove(writer: Writer, queue: Queue, addresses: Sequence[Address]) -> int:
    """Delete messages; how many there were that had not expired."""
    writer.require(queue)
    writer.settle()
    sizes: list[int] = []
    living = 0
    for address in dict.fromkeys(addresses):
        if address.partition not in INT64:
            continue
        row = writer.connection.execute(_REMOVE, (queue.incarnation, address.partition, address.id)).get
        if row is not None:
            size, expires = row
            sizes.append(size)
            living += expires > writer.clock
            if writer.is_future(address.id):
                writer.connection.execute(_UNAWAIT, (address.id, queue.incarnation, address.partition))
    writer.tally(queue.application, queue.incarnation, -len(sizes), -sum(sizes))
    return living


def purge(writer: Writer, queue: Queue, before: MessageId) -> Again | None:
    """Delete what is below a bound, ``STEP`` messages at a turn."""
    writer.require(queue)
    writer.settle()
    execute, incarnation = writer.connection.execute, queue.incarnation
    left, partition = STEP, INT64.start
    while left and (partition := execute(_NEXT_PARTITION, (incarnation, partition)).get) is not None:
        found, size, last = execute(_FIRST_IDS, (incarnation, partition, before, left)).get
        if found:
            execute(_REMOVE_UP_TO, (incarnation, partition, last))
            if writer.is_future(last):
                execute(_UNAWAIT_UP_TO, (last, incarnation, partition))
            writer.tally(queue.application, incarnation, -found, -size)
            left -= found
    return None if left else AGAIN
