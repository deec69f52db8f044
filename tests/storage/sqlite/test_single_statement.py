"""Small write batches are one statement, with the same result as statements for each table."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import apsw
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from queuey.errors import StorageFull, Unavailable
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address
from queuey.model.queues.queue import QueueSettings
from queuey.model.timeid import ticks_of
from queuey.storage.sqlite import single_statement
from queuey.storage.sqlite.chunks import parts
from queuey.storage.sqlite.writing import pending_rows
from tests.contracts.reading import TERMS, new, once
from tests.storage.sqlite.test_foresight import watch
from tests.storage.sqlite.test_writer import HeldCase

TABLES = ("messages", "keys", "tallies", "usage", "clock", "future")


class SmallCase(HeldCase):
    def setUp(self) -> None:
        super().setUp()
        self.writer.queues.require(self.queue)  # which it then knows
        self.statements = watch(self.writer.connection)
        self.seen: list[str] = []

    def one_pile(self, *calls: Any) -> list[Deferred[Any]]:
        """Let operations be run together; the statements of before are forgotten."""
        self.subject.hold()
        answers = [call() for call in calls]
        self.statements.clear()
        self.subject.release()
        return answers

    def tables(self) -> dict[str, list[Any]]:
        execute = self.writer.connection.execute
        return {table: execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES}


class StatementTests(SmallCase):
    """What each write batch costs."""

    def test_plain_writes_are_one(self) -> None:
        other, _ = self.successResultOf(self.store.create("other", "queue", QueueSettings(), None))
        self.successResultOf(self.append(b"a"))
        self.successResultOf(self.append(b"a", queue=other))
        both = (lambda: self.append(b"b"), lambda: self.append(b"c", b"d", queue=other))
        for answer in self.one_pile(*both * 7):
            self.successResultOf(answer)
        self.assertEqual(self.statements, [single_statement._PUT[24]])
        self.assertEqual((self.counted(), self.writer.queues.usage("other")), (8, (1, 15)))

    def test_a_lone_write_is_one(self) -> None:
        self.one_pile(lambda: self.append(b"a"))
        self.assertEqual(self.statements, [single_statement._PUT[2]])

    def test_writes_under_keys_are_looked_up_and_are_one(self) -> None:
        def write(key: bytes) -> Deferred[Any]:
            return self.store.append_once(self.queue, [new(b"x")], TERMS, once(key))

        answers = self.one_pile(*(lambda key=key: write(key) for key in (b"a", b"b", b"a")))
        found = [self.successResultOf(answer) for answer in answers]
        self.assertEqual([each.duplicate for each in found], [False, False, True])
        self.assertEqual(len(self.statements), 2)
        self.assertEqual(self.statements[-1], single_statement._PUT[6])

    def test_limits_are_looked_up_and_the_rest_is_one(self) -> None:
        terms = WriteTerms(Ack.ONE, max_queue_messages=2)
        (answer,) = self.one_pile(lambda: self.append(b"a", terms=terms))
        self.successResultOf(answer)
        self.assertEqual(len(self.statements), 2)
        self.assertNotIn("BEGIN IMMEDIATE", self.statements)
        (answer,) = self.one_pile(lambda: self.append(b"b", terms=terms))
        self.successResultOf(answer)
        self.assertEqual(self.statements, [single_statement._PUT[2]], "what it holds is known")
        (answer,) = self.one_pile(lambda: self.append(b"c", terms=terms))
        self.failureResultOf(answer, StorageFull)

    def test_what_changes_nothing_costs_nothing(self) -> None:
        self.successResultOf(self.append(b"a"))
        (answer,) = self.one_pile(lambda: self.append(b"b", terms=WriteTerms(Ack.ONE, 1)))
        self.failureResultOf(answer)
        self.assertNotIn("COMMIT", self.statements)

    def test_what_turns_to_the_database_has_a_transaction_with_all_others(self) -> None:
        state = "key", None, b"x", "1"
        answers = self.one_pile(lambda: self.append(b"a"), lambda: self.store.states.replace(*state))
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual([self.statements[0], self.statements[-1]], ["BEGIN IMMEDIATE", "COMMIT"])
        self.assertEqual(self.statements[-2], single_statement._PUT[2])

    def test_a_large_one_has_statements_for_each_table(self) -> None:
        answers = self.one_pile(*[lambda: self.append(b"x")] * 100)
        ids = [self.successResultOf(answer)[0] for answer in answers]
        stored = [pending_rows.INSERT[size] for size, _ in parts(100)]
        sums = [pending_rows._TALLY[1], pending_rows._USE[1], "UPDATE clock SET last = ?"]
        self.assertEqual(self.statements, ["BEGIN IMMEDIATE", *stored, *sums, "COMMIT"])
        self.assertEqual(
            (self.counted(), self.writer.queues.usage("app"), self.writer.last), (100, (1, 100), ticks_of(ids[-1]))
        )

    def test_the_writer_is_asked_for_a_transaction_by_a_ping(self) -> None:
        self.one_pile(self.store.ping)
        self.assertEqual(self.statements[0], "BEGIN IMMEDIATE")


class SameTests(SmallCase):
    """Whichever way a write batch goes, the tables hold the same."""

    def test_each_number_of_rows(self) -> None:
        for number in range(1, single_statement.ROWS + 3):
            answers = self.one_pile(*[lambda: self.append(b"x")] * number)
            ids = [self.successResultOf(answer)[0] for answer in answers]
            self.assertEqual(ids, sorted(set(ids)))
            plain = len(self.statements) == 1
            self.assertEqual(plain, number < single_statement.ROWS, number)
        total = (single_statement.ROWS + 2) * (single_statement.ROWS + 3) // 2
        self.assertEqual(
            (self.counted(), self.rows("messages"), self.writer.queues.usage("app")), (total, total, (1, total))
        )

    def test_more_queues_than_rows(self) -> None:
        made = [self.make(f"q{number}") for number in range(single_statement.ROWS + 9)]
        for answer in self.one_pile(*(lambda queue=queue: self.append(b"x", queue=queue) for queue in made)):
            self.successResultOf(answer)
        self.assertEqual([row[1:3] for row in self.tables()["tallies"]], [(0, 0), *[(1, 1)] * len(made)])
        self.assertEqual(self.writer.queues.usage("app"), (len(made) + 1, len(made)))
        self.assertEqual(self.tables()["clock"], [(1, self.writer.last)])

    def test_random_piles(self) -> None:
        """Once with small ones as one statement, and once with none."""
        found = []
        for rows in (single_statement.ROWS, 0):
            self.setUp()
            self.patch(single_statement, "ROWS", rows)
            seen = [self.texts(batch) for batch in self.batches(Random(1000))]
            found.append((seen, self.tables()))
            self.assertEqual(any(text in single_statement._PUT.values() for text in self.seen), rows > 0)
        self.assertEqual(*found)

    def texts(self, batch: list[Any]) -> list[str]:
        """What came of each operation."""
        answers = self.one_pile(*batch)
        self.seen += self.statements
        texts: list[str] = []
        for answer in answers:
            answer.addBoth(lambda result: texts.append(repr(getattr(result, "value", result))))
        self.assertEqual(len(texts), len(batch))
        return [*texts, f"{self.rows('future')} to come"]

    def batches(self, random: Random) -> Iterator[list[Any]]:
        made = [self.make(f"q{number}") for number in range(3)]
        stored: list[Address] = []

        def one() -> Any:
            queue, terms = random.choice(made), random.choice([TERMS, WriteTerms(Ack.ONE, 4000, max_queue_messages=90)])
            messages = [
                new(random.randbytes(3), delay=random.choice([0] * 9 + [5])) for _ in range(random.choice([1, 1, 2, 9]))
            ]
            key, lifetime = b"%d" % random.randrange(9), random.choice([10, 1000])
            kind = random.randrange(10)
            if kind < 6:
                return lambda: self.store.append(queue, messages, terms)
            if kind < 9:
                return lambda: self.store.append_once(queue, messages, terms, once(key, lifetime=lifetime))
            return lambda: self.store.remove(queue, stored[-2:], Ack.ONE)

        for _ in range(60):
            yield [one() for _ in range(random.choice([1, 1, 3, 12]))]
            self.subject.wall.seconds += random.choice([0, 0, 7, -3])
            rows: list[Any] = self.writer.connection.execute("SELECT partition, id FROM messages").fetchall()
            stored = [Address(*row) for row in rows]


class RefusedTests(SmallCase):
    """If the database cannot be written to, nothing is stored, and no caller waits more than once."""

    def test_another_program_has_locked_it(self) -> None:
        self.successResultOf(self.append(b"a"))
        waits: list[int] = []

        def wait(attempts: int) -> bool:
            waits.append(attempts)
            return False

        plain = (lambda: self.append(b"b"), lambda: self.append(b"c"), lambda: self.append(b"d"))
        state = "key", None, b"x", "1"
        other = apsw.Connection(str(self.subject.directory / "queuey.sqlite"))
        other.execute("BEGIN IMMEDIATE")
        before = self.tables()
        self.writer.connection.set_busy_handler(wait)
        for calls in (plain, (*plain, lambda: self.store.states.replace(*state), *plain)):
            waits.clear()
            with capturedLogs():
                for answer in self.one_pile(*calls):
                    error = self.failureResultOf(answer, Unavailable).value
                    self.assertEqual(error.applied, "no")
            self.assertEqual(waits, [0])
            self.assertEqual(self.tables(), before)
        other.execute("ROLLBACK")
        other.close(True)
        for answer in self.one_pile(*plain):
            self.successResultOf(answer)
        self.assertEqual(self.shown(), [b"a", b"b", b"c", b"d"])
