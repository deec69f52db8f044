"""What the jobs of a write batch need to know is looked up together, and no answer is another one because of it."""

from __future__ import annotations

import apsw
from twisted.internet.defer import Deferred

from queuey.errors import NoSuchQueue, Unavailable
from queuey.model.messages.once import Appended
from queuey.model.queues.queue import Queue, QueueSettings, QueueType
from queuey.storage.sqlite.reading.reader import Reader
from queuey.storage.sqlite.writing import queue_cache
from queuey.storage.sqlite.writing.writer import Writer
from tests.contracts.reading import TERMS, new, once
from tests.storage.sqlite.test_writer import HeldCase


def watch(connection: apsw.Connection) -> list[str]:
    """The statements that a connection runs from now on."""
    seen: list[str] = []

    def note(cursor: object, statement: str, bindings: object) -> bool:
        seen.append(statement)
        return True

    connection.exec_trace = note
    return seen


class WritesTests(HeldCase):
    def test_which_queues_live_is_asked_once_a_pile(self) -> None:
        made = [self.make(f"q{number}") for number in range(6)]
        dead = self.make("dead")
        self.successResultOf(self.store.forget(dead))
        statements = watch(self.writer.connection)
        self.subject.hold()
        good = [self.append(b"a", queue=queue) for queue in (*made, made[0])]
        bad = self.append(b"x", queue=dead)
        self.subject.release()
        for answer in good:
            self.successResultOf(answer)
        self.failureResultOf(bad, NoSuchQueue)
        self.assertEqual([self.shown(queue) for queue in made], [[b"a"] * 2] + [[b"a"]] * 5)
        # Seven queues are one statement, and what was not found is looked for once more.
        self.assertEqual(len([text for text in statements if "SELECT" in text]), 2)

    def test_a_queue_that_dies_in_the_pile_is_dead_for_what_follows(self) -> None:
        other = self.make("other")
        self.subject.hold()
        before, gone, after = self.append(b"a"), self.store.forget(self.queue), self.append(b"b")
        spared = self.append(b"c", queue=other)
        self.subject.release()
        self.successResultOf(before)
        self.assertTrue(self.successResultOf(gone))
        self.failureResultOf(after, NoSuchQueue)
        self.successResultOf(spared)
        self.assertEqual((self.rows("tallies"), self.rows("dead")), (1, 1))

    def test_keys_are_asked_for_once_a_pile(self) -> None:
        """Those that are there, those that are not, and those that come twice."""
        other = self.make("other")
        known = [self.successResultOf(self.once(b"%d" % number)) for number in range(3)]
        statements = watch(self.writer.connection)
        self.subject.hold()
        asked = [self.once(b"%d" % (number % 6)) for number in range(12)]
        elsewhere = self.once(b"0", queue=other)
        self.subject.release()
        found = [self.successResultOf(answer) for answer in asked]
        self.assertEqual([each.duplicate for each in found], [True] * 3 + [False] * 3 + [True] * 6)
        self.assertEqual([each.addresses for each in found[:3]], [each.addresses for each in known])
        self.assertEqual([each.addresses for each in found[:6]], [each.addresses for each in found[6:]])
        self.assertFalse(self.successResultOf(elsewhere).duplicate)
        self.assertEqual(len([text for text in statements if "FROM keys" in text]), 1)
        self.assertEqual((self.rows("keys"), self.rows("messages")), (7, 7))

    def once(self, key: bytes, queue: Queue | None = None) -> Deferred[Appended]:
        return self.store.append_once(queue or self.queue, [new(b"x")], TERMS, once(key))

    def test_keys_of_a_pile_that_is_undone(self) -> None:
        """What each call does alone is what it would have done first: nothing is remembered of what was undone."""
        self.subject.hold()
        first = [self.once(b"a"), self.once(b"a"), self.once(b"b")]
        late = self.store.append(self.queue, [new(b"late", delay=5)], TERMS)
        bad = self.store._writing.submit(self.break_down)
        last = self.once(b"b")
        self.subject.release()
        self.failureResultOf(bad, Unavailable)
        found = [self.successResultOf(answer) for answer in (*first, last)]
        self.assertEqual([each.duplicate for each in found], [False, True, False, True])
        self.assertEqual((found[0].addresses, found[2].addresses), (found[1].addresses, found[3].addresses))
        self.successResultOf(late)
        tables = ("keys", "messages", "future")
        self.assertEqual(([self.rows(table) for table in tables], len(self.shown())), ([2, 3, 1], 2))

    @staticmethod
    def break_down(writer: Writer) -> None:
        writer.connection.execute("SELECT nonsense")

    def test_a_key_whose_commit_failed_is_free(self) -> None:
        self.writer.connection.set_commit_hook(lambda: True)
        self.failureResultOf(self.once(b"a"), Unavailable)
        self.writer.connection.set_commit_hook(None)
        self.assertFalse(self.successResultOf(self.once(b"a")).duplicate)
        self.assertEqual((self.rows("keys"), self.rows("messages")), (1, 1))

    def test_more_queues_in_a_pile_than_are_known(self) -> None:
        self.patch(queue_cache, "MAX_CACHED", 2)
        made = [self.make(f"q{number}") for number in range(5)]
        self.subject.hold()
        answers = [self.append(b"a", queue=queue) for queue in made]
        self.subject.release()
        for answer in answers:
            self.successResultOf(answer)
        self.assertLessEqual(len(self.writer.queues.applications), 2)

    def test_a_look_ahead_that_fails_leaves_each_to_itself(self) -> None:
        other = self.make("other")
        failed: list[str] = []

        def fail_once(cursor: object, statement: str, bindings: object) -> bool:
            if "SELECT queue FROM tallies" in statement and not failed:
                failed.append(statement)
                raise apsw.IOError("once")
            return True

        self.writer.connection.exec_trace = fail_once
        self.subject.hold()
        answers = [self.append(b"a"), self.append(b"b", queue=other)]
        self.subject.release()
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual((self.shown(), self.shown(other), len(failed)), ([b"a"], [b"b"], 1))


class ReadsTests(HeldCase):
    @property
    def reader(self) -> Reader:
        assert self.store._open is not None
        return self.store._open.reader

    def test_queues_that_are_asked_for_singly_are_found_together(self) -> None:
        made = [self.make(f"q{number}") for number in range(6)]
        settings = QueueSettings(QueueType.PUBLIC, 7, principals=("app:a", "bid:b@example.org"))
        other, _ = self.successResultOf(self.store.create("other", "q0", settings, None))
        statements = watch(self.reader.connection)
        self.subject.hold()
        asked = [self.store.describe("app", (queue.name,)) for queue in made]
        there = self.store.describe("other", ("q0",))
        missing = self.store.describe("other", ("q1",))
        self.subject.release()
        self.assertEqual([self.successResultOf(answer) for answer in asked], [(queue,) for queue in made])
        self.assertEqual(self.successResultOf(there), (other,))
        self.assertEqual(self.successResultOf(missing), (None,))
        self.assertEqual(len([text for text in statements if "FROM queues" in text]), 2)

    def test_what_was_found_is_not_taken_for_what_is(self) -> None:
        self.make("a")
        for _ in range(2):
            self.subject.hold()
            asked = [self.store.describe("app", (name,)) for name in ("a", "queue")]
            self.subject.release()
        (before,), _ = [self.successResultOf(answer) for answer in asked]
        assert before is not None
        after = self.successResultOf(self.store.update(before, QueueSettings(partitions=9)))
        self.assertEqual(self.successResultOf(self.store.describe("app", ("a",))), (after,))

    def test_a_name_that_cannot_be_looked_for_harms_no_other(self) -> None:
        self.subject.hold()
        good, bad = self.store.describe("app", ("queue",)), self.store.describe("app", ("\ud800",))
        self.subject.release()
        self.assertEqual(self.successResultOf(good), (self.queue,))
        self.failureResultOf(bad, UnicodeEncodeError)

    def test_many_names_in_any_order(self) -> None:
        made = [self.make(f"q{number:03d}") for number in range(150)]
        names = [queue.name for queue in reversed(made)]
        found = self.successResultOf(self.store.describe("app", (*names, "none", names[0])))
        self.assertEqual(found, (*reversed(made), None, made[-1]))
