"""Files of older schemas are upgraded after a copy was made; a failed upgrade loses nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import apsw
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import QueueClosed, QueueyError, Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.groups.commands import Finish
from queuey.model.groups.terms import Terms
from queuey.model.messages.message import Address, Message
from queuey.model.messages.once import Appended
from queuey.model.reading.window import Merge, Window
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, from_v1_hex
from queuey.storage.sqlite import SQLiteStore
from queuey.storage.sqlite.database import files, schema
from queuey.storage.sqlite.upkeep.backup import back_up
from tests.contracts.reading import TERMS, bodies, new
from tests.contracts.subject import START, Wall
from tests.storage.quick import quick_directory
from tests.storage.sqlite.old_files import CHOSEN, DATA, DELAY, FUTURE, GROUP, ONCE, SETTINGS, STATE, TEXTS, open_store

IDS = ("04afc001833b11ee92340123456789ab", "04afc002833b11ee92340123456789ab", "04afc003833b11ee92340123456789ab")
MORE_IDS = ("04afc007833b11ee92340123456789ab", "28730608833b11eebca9d37952e6b438")
"""What ``old_files`` printed when it made the files: of ``TEXTS``, and of what came with schema 2."""

LATER: schema.Versions = {
    **schema.VERSIONS,
    schema.CURRENT + 1: (
        "ALTER TABLE messages ADD COLUMN colour TEXT",
        "UPDATE messages SET colour = 'red'",
        "CREATE TABLE colours (colour TEXT) STRICT",
    ),
    schema.CURRENT + 2: ("INSERT INTO colours SELECT DISTINCT colour FROM messages",),
}
"""What a later version of this program may know."""


class OldFileCase(SynchronousTestCase):
    """A folder with a file of an older schema, as the program of that time left it."""

    version = 1

    def setUp(self) -> None:
        self.directory = quick_directory(self) / "data"
        self.directory.mkdir()
        self.path = self.directory / files.DATABASE
        shutil.copyfile(DATA / f"schema-{self.version}.sqlite", self.path)

    def copies(self) -> list[str]:
        """What else is in the folder."""
        return sorted(set(os.listdir(self.directory)) - {files.DATABASE, files.LOCK})

    def look(self, path: Path, *statements: str) -> list[Any]:
        connection = apsw.Connection(str(path))
        try:
            return [connection.execute(statement).get for statement in statements]
        finally:
            connection.close(True)

    def check_everything(self, store: SQLiteStore) -> None:
        """What ``old_files.fill`` put there is there, and the store can be used."""
        done: Callable[..., Any] = self.successResultOf
        self.assertEqual(done(store.names("app", "", 10, "")), ("Queue é",))
        self.assertEqual(done(store.names("other", "", 10, "")), ("empty",))
        (queue,) = done(store.describe("app", ["Queue é"]))
        self.assertEqual(queue.settings, SETTINGS)
        found: list[Message] = list(done(store.read_range(queue, Window((1, 2, 3)), Ack.ONE)).messages)
        living = [message for message in found if message.content.body != b"expired"]
        self.assertEqual([message.content.body.decode() for message in living], list(TEXTS))
        self.assertEqual([message.id for message in living], [from_v1_hex(text) for text in IDS])
        self.assertEqual(
            [message.content.content_type for message in living], [None] + 2 * ["text/plain; charset=utf-8"]
        )
        state = done(store.states.read(STATE[0]))
        self.assertEqual(state.value, STATE[2])
        (id,) = done(store.append(queue, [new(b"x")], TERMS))
        self.assertGreater(id, max(message.id for message in found))
        self.assertLess(id, FUTURE)
        self.assertEqual(done(store.count(queue, Ack.ONE)), len(found) + 2)


class OldFileTests(OldFileCase):
    """Files of every schema that there has been, and this program."""

    def test_there_is_a_file_of_every_schema(self) -> None:
        present = sorted(int(path.stem.partition("-")[2]) for path in DATA.glob("schema-*.sqlite"))
        self.assertEqual(present, sorted(schema.VERSIONS))

    def test_schema_1(self) -> None:
        store = open_store(self.directory, Wall())
        self.check_everything(store)
        self.check_that_new_things_work(store)
        self.successResultOf(store.close())
        self.assertEqual(self.look(self.path, "PRAGMA integrity_check", "PRAGMA user_version"), ["ok", schema.CURRENT])
        (copy,) = self.copies()
        self.assertRegex(copy, r"\Aqueuey-schema-1-\d{8}T\d{6}Z\.sqlite\Z")
        self.assertEqual(self.look(self.directory / copy, "PRAGMA user_version"), [1])

    def check_that_new_things_work(self, store: SQLiteStore) -> None:
        """What schema 1 had not: a queue of it takes other settings, keys and delays, and is purged."""
        done: Callable[..., Any] = self.successResultOf
        (queue,) = done(store.describe("app", ["Queue é"]))
        changed = evolve(queue.settings, guarantee=CHOSEN.guarantee, ttl=CHOSEN.ttl)
        self.assertEqual(done(store.update(queue, changed)).settings, changed)
        first = done(store.append_once(queue, [new(b"x", delay=DELAY)], TERMS, ONCE))
        again = done(store.append_once(queue, [new(b"x", delay=DELAY)], TERMS, ONCE))
        self.assertEqual(again, evolve(first, duplicate=True))
        self.assertEqual(done(store.read_merged(queue, Merge((1, 2, 3)), Ack.ONE)).purged, LOWEST)
        done(store.purge(queue, HIGHEST, Ack.ONE))
        page = done(store.read_merged(queue, Merge((1, 2, 3)), Ack.ONE))
        self.assertEqual((page.messages, page.purged), ((), page.stable))
        self.assertEqual(done(store.count(queue, Ack.ONE)), 2)

    def test_what_was_to_be_swept_is_swept(self) -> None:
        wall = Wall()
        wall.seconds = START + 10
        store = open_store(self.directory, wall)
        self.assertEqual(self.look(self.path, "SELECT count(*) FROM dead"), [1])
        store._upkeep._begin()
        store._upkeep.stop()
        self.successResultOf(store.ping())
        self.assertEqual(self.look(self.path, "SELECT count(*) FROM dead", "SELECT count(*) FROM messages"), [0, 4])
        self.successResultOf(store.close())

    def test_a_backup_is_of_the_schema_of_its_source(self) -> None:
        target = self.directory.parent / "backup"
        made = back_up(self.directory, target)
        self.assertEqual((made.messages, made.queues), (5, 2))
        store = open_store(target, Wall())
        self.check_everything(store)
        self.successResultOf(store.close())


class SecondFileTests(OldFileCase):
    """A file of schema 2, which is brought up to date."""

    version = 2

    def test_schema_2(self) -> None:
        store = open_store(self.directory, Wall())
        self.check_everything(store)
        self.successResultOf(store.close())
        self.assertEqual(self.look(self.path, "PRAGMA integrity_check", "PRAGMA user_version"), ["ok", schema.CURRENT])
        (copy,) = self.copies()
        self.assertEqual(self.look(self.directory / copy, "PRAGMA user_version"), [2])


class Schema3Tests(OldFileCase):
    """A file of schema 3, which has in it what came with that and with schema 2."""

    version = 3

    def test_states_of_groups(self) -> None:
        store = open_store(self.directory, Wall())
        done: Callable[..., Any] = self.successResultOf
        (queue,) = done(store.describe("third", ["grouped"]))
        group = evolve(GROUP, queue=queue.incarnation)
        view = done(store.groups.look(queue, group, 1))
        self.assertEqual((view.last, view.lag.in_flight), (3, 2))
        settled = Finish(1, ())
        self.assertEqual(done(store.groups.run(queue, group, Terms(), (settled,))).answers, (None,))

    def test_schema_3(self) -> None:
        store = open_store(self.directory, Wall())
        self.check_everything(store)
        self.successResultOf(store.close())
        self.assertEqual(self.look(self.path, "PRAGMA integrity_check", "PRAGMA user_version"), ["ok", schema.CURRENT])
        self.assertEqual([self.look(self.directory / copy, "PRAGMA user_version") for copy in self.copies()], [[3]])

    def test_what_came_with_it(self) -> None:
        wall = Wall()
        store = open_store(self.directory, wall)
        done: Callable[..., Any] = self.successResultOf
        (queue,) = done(store.describe("second", ["chosen"]))
        self.assertEqual(queue.settings, CHOSEN)
        again = done(store.append_once(queue, [new(b"x")], TERMS, evolve(ONCE, note="other")))
        addresses = tuple(
            Address(number, MessageId(from_v1_hex(text) or b"")) for number, text in enumerate(MORE_IDS, 1)
        )
        self.assertEqual(again, Appended(addresses, ONCE.note, True))
        page = done(store.read_merged(queue, Merge((1, 2)), Ack.ONE))
        self.assertEqual((bodies(page.messages), page.messages[0].id), ([b"now"], addresses[0].id))
        self.assertTrue(LOWEST < page.purged < addresses[0].id)
        wall.seconds = START + DELAY + 1
        store._upkeep._begin()
        store._upkeep.stop()
        done(store.ping())
        self.assertEqual(bodies(done(store.read_merged(queue, Merge((1, 2)), Ack.ONE)).messages), [b"now", b"delayed"])
        done(store.close())


class CurrentFileTests(OldFileCase):
    """A file of schema 4, which has a closed queue in it."""

    version = 4

    def test_schema_4(self) -> None:
        store = open_store(self.directory, Wall())
        self.check_everything(store)
        (queue,) = self.successResultOf(store.describe("fourth", ["closed"]))
        assert queue is not None
        self.assertIsNotNone(queue.closed)
        self.failureResultOf(store.append(queue, [new(b"x")], TERMS), QueueClosed)
        self.successResultOf(store.close())
        self.assertEqual(self.look(self.path, "PRAGMA integrity_check", "PRAGMA user_version"), ["ok", schema.CURRENT])
        self.assertEqual(self.copies(), [])


class UpgradeTests(OldFileCase):
    """From schema 1 to one that only these tests know."""

    def upgrade(self, versions: schema.Versions = LATER) -> None:
        """As a start of the daemon does it."""
        self.patch(schema, "check", partial(ORIGINAL_CHECK, versions=versions))
        self.patch(schema, "upgrade", partial(ORIGINAL_UPGRADE, versions=versions))
        try:
            files.connect(self.path, "FULL", 1 << 20).close(True)
        finally:
            self.patch(schema, "check", ORIGINAL_CHECK)
            self.patch(schema, "upgrade", ORIGINAL_UPGRADE)

    def refused(self, *words: str, versions: schema.Versions = LATER) -> None:
        """It fails in one line with these words, and the old program finds what it left."""
        text = str(self.assertRaises(QueueyError, self.upgrade, versions))
        for word in (str(self.path), *words):
            self.assertIn(word, text)
        self.assertNotIn("\n", text)
        self.assertEqual(self.copies(), [])
        store = open_store(self.directory, Wall())
        self.check_everything(store)
        self.successResultOf(store.close())

    def test_upgrade_with_its_copy(self) -> None:
        self.upgrade()
        facts = ("PRAGMA user_version", "SELECT count(*) FROM messages WHERE colour = 'red'", "SELECT * FROM colours")
        self.assertEqual(self.look(self.path, *facts), [schema.CURRENT + 2, 6, "red"])
        (copy,) = self.copies()
        self.assertRegex(copy, r"\Aqueuey-schema-1-\d{8}T\d{6}Z\.sqlite\Z")
        kept = self.look(self.directory / copy, "PRAGMA integrity_check", "PRAGMA user_version")
        self.assertEqual(kept, ["ok", 1])

    def test_once_is_enough(self) -> None:
        self.upgrade()
        self.upgrade()
        self.assertEqual(len(self.copies()), 1)

    def test_the_copy_is_the_way_back(self) -> None:
        self.upgrade()
        (copy,) = self.copies()
        text = str(self.assertRaises(Unavailable, open_store, self.directory, Wall()))
        self.assertIn(f"its schema has version {schema.CURRENT + 2}, and this program knows those up to", text)
        (self.directory / copy).replace(self.path)
        store = open_store(self.directory, Wall())
        self.check_everything(store)
        self.successResultOf(store.close())

    def test_what_was_only_in_the_log_is_in_the_copy(self) -> None:
        old = files.connect(self.path, "FULL", 1 << 20)
        old.execute("UPDATE clock SET last = last + 5")
        before = old.execute("SELECT last FROM clock").get
        self.upgrade()
        (copy,) = [name for name in self.copies() if f"schema-{schema.CURRENT}" in name]
        self.assertEqual(self.look(self.directory / copy, "SELECT last FROM clock"), [before])
        old.close(True)

    def test_a_statement_that_fails(self) -> None:
        broken = {**LATER, schema.CURRENT + 2: ("UPDATE messages SET colour = 'blue'", "SELECT nonsense")}
        self.refused("nonsense", versions=broken)

    def test_a_failure_in_the_middle_of_the_first_step(self) -> None:
        self.refused("colours", versions={**LATER, schema.CURRENT + 1: ("DELETE FROM messages", "DROP TABLE colours")})

    def test_no_room_for_the_copy(self) -> None:
        def full(connection: object, target: Path) -> None:
            target.write_bytes(b"half of it")
            patch.restore()
            raise apsw.FullError("full")

        patch = self.patch(schema, "copy", full)
        self.refused("no copy of schema 1 could be kept before its upgrade: there is no room on the disk")

    def test_no_permission_for_the_copy(self) -> None:
        def fail(directory: Path) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(schema, "sync", fail)
        text = str(self.assertRaises(Unavailable, self.upgrade))
        self.assertIn("no copy of schema 1 could be kept before its upgrade: Permission denied", text)

    def test_a_copy_that_a_crash_left_half_made(self) -> None:
        (self.directory / "queuey-before-upgrade.partial").write_bytes(b"half of it")
        self.upgrade()
        self.assertEqual(len(self.copies()), 1)

    def test_a_new_file_needs_no_copy(self) -> None:
        self.path.unlink()
        self.upgrade()
        self.assertEqual(self.copies(), [])
        self.assertEqual(self.look(self.path, "PRAGMA user_version"), [schema.CURRENT + 2])

    def test_a_file_that_can_only_be_read(self) -> None:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        error = self.assertRaises(Unavailable, schema.upgrade, connection, schema.CURRENT)
        self.assertIn("it can only be read", str(error))
        connection.close(True)


ORIGINAL_CHECK, ORIGINAL_UPGRADE = schema.check, schema.upgrade
