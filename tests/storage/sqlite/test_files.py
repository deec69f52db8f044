"""The folder, its lock and its file: each reason not to open is one clear line, and no file is left open."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any
from unittest import skipIf

import apsw
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import QueueyError, StorageFull, Unavailable
from queuey.model.queues.queue import QueueSettings
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore
from queuey.storage.sqlite.database import files, schema
from tests.contracts.subject import Wall
from tests.storage.quick import quick_directory
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, random_bits, versions

STRANGER = 65534
"""A user who has no part in Queuey."""


def make(directory: Path, relaxed: bool = False) -> SQLiteStore:
    settings = SQLiteSettings(relaxed)
    return SQLiteStore(directory, settings, Clock(), Wall(), Inline(), NODE, CLOCK_SEQUENCE, versions(), random_bits())


class OpenTests(SynchronousTestCase):
    """What may stand in the way of a store."""

    def setUp(self) -> None:
        self.directory = quick_directory(self) / "data"
        self.path = self.directory / files.DATABASE

    def use(self) -> None:
        """Open, use and close."""
        store = make(self.directory)
        store.open()
        self.successResultOf(store.create("app", "queue", QueueSettings(), None))
        self.successResultOf(store.close())

    def refused(self, *words: str, error: type[QueueyError] = Unavailable) -> None:
        """Opening fails in one line with these words, leaves nothing open, and the store is closed."""
        before = set(os.listdir("/proc/self/fd"))
        store = make(self.directory)
        text = str(self.assertRaises(error, store.open))
        for word in (*words, str(self.directory)):
            self.assertIn(word, text)
        self.assertNotIn("\n", text)
        self.assertLessEqual(set(os.listdir("/proc/self/fd")), before)
        self.failureResultOf(store.ping(), Unavailable)
        self.successResultOf(store.close())

    def test_a_new_directory_is_made_for_the_owner_alone(self) -> None:
        self.directory = self.directory / "deeper"
        self.use()
        self.assertEqual(self.directory.stat().st_mode & 0o777, 0o700)
        self.use()

    def test_files_are_for_the_owner_alone(self) -> None:
        """All of them, while the store is open and afterwards, whatever the umask is."""
        for umask in (0o000, 0o022, 0o277):
            self.directory = self.directory.with_name(f"data-{umask:o}")
            before = os.umask(umask)
            try:
                store = make(self.directory)
                store.open()
                self.successResultOf(store.create("app", "queue", QueueSettings(), None))
                found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.directory.iterdir()}
                self.successResultOf(store.close())
            finally:
                os.umask(before)
            names = (files.DATABASE, f"{files.DATABASE}-wal", f"{files.DATABASE}-shm", files.LOCK)
            self.assertEqual(found, dict.fromkeys(names, 0o600))
            self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)

    def test_files_that_others_could_read(self) -> None:
        """A store of an earlier start, in a folder that somebody made, is closed to others, and the log says so."""
        self.use()
        copy = self.directory / "queuey-schema-1-20250101T000000Z.sqlite"
        copy.touch()
        for path, mode in ((self.directory, 0o755), (copy, 0o644), (self.directory / files.DATABASE, 0o644)):
            path.chmod(mode)
        events: list[dict[str, Any]] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.use()
        (told,) = [event for event in events if event.get("event") == "files-tightened"]
        named = f"{self.directory} (755), {copy} (644), {self.directory / files.DATABASE} (644)"
        self.assertEqual(told["files"], named)
        self.assertEqual([stat.S_IMODE(path.stat().st_mode) for path in self.directory.iterdir()], [0o600] * 3)
        self.use()
        self.assertEqual(len([event for event in events if event.get("event") == "files-tightened"]), 1)

    def test_a_directory_with_files_of_others(self) -> None:
        """It is left as it is; the log warns that others may write to it."""
        self.directory.mkdir()
        (self.directory / "of another program").touch()
        for mode, told in ((0o755, []), (0o777, ["files-open"]), (0o1777, [])):
            self.directory.chmod(mode)
            events: list[dict[str, Any]] = []
            observer: Any = events.append
            globalLogPublisher.addObserver(observer)
            self.use()
            globalLogPublisher.removeObserver(observer)
            self.assertEqual([event["event"] for event in events if str(event.get("event")).startswith("files")], told)
            self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), mode)
            self.assertEqual((self.directory / files.DATABASE).stat().st_mode & 0o777, 0o600)

    @skipIf(os.geteuid() != 0, "only root can give files to other users")
    def test_a_directory_of_another_user(self) -> None:
        """It is reported, and none of that user's links is followed, which may lead to any file of the machine."""
        self.directory.mkdir(0o700)
        os.chown(self.directory, STRANGER, STRANGER)
        events: list[dict[str, Any]] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.use()
        told = [event["files"] for event in events if event.get("event") == "files-open"]
        self.assertEqual(told, [f"{self.directory} (it belongs to user {STRANGER})"])
        victim = self.directory.with_name("victim")
        victim.write_text("x")
        for name in (files.LOCK, files.DATABASE, f"{files.DATABASE}-wal", f"{files.DATABASE}-shm"):
            link = self.directory / name
            link.unlink(missing_ok=True)
            link.symlink_to(victim.absolute())
            os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
            self.refused("symbolic link")
            self.assertEqual((victim.read_text(), list(victim.parent.glob("victim?*"))), ("x", []))
            link.unlink()
        self.use()

    def test_a_database_that_is_a_link(self) -> None:
        """The file that it leads to is made with the mode of a database."""
        self.directory.mkdir()
        target = self.directory.with_name("elsewhere.sqlite")
        (self.directory / files.DATABASE).symlink_to(target.absolute())
        before = os.umask(0)
        try:
            self.use()
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o600)

    def test_closing_leaves_one_file_with_everything_in_it(self) -> None:
        self.use()
        self.assertEqual(sorted(os.listdir(self.directory)), sorted([files.DATABASE, files.LOCK]))
        self.use()

    def test_two_stores_on_one_directory(self) -> None:
        first = make(self.directory)
        first.open()
        self.refused(f"in use by process {os.getpid()}.")
        self.successResultOf(first.close())
        self.use()

    def test_a_lock_whose_holder_has_not_said_who_it_is(self) -> None:
        self.directory.mkdir()
        first = files.Lock(self.directory)
        (self.directory / files.LOCK).write_text("")
        self.refused("in use by process ?")
        first.release()
        (self.directory / files.LOCK).write_text("99999 left by a crash")
        self.use()

    def test_a_directory_that_cannot_be_made(self) -> None:
        self.directory.write_text("a file")
        self.refused("cannot be made")
        self.directory = self.directory / "below"
        self.refused("cannot be made: Not a directory")

    def test_a_directory_that_cannot_be_written_to(self) -> None:
        (self.directory / files.LOCK).mkdir(parents=True)
        self.refused("cannot be written to")

    def test_no_database(self) -> None:
        self.directory.mkdir()
        self.path.write_bytes(b"These are the notes of somebody else. " * 100)
        self.refused(files.DATABASE, "it is no database")
        self.assertTrue(self.path.read_bytes().startswith(b"These are the notes"))

    def test_a_directory_in_place_of_the_database(self) -> None:
        self.path.mkdir(parents=True)
        self.refused(files.DATABASE)

    def test_a_database_of_another_program(self) -> None:
        self.directory.mkdir()
        other = apsw.Connection(str(self.path))
        other.execute("CREATE TABLE notes (text)")
        other.close()
        self.refused("a database of another program")
        other = apsw.Connection(str(self.path))
        self.assertEqual(other.execute("SELECT name FROM sqlite_schema").get, "notes")
        other.close()

    def test_a_newer_schema(self) -> None:
        self.use()
        newer = apsw.Connection(str(self.path))
        newer.pragma("user_version", schema.CURRENT + 1)
        newer.close()
        self.refused(f"version {schema.CURRENT + 1}", f"up to {schema.CURRENT}")

    def test_a_damaged_file(self) -> None:
        self.use()
        content = self.path.read_bytes()
        self.path.write_bytes(content[:100] + b"\xa5" * 3996 + content[4096:])
        self.refused("it is damaged")

    def test_a_file_that_another_program_has_locked(self) -> None:
        self.use()
        other = apsw.Connection(str(self.path))
        other.pragma("locking_mode", "EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        self.patch(files, "BUSY", 10)
        text = str(self.assertRaises(Unavailable, make(self.directory).open))
        self.assertIn("another program has locked it", text)
        other.close(True)
        self.use()

    def test_a_crash_before_the_first_table_was_made(self) -> None:
        self.directory.mkdir()
        began = apsw.Connection(str(self.path))
        began.pragma("journal_mode", "WAL")
        began.close()
        self.use()

    def test_an_empty_file(self) -> None:
        self.directory.mkdir()
        self.path.touch()
        self.use()

    def test_how_the_file_is_made(self) -> None:
        self.use()
        connection = apsw.Connection(str(self.path))
        wanted = {
            "page_size": 4096,
            "auto_vacuum": 2,
            "journal_mode": "wal",
            "application_id": schema.APPLICATION_ID,
            "user_version": schema.CURRENT,
            "integrity_check": "ok",
        }
        self.assertEqual({name: connection.pragma(name) for name in wanted}, wanted)
        connection.close()

    def test_how_the_connections_are_set(self) -> None:
        self.directory.mkdir()
        for synchronous, number in (("FULL", 2), ("NORMAL", 1)):
            writing = files.connect(self.path, synchronous, 8 << 20)
            reading = files.connect_reader(self.path, 8 << 20)
            self.assertEqual(writing.pragma("synchronous"), number)
            for connection in (writing, reading):
                self.assertEqual(connection.pragma("cache_size"), -8192)
                self.assertEqual(connection.pragma("temp_store"), 2)
            self.assertRaises(apsw.ReadOnlyError, reading.execute, "DELETE FROM clock")
            self.assertEqual(reading.pragma("wal_autocheckpoint"), 0)
            reading.close()
            writing.close()

    def test_an_old_library(self) -> None:
        self.patch(files, "OLDEST_SQLITE", (99, 0, 0))
        text = str(self.assertRaises(Unavailable, make(self.directory).open))
        self.assertIn("99.0.0", text)

    def test_what_is_promised(self) -> None:
        self.assertTrue(make(self.directory).capabilities.survives_power_loss)
        self.assertFalse(make(self.directory, relaxed=True).capabilities.survives_power_loss)


class TranslatedTests(SynchronousTestCase):
    """What failures of the database mean to a caller."""

    def test_each_kind(self) -> None:
        sync = apsw.IOError("sync")
        sync.extendedresult = apsw.SQLITE_IOERR_FSYNC  # type: ignore[attr-defined]
        write = apsw.IOError("write")
        write.extendedresult = apsw.SQLITE_IOERR_WRITE  # type: ignore[attr-defined]
        for error, kind, applied in (
            (apsw.FullError("full"), StorageFull, "no"),
            (sync, Unavailable, "unknown"),
            (write, Unavailable, "no"),
            (apsw.CorruptError("bad"), Unavailable, "no"),
            (apsw.BusyError("busy"), Unavailable, "no"),
        ):
            word = files.translated(error)
            self.assertEqual((type(word), word.applied), (kind, applied))
