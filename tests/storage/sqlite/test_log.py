"""Full disks, the write-ahead log, and the query plans of SQLite."""

from __future__ import annotations

import shutil
from typing import Any

import apsw
from twisted.logger import capturedLogs, formatEvent

from queuey.errors import StorageFull
from queuey.model.queues.queue import QueueSettings
from queuey.storage.sqlite import queues
from queuey.storage.sqlite.database import checkpoints
from queuey.storage.sqlite.reading import reader
from queuey.storage.sqlite.upkeep import sweeper
from queuey.storage.sqlite.writing import kept_answers, queue_cache, writes
from queuey.storage.sqlite.writing.writer import Writer
from tests.storage.quick import quick_directory
from tests.storage.sqlite.test_writer import PAGE, HeldCase
from tests.storage.subjects import HeldSubject


class FullTests(HeldCase):
    """A disk without room: what does not fit is refused, and the store goes on when there is room again."""

    def room(self, pages: int) -> None:
        """Let the file grow by so many pages and no more."""
        connection = self.writer.connection
        connection.pragma("max_page_count", connection.pragma("page_count") + pages)

    def test_a_full_disk(self) -> None:
        self.successResultOf(self.append(b"before"))
        self.room(30)
        self.subject.hold()
        small = [self.append(b"small 1")]
        large = self.append(b"x" * 60 * PAGE)
        small.append(self.append(b"small 2"))
        self.subject.release()
        self.assertEqual(self.failureResultOf(large, StorageFull).value.applied, "no")
        ids = [self.successResultOf(answer)[0] for answer in small]
        self.assertEqual(ids, sorted(ids))
        self.assertEqual(self.shown(), [b"before", b"small 1", b"small 2"])
        self.assertEqual(self.counted(), 3)
        self.room(1000)
        self.successResultOf(self.append(b"x" * 60 * PAGE))
        self.assertEqual(self.counted(), 4)
        used = sum(map(len, self.shown()))
        self.assertEqual(self.writer.queues.usage("app"), (1, used))

    def test_upkeep_on_a_full_disk_says_so_once_and_goes_on(self) -> None:
        self.successResultOf(self.append(b"x"))
        fail = [True]
        self.patch(sweeper, "turn", lambda writer: self.turn(writer, fail))
        with capturedLogs() as events:
            for _ in range(3):
                self.successResultOf(self.subject.advance(1))
        texts = [formatEvent(event) for event in events if event.get("event") == "upkeep-waits"]
        self.assertEqual(
            texts, ["background work of the store has to wait: There is no room left on the disk of the store."]
        )
        fail.clear()
        self.successResultOf(self.subject.advance(4000))
        self.assertEqual(self.rows("messages"), 0)

    original = staticmethod(sweeper.turn)

    def turn(self, writer: Writer, fail: list[bool]) -> sweeper.Turn:
        if fail:
            raise apsw.FullError("full")
        return self.original(writer)


class LogTests(HeldCase):
    """The write-ahead log stays small."""

    def log_bytes(self) -> int:
        return (self.subject.directory / "queuey.sqlite-wal").stat().st_size

    def test_it_starts_over_once_it_is_long(self) -> None:
        self.patch(checkpoints, "CHECKPOINT_PAGES", 100)
        for _ in range(60):
            self.successResultOf(self.append(b"x" * 20 * PAGE))
        self.assertLess(self.log_bytes(), 200 * PAGE)

    def test_it_is_copied_after_a_kill(self) -> None:
        """It does not grow from one to the next, where each of many is killed before its own is long."""
        self.successResultOf(self.append(b"x" * 60 * PAGE))
        left = quick_directory(self)
        for name in ("queuey.sqlite", "queuey.sqlite-wal"):
            shutil.copy(self.subject.directory / name, left)
        self.assertLess((left / "queuey.sqlite").stat().st_size, 60 * PAGE)
        following = HeldSubject(left)
        self.addCleanup(lambda: self.successResultOf(following.close()))
        self.successResultOf(following.store.create("app", "other", QueueSettings(), None))
        self.assertGreater((left / "queuey.sqlite").stat().st_size, 60 * PAGE)

    def test_a_checkpoint_that_fails_is_told_once_and_tried_again(self) -> None:
        def fail(mode: int) -> int:
            raise apsw.IOError("no")

        self.patch(checkpoints, "CHECKPOINT_PAGES", 1)
        with capturedLogs() as events:
            undo = self.patch(self.writer.checkpoints, "_copy", fail)
            for _ in range(3):
                self.successResultOf(self.append(b"x"))
            undo.restore()
            self.successResultOf(self.append(b"x"))
        self.assertEqual([formatEvent(event) for event in events], ["a checkpoint failed, and is retried: no"])
        self.assertEqual(self.writer.checkpoints.log_pages, 0)

    def test_the_end_does_not_wait_for_other_readers(self) -> None:
        self.successResultOf(self.append(b"x"))
        other = apsw.Connection(str(self.subject.directory / "queuey.sqlite"))
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM messages").fetchall()
        self.successResultOf(self.append(b"y"))
        self.patch(checkpoints, "PATIENCE", 1)
        with capturedLogs() as events:
            self.successResultOf(self.subject.reopen())
        self.assertIn("last-checkpoint-failed", [event.get("event") for event in events])
        other.close(True)
        self.assertEqual(self.shown(), [b"x", b"y"])

    def test_readers_who_are_always_there_hold_it_up_only_so_long(self) -> None:
        self.patch(checkpoints, "CHECKPOINT_PAGES", 100)
        self.patch(checkpoints, "PATIENCE", 1)
        other = apsw.Connection(str(self.subject.directory / "queuey.sqlite"))
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM messages").fetchall()
        for _ in range(40):
            self.successResultOf(self.append(b"x" * 20 * PAGE))
        long = self.log_bytes()
        self.assertGreater(long, 700 * PAGE)
        other.close(True)
        for _ in range(40):
            self.successResultOf(self.append(b"x" * 20 * PAGE))
        self.assertLessEqual(self.log_bytes(), long + 200 * PAGE)
        self.assertEqual(self.counted(), 80)


class PlanTests(HeldCase):
    """Nothing that runs often looks at rows that it does not need."""

    def plan(self, statement: str) -> str:
        marks = statement.count("?")
        rows = self.writer.connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1,) * marks).fetchall()
        return "; ".join(str(row[-1]) for row in rows)

    def test_no_scans_and_no_sorting(self) -> None:
        for module in (reader, queues, writes, sweeper):
            texts: dict[str, Any] = {
                name: text for name, text in vars(module).items() if isinstance(text, str) and "?" in text
            }
            texts.update({f"scan {down}": text for down, text in reader.SCAN.items()})
            texts.update({f"heads {down}": text for down, text in reader.HEADS.items()})
            texts.update({f"whole {down}": text for down, text in reader.WHOLE.items()})
            texts |= {"contents": reader.CONTENTS[64], "keys": kept_answers.KEYS[64]}
            texts |= {"many names": queues._BY_NAMES[64], "living": queue_cache.LIVING[64]}
            for name, text in texts.items():
                if text.split()[0] not in ("SELECT", "DELETE", "UPDATE"):
                    continue
                plan = self.plan(text)
                self.assertNotIn("SCAN messages", plan, (name, plan))
                self.assertNotIn("SCAN queues", plan, (name, plan))
                self.assertNotIn("SCAN keys", plan, (name, plan))
                self.assertNotIn("SCAN future", plan, (name, plan))
                self.assertNotIn("SCAN tallies", plan, (name, plan))
                if "GROUP BY" not in text:
                    self.assertNotIn("B-TREE", plan, (name, plan))

    def test_expired_messages_of_a_queue_are_counted_in_the_index(self) -> None:
        self.assertIn("COVERING INDEX expiry", self.plan(reader._EXPIRED))
