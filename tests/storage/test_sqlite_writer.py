"""The writing side of SQLite: write batches of which some fail, full disks, the log, and what is counted."""

from __future__ import annotations

import shutil
from random import Random
from typing import Any

import apsw
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import NoSuchQueue, StorageFull, Unavailable
from queuey.model.batch import Drafts, NewMessages
from queuey.model.group_rows import states_prefix
from queuey.model.message import Address, Content
from queuey.model.once import Appended
from queuey.model.policy import Ack, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.timeid import HIGHEST
from queuey.model.window import Merge, Window
from queuey.storage.sqlite import SQLiteStore, checkpoints, kept_answers, queue_cache, queues, reader, sweeper, writes
from queuey.storage.sqlite.sweeper import STATES
from queuey.storage.sqlite.writer import Writer
from tests.contracts.reading import TERMS, bodies, foreign_id, new, once
from tests.storage.quick import quick_directory
from tests.storage.subjects import HeldSubject

PAGE = 4096


class HeldCase(SynchronousTestCase):
    """A store whose writes wait until the test says so."""

    def setUp(self) -> None:
        self.subject = HeldSubject(quick_directory(self))
        self.addCleanup(lambda: self.successResultOf(self.subject.close()))
        self.queue = self.make("queue")

    @property
    def store(self) -> SQLiteStore:
        store = self.subject.store
        assert isinstance(store, SQLiteStore)
        return store

    @property
    def writer(self) -> Writer:
        assert self.store._open is not None
        return self.store._open.writer

    def make(self, name: str) -> Queue:
        queue, _ = self.successResultOf(self.store.create("app", name, QueueSettings(), None))
        return queue

    def append(self, *texts: bytes, queue: Queue | None = None, terms: WriteTerms = TERMS) -> Deferred[Any]:
        return self.store.append(queue or self.queue, [new(text) for text in texts], terms)

    def shown(self, queue: Queue | None = None) -> list[bytes]:
        piece = self.successResultOf(self.store.read_range(queue or self.queue, Window((1,), limit=5000), Ack.ONE))
        return bodies(piece.messages)

    def counted(self) -> int:
        return self.successResultOf(self.store.count(self.queue, Ack.ONE))

    def rows(self, table: str) -> int:
        number: int = self.writer.connection.execute(f"SELECT count(*) FROM {table}").get
        return number


class PileTests(HeldCase):
    """Many operations in one transaction."""

    def test_all_that_waits_is_one_transaction(self) -> None:
        commits: list[int] = []

        def committed() -> bool:
            commits.append(1)
            return False

        self.writer.connection.set_commit_hook(committed)
        self.subject.hold()
        answers = [self.append(b"%d" % number) for number in range(200)]
        self.subject.release()
        ids = [self.successResultOf(answer)[0] for answer in answers]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(self.shown(), [b"%d" % number for number in range(200)])
        self.assertEqual(len(commits), 1)

    def test_words_of_ours_harm_no_other(self) -> None:
        dead = self.make("dead")
        self.successResultOf(self.store.forget(dead))
        self.subject.hold()
        good = [self.append(b"a"), self.append(b"b")]
        bad = self.append(b"x", queue=dead)
        full = self.append(b"12345", terms=WriteTerms(Ack.ONE, 6))
        good.append(self.append(b"c"))
        state = self.store.states.replace("key", "x", b"", "1")
        self.subject.release()
        for answer in good:
            self.successResultOf(answer)
        self.failureResultOf(bad, NoSuchQueue)
        self.failureResultOf(full, StorageFull)
        self.successResultOf(state)
        self.assertEqual(self.shown(), [b"a", b"b", b"c"])

    def test_a_limit_of_a_queue_holds_within_a_pile(self) -> None:
        """Whatever of the write batch is in the database by then, and whatever is not."""
        terms = WriteTerms(Ack.ONE, max_queue_messages=4)
        (id,) = self.successResultOf(self.append(b"a"))
        self.subject.hold()
        good = [self.append(b"b", terms=terms), self.append(b"c", terms=terms)]
        # What removes something has all that came before written down.
        removed = self.store.remove(self.queue, [Address(1, id)], Ack.ONE)
        good += [self.append(b"d", terms=terms), self.append(b"e", terms=terms)]
        full = self.append(b"f", terms=terms)
        self.subject.release()
        for answer in (*good, removed):
            self.successResultOf(answer)
        self.assertEqual(self.failureResultOf(full, StorageFull).value.limit, "max_queue_messages")
        self.assertEqual(self.shown(), [b"b", b"c", b"d", b"e"])

    def test_a_failure_of_the_database_harms_no_other(self) -> None:
        other = self.make("other")
        self.subject.hold()
        good = [self.append(b"a"), self.append(b"b", queue=other)]
        bad = self.store._writing.submit(self.break_down)
        good += [self.append(b"c"), self.append(b"d", queue=other)]
        self.subject.release()
        ids = [self.successResultOf(answer)[0] for answer in good]
        self.assertEqual(ids, sorted(ids))
        self.failureResultOf(bad, Unavailable)
        self.assertEqual((self.shown(), self.shown(other)), ([b"a", b"c"], [b"b", b"d"]))
        self.assertEqual(self.counted(), 2)
        self.assertEqual(self.rows("usage"), 1)
        self.assertEqual(self.writer.queues.usage("app"), (2, 4))

    @staticmethod
    def break_down(writer: Writer) -> None:
        writer.connection.execute("DELETE FROM messages")
        writer.connection.execute("DELETE FROM tallies")
        writer.connection.execute("SELECT nonsense")

    def test_a_purge_that_fails_half_way_says_that_it_is_not_known(self) -> None:
        self.patch(writes, "STEP", 2)
        for _ in range(5):
            self.successResultOf(self.append(b"x"))
        commits: list[int] = []

        def second_fails() -> bool:
            commits.append(1)
            return len(commits) > 1

        self.writer.connection.set_commit_hook(second_fails)
        purge = self.store.purge(self.queue, foreign_id(1), Ack.ONE)
        self.assertEqual(self.failureResultOf(purge, Unavailable).value.applied, "unknown")
        self.writer.connection.set_commit_hook(None)
        self.assertEqual(self.counted(), 3)
        self.successResultOf(self.store.purge(self.queue, foreign_id(1), Ack.ONE))
        self.assertEqual(self.counted(), 0)

    def test_a_purge_whose_first_turn_was_undone_goes_no_further_than_is_stable(self) -> None:
        """The ids that the undone write batch had made are made again, and are not purged."""

        def stamp_in_vain(writer: Writer) -> None:
            writer.new_ids(1000)
            if writer.alone:
                raise ZeroDivisionError

        self.successResultOf(self.append(b"a"))
        self.subject.wall.seconds -= 10
        self.subject.hold()
        stamps = self.store._writing.submit(stamp_in_vain)
        purge = self.store.purge(self.queue, HIGHEST, Ack.ONE)
        bad = self.store._writing.submit(self.break_down)
        self.subject.release()
        self.failureResultOf(stamps, ZeroDivisionError)
        self.failureResultOf(bad, Unavailable)
        self.successResultOf(purge)
        self.successResultOf(self.append(b"b"))
        page = self.successResultOf(self.store.read_merged(self.queue, Merge((1,)), Ack.ONE))
        self.assertEqual(bodies(page.messages), [b"b"])
        self.assertLess(page.purged, page.messages[0].id)

    def test_a_commit_that_fails_leaves_no_trace_in_memory(self) -> None:
        (before,) = self.successResultOf(self.append(b"a"))
        self.writer.connection.set_commit_hook(lambda: True)
        self.failureResultOf(self.append(b"lost" * 9), Unavailable)
        self.failureResultOf(self.store.create("app", "lost", QueueSettings(), None), Unavailable)
        self.writer.connection.set_commit_hook(None)
        self.assertEqual(self.writer.queues.usage("app"), (1, 1))
        self.assertEqual((self.shown(), self.counted()), ([b"a"], 1))
        (after,) = self.successResultOf(self.append(b"b"))
        self.assertEqual(self.shown(), [b"a", b"b"])
        self.assertLess(before, after)

    def test_a_queue_whose_making_was_undone_is_not_known(self) -> None:
        made: list[int] = []

        def make_and_fail(writer: Writer) -> None:
            queue, _ = queues.create(writer, "app", "undone", QueueSettings(), None)
            self.assertEqual(writer.queues.application_of(queue.incarnation), "app")
            made.append(queue.incarnation)
            raise ZeroDivisionError

        self.failureResultOf(self.store._writing.submit(make_and_fail), ZeroDivisionError)
        self.assertIsNone(self.writer.queues.application_of(made[0]))
        self.assertEqual(self.writer.queues.usage("app"), (1, 0))

    def test_a_defect_is_not_hidden(self) -> None:
        def defect(writer: Writer) -> None:
            writer.connection.execute("DELETE FROM tallies")
            raise ZeroDivisionError

        self.subject.hold()
        bad, good = self.store._writing.submit(defect), self.append(b"a")
        self.subject.release()
        self.failureResultOf(bad, ZeroDivisionError)
        self.successResultOf(good)
        self.assertEqual(self.counted(), 1)

    def test_a_queue_made_and_deleted_in_one_pile_with_its_messages(self) -> None:
        self.subject.hold()
        answers: list[Deferred[Any]] = [
            self.append(b"a"),
            self.store.forget(self.queue),
            self.append(b"b"),
            self.store.create("app", "queue", QueueSettings(), None),
        ]
        self.subject.release()
        self.successResultOf(answers[0])
        self.assertTrue(self.successResultOf(answers[1]))
        self.failureResultOf(answers[2], NoSuchQueue)
        queue, made = self.successResultOf(answers[3])
        self.assertTrue(made)
        self.assertEqual(self.shown(queue), [])
        self.assertEqual(self.writer.queues.usage("app"), (1, 0))

    def test_a_clients_id_in_the_way_of_one_in_a_pile(self) -> None:
        (id,) = self.successResultOf(self.append(b"first"))
        taken = type(id)((int.from_bytes(id, "big") + (2 << 64)).to_bytes(16, "big"))
        self.successResultOf(self.store.replace(self.queue, [Address(1, taken)], Content(b"taken"), 60, TERMS))
        self.subject.hold()
        answers = [self.append(b"%d" % number) for number in range(4)]
        self.subject.release()
        ids = [self.successResultOf(answer)[0] for answer in answers]
        self.assertNotIn(taken, ids)
        self.assertEqual(sorted(self.shown()), sorted([b"first", b"taken", b"0", b"1", b"2", b"3"]))

    def test_a_clients_id_in_the_way_of_one_in_a_batch(self) -> None:
        """Of messages that come as columns, too, each gets an id that is free."""
        (id,) = self.successResultOf(self.append(b"first"))
        taken = type(id)((int.from_bytes(id, "big") + (2 << 64)).to_bytes(16, "big"))
        self.successResultOf(self.store.replace(self.queue, [Address(1, taken)], Content(b"taken"), 60, TERMS))
        batch = NewMessages(Drafts([b"0", b"1", b"2", b"3"], 60), [1] * 4)
        ids = self.successResultOf(self.store.append(self.queue, batch, TERMS))
        self.assertEqual((len(ids), taken in ids), (4, False))
        self.assertEqual(sorted(self.shown()), sorted([b"first", b"taken", b"0", b"1", b"2", b"3"]))

    def test_what_came_before_in_the_pile_is_there(self) -> None:
        (id,) = self.successResultOf(self.append(b"a"))
        foreseen = [Address(1, type(id)((int.from_bytes(id, "big") + (1 << 64)).to_bytes(16, "big")))]
        self.subject.hold()
        appended = self.append(b"b")
        removed = self.store.remove(self.queue, foreseen, Ack.ONE)
        self.subject.release()
        self.assertEqual(self.successResultOf(appended), (foreseen[0].id,))
        self.assertEqual(self.successResultOf(removed), 1)
        self.assertEqual(self.counted(), 1)

    def test_many_living_queues(self) -> None:
        self.patch(queue_cache, "MAX_CACHED", 3)
        many = [self.make(f"q{number}") for number in range(9)]
        for queue in many * 2:
            self.successResultOf(self.append(b"x", queue=queue))
        self.assertEqual(len(self.writer.queues.applications), 3)
        self.successResultOf(self.store.forget(many[-1]))
        self.failureResultOf(self.append(b"x", queue=many[-1]), NoSuchQueue)

    def test_a_cancelled_read_is_not_begun(self) -> None:
        looked: list[str] = []
        self.patch(reader, "read_range", lambda *arguments: looked.append("scan"))
        self.patch(reader, "count", lambda *arguments: looked.append("count"))
        self.subject.hold()
        dropped = self.store.read_range(self.queue, Window((1,)), Ack.ONE)
        counted = self.store.count(self.queue, Ack.ONE)
        dropped.cancel()
        self.subject.release()
        self.failureResultOf(dropped, CancelledError)
        self.successResultOf(counted)
        self.assertEqual(looked, ["count"])

    def test_a_read_that_fails_harms_no_other(self) -> None:
        self.successResultOf(self.append(b"a"))
        self.subject.hold()
        first = self.store.count(self.queue, Ack.ONE)
        bad = self.store._reading.submit(lambda reader: reader.connection.execute("SELECT nonsense"))
        last = self.store.count(self.queue, Ack.ONE)
        self.subject.release()
        self.failureResultOf(bad, Unavailable)
        self.assertEqual((self.successResultOf(first), self.successResultOf(last)), (1, 1))

    def test_when_not_even_a_snapshot_can_be_had(self) -> None:
        assert self.store._open is not None
        connection = self.store._open.reader.connection
        connection.authorizer = lambda *arguments: apsw.SQLITE_DENY
        self.failureResultOf(self.store.count(self.queue, Ack.ONE), Unavailable)
        connection.authorizer = None
        self.assertEqual(self.counted(), 0)


class HeldByTests(HeldCase):
    """What a queue holds is asked for once, and is true ever after."""

    LIMITED = WriteTerms(Ack.ONE, max_queue_bytes=10_000, max_queue_messages=1_000)

    def known(self) -> dict[int, Any]:
        return dict(self.writer.queues._held)

    def told(self) -> dict[int, Any]:
        """What the database says of the queues of which it is known."""
        rows: list[Any] = self.writer.connection.execute("SELECT queue, messages, bytes FROM tallies").fetchall()
        return {queue: (messages, size) for queue, messages, size in rows if queue in self.writer.queues._held}

    def check(self) -> None:
        self.assertEqual(self.known(), self.told())

    def test_whatever_happens_to_it(self) -> None:
        random = Random(7)
        queues, stored = [self.make(name) for name in "abc"], {name: list[Any]() for name in "abc"}
        seen = set()
        for _ in range(400):
            place, kind = random.randrange(3), random.randrange(12)
            queue = queues[place]
            if kind < 6:
                texts = [random.randbytes(random.randrange(9)) for _ in range(random.choice([1, 1, 3]))]
                stored[queue.name] += self.successResultOf(self.append(*texts, queue=queue, terms=self.LIMITED))
            elif kind < 8:
                addresses = [Address(1, id) for id in stored[queue.name][-2:]]
                self.successResultOf(self.store.remove(queue, addresses, Ack.ONE))
            elif kind == 8:
                addresses = [Address(1, id) for id in stored[queue.name][:2]]
                writing = self.store.replace(queue, addresses, Content(b"other"), 10, self.LIMITED)
                self.successResultOf(writing)
            elif kind == 9:
                # That of the write batch fails, and that of the write alone does not.
                self.writer.connection.set_commit_hook(iter([True, False]).__next__)
                stored[queue.name] += self.successResultOf(self.append(b"kept", queue=queue, terms=self.LIMITED))
                self.writer.connection.set_commit_hook(None)
            elif kind == 10:
                self.subject.wall.seconds += random.choice([1, 60])
                self.subject.clock.advance(1)
            else:
                self.successResultOf(self.store.forget(queue))
                queues[place], stored[queue.name] = self.make(queue.name), []
            self.check()
            seen.add(len(self.known()))
        self.assertEqual(seen, {0, 1, 2, 3})

    def test_of_few_queues(self) -> None:
        self.patch(queue_cache, "MAX_CACHED", 2)
        for name in "abcde":
            self.successResultOf(self.append(b"x", queue=self.make(name), terms=self.LIMITED))
            self.assertLessEqual(len(self.known()), 2)
            self.check()


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


class SweepTests(HeldCase):
    """What is over goes away in small steps, among which others have their turn."""

    def fill(self, number: int, ttl: int = 10, queue: Queue | None = None, size: int = 1) -> None:
        self.successResultOf(self.store.append(queue or self.queue, [new(b"x" * size, ttl=ttl)] * number, TERMS))

    def one_turn(self, seconds: float) -> None:
        """Let the next turn of upkeep be taken, and no other."""
        self.subject.hold()
        self.subject.clock.advance(seconds)
        self.subject.release()

    def test_expired_messages_in_steps_with_others_between(self) -> None:
        self.fill(1234)
        self.fill(3, ttl=100)
        self.subject.wall.seconds += 10
        for seconds, left in ((1, 737), (0, 237), (0, 3), (1, 3)):
            self.subject.hold()
            self.subject.clock.advance(seconds)
            between = self.store.states.replace(f"{left} {seconds}", None, b"", "1")
            self.subject.release()
            self.successResultOf(between)
            self.assertEqual(self.rows("messages"), left)
            self.assertEqual(self.counted(), 3)

    def test_dead_queues_also_after_a_restart(self) -> None:
        future = foreign_id(5000)
        self.fill(1200, ttl=1 << 25)
        self.successResultOf(self.store.replace(self.queue, [Address(1, future)], Content(b"x"), 60, TERMS))
        other = self.make("other")
        self.fill(2, queue=other, ttl=1 << 25)
        self.assertTrue(self.successResultOf(self.store.forget(self.queue)))
        self.assertEqual(self.rows("messages"), 1203)
        self.assertEqual(self.writer.queues.usage("app"), (1, 2))
        self.one_turn(1)
        self.assertEqual(self.rows("messages"), 703)
        self.successResultOf(self.subject.reopen())
        self.successResultOf(self.subject.advance(1))
        self.assertEqual([self.rows(table) for table in ("messages", "dead", "future", "tallies")], [2, 0, 0, 1])
        self.assertEqual(self.shown(other), [b"x"] * 2)

    def keep_states(self, queue: Queue, count: int) -> None:
        for number in range(count):
            key = f"{states_prefix(queue.incarnation)}{number}"
            self.successResultOf(self.store.states.replace(key, None, b"x", "1"))

    def test_states_of_dead_queues_also_after_a_restart(self) -> None:
        """Those of others stay, of queues whose numbers have the same beginning too; no turn takes long."""
        others = [self.make(f"q{number}") for number in range(20)]
        for other in others:
            self.keep_states(other, 1)
        self.successResultOf(self.store.states.replace("applications", None, b"x", "1"))
        dead = others[0]
        self.keep_states(self.queue, 2 * STATES + 10)
        for queue in (self.queue, dead):
            self.assertTrue(self.successResultOf(self.store.forget(queue)))
        self.assertEqual(self.rows("states"), 2 * STATES + 31)
        self.one_turn(1)
        self.assertEqual(self.rows("states"), STATES + 31)
        self.successResultOf(self.subject.reopen())
        self.successResultOf(self.subject.advance(1))
        self.assertEqual([self.rows(table) for table in ("states", "dead")], [20, 0])
        self.assertIsNotNone(self.successResultOf(self.store.states.read("applications")))
        self.assertIsNone(self.successResultOf(self.store.states.read(f"{states_prefix(dead.incarnation)}0")))

    def test_a_queue_that_was_empty_leaves_nothing_to_sweep(self) -> None:
        self.assertTrue(self.successResultOf(self.store.forget(self.queue)))
        self.assertEqual(self.rows("dead"), 0)

    def test_expired_messages_of_dead_queues_are_counted_once(self) -> None:
        other = self.make("other")
        self.fill(5, queue=other)
        self.fill(7)
        self.assertTrue(self.successResultOf(self.store.forget(other)))
        self.subject.wall.seconds += 10
        self.successResultOf(self.subject.advance(1))
        self.assertEqual([self.rows(table) for table in ("messages", "dead")], [0, 0])
        self.assertEqual(self.writer.queues.usage("app"), (1, 0))

    def test_the_future_table_is_true(self) -> None:
        ids = [foreign_id(number) for number in (50, 60, 70, 80, 90)]
        places = [Address(1, id) for id in ids]
        self.successResultOf(self.store.replace(self.queue, places, Content(b"x"), 55, TERMS))
        self.successResultOf(self.store.replace(self.queue, places[3:], Content(b"x"), 1000, TERMS))
        self.assertEqual(self.rows("future"), 5)
        self.successResultOf(self.store.remove(self.queue, places[1:2], Ack.ONE))
        self.assertEqual(self.rows("future"), 4)
        self.successResultOf(self.subject.advance(52))
        self.assertEqual(self.rows("future"), 3)
        self.successResultOf(self.subject.advance(4))
        self.assertEqual(self.rows("future"), 2)
        self.successResultOf(self.store.purge(self.queue, ids[4], Ack.ONE))
        self.assertEqual(self.rows("future"), 2)
        (delayed,) = self.successResultOf(self.store.append(self.queue, [new(b"x", delay=50)], TERMS))
        self.assertEqual(self.rows("future"), 3)
        self.successResultOf(self.store.remove(self.queue, [Address(1, delayed)], Ack.ONE))
        self.assertEqual(self.rows("future"), 2)
        self.successResultOf(self.store.forget(self.queue))
        self.successResultOf(self.subject.advance(1))
        self.assertEqual(self.rows("future"), 0)

    def keep(self, number: int, lifetime: int, queue: Queue | None = None) -> None:
        """Let keys be remembered, whose messages are gone."""
        for each in range(number):
            asked = once(b"%d %d" % (lifetime, each), lifetime=lifetime)
            appended = self.store.append_once(queue or self.queue, [new(b"x")], TERMS, asked)
            addresses = self.successResultOf(appended).addresses
            self.successResultOf(self.store.remove(queue or self.queue, addresses, Ack.ONE))

    def test_keys_that_are_over_in_steps(self) -> None:
        self.keep(1234, 10)
        self.keep(3, 100)
        self.subject.wall.seconds += 10
        for seconds, left in ((1, 737), (0, 237), (0, 3), (1, 3)):
            self.one_turn(seconds)
            self.assertEqual(self.rows("keys"), left)

    def test_keys_of_dead_queues_in_steps_also_after_a_restart(self) -> None:
        other = self.make("other")
        self.keep(1234, 1000)
        self.keep(3, 1000, other)
        self.assertTrue(self.successResultOf(self.store.forget(self.queue)))
        self.assertEqual([self.rows(table) for table in ("messages", "dead")], [0, 1])
        self.one_turn(1)
        self.assertEqual([self.rows(table) for table in ("keys", "dead")], [737, 1])
        self.successResultOf(self.subject.reopen())
        self.successResultOf(self.subject.advance(1))
        self.assertEqual([self.rows(table) for table in ("keys", "dead")], [3, 0])
        self.assertTrue(self.successResultOf(self.append_again(other)).duplicate)

    def append_again(self, queue: Queue) -> Deferred[Appended]:
        return self.store.append_once(queue, [new(b"x")], TERMS, once(b"1000 0", lifetime=1000))

    def test_a_key_that_is_used_anew_before_it_is_swept(self) -> None:
        self.keep(1, 10)
        self.subject.wall.seconds += 10
        self.keep(1, 10)
        self.successResultOf(self.subject.advance(9))
        self.assertEqual(self.rows("keys"), 1)
        self.successResultOf(self.subject.advance(1))
        self.assertEqual(self.rows("keys"), 0)

    def test_many_fall_due_at_once(self) -> None:
        places = [Address(1, foreign_id(number / 1000)) for number in range(1, 1301)]
        self.successResultOf(self.store.replace(self.queue, places, Content(b"x"), 600, TERMS))
        self.assertEqual(len(self.shown()), 0)
        self.successResultOf(self.subject.advance(1.0))
        self.assertEqual(len(self.shown()), 1000)
        self.successResultOf(self.subject.advance(0.25))
        self.assertEqual(self.rows("future"), 50)
        self.successResultOf(self.subject.advance(0.05))
        self.assertEqual(self.rows("future"), 0)

    def test_the_timer_is_set_for_what_falls_due_first(self) -> None:
        def next_turn() -> float:
            calls = self.subject.clock.getDelayedCalls()
            return min(call.getTime() for call in calls) - self.subject.clock.seconds()

        self.assertEqual(next_turn(), 1)
        for due, delay in ((5, 1), (0.5, 0.5), (0.75, 0.5), (0.25, 0.25)):
            place = [Address(1, foreign_id(due))]
            self.successResultOf(self.store.replace(self.queue, place, Content(b"x"), 600, TERMS))
            self.assertAlmostEqual(next_turn(), delay, places=5)
        self.successResultOf(self.subject.advance(0.25))
        self.assertAlmostEqual(next_turn(), 0.25, places=5)

    def test_the_timer_is_set_for_what_is_delayed(self) -> None:
        """Not for what comes with it, nor for what an earlier call has stored."""

        def next_turn() -> float:
            calls = self.subject.clock.getDelayedCalls()
            return min(call.getTime() for call in calls) - self.subject.clock.seconds()

        self.successResultOf(self.store.append(self.queue, [new(b"now"), new(b"x", delay=0.75)], TERMS))
        self.assertAlmostEqual(next_turn(), 0.75, places=5)
        late = [new(b"y", delay=0.5), new(b"now"), new(b"z", delay=0.25)]
        self.successResultOf(self.store.append_once(self.queue, late, TERMS, once()))
        self.assertAlmostEqual(next_turn(), 0.25, places=5)
        self.successResultOf(self.subject.advance(0.3))
        self.assertAlmostEqual(next_turn(), 0.2, places=5)
        again = self.successResultOf(self.store.append_once(self.queue, late, TERMS, once()))
        self.assertTrue(again.duplicate)
        self.assertAlmostEqual(next_turn(), 0.2, places=5)

    def test_room_is_given_back_slowly(self) -> None:
        self.patch(sweeper, "SPARE_PAGES", 100)
        self.fill(300, size=4 * PAGE)
        before = self.writer.connection.pragma("page_count")
        self.subject.wall.seconds += 10
        self.successResultOf(self.subject.advance(1))
        free = self.writer.connection.pragma("freelist_count")
        self.assertGreater(free, 800)
        self.successResultOf(self.subject.advance(1))
        self.assertEqual(self.writer.connection.pragma("freelist_count"), free - sweeper.GIVEN_BACK)
        for _ in range(9):
            self.successResultOf(self.subject.advance(1))
        self.assertLessEqual(self.writer.connection.pragma("freelist_count"), 100)
        self.assertLess(self.writer.connection.pragma("page_count"), before // 2)

    def test_no_turn_is_taken_after_the_end(self) -> None:
        self.subject.hold()
        self.subject.clock.advance(1)
        closed = self.store.close()
        self.subject.release()
        self.successResultOf(closed)
        self.assertEqual(self.subject.clock.getDelayedCalls(), [])
