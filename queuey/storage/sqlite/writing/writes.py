"""Write operations on messages, each as a function of the writer; each makes all checks before it writes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any, Final

import attrs

from queuey.model.applications.policy import WriteTerms
from queuey.model.exports import KeptAnswer
from queuey.model.messages.batch import NewMessages
from queuey.model.messages.message import Address, Condition, Content, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, ticks_of
from queuey.storage.refusals import check_condition, check_new_id, key_reused
from queuey.storage.sqlite.chunks import INT64, SIZES, parts
from queuey.storage.sqlite.group_commit import AGAIN, Again
from queuey.storage.sqlite.single_statement import Value
from queuey.storage.sqlite.writing.kept_answers import KEYS, Kept
from queuey.storage.sqlite.writing.writer import Writer

STEP: Final = 500
"""Rows that are deleted in one transaction, so that others need not wait long."""

_EXISTS = "SELECT 1 FROM messages WHERE queue = ? AND partition = ? AND id = ?"
_SIZE = "SELECT size FROM messages WHERE queue = ? AND partition = ? AND id = ?"
_MESSAGE = """
    SELECT size, expires, content_type, headers, body FROM messages WHERE queue = ? AND partition = ? AND id = ?
"""
_REPLACE = """
    INSERT INTO messages (queue, partition, id, expires, size, content_type, headers, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (queue, partition, id) DO UPDATE SET expires = excluded.expires, size = excluded.size,
        content_type = excluded.content_type, headers = excluded.headers, body = excluded.body
"""
_REMOVE = "DELETE FROM messages WHERE queue = ? AND partition = ? AND id = ? RETURNING size, expires"
_UNAWAIT = "DELETE FROM future WHERE id = ? AND queue = ? AND partition = ?"
_NEXT_PARTITION = "SELECT min(partition) FROM messages WHERE queue = ? AND partition > ?"
_FIRST_IDS = """
    SELECT count(*), sum(size), max(id) FROM (
        SELECT id, size FROM messages WHERE queue = ? AND partition = ? AND id < ? ORDER BY id LIMIT ?)
"""
_REMOVE_UP_TO = "DELETE FROM messages WHERE queue = ? AND partition = ? AND id <= ?"
_UNAWAIT_UP_TO = "DELETE FROM future WHERE id <= ? AND queue = ? AND partition = ?"
_PURGED = "SELECT purged FROM queues WHERE queue = ?"
_PURGE = "UPDATE queues SET purged = ? WHERE queue = ?"

_THERE: Final = {
    size: "SELECT partition, id, expires, size FROM messages "
    f"WHERE (queue, partition, id) IN (VALUES {', '.join(['(?, ?, ?)'] * size)})"
    for size in SIZES
}

_ADDRESS: Final = struct.Struct(">H16s")
"""A message in a remembered answer: its partition and its id."""


def append(writer: Writer, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms) -> tuple[MessageId, ...]:
    """Store messages under new ids."""
    writer.queues.require_open(queue)
    if len(messages) == 1 and not (terms.limited or writer.alone or messages[0].delay):
        return (_append_one(writer, queue, messages[0]),)  # as most writes are
    if type(messages) is NewMessages and not writer.alone:
        return _append_alike(writer, queue, messages, terms)
    sizes = [new.content.size for new in messages]
    total = sum(sizes)
    writer.queues.check_room(queue, len(messages), total, terms)
    incarnation, now = queue.incarnation, writer.clock
    ids = _ids(writer, incarnation, messages)
    rows: list[Value] = []
    for new, id, size in zip(messages, ids, sizes, strict=True):
        content, born = new.content, now
        if new.delay:
            born = ticks_of(id)
            writer.pending.expect(id, incarnation, new.partition)
        expires = born + new.ttl * SECOND
        rows += (incarnation, new.partition, id, expires, size, content.content_type, content.headers, content.body)
    writer.pending.insert(rows)
    writer.tally(queue.application, incarnation, len(ids), total)
    return tuple(ids)


def _append_alike(writer: Writer, queue: Queue, messages: NewMessages, terms: WriteTerms) -> tuple[MessageId, ...]:
    """Do the same as ``append`` for messages that differ only in their bodies, column by column."""
    drafts, incarnation = messages.drafts, queue.incarnation
    sizes = drafts.sizes()
    total = sum(sizes)
    writer.queues.check_room(queue, len(sizes), total, terms)
    ids = writer.new_ids(len(sizes))
    expires = repeat(writer.clock + drafts.ttl * SECOND)
    content_type, headers = repeat(drafts.content_type), repeat(drafts.headers)
    rows = zip(
        repeat(incarnation),
        messages.partitions,
        ids,
        expires,
        sizes,
        content_type,
        headers,
        drafts.bodies,
        strict=False,
    )
    writer.pending.insert(chain.from_iterable(rows))
    writer.tally(queue.application, incarnation, len(sizes), total)
    return tuple(ids)


def _append_one(writer: Writer, queue: Queue, new: NewMessage) -> MessageId:
    """Append one message without a delay and without lookups; see ``append``."""
    content, incarnation, id = new.content, queue.incarnation, writer.new_id()
    size = content.size
    values = (content.content_type, content.headers, content.body)
    writer.pending.insert((incarnation, new.partition, id, writer.clock + new.ttl * SECOND, size, *values))
    writer.tally(queue.application, incarnation, 1, size)
    return id


def _ids(writer: Writer, incarnation: int, messages: Sequence[NewMessage]) -> list[MessageId]:
    """New ids, each of the time at which its message is due; those that are delayed keep their order too."""
    delayed = [new for new in messages if new.delay]
    if not (delayed or writer.alone):
        return writer.new_ids(len(messages))
    fresh = writer.fresh()
    return [_free_id(writer, incarnation, new, Ticks(fresh + place)) for place, new in enumerate(messages)]


def _free_id(writer: Writer, incarnation: int, new: NewMessage, fresh: Ticks) -> MessageId:
    """A new id that is certainly free: a client may have put a message of the future under one that it foresaw.

    In a write batch that is found out when all are inserted, and each operation then comes here alone.
    """
    due = Ticks(max(fresh, writer.fresh()) + new.delay)
    while True:
        id = writer.late_id(due) if new.delay else writer.new_id()
        taken = writer.alone and writer.connection.execute(_EXISTS, (incarnation, new.partition, id)).get is not None
        if not taken:
            return id


def append_once(
    writer: Writer, queue: Queue, once: Once, messages: Sequence[NewMessage], terms: WriteTerms
) -> Appended:
    """Store messages under new ids, unless that was done before under the same key."""
    writer.queues.require(queue)
    kept = writer.answers.find(queue.incarnation, once, writer.clock)
    if kept is not None:
        if kept.digest != once.digest:
            raise key_reused()
        return Appended(_decoded(kept.answer), kept.note, True)
    ids = append(writer, queue, messages, terms)
    addresses: tuple[Address, ...]
    if len(ids) == 1:  # as most writes are
        addresses = (Address(messages[0].partition, ids[0]),)
    else:
        addresses = tuple([Address(new.partition, id) for new, id in zip(messages, ids, strict=True)])
    expires = Ticks(writer.clock + once.lifetime * SECOND)
    writer.answers.keep(queue.incarnation, once.key, Kept(once.digest, _encoded(addresses), once.note, expires))
    return Appended(addresses, once.note, False)


def _encoded(addresses: Sequence[Address]) -> bytes:
    return b"".join([_ADDRESS.pack(address.partition, address.id) for address in addresses])


def _decoded(answer: bytes) -> tuple[Address, ...]:
    return tuple(Address(partition, MessageId(id)) for partition, id in _ADDRESS.iter_unpack(answer))


def replace(
    writer: Writer, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
) -> Ticks | None:
    """Store one content under given ids.

    :return: the earliest time at which one of them falls due, if any is of the future.
    """
    writer.queues.require(queue)
    writer.groups.touched(queue.incarnation)
    writer.queues.flush()
    places = [(queue.incarnation, address.partition, address.id) for address in dict.fromkeys(addresses)]
    execute = writer.connection.execute
    old = [size for place in places if (size := execute(_SIZE, place).get) is not None]
    new, more = len(places) - len(old), content.size * len(places) - sum(old)
    if new:
        writer.queues.require_open(queue)
    writer.queues.check_room(queue, new, more, terms)
    expires = Ticks(writer.clock + ttl * SECOND)
    dues = [_set(writer, queue, address, content, expires) for address in dict.fromkeys(addresses)]
    writer.tally(queue.application, queue.incarnation, new, more)
    return min((due for due in dues if due is not None), default=None)


def _set(writer: Writer, queue: Queue, address: Address, content: Content, expires: Ticks) -> Ticks | None:
    """Store a message under a given id; when it falls due, if that is of the future."""
    place = queue.incarnation, address.partition, address.id
    writer.connection.execute(
        _REPLACE, (*place, expires, content.size, content.content_type, content.headers, content.body)
    )
    ticks = ticks_of(address.id)
    if writer.raise_to(ticks):
        return None
    writer.pending.expect(address.id, queue.incarnation, address.partition)
    return ticks


def keep(writer: Writer, queue: Queue, messages: Sequence[Message]) -> Ticks | None:
    """Store messages as they are, without limits; the earliest time at which one falls due, if any is of the future."""
    writer.queues.require(queue)
    writer.groups.touched(queue.incarnation)
    writer.queues.flush()
    dues = []
    for message in messages:
        if message.expires > writer.clock:
            address, content = Address(message.partition, message.id), message.content
            old = writer.connection.execute(_SIZE, (queue.incarnation, address.partition, address.id)).get
            dues.append(_set(writer, queue, address, content, message.expires))
            writer.tally(queue.application, queue.incarnation, int(old is None), content.size - (old or 0))
    return min((due for due in dues if due is not None), default=None)


@attrs.frozen
class Restored:
    """Result of restoring messages.

    :ivar stored: how many there are now that were not there.
    :ivar due: when the first of them falls due, if one is of the future.
    """

    stored: int
    due: Ticks | None


def restore(writer: Writer, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Restored:
    """Store those messages whose ids the queue does not have, by a statement for many."""
    writer.queues.require_open(queue)
    writer.queues.flush()
    wanted: dict[tuple[int, MessageId], Message] = {}
    for message in messages:
        if message.expires > writer.clock:
            wanted.setdefault((message.partition, message.id), message)
    places: list[Value] = list(chain.from_iterable((queue.incarnation, *place) for place in wanted))
    old, expired = 0, 0
    for size, start in parts(len(places) // 3):
        asked = places[3 * start : 3 * (start + size)]
        found: list[Any] = writer.connection.execute(_THERE[size], asked).fetchall()
        for partition, id, expires, bytes in found:
            if expires > writer.clock:
                del wanted[partition, id]
            else:
                old, expired = old + bytes, expired + 1
    total = sum(message.content.size for message in wanted.values())
    writer.queues.check_room(queue, len(wanted) - expired, total - old, terms)
    if expired:
        # What has expired and is not swept yet gives way.
        remove(writer, queue, [Address(*place) for place in wanted])
    dues: list[Ticks] = []
    rows: list[Value] = []
    for (partition, id), message in wanted.items():
        content, ticks = message.content, ticks_of(id)
        if not writer.raise_to(ticks):
            writer.pending.expect(id, queue.incarnation, partition)
            dues.append(ticks)
        values = (content.content_type, content.headers, content.body)
        rows += (queue.incarnation, partition, id, message.expires, content.size, *values)
    writer.pending.insert(rows)
    writer.tally(queue.application, queue.incarnation, len(wanted), total)
    return Restored(len(wanted), min(dues, default=None))


def keep_answers(writer: Writer, answers: Sequence[KeptAnswer]) -> int:
    """Remember answers that are not remembered; how many those were."""
    writer.queues.flush()
    added = 0
    for answer in answers:
        place = answer.incarnation, answer.key
        kept = Kept(answer.digest, _encoded(answer.addresses), answer.note, answer.expires)
        row = (*place, kept.digest, kept.answer, kept.note, kept.expires)
        # An expired answer is passed over: its key may have been used again, and that answer must stay.
        known = kept.expires <= writer.clock or writer.connection.execute(KEYS[1], place).get == row
        if not known and writer.queues.application_of(answer.incarnation) is not None:
            writer.answers.keep(*place, kept)
            added += 1
    return added


def answered(row: tuple[int, bytes, bytes, bytes, str, int]) -> KeptAnswer:
    """The answer that a row of the table ``keys`` has, from its queue on."""
    queue, key, digest, answer, note, expires = row
    return KeptAnswer(queue, key, digest, _decoded(answer), note, Ticks(expires))


@attrs.frozen
class Put:
    """Result of putting a message.

    :ivar created: whether there was none before.
    :ivar due: when it falls due, if it is of the future.
    """

    created: bool
    due: Ticks | None


def put(
    writer: Writer,
    queue: Queue,
    address: Address,
    content: Content,
    ttl: int,
    condition: Condition,
    terms: WriteTerms,
) -> Put:
    """Store a message under a given id if a condition holds."""
    writer.queues.require(queue)
    writer.groups.touched(queue.incarnation)
    writer.queues.flush()
    place = (queue.incarnation, address.partition, address.id)
    row = writer.connection.execute(_MESSAGE, place).get
    old = None if row is None or row[1] <= writer.clock else _message(address, *row[1:])
    check_condition(condition, old)
    if old is None:
        writer.queues.require_open(queue)
        check_new_id(address.id, Ticks(writer.fresh() - 1))
    more = content.size - (0 if row is None else row[0])
    writer.queues.check_room(queue, int(row is None), more, terms)
    due = _set(writer, queue, address, content, Ticks(writer.clock + ttl * SECOND))
    writer.tally(queue.application, queue.incarnation, int(row is None), more)
    return Put(old is None, due)


def _message(address: Address, expires: Ticks, content_type: str | None, headers: bytes | None, body: bytes) -> Message:
    return Message(address.partition, address.id, Content(body, content_type, headers), expires)


def remove(writer: Writer, queue: Queue, addresses: Sequence[Address]) -> int:
    """Delete messages; how many there were that had not expired."""
    writer.queues.require(queue)
    writer.groups.touched(queue.incarnation)
    writer.queues.flush()
    sizes: list[int] = []
    living, awaited = 0, writer.first_awaited()
    for address in dict.fromkeys(addresses):
        if address.partition not in INT64:
            continue
        row = writer.connection.execute(_REMOVE, (queue.incarnation, address.partition, address.id)).get
        if row is not None:
            size, expires = row
            sizes.append(size)
            living += expires > writer.clock
            if awaited is not None and address.id >= awaited:
                writer.connection.execute(_UNAWAIT, (address.id, queue.incarnation, address.partition))
    writer.tally(queue.application, queue.incarnation, -len(sizes), -sum(sizes))
    return living


class Purge:
    """One purge, in several transactions. The first one fixes the bound, so later messages are not deleted."""

    def __init__(self) -> None:
        self._bound: MessageId | None = None

    def turn(self, writer: Writer, queue: Queue, before: MessageId) -> Again | None:
        """Delete what is below a bound and below the stable time, ``STEP`` messages at a turn."""
        writer.queues.require(queue)
        writer.groups.touched(queue.incarnation)
        writer.queues.flush()
        # If the first transaction was rolled back with its batch, the stable time has fallen, and so does the bound.
        self._bound = min(before if self._bound is None else self._bound, writer.stable())
        _note_purge(writer, queue, self._bound)
        return None if _delete_below(writer, queue, self._bound) else AGAIN


def _note_purge(writer: Writer, queue: Queue, bound: MessageId) -> None:
    """Store up to which bound a queue was purged; it never falls."""
    execute, key = writer.connection.execute, (queue.incarnation,)
    if bound > (execute(_PURGED, key).get or LOWEST):
        execute(_PURGE, (bound, queue.incarnation))


def _delete_below(writer: Writer, queue: Queue, bound: MessageId) -> bool:
    """Delete some of the messages below a bound; whether that were all."""
    execute, incarnation = writer.connection.execute, queue.incarnation
    awaited = writer.first_awaited()
    left, partition = STEP, INT64.start
    while left and (partition := execute(_NEXT_PARTITION, (incarnation, partition)).get) is not None:
        found, size, last = execute(_FIRST_IDS, (incarnation, partition, bound, left)).get
        if found:
            execute(_REMOVE_UP_TO, (incarnation, partition, last))
            if awaited is not None and last >= awaited:
                execute(_UNAWAIT_UP_TO, (last, incarnation, partition))
            writer.tally(queue.application, incarnation, -found, -size)
            left -= found
    return left > 0
