"""What is in ``data/schema-N.sqlite``: files as the versions of that time made them, which each later one must read.

A file is made once, by the last program that writes its schema, and never again:
``python -m tests.storage.sqlite.old_files schema-N.sqlite``. Its clock stands at that of the contract suites, and its
messages live as long as any can, but for one that has expired.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from queuey.model.applications.policy import Ack
from queuey.model.groups.commands import Settle, Take
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.rows import encode_group, group_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Action, Settlement, Taken, Terms
from queuey.model.messages.message import MAX_TTL, Address, Content, NewMessage
from queuey.model.messages.once import Appended
from queuey.model.queues.queue import Consistency, Guarantee, QueueSettings, QueueType
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, to_v1_hex
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore
from queuey.storage.sqlite.database import files
from tests.contracts.reading import TERMS, foreign_id, new, once
from tests.contracts.subject import Wall
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, random_bits, versions

DATA = Path(__file__).parent / "data"
SETTINGS = QueueSettings(QueueType.PUBLIC, 3, Consistency.WEAK, ("app:other", "bid:x@example.org"))
TEXTS = ("first", "zweite ✉", "third")
FUTURE = foreign_id(3600)
STATE = ("key", "1", b"\x00value")

# What schema 2 has beside.
CHOSEN = QueueSettings(partitions=2, guarantee=Guarantee.EXACTLY_ONCE, ttl=77)
ONCE = once(b"once", lifetime=MAX_TTL)
DELAY = 60

# What schema 3 has beside.
GROUP = Group(0, "workers", b"g" * 16, b"s" * 32, GroupSettings(), LOWEST, Ticks(0), "first")
LEASE = Ticks(43_200 * SECOND)


def open_store(directory: Path, wall: Wall) -> SQLiteStore:
    """A store that does all its work at once."""
    store = SQLiteStore(
        directory,
        SQLiteSettings(relaxed=True),
        Clock(),
        wall,
        Inline(),
        NODE,
        CLOCK_SEQUENCE,
        versions(),
        random_bits(),
    )
    store.open()
    return store


def result(answer: Deferred[Any]) -> Any:
    """What has fired already."""
    found: list[Any] = []
    answer.addCallback(found.append)
    return found[0]


def fill(store: SQLiteStore) -> tuple[MessageId, ...]:
    """Everything that a store can have in it; the ids of ``TEXTS``, one in each partition of a queue."""
    queue, _ = result(store.create("app", "Queue é", SETTINGS, None))
    gone, _ = result(store.create("app", "gone", QueueSettings(), None))
    result(store.create("other", "empty", QueueSettings(), None))
    messages = [
        NewMessage(number, Content(text.encode(), "text/plain; charset=utf-8" if number > 1 else None), MAX_TTL)
        for number, text in enumerate(TEXTS, 1)
    ]
    ids: tuple[MessageId, ...] = result(store.append(queue, messages, TERMS))
    result(store.append(queue, [NewMessage(1, Content(b"expired"), 1)], TERMS))
    result(store.append(gone, [NewMessage(1, Content(b"not swept yet"), MAX_TTL)], TERMS))
    result(store.replace(queue, [Address(2, FUTURE)], Content(b"future"), MAX_TTL, TERMS))
    result(store.states.replace(STATE[0], None, STATE[2], STATE[1]))
    result(store.forget(gone))
    return ids


def fill_more(store: SQLiteStore) -> Appended:
    """What came with schema 2: settings of a queue, a purge, a key whose messages are one of now and one delayed."""
    queue, _ = result(store.create("second", "chosen", CHOSEN, None))
    result(store.append(queue, [new(b"purged", ttl=MAX_TTL)], TERMS))
    result(store.purge(queue, FUTURE, Ack.ONE))
    pair = [new(b"now", ttl=MAX_TTL), new(b"delayed", 2, MAX_TTL, DELAY)]
    appended: Appended = result(store.append_once(queue, pair, TERMS, ONCE))
    return appended


def fill_groups(store: SQLiteStore) -> tuple[Taken, ...]:
    """What came with schema 3: states of groups. The first message was acked, and the others are leased."""
    queue, _ = result(store.create("third", "grouped", QueueSettings(), None))
    group = attrs.evolve(GROUP, queue=queue.incarnation)
    key = group_key(queue.incarnation, group.name)
    result(store.states.replace(key, None, encode_group(group), "first"))
    result(store.append(queue, [new(b"%d" % number, ttl=MAX_TTL) for number in range(3)], TERMS))
    take = Take((1,), 10, LEASE, 1 << 20)
    (share,) = result(store.groups.run(queue, group, Terms(), (take,))).answers[0].shares
    first = share.taken[0]
    receipt = Receipt(queue.incarnation, share.generation, 1, first.id, first.number)
    result(store.groups.run(queue, group, Terms(), (Settle((Settlement(Action.ACK, receipt),)),)))
    return tuple(share.taken)


def fill_closed(store: SQLiteStore) -> None:
    """What came with schema 4: a queue that is closed."""
    queue, _ = result(store.create("fourth", "closed", QueueSettings(), None))
    result(store.close_queue(queue, (new(b"last", ttl=MAX_TTL),), TERMS, None))


def main(name: str) -> None:
    """Make a file, and print the ids of ``TEXTS`` and of what came with schema 2 for the test."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder), Wall())
        for id in fill(store):
            sys.stdout.write(f"{to_v1_hex(id)}\n")
        for address in fill_more(store).addresses:
            sys.stdout.write(f"{to_v1_hex(address.id)}\n")
        fill_groups(store)
        fill_closed(store)
        result(store.close())
        shutil.copyfile(Path(folder) / files.DATABASE, DATA / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
