"""Backups of an open store: complete or absent, and what is read from them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import apsw
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import AlreadyThere, QueueyError, StorageFull, Unavailable
from queuey.file_modes import OWN_USER, FileModes
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Window
from queuey.model.timeid import MessageId, from_seconds
from queuey.storage.sqlite import SQLiteStore
from queuey.storage.sqlite.database import copying, files, schema
from queuey.storage.sqlite.upkeep import backup
from queuey.storage.sqlite.upkeep.backup import Archive, back_up
from tests.contracts.reading import TERMS, bodies, foreign_id, new
from tests.contracts.subject import START, Wall
from tests.storage.quick import quick_directory
from tests.storage.sqlite.old_files import open_store


class BackupCase(SynchronousTestCase):
    """An open store with something in it, and a place for its backup."""

    def setUp(self) -> None:
        self.directory = quick_directory(self)
        self.data, self.target = self.directory / "data", self.directory / "backup"
        self.store = self.open(self.data)
        self.queue = self.make("queue")
        (self.first,) = self.append(b"one")

    def open(self, directory: Path) -> SQLiteStore:
        store = open_store(directory, Wall())
        self.addCleanup(lambda: self.successResultOf(store.close()))
        return store

    def make(self, name: str, settings: QueueSettings | None = None) -> Queue:
        answer = self.store.create("app", name, settings or QueueSettings(partitions=2), None)
        queue, _ = self.successResultOf(answer)
        return queue

    def append(self, *texts: bytes, ttl: int = 3600) -> tuple[MessageId, ...]:
        return self.successResultOf(self.store.append(self.queue, [new(text, ttl=ttl) for text in texts], TERMS))

    def others(self) -> list[str]:
        """What is there besides the store."""
        return sorted(set(os.listdir(self.directory)) - {"data"})


class BackUpTests(BackupCase):
    """Making one."""

    def refused(self, *words: str, source: Path | None = None, error: type[QueueyError] = Unavailable) -> None:
        """There is one line with these words, and no trace of a backup; and once the reason is gone, one is made."""
        before = self.others()
        text = str(self.assertRaises(error, back_up, source or self.data, self.target))
        for word in words:
            self.assertIn(word, text)
        self.assertNotIn("\n", text)
        self.assertEqual(self.others(), before)

    def test_a_store_is_opened_from_it(self) -> None:
        made = back_up(self.data, self.target)
        self.append(b"after")
        self.assertEqual(os.listdir(self.target), [files.DATABASE])
        self.assertEqual(made.path, self.target)
        self.assertEqual(made.bytes, (self.target / files.DATABASE).stat().st_size)
        self.assertEqual((made.messages, made.queues), (1, 1))
        self.assertEqual(self.target.stat().st_mode & 0o777, 0o700)
        copy = self.open(self.target)
        (queue,) = self.successResultOf(copy.describe("app", ["queue"]))
        assert queue is not None
        found = self.successResultOf(copy.read_range(queue, Window((1,)), Ack.ONE)).messages
        self.assertEqual(bodies(found), [b"one"])
        (id,) = self.successResultOf(copy.append(queue, [new(b"two")], TERMS))
        self.assertGreater(id, self.first)
        self.assertEqual(made.stable, from_seconds(START) + 1)

    def test_numbers_of_queues_do_not_come_again(self) -> None:
        last = self.make("last")
        self.successResultOf(self.store.forget(last))
        back_up(self.data, self.target)
        made, _ = self.successResultOf(self.open(self.target).create("app", "new", QueueSettings(), None))
        self.assertGreater(made.incarnation, last.incarnation)

    def test_how_the_file_is_made(self) -> None:
        back_up(self.data, self.target)
        connection = apsw.Connection(str(self.target / files.DATABASE))
        wanted = {"page_size": 4096, "auto_vacuum": 2, "application_id": schema.APPLICATION_ID,
                  "user_version": schema.CURRENT, "integrity_check": "ok"}  # fmt: skip
        self.assertEqual({name: connection.pragma(name) for name in wanted}, wanted)
        connection.close()

    def test_of_a_closed_store_and_of_a_backup(self) -> None:
        self.successResultOf(self.store.close())
        back_up(self.data, self.target)
        made = back_up(self.target, self.directory / "second")
        self.assertEqual((made.messages, made.queues), (1, 1))

    def test_a_target_that_is_there(self) -> None:
        for make in (self.target.mkdir, self.target.touch, lambda: self.target.symlink_to("nowhere")):
            make()
            self.refused(f"{self.target} is there already", error=AlreadyThere)
            self.target.rmdir() if self.target.is_dir() else self.target.unlink()

    def test_a_target_in_no_folder(self) -> None:
        self.target = self.directory / "no" / "backup"
        self.refused(f"The backup {self.target} cannot be written: No such file or directory.")

    def test_no_store(self) -> None:
        empty = self.directory / "empty"
        self.refused("is no store of Queuey: it has no queuey.sqlite", source=empty)
        empty.mkdir()
        self.refused(str(empty), "is no store of Queuey", source=empty)
        (empty / files.DATABASE).touch()
        self.refused(str(empty), "there is nothing in it", source=empty)
        (empty / files.DATABASE).write_bytes(b"These are the notes of somebody else. " * 100)
        self.refused(str(empty), "it is no database", source=empty)
        (empty / files.DATABASE).unlink()
        other = apsw.Connection(str(empty / files.DATABASE))
        other.execute("CREATE TABLE notes (text)")
        other.close()
        self.refused(str(empty), "a database of another program", source=empty)

    def test_a_newer_schema(self) -> None:
        self.successResultOf(self.store.close())
        newer = apsw.Connection(str(self.data / files.DATABASE))
        newer.pragma("user_version", schema.CURRENT + 1)
        newer.close()
        self.refused(f"version {schema.CURRENT + 1}")

    def spoil(self, page: int) -> None:
        self.append(*[b"x" * 3000] * 30)
        self.successResultOf(self.store.close())
        with (self.data / files.DATABASE).open("r+b") as file:
            file.seek((page - 1) * files.PAGE)
            file.write(b"\xa5" * files.PAGE)

    def test_a_damaged_page(self) -> None:
        self.spoil(40)
        self.refused(f"The database {self.data / files.DATABASE} cannot be read: it is damaged.")

    def test_an_index_that_lacks_a_row(self) -> None:
        """Copying does not look at it, but a daemon that serves from the copy would not find the message."""
        self.successResultOf(self.store.close())
        connection = apsw.Connection(str(self.data / files.DATABASE))
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
        connection.pragma("writable_schema", 1)
        connection.execute("UPDATE sqlite_schema SET sql = 'CREATE INDEX expiry ON messages (expires, size)' "
                           "WHERE name = 'expiry'")  # fmt: skip
        connection.close()
        self.refused("it is damaged")

    def test_progress(self) -> None:
        """The size of the copy so far is reported now and then."""
        self.patch(copying, "STEPS", 1)
        sizes: list[int] = []
        made = back_up(self.data, self.target, on_bytes=sizes.append)
        self.assertEqual(sizes, sorted(sizes))
        self.assertLessEqual(sizes[-1], made.bytes)
        self.assertGreater(backup.size_of(self.data), 0)
        self.assertEqual(backup.size_of(self.directory / "nowhere"), 0)

    def test_modes(self) -> None:
        """It is for its maker alone, whatever the umask is, and for a group if the settings say so."""
        for umask, modes, expected in (
            (0o000, OWN_USER, (0o700, 0o600)),
            (0o277, OWN_USER, (0o700, 0o600)),
            (0o077, FileModes("own", os.getegid()), (0o750, 0o640)),
        ):
            target = self.directory / f"{umask:o}-{modes.name}"
            before = os.umask(umask)
            try:
                back_up(self.data, target, modes)
            finally:
                os.umask(before)
            found = [stat.S_IMODE(path.stat().st_mode) for path in (target, target / files.DATABASE)]
            self.assertEqual(tuple(found), expected)

    def test_a_full_disk(self) -> None:
        def full(connection: object, target: Path, modes: FileModes, on_bytes: object) -> None:
            target.write_bytes(b"half of it")
            raise apsw.FullError("full")

        self.patch(backup, "copy", full)
        self.refused(f"There is no room on the disk for the backup {self.target}.", error=StorageFull)

    def test_an_interruption(self) -> None:
        self.append(*[b"x" * 100] * 1000)

        def interrupt() -> bool:
            raise KeyboardInterrupt

        self.patch(copying, "STEPS", 100)
        self.patch(copying, "_go_on", interrupt)
        before = self.others()
        self.assertRaises(KeyboardInterrupt, back_up, self.data, self.target)
        self.assertEqual(self.others(), before)


class CopyTests(BackupCase):
    """The copying alone."""

    def test_nothing_is_left_of_half_a_copy(self) -> None:
        connection = backup.open_to_read(self.data)
        self.addCleanup(connection.close)
        target = self.directory / "copy.sqlite"
        self.append(*[b"x" * 100] * 1000)
        self.patch(copying, "STEPS", 100)
        undo = self.patch(copying, "_go_on", lambda: True)
        self.assertRaises(apsw.InterruptError, copying.copy, connection, target)
        undo.restore()
        self.assertEqual(self.others(), [])
        copying.copy(connection, target)
        self.assertEqual(self.others(), ["copy.sqlite"])


class ArchiveTests(BackupCase):
    """Reading a queue out of one."""

    def test_a_queue_and_its_messages(self) -> None:
        self.append(b"short", ttl=5)
        self.successResultOf(self.store.append(self.queue, [NewMessage(2, Content(b"\0", "a/b"), 60)], TERMS))
        place = Address(2, foreign_id(100))
        self.successResultOf(self.store.replace(self.queue, [place], Content(b"future"), 60, TERMS))
        self.make("another")
        back_up(self.data, self.target)
        archive = Archive(self.target)
        queue = archive.queue("app", "queue")
        self.assertEqual(queue, self.queue)
        assert queue is not None
        self.assertEqual(
            [
                (m.partition, m.content.body, m.content.content_type)
                for m in archive.messages(queue, from_seconds(START))
            ],
            [(1, b"one", None), (1, b"short", None), (2, b"\0", "a/b"), (2, b"future", None)],
        )
        later = list(archive.messages(queue, from_seconds(START + 5)))
        self.assertEqual(bodies(later), [b"one", b"\0", b"future"])
        self.assertEqual(later[0].expires, from_seconds(START + 3600))
        self.assertIsNone(archive.queue("app", "gone"))
        self.assertIsNone(archive.queue("other", "queue"))
        archive.close()

    def test_another_schema(self) -> None:
        back_up(self.data, self.target)
        self.patch(schema, "CURRENT", schema.CURRENT + 1)
        text = str(self.assertRaises(Unavailable, Archive, self.target))
        self.assertIn(str(self.target), text)
        self.assertIn(f"schema {schema.CURRENT - 1}", text)

    def test_damage(self) -> None:
        self.append(*[b"x" * 3000] * 30)
        back_up(self.data, self.target)
        size = (self.target / files.DATABASE).stat().st_size
        with (self.target / files.DATABASE).open("r+b") as file:
            file.seek(size // 2 // files.PAGE * files.PAGE)
            file.write(b"\xa5" * files.PAGE)
        archive = Archive(self.target)
        self.addCleanup(archive.close)
        text = str(self.assertRaises(Unavailable, list, archive.messages(self.queue, from_seconds(START))))
        self.assertIn("it is damaged", text)
