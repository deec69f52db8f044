"""A store is copied in passes while it is in use, until the copy is complete."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from typing import Any, cast

from attrs import astuple, evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.config import CassandraStorage, MemoryStorage, defaults
from queuey.core.copying import BATCH, HEADS, Copying
from queuey.errors import ConfigurationError, InvalidUpdate, Unavailable
from queuey.interfaces import IExportSource, IImportTarget
from queuey.model.applications.policy import Ack
from queuey.model.exports import MARK_KEY, ExportPage, GroupPlace, Mark
from queuey.model.groups.commands import Take
from queuey.model.groups.rows import encode_group, group_key, state_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Terms
from queuey.model.messages.message import Address, Content
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Merge
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, from_seconds, lower_bound
from queuey.storage import make_export_source, make_import_target
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore
from queuey.storage.sqlite.database import files
from queuey.storage.sqlite.upkeep.export_source import SQLiteHoldings
from tests.contracts.reading import TERMS, bodies, foreign_id, new, once
from tests.contracts.subject import START, Wall
from tests.storage.quick import quick_directory
from tests.storage.sqlite.old_files import DATA
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import random_bits, versions

SETTINGS = QueueSettings(partitions=2)
NAME = "the store in a test"


def open_store(directory: Path, wall: Wall, filling: bool, node: int) -> SQLiteStore:
    """A store that does all its work at once."""
    settings = SQLiteSettings(relaxed=True, filling=filling)
    made = versions()
    store = SQLiteStore(
        directory, settings, Clock(), wall, Inline(), node, node, lambda: f"{node} {made()}", random_bits()
    )
    store.open()
    return store


class CopyCase(SynchronousTestCase):
    """A store that is in use, and an empty one beside it."""

    def setUp(self) -> None:
        self.directory, self.wall = quick_directory(self), Wall()
        self.slept: list[float] = []
        self.store = self.open("source", False, 1)
        self.source = SQLiteHoldings(self.directory / "source", self.wall, Inline())
        self.addCleanup(lambda: self.result(self.source.close()))
        self.filled = self.open("target", True, 2)
        self.target: IImportTarget = self.filled.import_target()
        self.queue = self.make("queue")

    def open(self, name: str, filling: bool, node: int) -> SQLiteStore:
        store = open_store(self.directory / name, self.wall, filling, node)
        self.addCleanup(lambda: self.result(store.close()))
        return store

    def result(self, answer: Deferred[Any]) -> Any:
        return self.successResultOf(answer)

    def make(self, name: str) -> Queue:
        return cast(Queue, self.result(self.store.create("app", name, SETTINGS, None))[0])

    def append(self, *texts: bytes, delay: float = 0, partition: int = 1) -> tuple[MessageId, ...]:
        messages = [new(text, partition, delay=delay) for text in texts]
        return cast(tuple[MessageId, ...], self.result(self.store.append(self.queue, messages, TERMS)))

    def copying(self, source: IExportSource | None = None, target: IImportTarget | None = None) -> Copying:
        def sleep(seconds: float) -> Deferred[None]:
            self.slept.append(seconds)
            return succeed(None)

        self.pass_on()
        copying = Copying(source or self.source, target or self.target, sleep, versions())
        self.result(copying.begin(NAME))
        return copying

    def run_pass(self, copying: Copying | None = None) -> Copying:
        copying = copying or self.copying()
        self.result(copying.run_pass())
        return copying

    def pass_on(self) -> None:
        """Ids that were made at one moment are of the moments after it: let these be past."""
        self.wall.seconds += 1

    def seal(self) -> None:
        """No daemon serves from the source any more."""
        self.pass_on()
        self.assertFalse(self.result(self.source.seal()))
        self.result(self.store.close())
        self.assertTrue(self.result(self.source.seal()))

    def finish(self, copying: Copying | None = None) -> int:
        self.seal()
        return cast(int, self.result((copying or self.copying()).complete(NAME)))

    def rows(self, store: str) -> dict[str, list[Any]]:
        """Everything that a store holds, in no order, without the mark of the copy."""
        path = self.directory / store
        found = SQLiteHoldings(path, self.wall, Inline())
        try:
            execute = found._reader.connection.execute
            messages = "queue, partition, id, expires, size, content_type, headers, body"
            return {
                "queues": execute("SELECT * FROM queues ORDER BY queue").fetchall(),
                "messages": execute(f"SELECT {messages} FROM messages ORDER BY 1, 2, 3").fetchall(),
                "future": execute("SELECT * FROM future ORDER BY id").fetchall(),
                "tallies": execute("SELECT * FROM tallies ORDER BY queue").fetchall(),
                "usage": execute("SELECT * FROM usage WHERE queues > 0 ORDER BY application").fetchall(),
                "keys": execute("SELECT queue, key, digest, answer, note, expires FROM keys ORDER BY 1, 2").fetchall(),
                "states": execute("SELECT * FROM states WHERE key != ? ORDER BY key", (MARK_KEY,)).fetchall(),
                "groups": [(one, self.result(found.group_state(one))) for one in self.places(found)],
            }
        finally:
            self.result(found.close())

    def places(self, holdings: SQLiteHoldings) -> tuple[GroupPlace, ...]:
        """Where a store has states of groups."""
        page: ExportPage[GroupPlace] = self.result(holdings.group_states(None, 100))
        return tuple(sorted(page.items, key=astuple))

    def claim(self, name: str, limit: int) -> None:
        """Have messages leased by a group."""
        gid = name.encode() * 16
        group = Group(self.queue.incarnation, name, gid, b"s" * 32, GroupSettings(), LOWEST, Ticks(0), "")
        key = group_key(self.queue.incarnation, name)
        self.result(self.store.states.replace(key, None, encode_group(group), "1"))
        take = Take((1, 2), limit, Ticks(SECOND), 1 << 20)
        self.result(self.store.groups.run(self.queue, group, Terms(), (take,)))

    def check_alike(self) -> None:
        source, target = self.rows("source"), self.rows("target")
        for table, rows in source.items():
            self.assertEqual(target[table], rows, table)

    def fill(self) -> None:
        """Something of everything."""
        self.append(*(b"%d" % number for number in range(2 * BATCH + 3)))
        self.append(b"delayed", delay=600, partition=2)
        self.result(self.store.append_once(self.queue, [new(b"once")], TERMS, once()))
        content = Content(b"\0\xff", "text/plain", b"\0head")
        self.result(self.store.replace(self.queue, [Address(2, foreign_id(-9000))], content, 500, TERMS))
        for key in ("applications/3", state_key(self.queue.incarnation, b"g" * 16, 1)):
            self.result(self.store.states.replace(key, None, b"value of " + key.encode(), f"version of {key}"))
        self.claim("a", 30)
        self.claim("b", 1)
        self.result(self.store.forget(self.make("ended")))


class CopyTests(CopyCase):
    """What a copy is."""

    def test_a_pass_copies_everything_and_the_next_finds_nothing(self) -> None:
        self.fill()
        copying = self.run_pass()
        self.assertEqual((copying.tally.queues, copying.tally.messages, copying.tally.removed), (1, 206, 0))
        self.assertEqual((copying.size.queues, copying.size.messages), (1, 206))
        self.run_pass(copying)
        self.assertEqual((copying.tally.looked, copying.tally.changes), (206, 0))
        self.assertEqual(self.finish(), 1)
        self.check_alike()

    def test_what_has_changed_since_is_seen_to(self) -> None:
        """Writes, overwriting, deletes, purges, settings, states that change and go, queues that end and are made
        again."""
        self.fill()
        ids = self.append(b"goes", b"changes", b"stays")
        gone, anew = self.make("gone"), self.make("anew")
        self.result(self.store.append(anew, [new(b"old life")], TERMS))
        copying = self.run_pass()
        self.result(self.store.remove(self.queue, [Address(1, ids[0])], Ack.MAJORITY))
        self.result(self.store.replace(self.queue, [Address(1, ids[1])], Content(b"changed"), 50, TERMS))
        self.append(b"more", partition=2)
        self.result(self.store.purge(self.queue, MessageId(lower_bound(from_seconds(START - 10))), Ack.MAJORITY))
        self.result(self.store.forget(gone))
        self.result(self.store.forget(anew))
        anew = self.make("anew")
        self.queue = self.result(self.store.update(self.queue, QueueSettings(partitions=5)))
        states = self.store.states
        self.result(states.replace("applications/3", "version of applications/3", None, "x"))
        self.claim("c", 5)
        self.result(self.store.groups.end(self.queue.incarnation, b"a" * 16, 3))
        key = state_key(self.queue.incarnation, b"g" * 16, 1)
        self.result(states.replace(key, f"version of {key}", b"acked", "next"))
        self.result(self.store.append_once(self.queue, [new(b"twice")], TERMS, once(b"another")))
        self.assertEqual(self.finish(copying), 2)
        self.check_alike()
        self.assertIn((key, "next", b"acked"), self.rows("target")["states"])
        self.assertEqual(len(self.rows("target")["states"]), 4)

    def test_ids_cursors_and_repeats_go_on(self) -> None:
        """Who reads on from a position misses nothing and sees nothing twice; a repeat is one; no id comes again."""
        self.fill()
        appended = self.result(self.store.append_once(self.queue, [new(b"first")], TERMS, once(b"repeated")))
        whole = self.result(self.store.read_merged(self.queue, Merge((1, 2), limit=1000), Ack.MAJORITY))
        half = self.result(self.store.read_merged(self.queue, Merge((1, 2), limit=100), Ack.MAJORITY))
        ended = self.make("number")
        self.result(self.store.forget(ended))
        self.finish()
        self.result(self.filled.close())
        served = self.open("target", False, 3)
        rest = self.result(served.read_merged(self.queue, Merge((1, 2), half.position, limit=1000), Ack.MAJORITY))
        self.assertEqual(half.messages + rest.messages, whole.messages)
        again = self.result(served.append_once(self.queue, [new(b"first")], TERMS, once(b"repeated")))
        self.assertEqual((again.addresses, again.duplicate), (appended.addresses, True))
        self.wall.seconds -= 3600
        (id,) = self.result(served.append(self.queue, [new(b"after")], TERMS))
        self.assertGreater(id, whole.messages[-1].id)
        after = self.result(served.read_merged(self.queue, Merge((1, 2), whole.position, limit=1000), Ack.MAJORITY))
        self.assertEqual(bodies(after.messages), [b"after"])
        made, _ = self.result(served.create("app", "later", SETTINGS, None))
        self.assertGreater(made.incarnation, ended.incarnation)

    def test_what_is_delayed_shows_when_it_is_due(self) -> None:
        self.append(b"later", delay=60)
        self.finish()
        self.result(self.filled.close())
        self.wall.seconds += 61
        served = self.open("target", False, 3)
        cast(Any, served)._upkeep._clock.advance(1)
        found = self.result(served.read_merged(self.queue, Merge((1,), limit=10), Ack.MAJORITY))
        self.assertEqual(bodies(found.messages), [b"later"])

    def test_what_expires_meanwhile_is_no_difference(self) -> None:
        self.result(self.store.append(self.queue, [new(b"short", ttl=5), new(b"long")], TERMS))
        copying = self.run_pass()
        self.wall.seconds += 5
        self.assertEqual(self.finish(copying), 1)
        heads = self.result(self.target.heads(self.queue, 1, MessageId(bytes(16)), 10)).heads
        self.assertEqual(len(heads), 1)

    def test_large_partitions_are_compared_piece_by_piece(self) -> None:
        ids = [self.append(*[b"x"] * 1000) for _ in range(2 * HEADS // 1000 + 1)]
        copying = self.run_pass()
        self.assertEqual(copying.tally.messages, 1000 * len(ids))
        gone = [Address(1, id) for some in ids[:-1] for id in some[::2]]
        self.result(self.store.remove(self.queue, gone, Ack.MAJORITY))
        self.run_pass(copying)
        self.assertEqual((copying.tally.messages, copying.tally.removed), (0, len(gone)))
        self.finish(copying)
        self.check_alike()


class BeginTests(CopyCase):
    """What may be copied to, and what may be served from."""

    def refused(self, begun: Deferred[None], *words: str) -> None:
        text = str(self.failureResultOf(begun, InvalidUpdate).value)
        for word in words:
            self.assertIn(word, text)

    def begin(self, name: str = NAME) -> Deferred[None]:
        return Copying(self.source, self.target, lambda _: succeed(None), versions()).begin(name)

    def test_only_what_is_empty(self) -> None:
        self.result(self.filled.create("app", "theirs", SETTINGS, None))
        self.refused(self.begin(), "holds something already")
        self.assertIsNone(self.result(self.filled.states.read(MARK_KEY)))

    def test_states_alone_are_something(self) -> None:
        self.result(self.filled.states.replace("applications/1", None, b"x", "1"))
        self.refused(self.begin(), "holds something already")

    def test_a_copy_of_another_store(self) -> None:
        self.result(self.begin("another"))
        self.refused(self.begin(), "is a copy of another, and not of " + NAME)

    def test_a_copy_that_is_complete(self) -> None:
        self.finish()
        self.refused(self.begin(), "was completed")

    def test_marks_that_cannot_be_read(self) -> None:
        for value in (b"{}", b"\xff", b"[]", b'{"format":2,"source":"x","whole":true}'):
            seen = self.result(self.filled.states.read(MARK_KEY))
            self.result(self.filled.states.replace(MARK_KEY, seen and seen.version, value, value.hex()))
            self.refused(self.begin(), "The mark of a copy is")
        self.result(self.filled.close())
        failure = self.assertRaises(Unavailable, self.open, "target", False, 3)
        self.assertIn("mark of a copy is of another version", str(failure))

    def test_nobody_serves_from_it_before_it_is_complete(self) -> None:
        self.fill()
        self.run_pass()
        self.result(self.filled.close())
        failure = self.assertRaises(Unavailable, self.open, "target", False, 3)
        self.assertIn(f"is an unfinished copy of {NAME}: finish it by queuey copy --finish", str(failure))
        self.filled = self.open("target", True, 2)
        self.target = self.filled.import_target()
        self.finish()
        self.result(self.filled.close())
        self.open("target", False, 3)

    def test_marks_are_read_as_they_were_written(self) -> None:
        self.result(self.begin())
        state = self.result(self.filled.states.read(MARK_KEY))
        self.assertEqual(state.value, Mark(NAME).encoded())


class SourceTests(SynchronousTestCase):
    """What can be copied."""

    def test_a_store_of_an_older_schema(self) -> None:
        folder = quick_directory(self)
        copyfile(DATA / "schema-1.sqlite", folder / files.DATABASE)
        error = self.assertRaises(Unavailable, SQLiteHoldings, folder, Wall(), Inline())
        self.assertIn("has schema 1, and stores of schema 4 are copied: let a daemon of this version", str(error))

    def test_no_store(self) -> None:
        error = self.assertRaises(Unavailable, SQLiteHoldings, quick_directory(self), Wall(), Inline())
        self.assertIn("is no store of Queuey", str(error))

    def test_kinds_of_stores(self) -> None:
        memory = MemoryStorage(1 << 20)
        for make in (make_export_source, make_import_target):
            error = self.assertRaises(ConfigurationError, make, memory, Clock(), Wall())
            self.assertIn("kept in memory is known to its own daemon alone", str(error))
        cluster = cast(CassandraStorage, defaults("cassandra"))
        error = self.assertRaises(ConfigurationError, make_export_source, cluster, Clock(), Wall())
        self.assertIn("a cluster cannot be the source of a copy", str(error))
        old = evolve(cluster, protocol="thrift")
        error = self.assertRaises(ConfigurationError, make_import_target, old, Clock(), Wall())
        self.assertIn("copy over cql", str(error))
