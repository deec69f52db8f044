"""The writing side of SQLite: write batches of which some fail, and jobs that are held up."""

from __future__ import annotations

from random import Random
from typing import Any

import apsw
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import NoSuchQueue, StorageFull, Unavailable
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.batch import Drafts, NewMessages
from queuey.model.messages.message import Address, Content
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Merge, Window
from queuey.model.timeid import HIGHEST
from queuey.storage.sqlite import SQLiteStore, queues
from queuey.storage.sqlite.reading import reader
from queuey.storage.sqlite.writing import queue_cache, writes
from queuey.storage.sqlite.writing.writer import Writer
from tests.contracts.reading import TERMS, bodies, foreign_id, new
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
